"""An organisation in process, on a clock the test moves, and a receiver of webhooks with a mind of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport

BASE_URL = "https://crossdock.crm4.example"
ROOT = f"{BASE_URL}/api/data/v9.2"
ORGANIZATION_ID = "5c0f8e9a-3b71-4d38-9c53-0d6f2f8f7a01"
CLIENT_ID = "9d1c0c2e-52e6-4c1b-8f0e-7f1f3f2b6c11"


class ManualClock:
    """A clock that stands still until the test moves it; whoever sleeps wakes when it has moved far enough."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 2, 8, 0, 0, 250_000, tzinfo=UTC)
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []
        self._more_sleep = asyncio.Event()

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + timedelta(seconds=seconds), woken))
        self._more_sleep.set()
        await woken

    async def asleep(self, within_seconds: float, count: int = 1) -> None:
        """Wait until that many sleep who will wake within so many seconds; however slow the machine is."""
        end = self._now + timedelta(seconds=within_seconds)
        while sum(due <= end for due, _ in self._sleepers) < count:
            self._more_sleep.clear()
            await self._more_sleep.wait()

    async def advance(self, seconds: float) -> None:
        """Move on, and let everybody run who is due."""
        self._now += timedelta(seconds=seconds)
        for due, woken in list(self._sleepers):
            if due <= self._now and not woken.done():
                woken.set_result(None)
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].done()]
        await settle()


async def settle() -> None:
    """Let everybody run who can without the clock moving."""
    for _ in range(50):
        await asyncio.sleep(0)


@dataclass
class Receiver:
    """Where webhooks arrive. `statuses` are answered in turn, then 202; `stall` never answers."""

    statuses: list[int] = field(default_factory=list)
    received: list[httpx.Request] = field(default_factory=list)
    stall: bool = False
    refuse: bool = False

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.received.append(request)
        if self.refuse:
            raise httpx.ConnectError("nobody listens", request=request)
        if self.stall:
            await asyncio.Event().wait()
        return httpx.Response(self.statuses.pop(0) if self.statuses else 202)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.received]


@dataclass
class Organisation:
    """One sandbox with a signed-in client."""

    sandbox: DataverseSandbox
    client: httpx.AsyncClient
    clock: ManualClock
    issuer: TokenIssuer
    receiver: Receiver
    new_client: Callable[[str], httpx.AsyncClient]

    async def create(self, table: str = "accounts", **values: Any) -> str:
        """Create a row by the Web API and return its id."""
        answer = await self.client.post(f"/{table}", json=values)
        assert answer.status_code == 204, answer.text
        return answer.headers["OData-EntityId"].rsplit("(", 1)[1].rstrip(")")


Build = Callable[..., Organisation]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Make organisations; everything is closed at the end."""
    made: list[Organisation] = []
    clients: list[httpx.AsyncClient] = []

    def make(*, clock: ManualClock | None = None, persist: Path | None = None, **options: Any) -> Organisation:
        clock, receiver = clock or ManualClock(), Receiver()
        issuer = TokenIssuer(clock)
        post = httpx.AsyncClient(transport=httpx.MockTransport(receiver.handle))
        settings = DataverseOptions(**{"application_users": (CLIENT_ID,), **options})
        sandbox = DataverseSandbox(
            base_url=BASE_URL,
            organization_id=ORGANIZATION_ID,
            clock=clock,
            issuer=issuer,
            persist=persist,
            post=post,
            options=settings,
        )

        def new_client(token: str) -> httpx.AsyncClient:
            headers = {"Authorization": f"Bearer {token}", "If-None-Match": "null", "User-Agent": "crossdock-test"}
            client = httpx.AsyncClient(transport=SandboxTransport(sandbox.app), base_url=ROOT, headers=headers)
            clients.append(client)
            return client

        client = new_client(issuer.issue(CLIENT_ID, BASE_URL, life_seconds=10**8))
        clients.append(post)
        made.append(Organisation(sandbox, client, clock, issuer, receiver, new_client))
        return made[-1]

    yield make
    for client in clients:
        await client.aclose()
    for organisation in made:
        await organisation.sandbox.aclose()


@pytest.fixture
def org(build: Build) -> Organisation:
    """An organisation with the real system's settings."""
    return build()


def code_of(answer: httpx.Response) -> str:
    """Return the error code of a refusal."""
    return str(answer.json()["error"]["code"])
