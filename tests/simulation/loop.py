"""An event loop whose time is virtual: it jumps to the next timer as soon as nothing else is left to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

Result = TypeVar("Result")

EPOCH = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class Stuck(Exception):
    """Nothing can ever happen again, and the simulation is not at its end."""


class _JumpingSelector(selectors.SelectSelector):
    """Instead of waiting for the next timer it moves the loop's clock there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Stuck
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only by sleeping; a simulated day takes as long as its work."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopClock:
    """The engine's clock on the virtual loop."""

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


class SteppedClock:
    """A clock that its driver moves on; sleeping moves it too. For runs in which only one thing happens at a time."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        self._seconds += max(seconds, 0)
        await asyncio.sleep(0)

    def step_to(self, event: datetime | None, most_seconds: float) -> None:
        """Go to the next event, but at most this far, and at least a little."""
        ahead = most_seconds if event is None else (event - self.now()).total_seconds()
        self._seconds += min(max(ahead, 0.001), most_seconds)


def run_virtually(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a fresh virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
