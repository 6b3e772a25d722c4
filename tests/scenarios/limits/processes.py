"""Processes that share one identity at a sandbox in virtual time, and what the sandbox's door sees of them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx

from sandbox.business_central import AUDIENCE, BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import SandboxTransport
from shared.allotment import Allowed
from shared.allowance import Allowance
from shared.connectors.business_central import client as business_central
from shared.connectors.dataverse import client as dataverse
from shared.errors import Throttled
from shared.http_client import Call, HttpClient
from shared.identity import TokenEndpointTokens
from shared.stores.permits import TABLE, PermitsStore
from shared.stores.sqlite_rows import SqliteRows
from tests.contract.domain_stores.fakes import WatchedRows
from tests.simulation.loop import LoopClock
from tests.unit.connectors.fakes import CountingIds

APPLICATION = "11111111-1111-4111-8111-111111111111"
COMPANY = "5d115c9c-44e3-ea11-bb43-000d3a2feca1"
ORGANIZATION = "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55"
LOGIN = f"https://login.example/{TENANT_ID}/oauth2/v2.0/token"
READ_CUSTOMERS = Call(
    "GET", f"/v2.0/{TENANT_ID}/Production/api/v2.0/companies({COMPANY})/customers?$select=id&$top=1", "customers"
)
WHO_AM_I = Call("GET", "/api/data/v9.2/WhoAmI", "WhoAmI")


@dataclass
class SeenAtTheDoor(httpx.AsyncBaseTransport):
    """Carries requests to a sandbox and counts them where they arrive."""

    inner: SandboxTransport
    now: Callable[[], float]
    under_way: int = 0
    most: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    times: deque[float] = field(default_factory=deque)
    most_lately: int = 0
    """The most under way since somebody last looked."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.under_way += 1
        self.most, self.most_lately = max(self.most, self.under_way), max(self.most_lately, self.under_way)
        try:
            response = await self.inner.handle_async_request(request)
        finally:
            self.under_way -= 1
        self.answers[response.status_code] += 1
        self.times.append(self.now())
        return response

    def answered_between(self, start: float, end: float) -> int:
        """How many answers of any kind came in a time."""
        return sum(start <= at < end for at in self.times)

    @property
    def share_refused(self) -> float:
        """The share of 429 among all answers."""
        return self.answers[429] / self.answers.total()


@dataclass
class Process:
    """One process: its client of the shared identity, and a number of callers that never rest."""

    client: HttpClient
    call: Call
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    done: int = 0

    def work(self, callers: int, pause: float = 0.0) -> None:
        """Begin to call, over and over."""
        self.tasks += [asyncio.create_task(self._call(pause)) for _ in range(callers)]

    async def _call(self, pause: float) -> None:
        while True:
            try:
                await self.client.send(self.call)
                self.done += 1
            except Throttled as error:
                await asyncio.sleep(error.retry_after.total_seconds())
            await asyncio.sleep(pause)

    async def rest(self) -> None:
        """End all callers."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    async def stop(self) -> None:
        """End as a process ends that is told to."""
        await self.rest()
        await self.client.aclose()
        await self.client.allowance.aclose()

    async def kill(self) -> None:
        """End without giving anything back."""
        await self.rest()
        keeper = self.client.allowance._keeper
        if keeper is not None:
            keeper.cancel()


class Place:
    """A sandbox behind its door, the store, and processes of one identity."""

    def __init__(
        self, rows: WatchedRows, sandbox: BusinessCentralSandbox | DataverseSandbox, issuer: TokenIssuer
    ) -> None:
        self.rows = rows
        self.clock = LoopClock()
        self._issuer = issuer
        self._is_erp = isinstance(sandbox, BusinessCentralSandbox)
        self.faults = sandbox.faults
        self.door = SeenAtTheDoor(SandboxTransport(sandbox.app), self.clock.monotonic)
        self.processes: list[Process] = []
        self._ids = CountingIds()

    @property
    def allowed(self) -> Allowed:
        return business_central.ALLOWED if self._is_erp else dataverse.ALLOWED

    def process(self, weight: int = 1) -> Process:
        """One process more. weight: how many requests each of its calls counts as."""
        origin = "https://erp.example" if self._is_erp else "https://crm.example"
        scope = AUDIENCE if self._is_erp else origin
        tokens = TokenEndpointTokens(
            LOGIN, APPLICATION, "made-up", self.clock, transport=SandboxTransport(self._issuer.app)
        )
        client = HttpClient(
            system="business_central" if self._is_erp else "dataverse",
            base_url=origin,
            scope=f"{scope}/.default",
            tokens=tokens,
            clock=self.clock,
            ids=self._ids,
            allowance=Allowance(
                self.allowed,
                self.clock,
                identity=f"{origin}/{APPLICATION}",
                store=PermitsStore(self.rows),
                holder=self._ids.new(),
            ),
            http=self.door,
            owns_tokens=True,
        )
        call = replace(READ_CUSTOMERS if self._is_erp else WHO_AM_I, weight=weight)
        self.processes.append(Process(client, call))
        return self.processes[-1]

    async def permits_held(self) -> int:
        """What all holds in the store add up to, lapsed ones included."""
        row = await PermitsStore(self.rows).get(f"https://erp.example/{APPLICATION}")
        return sum(hold.permits for hold in row.holds)


@asynccontextmanager
async def business_central_place(options: BusinessCentralOptions) -> AsyncIterator[Place]:
    """Business Central with one company."""
    clock = LoopClock()
    issuer = TokenIssuer(clock)
    sandbox = BusinessCentralSandbox(
        base_url="https://erp.example",
        tenant=TENANT_ID,
        environment="Production",
        companies=[Company(COMPANY, "Aurora Milling")],
        clock=clock,
        issuer=issuer,
        options=options,
    )
    async with _place(sandbox, issuer) as place:
        yield place


@asynccontextmanager
async def dataverse_place(options: DataverseOptions) -> AsyncIterator[Place]:
    """Dataverse with one organisation."""
    clock = LoopClock()
    issuer = TokenIssuer(clock)
    sandbox = DataverseSandbox(
        base_url="https://crm.example",
        organization_id=ORGANIZATION,
        clock=clock,
        issuer=issuer,
        options=options,
    )
    async with _place(sandbox, issuer) as place:
        yield place


@asynccontextmanager
async def _place(sandbox: BusinessCentralSandbox | DataverseSandbox, issuer: TokenIssuer) -> AsyncIterator[Place]:
    issuer.register(APPLICATION, "made-up")
    rows = WatchedRows(SqliteRows(":memory:", [TABLE], environment={}))
    await rows.prepare()
    place = Place(rows, sandbox, issuer)
    yield place
    for process in place.processes:
        await process.stop()
    await sandbox.aclose()
    await rows.aclose()
