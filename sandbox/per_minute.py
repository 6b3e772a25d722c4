"""How many requests a system takes within a minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

from sandbox.clock import Clock

MINUTE = timedelta(minutes=1)


class PerMinute:
    """Counts requests of the last minute. most: how many may be among them, asked each time; 0 is no limit."""

    def __init__(self, clock: Clock, most: Callable[[], int]) -> None:
        self._clock = clock
        self._most = most
        self._taken: deque[datetime] = deque()

    def seconds_to_wait(self) -> float:
        """Count a request that comes now, and return 0; where there is no room, return how long there is none."""
        most = self._most()
        if not most:
            return 0
        now = self._clock.now()
        while self._taken and self._taken[0] <= now - MINUTE:
            self._taken.popleft()
        if len(self._taken) >= most:
            return (self._taken[0] + MINUTE - now).total_seconds()
        self._taken.append(now)
        return 0

    def clear(self) -> None:
        """Forget what has been counted."""
        self._taken.clear()
