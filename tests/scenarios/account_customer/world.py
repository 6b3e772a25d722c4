"""Everything real, in virtual time: engine, connectors, webhook functions, and both sandboxes over HTTP in process.

Only the queue (in memory) and the clock are stand-ins. Notices travel from the sandboxes through the very functions of
the app; several processes work on the queues, each with its own connectors and its own memory.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache, cached_property, wraps
from pathlib import Path
from typing import Any, ParamSpec, Self
from urllib.parse import parse_qs

import httpx
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import function_app
from local.definitions import read_definition
from local.host import FunctionsHost, HostKeys
from sandbox.business_central import BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.faults import FaultKind, FaultRule
from sandbox.request_log import LoggedRequest
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import HostRouter, SandboxTransport
from shared.app import App, Outside, installed
from shared.engine import Engine
from shared.messaging.memory import Delivery, LockLost, MemoryQueue
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, Stores, open_stores
from shared.subscriptions import SubscriptionsReport, renew_subscriptions
from shared.sync.context import pair_name
from shared.sync.definition import Brakes, Definition, Index
from shared.sync.feed_tasks import QUEUE, FeedTask
from shared.sync.message import Message
from shared.sync.pipeline import Done
from shared.sync.ports import (
    Clock,
    JournalEntry,
    LinkRow,
    LinkState,
    Mode,
    Outgoing,
    ParkedItem,
    Side,
    Switch,
    TableMetadata,
)
from tests.simulation.loop import LoopClock, run_virtually
from tests.simulation.noted_rows import NotedRows
from tests.simulation.world import SeededIds

ROOT = Path(__file__).parents[3]
DEFINITION = "transfers/business_central/account.yaml"
TO_ERP, TO_CRM = "account_to_business_central", "customer_to_dataverse"

CRM_URL, ERP_URL, APP_URL = "https://crm.example", "https://erp.example", "https://app.example"
OTHER_URL = "https://other.example"
"""Somebody else's app, which shakes hands with everybody."""
ORGANIZATION = "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55"
COMPANY = "5d115c9c-44e3-ea11-bb43-000d3a2feca1"
CRM_CLIENT = "11111111-1111-4111-8111-111111111111"
ERP_CLIENT = "22222222-2222-4222-8222-222222222222"
HOOK_SECRET = "dataverse-webhook-secret-of-32-characters"
PATH_SECRET = "business-central-path-secret-of-32-chars"
CLIENT_STATE = "business-central-client-state-of-32-chars"

ENVIRONMENT: Mapping[str, str] = {
    "CROSSDOCK_LOCAL": "on",
    "CROSSDOCK_PUBLIC_URL": APP_URL,
    "CROSSDOCK_SANDBOX_TOKEN_URL": f"https://login.example/{TENANT_ID}/oauth2/v2.0/token",
    "CROSSDOCK_DATAVERSE_SANDBOX_URL": CRM_URL,
    "CROSSDOCK_DATAVERSE_ORGANIZATION_ID": ORGANIZATION,
    "CROSSDOCK_DATAVERSE_IDENTITIES": f"{CRM_CLIENT}:made-up",
    "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET": HOOK_SECRET,
    "CROSSDOCK_BUSINESS_CENTRAL_SANDBOX_URL": f"{ERP_URL}/v2.0",
    "CROSSDOCK_BUSINESS_CENTRAL_TENANT_ID": TENANT_ID,
    "CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT": "Production",
    "CROSSDOCK_BUSINESS_CENTRAL_COMPANY_ID": COMPANY,
    "CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES": f"{ERP_CLIENT}:made-up",
    "CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET": PATH_SECRET,
    "CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE": CLIENT_STATE,
    "CROSSDOCK_STORE_PATH": ":memory:",
    "CROSSDOCK_FINGERPRINT_KEY": "k1:a2V5IG9mIHRlc3RzLCAzMiBieXRlcyBsb25nLCAuLi4=",
}

WIDE = Brakes(
    creates_per_hour=1_000_000, changes_per_hour=1_000_000, blanks_per_hour=1_000_000, deletes_per_hour=1_000_000
)
Row = Mapping[str, Any]
Story = ParamSpec("Story")


