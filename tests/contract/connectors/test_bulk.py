"""Many creates and many updates in few calls: every record gets its own result, whatever becomes of the call or of its
neighbours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from sandbox.transport import SandboxTransport
from shared.connectors.business_central.connector import BusinessCentralConnector
from shared.connectors.dataverse.connector import DataverseConnector
from shared.errors import (
    AlreadyExists,
    ConnectorError,
    RecordMissing,
    Refused,
    SystemDown,
    Throttled,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.sync.ports import Change, NewRecord, Record
from tests.contract.connectors.rigs import (
    APPLICATION,
    COMPANY,
    ORGANIZATION,
    UNKNOWN_KEY,
    BusinessCentralRig,
    DataverseRig,
    ExtendedRig,
    Rig,
)

MINUTES = 480.0
BATCH = r"/\$batch$"
TOGETHER = r"/accounts/Microsoft\.Dynamics\.CRM\.CreateMultiple$"


@dataclass
class Bulk:
    """A connector's bulk writes. creates: the address of its creates; size: records in one call."""

    name: str
    rig: Rig
    creates: str
    size: int

    def wanted(self, count: int, first: int = 0) -> list[NewRecord]:
        """So many new records, with a number and, where the system takes it, a key of ours."""
        return [self.one(f"Company {at:03d}", f"CD-{at:06d}") for at in range(first, first + count)]

    def one(self, name: str, number: str, **more: str) -> NewRecord:
        """A new record; its key, where we choose it, follows from its number."""
        connector, table = self.rig.connector, self.rig.table
        key = connector.derived_key(table, number, {}) if connector.capabilities(table).chooses_key else None
        return NewRecord(self.rig.values(name, number) | more, key)

    async def create(self, records: Sequence[NewRecord], seconds: float = MINUTES) -> list[Record | ConnectorError]:
        rig = self.rig
        return list(await rig.connector.create_many(rig.table, records, rig.asked, within_seconds=seconds))

    async def update(self, changes: Sequence[Change], seconds: float = MINUTES) -> list[Record | ConnectorError]:
        rig = self.rig
        return list(await rig.connector.update_many(rig.table, changes, rig.asked, within_seconds=seconds))

    async def made(self, count: int) -> list[Record]:
        """So many records in the system."""
        return [one for one in await self.create(self.wanted(count)) if isinstance(one, Record)]

    def calls(self, path: str) -> int:
        """How many calls of a kind came in."""
        return self.rig.requests.count("POST", path)

    def strike(self, kind: FaultKind, path: str, **more: float) -> None:
        """Let one call go wrong."""
        seconds = {"seconds": 3600.0} if kind is FaultKind.STALL else {}
        self.rig.faults.add(FaultRule(kind, "POST", path, times=1, **seconds, **more))  # type: ignore[arg-type]  # mixed fields

    def stored(self) -> list[str]:
        """The names of what the tests made, in order."""
        return [name for name in map(str, self.rig.names()) if name.startswith("Company")]


def without_create_multiple() -> DataverseRig:
    """An organisation that offers no bulk messages for accounts."""
    return DataverseRig(DataverseOptions(application_users=(APPLICATION,), no_bulk_messages=("account",)))


KINDS = {
    "BusinessCentral": lambda: Bulk("BusinessCentral", BusinessCentralRig(), BATCH, 50),
    "BusinessCentral with the extension": lambda: Bulk("BusinessCentral with the extension", ExtendedRig(), BATCH, 50),
    "Dataverse": lambda: Bulk("Dataverse", DataverseRig(), TOGETHER, 100),
    "Dataverse without CreateMultiple": lambda: Bulk("Dataverse", without_create_multiple(), BATCH, 100),
}


@pytest.fixture(params=KINDS)
async def bulk(request: pytest.FixtureRequest) -> AsyncIterator[Bulk]:
    """Bulk writes of one connector over its sandbox, which must have understood every request."""
    made = KINDS[request.param]()
    await made.rig.start()
    yield made
    await made.rig.aclose()
    assert made.rig.requests.unforeseen() == []


