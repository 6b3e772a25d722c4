"""Times on a wall whose clock is put forward in spring and back in autumn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.values import UnfitValue
from shared.connectors.zones import earliest_wall, moment_of, wall_of, zone_of

ROME = zone_of("Europe/Rome")


@given(st.integers(0, 4 * 365 * 24 * 60))
def test_what_is_written_is_read_as_the_same_moment_or_not_written(minutes: int) -> None:
    """So no record is written again and again."""
    moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    try:
        assert moment_of(wall_of(moment, ROME), ROME) == moment
    except UnfitValue:
        assert moment.month == 10


def test_a_time_that_is_skipped_or_shown_twice_is_always_the_same_moment() -> None:
    """In spring as if the clock went on, in autumn the first; the second of autumn is refused."""
    assert moment_of(datetime.fromisoformat("2026-03-29T02:30"), ROME) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert moment_of(datetime.fromisoformat("2026-10-25T02:30"), ROME) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    with pytest.raises(UnfitValue, match="set back"):
        wall_of(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), ROME)


@given(st.integers(0, 4 * 60), st.integers(0, 6 * 60))
def test_nothing_that_comes_later_is_shown_earlier(minutes: int, later: int) -> None:
    """What is asked for by the wall from a moment on misses none of what has been stamped since, in autumn either."""
    moment = datetime(2026, 10, 24, 23, 0, tzinfo=UTC) + timedelta(minutes=minutes)
    then = (moment + timedelta(minutes=later)).astimezone(ROME).replace(tzinfo=None)
    assert earliest_wall(moment, ROME) <= then
