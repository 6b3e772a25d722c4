"""What every connector says when the network or the system fails in the middle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from sandbox.faults import FaultKind
from shared.errors import BadAnswer, ConnectorError, SystemDown, Throttled, UnknownResult
from tests.contract.connectors.rigs import UNKNOWN_KEY, Rig
from tests.contract.connectors.test_records import create

Act = Callable[[Rig], Awaitable[object]]


async def warmed(rig: Rig) -> str:
    """A record's key, with metadata known and a token at hand, so that the fault strikes the request meant."""
    return (await create(rig, "Aurora Milling", seed="warm")).key


async def read(rig: Rig) -> object:
    return await rig.connector.read(rig.table, [UNKNOWN_KEY], rig.asked)


async def read_many(rig: Rig) -> object:
    return await rig.connector.read(rig.table, [UNKNOWN_KEY, UNKNOWN_KEY.replace("9", "8")], rig.asked)


async def find(rig: Rig) -> object:
    return await rig.connector.find(rig.table, rig.columns.name, ["x"], rig.asked)


async def feed(rig: Rig) -> object:
    return [page async for page in rig.connector.changes(rig.table, None, rig.asked)]


async def make(rig: Rig) -> object:
    return await create(rig, "Borealis Milling")


READS = pytest.mark.parametrize("act", [read, read_many, find, feed])
NEVER_EXECUTED = [FaultKind.REFUSED_CONNECTION, FaultKind.UNAVAILABLE]
PERHAPS_EXECUTED = [
    FaultKind.LOST_ANSWER,
    FaultKind.HALF_BODY,
    FaultKind.GARBAGE,
    FaultKind.GATEWAY_TIMEOUT,
    FaultKind.SERVER_ERROR,
    FaultKind.STALL,
]


def create_method(rig: Rig) -> str:
    return "PATCH" if rig.connector.capabilities(rig.table).chooses_key else "POST"


def after_write(rig: Rig, kind: FaultKind) -> type[ConnectorError]:
    """What a write may say; a 500 that names a rolled back transaction is certain."""
    return SystemDown if kind is FaultKind.SERVER_ERROR and rig.rolls_back_on_500 else UnknownResult


def strike(rig: Rig, kind: FaultKind, method: str) -> None:
    rig.strike(kind, method, seconds=3600.0 if kind is FaultKind.STALL else 0.0)


@READS
@pytest.mark.parametrize("kind", [*NEVER_EXECUTED, *PERHAPS_EXECUTED])
async def test_a_failed_read_means_the_system_is_down(rig: Rig, kind: FaultKind, act: Act) -> None:
    """Whatever went wrong, the read is simply done again later; garbage is told from silence."""
    await warmed(rig)
    strike(rig, kind, "GET")
    with pytest.raises(SystemDown) as down:
        await act(rig)
    assert isinstance(down.value, BadAnswer) is (kind is FaultKind.GARBAGE)
    await act(rig)


@pytest.mark.parametrize("kind", PERHAPS_EXECUTED)
async def test_a_create_without_a_usable_answer_is_unknown_and_sent_once(rig: Rig, kind: FaultKind) -> None:
    """It may have been executed. The connector looks at nothing and repeats nothing; the engine looks up."""
    await warmed(rig)
    before = rig.sent(create_method(rig))
    strike(rig, kind, create_method(rig))
    with pytest.raises(after_write(rig, kind)):
        await make(rig)
    assert rig.sent(create_method(rig)) == before + 1


@pytest.mark.parametrize("kind", PERHAPS_EXECUTED)
async def test_an_update_without_a_usable_answer_is_unknown_and_sent_once(rig: Rig, kind: FaultKind) -> None:
    """The same holds for changes."""
    key = await warmed(rig)
    before = rig.sent("PATCH")
    strike(rig, kind, "PATCH")
    with pytest.raises(after_write(rig, kind)):
        await rig.connector.update(rig.table, key, {rig.columns.text: "1"}, rig.asked, version=None)
    assert rig.sent("PATCH") == before + 1


@pytest.mark.parametrize("kind", NEVER_EXECUTED)
async def test_a_write_that_was_certainly_not_executed_says_so(rig: Rig, kind: FaultKind) -> None:
    """Then nothing needs to be looked up: the system is down, and the write waits."""
    await warmed(rig)
    strike(rig, kind, create_method(rig))
    with pytest.raises(SystemDown) as down:
        await make(rig)
    assert not isinstance(down.value, BadAnswer)
    assert rig.names() == ["Aurora Milling"]


