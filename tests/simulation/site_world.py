"""A world with the real connectors of Dataverse and of one more system on their sandboxes, struck at every call.

The definitions are the product's own, each story with those that it needs. Dataverse tells of every change at once, as
its webhooks do; changes of the other system are found by walks, unless it is one that tells of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import httpx
from starlette.types import ASGIApp

from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import SandboxTransport
from shared.app import App, Outside
from shared.connectors.dataverse.connector import DataverseConnector
from shared.engine import Engine
from shared.http_client import HttpClient, Sign, bearer
from shared.identity import TokenEndpointTokens, TokenSource
from shared.messaging.memory import MemoryQueue, Rules
from shared.operations import Operations
from shared.stores.rows import RowStore
from shared.stores.stores import open_stores
from shared.sync.alarms import Watch
from shared.sync.context import Ports, Timing, pair_name
from shared.sync.definition import Definition, Index
from shared.sync.draining import Draining
from shared.sync.drifting import Drifting, Standing
from shared.sync.edits import edit
from shared.sync.feed_tasks import QUEUE
from shared.sync.feed_work import FeedWork
from shared.sync.full_compare import FullCompares
from shared.sync.message import Message
from shared.sync.pipeline import Pipeline
from shared.sync.ports import Connector, LinkRow, LinkState, Outgoing, ParkedItem, Side
from shared.sync.schema_watch import SchemaWatch
from shared.sync.subscribing import Subscriptions
from shared.sync.walking import Walks
from shared.sync.windows import Windows
from tests.simulation.faulty import FaultyConnector
from tests.simulation.loop import LoopClock, SteppedClock
from tests.simulation.world import Faults, FaultyQueue, FaultyRows, SeededIds, Setup, World, _run_now

APPLICATION = "11111111-1111-4111-8111-111111111111"
ORGANIZATION = "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55"
LOGIN = f"https://login.example/{TENANT_ID}/oauth2/v2.0/token"
WALK_SECONDS = 60
WINDOW_DAYS = 3


def for_a_story(definition: Definition, others: Sequence[Definition], walk_seconds: int = WALK_SECONDS) -> Definition:
    """A definition beside these others: walked so often, without references that none of them answers; days of derived
    rows as it says, but three of them."""
    often = {"window_days": WINDOW_DAYS} if definition.is_derived else {"walk_seconds": WALK_SECONDS}
    walked = [one.model_copy(update=often) for one in definition.transfers]
    answered = {rule.id for other in others for rule in definition.refers_to(other)}
    fields = [one for one in definition.fields if one.reference is None or one.id in answered]
    return definition.model_copy(update={"transfers": tuple(walked), "fields": tuple(fields)})


class FaultyTransport(SandboxTransport):
    """Carries requests to a sandbox; each of them is an effect that a fault may strike."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        super().__init__(app)
        self._faults = faults

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        lost = httpx.RemoteProtocolError("simulated", request=request)
        do = partial(super().handle_async_request, request)
        return await self._faults.effect(f"{request.method} {request.url.path}", lost, lost, do)


