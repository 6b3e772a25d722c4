"""What follows from an error, and the ids of the copies that come again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import (
    AlreadyExists,
    BadAnswer,
    CrossdockError,
    ManualNumbersForbidden,
    NotAllowed,
    RecordMissing,
    Refused,
    SettingsError,
    SignInFailed,
    SystemDown,
    Throttled,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.sync.message import MAX_MESSAGE_ID, Message
from shared.sync.pipeline import deferred_copy
from shared.sync.ports import Side
from shared.sync.retrying import MAX_FAILURES, PATIENCE, Defer, Park, backoff, decide

MINUTE = timedelta(minutes=1)
TOO_OLD = PATIENCE + MINUTE
ERP = "business_central"
THROTTLED = Throttled(ERP, timedelta(seconds=40))


@pytest.mark.parametrize(
    ("error", "copies", "failures", "age", "decision"),
    [
        pytest.param(Refused(ERP), 0, 0, MINUTE, Park("CD-1008"), id="a refusal is for a person at once"),
        pytest.param(NotAllowed(ERP), 0, 0, MINUTE, Park("CD-1010"), id="a missing right too"),
        pytest.param(ManualNumbersForbidden(ERP), 0, 0, MINUTE, Park("CD-1009"), id="and a forbidden number"),
        pytest.param(UnknownColumn(ERP), 0, 0, MINUTE, Park("CD-1012"), id="and an unknown column"),
        pytest.param(Refused(ERP), 9, 9, TOO_OLD, Park("CD-1008"), id="a refusal keeps its code however old"),
        pytest.param(SystemDown(ERP), 0, 0, MINUTE, Defer(timedelta(seconds=2)), id="a system down is tried soon"),
        pytest.param(SystemDown(ERP), 3, 0, MINUTE, Defer(timedelta(seconds=16)), id="and later each time"),
        pytest.param(SystemDown(ERP), 99, 0, MINUTE, Defer(timedelta(minutes=15)), id="but at least every 15 minutes"),
        pytest.param(SignInFailed(ERP), 1, 0, MINUTE, Defer(timedelta(seconds=4)), id="a refused sign-in likewise"),
        pytest.param(BadAnswer(ERP), 1, 0, MINUTE, Defer(timedelta(seconds=4)), id="an unreadable answer likewise"),
        pytest.param(UnknownResult(ERP), 1, 7, MINUTE, Defer(timedelta(seconds=4)), id="a lost answer is no failure"),
        pytest.param(VersionConflict(ERP), 1, 7, MINUTE, Defer(timedelta(seconds=4)), id="nor is somebody's edit"),
        pytest.param(SettingsError(), 1, 7, MINUTE, Defer(timedelta(seconds=4)), id="nor a setting to be mended"),
        pytest.param(THROTTLED, 5, 0, MINUTE, Defer(timedelta(seconds=42)), id="a throttled call waits as asked"),
        pytest.param(SystemDown(ERP), 5, 0, TOO_OLD, Park("CD-4401"), id="patience ends after days"),
        pytest.param(THROTTLED, 5, 0, TOO_OLD, Park("CD-4401"), id="also with a throttling system"),
        pytest.param(KeyError(), 3, 0, MINUTE, Defer(timedelta(seconds=2), failed=True), id="the unforeseen counts"),
        pytest.param(KeyError(), 3, 6, MINUTE, Defer(timedelta(seconds=128), failed=True), id="seven times"),
        pytest.param(KeyError(), 3, 7, MINUTE, Park("CD-4402"), id="and is for the developers at the eighth"),
        pytest.param(AlreadyExists(ERP), 0, 7, MINUTE, Park("CD-1007"), id="a known error keeps its own code"),
        pytest.param(RecordMissing(ERP), 0, 0, MINUTE, Defer(timedelta(seconds=2), True), id="but is tried before"),
    ],
)
def test_each_error_has_its_decision(
    error: Exception, copies: int, failures: int, age: timedelta, decision: Defer | Park
) -> None:
    """fraction 1 gives the whole delay."""
    assert decide(error, copies, failures, age, 1.0) == decision


@given(
    kind=st.sampled_from([SystemDown, UnknownResult, VersionConflict, AlreadyExists, RecordMissing]),
    copies=st.integers(0, 200),
    failures=st.integers(0, 20),
    hours=st.integers(0, 200),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_every_error_ends_sooner_or_later_and_never_spins(
    kind: type[SystemDown], copies: int, failures: int, hours: int, fraction: float
) -> None:
    """At least a second between tries; after three days, or eight unforeseen errors, a person is asked."""
    decision = decide(kind(ERP), copies, failures, timedelta(hours=hours), fraction)
    if isinstance(decision, Defer):
        assert timedelta(seconds=1) <= decision.delay <= timedelta(minutes=15)
        assert timedelta(hours=hours) <= PATIENCE
        assert not decision.failed or failures + 1 < MAX_FAILURES
    else:
        assert decision.code in {"CD-4401", kind.code}


@given(times=st.integers(0, 1000), fraction=st.floats(0, 1, exclude_max=True))
def test_delays_grow_and_spread_over_their_upper_half(times: int, fraction: float) -> None:
    """So a thousand messages that failed together do not come back together."""
    whole = backoff(times, 1.0)
    assert whole / 2 <= backoff(times, fraction) <= whole <= backoff(times + 1, 1.0)


# --- copies ---------------------------------------------------------------------------------------


def a_message(keys: tuple[str, ...], change_id: str = "walk/1", attempt: int = 0) -> Message:
    """A message of a walk."""
    return Message(
        transfer="account_to_business_central",
        side=Side.LEFT,
        table="account",
        keys=keys,
        cause="walk",
        occurred_at=datetime(2026, 1, 5, tzinfo=UTC),
        attempt=attempt,
        correlation_id="c",
        change_id=change_id,
    )


def test_no_two_copies_for_different_keys_have_one_id_nor_that_of_the_original() -> None:
    """Else the queue's duplicate detection would swallow a retry."""
    original = a_message(("1", "2", "3", "4"))
    subsets = [keys for size in range(1, 5) for keys in combinations(original.keys, size)]
    ids = [deferred_copy(original, keys, failed=False).message_id() for keys in subsets]
    assert len({*ids, original.message_id()}) == len(subsets) + 1


