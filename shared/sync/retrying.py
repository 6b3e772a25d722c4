"""What to do after an error: a pure decision. Attempts travel in the message; waiting for something is no attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from shared.errors import (
    CrossdockError,
    FileUnfit,
    NotMastered,
    Refused,
    SettingsError,
    SystemDown,
    Throttled,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)

PATIENCE = timedelta(days=3)
"""How long a change may be deferred before a person is asked."""

MAX_FAILURES = 8
"""How many unforeseen errors in a row a message survives before a person is asked."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Try again after `delay`. failed: the try counts against MAX_FAILURES."""

    delay: timedelta
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Park:
    """Ask a person; `code` of the catalogue or of the error."""

    code: str


def decide(error: Exception, copies: int, failures: int, age: timedelta, fraction: float) -> Defer | Park:
    """Decide about an error.

    copies: how often the change was deferred already; failures: how many of those were unforeseen errors; age: since
    the change occurred; fraction: chance in [0, 1) that spreads the delays of many messages.
    """
    if isinstance(error, (Refused, UnknownColumn)):
        return Park(error.code)
    if age > PATIENCE:
        return Park("CD-4401")
    if isinstance(error, Throttled):
        return Defer(error.retry_after + backoff(0, fraction))
    if isinstance(error, (SystemDown, UnknownResult, VersionConflict, FileUnfit, NotMastered, SettingsError)):
        return Defer(backoff(copies, fraction))
    if failures + 1 >= MAX_FAILURES:
        return Park(error.code if isinstance(error, CrossdockError) else "CD-4402")
    return Defer(backoff(failures, fraction), failed=True)


def backoff(times: int, fraction: float, first_seconds: float = 2.0, most_seconds: float = 900.0) -> timedelta:
    """Exponential delay with full spread over its upper half: 1 to 2, 2 to 4, 4 to 8 seconds … up to 15 minutes."""
    whole = min(most_seconds, first_seconds * 2 ** min(times, 20))
    return timedelta(seconds=whole * (0.5 + fraction / 2))
