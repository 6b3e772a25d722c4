"""Where transfers are measured: the real app with real connectors over loopback, and a store in a file.

Linked pairs are made by the engine itself; people's edits go in over the CRM's own interface.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from local.definitions import read_definition
from sandbox.tokens import TENANT_ID
from shared.app import App, Outside
from shared.clock import RandomIds
from shared.engine import Engine
from shared.http_transport import TransportKind, transport
from shared.messaging.memory import MemoryQueue
from shared.stores.rows import Operation, Page, Properties, Row, RowStore
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES
from shared.sync.definition import Brakes, Definition, Index
from shared.sync.message import Message
from shared.sync.ports import LinkRow, LinkState, Mode, Side, Switch
from tests.bench.servers import (
    COMPANY,
    CRM_CLIENT,
    ERP_CLIENT,
    ORGANIZATION,
    ROOT,
    SECRET,
    Addresses,
    running,
)

DEFINITION: Final = "transfers/business_central/account.yaml"
TO_ERP, TO_CRM = "account_to_business_central", "customer_to_dataverse"
WIDE: Final = Brakes(
    creates_per_hour=1_000_000, changes_per_hour=1_000_000, blanks_per_hour=1_000_000, deletes_per_hour=1_000_000
)
IN_FLIGHT: Final = 10


class LeapingClock:
    """The machine's clock, which can be moved on: so that no benchmark waits for a retry."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """The time, aware and in UTC."""
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic() + self.ahead.total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(seconds)


class CountingTransport(httpx.AsyncBaseTransport):
    """Counts answered requests by system, method and class of status."""

    def __init__(self, name: str, inner: httpx.AsyncBaseTransport, counts: Counter[str]) -> None:
        self._name, self._inner, self._counts = name, inner, counts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on."""
        response = await self._inner.handle_async_request(request)
        self._counts[f"{self._name} {request.method} {response.status_code // 100}xx"] += 1
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class CountingRows(SqliteRows):
    """Counts the store's operations by kind and table."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, TABLES, environment={})
        self.counts: Counter[str] = Counter()

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        self.counts[f"{table} get"] += 1
        return await super().get(table, partition, key)

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        self.counts[f"{table} insert"] += 1
        return await super().insert(table, partition, key, properties)

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        self.counts[f"{table} replace"] += 1
        return await super().replace(table, partition, key, properties, etag)

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        self.counts[f"{table} upsert"] += 1
        return await super().upsert(table, partition, key, properties)

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        self.counts[f"{table} delete"] += 1
        return await super().delete(table, partition, key, etag)

    async def list(
        self, table: str, partition: str, *, after: str | None = None, key_prefix: str = "", limit: int = 100
    ) -> Page:
        self.counts[f"{table} list"] += 1
        return await super().list(table, partition, after=after, key_prefix=key_prefix, limit=limit)

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        self.counts[f"{table} transact"] += 1
        return await super().transact(table, partition, operations)


@dataclass
class Place:
    """Everything that a benchmark of transfers needs."""

    addresses: Addresses
    definition: Definition
    engine: Engine
    queue: MemoryQueue
    clock: LeapingClock
    people: httpx.AsyncClient
    calls: Counter[str]
    rows: RowStore
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000_000)))

    @property
    def store_operations(self) -> Counter[str]:
        """Counted only where `open_place` was asked to."""
        return self.rows.counts if isinstance(self.rows, CountingRows) else Counter()

    async def pairs(self, number: int) -> list[LinkRow]:
        """Make so many accounts and their customers; answers their links."""
        accounts = [await self._new_account() for _ in range(number)]
        await at_once([self.run(TO_ERP, account) for account in accounts])
        links = [await self.link(account) for account in accounts]
        await at_once([self.run(TO_CRM, link.other, Side.RIGHT) for link in links])  # what the ERP masters
        await at_once([self.run(TO_ERP, account) for account in accounts])  # and its echo
        return [await self.link(account) for account in accounts]

    async def _new_account(self) -> str:
        number = next(self._numbers)
        body = {
            "name": f"Aurora Milling {number}",
            "cdock_stage": "qualified",
            "telephone1": f"+390471{number:06d}",
            "emailaddress1": f"office{number}@aurora-milling.example",
            "address1_line1": f"Mill Lane {number}",
            "address1_postalcode": f"{number % 100_000:05d}",
            "address1_city": "Milltown",
        }
        headers = {"Prefer": "return=representation"}
        answer = await self.people.post(self.account_url(), json=body, headers=headers)
        return str(answer.raise_for_status().json()["accountid"])

    def account_url(self, key: str = "") -> str:
        """Of the table or of one row."""
        return f"{self.addresses.crm}/api/data/v9.2/accounts" + (f"({key})" if key else "")

    def customer_url(self, key: str) -> str:
        """Of one row."""
        return f"{self.addresses.erp}/v2.0/{TENANT_ID}/Production/api/v2.0/companies({COMPANY})/customers({key})"

    async def edit(self, account: str) -> None:
        """A person gives an account another telephone number, which the CRM masters."""
        body = {"telephone1": f"+390471{next(self._numbers):06d}"}
        (await self.people.patch(self.account_url(account), json=body, headers={"If-Match": "*"})).raise_for_status()

    async def link(self, account: str) -> LinkRow:
        """The link of an account; there must be one."""
        prepared = await self.engine.pipeline.prepare(TO_ERP)
        row = await self.engine.stores.links.get(prepared.pair, Side.LEFT, account)
        if row is None or row.state is not LinkState.LINKED:
            raise SystemExit("a pair was not linked; nothing can be measured")
        return row

    def message(self, transfer: str, *keys: str, side: Side = Side.LEFT) -> Message:
        """A notice about some records."""
        return Message(
            transfer=transfer,
            side=side,
            table=self.definition.table(side).table,
            keys=keys,
            cause="webhook",
            occurred_at=self.clock.now(),
            attempt=0,
            correlation_id=RandomIds().new(),
            change_id=RandomIds().new(),
        )

    async def run(self, transfer: str, key: str, side: Side = Side.LEFT) -> str:
        """Run a notice as a transfer's function does, from its body on; answers the outcome."""
        (outcome,) = await self.run_chunk(transfer, [key], side)
        return outcome

    async def run_chunk(self, transfer: str, keys: Sequence[str], side: Side = Side.LEFT) -> list[str]:
        """Run a notice about several records; answers the outcome of each."""
        body = self.message(transfer, *keys, side=side).to_json()
        return [done.outcome.kind.value for done in await self.engine.pipeline.run(Message.from_json(body))]


