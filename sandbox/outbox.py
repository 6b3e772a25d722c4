"""Notices that wait for their time and are then sent, several at once, on the sandbox's clock."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Generic, TypeVar

from sandbox.clock import Clock

ItemT = TypeVar("ItemT")


class Outbox(Generic[ItemT]):
    """Holds items until they are due and hands each to `send` once.

    `send` deals with failures itself (a retry is a new `put`); what it raises is a defect of the sandbox and
    comes out of `deliver_due`, `flush` or `run`. At most `parallel` items are being sent at a time.
    """

    def __init__(self, clock: Clock, send: Callable[[ItemT], Awaitable[None]], *, parallel: int = 20) -> None:
        self._clock = clock
        self._send = send
        self._parallel = parallel
        self._heap: list[tuple[datetime, int, ItemT]] = []
        self._sequence = itertools.count()
        self._changed = asyncio.Event()

    def put(self, item: ItemT, due: datetime) -> None:
        """Let an item wait until `due`; items due at the same time leave in the order they came."""
        heapq.heappush(self._heap, (due, next(self._sequence), item))
        self._changed.set()

    def waiting(self) -> int:
        """Count the items that have not left yet."""
        return len(self._heap)

    def clear(self) -> None:
        """Forget everything that waits."""
        self._heap.clear()

    def next_due(self) -> datetime | None:
        """Return when the next item is due, or None when nothing waits."""
        return self._heap[0][0] if self._heap else None

    async def deliver_due(self) -> int:
        """Send everything that is due now; returns how many items were sent."""
        return await self._deliver(self._clock.now())

    async def flush(self) -> int:
        """Send everything that waits, due or not, in order of its time; returns how many items were sent."""
        return await self._deliver(None)

    async def run(self) -> None:
        """Send items as they fall due, until cancelled."""
        while True:
            await self._wait()
            await self.deliver_due()

    async def _deliver(self, until: datetime | None) -> int:
        sent = 0
        while batch := self._take(until):
            await asyncio.gather(*(self._send(item) for item in batch))
            sent += len(batch)
        return sent

    def _take(self, until: datetime | None) -> list[ItemT]:
        batch: list[ItemT] = []
        while self._heap and len(batch) < self._parallel and (until is None or self._heap[0][0] <= until):
            batch.append(heapq.heappop(self._heap)[2])
        return batch

    async def _wait(self) -> None:
        """Wait until the next item is due; an item that comes in meanwhile may be due earlier."""
        while (due := self.next_due()) is None or due > self._clock.now():
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            waits: set[asyncio.Future[object]] = {changed}  # type: ignore[arg-type] # the sleep below has another result
            if due is not None:
                pause = (due - self._clock.now()).total_seconds()
                waits.add(asyncio.ensure_future(self._clock.sleep(pause)))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
