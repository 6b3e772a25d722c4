"""Why a field has its value: both sides as they are now, who owns it, the last write, and every time nothing was
written.

Values are read live and never kept; what was written when comes from the journal, which holds fingerprints only. So it
can be said whether a value is still the one that was written, without ever having stored it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.sync.comparing import FieldView, compared
from shared.sync.context import Prepared
from shared.sync.definition import Definition, FieldRule
from shared.sync.fingerprint import Base
from shared.sync.homes import home_of
from shared.sync.pipeline import Pipeline
from shared.sync.planner import Action, Reason
from shared.sync.ports import (
    FieldDecision,
    JournalEntry,
    LinkRow,
    LinkState,
    ParkedItem,
    PendingItem,
    Record,
    Side,
)
from shared.sync.values import canonical

MOST_ENTRIES = 200
"""Journal entries of a record that an explanation looks at."""


@dataclass(frozen=True, slots=True)
class Told:
    """One decision about a field in one run. on: the side that was or would have been written."""

    entry: JournalEntry
    decision: FieldDecision
    on: Side


@dataclass(frozen=True, slots=True)
class FieldStory:
    """A field's present and past. intact: whether the side last written still holds what was written then; None when
    it cannot be told (no write in the journal, or another fingerprint key)."""

    view: FieldView
    last_write: Told | None
    intact: bool | None
    others: Sequence[Told]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of one record in one pair. derived: it has no link, and the entries are those of its day."""

    pair: str
    side: Side
    key: str
    row: LinkRow | None
    left: Record | None = field(repr=False)
    right: Record | None = field(repr=False)
    fields: Sequence[FieldStory]
    entries: Sequence[JournalEntry]
    parked: Sequence[ParkedItem]
    pending: Sequence[PendingItem]
    derived: bool = False


@dataclass(frozen=True)
class Explaining:
    """Explains records of one pair."""

    pipeline: Pipeline
    definition: Definition

    async def record(self, side: Side, key: str) -> Explanation:
        """Explain a record, by its key on either side. Raises what the connectors raise."""
        if self.definition.is_derived:
            return await self._derived(side, key)
        prepared = await self.pipeline.prepare(self.definition.transfers[0].name)
        links = self.pipeline.ports.stores.links
        row = await links.get(prepared.pair, side, key)
        home = (await home_of(links, row) or row) if row is not None else None
        linked = home if home is not None and home.state is LinkState.LINKED else None
        keys = self._keys(side, key, linked)
        records = {one: await self._read(prepared, one, name) for one, name in keys.items()}
        entries, waiting = await self._entries(prepared.pair, keys), await self._waiting(keys)
        return Explanation(
            pair=prepared.pair,
            side=side,
            key=key,
            row=home,
            left=records.get(Side.LEFT),
            right=records.get(Side.RIGHT),
            fields=await self._stories(prepared, linked, records, entries),
            entries=entries,
            parked=[one for one in waiting if isinstance(one, ParkedItem)],
            pending=[one for one in waiting if isinstance(one, PendingItem)],
        )

    async def _derived(self, side: Side, key: str) -> Explanation:
        """A day of the source by its date, or a row of the target by its key: the runs of its day tell of it."""
        (transfer,) = self.definition.transfers
        prepared = await self.pipeline.prepare(transfer.name)
        row = await self._read(prepared, side, key) if side is transfer.target else None
        days = [rule.column(side) for rule in self.definition.fields if rule.column(side.other) == self.definition.day]
        day = (canonical(row.values.get(days[0])) if row else None) or key
        keys = {transfer.source: day}
        waiting = await self._waiting(keys)
        return Explanation(
            pair=prepared.pair,
            side=side,
            key=key,
            row=None,
            left=row if side is Side.LEFT else None,
            right=row if side is Side.RIGHT else None,
            fields=[],
            entries=await self._entries(prepared.pair, keys),
            parked=[one for one in waiting if isinstance(one, ParkedItem)],
            pending=[one for one in waiting if isinstance(one, PendingItem)],
            derived=True,
        )

    def _keys(self, side: Side, key: str, linked: LinkRow | None) -> dict[Side, str]:
        return {side: key} if linked is None else {Side.LEFT: linked.key, Side.RIGHT: linked.other}

    async def _read(self, prepared: Prepared, side: Side, key: str) -> Record | None:
        table = prepared.definition.table(side).table
        return (await prepared.connector(side).read(table, [key], prepared.columns(side))).get(key)

    async def _entries(self, pair: str, keys: dict[Side, str]) -> list[JournalEntry]:
        journal = self.pipeline.ports.stores.journal
        found = [one for side, key in keys.items() for one in await journal.of_record(pair, side, key, MOST_ENTRIES)]
        return sorted(found, key=lambda one: one.at, reverse=True)

    async def _waiting(self, keys: dict[Side, str]) -> list[ParkedItem | PendingItem]:
        stores = self.pipeline.ports.stores
        found: list[ParkedItem | PendingItem | None] = []
        for transfer in self.definition.transfers:
            for side, key in keys.items():
                found.append(await stores.parked.get(transfer.name, side, key))
                found.append(await stores.pending.get(transfer.name, side, key))
        return [one for one in found if one is not None]

    async def _stories(
        self,
        prepared: Prepared,
        linked: LinkRow | None,
        records: dict[Side, Record | None],
        entries: Sequence[JournalEntry],
    ) -> list[FieldStory]:
        left, right = records.get(Side.LEFT), records.get(Side.RIGHT)
        if linked is None or left is None or right is None:
            return []
        base = Base.unpack(linked.base, linked.key, self.pipeline.ports.prints)
        lengths = await self.pipeline.lengths(self.definition)
        views = compared(prepared.definition, base, left.values, right.values, lengths)
        return [self._story(view, base, entries) for view in views]

    def _story(self, view: FieldView, base: Base, entries: Sequence[JournalEntry]) -> FieldStory:
        told = list(self._told(view.rule, entries))
        write = next((one for one in told if one.decision.action == Action.WRITE.value), None)
        return FieldStory(view, write, _is_intact(view, base, write), [one for one in told if one is not write])

    def _told(self, rule: FieldRule, entries: Sequence[JournalEntry]) -> list[Told]:
        sources = {transfer.name: transfer.source for transfer in self.definition.transfers}
        return [
            Told(entry, decision, _written_side(sources[entry.transfer], decision))
            for entry in entries
            if entry.transfer in sources
            for decision in entry.fields
            if (decision.left, decision.right) == (rule.left, rule.right)
        ]


def _written_side(source: Side, decision: FieldDecision) -> Side:
    return source if decision.reason == Reason.WRITTEN_BACK.value else source.other


def _is_intact(view: FieldView, base: Base, write: Told | None) -> bool | None:
    if write is None or not write.decision.after:
        return None
    value = view.left if write.on is Side.LEFT else view.right
    prints = [one.of(base.salt, view.rule, write.on, value).hex() for one in base.prints.known.values()]
    return write.decision.after in prints
