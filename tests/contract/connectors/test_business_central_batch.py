"""Many creates in one `$batch`: every record gets its own result, whatever becomes of the call or of its neighbours."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.errors import AlreadyExists, Refused, SystemDown, UnknownResult
from shared.sync.ports import NewRecord, Record
from tests.contract.connectors.rigs import BusinessCentralRig

BATCH = r"/\$batch$"
MINUTES = 480.0


@pytest.fixture
async def rig() -> AsyncIterator[BusinessCentralRig]:
    made = BusinessCentralRig()
    await made.start()
    yield made
    await made.aclose()


def wanted(rig: BusinessCentralRig, count: int) -> list[NewRecord]:
    """So many new customers with numbers of ours."""
    return [NewRecord(rig.values(f"Company {at:03d}", f"CD-{at:06d}")) for at in range(count)]


async def create(rig: BusinessCentralRig, records: list[NewRecord]) -> list[object]:
    return list(await rig.connector.create_many("customers", records, rig.asked, within_seconds=MINUTES))


async def test_two_hundred_and_thirty_records_are_five_calls(rig: BusinessCentralRig) -> None:
    """Each answered as the system stored it, in the order in which they were given."""
    results = await create(rig, wanted(rig, 230))
    names = [one.values["displayName"] for one in results if isinstance(one, Record)]
    assert names == [f"Company {at:03d}" for at in range(230)]
    assert rig.requests.count("POST", BATCH) == 5
    assert rig.sent("POST") == 0


async def test_one_bad_record_does_not_touch_its_neighbours(rig: BusinessCentralRig) -> None:
    """Refused with its field, a number that is taken with its own class; both as a single create would say."""
    records = wanted(rig, 20)
    records[3] = NewRecord(rig.values("Company 003", "CD-000003") | {"phoneNumber": "ask for Ann"})
    records[7] = NewRecord(rig.values("Company 007", "CD-000006"))
    records[9] = NewRecord(rig.values("Company 009", "CD-000009") | {"paymentTermsId.code": "NONE"})
    results = await create(rig, records)
    assert isinstance(results[3], Refused)
    assert isinstance(results[7], AlreadyExists)
    assert isinstance(results[9], Refused)
    assert results[9].answer.field == "paymentTermsId.code"
    assert sum(isinstance(one, Record) for one in results) == 17
    assert len([name for name in rig.names() if str(name).startswith("Company")]) == 17


@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.HALF_BODY])
async def test_a_lost_answer_leaves_every_record_unknown_and_is_not_sent_again(
    rig: BusinessCentralRig, kind: FaultKind
) -> None:
    """All of them may exist; whoever asked looks each of them up by its number."""
    rig.faults.add(FaultRule(kind, "POST", BATCH, times=1))
    results = await create(rig, wanted(rig, 10))
    assert all(isinstance(one, UnknownResult) for one in results)
    assert rig.requests.count("POST", BATCH) == 1
    found = await rig.connector.find("customers", "number", [f"CD-{at:06d}" for at in range(10)], rig.asked, limit=20)
    assert len(found) == 10


async def test_a_system_that_is_away_is_told_before_anything_was_sent(rig: BusinessCentralRig) -> None:
    """Either as an error or for every record: nothing may have been created."""
    rig.faults.add(FaultRule(FaultKind.UNAVAILABLE, "POST", BATCH, times=1))
    results = await create(rig, wanted(rig, 5))
    assert all(isinstance(one, SystemDown) for one in results)
    assert not [name for name in rig.names() if str(name).startswith("Company")]


async def test_a_throttled_batch_waits_as_long_as_the_system_asks(rig: BusinessCentralRig) -> None:
    """And goes out again once, because it was not executed."""
    rig.faults.add(FaultRule(FaultKind.THROTTLED, "POST", BATCH, times=1, retry_after_seconds=30))
    results = await create(rig, wanted(rig, 5))
    assert all(isinstance(one, Record) for one in results)
    assert rig.requests.count("POST", BATCH) == 2
