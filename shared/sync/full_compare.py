"""The full compare of a pair: finds what neither a notice nor a change feed has told, and queues it.

It goes by pages, so memory does not grow with the tables, and keeps its place after every page, so that any process
can go on with it. First all links: both records are read without their columns; one that is gone, or whose version is
not the one at which all was carried, is looked at again with its columns, and queued when it differs from the base.
Then each side's records by pages: those without a link that are in scope, and claims that nobody holds any more.

What it finds goes through the transfers' own queues, a few chunks at a time: it waits while its own messages are not
handled, so that live changes never stand behind a night's work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from hashlib import blake2b

from shared.errors import ConnectorError, FeedExpired, SettingsError, Throttled, UnknownColumn
from shared.sync.claims import RESERVED
from shared.sync.context import Ports, Prepared, pair_name
from shared.sync.definition import Definition, IfUnlinked, Transfer
from shared.sync.feed_tasks import QUEUE, FeedTask, Task
from shared.sync.fingerprint import Base, is_old
from shared.sync.message import COMPARE, MAX_KEYS, Message
from shared.sync.pipeline import Pipeline
from shared.sync.ports import CompareRow, LinkRow, LinkState, Record, RecordPage, RowTaken, Side, Switch
from shared.sync.qualifying import those_in_scope
from shared.sync.reading import read_apart
from shared.sync.vouching import vouched

log = logging.getLogger(__name__)

_LINKS_AT_ONCE = 100
_RECORDS_AT_ONCE = 200
_LOOKS_AT_ONCE = 8
_TRIES = 5
BOTH = ",".join(Side)


class Phase(StrEnum):
    """What is gone through, in this order; of the sides only those that are to be looked at."""

    LINKS = "links"
    LEFT = "left"
    RIGHT = "right"


def next_phase(row: CompareRow) -> Phase | None:
    """What comes after a row's phase; None at the end."""
    wanted = [Phase.LINKS, *(Phase(side) for side in row.sides.split(","))]
    behind = wanted[wanted.index(Phase(row.phase)) + 1 :]
    return behind[0] if behind else None


def joined(sides: str, more: str) -> str:
    """Two lists of sides as one."""
    return ",".join(side for side in Side if side in {*sides.split(","), *more.split(",")})


