"""The steps of a transfer, in order. Read this first.

A message names records. For each: is the transfer on, are the systems there; load the source, is it in scope, find
link or claim; load the target where needed; plan; brakes; write; remember; write back; journal. Then the message is
settled: what must come again is sent as a copy first, what waits for a system is kept as pending, what needs a person
is parked. Nothing is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from hashlib import blake2b

from shared.errors import (
    ConnectorError,
    CrossdockError,
    NotMastered,
    SettingsError,
    StoreUnavailable,
    SystemDown,
    Throttled,
    UnknownColumn,
    UnknownResult,
    Unreadable,
    VersionConflict,
    WrongEnvironment,
)
from shared.sync.brakes import Brake, BrakePulled
from shared.sync.breaker import BreakerPanel, watched
from shared.sync.claims import Doubled, Taken, Undone, exhume, finish_undoing
from shared.sync.context import MatchIndex, Ports, Prepared, pair_name
from shared.sync.creating import Creating, Linked, parked, parked_for
from shared.sync.definition import Definition, IfUnlinked, Index, OnReturn, Transfer
from shared.sync.dependents import Dependents
from shared.sync.editors import told_edits
from shared.sync.environments import EnvironmentGuard
from shared.sync.homes import home_of, linked_home
from shared.sync.merging import MERGE, Merged, Merging
from shared.sync.message import COMPARE, DRAIN, Message
from shared.sync.moving import Moved, is_elsewhere
from shared.sync.other_direction import OtherDirection
from shared.sync.outcome import Kind, Outcome, Tell, Why
from shared.sync.planner import sent_after
from shared.sync.ports import (
    Connector,
    JournalEntry,
    LinkRow,
    LinkState,
    Mode,
    ParkedItem,
    PendingItem,
    Record,
    RowTaken,
    Side,
    Switch,
)
from shared.sync.preparing import prepared_for, reference_pairs
from shared.sync.pulse import Pulses
from shared.sync.qualifying import in_scope
from shared.sync.reading import read_apart
from shared.sync.releasing import Releasing
from shared.sync.retrying import PATIENCE, Park, decide
from shared.sync.site_modes import KnownModes, is_selected
from shared.sync.slicing import Partners, Slicing
from shared.sync.updating import Updating, with_parked
from shared.sync.values import canonical

log = logging.getLogger(__name__)

LINKED = "linked"
"""The cause of a message about a record that is just being linked."""
LOOK_AGAIN_SECONDS = 60.0
"""Between two looks at the tables of a transfer that meets what its systems do not know."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the journal holds of a run that goes on. wrote: as it was when the run had last written something."""

    entry: JournalEntry
    wrote: JournalEntry | None


@dataclass(frozen=True, slots=True)
class Done:
    """One record's outcome in a run. key: as the message names it.

    about: the record that it concerns, where that is another one: the account of an opportunity, the source's record
    for a message about the target's. It is what is parked; the journal tells of the record on the message's side.
    told: what the journal holds of this run already.
    """

    key: str
    outcome: Outcome
    failed: bool = False
    about: tuple[Side, str] | None = None
    told: Told | None = None


