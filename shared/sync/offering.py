"""The records that people may take over while the mode of two systems is manual, with what matching finds for each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.sync.context import Prepared
from shared.sync.definition import Definition, MatchRule, Selection, Transfer
from shared.sync.homes import is_linked
from shared.sync.matching import normalised
from shared.sync.pipeline import Pipeline
from shared.sync.ports import LinkRow, LinkState, Record, Side
from shared.sync.values import canonical

_LOOKS_AT_ONCE = 8
_MOST_HITS = 1000


@dataclass(frozen=True, slots=True)
class Hit:
    """What matching finds for a record that is offered. found: how many records; key and name: of the first.

    rule: the columns by which it was found. linked: the found record has a partner already.
    """

    key: str
    name: str
    rule: str
    found: int = 1
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Offered:
    """One record that people may take over. kind: its table; shown: by column; state and partner: of its link."""

    key: str
    kind: str
    name: str
    shown: Mapping[str, str | None]
    state: str
    partner: str = ""
    hit: Hit | None = None


@dataclass(frozen=True, slots=True)
class OfferedPage:
    """Some of them. place: where the next page begins; None on the last one."""

    items: Sequence[Offered]
    place: str | None


@dataclass(frozen=True)
class Offering:
    """The records that one pair offers. Raises ValueError for a pair without `selection`."""

    pipeline: Pipeline
    definition: Definition

    def __post_init__(self) -> None:
        if self.definition.selection is None:
            raise ValueError("nothing of this pair is offered")

    @property
    def _selection(self) -> Selection:
        assert self.definition.selection is not None
        return self.definition.selection

    @property
    def side(self) -> Side:
        """The side whose records are offered."""
        return self._selection.of

    @property
    def transfer(self) -> Transfer:
        """The transfer that takes them over."""
        return next(one for one in self.definition.transfers if one.source is self._selection.of)

    # --- the list ---

    async def page(self, place: str | None, limit: int) -> OfferedPage:
        """A page of the records that are offered, each with how it stands and what matching finds."""
        prepared = await self.pipeline.prepare(self.transfer.name)
        columns = self.columns(prepared)
        async for page in prepared.source.pages(prepared.source_table, place, columns, limit):
            return OfferedPage(await self._offered(prepared, page.records), page.place)
        return OfferedPage((), None)

    async def some(self, keys: Sequence[str]) -> Sequence[Offered]:
        """Those of these records that there are."""
        prepared = await self.pipeline.prepare(self.transfer.name)
        found = await prepared.source.read(prepared.source_table, keys, self.columns(prepared))
        return await self._offered(prepared, [found[key] for key in keys if key in found])

    def columns(self, prepared: Prepared) -> Sequence[str]:
        """What is read of an offered record."""
        matched = [name for rule in prepared.definition.match for name in rule.columns(self.side)]
        within = [self._selection.within] if self._selection.within else []
        return tuple(dict.fromkeys([self._selection.name, *within, *self._selection.show, *matched]))

    async def _offered(self, prepared: Prepared, records: Sequence[Record]) -> list[Offered]:
        rows = await rows_of(self.pipeline, prepared, self.side, [one.key for one in records])
        free = [one for one in records if (row := rows[one.key]) is None or row.state is LinkState.UNLINKED]
        hits, wholes = await self.hits(prepared, free), await self._wholes(prepared, records)
        return [self._one(one, rows[one.key], hits.get(one.key), wholes) for one in records]

    def _one(self, record: Record, row: LinkRow | None, hit: Hit | None, wholes: Mapping[str, str]) -> Offered:
        name = canonical(record.values.get(self._selection.name)) or ""
        whole = wholes.get(str(record.values.get(self._selection.within)), "")
        return Offered(
            key=record.key,
            kind=self.definition.table(self.side).table,
            name=f"{whole} [{name}]" if whole else name,
            shown={column: canonical(record.values.get(column)) for column in self._selection.show},
            state=row.state.value if row else "",
            partner=row.other if is_linked(row) else "",
            hit=hit,
        )

    async def _wholes(self, prepared: Prepared, records: Sequence[Record]) -> Mapping[str, str]:
        """The names of the records which these are parts of, by key."""
        within, rule = self._selection.within, self._within
        keys = list(dict.fromkeys(str(one.values[within]) for one in records if within and one.values.get(within)))
        if rule is None or not keys:
            return {}
        connector = self.pipeline.ports.connectors[self.definition.table(self.side).system]
        found = await connector.read(rule, keys, [self._selection.name])
        return {key: canonical(one.values.get(self._selection.name)) or "" for key, one in found.items()}

    @property
    def _within(self) -> str | None:
        """The table that the records are parts of."""
        rules = [one for one in self.definition.fields if one.column(self.side) == self._selection.within]
        references = [one.reference.table(self.side) for one in rules if one.reference]
        return references[0] if references else None

    # --- what matching finds, for many records at once ---

    async def hits(self, prepared: Prepared, records: Sequence[Record]) -> Mapping[str, Hit]:
        """By key what the first match rule that finds anything finds; the rules in their order."""
        found: dict[str, Hit] = {}
        for rule in prepared.definition.match:
            rest = [one for one in records if one.key not in found]
            found |= await self._hits_by(prepared, rule, rest)
        rows = await rows_of(self.pipeline, prepared, self.side.other, list({hit.key for hit in found.values()}))
        return {key: replace(hit, linked=is_linked(rows[hit.key])) for key, hit in found.items()}

    async def _hits_by(self, prepared: Prepared, rule: MatchRule, records: Sequence[Record]) -> Mapping[str, Hit]:
        wanted = {one.key: parts for one in records if (parts := normalised(rule, self.side, one.values))}
        if not wanted:
            return {}
        normaliser, told = rule.form(0)
        first = rule.columns(self.side)[0]
        spellings = [
            spelled
            for one in records
            if one.key in wanted
            for spelled in normaliser.search(canonical(one.values[first]) or "", told.told(self.side, one.values))
        ]
        other, name = self.side.other, self._name_there
        columns = tuple(dict.fromkeys([*rule.columns(other), *([name] if name else [])]))
        table, column = prepared.definition.table(other).table, rule.columns(other)[0]
        there = await prepared.connector(other).find(table, column, spellings, columns, _MOST_HITS)
        by_parts: dict[tuple[str, ...], list[Record]] = {}
        for one in there:
            parts = normalised(rule, other, one.values)
            if parts and one.merged_into is None:
                by_parts.setdefault(parts, []).append(one)
        spoken = f"{'+'.join(rule.columns(self.side))} = {'+'.join(rule.columns(other))}"
        return {
            key: Hit(same[0].key, canonical(same[0].values.get(name)) or "", spoken, len(same))
            for key, parts in wanted.items()
            if (same := by_parts.get(parts))
        }

    @property
    def _name_there(self) -> str:
        """The column of the other side that holds what people call a record."""
        rules = [one for one in self.definition.fields if one.column(self.side) == self._selection.name]
        return rules[0].column(self.side.other) if rules else ""


async def rows_of(
    pipeline: Pipeline, prepared: Prepared, side: Side, keys: Sequence[str]
) -> Mapping[str, LinkRow | None]:
    """The link rows of records on one side, a few at once."""
    links, gate = pipeline.ports.stores.links, asyncio.Semaphore(_LOOKS_AT_ONCE)

    async def look(key: str) -> LinkRow | None:
        async with gate:
            return await links.get(prepared.pair, side, key)

    return dict(zip(keys, await asyncio.gather(*map(look, keys)), strict=True))


def is_undone(row: LinkRow | None) -> bool:
    """Whether a record has had a partner, and the link was undone."""
    return row is not None and row.state is LinkState.UNLINKED
