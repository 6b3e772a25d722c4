"""The doors with everything behind them: the real functions, queue and stores in memory, two systems in memory."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

import function_app
from local.host import FunctionsHost, HostKeys
from shared.app import INDEX, App, Outside
from shared.engine import load_index
from shared.messaging.memory import MemoryQueue
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, Stores, open_stores
from shared.sync.definition import Definition, Index
from shared.sync.feed_tasks import QUEUE, FeedTask
from shared.sync.message import Message
from shared.sync.ports import Outgoing, Side
from tests.simulation.systems import MemorySystem
from tests.simulation.world import SeededIds

BODIES = Path(__file__).parent / "bodies"
ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

ORGANIZATION = "bfa222f0-8fba-41be-9815-3aaaf644c011"
COMPANY = "a12fafa9-c926-4565-ba4a-ed2ea8427012"
WEBHOOK_SECRET = "dataverse-webhook-secret-of-32-characters"
WEBHOOK_SECRET_BEFORE = "dataverse-webhook-secret-of-yesterday-32"
PATH_SECRET = "business-central-path-secret-of-32-chars"
PATH_SECRET_BEFORE = "business-central-path-secret-of-yesterday"
CLIENT_STATE = "business-central-client-state-of-32-chars"
CLIENT_STATE_BEFORE = "business-central-client-state-of-yesterday"
OPERATOR_KEY = "operator-key-of-at-least-32-characters"
OPERATOR_KEY_BEFORE = "operator-key-of-yesterday-32-characters"
SECRETS = (
    WEBHOOK_SECRET,
    WEBHOOK_SECRET_BEFORE,
    PATH_SECRET,
    PATH_SECRET_BEFORE,
    CLIENT_STATE,
    CLIENT_STATE_BEFORE,
    OPERATOR_KEY,
    OPERATOR_KEY_BEFORE,
)

ENVIRONMENT: Mapping[str, str] = {
    "CROSSDOCK_LOCAL": "on",
    "CROSSDOCK_DATAVERSE_URL": "https://org.crm4.dynamics.com",
    "CROSSDOCK_DATAVERSE_ORGANIZATION_ID": ORGANIZATION,
    "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET_PREVIOUS": WEBHOOK_SECRET_BEFORE,
    "CROSSDOCK_BUSINESS_CENTRAL_URL": "https://api.businesscentral.dynamics.com/v2.0",
    "CROSSDOCK_BUSINESS_CENTRAL_TENANT_ID": "contoso.example",
    "CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT": "Production",
    "CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID": COMPANY,
    "CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET": PATH_SECRET,
    "CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET_PREVIOUS": PATH_SECRET_BEFORE,
    "CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE": CLIENT_STATE,
    "CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE_PREVIOUS": CLIENT_STATE_BEFORE,
    "CROSSDOCK_OPERATOR_KEY": OPERATOR_KEY,
    "CROSSDOCK_OPERATOR_KEY_PREVIOUS": OPERATOR_KEY_BEFORE,
    "CROSSDOCK_STORE_PATH": ":memory:",
    "CROSSDOCK_FINGERPRINT_KEY": "k1:a2V5IG9mIHRlc3RzLCAzMiBieXRlcyBsb25nLCAuLi4=",
    "ServiceBus": "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;",
}


class HandClock:
    """A clock that is moved by hand; sleeping moves it at once and is noted."""

    def __init__(self) -> None:
        self.at = NOON
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOON).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


def shipped() -> Definition:
    """The definition of accounts and customers."""
    return load_index(INDEX.read_bytes()).definitions[0]


@dataclass
class Doors:
    """One function app with its surroundings; made by the fixture `doors`.

    definitions: the first is the shipped one.
    """

    environment: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))
    clock: HandClock = field(default_factory=HandClock)
    definitions: tuple[Definition, ...] = field(default_factory=lambda: (shipped(),))

    def __post_init__(self) -> None:
        self.definition = self.definitions[0]
        index = Index(definitions=self.definitions)
        self.index_json = index.model_dump_json().encode()
        self.names = [transfer.name for _, transfer in index.transfers()]
        self.queue = MemoryQueue(self.clock, [*self.names, QUEUE])
        self.rows = SqliteRows(":memory:", TABLES, environment={})
        self.stores: Stores = open_stores(self.rows, self.clock)
        crm, erp = (dict.fromkeys(self.definition.columns(side)) for side in Side)
        self.crm = MemorySystem("dataverse", "org", "account", crm, self.clock, True)
        self.erp = MemorySystem(
            "business_central", "production/company", "customers", erp, self.clock, False, enforced_column="number"
        )
        self.app = self.new_app()
        self.host = FunctionsHost(
            function_app.app,
            settings=self.environment,
            host_json=json.loads((ROOT / "host.json").read_text("utf-8")),
            keys=HostKeys(master="unused-master-key"),
            clock=self.clock,
        )
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.host.asgi), base_url="https://app.example")

    def new_app(self, **outside: Any) -> App:
        """An app over the same surroundings, with some of them replaced."""
        parts: dict[str, Any] = {
            "clock": self.clock,
            "ids": SeededIds(random.Random(7)),
            "queue": self.queue,
            "rows": self.rows,
            "connectors": {"dataverse": self.crm, "business_central": self.erp},
        }
        return App(self.environment, Outside(**(parts | outside)), self.index_json)

    async def dataverse(self, body: bytes, secret: str | None = WEBHOOK_SECRET, **headers: str) -> httpx.Response:
        """Post as Dataverse does."""
        shown = {"content-type": "application/json; charset=utf-8"} | ({"x-crossdock-secret": secret} if secret else {})
        return await self.http.post("/api/webhooks/dataverse", content=body, headers=shown | headers)

    async def business_central(
        self, body: bytes, secret: str = PATH_SECRET, method: str = "POST", query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Post as Business Central does."""
        path = f"/api/webhooks/business-central/{secret}/customers"
        return await self.http.request(method, path, content=body, params=query)

    async def operate(
        self, method: str, path: str, wish: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Call the operations API, with the operator key unless told otherwise."""
        shown = {"x-crossdock-key": OPERATOR_KEY} if headers is None else dict(headers)
        return await self.http.request(method, f"/api/ops/{path}", json=wish, headers=shown)

    async def queued(self) -> dict[str, list[Message]]:
        """Take all messages off all queues."""
        found: dict[str, list[Message]] = {name: [] for name in self.names}
        for name, messages in found.items():
            while delivery := await self.queue.receive(name):
                await self.queue.complete(delivery)
                messages.append(Message.from_json(delivery.body))
        return found

    async def nothing_queued(self) -> bool:
        """Whether all queues are empty."""
        return not any((await self.queued()).values()) and not await self.tasks()

    async def tasks(self) -> list[FeedTask]:
        """Take all tasks off the queue of the feeds."""
        found = []
        while delivery := await self.queue.receive(QUEUE):
            await self.queue.complete(delivery)
            found.append(FeedTask.from_json(delivery.body))
        return found


class DownQueue(MemoryQueue):
    """The same queue while it takes nothing: only its sending half."""

    def __init__(self, inner: MemoryQueue, failing: frozenset[str], error: Exception) -> None:
        self._inner = inner
        self._failing = failing
        self._error = error

    async def send(self, queue: str, messages: Any) -> None:
        """Fail on the named queues."""
        if queue in self._failing:
            raise self._error
        await self._inner.send(queue, messages)


def notice(name: str = "account_create_sync_2024", at: datetime = NOON, **changes: Any) -> dict[str, Any]:
    """A real body of Dataverse, shortened, as if it was posted now; `changes` replace members, ... removes them."""
    body: dict[str, Any] = json.loads((BODIES / f"{name}.json").read_text("utf-8"))
    stamp = f"/Date({int(at.timestamp() * 1000)})/"
    body |= {"OrganizationId": ORGANIZATION, "OperationCreatedOn": stamp} | changes
    return {key: value for key, value in body.items() if value is not ...}


def row(**changes: Any) -> dict[str, Any]:
    """A row of a Business Central notice about a customer; ... removes a member."""
    body = {
        "subscriptionId": "c670ea73cacb459bb51dc1740da2f1db",
        "clientState": CLIENT_STATE,
        "expirationDateTime": "2026-03-05T07:52:31Z",
        "resource": f"api/v2.0/companies({COMPANY})/customers(4e2c1fb5-9ff4-4d55-8b0f-b6b8a3fd3b21)",
        "changeType": "updated",
        "lastModifiedDateTime": "2026-03-02T11:59:20.467Z",
    } | changes
    return {key: value for key, value in body.items() if value is not ...}


def dump(content: Any) -> bytes:
    """As the systems write it."""
    return json.dumps(content, separators=(",", ":")).encode()


def outgoing(message: Message) -> Outgoing:
    """A message ready to be sent."""
    return message.outgoing()
