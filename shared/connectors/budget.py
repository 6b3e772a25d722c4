"""The time that one write may take, from looking up what its body needs to understanding the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import Answer, ConnectorError, CrossdockError, SystemDown, UnknownResult
from shared.sync.ports import Clock


class Budget:
    """Seconds shared by the steps of one write; what runs out, and when, decides the error."""

    def __init__(self, system: str, clock: Clock, seconds: float) -> None:
        self._system = system
        self._clock = clock
        self._ends_at = clock.monotonic() + seconds

    def left(self) -> float:
        """Seconds left; may be negative."""
        return self._ends_at - self._clock.monotonic()

    @asynccontextmanager
    async def preparing(self) -> AsyncIterator[None]:
        """Steps before the write is sent: out of time means SystemDown, nothing was written."""
        try:
            async with asyncio.timeout(self.left()):
                yield
        except TimeoutError:
            raise SystemDown(self._system) from None

    @asynccontextmanager
    async def understanding(self) -> AsyncIterator[None]:
        """Steps after the write was executed: whatever fails now, the caller does not know what was stored."""
        try:
            async with asyncio.timeout(max(self.left(), 0.001)):
                yield
        except TimeoutError:
            raise UnknownResult(self._system) from None
        except CrossdockError as error:
            answer = error.answer if isinstance(error, ConnectorError) else Answer()
            raise UnknownResult(self._system, answer) from error