def virtually(story: Callable[Story, Coroutine[Any, Any, None]]) -> Callable[Story, None]:
    """Make an ordinary test of a story that takes place in virtual time."""

    @wraps(story)
    def test(*args: Story.args, **kwargs: Story.kwargs) -> None:
        run_virtually(story(*args, **kwargs))

    return test


@cache
def _read(text: str) -> Definition:
    """Once for all worlds: reading it takes longer than many a story."""
    return read_definition(text, DEFINITION)


def definition_text() -> str:
    """The product's own definition of accounts and customers."""
    return (ROOT / DEFINITION).read_text("utf-8")


@dataclass(frozen=True)
class Setup:
    """A world's settings. own_numbers: we choose the ERP's numbers; else its series gives them, and takes none of ours.

    text: the definition as YAML. index: a compiled index instead; its first definition is that of the accounts.
    processes: how many there are; workers: how many messages each works on at a time.
    hooks: whether the systems tell of changes; without them only walks find any. environment: settings
    that are other than usual.
    """

    seed: int = 0
    own_numbers: bool = True
    processes: int = 2
    workers: int = 2
    hooks: bool = True
    text: str = field(default_factory=definition_text)
    index: Index | None = None
    brakes: Brakes | None = WIDE
    environment: Mapping[str, str] = field(default_factory=dict)
    companies: tuple[Company, ...] = (Company(COMPANY, "ALPENHOLZ"),)
    crm: DataverseOptions = field(default_factory=lambda: DataverseOptions(application_users=(CRM_CLIENT,)))
    erp: BusinessCentralOptions = field(default_factory=BusinessCentralOptions)

    def definition(self) -> Definition:
        """The definition to run."""
        made = _read(self.text)
        transfers = [
            one if one.choose_key is None or self.own_numbers else one.model_copy(update={"choose_key": None})
            for one in made.transfers
        ]
        return made.model_copy(update={"transfers": tuple(transfers), "brakes": self.brakes or made.brakes})


class TellingQueue(MemoryQueue):
    """A queue that tells idle workers of what has come, so that a quiet day costs no turns of the loop."""

    def __init__(self, clock: Clock, queues: Iterable[str]) -> None:
        super().__init__(clock, queues)
        self.news = asyncio.Event()

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        await super().send(queue, messages)
        self.news.set()

    async def abandon(self, delivery: Delivery) -> None:
        await super().abandon(delivery)
        self.news.set()


