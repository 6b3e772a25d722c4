"""The checks through our doors, with the CRM and the ERP over HTTP in process; the field service only asks.

Time is virtual. Which customer of the field service is which of the ERP stands in the store of links, as the transfers
put it there. When a world ends, no sandbox was asked for something that it does not imitate.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Self

import httpx
from starlette.types import ASGIApp

import function_app
from local.host import FunctionsHost, HostKeys
from sandbox.business_central import BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.field_service.options import FsmOptions
from sandbox.field_service.sandbox import FieldServiceSandbox, FsmSandbox, IfsCloudSandbox
from sandbox.request_log import LoggedRequest
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import HostRouter, SandboxTransport
from shared.app import INDEX, App, Outside, installed
from shared.engine import load_index
from shared.messaging.memory import MemoryQueue
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, open_stores
from shared.strict_json import load
from shared.sync.context import pair_name
from shared.sync.definition import Index, TableName
from shared.sync.feed_tasks import QUEUE
from shared.sync.ports import LinkRow, LinkState, Side
from tests.contract.domain_stores.fakes import WatchedRows
from tests.scenarios.account_customer.world import (
    APP_URL,
    COMPANY,
    CRM_CLIENT,
    CRM_URL,
    ENVIRONMENT,
    ERP_CLIENT,
    ERP_URL,
    ORGANIZATION,
    ROOT,
)
from tests.simulation.loop import LoopClock
from tests.simulation.world import SeededIds

FSM_SECRET = "fsm-secret-of-at-least-32-characters"
PLACE = "P-1000"
"""The customer as the field service knows him."""

ASKERS: Mapping[str, Mapping[str, str]] = {
    "fsm": {
        "CROSSDOCK_SYSTEMS": "dataverse,business_central,fsm",
        "CROSSDOCK_FSM_SANDBOX_URL": "https://fsm.example",
        "CROSSDOCK_FSM_IDENTITIES": "crossdock:made-up",
        "CROSSDOCK_FSM_WEBHOOK_SECRET": FSM_SECRET,
    },
    "ifs_cloud": {
        "CROSSDOCK_SYSTEMS": "dataverse,business_central,ifs_cloud",
        "CROSSDOCK_IFS_CLOUD_SANDBOX_URL": "https://ifs.example",
        "CROSSDOCK_IFS_CLOUD_NAMESPACE": "example",
        "CROSSDOCK_IFS_CLOUD_IDENTITIES": "crossdock:made-up",
        "CROSSDOCK_IFS_CLOUD_WEBHOOK_SECRET": FSM_SECRET,
    },
}
"""Settings of each kind of field service."""
ASKERS_CUSTOMERS: Mapping[str, str] = {"fsm": "place", "ifs_cloud": "CustomerHandling.CustomerInfoSet"}
"""The table of its customers."""


@dataclass(frozen=True)
class Setup:
    """A world's settings. environment: settings that are other than usual; processes: how many instances of the app.
    asker: which kind of field service asks.
    index: the compiled definitions, if not the product's own. warm: the app has answered a check before."""

    seed: int = 0
    processes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    index: Index | None = None
    warm: bool = True
    latency_seconds: float = 0.02
    identities: int = 1
    asker: str = "fsm"