@given(data=st.data())
def test_copies_of_copies_have_ids_of_their_own(data: st.DataObject) -> None:
    """Any chain of shrinking subsets: no id comes twice on it, the attempts are counted, the ids fit."""
    message = a_message(tuple(str(n) for n in range(6)), change_id=data.draw(st.sampled_from(["walk/1", "x" * 500])))
    ids = [message.message_id()]
    for _ in range(5):
        some = data.draw(st.sets(st.sampled_from(message.keys), min_size=1))
        copy = deferred_copy(message, [key for key in message.keys if key in some], failed=data.draw(st.booleans()))
        assert copy.attempt == message.attempt + 1
        message = copy
        ids.append(message.message_id())
    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= MAX_MESSAGE_ID


def test_a_copy_keeps_everything_but_attempt_failures_and_keys() -> None:
    """Age and correlation stay those of the change."""
    original = a_message(("1", "2"))
    copy = deferred_copy(original, ["2"], failed=True)
    assert (copy.keys, copy.attempt, copy.failures) == (("2",), 1, 1)
    assert (copy.occurred_at, copy.correlation_id) == (original.occurred_at, original.correlation_id)
    assert deferred_copy(copy, ["2"], failed=False).failures == 1


def test_the_same_change_announced_twice_has_one_id() -> None:
    """And a deferred copy of it another."""
    one, other = a_message(("1",), "notice/7"), a_message(("1",), "notice/7")
    assert one.message_id() == other.message_id() == "notice/7"
    assert a_message(("1",), "notice/7", attempt=1).message_id() == "notice/7/1"


def test_every_error_says_what_to_do() -> None:
    """Sentence, person and remedy are never empty."""
    found, waiting = set[type[CrossdockError]](), [CrossdockError]
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += one.__subclasses__()
    assert all(one.sentence and one.remedy and one.who for one in found)
