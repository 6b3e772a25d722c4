"""Dividing what a system allows: never more than there is, small wishes whole, and everybody's turn comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.allotment import (
    LEASE,
    MARGIN,
    TURN,
    Allowed,
    Ask,
    Level,
    Pace,
    Waiting,
    allot,
    fair_shares,
    minimal,
    still_valid,
    whose_turn,
)
from shared.sync.ports import Hold

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
_wishes = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(0, 12), max_size=10)


def hold(holder: str, permits: int, wish: int, until: datetime = NOW + LEASE) -> Hold:
    return Hold(holder, permits, wish, permits * 100, wish * 100, until)


@given(wishes=_wishes, total=st.integers(0, 60), turn=st.integers(0, 50))
def test_shares_never_exceed_the_total_nor_a_wish_and_leave_nothing_over(
    wishes: dict[str, int], total: int, turn: int
) -> None:
    """As much is given as is wished for and there is; nobody who wants more gets less than another who wants more."""
    shares = fair_shares(wishes, total, turn)
    assert all(0 <= shares[name] <= wish for name, wish in wishes.items())
    assert sum(shares.values()) == min(total, sum(wishes.values()))
    unhappy = [shares[name] for name, wish in wishes.items() if shares[name] < wish]
    assert all(max(shares.values()) - share <= 1 for share in unhappy)


def test_small_wishes_are_granted_whole() -> None:
    """Who needs one gets one; the busy ones divide the rest."""
    assert fair_shares({"a": 1, "b": 9, "c": 9}, 5) == {"a": 1, "b": 2, "c": 2}


def test_with_more_processes_than_permits_everybodys_turn_comes() -> None:
    """Within as many turns as there are processes each has had a permit."""
    wishes = {f"p{number}": 3 for number in range(8)}
    rounds = [fair_shares(wishes, 5, turn) for turn in range(8)]
    assert all(sum(shares.values()) == 5 for shares in rounds)
    assert all(any(shares[name] for shares in rounds) for name in wishes)


@given(
    others=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(-60, 60)), max_size=6),
    in_use=st.integers(0, 5),
    wish=st.integers(1, 9),
)
def test_only_what_nobody_holds_is_taken(others: list[tuple[int, int, int]], in_use: int, wish: int) -> None:
    """Whatever the others hold, wish for, or held until lately: with what they hold it is never more than allowed."""
    holds = [
        hold(f"other{place}", permits, asked, NOW + timedelta(seconds=seconds))
        for place, (permits, asked, seconds) in enumerate(others)
    ]
    share, mine = allot(holds, Ask("me", in_use, wish, wish * 100), 5, 500, NOW)
    held = sum(one.permits for one in still_valid(holds, NOW))
    assert share.permits == 0 or share.permits + held <= 5
    assert share.pace == 0 or share.pace + sum(one.pace for one in still_valid(holds, NOW)) <= 500
    assert mine.permits == max(share.permits, in_use)
    assert mine.until == NOW + LEASE


def test_a_newcomer_gets_what_is_free_and_the_others_give_back_down_to_their_share() -> None:
    """First nothing is free; after the other's next turn there is; what he still uses stays his until it is done."""
    alone = hold("a", 5, 5)
    share, b = allot([alone], Ask("b", 0, 5), 5, 500, NOW)
    assert share.permits == 0
    share, a = allot([alone, b], Ask("a", 4, 5), 5, 500, NOW)
    assert (share.permits, a.permits) == (3, 4)
    share, b = allot([a, b], Ask("b", 0, 5), 5, 500, NOW)
    assert share.permits == 1
    _, a = allot([a, b], Ask("a", 3, 5), 5, 500, NOW)
    share, _ = allot([a, b], Ask("b", 1, 5), 5, 500, NOW)
    assert share.permits == 2


def test_a_lapsed_hold_is_free_after_a_margin_for_clocks_that_differ() -> None:
    """A killed process's share comes back after its lease, and not a moment before."""
    dead = hold("dead", 5, 5, NOW)
    assert allot([dead], Ask("me", 0, 5), 5, 500, NOW + MARGIN - timedelta(seconds=1))[0].permits == 0
    assert allot([dead], Ask("me", 0, 5), 5, 500, NOW + MARGIN)[0].permits == 5


def test_the_turn_moves_on_with_time() -> None:
    """Of six processes that want the five permits another one goes without as time passes."""
    names = [f"p{number}" for number in range(6)]
    wishing = [hold(name, 0, 1) for name in names]
    without = set()
    for turn in range(6):
        now = NOW + turn * TURN
        fresh = [Hold(one.holder, 0, 1, 0, 0, now + LEASE) for one in wishing]
        without |= {name for name in names if allot(fresh, Ask(name, 0, 1), 5, 0, now)[0].permits == 0}
    assert without == set(names)


