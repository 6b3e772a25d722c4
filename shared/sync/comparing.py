"""Compares two records that are one thing: the planner asked in both directions, field by field.

Preview of a link, explanation, drift report and the difference between two definitions are views on it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shared.sync.definition import Definition, FieldRule, Master
from shared.sync.fingerprint import Base
from shared.sync.planner import Action, Decision, Lengths, Reason, Values, plan_update
from shared.sync.ports import Side, Value


class FieldState(StrEnum):
    """How a field of a linked pair stands."""

    EQUAL = "equal"
    KEPT = "differs, a blank of the master overwrites nothing"
    PENDING = "differs, the master's change is on its way"
    FOREIGN = "differs, edited where it is not mastered"
    CONFLICT = "differs, changed on both sides and no side is master"
    UNFIT = "differs, the master's value does not fit"
    WAITS = "differs, the record it refers to has no partner"


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of a pair. writes: the side that a transfer would write, and what; None when nothing is written."""

    rule: FieldRule
    state: FieldState
    left: Value = field(repr=False)
    right: Value = field(repr=False)
    writes: Side | None = None
    value: Value = field(default=None, repr=False)
    reason: Reason = Reason.UNCHANGED
    code: str = ""
    hint: str = ""

    @property
    def master(self) -> Master:
        return self.rule.master_linked


_STATES: Mapping[Reason, FieldState] = {
    Reason.BLANK_KEPT: FieldState.KEPT,
    Reason.PUT_BACK: FieldState.FOREIGN,
    Reason.REPORTED: FieldState.FOREIGN,
    Reason.CONFLICT: FieldState.CONFLICT,
    Reason.WON: FieldState.CONFLICT,
    Reason.LOST: FieldState.CONFLICT,
    Reason.NO_PARTNER: FieldState.WAITS,
    Reason.NO_EDITOR: FieldState.WAITS,
    Reason.UNFIT: FieldState.UNFIT,
}


def compared(
    definition: Definition, base: Base, left: Values, right: Values, lengths: Mapping[Side, Lengths]
) -> list[FieldView]:
    """Every field of a linked pair as both transfers would decide about it now. lengths: of each side's columns."""
    directions = {transfer.source for transfer in definition.transfers}
    values = {Side.LEFT: left, Side.RIGHT: right}
    plans = {
        side: plan_update(
            side,
            definition.fields,
            base,
            values[side],
            values[side.other],
            lengths[side.other],
            definition.foreign_edit,
        ).decisions
        for side in Side
        if side in directions
    }
    return [
        _view(rule, values, {side: decisions[place] for side, decisions in plans.items()})
        for place, rule in enumerate(definition.fields)
    ]


def _view(rule: FieldRule, values: Mapping[Side, Values], decisions: Mapping[Side, Decision]) -> FieldView:
    left, right = values[Side.LEFT].get(rule.left), values[Side.RIGHT].get(rule.right)
    telling = [(side, one) for side, one in decisions.items() if _tells(rule, side, one)]
    if not telling:
        return FieldView(rule, FieldState.EQUAL, left, right)
    side, decision = min(telling, key=lambda pair: _ORDER[pair[1].action])
    state = _STATES.get(decision.reason, FieldState.PENDING)
    writes = side.other if decision.action is Action.WRITE else None
    return FieldView(rule, state, left, right, writes, decision.value, decision.reason, decision.code, decision.hint)


_ORDER = {Action.WRITE: 0, Action.PARK: 1, Action.WAIT: 2, Action.KEEP: 3}


def _tells(rule: FieldRule, side: Side, decision: Decision) -> bool:
    """Whether a decision says more than that all is as it should be, from the side that may write the field."""
    if decision.action is not Action.KEEP:
        return True
    return decision.reason in _STATES


def states(views: Sequence[FieldView]) -> set[FieldState]:
    """The states that occur among fields that are not equal."""
    return {view.state for view in views} - {FieldState.EQUAL}
