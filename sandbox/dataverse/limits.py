"""Service protection limits: requests, execution time and concurrency, per user and web server.

After Microsoft Learn, 'Service protection API limits': a sliding window of five minutes; a client that goes on
while limited is told to wait longer, because its refused requests count too.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from http.cookies import CookieError, SimpleCookie

from sandbox.clock import Clock
from sandbox.dataverse.errors import DataverseError
from sandbox.dataverse.options import DataverseOptions

COOKIE = "ARRAffinity"
CONCURRENCY_RETRY_SECONDS = 2


@dataclass
class _Window:
    """What one user has done on one server."""

    requests: deque[datetime] = field(default_factory=deque)
    executions: deque[tuple[datetime, float]] = field(default_factory=deque)
    execution_seconds: float = 0.0
    concurrent: int = 0


@dataclass(frozen=True)
class Admission:
    """A request that was let in; give it back to `Limits.leave`."""

    user_id: str
    server: int
    at: datetime
    remaining_requests: int
    remaining_seconds: float


class Limits:
    """Counts and refuses."""

    def __init__(self, clock: Clock, options: DataverseOptions, seed: int) -> None:
        self._clock = clock
        self._options = options
        self._random = random.Random(seed)
        self._windows: dict[tuple[str, int], _Window] = {}
        self._affinities = [f"{self._random.getrandbits(256):064x}" for _ in range(options.web_servers)]

    def server(self, cookie_header: str | None) -> tuple[int, str | None]:
        """Choose the web server of a request, and the cookie to set when the request came without a valid one."""
        wanted = _affinity(cookie_header)
        if wanted in self._affinities:
            return self._affinities.index(wanted), None
        server = self._random.randrange(len(self._affinities))
        return server, f"{COOKIE}={self._affinities[server]};Path=/;HttpOnly;Secure"

    def enter(self, user_id: str, server: int) -> Admission:
        """Let a request in, or raise DataverseError 429."""
        window, now = self._windows.setdefault((user_id, server), _Window()), self._clock.now()
        self._forget_old(window, now)
        window.requests.append(now)
        if self._options.limits:
            self._check(window, now)
        window.concurrent += 1
        remaining = max(0, self._options.max_requests - len(window.requests))
        seconds = max(0.0, self._options.max_execution_seconds - window.execution_seconds)
        return Admission(user_id, server, now, remaining, seconds)

    def leave(self, admission: Admission) -> None:
        """Note that a request has ended."""
        window, now = self._windows[(admission.user_id, admission.server)], self._clock.now()
        window.concurrent -= 1
        took = (now - admission.at).total_seconds()
        if took > 0:
            window.executions.append((now, took))
            window.execution_seconds += took

    def _forget_old(self, window: _Window, now: datetime) -> None:
        span = self._options.window_seconds
        while window.requests and (now - window.requests[0]).total_seconds() >= span:
            window.requests.popleft()
        while window.executions and (now - window.executions[0][0]).total_seconds() >= span:
            window.execution_seconds -= window.executions.popleft()[1]

    def _check(self, window: _Window, now: datetime) -> None:
        options = self._options
        if window.concurrent >= options.max_concurrent:
            text = f"Number of concurrent requests exceeded the limit of {options.max_concurrent}."
            raise too_many("0x80072326", text, CONCURRENCY_RETRY_SECONDS)
        if len(window.requests) > options.max_requests:
            text = (
                f"Number of requests exceeded the limit of {options.max_requests} over time window of "
                f"{options.window_seconds:.0f} seconds."
            )
            freed_by = window.requests[len(window.requests) - options.max_requests]
            raise too_many("0x80072322", text, self._wait(freed_by, now))
        if window.execution_seconds > options.max_execution_seconds:
            text = (
                f"Combined execution time of incoming requests exceeded limit of "
                f"{options.max_execution_seconds * 1000:,.0f} milliseconds over time window of "
                f"{options.window_seconds:.0f} seconds. Decrease number of concurrent requests or reduce the duration "
                "of requests and try again later."
            )
            freed_by = _enough(window.executions, window.execution_seconds - options.max_execution_seconds)
            raise too_many("0x80072321", text, self._wait(freed_by, now))

    def _wait(self, freed_by: datetime, now: datetime) -> float:
        return self._options.window_seconds - (now - freed_by).total_seconds()


def too_many(code: str, text: str, retry_after_seconds: float) -> DataverseError:
    """Refuse with 429; Retry-After is in whole seconds, at least one."""
    return DataverseError(429, code, text, {"Retry-After": str(max(1, math.ceil(retry_after_seconds)))})


def _enough(executions: Collection[tuple[datetime, float]], excess: float) -> datetime:
    """Return when the execution ended whose leaving the window brings the sum under the limit."""
    *earlier, (last, _) = executions
    for ended, seconds in earlier:
        excess -= seconds
        if excess <= 0:
            return ended
    return last


def _affinity(cookie_header: str | None) -> str | None:
    try:
        morsel = SimpleCookie(cookie_header or "").get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None