@dataclass(frozen=True)
class FullCompares:
    """Begins full compares and goes on with them."""

    pipeline: Pipeline

    @property
    def _ports(self) -> Ports:
        return self.pipeline.ports

    # --- asking for one ---

    async def begin_all(self) -> None:
        """Ask for a compare of every pair that moves, by the clock; one that is under way goes on instead."""
        for definition in self.pipeline.index.linking:
            row = await self._ports.stores.compares.get(self._pair(definition))
            if row.run:
                await self._go_on(row.pair, timedelta())
            elif await self._moves(definition):
                await self._begin(definition, BOTH, "by the clock")

    async def of_table(self, system: str, table: str, cause: str) -> None:
        """Compare all pairs of a table, looking at its side only."""
        for definition in self.pipeline.index.linking:
            side = definition.side_of(system, table)
            if side is not None and await self._moves(definition):
                await self._begin(definition, side.value, cause)

    async def of_pair(self, definition: Definition, cause: str, delay: timedelta = timedelta()) -> None:
        """Compare a pair, both sides; not before a delay."""
        await self._begin(definition, BOTH, cause, delay)

    async def _begin(self, definition: Definition, sides: str, cause: str, delay: timedelta = timedelta()) -> None:
        """Begin a compare, or note that there must be another one after that which is under way."""
        rows, pair = self._ports.stores.compares, self._pair(definition)
        for _ in range(_TRIES):
            row = await rows.get(pair)
            try:
                if row.run:
                    await rows.put(replace(row, wanted=joined(row.wanted, sides)))
                else:
                    await rows.put(self._fresh(row, sides, cause))
                return await self._go_on(pair, delay)
            except RowTaken:
                continue
        raise RowTaken("the compare's row is changed by others again and again")

    def _fresh(self, row: CompareRow, sides: str, cause: str) -> CompareRow:
        now = self._ports.clock.now()
        return CompareRow(
            pair=row.pair,
            run=self._ports.ids.new(),
            phase=Phase.LINKS.value,
            sides=sides,
            cause=cause,
            started_at=now,
            moved_at=now,
            done_at=row.done_at,
            etag=row.etag,
        )

    async def revive(self) -> None:
        """Go on with compares whose next step was lost."""
        stalls = self._ports.timing.compare_stalls
        for definition in self.pipeline.index.linking:
            row = await self._ports.stores.compares.get(self._pair(definition))
            if row.run and row.moved_at and self._ports.clock.now() - row.moved_at > 2 * stalls:
                await self._go_on(row.pair, timedelta())

    def _pair(self, definition: Definition) -> str:
        return pair_name(definition, self._ports.connectors)

    async def _moves(self, definition: Definition) -> bool:
        return Switch.ON in [await self.pipeline.switch(one.name) for one in definition.transfers]

    async def _go_on(self, pair: str, delay: timedelta) -> None:
        """Queue the next step."""
        task = FeedTask(Task.STEP, COMPARE, f"step/{self._ports.ids.new()}", pair=pair)
        due = self._ports.clock.now() + delay if delay else None
        await self._ports.queue.send(QUEUE, [task.outgoing(due)])

    # --- going on ---

    async def step(self, pair: str) -> None:
        """Go on with a pair's compare for a while, then queue the next step. Raises when store or queue fail."""
        row = await self._ports.stores.compares.get(pair)
        definition = next((one for one in self.pipeline.index.linking if self._pair(one) == pair), None)
        if not row.run:
            return
        try:
            if definition is None or not await self._moves(definition):
                await self._put(replace(row, run="", phase="", place=None))
                return
            delay = await self._work(definition, row)
        except RowTaken:
            return  # another step is at it
        except (ConnectorError, SettingsError) as error:
            delay = error.retry_after if isinstance(error, Throttled) else timedelta(minutes=1)
            log.warning("compare waits", extra={"pair": pair, "code": error.code})
            await self._note_code(pair, row.run, error.code)
        if delay is not None:
            await self._go_on(pair, delay)

    async def _work(self, definition: Definition, row: CompareRow) -> timedelta | None:
        """Page after page until the time is up; answers when to go on, None at the end."""
        clock, timing = self._ports.clock, self._ports.timing
        until = clock.monotonic() + timing.budget.total_seconds()
        pass_over = _Pass(self.pipeline, definition, row.pair)
        while clock.monotonic() < until:
            if await pass_over.is_away():
                return timing.probe_every
            row, ahead = await self._pace(row)
            if ahead >= timing.compare_ahead:
                return timing.compare_pause
            row = await self._unit(pass_over, row)
            if not row.run:
                return None
        return timedelta()

    async def _pace(self, row: CompareRow) -> tuple[CompareRow, int]:
        """How many of our messages are not handled yet; those that were lost are forgiven after a while."""
        clock, stalls = self._ports.clock, self._ports.timing.compare_stalls
        handled = await self._ports.stores.counters.read(COMPARE, row.run)
        ahead = row.sent - handled
        if ahead > 0 and row.moved_at and clock.now() - row.moved_at > stalls:
            return await self._put(replace(row, sent=handled)), 0
        return row, ahead

    async def _unit(self, pass_over: _Pass, row: CompareRow) -> CompareRow:
        """One page: its findings are queued before its place is kept."""
        try:
            found = await (pass_over.links(row) if row.phase == Phase.LINKS else pass_over.records(row))
        except FeedExpired:
            return await self._put(replace(row, place=None))
        row = replace(found.row, moved_at=self._ports.clock.now(), code="")
        if found.more:
            return await self._put(row)
        following = next_phase(row)
        if following is not None:
            return await self._put(replace(row, phase=following.value, place=None))
        return await self._ended(pass_over.definition, row)

    async def _ended(self, definition: Definition, row: CompareRow) -> CompareRow:
        done_at = self._ports.clock.now() if row.sides == BOTH else row.done_at
        ended = await self._put(replace(row, run="", phase="", place=None, wanted="", done_at=done_at))
        log.info("compared", extra={"pair": row.pair, "differing": row.differing, "missing": row.missing})
        if row.wanted:
            await self._begin(definition, row.wanted, "once more")
        return ended

    async def _put(self, row: CompareRow) -> CompareRow:
        return await self._ports.stores.compares.put(row)

    async def _note_code(self, pair: str, run: str, code: str) -> None:
        row = await self._ports.stores.compares.get(pair)
        if row.run == run and row.code != code:
            await self._put(replace(row, code=code))


