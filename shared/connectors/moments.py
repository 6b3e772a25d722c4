"""Watermarks of feeds that are in the order of time."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.errors import FeedExpired

_MOMENT = "at "


def watermark_of(at: datetime) -> str:
    """The watermark that stands for a moment."""
    return f"{_MOMENT}{iso(at)}"


def moment_of(system: str, watermark: str) -> datetime:
    """The moment that a watermark stands for; raises FeedExpired for one that stands for none."""
    try:
        moment = datetime.fromisoformat(watermark.removeprefix(_MOMENT))
    except ValueError:
        moment = None
    if not watermark.startswith(_MOMENT) or moment is None or moment.tzinfo is None:
        raise FeedExpired(system)
    return moment.astimezone(UTC)


def earlier(system: str, at: datetime, no_later_than: str | None) -> str:
    """The watermark of a moment, or the other one if that stands for an earlier one. Raises FeedExpired."""
    if no_later_than is not None and moment_of(system, no_later_than) <= at:
        return no_later_than
    return watermark_of(at)


def iso(at: datetime) -> str:
    """A moment in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
