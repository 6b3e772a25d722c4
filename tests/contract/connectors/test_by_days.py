"""What derived rows need of a CRM: the records of a day, creates and changes without reading back, deletes in bulk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date

import pytest

from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from shared.errors import ConnectorError, Refused, SystemDown, UnknownColumn, UnknownResult
from shared.sync.ports import Change, NewRecord, Record, Value
from tests.contract.connectors.rigs import APPLICATION, UNKNOWN_KEY, DataverseRig

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)
SINCE = "cdock_customersince"
MESSAGE = r"/accounts/Microsoft\.Dynamics\.CRM\."
CREATES, UPDATES, BATCH = f"{MESSAGE}CreateMultiple$", f"{MESSAGE}UpdateMultiple$", r"/\$batch$"
MINUTES = 480.0


@pytest.fixture(params=["bulk messages", "batches only"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[DataverseRig]:
    """An organisation with bulk messages for accounts, and one without, that shows two rows on a page."""
    without = ("account",) if request.param == "batches only" else ()
    options = DataverseOptions(application_users=(APPLICATION,), no_bulk_messages=without, max_page_size=2)
    made = DataverseRig(options)
    await made.start()
    yield made
    await made.aclose()
    assert made.requests.unforeseen() == []


def key(rig: DataverseRig, number: int) -> str:
    return rig.connector.derived_key("account", str(number), {})


def wanted(rig: DataverseRig, count: int, day: date = DAY, first: int = 0) -> list[NewRecord]:
    return [NewRecord({"name": f"Company {at:04d}", SINCE: day}, key(rig, at)) for at in range(first, first + count)]


async def create(rig: DataverseRig, records: Sequence[NewRecord]) -> list[Record | ConnectorError]:
    return list(await rig.connector.create_many("account", records, [], within_seconds=MINUTES))


async def change(rig: DataverseRig, *changes: Change) -> list[Record | ConnectorError]:
    return list(await rig.connector.update_many("account", changes, [], within_seconds=MINUTES))


async def told(rig: DataverseRig, day: date) -> list[list[Value]]:
    return [
        [one.values["name"] for one in page]
        async for page in rig.connector.of_day("account", SINCE, day, ["name", SINCE])
    ]


async def test_the_records_of_a_day_are_told_page_by_page(rig: DataverseRig) -> None:
    await create(rig, wanted(rig, 5))
    await create(rig, wanted(rig, 3, NEXT, first=5))
    pages = await told(rig, DAY)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {name for page in pages for name in page} == {f"Company {at:04d}" for at in range(5)}
    assert await told(rig, date(2026, 3, 3)) == [[]]


async def test_a_page_that_fails_ends_the_day_with_its_error(rig: DataverseRig) -> None:
    await create(rig, wanted(rig, 5))
    pages = rig.connector.of_day("account", SINCE, DAY, ["name"])
    await anext(pages)
    rig.faults.add(FaultRule(FaultKind.UNAVAILABLE, "GET", rig.path))
    with pytest.raises(SystemDown):
        await anext(pages)


async def test_only_a_column_of_days_can_be_asked_by(rig: DataverseRig) -> None:
    with pytest.raises(UnknownColumn):
        await anext(rig.connector.of_day("account", "name", DAY, ["name"]))


async def test_what_is_not_read_back_is_written_in_larger_calls(rig: DataverseRig) -> None:
    """A thousand at once by a bulk message, which answers keys only; a hundred by a batch."""
    bulk = rig.requests.count("POST", CREATES)
    results = await create(rig, wanted(rig, 1001))
    assert [one.key for one in results if isinstance(one, Record)] == [key(rig, at) for at in range(1001)]
    together = rig.requests.count("POST", CREATES) - bulk
    assert (together, rig.requests.count("POST", BATCH)) in ((2, 0), (0, 11))
    changes = [Change(key(rig, at), {"name": "Changed"}) for at in range(1001)]
    assert all(isinstance(one, Record) for one in await change(rig, *changes))
    assert (rig.requests.count("POST", UPDATES), rig.requests.count("POST", BATCH)) in ((2, 0), (0, 22))
    assert list(rig.names()) == ["Changed"] * 1001
    assert rig.requests.count("GET", rig.path) == 0


async def test_one_bad_record_keeps_none_of_the_others_back(rig: DataverseRig) -> None:
    good = wanted(rig, 3)
    bad = NewRecord({"name": "x" * 400}, key(rig, 9))
    results = await create(rig, [good[0], bad, *good[1:]])
    assert [type(one) for one in results] == [Record, Refused, Record, Record]
    long, missing = Change(key(rig, 1), {"name": "x" * 400}), Change(UNKNOWN_KEY, {"name": "New"})
    results = await change(rig, Change(key(rig, 0), {"name": "New"}), long, missing)
    assert [one.code if isinstance(one, ConnectorError) else "" for one in results] == ["", "CD-1008", "CD-1006"]
    assert list(rig.names()) == ["Company 0001", "Company 0002", "New"]


async def test_changes_of_one_record_keep_their_order(rig: DataverseRig) -> None:
    await create(rig, wanted(rig, 1))
    await change(rig, Change(key(rig, 0), {"name": "First"}), Change(key(rig, 0), {"name": "Second"}))
    assert list(rig.names()) == ["Second"]


async def test_many_records_are_deleted_in_few_calls(rig: DataverseRig) -> None:
    """One that is gone already is fine, and those that are not named stay."""
    await create(rig, wanted(rig, 150))
    rig.requests.clear()
    keys = [*(key(rig, at) for at in range(149)), UNKNOWN_KEY]
    assert await rig.connector.delete_many("account", keys, within_seconds=MINUTES) == [None] * 150
    assert list(rig.names()) == ["Company 0149"]
    assert rig.requests.count("POST", BATCH) == 2
    assert await rig.connector.delete_many("account", [], within_seconds=MINUTES) == []


async def test_a_lost_answer_leaves_every_delete_unknown(rig: DataverseRig) -> None:
    await create(rig, wanted(rig, 2))
    rig.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", BATCH, times=1))
    keys = [key(rig, 0), key(rig, 1)]
    results = await rig.connector.delete_many("account", keys, within_seconds=MINUTES)
    assert [type(one) for one in results] == [UnknownResult, UnknownResult]
    assert await rig.connector.delete_many("account", keys, within_seconds=MINUTES) == [None, None]


async def test_a_delete_without_the_right_is_refused(rig: DataverseRig) -> None:
    await create(rig, wanted(rig, 1))
    rig.sandbox.limit_privilege(APPLICATION, "account", "Delete")
    (result,) = await rig.connector.delete_many("account", [key(rig, 0)], within_seconds=MINUTES)
    assert isinstance(result, ConnectorError)
    assert result.code == "CD-1010"
