"""What an edited definition would do differently from the present one, on the records as they are now.

Every linked pair is compared twice, by both definitions; only what differs is told. Nothing is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from shared.sync.comparing import FieldView, compared
from shared.sync.context import Prepared
from shared.sync.definition import Definition
from shared.sync.fingerprint import Base
from shared.sync.pipeline import Pipeline
from shared.sync.ports import LinkRow, LinkState, Record, Side
from shared.sync.values import same_value

PAGE = 100


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One column of one record that the two definitions treat differently. now, then: what would happen to it."""

    side: Side
    key: str
    column: str
    now: str
    then: str


@dataclass(frozen=True, slots=True)
class ComparedPage:
    """How many pairs were compared so far, and what differs on this page."""

    compared: int
    differences: Sequence[FieldDifference]


@dataclass(frozen=True)
class Differing:
    """Compares two versions of one definition. Each has its own pipeline, over the same systems and stores."""

    now: Pipeline
    then: Pipeline

    async def pages(self, now: Definition, then: Definition) -> AsyncIterator[ComparedPage]:
        """All linked pairs, page by page. Raises UnknownColumn where the edited definition names what is not there."""
        before = await self.now.prepare(now.transfers[0].name)
        after = await self.then.prepare(then.transfers[0].name)
        lengths = await self.now.lengths(now)
        links, last, count = self.now.ports.stores.links, None, 0
        while rows := await links.page(before.pair, Side.LEFT, last, PAGE):
            last = rows[-1].key
            linked = [row for row in rows if row.state is LinkState.LINKED]
            count += len(linked)
            yield ComparedPage(count, await self._differences(before, after, linked, lengths))

    async def _differences(
        self,
        before: Prepared,
        after: Prepared,
        rows: Sequence[LinkRow],
        lengths: Mapping[Side, Mapping[str, int | None]],
    ) -> list[FieldDifference]:
        lefts = await _read(before, after, Side.LEFT, [row.key for row in rows])
        rights = await _read(before, after, Side.RIGHT, [row.other for row in rows])
        found: list[FieldDifference] = []
        for row in rows:
            if row.key in lefts and row.other in rights:
                found += self._of_pair(before, after, row, (lefts[row.key], rights[row.other]), lengths)
        return found

    def _of_pair(
        self,
        before: Prepared,
        after: Prepared,
        row: LinkRow,
        records: tuple[Record, Record],
        lengths: Mapping[Side, Mapping[str, int | None]],
    ) -> list[FieldDifference]:
        base = Base.unpack(row.base, row.key, self.now.ports.prints)
        left, right = records[0].values, records[1].values
        now = _told(compared(before.definition, base, left, right, lengths))
        then = _told(compared(after.definition, base, left, right, lengths))
        keys = {Side.LEFT: row.key, Side.RIGHT: row.other}
        return [
            FieldDifference(place[0], keys[place[0]], place[1], _words(now.get(place)), _words(then.get(place)))
            for place in dict.fromkeys([*now, *then])
            if not _same(now.get(place), then.get(place))
        ]


async def _read(before: Prepared, after: Prepared, side: Side, keys: Sequence[str]) -> Mapping[str, Record]:
    """Records with the columns of both definitions, with one call."""
    columns = tuple(dict.fromkeys([*before.columns(side), *after.columns(side)]))
    table = after.definition.table(side).table
    return await after.connector(side).read(table, keys, columns) if keys else {}


def _told(views: Sequence[FieldView]) -> dict[tuple[Side, str], FieldView]:
    """The fields that a transfer would write, or that need a person, by the column that is concerned."""
    found: dict[tuple[Side, str], FieldView] = {}
    for view in views:
        if view.writes is not None:
            found[view.writes, view.rule.column(view.writes)] = view
        elif view.code:
            found[Side.LEFT, view.rule.left] = view
    return found


def _same(now: FieldView | None, then: FieldView | None) -> bool:
    if now is None or then is None:
        return now is then
    return now.code == then.code and same_value(now.value, then.value)


def _words(view: FieldView | None) -> str:
    if view is None:
        return "nothing"
    return f"needs a person ({view.code})" if view.code else f"written: {view.reason.value}"