@dataclass
class Pipeline:
    """Runs messages of all transfers; one per process.

    loads: the transfer that this pipeline loads, whatever its switch says; match_index, searches_too: see `Prepared`.
    refused: transfers whose definition names columns that a system does not have, with file, line and remedy; their
    changes wait.
    """

    ports: Ports
    index: Index
    loads: str = ""
    match_index: MatchIndex | None = None
    searches_too: bool = True
    panel: BreakerPanel = field(init=False)
    pulses: Pulses = field(init=False)
    environments: EnvironmentGuard = field(init=False)
    site_modes: KnownModes = field(init=False)
    refused: dict[str, str] = field(default_factory=dict)
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _brakes: dict[str, Brake] = field(default_factory=dict)
    _modes: dict[str, tuple[float, Mode]] = field(default_factory=dict)
    _preparing: dict[str, asyncio.Lock] = field(default_factory=dict)
    _looking: dict[str, asyncio.Lock] = field(default_factory=dict)
    _looked: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.panel = BreakerPanel(self.ports)
        connectors = {name: watched(connector, self.panel) for name, connector in self.ports.connectors.items()}
        self.ports = replace(self.ports, connectors=connectors)
        self.pulses = Pulses(self.ports)
        self.environments = EnvironmentGuard(self.ports)
        self.site_modes = KnownModes(self.ports)

    # --- the steps of a message ---

    async def run(self, message: Message) -> Sequence[Done]:
        """Run one message to its end and settle it; answers the outcome of every key.

        Raises only when the store or the queue fails: then the message comes again as it is, and repeating it is
        harmless.
        """
        definition, transfer = self._find(message.transfer)
        run = self.ports.ids.new()
        waiting = await self.must_wait(definition, transfer)
        if waiting:
            done = [Done(key, waiting) for key in message.keys]
            return await self._settle(message, transfer, run, done, {})
        try:
            await self.panel.ask_if_suspect(self._connector(definition, message.side.other))
            prepared = await self.prepare(transfer.name)
        except (UnknownColumn, WrongEnvironment) as error:
            why = Why.DEFINITION if isinstance(error, UnknownColumn) else Why.ENVIRONMENT
            refused = Outcome(Kind.DEFERRED, why, pending=True, code=error.code)
            return await self._settle(message, transfer, run, [Done(key, refused) for key in message.keys], {})
        except (ConnectorError, SettingsError) as error:
            done = [Done(key, *await self._after(error, message, self._connectors(definition))) for key in message.keys]
            return await self._settle(message, transfer, run, done, {})
        return await self._run_prepared(message, prepared, run)

    async def _run_prepared(self, message: Message, prepared: Prepared, run: str) -> Sequence[Done]:
        pending = await self._pending_rows(message)
        dependents = Dependents(self.ports, self.index)
        if dependents.is_about_a_parent(message, prepared):
            told = [Done(key, outcome) for key, outcome in await self._handed_on(dependents, message, prepared)]
            return await self._settle(message, prepared.transfer, run, told, pending)
        started = self.ports.clock.monotonic()
        work = _Work(self, message, prepared, run, started)
        done = await (work.days() if prepared.definition.is_derived else work.all())
        return await self._settle(message, prepared.transfer, run, done, pending)

    async def _handed_on(
        self, dependents: Dependents, message: Message, prepared: Prepared
    ) -> Sequence[tuple[str, Outcome]]:
        try:
            return [(key, await dependents.queue_those_of(key, message, prepared)) for key in message.keys]
        except (ConnectorError, SettingsError) as error:
            outcome, _ = await self._after(error, message, [prepared.source, prepared.target])
            return [(key, outcome) for key in message.keys]

    def _find(self, name: str) -> tuple[Definition, Transfer]:
        for definition, transfer in self.index.transfers():
            if transfer.name == name:
                return definition, transfer
        raise KeyError(f"there is no transfer {name} in the index")

    def _connectors(self, definition: Definition) -> list[Connector]:
        return [self._connector(definition, side) for side in Side]

    def _connector(self, definition: Definition, side: Side) -> Connector:
        return self.ports.connectors[definition.table(side).system]

    async def must_wait(self, definition: Definition, transfer: Transfer) -> Outcome | None:
        """Whether the mode, the switch or an open breaker keeps the transfer from running."""
        if await self.site_modes.is_none(definition):
            return Outcome(Kind.SKIPPED, Why.MODE_NONE)
        switch = await self.switch(transfer.name)
        if switch is Switch.OFF:
            return Outcome(Kind.SKIPPED, Why.SWITCHED_OFF)
        if switch is Switch.STOPPED:
            return Outcome(Kind.DEFERRED, Why.STOPPED, pending=True)
        for connector in self._connectors(definition):
            if await self.panel.is_open(connector):
                return Outcome(Kind.DEFERRED, Why.SYSTEM_DOWN, pending=True)
        return None

    async def switch(self, transfer: str) -> Switch:
        """The transfer's switch, at most `switch_age` old; that of a transfer being loaded is on. In mode none every
        one is off."""
        if await self.site_modes.is_none(self._find(transfer)[0]):
            return Switch.OFF
        return (await self._mode(transfer)).switch

    async def _mode(self, transfer: str) -> Mode:
        if transfer == self.loads:
            return Mode(transfer, Switch.ON)
        now = self.ports.clock.monotonic()
        seen_at, mode = self._modes.get(transfer, (float("-inf"), Mode(transfer, Switch.OFF)))
        if now - seen_at >= self.ports.timing.switch_age.total_seconds():
            mode = await self.ports.stores.modes.get(transfer)
            self._modes[transfer] = (now, mode)
        return mode

    def forget_switches(self) -> None:
        """Read the switches again at the next message; called by the process that moved one, and after a brake."""
        self._modes.clear()
        self.site_modes.forget()

    async def prepare(self, name: str) -> Prepared:
        """What a transfer needs, made once per process: its columns checked against both systems' metadata.

        Raises WrongEnvironment when one of the systems is not the one its links were made for, or one is for tests and
        the other is not.
        """
        definition, _ = self._find(name)
        await self.environments.require(definition.systems)
        await self.environments.require_one_profile(definition.systems, definition.profile)
        async with self._preparing.setdefault(name, asyncio.Lock()):
            if name not in self._prepared:
                definition, transfer = self._find(name)
                try:
                    belong = partial(self.environments.still_one_profile, definition.systems, definition.profile)
                    prepared = await prepared_for(self.ports, self.index, definition, transfer, belong)
                    noted = self.match_index if name == self.loads else None
                    self._prepared[name] = replace(prepared, match_index=noted, searches_too=self.searches_too)
                except UnknownColumn as error:
                    if name not in self.refused:
                        log.error(
                            "definition refused", extra={"transfer": name, "code": error.code, "told": error.detail}
                        )
                    self.refused[name] = error.detail
                    raise
                self.refused.pop(name, None)
                approved = partial(self.site_modes.approved_creates, definition)
                self._brakes[name] = Brake(self.ports, self._prepared[name], partial(self._mode, name), approved)
        return self._prepared[name]

    async def no_longer_fits(self, name: str) -> bool:
        """Whether a transfer that has met an unknown table or column is refused once its tables are looked at anew;
        from then on its changes wait. False: it fits, or was looked at just now, and the record is at fault."""
        async with self._looking.setdefault(name, asyncio.Lock()):
            now = self.ports.clock.monotonic()
            if (
                name not in self.refused
                and now >= self._looked.get(name, now - LOOK_AGAIN_SECONDS) + LOOK_AGAIN_SECONDS
            ):
                self._looked[name] = now
                await self._look_anew(name)
        return name in self.refused

    async def _look_anew(self, name: str) -> None:
        """Prepare a transfer by what its systems tell now; a system that does not answer leaves it as it was."""
        definition, _ = self._find(name)
        prepared = self._prepared.pop(name, None)
        try:
            for side in Side:
                table = definition.table(side)
                with suppress(UnknownColumn):
                    await self.ports.connectors[table.system].survey(table.table)
            await self.prepare(name)
        except UnknownColumn:
            return
        except (ConnectorError, SettingsError):
            if prepared is not None:
                self._prepared[name] = prepared

    async def lengths(self, definition: Definition) -> Mapping[Side, Mapping[str, int | None]]:
        """The longest texts that the columns of both sides take."""
        found: dict[Side, Mapping[str, int | None]] = {}
        for side in Side:
            table = definition.table(side)
            columns = (await self.ports.connectors[table.system].metadata(table.table)).columns
            found[side] = {name: column.max_length for name, column in columns.items()}
        return found

    def left_out(self) -> Mapping[str, Sequence[str]]:
        """For each transfer that has run: the columns of its definition that a system lacks, and that it may lack."""
        return {name: prepared.left_out for name, prepared in self._prepared.items() if prepared.left_out}

    def brake(self, transfer: str) -> Brake:
        return self._brakes[transfer]

    # --- errors become outcomes ---

    async def _after(self, error: Exception, message: Message, connectors: Sequence[Connector]) -> tuple[Outcome, bool]:
        """The outcome after an error, and whether it counts as a failure."""
        if isinstance(error, SystemDown):
            down = next((c for c in connectors if c.system == error.system), None)
            if down and await self.panel.is_open(down):
                return Outcome(Kind.DEFERRED, Why.SYSTEM_DOWN, pending=True, code=error.code), False
        age = self.ports.clock.now() - message.occurred_at
        decision = decide(error, message.attempt, message.failures, age, self.ports.ids.fraction())
        code = error.code if isinstance(error, CrossdockError) else type(error).__name__
        if isinstance(decision, Park):
            return parked_for(error, decision.code), False
        if decision.failed:
            where = "".join(traceback.format_tb(error.__traceback__))
            log.warning("run failed", extra={"transfer": message.transfer, "code": code, "where": where})
        return Outcome(Kind.DEFERRED, _why(error), delay=decision.delay, code=code), decision.failed

    # --- settling ---

    async def _settle(
        self, message: Message, transfer: Transfer, run: str, done: Sequence[Done], pending: Mapping[str, PendingItem]
    ) -> Sequence[Done]:
        """Copies first, then pending and parked rows, then the journal; the message itself is completed by the
        host after this."""
        await self._send_copies(message, done)
        for one in done:
            if one.outcome.pending:
                await self._keep_pending(message, one)
            elif one.key in pending and one.outcome.kind is not Kind.DEFERRED:
                await self.ports.stores.pending.remove(pending[one.key])
            if one.outcome.kind is Kind.PARKED:
                await self._park(message, run, one)
            elif (
                message.cause.startswith("retry")
                and one.outcome.kind is not Kind.DEFERRED
                and one.outcome.why not in (Why.SWITCHED_OFF, Why.MODE_NONE)
            ):
                await self.ports.stores.parked.remove(message.transfer, message.side, one.key)
        entries = [(one.told, self.entry(message, transfer, run, one)) for one in done]
        await self.ports.stores.journal.write([entry for told, entry in entries if told is None or entry != told.entry])
        if message.cause == COMPARE and not message.attempt:  # the compare waits while its messages are not handled
            await self.ports.stores.counters.add(COMPARE, message.correlation_id, 1)
        await self.pulses.beat(message.transfer, [one.outcome for one in done])
        for one in done:
            _log_outcome(message, run, one)
        return done

    async def _send_copies(self, message: Message, done: Sequence[Done]) -> None:
        by_delay: dict[tuple[timedelta, bool], list[str]] = {}
        for one in done:
            outcome = one.outcome
            if outcome.kind is Kind.DEFERRED and not outcome.pending:
                by_delay.setdefault((outcome.delay or timedelta(), one.failed), []).append(one.key)
        now = self.ports.clock.now()
        for (delay, failed), keys in by_delay.items():
            copy = deferred_copy(message, keys, failed=failed)
            await self.ports.queue.send(message.transfer, [copy.outgoing(now + delay if delay else None)])

    async def _keep_pending(self, message: Message, one: Done) -> None:
        now, why = self.ports.clock.now(), one.outcome.why.value
        table = self._related_table(message)
        item = PendingItem(
            transfer=message.transfer,
            side=message.side,
            key=one.key,
            since=now,
            reason=why,
            correlation_id=message.correlation_id,
            table=table,
            editor=told_edits(self._find(message.transfer)[0], message).get(one.key, ""),
            cause=message.cause if is_selected(message.cause) else "",
        )
        await self.ports.stores.pending.put(item)

    async def _pending_rows(self, message: Message) -> Mapping[str, PendingItem]:
        """The pending rows that a drain's message stands for, or a person's word, read before anything else: news after
        this keep their row."""
        if message.cause != DRAIN and not is_selected(message.cause):
            return {}
        get, table = self.ports.stores.pending.get, self._related_table(message)
        found = [(key, await get(message.transfer, message.side, key, table)) for key in message.keys]
        return {key: item for key, item in found if item}

    def _related_table(self, message: Message) -> str:
        """The message's table if its keys are none of the pair's own records."""
        own = self._find(message.transfer)[0].table(message.side).table
        return "" if message.table == own else message.table

    async def _park(self, message: Message, run: str, one: Done) -> None:
        now, outcome = self.ports.clock.now(), one.outcome
        side, key = one.about or (message.side, one.key)
        known = await self.ports.stores.parked.get(message.transfer, side, key)
        item = ParkedItem(
            transfer=message.transfer,
            side=side,
            key=key,
            table="" if one.about else self._related_table(message),
            code=outcome.code,
            sentence=outcome.sentence,
            who=outcome.who,
            remedy=outcome.remedy,
            field=outcome.field,
            first_at=known.first_at if known else now,
            last_at=now,
            times=known.times + 1 if known else 1,
            correlation_id=message.correlation_id,
            run=run,
            others=outcome.others,
            candidates=outcome.candidates,
        )
        await self.ports.stores.parked.put(item)
        await self._flag(message.transfer, side, key)

    async def _flag(self, transfer: str, side: Side, key: str) -> None:
        """Note on the link that an item waits, so that the next success closes it as superseded."""
        links = self.ports.stores.links
        pair = pair_name(self._find(transfer)[0], self.ports.connectors)
        home = await linked_home(links, pair, side, key)
        if home is not None:
            with suppress(RowTaken):
                await links.replace(with_parked(home, transfer, waits=True))

    def entry(self, message: Message, transfer: Transfer, run: str, one: Done) -> JournalEntry:
        side, key = message.side, one.key
        if one.about and one.about[0] is side:
            key = one.about[1]
        other = one.outcome.other
        if side is not transfer.source and other == key:
            other = ""
        entry = JournalEntry(
            run=run,
            at=one.told.entry.at if one.told else self.ports.clock.now(),
            transfer=transfer.name,
            pair=pair_name(self._find(transfer.name)[0], self.ports.connectors),
            side=side,
            key=key,
            other=other,
            outcome=one.outcome.kind.value,
            reason=one.outcome.why.value,
            code=one.outcome.code,
            cause=message.cause,
            attempt=message.attempt,
            correlation_id=message.correlation_id,
            fields=one.outcome.fields,
            counts=one.outcome.counts,
            field=one.outcome.field,
        )
        return _then(one.told.wrote, entry) if one.told and one.told.wrote else entry


