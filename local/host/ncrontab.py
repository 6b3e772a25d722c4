"""The schedules of timer triggers: NCRONTAB, as the .NET library NCrontab reads it.

Six fields, `{second} {minute} {hour} {day} {month} {day-of-week}`; five fields leave the seconds out (they are 0).
Facts from Microsoft Learn, 'Timer trigger for Azure Functions', and from the source of NCrontab and of the Functions
timer extension. Where NCrontab differs from Unix cron:

- day and day-of-week must *both* match (cron: either, when both are given);
- Sunday is 0, and 7 is refused;
- names of months and days may be shortened to any length (`J` is January); the first that fits counts;
- `5/10` means 5, 15, 25 ... to the end of the field; `20-5` is read as `5-20`.

An own reader, because cron packages for Python follow Unix cron in the first two points.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_HORIZON_DAYS = 366 * 41
"""29 February on a given weekday comes back after at most 40 years (across 2100); later than that means never."""


class BadSchedule(ValueError):
    """The text is no schedule; the message says which field and what it may hold."""


@dataclass(frozen=True, slots=True)
class _Field:
    """What one field may hold."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule that was read; `seconds` ... `weekdays` are the values each field allows, in order."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next_after(self, moment: datetime) -> datetime:
        """Return the first occurrence later than `moment` (aware; the answer is in UTC).

        Raises BadSchedule when there is none within 41 years, such as for 30 February.
        """
        earliest = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        day = earliest.replace(hour=0, minute=0, second=0)
        for _ in range(_HORIZON_DAYS):
            if self._has_day(day):
                found = self._first_time(day, earliest)
                if found is not None:
                    return found
            day += timedelta(days=1)
        raise BadSchedule(f"{self.text!r} never happens: no day of the calendar fits day, month and day-of-week.")

    def shortest_gap_under(self, limit: timedelta, now: datetime) -> bool:
        """Return whether the next two occurrences lie closer together than `limit`."""
        first = self.next_after(now)
        return self.next_after(first) - first < limit

    def _has_day(self, day: datetime) -> bool:
        """Both the day and the weekday must fit; Python counts Monday as 1 here, Sunday as 7, NCRONTAB as 0."""
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _first_time(self, day: datetime, earliest: datetime) -> datetime | None:
        """Return the first time of that day which is not before `earliest`."""
        for hour in self.hours:
            if day.replace(hour=hour, minute=59, second=59) < earliest:
                continue
            for minute in self.minutes:
                if day.replace(hour=hour, minute=minute, second=59) < earliest:
                    continue
                for second in self.seconds:
                    moment = day.replace(hour=hour, minute=minute, second=second)
                    if moment >= earliest:
                        return moment
        return None


def parse(text: str) -> Schedule:
    """Read a schedule of five or six fields.

    Raises BadSchedule naming the field and what it may hold; also for schedules that never happen and for .NET time
    spans (`00:05:00`), which only dedicated plans take (Microsoft Learn, 'Timer trigger for Azure Functions').
    """
    if re.fullmatch(r"(\d+\.)?\d+:\d+:\d+", text.strip()):
        raise BadSchedule(f"{text!r} is a time span, which only dedicated plans take; write six NCRONTAB fields.")
    parts = text.split()
    if len(parts) not in (5, 6):
        raise BadSchedule(f"{text!r} has {len(parts)} fields; NCRONTAB has six: second minute hour day month weekday.")
    if len(parts) == 5:
        parts = ["0", *parts]
    seconds, minutes, hours, days, months, weekdays = (
        _values(field, part) for field, part in zip(_FIELDS, parts, strict=True)
    )
    schedule = Schedule(
        text,
        tuple(sorted(seconds)),
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(weekdays),
    )
    schedule.next_after(datetime(2024, 1, 1, tzinfo=UTC))
    return schedule


def _values(field: _Field, text: str) -> set[int]:
    """Return what a field allows: a list of `*`, a value, a range, each with an optional step."""
    found: set[int] = set()
    for item in text.split(","):
        found |= _item(field, item)
    return found


def _item(field: _Field, text: str) -> set[int]:
    span, slash, step_text = text.partition("/")
    step = _step(field, text, step_text) if slash else 1
    if span == "*":
        return set(range(field.first, field.last + 1, step))
    low_text, dash, high_text = span.partition("-")
    low = _value(field, low_text)
    end = field.last if slash else low
    high = _value(field, high_text) if dash else end
    low, high = min(low, high), max(low, high)
    return set(range(low, high + 1, step))


def _step(field: _Field, text: str, step: str) -> int:
    if not step.isascii() or not step.isdigit() or int(step) == 0:
        raise BadSchedule(f"{field.name}: {text!r} needs a whole number above 0 after the stroke.")
    return int(step)


def _value(field: _Field, text: str) -> int:
    if text.isascii() and text.isdigit():
        if not field.first <= int(text) <= field.last:
            raise BadSchedule(f"{field.name}: {text} is not between {field.first} and {field.last}{_hint(field)}.")
        return int(text)
    for offset, name in enumerate(field.names):
        if text and name.lower().startswith(text.lower()):
            return field.first + offset
    allowed = f"{field.first} to {field.last}" + (" or an English name" if field.names else "")
    raise BadSchedule(f"{field.name}: {text!r} is no value; allowed are {allowed}, lists, ranges and steps.")


def _hint(field: _Field) -> str:
    return " (Sunday is 0)" if field.name == "day-of-week" else ""
