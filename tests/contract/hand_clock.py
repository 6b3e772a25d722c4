"""The clock of a sandbox whose contract is tested."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.clock import Clock


class HandClock(Clock):
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def move(self, **time: float) -> None:
        self._now += timedelta(**time)
