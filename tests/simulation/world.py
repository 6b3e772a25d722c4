"""A world to run the real engine in: two systems, the stores, the queue, several workers, faults at every port,
virtual time.

Every effect (a call through a port that may change or read something outside) passes `Faults.effect`. A fault kills
the worker before or after the effect, or does the effect and loses the answer. A killed worker forgets everything;
its message comes again when the lock runs out.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TypeVar

from local.definitions import read_definition
from shared.errors import QueueUnavailable, SystemDown, UnknownResult
from shared.messaging.memory import Delivery, LockLost, MemoryQueue, Rules
from shared.messaging.outgoing import send_in_turn
from shared.stores.rows import Operation, Page, Properties, Row, RowStore, RowStoreUnavailable
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, Stores, open_stores
from shared.sync.context import Ports, Timing
from shared.sync.definition import Brakes, Condition, Conflict, Definition, FieldRule, Index, Master, OnDelete
from shared.sync.draining import Draining
from shared.sync.feed_tasks import QUEUE, FeedTask
from shared.sync.feed_work import FeedWork
from shared.sync.fingerprint import Fingerprints
from shared.sync.full_compare import FullCompares
from shared.sync.message import Message
from shared.sync.outcome import Why
from shared.sync.pipeline import Pipeline
from shared.sync.planner import Reason, converted
from shared.sync.ports import (
    Clock,
    DeadLetter,
    JournalEntry,
    LinkState,
    Mode,
    Outgoing,
    QueueView,
    Side,
    Switch,
    Value,
    VersionKind,
    Watermark,
)
from shared.sync.walking import Walks
from shared.sync.windows import Windows
from tests.simulation.loop import LoopClock, SteppedClock
from tests.simulation.noted_rows import NotedRows
from tests.simulation.systems import MemorySystem, Stored

PRINTS = Fingerprints("k1", b"simulation key: 32 bytes at least")
OTHER_PRINTS = Fingerprints("k2", b"another simulation key, as long or so", PRINTS)
TRANSFERS = Path(__file__).parents[2] / "transfers"
Answer = TypeVar("Answer")


class Crash(BaseException):
    """The process dies here."""


class How(StrEnum):
    """What a fault does to an effect. MEANWHILE is none: somebody does something else right before it."""

    BEFORE = "before"
    AFTER = "after"
    LOST = "answer lost"
    REFUSED = "refused"
    MEANWHILE = "meanwhile"


@dataclass
class Faults:
    """Decides about every effect. `at`: one planned fault; `chance`: seeded ones."""

    at: tuple[int, How] | None = None
    chance: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    count: int = 0
    names: list[str] = field(default_factory=list)
    active: bool = True
    struck: int = 0
    on_strike: Callable[[], Awaitable[None]] | None = None

    async def effect(
        self, name: str, lost: Exception, refused: Exception, do: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Pass one effect through."""
        how = self._fault(name)
        if how is None:
            return await do()
        self.struck += 1
        if how is How.BEFORE:
            raise Crash
        if how is How.MEANWHILE:
            assert self.on_strike is not None
            await self.on_strike()
            return await do()
        if how is How.REFUSED:
            raise refused
        await do()
        if self.on_strike:
            await self.on_strike()
        if how is How.AFTER:
            raise Crash
        raise lost

    def _fault(self, name: str) -> How | None:
        if not self.active:
            return None
        self.count += 1
        self.names.append(name)
        if self.at and self.at[0] == self.count:
            return self.at[1]
        if self.chance and self.rng.random() < self.chance:
            return self.rng.choice([How.BEFORE, How.AFTER, How.LOST, How.REFUSED])
        return None