@dataclass(frozen=True, slots=True)
class _Found:
    """A page's end. row: with its place and counts; more: the phase goes on."""

    row: CompareRow
    more: bool


@dataclass(frozen=True)
class _Pass:
    """The pages of one pair."""

    pipeline: Pipeline
    definition: Definition
    pair: str

    @property
    def _ports(self) -> Ports:
        return self.pipeline.ports

    async def is_away(self) -> bool:
        """Whether the breaker of a system is open."""
        connectors = [self._ports.connectors[system] for system in self.definition.systems]
        return any([await self.pipeline.panel.is_open(connector) for connector in connectors])

    async def _heard_by(self) -> list[Transfer]:
        """Stopped transfers hear of it too: their messages wait as pending."""
        switches = {one.name: await self.pipeline.switch(one.name) for one in self.definition.transfers}
        return [one for one in self.definition.transfers if switches[one.name] is not Switch.OFF]

    # --- links ---

    async def links(self, row: CompareRow) -> _Found:
        """A page of links: queue records that are gone, and those that differ from what was last agreed."""
        page = await self._ports.stores.links.page(self.pair, Side.LEFT, row.place, _LINKS_AT_ONCE)
        linked = [one for one in page if one.state is LinkState.LINKED]
        transfers = await self._heard_by()
        sides = [Side(name) for name in row.sides.split(",") if not self._is_immutable(Side(name))]
        for side in sides if linked and transfers else []:
            homes = {one.key_on(side): one for one in linked}
            gone, differing = await self._looked_at(side, homes, renews=side is transfers[0].source)
            sent = await self._send(row, side, {**gone, **differing}, transfers)
            row = replace(
                row,
                sent=row.sent + sent,
                missing=row.missing + len(gone),
                differing=row.differing + len(differing),
            )
        row = replace(row, looked=row.looked + len(linked), place=page[-1].key if page else row.place)
        return _Found(row, more=len(page) == _LINKS_AT_ONCE)

    def _is_immutable(self, side: Side) -> bool:
        """Whether the records of a side never change, so that looking at them would find nothing."""
        table = self.definition.table(side)
        return self._ports.connectors[table.system].capabilities(table.table).immutable

    async def _looked_at(
        self, side: Side, homes: Mapping[str, LinkRow], *, renews: bool
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Keys of records that are gone and of those that differ, each with what the message's id is made of.

        renews: whether a base that another key has written counts as differing, so that today's key takes its place.
        """
        prepared = await self._prepared()
        connector, table = prepared.connector(side), self.definition.table(side).table
        seen = await connector.read(table, list(homes), ())
        old = {key for key, home in homes.items() if renews and is_old(home.base, self._ports.prints)}
        moved = [key for key, record in seen.items() if key in old or not _is_known(side, homes[key], record)]
        records, unreadable = await read_apart(connector, table, moved, prepared.columns(side))
        there = {*seen} - {*moved} | {*records, *unreadable}
        gone = {key: "gone" for key in homes if key not in there}
        differing = {key: seen[key].version or "" for key in unreadable} | {
            key: record.version or ""
            for key, record in records.items()
            if key in old or record.merged_into is not None or self._differs(prepared, side, homes[key], record)
        }
        return gone, differing

    def _differs(self, prepared: Prepared, side: Side, home: LinkRow, record: Record) -> bool:
        base = Base.unpack(home.base, home.key, self._ports.prints)
        return vouched(prepared.definition, base, side, record) is None

    async def _prepared(self) -> Prepared:
        """Any of the pair's transfers that can run: they differ in direction only."""
        transfers = await self._heard_by()
        for transfer in transfers[:-1]:
            if (prepared := await self._ready(transfer)) is not None:
                return prepared
        return await self.pipeline.prepare(transfers[-1].name)

    async def _ready(self, transfer: Transfer) -> Prepared | None:
        """The transfer as it runs; None while its definition names columns that a system does not have."""
        try:
            return await self.pipeline.prepare(transfer.name)
        except UnknownColumn:
            return None

    # --- records without a link ---

    async def records(self, row: CompareRow) -> _Found:
        """A page of one side's records: queue those in scope without a partner, and claims that nobody holds."""
        side = Side(row.phase)
        transfers = [one for one in await self._heard_by() if one.source is side and await self._may_link(one)]
        ready = [prepared for one in transfers if (prepared := await self._ready(one)) is not None]
        if not ready:
            return _Found(row, more=False)
        page = await self._page(row, ready)
        rows = await self._rows(side, [record.key for record in page.records])
        free = [record for record in page.records if rows[record.key] is None]
        claimed = [record for record in page.records if self._is_abandoned(rows[record.key])]
        for prepared in ready:
            wanted = await those_in_scope(prepared, free)
            keys = {one.key: one.version or "" for one in [*free, *claimed] if one.key in wanted or one in claimed}
            sent = await self._send(row, side, keys, [prepared.transfer])
            row = replace(row, sent=row.sent + sent, unlinked=row.unlinked + len(keys))
        return _Found(replace(row, place=page.place), more=page.place is not None)

    async def _may_link(self, transfer: Transfer) -> bool:
        return await self.pipeline.site_modes.if_unlinked(self.definition, transfer) is not IfUnlinked.SKIP

    async def _page(self, row: CompareRow, ready: Sequence[Prepared]) -> RecordPage:
        columns = tuple(dict.fromkeys(name for one in ready for name in one.transfer.own_columns))
        pages = ready[0].source.pages(ready[0].source_table, row.place, columns, _RECORDS_AT_ONCE)
        async for page in pages:
            return page
        return RecordPage((), None)

    async def _rows(self, side: Side, keys: Sequence[str]) -> Mapping[str, LinkRow | None]:
        gate = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def look(key: str) -> LinkRow | None:
            async with gate:
                return await self._ports.stores.links.get(self.pair, side, key)

        return dict(zip(keys, await asyncio.gather(*map(look, keys)), strict=True))

    def _is_abandoned(self, row: LinkRow | None) -> bool:
        if row is None or row.state is not LinkState.CREATING or row.reason == RESERVED or row.claim is None:
            return False
        return row.claim.lease_until < self._ports.clock.now()

    # --- sending ---

    async def _send(self, row: CompareRow, side: Side, found: Mapping[str, str], transfers: Sequence[Transfer]) -> int:
        """Queue records to transfers; answers how many messages that were."""
        sent = 0
        for transfer in transfers:
            for chunk in _chunks(list(found)):
                message = self._message(row, transfer, side, chunk, [found[key] for key in chunk])
                await self._ports.queue.send(transfer.name, [message.outgoing()])
                sent += 1
        return sent

    def _message(
        self, row: CompareRow, transfer: Transfer, side: Side, keys: Sequence[str], seen: Sequence[str]
    ) -> Message:
        """The id names run and versions: a page repeated after a crash is taken once."""
        told = "|".join(f"{key}@{version}" for key, version in zip(keys, seen, strict=True))
        digest = blake2b(f"{row.run}|{told}".encode(), digest_size=16).hexdigest()
        return Message(
            transfer=transfer.name,
            side=side,
            table=self.definition.table(side).table,
            keys=tuple(keys),
            cause=COMPARE,
            occurred_at=self._ports.clock.now(),
            attempt=0,
            correlation_id=row.run,
            change_id=f"{COMPARE}/{digest}",
        )


def _is_known(side: Side, home: LinkRow, record: Record) -> bool:
    """Whether the record still has the version at which everything was carried."""
    return record.version is not None and record.version == home.version_on(side)


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(keys), MAX_KEYS):
        yield keys[at : at + MAX_KEYS]
