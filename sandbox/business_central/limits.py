"""Limits per identity: requests in a sliding window, requests at once, and the queue before them.

Source: Microsoft Learn, 'Operational limits for Business Central online' and 'Working with API limits'.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.business_central.errors import ApiError
from sandbox.business_central.setup import BusinessCentralOptions
from sandbox.clock import Clock


@dataclass
class _Account:
    started: deque[datetime] = field(default_factory=deque)
    active: int = 0
    queue: deque[asyncio.Future[None]] = field(default_factory=deque)


class Limits:
    """Counts and queues requests by identity. granted: all that were let through since the start."""

    def __init__(self, clock: Clock, options: BusinessCentralOptions) -> None:
        self._clock = clock
        self._options = options
        self._accounts: dict[str, _Account] = {}
        self.granted = 0

    def clear(self) -> None:
        """Forget what has been counted; requests under way are not touched."""
        for account in self._accounts.values():
            account.started.clear()

    def count(self, identity: str, requests: int = 1) -> None:
        """Count requests of an identity; raises the 429 when the window holds too many."""
        if not self._options.limits:
            return
        now = self._clock.now()
        started = self._account(identity).started
        while started and started[0] <= now - timedelta(seconds=self._options.window_seconds):
            started.popleft()
        if len(started) + requests > self._options.requests_per_window:
            raise throttled()
        started.extend([now] * requests)
        self.granted += requests

    @asynccontextmanager
    async def slot(self, identity: str) -> AsyncIterator[None]:
        """Hold one of the identity's places; raises 429 when the queue is full, 503 after too long a wait."""
        if not self._options.limits:
            yield
            return
        account = self._account(identity)
        await self._enter(account)
        try:
            yield
        finally:
            _leave(account)

    async def _enter(self, account: _Account) -> None:
        if account.active < self._options.parallel:
            account.active += 1
            return
        if len(account.queue) >= self._options.queued:
            raise throttled()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        account.queue.append(turn)
        since = self._clock.now()
        try:
            await turn
        except asyncio.CancelledError:
            _give_up(account, turn)
            raise
        if (self._clock.now() - since).total_seconds() > self._options.queue_wait_seconds:
            _leave(account)
            raise unavailable()

    def _account(self, identity: str) -> _Account:
        return self._accounts.setdefault(identity, _Account())


def _leave(account: _Account) -> None:
    """Hand the place to the next in the queue, who then counts as active in our stead."""
    while account.queue:
        turn = account.queue.popleft()
        if not turn.done():
            turn.set_result(None)
            return
    account.active -= 1


def _give_up(account: _Account, turn: asyncio.Future[None]) -> None:
    if turn.done() and not turn.cancelled():
        _leave(account)
    elif turn in account.queue:
        account.queue.remove(turn)


def throttled() -> ApiError:
    """Return the 429 of a limit. Its code is not documented."""
    return ApiError(429, "Application_TooManyRequests", "throttled")


def unavailable() -> ApiError:
    """Return the 503 of an environment that cannot answer now."""
    return ApiError(503, "Internal_TenantUnavailable", "unavailable")