def test_without_the_store_there_is_one_request_at_a_time_and_a_tenth_of_the_pace() -> None:
    """The smallest share of a system with a pace, and of one without."""
    assert (minimal(1188).permits, minimal(1188).pace) == (1, 118)
    assert (minimal(0).permits, minimal(0).pace) == (1, 0)


def test_a_complaint_halves_the_level_and_time_raises_it_by_one() -> None:
    """Only when as many as allowed were under way, and never above the ceiling."""
    level = Level(8, 8).complained(10)
    assert level.value == 4
    assert level.answered(14, reached=True).value == 4
    assert level.answered(15, reached=False).value == 4
    assert level.answered(15, reached=True).value == 5
    assert Level(1, 8).complained(0).value == 1
    assert Level(8, 8).answered(100, reached=True).value == 8


@pytest.mark.parametrize(("hint", "level"), [(2, 2), (4, 4), (9, 4)])
def test_a_hint_is_obeyed_at_once_downwards_and_slowly_upwards(hint: int, level: int) -> None:
    """More room is filled one by one."""
    allowed = Allowed(at_once=52, hint_header="x", unhinted=4)
    assert Level(4, 4).under(allowed.hinted(hint)).value == level
    assert allowed.hinted(99) == 52
    assert allowed.hinted(0) == 1


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 3)), min_size=1, max_size=200))
def test_no_window_holds_more_than_the_pace_and_one_burst(arrivals: list[tuple[float, int]]) -> None:
    """Requests that come whenever they like leave at 60 in a minute; a rest makes up for at most one second."""
    now, pace, sent = 0.0, Pace.empty(0.0), list[tuple[float, int]]()
    for pause, weight in arrivals:
        now += pause
        now += pace.wait(now, weight, 60)
        pace = pace.sent(now, weight, 60)
        sent.append((now, weight))
    for start, _ in sent:
        within = sum(weight for at, weight in sent if start <= at < start + 30)
        assert within <= 30 + 1 + 1  # the pace, the burst, and the request that begins the window


def test_a_new_hold_has_nothing_to_make_up_for() -> None:
    """The first request goes at once, the second in its time."""
    pace = Pace.empty(100.0)
    assert pace.wait(100.0, 1, 1200) == 0.0
    assert pace.sent(100.0, 1, 1200).wait(100.0, 1, 1200) == pytest.approx(0.05)


def test_a_batch_is_saved_up_for_before_it_goes() -> None:
    """A hundred at twenty in a second take five seconds, of which the burst and its own moment are given. After it
    things go on at the pace, and not slower."""
    pace = Pace.empty(1000.0)
    assert pace.wait(1000.0, 20, 1200) == pytest.approx(19 / 20)
    assert pace.wait(1000.0, 100, 1200) == pytest.approx(99 / 20)
    assert Pace(0.0).wait(1000.0, 100, 1200) == 0.0
    after = Pace(0.0).sent(1000.0, 100, 1200)
    assert after.wait(1000.0, 1, 1200) == pytest.approx(1 / 20)
    assert after.wait(1000.0, 100, 1200) == pytest.approx(100 / 20)


def test_a_single_request_does_not_use_up_what_is_saved_for_a_batch() -> None:
    """Both have gone when the pace alone would have let them; nothing of the time is lost to the one in between."""
    now, per_minute = 1000.0, 1200
    batch_alone = Pace.empty(now).wait(now, 50, per_minute)
    for saved_for, lost in ((50, 1 / 20), (1, 1 / 20 + 1.0)):
        pace = Pace.empty(now).sent(now + 2.0, 1, per_minute, saved_for)
        assert 2.0 + pace.wait(now + 2.0, 50, per_minute) == pytest.approx(batch_alone + lost)


def test_a_single_request_goes_before_a_batch_until_as_many_have_as_the_batch_counts() -> None:
    """Among batches, and among single requests, it is who came first."""
    assert whose_turn([Waiting(1), Waiting(1)]) == 0
    assert whose_turn([Waiting(50), Waiting(3), Waiting(50)]) == 0
    assert whose_turn([Waiting(50), Waiting(50), Waiting(1), Waiting(1)]) == 2
    assert whose_turn([Waiting(50, passed_by=49), Waiting(1)]) == 1
    assert whose_turn([Waiting(50, passed_by=50), Waiting(1)]) == 0
