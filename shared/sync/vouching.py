"""Whether a record's version may stand for "as both sides last agreed, and carried wherever it has to go". Pure.

A stored version is trusted twice: a write names it without reading the target first, and a walk or a comparison passes
over a record that still has it. So none is stored of a record that holds something which the other side has to put
back, or which a transfer from its own side has yet to carry over: whoever comes by then reads the record.
"""

from __future__ import annotations

from shared.sync.definition import Definition, FieldRule, Master
from shared.sync.fingerprint import Base
from shared.sync.ports import Record, Side
from shared.sync.values import is_blank


def vouched(definition: Definition, base: Base, side: Side, record: Record) -> str | None:
    """The record's version, or None. definition: with the rules that are in use; base: as it is about to be stored."""
    from_here = any(transfer.source is side for transfer in definition.transfers)
    settled = all(_is_settled(rule, base, side, record, carried=from_here) for rule in definition.fields)
    return record.version if settled else None


def _is_settled(rule: FieldRule, base: Base, side: Side, record: Record, *, carried: bool) -> bool:
    value = record.values.get(rule.column(side))
    same = base.is_same(rule, side, value)
    if rule.master_linked.is_side(side):
        spared = is_blank(value) and not base.was_filled(rule, side)
        return not carried or (spared if same is None else same)
    return same is not False and not (carried and same is None and _is_shared(rule) and not is_blank(value))


def _is_shared(rule: FieldRule) -> bool:
    return rule.master_linked is Master.BOTH