@dataclass
class _Work:
    """The records of one message in one run."""

    pipeline: Pipeline
    message: Message
    prepared: Prepared
    run: str
    started: float
    _told: dict[str, Told] = field(default_factory=dict)

    @property
    def _ports(self) -> Ports:
        return self.pipeline.ports

    async def all(self) -> list[Done]:
        """Every key of the message, a few at once, within the time budget."""
        gate = asyncio.Semaphore(self._ports.timing.at_once)
        try:
            loaded = await self._load()
        except (ConnectorError, SettingsError) as error:
            return [await self._failed(key, error) for key in self.message.keys]
        if len(self.message.keys) == 1:
            return [await self._one(self.message.keys[0], loaded, gate)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(key, loaded, gate)) for key in self.message.keys]
        return [task.result() for task in tasks]

    async def days(self) -> list[Done]:
        """Every day that the message names, one after another, within the time budget."""
        return [await self._day(key) for key in self.message.keys]

    async def _day(self, key: str) -> Done:
        if self._is_late():
            return Done(key, Outcome(Kind.DEFERRED, Why.HANDED_BACK, burns_attempt=False))
        if waiting := await self._must_wait():
            return Done(key, waiting)
        slicing = self._slicing()
        try:
            outcome, failed = await slicing.day(key), False
        except Exception as error:
            done = await self._failed(key, error)
            outcome, failed = done.outcome, done.failed
        if outcome.kind in (Kind.CREATED, Kind.UPDATED, Kind.UNCHANGED):
            await self._ports.stores.parked.remove(self.message.transfer, self._side, key)
        return Done(key, replace(outcome, counts=slicing.told), failed)

    def _slicing(self) -> Slicing:
        prepared, pipeline = self.prepared, self.pipeline
        pairs = reference_pairs(self._ports, pipeline.index, prepared.definition, prepared.side)
        require = pipeline.environments.require_one_profile
        return Slicing(
            ports=self._ports,
            prepared=prepared,
            run=self.run,
            brake=pipeline.brake(prepared.transfer.name),
            started=self.started,
            partners=Partners(self._ports, prepared.side, pairs),
            before_deleting=partial(require, prepared.definition.systems, prepared.definition.profile),
        )

    async def _must_wait(self) -> Outcome | None:
        """What has been stopped since the message began concerns its other records, too."""
        if len(self.message.keys) == 1:
            return None
        return await self.pipeline.must_wait(self.prepared.definition, self.prepared.transfer)

    def _is_late(self) -> bool:
        """Whether the time budget is used up."""
        return self._ports.clock.monotonic() - self.started > self._ports.timing.budget.total_seconds()

    async def _load(self) -> _Loaded:
        """Link rows first, then all records in as few calls as the system allows; never the other way round."""
        prepared, rows = self.prepared, dict[str, LinkRow | None]()
        subjects = {key: await self._subject(key) for key in self.message.keys}
        for subject in filter(None, subjects.values()):
            rows[subject] = await self._ports.stores.links.get(prepared.pair, self._side, subject)
        wanted = list(rows)
        if self._side is not prepared.side:
            wanted = [key for key, row in rows.items() if row and row.state is LinkState.LINKED]
        records: Mapping[str, Record] = {}
        unreadable: Mapping[str, Unreadable] = {}
        if wanted:
            table = prepared.definition.table(self._side).table
            columns = prepared.columns(self._side)
            records, unreadable = await read_apart(prepared.connector(self._side), table, wanted, columns)
        return _Loaded(subjects, rows, records, unreadable)

    @property
    def _side(self) -> Side:
        """The side of the pair that the records are on; a related table stands for the source's side."""
        return self.message.side

    async def _subject(self, key: str) -> str | None:
        """The key in canonical form, or the record that a related record names; None for no record at all."""
        prepared, table = self.prepared, self.message.table
        connector = prepared.connector(self._side)
        if table == prepared.definition.table(self._side).table:
            return _canonical_or_none(connector, table, key)
        column = prepared.transfer.also_on.get(table)
        if column is None:
            return None
        found = (await connector.read(table, [key], [column])).get(key)
        named = canonical(found.values.get(column)) if found else None
        return _canonical_or_none(connector, prepared.source_table, named) if named else None

    async def _one(self, key: str, loaded: _Loaded, gate: asyncio.Semaphore) -> Done:
        async with gate:
            if self._is_late():
                return Done(key, Outcome(Kind.DEFERRED, Why.HANDED_BACK, burns_attempt=False))
            subject = loaded.subjects.get(key)
            if subject is None:
                return Done(key, Outcome(Kind.SKIPPED, Why.NO_SUBJECT))
            if waiting := await self._must_wait():
                return Done(key, waiting)
            about = self._about(key, subject, loaded)
            if subject in loaded.unreadable:
                return replace(Done(key, *await self._come_of(loaded.unreadable[subject])), about=about)
            try:
                done = Done(key, await self._record(subject, loaded, self._teller(key, about)))
            except Exception as error:
                done = await self._failed(key, error)
            return replace(done, about=about, told=self._told.get(key))

    def _teller(self, key: str, about: tuple[Side, str] | None) -> Tell:
        async def tell(outcome: Outcome) -> None:
            told = self._told.get(key)
            done = Done(key, outcome, about=about, told=told)
            entry = self.pipeline.entry(self.message, self.prepared.transfer, self.run, done)
            self._told[key] = Told(entry, entry if _has_written(entry) else told.wrote if told else None)
            await self._ports.stores.journal.write([entry])

        return tell

    def _about(self, key: str, subject: str, loaded: _Loaded) -> tuple[Side, str] | None:
        """The source's record, if the message names another one."""
        row = loaded.rows.get(subject)
        if self._side is not self.prepared.side and row is not None and row.state is LinkState.LINKED:
            return self.prepared.side, row.other
        return (self._side, subject) if subject != key else None

    async def _failed(self, key: str, error: Exception) -> Done:
        """Signals and errors of one record; its neighbours go on."""
        if isinstance(error, Taken):
            if self._ports.clock.now() - self.message.occurred_at > PATIENCE:
                return Done(key, parked("CD-4401"))
            return Done(key, Outcome(Kind.DEFERRED, Why.CLAIMED, delay=self._spread(error.delay), burns_attempt=False))
        if isinstance(error, RowTaken):
            return Done(key, Outcome(Kind.DEFERRED, Why.BUSY, delay=self._spread(timedelta(seconds=1))))
        if isinstance(error, Undone):
            return Done(key, Outcome(Kind.SKIPPED, Why.TOMBSTONE))
        if isinstance(error, Doubled):
            return Done(key, parked("CD-4302", others=error.others))
        if isinstance(error, BrakePulled):
            self.pipeline.forget_switches()
            return Done(key, Outcome(Kind.DEFERRED, Why.BRAKE, pending=True, code=error.code))
        if isinstance(error, WrongEnvironment):
            return Done(key, Outcome(Kind.DEFERRED, Why.ENVIRONMENT, pending=True, code=error.code))
        if isinstance(error, UnknownColumn) and await self.pipeline.no_longer_fits(self.prepared.transfer.name):
            return Done(key, Outcome(Kind.DEFERRED, Why.DEFINITION, pending=True, code=error.code))
        if isinstance(error, StoreUnavailable):
            raise error
        return Done(key, *await self._come_of(error))

    async def _come_of(self, error: Exception) -> tuple[Outcome, bool]:
        """What comes of an error of a system."""
        return await self.pipeline._after(error, self.message, [self.prepared.source, self.prepared.target])

    def _spread(self, delay: timedelta) -> timedelta:
        """Longer with every copy, and never all at the same moment."""
        grown = min(delay * (1 + self.message.attempt), max(delay, timedelta(minutes=5)))
        return grown * (0.75 + self._ports.ids.fraction() / 2)

    # --- the steps of a record ---

    async def _record(self, key: str, loaded: _Loaded, tell: Tell) -> Outcome:
        row = loaded.rows.get(key)
        if self._side is not self.prepared.side:
            return await self._from_target(row, loaded.records.get(key), tell)
        source = loaded.records.get(key)
        if row is not None and source is not None and self._is_new(row):
            await finish_undoing(self._ports, row)
            await exhume(self._ports, row)
            row = None
        if row is not None and row.state is LinkState.UNLINKED:
            return await self._after_undoing(row)
        if row is not None and row.state is LinkState.LINKED:
            home = await self._home(row)
            try:
                return await self._updating(home, tell).from_source(source)
            except Merged as merged:
                return await self._after_merge(home, merged, tell)
            except Moved as moved:
                return await self._moved_on(key, source, moved.outcome, tell)
        return await self._unlinked(key, source, row, tell)

    def _is_new(self, row: LinkRow) -> bool:
        """Whether a record with the key of a deleted one is another one."""
        deleted = row.state is LinkState.UNLINKED and row.reason == Why.SOURCE_GONE.value
        return deleted and self.prepared.transfer.on_return is OnReturn.NEW

    async def _from_target(self, row: LinkRow | None, target: Record | None, tell: Tell) -> Outcome:
        if row is None or row.state is LinkState.CREATING:
            if row is not None and self.message.cause == LINKED:
                raise Taken
            return Outcome(Kind.SKIPPED, Why.NOT_LINKED)
        if row.state is LinkState.UNLINKED:
            return await self._after_undoing(row)
        home = await self._home(row)
        try:
            return await replace(self._updating(home, tell), from_afar=True).from_target(target)
        except Merged as merged:
            return await self._after_merge(home, merged, tell)

    async def _after_undoing(self, row: LinkRow) -> Outcome:
        """Nothing goes over a link that was undone; what a run beside the undoing has still written is let go."""
        await finish_undoing(self._ports, row)
        fields = await Releasing(self._ports, self.prepared).of(row)
        why = Why.RELEASED if fields else Why.TOMBSTONE
        return Outcome(Kind.UPDATED if fields else Kind.SKIPPED, why, other=row.other, fields=fields)

    async def _home(self, row: LinkRow) -> LinkRow:
        """The link's left row, which decides; a half-made or half-undone link comes again later."""
        home = await home_of(self._ports.stores.links, row)
        if home is None or home.state is LinkState.CREATING:
            raise Taken
        if home is row:
            return row
        if home.state is LinkState.UNLINKED or home.other != row.key:
            await finish_undoing(self._ports, home)
            raise Undone
        return home

    def _updating(self, home: LinkRow, tell: Tell) -> Updating:
        brake = self.pipeline.brake(self.prepared.transfer.name)
        editor = self._editors.get(home.key_on(self.prepared.side), "")
        return Updating(self._ports, self.prepared, self.run, brake, home, tell, editor)

    @property
    def _editors(self) -> Mapping[str, str]:
        """The last edits that are told of the source's records, by key."""
        return told_edits(self.prepared.definition, self.message) if self._side is self.prepared.side else {}

    async def _unlinked(self, key: str, source: Record | None, row: LinkRow | None, tell: Tell) -> Outcome:
        unresolved = row is not None and row.claim is not None and row.claim.sent
        if_unlinked = await self._if_unlinked()
        unwanted = await self._unwanted(source, if_unlinked)
        if unwanted is not None and not unresolved:
            return unwanted
        brake = self.pipeline.brake(self.prepared.transfer.name)
        creating = Creating(
            self._ports,
            self.prepared,
            self.run,
            brake,
            self._announce,
            self._tell_dependents,
            tell,
            IfUnlinked.SKIP if unwanted else if_unlinked,
        )
        outcome, link = await creating.partner(source or Record(key, None, {}), row)
        if link is None:
            return unwanted if unwanted is not None and outcome.why is Why.NOT_LINKED else outcome
        await self._ports.stores.parked.remove(self.prepared.transfer.name, self.prepared.side, key)
        return await self._after_linking(link, outcome, tell)

    async def _unwanted(self, source: Record | None, if_unlinked: IfUnlinked) -> Outcome | None:
        """Why a record without a partner gets none; only what an earlier try may have made is still looked for."""
        if source is None:
            return Outcome(Kind.SKIPPED, Why.SOURCE_GONE)
        if source.merged_into is not None:
            return Outcome(Kind.SKIPPED, Why.MERGED, other=source.merged_into)
        if not await in_scope(self.prepared, source):
            return Outcome(Kind.SKIPPED, Why.OUT_OF_SCOPE)
        return Outcome(Kind.SKIPPED, Why.NOT_LINKED) if if_unlinked is IfUnlinked.SKIP else None

    async def _if_unlinked(self) -> IfUnlinked:
        """What may be done for a record without a partner, as definition, mode and message say."""
        modes, prepared = self.pipeline.site_modes, self.prepared
        return await modes.if_unlinked(prepared.definition, prepared.transfer, self.message.cause)

    async def _tell_dependents(self, keys: Mapping[Side, str]) -> None:
        """Tell the transfers of records that refer to this one that a link is being made; before it is confirmed."""
        dependents = Dependents(self._ports, self.pipeline.index)
        await dependents.tell_of_link(self.prepared.definition, keys, self.message, self.run)

    async def _moved_on(self, key: str, source: Record | None, away: Outcome, tell: Tell) -> Outcome:
        """The record has left its former owner; with the new one it is as any record without a partner."""

        async def tell_both(made: Outcome) -> None:
            await tell(_after_moving(away, made))

        return _after_moving(away, await self._unlinked(key, source, None, tell_both))

    async def _after_linking(self, link: Linked, outcome: Outcome, tell: Tell) -> Outcome:
        """Write back at once; a link with a record that existed already also brings both records together, and a new
        record gets what the create does not send. A source that has gone or got another owner meanwhile is followed."""
        if link.source is None:
            return await self._updating(link.home, tell).from_source(None)
        later = any(sent_after(rule, self.prepared.side) for rule in self.prepared.rules)
        later = later or is_elsewhere(self.prepared, link.source, link.target)
        if outcome.why is not Why.LINKED and not link.home.write_back and not later:
            return outcome

        async def tell_both(updated: Outcome) -> None:
            await tell(_with(outcome, updated))

        try:
            return _with(outcome, await self._updating(link.home, tell_both).from_linked(link))
        except Merged as merged:
            return await self._after_merge(link.home, merged, tell)
        except Moved as moved:
            key = link.home.key_on(self.prepared.side)
            return await self._moved_on(key, link.source, moved.outcome, tell)

    # --- merges ---

    async def _after_merge(self, home: LinkRow, merged: Merged, tell: Tell) -> Outcome:
        """Bring the link over, or leave that to the other direction; nothing else is done with a merged record."""
        if merged.side is not self.prepared.side:
            others = OtherDirection(self._ports, self.prepared.definition, merged.side)
            if self._side is not merged.side:  # else the other direction has got the same message
                await others.tell(await others.acting(), merged.loser.key, MERGE, self.run)
            return Outcome(Kind.SKIPPED, Why.MERGED, other=merged.loser.merged_into or "")
        merging = Merging(self._ports, self.prepared, self.run, self._announce_winner, self._tell_dependents, tell)
        return await merging.follow(home, merged.loser)

    async def _announce_winner(self, keys: Mapping[Side, str]) -> None:
        """Tell the pair's transfers of the link to come, each of the record on its source's side; see `_announce`."""
        for transfer in self.prepared.definition.transfers:
            await self._tell_linked(transfer, transfer.source, keys[transfer.source])

    async def _announce(self, side: Side, key: str) -> None:
        """Tell the transfers of the other direction that a record is being linked: what their side masters goes their
        way.

        Sent before the link is confirmed, so that no crash can forget it; a message that comes too early waits for
        the claim.
        """
        for transfer in self.prepared.definition.transfers:
            if transfer.source is self.prepared.side.other:
                await self._tell_linked(transfer, side, key)

    async def _tell_linked(self, transfer: Transfer, side: Side, key: str) -> None:
        told = replace(
            self.message,
            transfer=transfer.name,
            side=side,
            table=self.prepared.definition.table(side).table,
            keys=(key,),
            cause=LINKED,
            change_id=f"{self.run}/{key}",
            attempt=0,
            failures=0,
        )
        due = self._ports.clock.now() + timedelta(seconds=3)
        await self._ports.queue.send(transfer.name, [told.outgoing(due)])


