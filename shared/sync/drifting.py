"""How records stand: a comparison of all linked pairs by the planner, what has no partner, and the messages that would
bring them together.

Nothing is written by comparing. What is repaired is queued as ordinary messages, so a repair decides again, with all
rules, on the records as they are then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.sync.comparing import FieldState, FieldView, compared
from shared.sync.context import Prepared
from shared.sync.definition import Definition
from shared.sync.fingerprint import Base
from shared.sync.linked_pairs import LinkedPair, linked_pairs
from shared.sync.message import MAX_KEYS, Message
from shared.sync.pipeline import Pipeline
from shared.sync.planning import PlannedRecord, Step
from shared.sync.ports import Outgoing, Side


class Standing(StrEnum):
    """How a linked pair stands; of several differing fields the one that is listed first here counts."""

    MISSING = "a record does not exist any more"
    DUPLICATE = "without a partner: by its match key several records are one thing"
    ORPHAN = "without a partner: in scope, and nothing stands in the way"
    CONFLICT = "changed on both sides, and no side is master"
    UNFIT = "the master's value does not fit"
    FOREIGN = "differs: edited where it is not mastered"
    PENDING = "differs: the master's change is on its way"
    WAITS = "waits for a record that it refers to, or is being created"
    EQUAL = "equal"


_BY_FIELD = {
    FieldState.CONFLICT: Standing.CONFLICT,
    FieldState.UNFIT: Standing.UNFIT,
    FieldState.FOREIGN: Standing.FOREIGN,
    FieldState.PENDING: Standing.PENDING,
    FieldState.WAITS: Standing.WAITS,
}
_REPAIRED = frozenset({Standing.MISSING, Standing.ORPHAN, Standing.FOREIGN, Standing.PENDING})
_DOUBLED = frozenset({"CD-4301", "CD-4302", "CD-4303"})


@dataclass(frozen=True, slots=True)
class Drift:
    """One linked pair, or a record without a partner, whose other key is empty (or that of whom it would be linked to).

    columns: left names of the fields that differ; missing: the side whose record is gone.
    """

    left: str
    right: str
    standing: Standing
    columns: Sequence[str] = ()
    missing: Side | None = None

    @property
    def can_be_repaired(self) -> bool:
        """Whether a transfer would do something about it; the others are for a person, or need nothing."""
        return self.standing in _REPAIRED


@dataclass(frozen=True)
class Drifting:
    """Compares the linked records of one pair."""

    pipeline: Pipeline
    definition: Definition

    async def pages(self) -> AsyncIterator[list[Drift]]:
        """All linked pairs, a hundred at a time."""
        prepared = await self.pipeline.prepare(self.definition.transfers[0].name)
        lengths = await self.pipeline.lengths(self.definition)
        columns = {side: prepared.columns(side) for side in Side}
        async for pairs in linked_pairs(self.pipeline.ports.stores.links, prepared, columns):
            yield [self._drift(prepared, pair, lengths) for pair in pairs]

    def _drift(self, prepared: Prepared, pair: LinkedPair, lengths: Mapping[Side, Mapping[str, int | None]]) -> Drift:
        row, left, right = pair.row, pair.left, pair.right
        if left is None or right is None:
            gone = Side.LEFT if left is None else Side.RIGHT
            return Drift(row.key, row.other, Standing.MISSING, missing=gone)
        base = Base.unpack(row.base, row.key, self.pipeline.ports.prints)
        views = compared(prepared.definition, base, left.values, right.values, lengths)
        differing = [view for view in views if view.state in _BY_FIELD]
        return Drift(row.key, row.other, _worst(differing), [view.rule.left for view in differing])

    async def repair(self, drifts: Sequence[Drift], by: str) -> int:
        """Queue what can be repaired to every transfer of the pair; answers how many pairs."""
        wanted = [drift for drift in drifts if drift.can_be_repaired]
        for transfer in self.definition.transfers:
            for side in Side:
                keys = [key for drift in wanted if (key := drift.left if side is Side.LEFT else drift.right)]
                for at in range(0, len(keys), MAX_KEYS):
                    await self._send(transfer.name, side, keys[at : at + MAX_KEYS], by)
        return len(wanted)

    async def _send(self, transfer: str, side: Side, keys: Sequence[str], by: str) -> None:
        ports = self.pipeline.ports
        message = Message(
            transfer=transfer,
            side=side,
            table=self.definition.table(side).table,
            keys=tuple(keys),
            cause=f"drift by {by}",
            occurred_at=ports.clock.now(),
            attempt=0,
            correlation_id=ports.ids.new(),
            change_id=f"drift/{ports.ids.new()}",
        )
        out = Outgoing(message.message_id(), message.to_json(), None, message.correlation_id)
        await ports.queue.send(transfer, [out])


def without_partner(side: Side, record: PlannedRecord) -> Drift | None:
    """How a record stands that has no partner; None for one that has a partner, or shall have none."""
    if record.step is Step.SKIP or (record.partner and record.step is not Step.LINK):
        return None
    standing = _by_plan(record)
    left, right = (record.key, record.partner) if side is Side.LEFT else (record.partner, record.key)
    return Drift(left, right, standing, [record.field] if record.field else ())


def told_once(drifts: Iterable[Drift]) -> list[Drift]:
    """What both directions say of records without a partner: two that match once, one that several match as doubled."""
    pairs = {(one.left, one.right): one for one in drifts}
    both = [(left, right) for left, right in pairs if left and right]
    lefts, rights = Counter(left for left, _ in both), Counter(right for _, right in both)
    found = []
    for (left, right), one in pairs.items():
        if left and right and (lefts[left] > 1 or rights[right] > 1):
            found.append(replace(one, standing=Standing.DUPLICATE))
        elif (left and right) or not (lefts[left] or rights[right]):
            found.append(one)
    return found


def _by_plan(record: PlannedRecord) -> Standing:
    if record.code in _DOUBLED:
        return Standing.DUPLICATE
    if record.step is Step.PERSON:
        return Standing.UNFIT
    return Standing.WAITS if record.step is Step.WAIT else Standing.ORPHAN


def _worst(views: Sequence[FieldView]) -> Standing:
    found = {_BY_FIELD[view.state] for view in views}
    return next((standing for standing in Standing if standing in found), Standing.EQUAL)
