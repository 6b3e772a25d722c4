"""An edit as one text: its moment and who made it, so that of two edits the later one is the greater text."""

from __future__ import annotations

from datetime import UTC, datetime


def edit(at: datetime, who: str) -> str:
    """An edit as one text."""
    return f"{at.astimezone(UTC).isoformat(timespec='milliseconds')} {who}"


def newer(one: str, other: str) -> str:
    """The later of two edits; an empty text is none."""
    return max(one, other)


def moment_of(told: str) -> str:
    """When it was; texts of the same form, so that they compare like times."""
    return told.partition(" ")[0]


def who_of(told: str) -> str:
    """Who made it; empty where there is none."""
    return told.partition(" ")[2]