@dataclass(frozen=True)
class _Loaded:
    """What was read for a message: subjects by the message's keys, link rows, records and what could not be read by
    subject."""

    subjects: Mapping[str, str | None]
    rows: Mapping[str, LinkRow | None]
    records: Mapping[str, Record]
    unreadable: Mapping[str, Unreadable]


def _has_written(entry: JournalEntry) -> bool:
    return entry.outcome in (Kind.CREATED, Kind.UPDATED)


def _then(wrote: JournalEntry, entry: JournalEntry) -> JournalEntry:
    """A run's one entry, where it has written something and then could not go on."""
    if _has_written(entry):
        return entry
    fields = {(one.left, one.right): one for one in (*wrote.fields, *entry.fields)}
    return replace(entry, reason=f"{wrote.reason}; then: {entry.reason}", fields=tuple(fields.values()))


def _with(linked: Outcome, updated: Outcome) -> Outcome:
    """The outcome of making a link and bringing both records together right after."""
    if updated.kind in (Kind.PARKED, Kind.SKIPPED, Kind.DEFERRED):
        return updated
    return replace(linked, fields=[*linked.fields, *updated.fields])


def _after_moving(away: Outcome, made: Outcome) -> Outcome:
    """The outcome of leaving one owner and being made anew at another one, if that could be."""
    if made.kind is Kind.SKIPPED:
        return away
    return replace(made, fields=[*away.fields, *made.fields])


