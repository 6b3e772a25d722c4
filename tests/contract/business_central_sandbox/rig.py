"""A Business Central sandbox in process, a clock the test moves, and a receiver of notices with behaviour."""

from __future__ import annotations

import asyncio
import base64
import heapq
import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sandbox.business_central import AUDIENCE, BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.faults import ConnectionBroken, FaultKind
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import HostRouter, SandboxTransport

COMPANY = "5d115c9c-44e3-ea11-bb43-000d3a2feca1"
OTHER_COMPANY = "6d115c9c-44e3-ea11-bb43-000d3a2feca1"
START = datetime(2026, 3, 5, 19, 19, 22, 370_000, tzinfo=UTC)
BASE_URL = "https://erp.example"
ROOT = f"{BASE_URL}/v2.0/{TENANT_ID}/Production/api/v2.0"
COMPANY_URL = f"{ROOT}/companies({COMPANY})"
CUSTOMERS = f"{COMPANY_URL}/customers"
CONTACTS = f"{COMPANY_URL}/contacts"
ZERO = "00000000-0000-0000-0000-000000000000"
HOOK = "https://hooks.example/notices/one"
RESOURCE = f"/api/v2.0/companies({COMPANY})/customers"


class MovableClock:
    """A clock that stands still until the test moves it; sleepers wake in order."""

    def __init__(self, now: datetime = START) -> None:
        self._now = now
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), waker))
        await waker

    async def advance(self, seconds: float) -> None:
        """Move the time on, waking whoever is due on the way."""
        end = self._now + timedelta(seconds=seconds)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, waker = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not waker.done():
                waker.set_result(None)
            await settle()
        self._now = end
        await settle()


async def settle() -> None:
    """Let every task run until nothing moves without the clock."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Receiver:
    """Receives notices: keeps them, shakes hands, and answers as the test says."""

    status: int = 200
    shakes_hands: bool = True
    quotes_the_token: bool = False
    hangs_up: bool = False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    handshakes: list[str] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{rest:path}", self._receive, methods=["GET", "POST"])])

    async def _receive(self, request: Request) -> Response:
        token = request.query_params.get("validationToken")
        if token is not None:
            self.handshakes.append(request.method)
            text = json.dumps(token) if self.quotes_the_token else token
            return PlainTextResponse(text if self.shakes_hands else "no")
        if self.hangs_up:
            raise ConnectionBroken(FaultKind.LOST_ANSWER)
        raw = await request.body()
        self.bodies.append(json.loads(raw))
        self.headers.append(dict(request.headers))
        return Response(status_code=self.status)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All notices received, in order."""
        return [row for body in self.bodies for row in body["value"]]

    def kinds(self) -> list[str]:
        return [row["changeType"] for row in self.rows]


class Rig:
    """Everything a test needs, through the doors."""

    def __init__(
        self,
        options: BusinessCentralOptions | None = None,
        companies: tuple[Company, ...] | None = None,
        persist: Path | None = None,
        clock: MovableClock | None = None,
    ) -> None:
        self.clock = clock or MovableClock()
        self.issuer = TokenIssuer(self.clock)
        self.issuer.register("connector", "made up secret")
        self.receiver = Receiver()
        self.post = httpx.AsyncClient(transport=HostRouter({"hooks.example": self.receiver.app}))
        self.sandbox = BusinessCentralSandbox(
            base_url=BASE_URL,
            tenant=TENANT_ID,
            environment="Production",
            companies=companies
            if companies is not None
            else (Company(COMPANY, "ALPENHOLZ"), Company(OTHER_COMPANY, "ALPENHOLZ DE", country="DE")),
            clock=self.clock,
            issuer=self.issuer,
            persist=persist,
            post=self.post,
            options=options,
        )
        self.http = self.client("connector")

    def stranger(self) -> httpx.AsyncClient:
        """Return a client that is not signed in."""
        return httpx.AsyncClient(transport=SandboxTransport(self.sandbox.app))

    def client(self, application: str) -> httpx.AsyncClient:
        token = self.issuer.issue(application, AUDIENCE)
        return httpx.AsyncClient(
            transport=SandboxTransport(self.sandbox.app), headers={"Authorization": f"Bearer {token}"}
        )

    async def aclose(self) -> None:
        await self.http.aclose()
        await self.post.aclose()
        await self.sandbox.aclose()

    def sign_in_again(self) -> None:
        """Take a fresh token: after an hour the old one has expired."""
        self.http.headers["Authorization"] = f"Bearer {self.issuer.issue('connector', AUDIENCE)}"

    # --- shorthands ---

    async def create(self, **fields: Any) -> dict[str, Any]:
        answer = await self.http.post(CUSTOMERS, json={"displayName": "Ferramenta Rossa S.r.l.", **fields})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def change(self, row: dict[str, Any], **fields: Any) -> dict[str, Any]:
        answer = await self.patch(f"{CUSTOMERS}({row['id']})", row["@odata.etag"], **fields)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def patch(self, url: str, etag: str | None, **fields: Any) -> httpx.Response:
        return await self.http.patch(url, json=fields, headers={} if etag is None else {"If-Match": etag})

    async def get(self, url: str, **headers: str) -> dict[str, Any]:
        answer = await self.http.get(url, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def values(self, url: str, **headers: str) -> list[dict[str, Any]]:
        return list((await self.get(url, **headers))["value"])

    async def subscribe(self, url: str = HOOK, resource: str = RESOURCE) -> dict[str, Any]:
        body = {"notificationUrl": url, "resource": resource, "clientState": "state one"}
        answer = await self.http.post(f"{ROOT}/subscriptions", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def id_of(self, entity_set: str, code: str) -> str:
        rows = await self.values(f"{COMPANY_URL}/{entity_set}?$filter=code eq '{code}'")
        return str(rows[0]["id"])


def error_of(answer: httpx.Response, status: int) -> tuple[str, str]:
    """Return code and message of a refusal with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    return error["code"], error["message"]


def decoded(etag: str) -> str:
    """Return what an etag says inside."""
    return base64.b64decode(etag.removeprefix('W/"').removesuffix('"')).decode()
