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
from shared.sync.linked_pairs import LinkedPair, linked_pairs
from shared.sync.pipeline import Pipeline
from shared.sync.ports import Side
from shared.sync.values import same_value


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
        columns = {side: tuple(dict.fromkeys([*before.columns(side), *after.columns(side)])) for side in Side}
        count = 0
        async for pairs in linked_pairs(self.now.ports.stores.links, after, columns):
            count += len(pairs)
            told = [self._of_pair(before, after, pair, lengths) for pair in pairs]
            yield ComparedPage(count, [one for of_pair in told for one in of_pair])

    def _of_pair(
        self, before: Prepared, after: Prepared, pair: LinkedPair, lengths: Mapping[Side, Mapping[str, int | None]]
    ) -> list[FieldDifference]:
        row = pair.row
        if pair.left is None or pair.right is None:
            return []
        base = Base.unpack(row.base, row.key, self.now.ports.prints)
        left, right = pair.left.values, pair.right.values
        now = _told(compared(before.definition, base, left, right, lengths))
        then = _told(compared(after.definition, base, left, right, lengths))
        keys = {Side.LEFT: row.key, Side.RIGHT: row.other}
        return [
            FieldDifference(place[0], keys[place[0]], place[1], _words(now.get(place)), _words(then.get(place)))
            for place in dict.fromkeys([*now, *then])
            if not _same(now.get(place), then.get(place))
        ]


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
