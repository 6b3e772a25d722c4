"""What the connectors need from outside, for tests: a clock that jumps, ids that count, tokens, a scripted system."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx

from shared.allotment import Allowed
from shared.allowance import Allowance
from shared.http_client import HttpClient, Limits
from shared.identity import TokenSource

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
ORIGIN = "https://system.example"
Handler = Callable[[httpx.Request], httpx.Response]


class JumpingClock:
    """Time stands still until somebody sleeps; then it jumps."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        until = self.elapsed + seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.elapsed = max(self.elapsed, until)


class CountingIds:
    """Ids in order: 00000000-0000-4000-8000-000000000001 and so on."""

    def __init__(self) -> None:
        self.given = 0

    def new(self) -> str:
        self.given += 1
        return f"00000000-0000-4000-8000-{self.given:012d}"

    def fraction(self) -> float:
        return 0.5


class CountedTokens:
    """Gives token-1 until it is refused, then token-2, and so on."""

    def __init__(self) -> None:
        self.current = 1
        self.closed = False

    async def token(self, scope: str, *, refused: str | None = None) -> str:
        if refused == f"token-{self.current}":
            self.current += 1
        return f"token-{self.current}"

    async def aclose(self) -> None:
        self.closed = True


class Script:
    """Answers request after request from a list, and refuses what it does not expect."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not self.answers:
            raise AssertionError(f"unexpected {request.method} request number {len(self.requests)}")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(
    handler: Handler | httpx.AsyncBaseTransport,
    *,
    clock: JumpingClock | None = None,
    tokens: TokenSource | None = None,
    limits: Limits | None = None,
    at_once: int = 4,
) -> HttpClient:
    """A client of the system at ORIGIN that answers by the handler."""
    clock = clock or JumpingClock()
    return HttpClient(
        system="dataverse",
        base_url=ORIGIN,
        scope=f"{ORIGIN}/.default",
        tokens=tokens or CountedTokens(),
        clock=clock,
        ids=CountingIds(),
        limits=limits,
        allowance=Allowance(Allowed(at_once=at_once), clock),
        http=handler if isinstance(handler, httpx.AsyncBaseTransport) else httpx.MockTransport(handler),
    )