class SiteWorld(World, ABC):
    """The engine between a CRM and a site. by_requests: faults strike the requests that the site gets, of which one
    call of its connector may make several, and nothing else. setup: of a world that runs on a virtual loop; without it
    one message is taken at a time.

    kind: the site's system. moded: whether a mode says what is exchanged. numbers: columns with keys and numbers, which
    may be others after a fault.
    """

    kind: str
    moded: ClassVar[bool] = False
    numbers: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        definitions: Sequence[Definition],
        faults: Faults,
        rows: RowStore | None = None,
        *,
        by_requests: bool = False,
        setup: Setup | None = None,
    ) -> None:
        self.by_requests = by_requests
        self.stepped, self.timing = SteppedClock(), Timing()
        steps = Setup(workers=1, quiet_seconds=2 * WALK_SECONDS + 10)
        super().__init__(setup or steps, faults, rows, LoopClock() if setup else self.stepped)
        self.index = Index(definitions=tuple(definitions))
        self.names = [transfer.name for _, transfer in self.index.transfers()]
        self.queue = MemoryQueue(self.clock, [*self.names, QUEUE], Rules(lock_duration=self.setup.lock))
        self.issuer = TokenIssuer(self.clock)
        self.issuer.register(APPLICATION, "made-up")
        self.dataverse = DataverseSandbox(
            base_url="https://crm.example",
            organization_id=ORGANIZATION,
            clock=self.clock,
            issuer=self.issuer,
            options=DataverseOptions(application_users=(APPLICATION,), limits=False),
        )
        self.clean: Mapping[str, Connector] = {"dataverse": self._crm_connector(), self.kind: self._open_site()}
        self.heard = 0
        self._rounds = 0
        self._was_quiet = True
        self.effects = 0

    @abstractmethod
    def _open_site(self) -> Connector:
        """Make the site's sandbox, and the connector to it."""

    @abstractmethod
    async def _close_site(self) -> None:
        """Close the sandbox."""

    @abstractmethod
    def held(self, table: str) -> int:
        """How many records a table of the site holds."""

    def _crm_connector(self) -> DataverseConnector:
        tokens = TokenEndpointTokens(
            LOGIN, APPLICATION, "made-up", self.clock, transport=SandboxTransport(self.issuer.app)
        )
        client = HttpClient(
            system="dataverse",
            base_url="https://crm.example",
            scope="https://crm.example/.default",
            tokens=tokens,
            clock=self.clock,
            ids=SeededIds(self.rng),
            http=SandboxTransport(self.dataverse.app),
            owns_tokens=True,
        )
        return DataverseConnector([client], self.clock, ORGANIZATION)

    def _site_client(
        self, base_url: str, app: ASGIApp, tokens: TokenSource, sign: Sign = bearer, scope: str = ""
    ) -> HttpClient:
        return HttpClient(
            system=self.kind,
            base_url=base_url,
            scope=scope,
            tokens=tokens,
            clock=self.clock,
            ids=SeededIds(self.rng),
            http=FaultyTransport(app, self.faults) if self.by_requests else SandboxTransport(app),
            owns_tokens=True,
            sign=sign,
        )

    async def aclose(self) -> None:
        """Close everything."""
        for connector in self.clean.values():
            await connector.aclose()  # type: ignore[attr-defined]  # both have it, the port has not
        await self.dataverse.aclose()
        await self._close_site()

    # --- people in the CRM, and what Dataverse tells ---

    async def typed(
        self, table: str, values: Mapping[str, Any], key: str | None = None, user: str | None = None
    ) -> str:
        """A person in the CRM makes or edits a record; `user` if it is another one than usual."""
        if key is None:
            key = await self.dataverse.create(table, values, user)
        else:
            await self.dataverse.edit(table, key, values, user)
        self.hear(table, key, user)
        return key

    async def removed(self, table: str, key: str) -> None:
        """A person in the CRM deletes a record."""
        await self.dataverse.delete(table, key)
        self.hear(table, key)

    def hear(self, table: str, key: str, user: str | None = None) -> None:
        """Queue Dataverse's notice to every transfer that the table concerns; it names who made the change. Lost,
        doubled and late as the setup says."""
        if self.rng.random() < self.setup.drop:
            return
        for _ in range(2 if self.rng.random() < self.setup.duplicate else 1):
            self.heard += 1
            for definition in self.index.definitions:
                for transfer in definition.transfers:
                    if table == definition.left.table or table in transfer.also_on:
                        self._queue_notice(transfer.name, table, key, user)
        self._wake.set()

    def _queue_notice(self, transfer: str, table: str, key: str, user: str | None) -> None:
        change, delay = f"notice/{self.heard}", self.rng.random() * self.setup.reorder_seconds
        message = Message(
            transfer=transfer,
            side=Side.LEFT,
            table=table,
            keys=(key,),
            cause="notice",
            occurred_at=self.clock.now(),
            attempt=0,
            correlation_id=change,
            change_id=change,
            editors={key: edit(self.clock.now(), user)} if user else {},
        )
        due = self.clock.now() + timedelta(seconds=delay) if delay else None
        _run_now(self.queue.send(transfer, [Outgoing(message.message_id(), message.to_json(), due, change)]))

    # --- processes ---

    async def tick(self, pipeline: Pipeline) -> None:
        """One round of the timers, with that of the days."""
        with suppress(Exception):
            await Windows(pipeline).due()
        await super().tick(pipeline)

    def process(self) -> Pipeline:
        """A fresh process: nothing remembered."""
        if self.by_requests:
            told = FaultyConnector(self.clean["dataverse"], Faults(active=False), self.hear)
            return Pipeline(self._ports({**self.clean, "dataverse": told}, self.rows), self.index)
        connectors = {
            "dataverse": FaultyConnector(self.clean["dataverse"], self.faults, self.hear),
            self.kind: FaultyConnector(self.clean[self.kind], self.faults),
        }
        return Pipeline(self._ports(connectors, FaultyRows(self.rows, self.faults)), self.index)

    def untroubled(self) -> Pipeline:
        """A process that no fault strikes."""
        return Pipeline(self._ports(self.clean, self.rows), self.index)

    def _ports(self, connectors: Mapping[str, Connector], rows: RowStore) -> Ports:
        return Ports(
            connectors=connectors,
            stores=open_stores(rows, self.clock),
            queue=FaultyQueue(self.queue, self.faults, self._wake) if rows is not self.rows else self.queue,
            clock=self.clock,
            ids=SeededIds(self.rng),
            prints=self.prints,
            timing=self.timing,
            moded=frozenset({self.kind} if self.moded else ()),
        )

    def operations(self, pipeline: Pipeline | None = None) -> Operations:
        """The doors of people, behind which no fault strikes unless it does so in a pipeline that is given."""
        return Operations(self._app(), self._engine(pipeline))

    def _app(self) -> App:
        return App({}, Outside(clock=self.clock), self.index.model_dump_json().encode())

    def _engine(self, given: Pipeline | None = None) -> Engine:
        pipeline = given or self.untroubled()
        walks, compares = Walks(pipeline), FullCompares(pipeline)
        return Engine(
            index=self.index,
            stores=self.stores,
            pipeline=pipeline,
            walks=walks,
            draining=Draining(pipeline),
            subscriptions=Subscriptions(pipeline, walks),
            schema_watch=SchemaWatch(pipeline),
            watch=Watch(pipeline),
            compares=compares,
            feed_work=FeedWork(pipeline, walks, compares),
            windows=Windows(pipeline),
            clients={},
            own=(),
        )

    async def settled(self) -> None:
        """Run until nothing is under way and a walk has found nothing more."""
        await self.run_stepped(self.stepped, self.setup.quiet_seconds)

    def begin_counting(self, rounds: int) -> None:
        """From here on faults strike. A story's effects are those until everything is quiet for the first time; with
        two rounds, once more after that, when a walk has found something."""
        self.faults.active, self.faults.count = True, 0
        self.faults.names.clear()
        self._rounds, self._was_quiet = rounds, False

    async def _is_quiet(self) -> bool:
        quiet = await super()._is_quiet()
        if quiet and not self._was_quiet and self._rounds:
            self._rounds -= 1
            self.effects = self.faults.count
        self._was_quiet = quiet
        return quiet

    # --- what must hold ---

    async def check(self) -> list[str]:
        """Everything that is wrong: half links, doubled partners, and linked records that are not equal."""
        pipeline, wrong = self.untroubled(), list[str]()
        for definition in (one for one in self.index.definitions if not one.is_derived):
            wrong += await self.half_links(pipeline, definition)
            async for page in Drifting(pipeline, definition).pages():
                wrong += [
                    f"stale: {definition.right.table} {one.right}: {one.standing} {','.join(one.columns)}"
                    for one in page
                    if one.standing is not Standing.EQUAL
                ]
        return wrong

    async def half_links(self, pipeline: Pipeline, definition: Definition) -> list[str]:
        """Links of which one row says something else than the other one, and claims of records that are still there."""
        links, pair = pipeline.ports.stores.links, pair_name(definition, pipeline.ports.connectors)
        wrong = []
        for side in Side:
            for row in await links.page(pair, side, None, 1000):
                other = await links.get(pair, side.other, row.other) if row.other else None
                claimed = row.state is LinkState.CREATING and await self._is_there(definition, side, row.key)
                if claimed or (row.state is not LinkState.CREATING and not _fits(row, other)):
                    wrong.append(f"half a link: {definition.right.table} {row.side} {row.key} is {row.state}")
        return wrong

    async def _is_there(self, definition: Definition, side: Side, key: str) -> bool:
        place = definition.table(side)
        return bool(await self.clean[place.system].read(place.table, [key], []))

    async def linked(self) -> list[str]:
        """The keys of the last definition's CRM records that are linked."""
        pipeline = self.untroubled()
        pair = pair_name(self.index.definitions[-1], pipeline.ports.connectors)
        rows = await self.stores.links.page(pair, Side.LEFT, None, 1000)
        return [row.key for row in rows if row.state is LinkState.LINKED]

    async def parked(self) -> list[ParkedItem]:
        """What waits for a person."""
        return [one for name in self.names for one in await self.stores.parked.page(name, None, 1000)]

    async def contents(self) -> dict[str, list[str]]:
        """What both systems hold in the tables of the definitions, without keys and numbers."""
        found: dict[str, list[str]] = {}
        for definition in self.index.definitions:
            for side in [Side.LEFT] if definition.is_derived else Side:
                place = definition.table(side)
                pages = self.clean[place.system].pages(place.table, None, self._own(definition, side))
                told = {one.key: str(sorted(one.values.items())) async for page in pages for one in page.records}
                found[f"{place.system} {place.table}"] = sorted(told.values())
        return found

    def _own(self, definition: Definition, side: Side) -> list[str]:
        """Columns whose values do not depend on which keys and numbers were given."""
        keys = self.numbers | {definition.left.table + "id"}
        return [
            one.column(side) for one in definition.fields if one.reference is None and not keys & {one.left, one.right}
        ]


def _fits(row: LinkRow, other: LinkRow | None) -> bool:
    """Whether the other side's row says the same. Of a tombstone the other record may be linked anew."""
    if row.state is LinkState.UNLINKED:
        return True
    return other is not None and other.state is row.state and other.other == row.key