async def test_a_lost_answer_can_be_found_afterwards(rig: Rig) -> None:
    """The record is there: by the key we chose, or by the number we chose."""
    await warmed(rig)
    strike(rig, FaultKind.LOST_ANSWER, create_method(rig))
    with pytest.raises(UnknownResult):
        await create(rig, "Borealis Milling", "N7", seed="lost")
    if rig.connector.capabilities(rig.table).chooses_key:
        key = rig.connector.derived_key(rig.table, "lost", {})
        found = list((await rig.connector.read(rig.table, [key], rig.asked)).values())
    else:
        found = list(await rig.connector.find(rig.table, rig.columns.number, ["N7"], rig.asked))
    assert [record.values[rig.columns.name] for record in found] == ["Borealis Milling"]


async def test_a_create_ends_by_its_deadline(rig: Rig) -> None:
    """The caller's lease runs out with the deadline, so the call has to end by then."""
    await warmed(rig)
    began = rig.clock.monotonic()
    strike(rig, FaultKind.STALL, create_method(rig))
    with pytest.raises(UnknownResult):
        await rig.connector.create(
            rig.table,
            rig.values("Borealis Milling"),
            rig.asked,
            key=UNKNOWN_KEY if rig.connector.capabilities(rig.table).chooses_key else None,
            within_seconds=20,
        )
    assert rig.clock.monotonic() - began <= 20


@pytest.mark.parametrize("act", [read, find, make])
async def test_a_throttled_request_waits_and_goes_out_again(rig: Rig, act: Act) -> None:
    """429 was not executed; the wait is the system's wish."""
    await warmed(rig)
    method = create_method(rig) if act is make else "GET"
    rig.strike(FaultKind.THROTTLED, method, retry_after_seconds=9)
    before = rig.clock.monotonic()
    await act(rig)
    assert rig.clock.monotonic() - before == 9


async def test_a_wait_that_does_not_fit_is_handed_up(rig: Rig) -> None:
    """The engine defers for as long as the system wishes."""
    await warmed(rig)
    rig.strike(FaultKind.THROTTLED, "GET", retry_after_seconds=300)
    with pytest.raises(Throttled) as throttled:
        await read(rig)
    assert throttled.value.retry_after == timedelta(seconds=300)


async def test_an_expired_token_is_renewed_without_anybody_noticing(rig: Rig) -> None:
    """The sign-in service takes our token back early; the call is done all the same."""
    key = await warmed(rig)
    rig.clock.elapsed += 3500
    assert set(await rig.connector.read(rig.table, [key], [])) == {key}
    assert rig.issuer.issued == (2 if rig.shows_tokens else 0)


@pytest.mark.parametrize("kind", [*PERHAPS_EXECUTED, *NEVER_EXECUTED, FaultKind.THROTTLED])
async def test_what_fails_after_the_write_leaves_it_unknown(rig: Rig, kind: FaultKind) -> None:
    """The answer names a reference that has to be looked up; the write is done by then, whatever the look-up says."""
    key = await warmed(rig)
    await rig.connector.update(rig.table, key, {rig.columns.behind: rig.columns.behind_value}, [], version=None)
    rig.clock.elapsed += 3601
    await rig.connector.read(rig.table, [key], [rig.columns.name])
    before = rig.sent("PATCH")
    seconds = 3600.0 if kind is FaultKind.STALL else 0.0
    rig.strike_behind(kind, seconds)
    with pytest.raises(UnknownResult):
        await rig.connector.update(rig.table, key, {rig.columns.text: "1"}, rig.asked, version=None)
    assert rig.sent("PATCH") == before + 1


async def test_errors_name_the_system_and_carry_nothing_else(rig: Rig) -> None:
    """An error is logged and shown; it holds codes, never addresses or values."""
    await warmed(rig)
    strike(rig, FaultKind.LOST_ANSWER, create_method(rig))
    with pytest.raises(ConnectorError) as unknown:
        await make(rig)
    assert unknown.value.system == rig.connector.system
    assert "Borealis" not in str(unknown.value)
    assert "http" not in str(unknown.value)
