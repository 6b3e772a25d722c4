"""One day of derived rows: the target's rows of the day are brought in line with the source's, and no link is kept.

A row's key in the target follows from the columns that make it what it is, so it can be found, written again and
deleted without remembering anything. The target's rows of the day are read first, keys and hashes only; then the
source's, page by page, each row compared by its key. Only rows that differ are written, in bulk; what the source no
longer has is deleted, but only after all of it was read. So whatever happens on the way, the next run of the day ends
where this one would have.

One run at a time is at a day: it holds the day's row in the store. When an answer to a write was lost the row is kept
until that write can no longer be executed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Final

from shared.errors import AlreadyExists, ConnectorError, RecordMissing, Refused, UnknownResult, VersionConflict
from shared.sync.brakes import Brake, Counted
from shared.sync.context import Ports, Prepared
from shared.sync.creating import parked, parked_for
from shared.sync.definition import FieldRule, OnVanish
from shared.sync.homes import is_linked
from shared.sync.outcome import Kind, Outcome, Why
from shared.sync.planner import plan_create
from shared.sync.ports import Change, NewRecord, Record, RowTaken, Side, Value, Watermark
from shared.sync.values import canonical

AT_ONCE: Final = 1000
"""Rows that are written together."""
DELETES_AT_ONCE: Final = 200
LINKS_AT_ONCE: Final = 32
LOOK_AGAIN: Final = timedelta(seconds=15)
"""How long a run waits at most before it looks whether the other one is done with the day."""
_SEEN: Final = -1
"""In the place of a hash: the source has told of the row."""


class HandedBack(Exception):
    """The time budget is used up; what is left is for the next run."""


@dataclass
class Lease:
    """The right to be at a day, in the store; others wait for it."""

    ports: Ports
    name: str
    run: str
    row: Watermark = field(default_factory=lambda: Watermark(None))
    until: datetime | None = None

    async def take(self, span: timedelta) -> timedelta | None:
        """Take it for a while; answers how long to wait if another run has it."""
        found = await self.ports.stores.watermarks.get(self.name) or Watermark(None)
        holder, _, until = (found.value or "").partition(" ")
        now = self.ports.clock.now()
        if holder and holder != self.run and now < datetime.fromisoformat(until):
            return datetime.fromisoformat(until) - now
        try:
            await self._put(found, span)
        except RowTaken:
            return timedelta(seconds=1)
        return None

    async def keep(self, span: timedelta) -> None:
        """Prolong it when half of it is over; raises RowTaken when it may be another run's by now."""
        now = self.ports.clock.now()
        if self.until is None or now >= self.until:
            raise RowTaken("the day's row has lapsed")
        if self.until - now < span / 2:
            await self._put(self.row, span)

    async def give_back(self, after: timedelta = timedelta()) -> None:
        """Let others go on, at once or after a while."""
        with suppress(RowTaken):  # it has lapsed, and another run has it
            if after:
                await self._put(self.row, after)
            else:
                done = replace(self.row, value=None, done_at=self.ports.clock.now())
                await self.ports.stores.watermarks.put(self.name, done)

    async def _put(self, row: Watermark, span: timedelta) -> None:
        until = self.ports.clock.now() + span
        held = replace(row, value=f"{self.run} {until.isoformat()}")
        self.row, self.until = await self.ports.stores.watermarks.put(self.name, held), until


@dataclass
class Partners:
    """The target's keys of the records that rows refer to, by the links; each is looked up once in a run.

    pairs: the source's reference columns, each with the pair whose links translate it.
    """

    ports: Ports
    side: Side
    pairs: Mapping[str, str]
    known: dict[tuple[str, str], str | None] = field(default_factory=dict)

    async def look_up(self, records: Sequence[Record]) -> None:
        """Learn what the records refer to, many links at once."""
        asked = {(pair, key) for one in records for column, pair in self.pairs.items() if (key := _key(one, column))}
        missing = sorted(asked - self.known.keys())
        for start in range(0, len(missing), LINKS_AT_ONCE):
            chunk = missing[start : start + LINKS_AT_ONCE]
            found = await asyncio.gather(*(self._partner(*one) for one in chunk))
            self.known |= dict(zip(chunk, found, strict=True))

    async def _partner(self, pair: str, key: str) -> str | None:
        row = await self.ports.stores.links.get(pair, self.side, key)
        return row.other if is_linked(row) else None

    def of(self, record: Record, column: str) -> str | None:
        """The target's key of what a record refers to; None while that has no partner."""
        return self.known[self.pairs[column], _key(record, column)]


def _key(record: Record, column: str) -> str:
    return canonical(record.values.get(column)) or ""