def _canonical_or_none(connector: Connector, table: str, key: str) -> str | None:
    try:
        return connector.canonical_key(table, key)
    except ValueError:
        return None


def deferred_copy(message: Message, keys: Sequence[str], *, failed: bool) -> Message:
    """The copy of a message that comes again later, for some or all of its keys. Its id differs from the original's."""
    change = message.change_id
    if len(keys) < len(message.keys):
        digest = blake2b("\0".join(keys).encode(), digest_size=8).hexdigest()
        change = f"{change.partition('#')[0]}#{digest}"
    return replace(
        message,
        keys=tuple(keys),
        change_id=change,
        attempt=message.attempt + 1,
        failures=message.failures + failed,
    )


def _why(error: Exception) -> Why:
    """The reason of a deferral, in the journal's words."""
    reasons = {
        SystemDown: Why.SYSTEM_DOWN,
        Throttled: Why.THROTTLED,
        UnknownResult: Why.UNSURE,
        VersionConflict: Why.RACE,
        NotMastered: Why.NOT_MASTERED,
    }
    return next((why for kind, why in reasons.items() if isinstance(error, kind)), Why.FAILED)


def _log_outcome(message: Message, run: str, one: Done) -> None:
    """One line per record and run, with outcome and reason; never a value."""
    log.info(
        "%s %s: %s, %s",
        message.transfer,
        one.key,
        one.outcome.kind.value,
        one.outcome.why.value,
        extra={
            "action": "transfer",
            "run": run,
            "transfer": message.transfer,
            "key": one.key,
            "outcome": one.outcome.kind.value,
            "reason": one.outcome.why.value,
            "code": one.outcome.code,
            "attempt": message.attempt,
            "cause": message.cause,
            "correlation_id": message.correlation_id,
        },
    )