async def test_many_records_are_created_in_few_calls(bulk: Bulk) -> None:
    """Each is answered as the system stored it, in the order in which they were given, and a read says the same."""
    results = await bulk.create(bulk.wanted(230))
    found = [one for one in results if isinstance(one, Record)]
    assert [one.values[bulk.rig.columns.name] for one in found] == [f"Company {at:03d}" for at in range(230)]
    assert bulk.calls(bulk.creates) == -(-230 // bulk.size)
    assert bulk.rig.sent("POST") == 0
    assert bulk.rig.sent("PATCH") == 0
    keys = [one.key for one in found[:3]]
    assert await bulk.rig.connector.read(bulk.rig.table, keys, bulk.rig.asked) == {one.key: one for one in found[:3]}


async def test_many_records_are_changed_in_few_calls(bulk: Bulk) -> None:
    """Each change on its own version; the answers carry the new ones."""
    made = await bulk.made(60)
    before = bulk.calls(BATCH)
    changes = [Change(one.key, {bulk.rig.columns.text: f"0471 {at}"}, one.version) for at, one in enumerate(made)]
    results = await bulk.update(changes)
    assert [one.values[bulk.rig.columns.text] for one in results if isinstance(one, Record)] == [
        f"0471 {at}" for at in range(60)
    ]
    assert all(isinstance(now, Record) and now.version != one.version for now, one in zip(results, made, strict=True))
    assert bulk.calls(BATCH) - before == -(-60 // bulk.size)
    assert bulk.rig.sent("PATCH") == 0


async def test_nothing_to_write_is_no_call(bulk: Bulk) -> None:
    """An empty list is answered with one."""
    assert await bulk.create([]) == await bulk.update([]) == []
    assert bulk.calls(BATCH) == bulk.calls(TOGETHER) == 0


async def test_one_bad_record_in_a_hundred_does_not_touch_its_neighbours(bulk: Bulk) -> None:
    """It is found in two calls more than all would have taken, and keeps its code and field."""
    records = bulk.wanted(100)
    records[63] = NewRecord(bulk.rig.values("Company " + "x" * 200, "CD-000063"), records[63].key)
    results = await bulk.create(records)
    assert isinstance(results[63], Refused)
    assert results[63].answer.vendor_code
    assert "xxx" not in str(results[63])
    assert sum(isinstance(one, Record) for one in results) == len(bulk.stored()) == 99
    calls = bulk.calls(BATCH) + bulk.calls(TOGETHER) + bulk.rig.sent("POST")
    assert calls <= -(-100 // bulk.size) + 2


async def test_a_taken_key_is_told_from_every_other_refusal(bulk: Bulk) -> None:
    """Those that exist already are told so, the others are created; nothing of the first is changed."""
    await bulk.made(2)
    results = await bulk.create([bulk.one("Company other", "CD-000001"), *bulk.wanted(3, first=2)])
    assert isinstance(results[0], AlreadyExists)
    assert all(isinstance(one, Record) for one in results[1:])
    assert bulk.stored() == [f"Company {at:03d}" for at in range(5)]


async def test_a_value_that_cannot_be_sent_stays_behind_alone(bulk: Bulk) -> None:
    """A reference that names nothing is refused by its column, before anything is asked."""
    behind = bulk.rig.columns.behind
    records = [*bulk.wanted(2), bulk.one("Company 002", "CD-000002", **{behind: "NOSUCH"})]
    results = await bulk.create(records)
    assert isinstance(results[2], Refused)
    assert results[2].answer.field == behind
    assert bulk.stored() == ["Company 000", "Company 001"]


async def test_each_change_is_bound_to_its_own_version(bulk: Bulk) -> None:
    """One was changed by somebody, one is gone, one takes whatever is there; each ends as a single update would."""
    first, edited, gone, loose = await bulk.made(4)
    await bulk.rig.person_renames(edited.key, "Company edited")
    await bulk.rig.person_renames(loose.key, "Company loose")
    await bulk.rig.person_deletes(gone.key)
    text = {bulk.rig.columns.text: "1"}
    changes = [Change(one.key, text, one.version) for one in (first, edited, gone)]
    results = await bulk.update([*changes, Change(loose.key, text), Change(UNKNOWN_KEY, text)])
    assert isinstance(results[0], Record)
    assert [type(one) for one in results[1:3]] == [VersionConflict, RecordMissing]
    assert isinstance(results[3], Record)
    assert (results[3].values[bulk.rig.columns.name], results[3].values[bulk.rig.columns.text]) == (
        "Company loose",
        "1",
    )
    assert isinstance(results[4], RecordMissing)
    assert bulk.stored() == ["Company 000", "Company edited", "Company loose"]


async def test_two_changes_of_one_record_meet_each_other(bulk: Bulk) -> None:
    """The second one still names the old version: it is too late."""
    (one,) = await bulk.made(1)
    changes = [Change(one.key, {bulk.rig.columns.text: text}, one.version) for text in ("1", "2")]
    first, second = await bulk.update(changes)
    assert isinstance(first, Record)
    assert isinstance(second, VersionConflict)


PERHAPS_EXECUTED = [
    FaultKind.LOST_ANSWER,
    FaultKind.HALF_BODY,
    FaultKind.GARBAGE,
    FaultKind.GATEWAY_TIMEOUT,
    FaultKind.STALL,
]


@pytest.mark.parametrize("kind", PERHAPS_EXECUTED)
async def test_creates_without_a_usable_answer_are_unknown_and_sent_once(bulk: Bulk, kind: FaultKind) -> None:
    """All of them may exist. Nothing is looked at and nothing repeated; the engine looks up."""
    await bulk.made(1)
    bulk.strike(kind, bulk.creates)
    before = bulk.calls(bulk.creates)
    results = await bulk.create(bulk.wanted(10, first=1))
    assert all(isinstance(one, UnknownResult) for one in results)
    assert bulk.calls(bulk.creates) == before + 1
    if kind is not FaultKind.GARBAGE:
        assert len(bulk.stored()) == 11


@pytest.mark.parametrize("kind", PERHAPS_EXECUTED)
async def test_changes_without_a_usable_answer_are_unknown_and_sent_once(bulk: Bulk, kind: FaultKind) -> None:
    """The same holds for changes."""
    made = await bulk.made(10)
    bulk.strike(kind, BATCH)
    before = bulk.calls(BATCH)
    results = await bulk.update([Change(one.key, {bulk.rig.columns.text: "1"}, one.version) for one in made])
    assert all(isinstance(one, UnknownResult) for one in results)
    assert bulk.calls(BATCH) == before + 1


async def test_records_of_a_lost_call_are_found_by_what_we_chose(bulk: Bulk) -> None:
    """By key, or by number; and creating them again meets them."""
    await bulk.made(1)
    bulk.strike(FaultKind.LOST_ANSWER, bulk.creates)
    lost = bulk.wanted(10, first=1)
    await bulk.create(lost)
    again = await bulk.create(lost)
    assert all(isinstance(one, AlreadyExists) for one in again)
    assert len(bulk.stored()) == 11


@pytest.mark.parametrize("kind", [FaultKind.REFUSED_CONNECTION, FaultKind.UNAVAILABLE])
async def test_a_system_that_is_away_executed_nothing(bulk: Bulk, kind: FaultKind) -> None:
    """Every record waits; nothing needs to be looked up."""
    await bulk.made(1)
    bulk.strike(kind, bulk.creates)
    results = await bulk.create(bulk.wanted(5, first=1))
    assert all(isinstance(one, SystemDown) for one in results)
    assert bulk.stored() == ["Company 000"]


class NoBatches(SandboxTransport):
    """A way to the system on which somebody refuses every batch as a whole."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/$batch"):
            return httpx.Response(413, request=request)
        return await super().handle_async_request(request)


def refusing_batches(rig: Rig) -> BusinessCentralConnector | DataverseConnector:
    """A connector to the rig's system by that way."""
    if isinstance(rig, DataverseRig):
        return rig.connect(ORGANIZATION, http=NoBatches(rig.sandbox.app))
    assert isinstance(rig, BusinessCentralRig)
    return rig.connect("Production", COMPANY, http=NoBatches(rig.sandbox.app))


async def test_records_of_a_batch_that_is_refused_as_a_whole_go_out_one_by_one(bulk: Bulk) -> None:
    """Nothing of the batch was written; each record still gets its own result, and none is there twice."""
    made = await bulk.made(2)
    rig = bulk.rig
    connector = refusing_batches(rig)
    await rig.person_renames(made[1].key, "Company edited")
    bad = bulk.one("Company " + "x" * 200, "CD-000009")
    created = await connector.create_many(rig.table, [*bulk.wanted(4), bad], rig.asked, within_seconds=MINUTES)
    assert [type(one) for one in created] == [AlreadyExists, AlreadyExists, Record, Record, Refused]
    text = {rig.columns.text: "1"}
    changes = [
        Change(made[0].key, text, made[0].version),
        Change(UNKNOWN_KEY, text),
        Change(made[1].key, text, made[1].version),
    ]
    changed = await connector.update_many(rig.table, changes, rig.asked, within_seconds=MINUTES)
    assert [type(one) for one in changed] == [Record, RecordMissing, VersionConflict]
    assert bulk.stored() == ["Company 000", "Company 002", "Company 003", "Company edited"]
    await connector.aclose()


async def test_a_throttled_call_waits_and_goes_out_again(bulk: Bulk) -> None:
    """429 was not executed; the wait is the system's wish."""
    await bulk.made(1)
    bulk.strike(FaultKind.THROTTLED, bulk.creates, retry_after_seconds=30)
    before = bulk.calls(bulk.creates)
    results = await bulk.create(bulk.wanted(5, first=1))
    assert all(isinstance(one, Record) for one in results)
    assert bulk.calls(bulk.creates) == before + 2


async def test_a_wait_that_does_not_fit_is_handed_up_for_every_record(bulk: Bulk) -> None:
    """The engine defers them for as long as the system wishes."""
    await bulk.made(1)
    bulk.strike(FaultKind.THROTTLED, bulk.creates, retry_after_seconds=300)
    results = await bulk.create(bulk.wanted(5, first=1), seconds=60)
    assert [one.retry_after for one in results if isinstance(one, Throttled)] == [timedelta(seconds=300)] * 5
    assert bulk.stored() == ["Company 000"]


async def test_what_does_not_get_its_turn_in_time_was_not_sent(bulk: Bulk) -> None:
    """The first call swallows all the time: its records are unknown, those of the next call certainly do not exist."""
    await bulk.made(1)
    bulk.strike(FaultKind.STALL, bulk.creates)
    records = bulk.wanted(bulk.size + 5, first=1)
    results = await bulk.create(records, seconds=60)
    assert all(isinstance(one, UnknownResult) for one in results[: bulk.size])
    assert all(isinstance(one, SystemDown | Throttled) for one in results[bulk.size :])
    assert len(bulk.stored()) == bulk.size + 1


async def test_a_slip_of_the_definition_is_told_before_anything_is_sent(bulk: Bulk) -> None:
    """It concerns no single record."""
    slip = NewRecord({"nosuchcolumn": "x"}, bulk.wanted(1)[0].key)
    with pytest.raises(UnknownColumn):
        await bulk.create([*bulk.wanted(2), slip])
    with pytest.raises(UnknownColumn):
        await bulk.update([Change(UNKNOWN_KEY, {"nosuchcolumn": "x"})])
    assert bulk.stored() == []


async def test_errors_carry_no_values(bulk: Bulk) -> None:
    """Vendors' texts quote values; errors must not."""
    results = await bulk.create([bulk.one("Confidential " * 30, "CD-000001"), *bulk.wanted(2, first=2)])
    assert isinstance(results[0], Refused)
    assert "Confidential" not in f"{results[0]} {results[0].__cause__} {results[0].__context__}"