class ChecksWorld:
    """The whole, as an async context, with one customer whom all three systems know and one item that the ERP sells."""

    def __init__(self, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()
        self.clock = LoopClock()
        self.index = self.setup.index or shipped()
        self.queue = MemoryQueue(self.clock, [QUEUE, *(transfer.name for _, transfer in self.index.transfers())])
        self.rows = WatchedRows(SqliteRows(":memory:", TABLES, environment={}))
        self.stores = open_stores(self.rows, self.clock)
        self.erp_clients = [f"{ERP_CLIENT[:-1]}{number}" for number in range(self.setup.identities)]
        self.issuer = TokenIssuer(self.clock)
        for client in (CRM_CLIENT, *self.erp_clients):
            self.issuer.register(client, "made-up")
        self.environment = {
            **ENVIRONMENT,
            **ASKERS[self.setup.asker],
            "CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES": " ".join(f"{client}:made-up" for client in self.erp_clients),
            **self.setup.environment,
        }
        self.router = HostRouter({"app.example": self._host().asgi})
        self.http = httpx.AsyncClient(transport=self.router, base_url=APP_URL)
        self.crm = DataverseSandbox(
            base_url=CRM_URL,
            organization_id=ORGANIZATION,
            clock=self.clock,
            issuer=self.issuer,
            seed=self.setup.seed,
            post=self.http,
            options=DataverseOptions(
                application_users=(CRM_CLIENT,), latency_seconds=self.setup.latency_seconds, currency_code="EUR"
            ),
        )
        options = FsmOptions(user="crossdock", password="made-up")
        self.fsm: FieldServiceSandbox = (
            FsmSandbox(clock=self.clock, issuer=self.issuer, options=options)
            if self.setup.asker == "fsm"
            else IfsCloudSandbox(clock=self.clock, issuer=self.issuer)
        )
        latency = self.setup.latency_seconds
        self.erp = BusinessCentralSandbox(
            base_url=f"{ERP_URL}/v2.0",
            tenant=TENANT_ID,
            environment="Production",
            companies=[Company(COMPANY, "Company")],
            clock=self.clock,
            issuer=self.issuer,
            seed=self.setup.seed,
            options=BusinessCentralOptions(latency_seconds=(latency, latency)),
        )
        self._rng = random.Random(self.setup.seed)
        self.apps = [self._make_app(self._rng) for _ in range(self.setup.processes)]
        self.account = self.customer = self.item = ""
        self._exits = ExitStack()
        self.asked = 0

    def _make_app(self, rng: random.Random) -> App:
        served: dict[str, ASGIApp] = {
            "dataverse": self.crm.app,
            "business_central": self.erp.app,
            self.setup.asker: self.fsm.app,
            "sign_in": self.issuer.app,
        }
        outside = Outside(
            clock=self.clock,
            ids=SeededIds(rng),
            queue=self.queue,
            rows=self.rows,
            http=lambda name: SandboxTransport(served[name]),
        )
        return App(self.environment, outside, self.index.model_dump_json().encode())

    # --- starting and stopping

    async def __aenter__(self) -> Self:
        await self.rows.prepare()
        for app in self.apps:
            await app.engine()
        self._exits.enter_context(installed(self.apps[0]))
        self.item = await self.sells("FILTER-1", 25, stock=10)
        self.account, self.customer = await self.company(PLACE)
        if self.setup.warm:
            await self.credit(1)
            await self.price(1)
            await self.stock(1)
        self.forget_requests()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self._exits.close()
        await self.http.aclose()
        for app in self.apps:
            await app.aclose()
        await self.crm.aclose()
        await self.erp.aclose()
        await self.fsm.aclose()
        await self.rows.aclose()
        if error is None:
            self.forget_requests()

    def restart(self) -> None:
        """The process begins anew with the settings as they are now; the one before has been closed."""
        self._exits.close()
        self.apps[0] = self._make_app(self._rng)
        self._exits.enter_context(installed(self.apps[0]))

    # --- what there is

    async def sells(self, number: str, price: float, *, stock: float = 0, **values: Any) -> str:
        """The ERP has an item; answers its id."""
        body = {
            "number": number,
            "displayName": number,
            "unitPrice": Decimal(str(price)),
            "baseUnitOfMeasureCode": "PCS",
        }
        item = await self.erp.create(COMPANY, "items", body | values)
        if stock:
            await self.erp.stock(COMPANY, item["id"], Decimal(str(stock)))
        return str(item["id"])

    async def company(self, place: str = "", **customer: Any) -> tuple[str, str]:
        """A company that the CRM and the ERP know, linked; also with the field service under this name."""
        account = await self.crm.create("account", {"name": f"Company {place}"})
        made = await self.erp.create(COMPANY, "customers", {"displayName": f"Company {place}"} | customer)
        await self.link(("dataverse", "account", account), ("business_central", "customers", made["id"]))
        if place:
            asker = self.setup.asker
            await self.link(("dataverse", "account", account), (asker, ASKERS_CUSTOMERS[asker], place))
        return account, made["id"]

    async def link(self, left: tuple[str, str, str], right: tuple[str, str, str]) -> None:
        """Put a link into the store, as a transfer does."""
        engine = await self.apps[0].engine()
        tables = (TableName(system=left[0], table=left[1]), TableName(system=right[0], table=right[1]))
        definition = next(one for one in engine.index.definitions if (one.left, one.right) == tables)
        pair = pair_name(definition, engine.pipeline.ports.connectors)
        for side, key, other in ((Side.LEFT, left[2], right[2]), (Side.RIGHT, right[2], left[2])):
            await self.stores.links.insert(LinkRow(pair, side, key, LinkState.LINKED, other=other))

    async def owes(self, amount: float, *, overdue: bool = False, customer: str = "") -> None:
        """The ERP books an invoice, due in a month or since yesterday."""
        due = self.clock.now().date() + timedelta(days=-1 if overdue else 30)
        await self.erp.book(COMPANY, customer or self.customer, Decimal(str(amount)), due)

    async def limit(self, amount: float, customer: str = "") -> None:
        """Somebody sets the customer's credit limit in the ERP."""
        await self.erp.edit(COMPANY, "customers", customer or self.customer, {"creditLimit": Decimal(str(amount))})

    # --- the field service asks

    def _host(self) -> FunctionsHost:
        return FunctionsHost(
            function_app.app,
            settings={"ServiceBus": "unused", **self.environment},
            host_json=json.loads((ROOT / "host.json").read_text("utf-8")),
            keys=HostKeys(master="unused-master-key"),
            clock=self.clock,
        )

    async def ask(
        self, check: str, body: Mapping[str, Any] | bytes, app: int = 0, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Ask one of our instances for a check."""
        shown = {"content-type": "application/json", "x-crossdock-secret": FSM_SECRET, **(headers or {})}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        with installed(self.apps[app]):
            return await self.http.post(f"/api/fsm/{check}-check", content=content, headers=shown)

    def request_id(self) -> str:
        """A new one."""
        self.asked += 1
        return f"q-{self.asked}"

    async def credit(self, amount: float, place: str = PLACE, **members: Any) -> httpx.Response:
        """Ask for credit."""
        body = {"requestId": self.request_id(), "customerId": place, "amount": amount, "currency": "EUR"}
        return await self.ask("credit", body | members)

    async def price(
        self, *prices: float | None, place: str = PLACE, item: str = "FILTER-1", **members: Any
    ) -> httpx.Response:
        """Ask whether prices hold, a line each; None asks which there is."""
        lines = [
            {"lineId": f"{number}", "itemId": item, "quantity": 1, "uom": "EA"} | ({"unitPrice": one} if one else {})
            for number, one in enumerate(prices, 1)
        ]
        body = {"requestId": self.request_id(), "customerId": place, "currency": "EUR", "lines": lines}
        return await self.ask("price", body | members)

    async def stock(self, *quantities: float, item: str = "FILTER-1", **line: Any) -> httpx.Response:
        """Ask whether there is enough, a line each."""
        lines = [
            {"lineId": f"{number}", "itemId": item, "quantity": one} | line for number, one in enumerate(quantities, 1)
        ]
        return await self.ask("stock", {"requestId": self.request_id(), "lines": lines})

    # --- what was asked of the systems

    def forget_requests(self) -> None:
        """Count from here. Unforeseen ones are told first, since the log of them goes, too."""
        for sandbox in (self.crm, self.erp, self.fsm):
            assert sandbox.requests.unforeseen() == []
            sandbox.requests.clear()

    def erp_calls(self) -> Sequence[LoggedRequest]:
        """What was asked of the ERP since then."""
        return self.erp.requests.entries()

    def crm_calls(self) -> Sequence[LoggedRequest]:
        """What was asked of the CRM since then."""
        return self.crm.requests.entries()


def told(answer: httpx.Response) -> dict[str, Any]:
    """An answer's body, its numbers exact."""
    read = load(answer.content)
    assert isinstance(read, dict)
    return read


@cache
def shipped() -> Index:
    """What the product says of checks, and its definitions of customers."""
    compiled = load_index(INDEX.read_bytes())
    assert not compiled.problems
    rules = compiled.confirming
    assert rules is not None
    customers = set(rules.customers.items())
    pairs = [{(one.left.system, one.left.table), (one.right.system, one.right.table)} for one in compiled.definitions]
    definitions = tuple(one for one, pair in zip(compiled.definitions, pairs, strict=True) if pair <= customers)
    return Index(definitions=definitions, confirming=rules)