@dataclass
class Slicing:
    """One run of one day. before_deleting: checks once more that the two databases belong together."""

    ports: Ports
    prepared: Prepared
    run: str
    brake: Brake
    started: float
    partners: Partners
    before_deleting: Callable[[], Awaitable[None]]
    counts: Counter[str] = field(default_factory=Counter)
    _known: dict[str, int] = field(default_factory=dict)
    _new: list[NewRecord] = field(default_factory=list)
    _changed: list[Change] = field(default_factory=list)
    _problem: Outcome | None = None
    _lease: Lease = field(init=False)

    async def day(self, key: str) -> Outcome:
        """Bring a day in line; raises what connectors, brakes and the store raise."""
        try:
            day = date.fromisoformat(key)
        except ValueError:
            return Outcome(Kind.SKIPPED, Why.NO_SUBJECT)
        if not self._is_within_window(day):
            return Outcome(Kind.SKIPPED, Why.OUTSIDE_WINDOW)
        self._lease = Lease(self.ports, f"slice|{self.prepared.pair}|{key}", self.run)
        wait = await self._lease.take(self._span)
        if wait is not None:
            return Outcome(Kind.DEFERRED, Why.DAY_TAKEN, delay=min(wait, LOOK_AGAIN), burns_attempt=False)
        try:
            outcome = await self._held(day)
        except UnknownResult:
            await self._lease.give_back(self._span)
            raise
        except RowTaken:
            raise
        except Exception:
            await self._lease.give_back()
            raise
        await self._lease.give_back()
        return outcome

    @property
    def _span(self) -> timedelta:
        """How long the day is held at a time: at least as long as a write may go on being executed."""
        return max(self.ports.timing.lease, self.prepared.capabilities.longest_run)

    def _is_within_window(self, day: date) -> bool:
        days = self.prepared.transfer.window_days
        today = self.ports.clock.now().date()
        return days is not None and today - timedelta(days=days) < day <= today

    async def _held(self, day: date) -> Outcome:
        try:
            await self._read_target(day)
            stored = len(self._known)
            await self._read_source(day)
            await self._flush_new()
            await self._flush_changed()
            await self._delete([key for key, told in self._known.items() if told != _SEEN], stored)
        except HandedBack:
            return Outcome(Kind.DEFERRED, Why.HANDED_BACK, burns_attempt=False, counts=self.told)
        return self._outcome()

    @property
    def told(self) -> Mapping[str, int]:
        """How many rows ended how, so far."""
        return dict(+self.counts)

    def _outcome(self) -> Outcome:
        counts = self.told
        if self._problem is not None:
            return replace(self._problem, counts=counts)
        if counts.get("created"):
            return Outcome(Kind.CREATED, Why.RECOMPUTED, counts=counts)
        if counts.get("changed") or counts.get("deleted"):
            return Outcome(Kind.UPDATED, Why.RECOMPUTED, counts=counts)
        return Outcome(Kind.UNCHANGED, Why.SAME_ROWS, counts=counts)

    # --- reading ---

    async def _read_target(self, day: date) -> None:
        definition, side = self.prepared.definition, self.prepared.side
        (column,) = [rule.column(side.other) for rule in definition.fields if rule.column(side) == definition.day]
        columns = self.prepared.target_columns
        async for records in self.prepared.target.of_day(self.prepared.target_table, column, day, columns):
            self._known |= {one.key: self._hash(one.values) for one in records}

    async def _read_source(self, day: date) -> None:
        source, column = self.prepared.source, self.prepared.definition.day
        async for records in source.of_day(self.prepared.source_table, column, day, self.prepared.source_columns):
            await self.partners.look_up(records)
            for one in records:
                self._compare(one)
            if len(self._new) >= AT_ONCE:
                await self._flush_new()
            if len(self._changed) >= AT_ONCE:
                await self._flush_changed()

    def _compare(self, record: Record) -> None:
        """Decide about one row; one that was told twice is decided about once."""
        key = self._target_key(record)
        before = self._known.get(key)
        if before == _SEEN:
            return
        self._known[key] = _SEEN
        unlinked = self._unlinked(record)
        if unlinked is not None:
            self.counts[f"{unlinked} not linked"] += 1
            return
        wanted = self._wanted(record)
        if wanted is None:
            return
        if before is None:
            self._new.append(NewRecord({name: value for name, value in wanted.items() if value is not None}, key))
        elif before != self._hash(wanted):
            self._changed.append(Change(key, wanted))
        else:
            self.counts["unchanged"] += 1

    def _target_key(self, record: Record) -> str:
        parts = [canonical(record.values.get(column)) or "" for column in self.prepared.definition.key]
        seed = "\n".join([self.prepared.pair, *parts])
        return self.prepared.target.derived_key(self.prepared.target_table, seed, record.values)

    def _unlinked(self, record: Record) -> str | None:
        """The table of the first record that it refers to and that has no partner."""
        for rule in self._references:
            column = rule.column(self.prepared.side)
            if rule.reference and _key(record, column) and self.partners.of(record, column) is None:
                return rule.reference.table(self.prepared.side)
        return None

    @cached_property
    def _references(self) -> Sequence[FieldRule]:
        return [rule for rule in self.prepared.rules if rule.reference]

    def _wanted(self, record: Record) -> Mapping[str, Value] | None:
        """All columns of the target's row; None where a value does not fit, which is noted."""
        side = self.prepared.side
        names = [rule.column(side) for rule in self._references]
        translated = {name: self.partners.of(record, name) if _key(record, name) else None for name in names}
        plan = plan_create(side, self.prepared.rules, {**record.values, **translated}, self.prepared.lengths)
        if plan.problems:
            first = plan.problems[0]
            self._note_problem(first.code, parked(first.code, field=first.rule.column(side)))
            return None
        return {rule.column(side.other): plan.writes.get(rule.column(side.other)) for rule in self.prepared.rules}

    def _hash(self, values: Mapping[str, Value]) -> int:
        """Eight bytes that stand for a row's values."""
        texts = [canonical(values.get(name)) or "" for name in self.prepared.target_columns]
        return int.from_bytes(blake2b("\0".join(texts).encode(), digest_size=8).digest())

    def _note_problem(self, code: str, outcome: Outcome) -> None:
        self.counts[f"refused {code}"] += 1
        self._problem = self._problem or outcome

    # --- writing ---

    async def _flush_new(self) -> None:
        if not self._new:
            return
        batch, self._new = self._new, []
        await self._before(Counted.CREATES, len(batch))
        results = await self.prepared.target.create_many(
            self.prepared.target_table, batch, [], within_seconds=self._seconds
        )
        self._judge(results, "created")
        there = [one for one, result in zip(batch, results, strict=True) if isinstance(result, AlreadyExists)]
        self._changed += [Change(str(one.key), self._whole(one.values)) for one in there]

    def _whole(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """All columns, the blank ones too: a row that is there under our key may hold anything."""
        return {name: values.get(name) for name in self.prepared.target_columns}

    async def _flush_changed(self) -> None:
        if not self._changed:
            return
        batch, self._changed = self._changed, []
        await self._before(Counted.CHANGES, len(batch))
        results = await self.prepared.target.update_many(
            self.prepared.target_table, batch, [], within_seconds=self._seconds
        )
        self._judge(results, "changed")

    async def _delete(self, gone: Sequence[str], stored: int) -> None:
        if self.prepared.transfer.on_vanish is OnVanish.KEEP or not gone:
            self.counts.update({"vanished and kept": len(gone)} if gone else {})
            return
        await self.before_deleting()
        await self.brake.vanished(len(gone), stored)
        for start in range(0, len(gone), DELETES_AT_ONCE):
            chunk = gone[start : start + DELETES_AT_ONCE]
            await self._before(Counted.DELETES, len(chunk))
            target, table = self.prepared.target, self.prepared.target_table
            self._judge(await target.delete_many(table, chunk, within_seconds=self._seconds), "deleted")

    async def _before(self, what: Counted, amount: int) -> None:
        """What every bulk write asks first; raises HandedBack when the time is up and something was written."""
        used = self.ports.clock.monotonic() - self.started
        written = sum(self.counts[name] for name in ("created", "changed", "deleted"))
        if written and used > self.ports.timing.budget.total_seconds():
            raise HandedBack
        await self._lease.keep(self._span)
        await self.brake.rows(what, amount)

    @property
    def _seconds(self) -> float:
        """What one bulk write may take: never longer than the day is held."""
        return min(self.ports.timing.create_deadline, self._span / 2).total_seconds()

    def _judge(self, results: Sequence[object], done: str) -> None:
        """Count what was done and what was refused; raises the first error after which the day has to come again."""
        errors = [one for one in results if isinstance(one, ConnectorError) and not isinstance(one, AlreadyExists)]
        self.counts[done] += sum(not isinstance(one, ConnectorError) for one in results)
        for error in errors:
            if isinstance(error, Refused):
                self._note_problem(error.code, parked_for(error, error.code))
        passing = [one for one in errors if not isinstance(one, Refused)]
        if not passing:
            return
        first = next((one for one in passing if isinstance(one, UnknownResult)), passing[0])
        raise VersionConflict(first.system, first.answer) if isinstance(first, RecordMissing) else first