class RealWorld:
    """The whole, as an async context: entering starts everything, leaving stops it.

    Leaving also asserts that no sandbox was asked for something it does not imitate.
    """

    tick_seconds = 30.0
    """How often the timers look what is due; as in Azure."""

    def __init__(self, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()
        self.clock = LoopClock()
        self.rng = random.Random(self.setup.seed)
        self.environment = {**ENVIRONMENT, **self.setup.environment}
        self.index = self.setup.index or Index(definitions=(self.setup.definition(),))
        self.definition = self.index.definitions[0]
        self.names = [transfer.name for transfer in self.definition.transfers]
        self.queues = [transfer.name for _, transfer in self.index.transfers()]
        self.queue = TellingQueue(self.clock, [*self.queues, QUEUE])
        self.rows = NotedRows(SqliteRows(":memory:", TABLES, environment={}))
        self.stores: Stores = open_stores(self.rows, self.clock)
        self.issuer = TokenIssuer(self.clock)
        for client in (CRM_CLIENT, ERP_CLIENT):
            self.issuer.register(client, "made-up")
        self.crm, self.erp = self._make_crm(), self._make_erp()
        self.apps = [self._make_app() for _ in range(self.setup.processes)]
        self.outcomes: Counter[str] = Counter()
        self.cold_starts = 0
        self._running: list[asyncio.Task[None]] = []
        self._exits = ExitStack()

    # --- making ---

    @cached_property
    def _post(self) -> httpx.AsyncClient:
        """How the systems reach our webhooks: the local host with the functions of the app."""
        host = FunctionsHost(
            function_app.app,
            settings={"ServiceBus": "unused", **ENVIRONMENT},
            host_json=json.loads((ROOT / "host.json").read_text("utf-8")),
            keys=HostKeys(master="unused-master-key"),
            clock=self.clock,
        )
        front: ASGIApp = self._behind_cold_starts(host.asgi)
        return httpx.AsyncClient(transport=HostRouter({"app.example": front, "other.example": _shakes_hands}))

    def _behind_cold_starts(self, app: ASGIApp) -> ASGIApp:
        """The platform before our app: while `cold_starts` are left, a request first has to wake an instance."""

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            if self.cold_starts > 0:
                self.cold_starts -= 1
                await self.clock.sleep(8)
            await app(scope, receive, send)

        return front

    def _make_crm(self, organization_id: str = ORGANIZATION) -> DataverseSandbox:
        return DataverseSandbox(
            base_url=CRM_URL,
            organization_id=organization_id,
            clock=self.clock,
            issuer=self.issuer,
            seed=self.setup.seed,
            post=self._post,
            options=self.setup.crm,
        )

    def _make_erp(self) -> BusinessCentralSandbox:
        options = self.setup.erp
        if not self.setup.own_numbers:
            options = BusinessCentralOptions(**{**vars(options), "manual_numbers": False})
        return BusinessCentralSandbox(
            base_url=ERP_URL,
            tenant=TENANT_ID,
            environment="Production",
            companies=self.setup.companies,
            clock=self.clock,
            issuer=self.issuer,
            seed=self.setup.seed,
            post=self._post,
            options=options,
        )

    def _served(self) -> dict[str, ASGIApp]:
        """The systems by the names of their connectors."""
        return {"dataverse": self.crm.app, "business_central": self.erp.app, "sign_in": self.issuer.app}

    def _make_app(self) -> App:
        served = self._served()
        outside = Outside(
            clock=self.clock,
            ids=SeededIds(self.rng),
            queue=self.queue,
            rows=self.rows,
            http=lambda name: SandboxTransport(served.get(name, self.erp.app)),  # others are companies of the ERP
        )
        return App(self.environment, outside, self.index.model_dump_json().encode())

    # --- starting and stopping ---

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            self._exits.close()  # else later tests of this process would find the app installed
            raise
        return self

    async def _enter(self) -> None:
        self._exits.enter_context(installed(self.apps[0]))
        engines = [await app.engine() for app in self.apps]
        if self.setup.hooks:
            await self._register()
        for name in self.queues:
            await self.switch(name, Switch.ON)
        await engines[0].walks.due()
        await self._run()
        self.forget_requests()

    async def _run(self) -> None:
        """Start timers, workers and the systems' deliveries."""
        for app in self.apps:
            engine = await app.engine()
            self._start(self._timers(engine))
            for _ in range(self.setup.workers):
                self._start(self._worker(engine))
        if self.setup.hooks:
            self._start(self._renewals())
        self._start(self.crm.run_deliveries())
        self._start(self.erp.run_deliveries())

    async def _stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self._stop()
        self._exits.close()
        for app in self.apps:
            await app.aclose()
        await self.crm.aclose()
        await self.erp.aclose()
        await self._post.aclose()
        await self.rows.aclose()
        if error is None:
            assert self.crm.requests.unforeseen() == []
            assert self.erp.requests.unforeseen() == []

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._running.append(asyncio.create_task(work))

    async def listen(self, table: str) -> None:
        """Register the steps of one table in Dataverse."""
        hook, secret = f"{APP_URL}/api/webhooks/dataverse", ("x-crossdock-secret", HOOK_SECRET)
        await self.crm.register_webhook(table, ["Create", "Update", "Delete"], hook, header=secret)

    async def _register(self) -> None:
        """What `manage.py register` does: steps in Dataverse, subscriptions in Business Central."""
        for table in ("account", "opportunity"):
            await self.listen(table)
        report = await self.renew_subscriptions()
        assert report.is_good, report

    async def switch(self, name: str, switch: Switch) -> None:
        """Move a transfer's switch, as an operator does."""
        mode = await self.stores.modes.get(name)
        await self.stores.modes.put(Mode(name, switch, self.clock.now(), "test", etag=mode.etag))
        for app in self.apps:
            (await app.engine()).pipeline.forget_switches()

    async def work_with(self, definition: Definition) -> None:
        """Deploy another definition: new processes with the new index take over from the old ones."""
        self.definition, self.index = definition, Index(definitions=(definition,))
        await self.restart()

    async def restart(self, **settings: str) -> None:
        """New processes take over from the old ones, with other settings where they are named."""
        self.environment |= settings
        await self._stop()
        for app in self.apps:
            await app.aclose()
        self.apps = [self._make_app() for _ in range(self.setup.processes)]
        self._exits.close()
        self._exits.enter_context(installed(self.apps[0]))
        await self._run()

    async def copy_of_crm(self, organization_id: str) -> DataverseSandbox:
        """A copy of the CRM's accounts in another organisation, as copying an environment makes it."""
        copy = self._make_crm(organization_id)
        for key, row in self.accounts.items():
            await copy.create("account", {"accountid": key, "name": row["name"], "cdock_stage": "qualified"})
        return copy

    async def stand_still(self, **duration: float) -> None:
        """Nothing of ours runs for a while: no worker, no timer, no delivery."""
        await self._stop()
        await self.pass_time(**duration)
        await self._run()

    async def renew_subscriptions(self) -> SubscriptionsReport:
        """One tick of the timer that keeps the subscriptions alive."""
        return await renew_subscriptions(self.apps[0])

    # --- what the platform does ---

    async def _worker(self, engine: Engine) -> None:
        while True:
            if not any([await self._take(engine, name) for name in (*self.queues, QUEUE)]):
                await self._idle()

    async def _idle(self) -> None:
        """Until something is there or due; messages are seen a fifth of a second later."""
        self.queue.news.clear()
        due = self.queue.next_event()
        wait = min((due - self.clock.now()).total_seconds() if due else 60, 60)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):  # wait_for of Python 3.11 may swallow the end of the worker
                await self.queue.news.wait()
        await self.clock.sleep(0.2)

    async def _take(self, engine: Engine, name: str) -> bool:
        delivery = await self.queue.receive(name)
        if delivery is None:
            return False
        await self._handle(engine, delivery)
        return True

    async def _handle(self, engine: Engine, delivery: Delivery) -> None:
        """Complete after success, abandon after an error, as the host does."""
        try:
            done = await self._run_message(engine, delivery)
        except Exception:
            self.outcomes["failed"] += 1
            settle: Awaitable[None] = self.queue.abandon(delivery)
        else:
            self.outcomes.update(f"{one.outcome.kind.value}: {one.outcome.why.value}" for one in done)
            settle = self.queue.complete(delivery)
        with suppress(LockLost):
            await settle

    async def _run_message(self, engine: Engine, delivery: Delivery) -> Sequence[Done]:
        if delivery.queue == QUEUE:
            await engine.feed_work.run(FeedTask.from_json(delivery.body))
            return []
        return await engine.pipeline.run(Message.from_json(delivery.body))

    async def _renewals(self) -> None:
        """The hourly timer, which the platform runs in one process only."""
        while True:
            await self.clock.sleep(3600)
            with suppress(Exception):
                await self.renew_subscriptions()

    async def _timers(self, engine: Engine) -> None:
        while True:
            await self.clock.sleep(self.tick_seconds)
            for tick in (
                engine.walks.due,
                engine.windows.due,
                engine.draining.tick,
                engine.draining.sweep,
                engine.feed_work.sweep,
            ):
                with suppress(Exception):
                    await tick()

    # --- waiting ---

    async def settle(self, quiet_seconds: float = 60, hours: float = 24) -> None:
        """Wait until nothing is queued, pending or on its way, for a while; `hours` is the patience."""
        end, quiet_since = self.clock.monotonic() + hours * 3600, self.clock.monotonic()
        while self.clock.monotonic() - quiet_since < quiet_seconds:
            await self.clock.sleep(2)
            self._look_for_failures()
            if not await self._is_quiet():
                quiet_since = self.clock.monotonic()
            assert self.clock.monotonic() < end, f"not quiet after {hours} hours: {self.describe()}"

    def _look_for_failures(self) -> None:
        for task in self._running:
            if task.done():
                task.result()

    async def _is_quiet(self) -> bool:
        counts = [self.queue.counts(name) for name in (*self.queues, QUEUE)]
        if any(one.ready or one.scheduled or one.locked or one.dead for one in counts):
            return False
        if self.crm.waiting_notices() or self.erp.waiting_notices():
            return False
        return not await self.rows.is_pending(self.stores.pending, self.names)

    def describe(self) -> str:
        """Counts only, for a failure's message."""
        queues = "; ".join(f"{name} {self.queue.counts(name)}" for name in self.names)
        return f"{queues}; {dict(self.outcomes)}"

    # --- looking ---

    def forget_requests(self) -> None:
        """Count requests from now on."""
        self.crm.requests.clear()
        self.erp.requests.clear()

    @property
    def accounts(self) -> Mapping[str, Row]:
        """What the CRM holds."""
        return self.crm.rows("account")

    @property
    def customers(self) -> Mapping[str, Row]:
        """What the ERP holds."""
        return self.erp.rows(COMPANY, "customers")

    def account(self, key: str) -> Row:
        return self.accounts[key]

    def customer(self, key: str) -> Row:
        return self.customers[key]

    def crm_sent(self, method: str) -> int:
        """How many requests for accounts came in at the CRM."""
        return self.crm.requests.count(method, r"/accounts(\(|$)")

    def erp_sent(self, method: str) -> int:
        """How many requests for customers came in at the ERP."""
        return self.erp.requests.count(method, r"/customers(\(|$)")

    def erp_writes(self) -> int:
        """How many creates and changes of customers the ERP has executed, answered or not."""
        done = [e for e in self.erp.requests.entries() if e.method in {"POST", "PATCH"} and "/customers" in e.path]
        return sum(1 for entry in done if entry.status in {200, 201, 504} or entry.fault in _EXECUTED)

    @cached_property
    def pair(self) -> str:
        """The pair's name, part of every link key."""
        return pair_name(self.definition, self._connectors)

    @property
    def _connectors(self) -> Any:
        engine = self.apps[0]._engine  # the tests look at what the app has made
        assert engine is not None
        return engine.pipeline.ports.connectors

    async def metadata(self, side: Side) -> TableMetadata:
        """A table as its system describes it."""
        table = self.definition.table(side)
        found: TableMetadata = await self._connectors[table.system].metadata(table.table)
        return found

    async def link(self, side: Side, key: str) -> LinkRow | None:
        """A record's row in the store."""
        return await self.stores.links.get(self.pair, side, key)

    async def links(self) -> dict[str, str]:
        """All links, by account, each looked at from both ends."""
        found: dict[str, str] = {}
        async for row in self._link_rows(Side.LEFT):
            if row.state is LinkState.LINKED:
                back = await self.link(Side.RIGHT, row.other)
                assert back is not None, "half a link"
                assert (back.state, back.other) == (LinkState.LINKED, row.key), "half a link"
                found[row.key] = row.other
        return found

    async def _link_rows(self, side: Side) -> Any:
        after = None
        while rows := await self.stores.links.page(self.pair, side, after, 1000):
            for row in rows:
                yield row
            after = rows[-1].key

    async def partner_of(self, account: str) -> str:
        """The key of an account's customer."""
        row = await self.link_of_account(account)
        assert row.state is LinkState.LINKED, row.state
        return row.other

    async def link_of_account(self, account: str) -> LinkRow:
        """The home of an account's link."""
        row = await self.link(Side.LEFT, account)
        assert row is not None, "no link"
        return row

    def derived_account(self, customer: str, generation: int) -> str:
        """The key that an account made of this customer must have."""
        seed = f"{self.pair}|{Side.RIGHT}|{customer}|{generation}"
        return str(self._connectors["dataverse"].derived_key("account", seed, {}))

    async def parked(self, transfer: str = TO_ERP) -> list[ParkedItem]:
        """What waits for a person."""
        return list(await self.stores.parked.page(transfer, None, 1000))

    async def journal(self, side: Side, key: str) -> Sequence[JournalEntry]:
        """What was decided about a record, the newest first."""
        return await self.stores.journal.of_record(self.pair, side, key)

    async def announce(self, side: Side, key: str, definition: Definition | None = None) -> None:
        """Queue a record to every transfer of a pair, the first one if none is named, as a notice or a walk does."""
        pair = definition or self.definition
        for name in [transfer.name for transfer in pair.transfers]:
            message = Message(
                transfer=name,
                side=side,
                table=pair.table(side).table,
                keys=(key,),
                cause="notice",
                occurred_at=self.clock.now(),
                attempt=0,
                correlation_id="announced",
                change_id=f"announced/{key}/{self.clock.monotonic()}",
            )
            await self.queue.send(name, [Outgoing(message.message_id(), message.to_json())])

    def erp_goes_away(self) -> int:
        """From now on the ERP answers nobody; answers the id of the fault, to take it back with."""
        return self.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))

    async def asked_since_breaker_opened(self) -> list[LoggedRequest]:
        """What the ERP was asked since all processes know that it is away (they look every two seconds)."""
        row = await self.stores.breakers.get("business_central", f"Production/{COMPANY}")
        assert row.opened_at is not None, "the breaker is not open"
        known = row.opened_at + timedelta(seconds=2)
        return [entry for entry in self.erp.requests.entries() if entry.at > known]

    def tokens_become_invalid(self) -> None:
        """The sign-in service changes its key: from now on every token issued so far is refused."""
        self.issuer.replace_key()

    # --- what people do ---

    async def new_account(self, **values: Any) -> str:
        """A person makes an account."""
        return await self.crm.create("account", values)

    async def edit_account(self, key: str, **values: Any) -> None:
        """A person edits an account."""
        await self.crm.edit("account", key, values)

    async def new_customer(self, **values: Any) -> str:
        """A person makes a customer."""
        return str((await self.erp.create(COMPANY, "customers", values))["id"])

    async def edit_customer(self, key: str, **values: Any) -> None:
        """A person edits a customer."""
        await self.erp.edit(COMPANY, "customers", key, values)

    async def pair_made(self, **values: Any) -> tuple[str, str]:
        """A qualified account with its customer, everything settled and the requests forgotten."""
        account = await self.new_account(**(COMPANY_VALUES | values))
        await self.settle()
        customer = await self.partner_of(account)
        self.forget_requests()
        return account, customer

    async def pass_time(self, **duration: float) -> None:
        """Let time pass."""
        await self.clock.sleep(timedelta(**duration).total_seconds())