async def at_once(jobs: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Run all jobs, ten at a time."""
    waiting = iter(jobs)

    async def worker() -> None:
        for job in waiting:
            await job

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


def environment(addresses: Addresses) -> dict[str, str]:
    """The app's settings."""
    return {
        "CROSSDOCK_LOCAL": "on",
        "CROSSDOCK_SANDBOX_TOKEN_URL": addresses.sign_in,
        "CROSSDOCK_DATAVERSE_SANDBOX_URL": addresses.crm,
        "CROSSDOCK_DATAVERSE_ORGANIZATION_ID": ORGANIZATION,
        "CROSSDOCK_DATAVERSE_IDENTITIES": f"{CRM_CLIENT}:{SECRET}",
        "CROSSDOCK_BUSINESS_CENTRAL_SANDBOX_URL": f"{addresses.erp}/v2.0",
        "CROSSDOCK_BUSINESS_CENTRAL_TENANT_ID": TENANT_ID,
        "CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT": "Production",
        "CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID": COMPANY,
        "CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES": f"{ERP_CLIENT}:{SECRET}",
        "CROSSDOCK_STORE_PATH": "given",
        "CROSSDOCK_FINGERPRINT_KEY": "k1:a2V5IG9mIGJlbmNobWFya3MsIDMyIGJ5dGVzIGxvbmc=",
    }


async def token(addresses: Addresses, client: str, audience: str) -> str:
    """Sign in."""
    wish = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": SECRET,
        "scope": f"{audience}/.default",
    }
    async with httpx.AsyncClient() as http:
        answer = await http.post(addresses.sign_in, data=wish)
    return str(answer.raise_for_status().json()["access_token"])


@asynccontextmanager
async def open_place(*, counted: bool = False, rows: RowStore | None = None) -> AsyncIterator[Place]:
    """Start the sandboxes and the app. counted: count requests and store operations, which costs a little.

    rows: another store than a file; it stays open.
    """
    definition = read_definition((ROOT / DEFINITION).read_text("utf-8"), DEFINITION).model_copy(update={"brakes": WIDE})
    index, clock, calls = Index(definitions=(definition,)), LeapingClock(), Counter[str]()
    queue = MemoryQueue(clock, [transfer.name for transfer in definition.transfers])

    def http(name: str) -> httpx.AsyncBaseTransport:
        return CountingTransport(name, transport(TransportKind.AIOHTTP, 4), calls)

    with TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite"
        file = CountingRows(path) if counted else SqliteRows(path, TABLES, environment={})
        store = rows or file
        async with running() as addresses:
            outside = Outside(clock=clock, queue=queue, rows=store, http=http if counted else None)
            app = App(environment(addresses), outside, index.model_dump_json().encode())
            signed_in = {"Authorization": f"Bearer {await token(addresses, CRM_CLIENT, addresses.crm)}"}
            async with httpx.AsyncClient(headers=signed_in) as people:
                engine = await app.engine()
                place = Place(addresses, definition, engine, queue, clock, people, calls, store)
                await _switch_on(place)
                yield place
            await app.aclose()
        await file.aclose()


async def _switch_on(place: Place) -> None:
    for name in (TO_ERP, TO_CRM):
        mode = await place.engine.stores.modes.get(name)
        await place.engine.stores.modes.put(Mode(name, Switch.ON, place.clock.now(), "benchmark", etag=mode.etag))