class FaultyRows:
    """A row store whose every call is an effect."""

    def __init__(self, inner: RowStore, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    async def _pass(self, name: str, do: Callable[[], Awaitable[Answer]]) -> Answer:
        gone = RowStoreUnavailable("simulated")
        return await self._faults.effect(f"store {name}", gone, gone, do)

    async def prepare(self) -> None:
        await self._inner.prepare()

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        return await self._pass(f"get {table}", lambda: self._inner.get(table, partition, key))

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        return await self._pass(f"insert {table}", lambda: self._inner.insert(table, partition, key, properties))

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        return await self._pass(
            f"replace {table}", lambda: self._inner.replace(table, partition, key, properties, etag)
        )

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        return await self._pass(f"upsert {table}", lambda: self._inner.upsert(table, partition, key, properties))

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        return await self._pass(f"delete {table}", lambda: self._inner.delete(table, partition, key, etag))

    async def list(
        self, table: str, partition: str, *, after: str | None = None, key_prefix: str = "", limit: int = 1000
    ) -> Page:
        do = self._inner.list
        return await self._pass(
            f"list {table}", lambda: do(table, partition, after=after, key_prefix=key_prefix, limit=limit)
        )

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        return await self._pass(f"transact {table}", lambda: self._inner.transact(table, partition, operations))

    async def aclose(self) -> None:
        await self._inner.aclose()


class FaultyQueue:
    """A queue whose sends are effects."""

    def __init__(self, inner: MemoryQueue, faults: Faults, wake: asyncio.Event) -> None:
        self._inner = inner
        self._faults = faults
        self._wake = wake

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        self._wake.set()
        gone = QueueUnavailable("simulated")
        await self._faults.effect("queue send", gone, gone, lambda: self._inner.send(queue, messages))

    async def send_all(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
        await send_in_turn(self.send, by_queue)

    async def dead_letters(self, queue: str, limit: int) -> Sequence[DeadLetter]:
        return await self._inner.dead_letters(queue, limit)

    async def settle_dead_letter(self, queue: str, letter: DeadLetter) -> None:
        await self._inner.settle_dead_letter(queue, letter)

    async def look(self, queue: str) -> QueueView:
        return await self._inner.look(queue)


class SeededIds:
    """Ids and chance from a seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def new(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    def fraction(self) -> float:
        return self._rng.random()


STEP_SECONDS = 30
"""Between two rounds of the timers in a stepped world. Each round asks the store, which in a sweep may be a real one;
the platform's timers come every 10 to 60 seconds."""
BY_A_PERSON = "a person has linked the two"
WIDE = Brakes(creates_per_hour=100_000, changes_per_hour=100_000, blanks_per_hour=100_000, deletes_per_hour=100_000)


@dataclass(frozen=True)
class Setup:
    """A world's settings. own_numbers: we choose the ERP's numbers; else its series gives them. walks: by the clock.
    notes: the CRM takes them. shared: the web address has two masters, and this rule for conflicts. set_on_delete: by
    transfer, what the partner of a deleted record gets. gone_if: by transfer, what counts as deleted."""

    seed: int = 0
    own_numbers: bool = True
    walks: bool = True
    workers: int = 2
    duplicate: float = 0.0
    drop: float = 0.0
    reorder_seconds: float = 0.0
    brakes: Brakes = field(default_factory=lambda: WIDE)
    set_on_delete: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gone_if: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    crm_versions: VersionKind = VersionKind.ORDERED
    erp_versions: VersionKind = VersionKind.OPAQUE
    lock: timedelta = timedelta(seconds=60)
    quiet_seconds: float = 700
    notes: bool = False
    shared: Conflict | None = None


class World:
    """The engine with everything around it. Use it inside `run_virtually`, or with another clock for real stores."""

    def __init__(
        self, setup: Setup, faults: Faults | None = None, rows: RowStore | None = None, clock: Clock | None = None
    ) -> None:
        self.setup = setup
        self.rng = random.Random(setup.seed)
        self.faults = faults or Faults()
        self.clock = clock or LoopClock()
        self.definition = account_definition(setup)
        self.index = Index(definitions=(self.definition,))
        self.prints = PRINTS
        self.names = [transfer.name for transfer in self.definition.transfers]
        self.queue = MemoryQueue(self.clock, [*self.names, QUEUE], Rules(lock_duration=setup.lock))
        self.rows = NotedRows(rows or SqliteRows(":memory:", TABLES, environment={}))
        self.crm, self.erp = self._systems()
        self.stores: Stores = open_stores(self.rows, self.clock)
        self.crashes = 0
        self._notices = 0
        self._stop = False
        self._wake = asyncio.Event()

    def _systems(self) -> tuple[MemorySystem, MemorySystem]:
        left, versions = _columns(Side.LEFT, self.setup), self.setup.crm_versions
        crm = MemorySystem("dataverse", "org", "account", left, self.clock, True, version_kind=versions)
        crm.takes_notes = self.setup.notes
        erp = MemorySystem(
            "business_central",
            "production/company",
            "customers",
            _columns(Side.RIGHT, self.setup),
            self.clock,
            False,
            enforced_column="number",
            manual_numbers=self.setup.own_numbers,
            uppercase=frozenset({"country", "taxRegistrationNumber"}),
            template={"paymentTermsId.code": "30T"},
            version_kind=self.setup.erp_versions,
        )
        for system in (crm, erp):
            system.listener = self.notice
            system.gate = self._gate(system.system)
        return crm, erp

    def _gate(self, system: str) -> Callable[[str, Callable[[], Awaitable[object]]], Awaitable[object]]:
        async def through(name: str, do: Callable[[], Awaitable[object]]) -> object:
            writes = name in {"create", "update", "delete"}
            lost: Exception = UnknownResult(system) if writes else SystemDown(system)
            return await self.faults.effect(f"{system} {name}", lost, SystemDown(system), do)

        return through

    # --- notices, as the webhook functions would queue them ---

    def notice(self, system: str, key: str, version: str) -> None:
        if self.rng.random() < self.setup.drop:
            return
        times = 2 if self.rng.random() < self.setup.duplicate else 1
        for _ in range(times):
            self.tell(system, key, f"{system}/{key}/{version}/{self._notices if times > 1 else 0}")
            self._notices += 1

    def tell(self, system: str, key: str, change_id: str) -> None:
        """Queue a notice to both transfers of the pair."""
        side = Side.LEFT if system == "dataverse" else Side.RIGHT
        delay = timedelta(seconds=self.rng.random() * self.setup.reorder_seconds)
        for name in self.names:
            message = Message(
                transfer=name,
                side=side,
                table=self.definition.table(side).table,
                keys=(key,),
                cause="notice",
                occurred_at=self.clock.now(),
                attempt=0,
                correlation_id=change_id,
                change_id=change_id,
            )
            due = self.clock.now() + delay if delay else None
            out = Outgoing(message.message_id(), message.to_json(), due, change_id)
            _run_now(self.queue.send(name, [out]))
            self._wake.set()

    # --- processes ---

    async def prepare(self) -> None:
        """Switch both transfers on and start their feeds."""
        await self.rows.prepare()
        for name in self.names:
            mode = await self.stores.modes.get(name)
            await self.stores.modes.put(Mode(name, Switch.ON, self.clock.now(), "test", etag=mode.etag))
            await self.stores.watermarks.put(f"drain|{name}", Watermark(None, self.clock.now()))
        was, self.faults.active = self.faults.active, False
        await Walks(self.process()).due()
        self.faults.active = was

    def process(self) -> Pipeline:
        """A fresh process: nothing remembered."""
        ports = Ports(
            connectors={"dataverse": self.crm, "business_central": self.erp},
            stores=open_stores(FaultyRows(self.rows, self.faults), self.clock),
            queue=FaultyQueue(self.queue, self.faults, self._wake),
            clock=self.clock,
            ids=SeededIds(self.rng),
            prints=self.prints,
            timing=Timing(),
        )
        return Pipeline(ports, self.index)

    def deploy(self, *, prints: Fingerprints | None = None, converter: str = "") -> None:
        """A new version: another key for fingerprints, or another converter for web addresses. Each process goes on
        with the old one until it has done what it is at."""
        self.prints = prints or self.prints
        if converter:
            fields = [_with_web(rule, convert=converter) for rule in self.definition.fields]
            self.definition = self.definition.model_copy(update={"fields": tuple(fields)})
            self.index = Index(definitions=(self.definition, *self.index.definitions[1:]))

    def _goes_on(self, pipeline: Pipeline) -> bool:
        """Whether a process goes on: nobody stops it, and it is of the present version."""
        return not self._stop and pipeline.index is self.index and pipeline.ports.prints is self.prints

    async def run(self, hours: float = 24.0) -> None:
        """Run workers and timers until everything is quiet; `hours` is the patience in virtual time."""
        self._stop = False
        async with asyncio.TaskGroup() as group:
            for _ in range(self.setup.workers):
                group.create_task(self._worker())
            group.create_task(self._timers())
            group.create_task(self._watch(hours))

    async def _watch(self, hours: float) -> None:
        end, quiet_since = self.clock.monotonic() + hours * 3600, None
        while True:
            await self.clock.sleep(2)
            now = self.clock.monotonic()
            if not await self._is_quiet():
                quiet_since = None
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since > self.setup.quiet_seconds:
                break
            if now > end:
                self._stop = True
                raise AssertionError(f"seed {self.setup.seed}: not quiet after {hours} hours: {self.describe()}")
        self._stop = True

    async def _is_quiet(self) -> bool:
        counts = [self.queue.counts(name) for name in (*self.names, QUEUE)]
        if any(c.ready or c.scheduled or c.locked or c.dead for c in counts):
            return False
        return not await self.rows.is_pending(self.stores.pending, self.names)

    def describe(self) -> str:
        return "; ".join(f"{name} {self.queue.counts(name)}" for name in self.names)

    async def _worker(self) -> None:
        while not self._stop:
            pipeline = self.process()
            try:
                await self._serve(pipeline)
            except BaseException as death:
                if not is_crash(death):
                    raise
                self.crashes += 1
                await self.clock.sleep(1)

    async def _serve(self, pipeline: Pipeline) -> None:
        while self._goes_on(pipeline):
            busy = False
            for name in (*self.names, QUEUE):
                delivery = await self.queue.receive(name)
                if delivery:
                    busy = True
                    await self.handle(pipeline, delivery)
            if not busy:
                await self._idle()

    async def _idle(self) -> None:
        """Wait for a message, or for the moment when one becomes due."""
        event = self.queue.next_event()
        pause = 10.0 if event is None else max(0.01, min(10.0, (event - self.clock.now()).total_seconds()))
        self._wake.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause)

    async def handle(self, pipeline: Pipeline, delivery: Delivery) -> None:
        """What the host does with a message: complete after success, abandon at once after an error."""
        try:
            await self._run_message(pipeline, delivery)
        except Exception:
            await self._settle(self.queue.abandon(delivery))
        else:
            await self._settle(self.queue.complete(delivery))

    async def _run_message(self, pipeline: Pipeline, delivery: Delivery) -> None:
        if delivery.queue == QUEUE:
            work = FeedWork(pipeline, Walks(pipeline), FullCompares(pipeline))
            await work.run(FeedTask.from_json(delivery.body))
        else:
            await pipeline.run(Message.from_json(delivery.body))

    async def _settle(self, settle: Awaitable[None]) -> None:
        try:
            await settle
        except LockLost:
            return

    async def _timers(self) -> None:
        while not self._stop:
            pipeline = self.process()
            try:
                while self._goes_on(pipeline):
                    await self.clock.sleep(10)
                    await self.tick(pipeline)
            except BaseException as death:
                if not is_crash(death):
                    raise
                self.crashes += 1

    async def tick(self, pipeline: Pipeline) -> None:
        """One round of the timers; an error is logged by the host and the next round comes."""
        calls: list[Callable[[], Awaitable[object]]] = [Draining(pipeline).tick, Draining(pipeline).sweep]
        if self.setup.walks:
            calls[:0] = [Walks(pipeline).due, Windows(pipeline).due]
        for call in calls:
            with suppress(Exception):
                await call()

    async def run_stepped(self, clock: SteppedClock, quiet_seconds: float = 12, hours: float = 30) -> None:
        """Run one message at a time without an event loop of our own: for real stores, and for sweeps.

        Deterministic: the next message is taken as soon as one is ready, else time steps to the next event. A killed
        worker's message stays locked, so everything else (its echo's notice above all) is handled first.
        """
        pipeline, quiet, end = self.process(), 0.0, clock.monotonic() + hours * 3600
        ticked = clock.monotonic()
        while quiet < quiet_seconds:
            if clock.monotonic() > end:
                raise AssertionError(f"seed {self.setup.seed}: not quiet after {hours} hours: {self.describe()}")
            try:
                busy = await self._step(pipeline)
                if not busy:
                    before = clock.monotonic()
                    clock.step_to(self.queue.next_event(), STEP_SECONDS)
                    if clock.monotonic() - ticked >= STEP_SECONDS:
                        ticked = clock.monotonic()
                        await self.tick(pipeline)
                    quiet = quiet + clock.monotonic() - before if await self._is_quiet() else 0.0
            except BaseException as death:
                if not is_crash(death):
                    raise
                self.crashes += 1
                pipeline = self.process()

    async def _step(self, pipeline: Pipeline) -> bool:
        for name in (*self.names, QUEUE):
            delivery = await self.queue.receive(name)
            if delivery:
                await self.handle(pipeline, delivery)
                return True
        return False

    # --- what must hold ---

    async def check(self) -> list[str]:
        """Everything that is wrong: lost, doubled, stale, half linked. Parked records are told apart by their
        reason."""
        wrong: list[str] = []
        parked = {item.key for name in self.names for item in await self.stores.parked.page(name, None, 1000)}
        links = await self._links()
        partners: dict[str, str] = {}
        for key, stored in self.crm.records.items():
            other = links.get(key)
            if other is None:
                qualified = stored.values.get("cdock_stage") == "qualified"
                qualified = qualified and key not in self.crm.merged
                if qualified and key not in parked and not await self._is_widowed(Side.LEFT, key):
                    wrong.append(f"lost: account {key} has no customer and is not parked")
                continue
            if other in partners:
                wrong.append(f"customer {other} is linked to {key} and {partners[other]}")
            partners[other] = key
            if other in self.erp.records and key not in parked and other not in parked:
                wrong += await self._differences(key, other)
            wrong += self._needless_writes(key, other)
            wrong += await self._untold(key, other)
        for key in self.erp.records:
            if key not in partners and key not in parked and not await self._is_widowed(Side.RIGHT, key):
                wrong.append(f"lost or doubled: customer {key} has no account and is not parked")
        wrong += [f"dangling: deleted account {key} is linked" for key in links if key not in self.crm.records]
        wrong += [
            f"left behind: merged account {key} is linked" for key in (links.keys() & self.crm.merged.keys()) - parked
        ]
        untold = self.setup.drop > 0  # no feed knows of deleted customers
        gone = [] if untold else [other for other in links.values() if other not in self.erp.records]
        return wrong + [f"dangling: deleted customer {key} is linked" for key in gone]

    async def _is_widowed(self, side: Side, key: str) -> bool:
        """Whether its partner was deleted or counts as that, so that it may go on alone."""
        row = await self.stores.links.get(self.pair, side, key)
        if row is None or row.state is not LinkState.UNLINKED:
            return False
        other = (self.erp.records if side is Side.LEFT else self.crm.records).get(row.other)
        return other is None or self._counts_as_gone(side.other, other)

    def _counts_as_gone(self, side: Side, stored: Stored) -> bool:
        conditions = [one.gone_if for one in self.definition.transfers if one.source is side and one.gone_if]
        return any(
            all(str(stored.values.get(name)) in values for name, values in one.columns.items()) for one in conditions
        )

    async def _links(self) -> dict[str, str]:
        pair = self.pair
        found: dict[str, str] = {}
        for row in await self.stores.links.page(pair, Side.LEFT, None, 1000):
            if row.state is LinkState.LINKED:
                other = await self.stores.links.get(pair, Side.RIGHT, row.other)
                if other is None or other.state is not LinkState.LINKED or other.other != row.key:
                    raise AssertionError(f"half a link: {row.key} -> {row.other}")
                found[row.key] = row.other
        return found

    async def _links_of_thousands(self) -> dict[str, str]:
        """All links, however many."""
        found: dict[str, str] = {}
        after = None
        while rows := await self.stores.links.page(self.pair, Side.LEFT, after, 1000):
            found |= {row.key: row.other for row in rows if row.state is LinkState.LINKED}
            after = rows[-1].key
        return found

    @property
    def pair(self) -> str:
        return "dataverse/org/account~business_central/production/company/customers"

    async def _differences(self, left: str, right: str) -> list[str]:
        """Fields in which a linked pair differs, but for blanks that a first agreement has kept and said so."""
        crm, erp = self.crm.records[left].values, self.erp.records[right].values
        kept = await self._kept_blanks(left, right)
        wrong = []
        for rule in self.definition.fields:
            sent = converted(rule, Side.LEFT, crm)
            if _plain(sent) != _plain(erp.get(rule.right)) and rule.left not in kept:
                wrong.append(
                    f"stale: {rule.left}={crm.get(rule.left)!r} {rule.right}={erp.get(rule.right)!r} of {left}"
                )
        return wrong

    def _needless_writes(self, left: str, right: str) -> list[str]:
        """Fields that the transfers wrote more often than people changed them on either side. A record that a transfer
        made, or filled in by a template, counts as one change of every field; a record merged into it likewise."""
        losers, wrong = self._merged_into(left), []
        for rule in self.definition.fields:
            writes = self.crm.writes[left, rule.left] + self.erp.writes[right, rule.right]
            edits = self.crm.edits[left, rule.left] + self.erp.edits[right, rule.right]
            edits += sum(self.crm.edits[loser, rule.left] + 1 for loser in losers)
            if writes > edits + 1:
                wrong.append(f"needless: {rule.left} of {left} was changed {edits} times and written {writes} times")
        return wrong

    def _merged_into(self, winner: str) -> set[str]:
        """The accounts that were merged into one, directly or on the way."""
        into: set[str] = {winner}
        while more := {loser for loser, one in self.crm.merged.items() if one in into} - into:
            into |= more
        return into - {winner}

    async def _untold(self, left: str, right: str) -> list[str]:
        """Links and writes of which the journal does not say how they came about."""
        entries = await self._entries(left, right)
        told = {one.left for entry in entries for one in entry.fields}
        crm, erp = self.crm.writes, self.erp.writes
        written = [one.left for one in self.definition.fields if crm[left, one.left] + erp[right, one.right]]
        if self._merged_into(left):  # what an earlier partner gave it is told at that one
            written = []
        wrong = [f"untold: {name} of {left} was written" for name in written if name not in told]
        made = (Why.NEW, Why.FOUND_OURS, Why.LINKED, Why.INHERITED, BY_A_PERSON)
        if not any(one.reason.startswith(made) for one in entries):
            wrong.append(f"untold: the link of {left}")
        return wrong

    async def _entries(self, left: str, right: str) -> list[JournalEntry]:
        of_record = self.stores.journal.of_record
        return [
            *await of_record(self.pair, Side.LEFT, left, 1000),
            *await of_record(self.pair, Side.RIGHT, right, 1000),
        ]

    async def _kept_blanks(self, left: str, right: str) -> set[str]:
        entries = await self._entries(left, right)
        return {told.left for entry in entries for told in entry.fields if told.reason == Reason.BLANK_KEPT.value}


def _plain(value: Value) -> str:
    return str(value or "").upper()


def is_crash(error: BaseException) -> bool:
    """Whether a process has died, in whatever group of errors that stands."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_crash(inner) for inner in error.exceptions)
    return isinstance(error, Crash)


def _run_now(coroutine: Awaitable[None]) -> None:
    """Drive a coroutine that never really waits (the memory queue's send) from ordinary code."""
    try:
        coroutine.__await__().__next__()
    except StopIteration:
        return
    raise AssertionError("the memory queue waited")


def _columns(side: Side, setup: Setup) -> Mapping[str, int | None]:
    """The columns of one side of the definition, with the documented lengths of those that can be too long."""
    known = {"displayName": 100, "name": 160, "phoneNumber": 30, "telephone1": 50, "email": 80, "emailaddress1": 100}
    return {column: known.get(column) for column in account_definition(setup).columns(side)}


def account_definition(setup: Setup) -> Definition:
    """The product's own definition of accounts and customers, in the world that the setup names."""
    definition = _written_definition()
    transfers = [
        transfer
        if transfer.choose_key is None or setup.own_numbers
        else transfer.model_copy(update={"choose_key": None})
        for transfer in definition.transfers
    ]
    transfers = [
        one.model_copy(update={"on_delete": OnDelete.SET, "set_on_delete": dict(setup.set_on_delete[one.name])})
        if one.name in setup.set_on_delete
        else one
        for one in transfers
    ]
    transfers = [
        one.model_copy(update={"gone_if": Condition(columns=dict(setup.gone_if[one.name]))})
        if one.name in setup.gone_if
        else one
        for one in transfers
    ]
    fields = definition.fields
    if setup.shared:
        both = {"master_unlinked": Master.BOTH, "master_linked": Master.BOTH, "conflict": setup.shared}
        fields = tuple(_with_web(rule, **both) for rule in fields)
    return definition.model_copy(update={"transfers": tuple(transfers), "brakes": setup.brakes, "fields": fields})


def _with_web(rule: FieldRule, **changed: object) -> FieldRule:
    """A rule, changed if it is that of the web address."""
    return rule.model_copy(update=changed) if rule.left == "websiteurl" else rule


@cache
def _written_definition() -> Definition:
    """Read once for all worlds: reading it takes longer than a small world's whole story."""
    text = (TRANSFERS / "business_central" / "account.yaml").read_text("utf-8")
    return read_definition(text, "transfers/business_central/account.yaml")
