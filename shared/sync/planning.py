"""What a first load would do, record by record, before anything is written: the plan that people approve.

A pass over the target notes the match keys of its records; a pass over the source then says of each record what the
transfer would do. Both passes go by pages, so memory does not grow with the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shared.sync.comparing import FieldState, FieldView, compared
from shared.sync.context import MatchIndex, Prepared
from shared.sync.definition import IfUnlinked, MatchRule
from shared.sync.fingerprint import Base
from shared.sync.homes import home_of
from shared.sync.matching import normalised, note_match_keys
from shared.sync.pipeline import Pipeline
from shared.sync.planner import Plan, plan_create
from shared.sync.ports import LinkRow, LinkState, Record, Side
from shared.sync.qualifying import in_scope
from shared.sync.values import is_blank


class Step(StrEnum):
    """What would be done with one record."""

    CREATE = "create"
    LINK = "link"
    CHANGE = "change"
    EQUAL = "equal"
    PERSON = "needs a person"
    WAIT = "waits"
    SKIP = "not concerned"


@dataclass(frozen=True, slots=True)
class PlannedRecord:
    """One record of the source. others: keys of possible partners; code, field, hint: why a person is needed."""

    key: str
    step: Step
    partner: str = ""
    fields: Sequence[FieldView] = field(default=(), repr=False)
    creates: Plan | None = field(default=None, repr=False)
    code: str = ""
    field: str = ""
    hint: str = ""
    others: Sequence[str] = ()


@dataclass(frozen=True)
class PlannedPage:
    """A page of the source, planned. seen: how many records of the source so far."""

    records: Sequence[PlannedRecord]
    seen: int
    watermark: str | None


@dataclass
class Totals:
    """Counts of a whole plan: records by step, problems by code, fields that would change by column."""

    steps: Counter[Step] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)

    def count(self, page: PlannedPage) -> None:
        """Add a page."""
        for record in page.records:
            self.steps[record.step] += 1
            if record.code:
                self.codes[record.code] += 1
            for view in record.fields:
                if view.writes is not None:
                    self.columns[view.rule.column(view.writes)] += 1


async def index_target(
    prepared: Prepared, index: MatchIndex, since: str | None = None
) -> AsyncIterator[tuple[int, str | None]]:
    """Note the match keys of the target's records, of all or of those changed since a watermark.

    After each page: how many there were so far, and the watermark from which a later call goes on.
    """
    count, side, mark = 0, prepared.side.other, since
    columns = tuple(dict.fromkeys(name for rule in prepared.definition.match for name in rule.columns(side)))
    async for page in prepared.target.changes(prepared.target_table, since, columns):
        for record in page.records:
            note_match_keys(prepared, index, record)
        count, mark = count + len(page.records), page.watermark or mark
        yield count, mark


@dataclass
class Planning:
    """Plans one transfer over all records of its source.

    index: the target's match keys; created: an empty one, for those of the records that would be created.
    """

    pipeline: Pipeline
    prepared: Prepared
    index: MatchIndex
    created: MatchIndex
    lengths: Mapping[Side, Mapping[str, int | None]]

    async def pages(self, since: str | None = None) -> AsyncIterator[PlannedPage]:
        """The plan page by page; `since` goes on behind a page's watermark."""
        prepared, seen = self.prepared, 0
        async for page in prepared.source.changes(prepared.source_table, since, prepared.source_columns):
            seen += len(page.records)
            yield PlannedPage(await self._page(page.records), seen, page.watermark)

    async def _page(self, records: Sequence[Record]) -> list[PlannedRecord]:
        links = self.pipeline.ports.stores.links
        rows = {one.key: await links.get(self.prepared.pair, self.prepared.side, one.key) for one in records}
        hits = {one.key: await self._hits(one) for one in records if _is_free(rows[one.key])}
        partners = [row.other for row in rows.values() if row and row.state is LinkState.LINKED]
        partners += [keys[0] for _, keys in hits.values() if len(keys) == 1]
        targets = await self._targets(partners)
        return [await self._record(one, rows[one.key], hits.get(one.key), targets) for one in records]

    async def _targets(self, keys: Sequence[str]) -> Mapping[str, Record]:
        prepared = self.prepared
        if not keys:
            return {}
        return await prepared.target.read(prepared.target_table, list(dict.fromkeys(keys)), prepared.target_columns)

    async def _hits(self, record: Record) -> tuple[MatchRule | None, Sequence[str]]:
        """The first match rule that finds anything, and what it finds that is not kept apart."""
        for rule in self.prepared.definition.match:
            parts = normalised(rule, self.prepared.side, record.values)
            found = self.index.find(rule.name, "\0".join(parts)) if parts else ()
            kept = [key for key in found if not await self._kept_apart(record.key, key)]
            if kept:
                return rule, kept
        return None, ()

    async def _kept_apart(self, source: str, target: str) -> bool:
        left, right = (source, target) if self.prepared.side is Side.LEFT else (target, source)
        return await self.pipeline.ports.stores.never_match.has(self.prepared.pair, left, right)

    async def _record(
        self,
        record: Record,
        row: LinkRow | None,
        hits: tuple[MatchRule | None, Sequence[str]] | None,
        targets: Mapping[str, Record],
    ) -> PlannedRecord:
        if row is not None and row.state is LinkState.LINKED:
            return await self._linked(record, row, targets.get(row.other))
        if row is not None:
            waits = row.state is LinkState.CREATING
            return PlannedRecord(record.key, Step.WAIT if waits else Step.SKIP, row.other)
        if not await in_scope(self.prepared, record):
            return PlannedRecord(record.key, Step.SKIP)
        assert hits is not None
        return await self._unlinked(record, *hits, targets)

    async def _linked(self, record: Record, row: LinkRow, target: Record | None) -> PlannedRecord:
        if target is None:
            return PlannedRecord(record.key, Step.PERSON, row.other, hint="the partner does not exist any more")
        home = await home_of(self.pipeline.ports.stores.links, row) or row
        base = Base.unpack(home.base, home.key, self.pipeline.ports.prints)
        return self._compared(record, target, base, linked=True)

    def _compared(self, record: Record, target: Record, base: Base, *, linked: bool) -> PlannedRecord:
        left, right = (record, target) if self.prepared.side is Side.LEFT else (target, record)
        views = compared(self.prepared.definition, base, left.values, right.values, self.lengths)
        changed = [view for view in views if view.state is not FieldState.EQUAL]
        bad = next((view for view in changed if view.state in (FieldState.CONFLICT, FieldState.UNFIT)), None)
        if linked:
            writes = any(view.writes for view in changed)
            step = Step.PERSON if bad else Step.CHANGE if writes else Step.EQUAL
        else:
            step = Step.LINK
        side = self.prepared.side
        code, column, hint = (bad.code, bad.rule.column(side), bad.hint) if bad else ("", "", "")
        return PlannedRecord(record.key, step, target.key, changed, code=code, field=column, hint=hint)

    async def _unlinked(
        self, record: Record, rule: MatchRule | None, hits: Sequence[str], targets: Mapping[str, Record]
    ) -> PlannedRecord:
        if rule is not None:
            return await self._matched(record, rule, hits, targets)
        if self.prepared.transfer.if_unlinked is not IfUnlinked.MATCH_OR_CREATE:
            return PlannedRecord(record.key, Step.SKIP)
        return self._created(record)

    async def _matched(
        self, record: Record, rule: MatchRule, hits: Sequence[str], targets: Mapping[str, Record]
    ) -> PlannedRecord:
        links, side = self.pipeline.ports.stores.links, self.prepared.side.other
        free = [key for key in hits if await links.get(self.prepared.pair, side, key) is None]
        if rule.certainty == "sure" and len(hits) == 1 and free and hits[0] in targets:
            base = Base(record.key, self.pipeline.ports.prints, {})
            return self._compared(record, targets[hits[0]], base, linked=False)
        if rule.certainty != "sure" and not free:
            return self._created(record)
        code = "CD-4303" if rule.certainty != "sure" else "CD-4301" if len(hits) > 1 else "CD-4302"
        return PlannedRecord(record.key, Step.PERSON, code=code, field=rule.columns(self.prepared.side)[0], others=hits)

    def _created(self, record: Record) -> PlannedRecord:
        prepared = self.prepared
        plan = plan_create(prepared.side, prepared.rules, record.values, prepared.lengths)
        missing = [name for name in prepared.transfer.require if is_blank(record.values.get(name))]
        if plan.problems:
            first = plan.problems[0]
            column = first.rule.column(prepared.side)
            return PlannedRecord(record.key, Step.PERSON, code=first.code, field=column, hint=first.hint)
        if missing:
            return PlannedRecord(record.key, Step.PERSON, code="CD-4020", field=missing[0])
        if any(one.rule.reference and one.rule.reference.needed for one in plan.waits):
            return PlannedRecord(record.key, Step.WAIT)
        return self._first_of_its_kind(record) or PlannedRecord(record.key, Step.CREATE, creates=plan)

    def _first_of_its_kind(self, record: Record) -> PlannedRecord | None:
        """None, and the record's sure match keys noted; or what is said of a second record with the same key."""
        for rule in self.prepared.definition.match:
            parts = normalised(rule, self.prepared.side, record.values)
            if rule.certainty != "sure" or not parts:
                continue
            if earlier := self.created.find(rule.name, "\0".join(parts)):
                column = rule.columns(self.prepared.side)[0]
                return PlannedRecord(record.key, Step.PERSON, code="CD-4302", field=column, others=earlier)
            self.created.add(rule.name, "\0".join(parts), record.key)
        return None


def _is_free(row: LinkRow | None) -> bool:
    return row is None
