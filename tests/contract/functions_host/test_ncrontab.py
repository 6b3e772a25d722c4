"""Schedules mean here what they mean in Azure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.ncrontab import BadSchedule, parse

START = datetime(2026, 3, 2, 9, 1, 30, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("text", "times"),
    [
        # The examples of Microsoft Learn, 'Timer trigger for Azure Functions'.
        ("0 */5 * * * *", ["2026-03-02 09:05:00", "2026-03-02 09:10:00"]),
        ("0 0 * * * *", ["2026-03-02 10:00:00", "2026-03-02 11:00:00"]),
        ("0 0 */2 * * *", ["2026-03-02 10:00:00", "2026-03-02 12:00:00"]),
        ("0 0 9-17 * * *", ["2026-03-02 10:00:00", "2026-03-02 11:00:00"]),
        ("0 30 9 * * *", ["2026-03-02 09:30:00", "2026-03-03 09:30:00"]),
        ("0 30 9 * * 1-5", ["2026-03-02 09:30:00", "2026-03-03 09:30:00"]),
        ("0 30 9 * Jan Mon", ["2027-01-04 09:30:00", "2027-01-11 09:30:00"]),
        ("0 5 * * * *", ["2026-03-02 09:05:00", "2026-03-02 10:05:00"]),
        ("5 * * * * *", ["2026-03-02 09:02:05", "2026-03-02 09:03:05"]),
        ("5-7 * * * * *", ["2026-03-02 09:02:05", "2026-03-02 09:02:06", "2026-03-02 09:02:07", "2026-03-02 09:03:05"]),
        ("5,8,10 * * * * *", ["2026-03-02 09:02:05", "2026-03-02 09:02:08", "2026-03-02 09:02:10"]),
        ("0 0 0 * * Sunday", ["2026-03-08 00:00:00", "2026-03-15 00:00:00"]),
        # What differs from Unix cron.
        ("0 0 0 13 * 5", ["2026-03-13 00:00:00", "2026-11-13 00:00:00", "2027-08-13 00:00:00"]),
        ("40/10 * * * * *", ["2026-03-02 09:01:40", "2026-03-02 09:01:50", "2026-03-02 09:02:40"]),
        ("0 0 17-9/4 * * *", ["2026-03-02 13:00:00", "2026-03-02 17:00:00", "2026-03-03 09:00:00"]),
        ("0 0 0 1 dec,j *", ["2026-12-01 00:00:00", "2027-01-01 00:00:00"]),
        ("*/5 * * * *", ["2026-03-02 09:05:00", "2026-03-02 09:10:00"]),
        ("0 0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("0 0 0 31 * *", ["2026-03-31 00:00:00", "2026-05-31 00:00:00"]),
    ],
)
def test_a_schedule_gives_the_documented_times(text: str, times: list[str]) -> None:
    """The documented examples, and the places where NCRONTAB differs from Unix cron."""
    schedule, moment = parse(text), START
    for expected in times:
        moment = schedule.next_after(moment)
        assert f"{moment:%Y-%m-%d %H:%M:%S}" == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 0 0 * * 7", "day-of-week: 7 is not between 0 and 6 (Sunday is 0)"),
        ("0 60 * * * *", "minute: 60 is not between 0 and 59"),
        ("0 */0 * * * *", "minute: '*/0' needs a whole number above 0"),
        ("0 0 0 * Foo *", "month: 'Foo' is no value; allowed are 1 to 12 or an English name"),
        ("0 , * * * *", "minute: '' is no value"),
        ("0 0 0 ? * *", "day: '?' is no value"),
        ("* * * *", "has 4 fields"),
        ("00:05:00", "is a time span, which only dedicated plans take"),
        ("0 0 0 30 2 *", "never happens"),
    ],
)
def test_a_bad_schedule_is_refused_with_the_field(text: str, told: str) -> None:
    """Whoever writes a schedule learns which field is wrong and what it may hold."""
    with pytest.raises(BadSchedule) as refusal:
        parse(text)
    assert told in str(refusal.value)


@given(
    st.integers(0, 60 * 366 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds, microseconds=seconds % 7)),
    st.sampled_from(["0 */7 * * * *", "30 15 3 * * 1-5", "*/20 0-10 6,18 * * *", "0 0 12 1 */3 *", "5 5 5 31 * 0"]),
)
def test_the_next_time_is_later_and_fits(moment: datetime, text: str) -> None:
    """Whatever the moment, the next time lies after it, fits all fields, and is the same when asked just before it."""
    schedule = parse(text)
    found = schedule.next_after(moment)
    assert found > moment
    assert found.second in schedule.seconds
    assert found.minute in schedule.minutes
    assert found.hour in schedule.hours
    assert found.day in schedule.days
    assert found.month in schedule.months
    assert found.isoweekday() % 7 in schedule.weekdays
    assert schedule.next_after(found - timedelta(microseconds=1)) == found
    assert schedule.next_after(found) > found