def vat_number(number: int) -> str:
    """A made-up Italian VAT number with an office that exists and the right check digit (Luhn)."""
    digits = [int(digit) for digit in f"{number:07d}021"]
    doubled = [sum(divmod(2 * digit, 10)) if place % 2 else digit for place, digit in enumerate(digits)]
    return "".join(map(str, digits)) + str(-sum(doubled) % 10)


COMPANY_VALUES: dict[str, Any] = {
    "name": "Aurora Milling",
    "cdock_stage": "qualified",
    "cdock_vatnumber": vat_number(1),
    "telephone1": "+390471000001",
    "emailaddress1": "office@aurora-milling.example",
    "address1_line1": "Mill Lane 1",
    "address1_postalcode": "39100",
    "address1_city": "Milltown",
}

_EXECUTED = frozenset({"lost_answer", "half_body", "gateway_timeout"})

SAME: Mapping[str, str] = {
    "name": "displayName",
    "cdock_vatnumber": "taxRegistrationNumber",
    "accountnumber": "number",
    "telephone1": "phoneNumber",
    "emailaddress1": "email",
    "websiteurl": "website",
    "address1_line1": "addressLine1",
    "address1_postalcode": "postalCode",
    "address1_city": "city",
    "cdock_salesperson": "salespersonCode",
}


async def _shakes_hands(scope: Scope, receive: Receive, send: Send) -> None:
    """Give every token back."""
    token = parse_qs(scope["query_string"].decode()).get("validationToken", [""])[0]
    await PlainTextResponse(token)(scope, receive, send)


def differing(account: Row, customer: Row) -> Iterator[str]:
    """The plain columns in which an account and a customer differ."""
    for left, right in SAME.items():
        if (account.get(left) or "") != (customer.get(right) or ""):
            yield left
