"""Decides, field by field, what a transfer does. Pure: it touches no network, clock or store.

Plan, diff, dry run, explain, the drift report and the transfer itself are views on these decisions. An echo needs no
rule of its own: it is what the planner finds unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.sync.checks import CHECKS
from shared.sync.converters import CONVERTERS
from shared.sync.definition import Conflict, FieldRule, ForeignEdit, Master, OnCreate, TooLong
from shared.sync.fingerprint import Base
from shared.sync.joined import is_joined, shortened, split
from shared.sync.ports import FieldDecision, Side, Unlinked, Untold, Value
from shared.sync.values import Unfit, canonical, cut, is_blank, length, same_value

Values = Mapping[str, Value]
Lengths = Mapping[str, int | None]


class Action(StrEnum):
    """What happens to one field of the target."""

    WRITE = "write"
    KEEP = "keep"
    WAIT = "wait"
    PARK = "park"


class Reason(StrEnum):
    """Why. The words stand in the journal and in every explanation."""

    CREATED = "sent with the create"
    CHANGED = "changed in its master"
    CHANGED_BOTH = "changed on both sides, the master wins"
    PUT_BACK = "edited where it is not mastered, put back"
    REPORTED = "edited where it is not mastered, only reported"
    WON = "changed on both sides, the field's rule lets this side win"
    LOST = "changed on both sides, the field's rule lets the other side win"
    NO_PARTNER = "the record it refers to has no partner yet"
    FIRST = "first agreement, the master's value goes over"
    FILLED = "first agreement, the blank was filled"
    WRITTEN_BACK = "the partner's own value, written back into the source"
    UNCHANGED = "unchanged"
    AGREES = "both sides already hold the same value"
    NOT_MASTER = "the source is not its master"
    BLANK_KEPT = "first agreement, a blank overwrites nothing"
    OTHER_WAY = "changed on the other side, the other transfer carries it"
    CONFLICT = "changed on both sides and no side is master"
    UNFIT = "the value does not fit"
    UNTOLD = "the value is not told and counts as unchanged"
    NO_EDITOR = "who changed the record last has no partner"
    IMMUTABLE = "the target takes no change after the create"


@dataclass(frozen=True, slots=True)
class Decision:
    """One field's decision. value is what goes to the target (never shown or stored), cut or the rule's default where
    so marked; code and hint belong to a problem."""

    rule: FieldRule
    action: Action
    reason: Reason
    value: Value = None
    cut: bool = False
    defaulted: bool = False
    code: str = ""
    hint: str = ""
    agrees: bool = False

    def __repr__(self) -> str:
        return f"Decision({self.rule.left}|{self.rule.right}: {self.action}, {self.reason})"


@dataclass(frozen=True, slots=True)
class Plan:
    """The decisions about one record in one direction."""

    source: Side
    decisions: Sequence[Decision]

    @property
    def writes(self) -> dict[str, Value]:
        """Target columns with their new values."""
        return {d.rule.column(self.source.other): d.value for d in self.decisions if d.action is Action.WRITE}

    @property
    def problems(self) -> Sequence[Decision]:
        return [d for d in self.decisions if d.action is Action.PARK]

    @property
    def waits(self) -> Sequence[Decision]:
        """Decisions on references to records that have no partner yet."""
        return [d for d in self.decisions if d.action is Action.WAIT]

    @property
    def overruled(self) -> Sequence[Decision]:
        """Writes over a value that somebody has entered on the target: it would be lost without a note."""
        return [d for d in self.decisions if d.action is Action.WRITE and d.reason in _OVERRULING]

    @property
    def agreed(self) -> Sequence[Decision]:
        """Decisions whose fields agree once the writes are done, and so belong into the base.

        A default written where the source is not master does not: the master's side has it now, and the source not.
        """
        return [d for d in self.decisions if d.agrees or (d.action is Action.WRITE and not self._is_given_away(d))]

    def _is_given_away(self, decision: Decision) -> bool:
        return decision.defaulted and not decision.rule.master_linked.is_side(self.source)

    @property
    def news(self) -> bool:
        """Whether the base would change although nothing is written."""
        return any(d.agrees for d in self.decisions)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is to be written, waited for or asked a person about."""
        return not any(d.action in (Action.WRITE, Action.WAIT, Action.PARK) for d in self.decisions)

    def immutable(self) -> Plan:
        """The plan where the target never changes: what differs stays as it is, and that is agreed on."""
        return Plan(self.source, [_kept_back(d) for d in self.decisions])

    @property
    def blanks(self) -> int:
        """How many fields of the target become empty."""
        return sum(d.action is Action.WRITE and is_blank(d.value) for d in self.decisions)

    def told(self, base: Base | None, target: Values | None) -> list[FieldDecision]:
        """The decisions for the journal: fingerprints instead of values, plainly unchanged fields left out."""
        return [_told(d, self.source.other, base, target) for d in self.decisions if not _is_plain(d, base)]


def _kept_back(decision: Decision) -> Decision:
    if decision.action is Action.KEEP:
        return decision
    return Decision(decision.rule, Action.KEEP, Reason.IMMUTABLE, agrees=True)


def _is_plain(decision: Decision, base: Base | None) -> bool:
    """Whether nothing has happened to a field: it is as agreed, or equal at a first comparison (or the first one after
    a change of keys)."""
    if decision.reason is Reason.AGREES:
        return base is None or not base.entries
    return decision.reason in (Reason.UNCHANGED, Reason.UNTOLD)


_OVERRULING = {Reason.PUT_BACK, Reason.CHANGED_BOTH, Reason.WON}


def _told(decision: Decision, target_side: Side, base: Base | None, target: Values | None) -> FieldDecision:
    rule = decision.rule
    before = after = ""
    if base is not None:
        if target is not None and not isinstance(target.get(rule.column(target_side)), Untold):
            before = base.prints.of(base.salt, rule, target_side, target.get(rule.column(target_side))).hex()
        elif agreed := base.agreed(rule):
            before = agreed.on(target_side).hex()
        if decision.action is Action.WRITE:
            after = base.prints.of(base.salt, rule, target_side, decision.value).hex()
    more = (", cut to fit" if decision.cut else "") + (", the rule's default" if decision.defaulted else "")
    reason = decision.code or decision.reason.value + more
    return FieldDecision(rule.left, rule.right, decision.action.value, reason, before, after)


class NeedsTarget(Exception):
    """The decisions depend on what the target holds; load it (its version first, then the source again) and plan
    once more."""


def plan_update(
    source_side: Side,
    rules: Sequence[FieldRule],
    base: Base,
    source: Values,
    target: Values | None,
    lengths: Lengths,
    foreign_edit: ForeignEdit = ForeignEdit.RESTORE,
) -> Plan:
    """Decide about a linked record. target None: assumed as at the last agreement. Raises NeedsTarget where that
    is not enough."""
    decide = _Update(source_side, rules, base, source, target, lengths, foreign_edit)
    return Plan(source_side, [decide.about(rule) for rule in rules])


@dataclass(frozen=True)
class _Update:
    side: Side
    rules: Sequence[FieldRule]
    base: Base
    source: Values
    target: Values | None
    lengths: Lengths
    foreign_edit: ForeignEdit

    def about(self, rule: FieldRule) -> Decision:
        if rule.master_linked is Master.BOTH:
            return self._shared(rule)
        if rule.master_linked.is_side(self.side):
            return self._mastered(rule)
        return self._not_mastered(rule)

    def _source(self, rule: FieldRule) -> Value:
        return self.source.get(rule.column(self.side))

    def _target(self, rule: FieldRule) -> Value:
        return (self.target or {}).get(rule.column(self.side.other))

    def _same(self, rule: FieldRule) -> tuple[bool | None, bool | None]:
        """Whether source and target are as at the last agreement; (None, None) without a base."""
        source = self.base.is_same(rule, self.side, self._source(rule))
        if source and rule.convert_with.columns and self._is_told_anew(rule):
            source = False
        if source is None or self.target is None:
            return source, None if source is None else True
        return source, self.base.is_same(rule, self.side.other, self._target(rule))

    def _is_told_anew(self, rule: FieldRule) -> bool:
        """Whether a column that the rule's converter looks at, beside its own, has changed since the last agreement."""
        if is_blank(self._source(rule)):
            return False
        beside = {rule.convert_with.column(name, self.side) for name in rule.convert_with.columns}
        watched = [one for one in self.rules if one.column(self.side) in beside]
        return any(self.base.is_same(one, self.side, self._source(one)) is False for one in watched)

    def _mastered(self, rule: FieldRule) -> Decision:
        if isinstance(self._source(rule), Untold):
            return Decision(rule, Action.KEEP, Reason.UNTOLD)
        source_same, target_same = self._same(rule)
        if source_same and target_same:
            return Decision(rule, Action.KEEP, Reason.UNCHANGED)
        if source_same is None:
            return self._first(rule)
        if source_same and self._was_kept(rule):
            return Decision(rule, Action.KEEP, Reason.BLANK_KEPT, agrees=True)
        if source_same:
            return self._foreign_edit(rule)
        return self._write(rule, Reason.CHANGED if target_same else Reason.CHANGED_BOTH)

    def _foreign_edit(self, rule: FieldRule) -> Decision:
        """Only the target has changed, where it is not master."""
        put_back = self._write(rule, Reason.PUT_BACK)
        if put_back.action is Action.WRITE and self.foreign_edit is ForeignEdit.REPORT:
            return Decision(rule, Action.KEEP, Reason.REPORTED)
        return put_back

    def _was_kept(self, rule: FieldRule) -> bool:
        """A blank of the master that has spared a value before goes on sparing it, until the master is filled in."""
        target_was_blank = self.base.is_same(rule, self.side.other, None)
        return self._source_is_blank(rule) and not target_was_blank and not is_blank(self._target(rule))

    def _source_is_blank(self, rule: FieldRule) -> bool:
        return _converts_to_blank(rule, self.side, self.source)

    def _first(self, rule: FieldRule) -> Decision:
        if self.target is None:
            raise NeedsTarget
        cleared = is_blank(self._source(rule)) and self.base.was_filled(rule, self.side)
        if self._source_is_blank(rule) and not is_blank(self._target(rule)) and not cleared:
            fill = rule.on_create is OnCreate.FILL
            return Decision(rule, Action.KEEP, Reason.BLANK_KEPT, agrees=not fill)
        return self._write(rule, Reason.FIRST)

    def _not_mastered(self, rule: FieldRule) -> Decision:
        source_same, _ = self._same(rule)
        if source_same is None and rule.on_create is OnCreate.FILL and not self._source_is_blank(rule):
            if self.target is None:
                raise NeedsTarget
            if is_blank(self._target(rule)):
                return self._write(rule, Reason.FILLED)
        reason = Reason.NOT_MASTER if source_same is False else Reason.UNCHANGED
        return Decision(rule, Action.KEEP, reason)

    def _shared(self, rule: FieldRule) -> Decision:
        source_same, target_same = self._same(rule)
        if source_same is None and self.target is None:
            raise NeedsTarget
        if source_same:
            return Decision(rule, Action.KEEP, Reason.UNCHANGED if target_same else Reason.OTHER_WAY)
        if target_same or (source_same is None and is_blank(self._target(rule))):
            return self._write(rule, Reason.CHANGED if target_same else Reason.FIRST)
        if source_same is None and self._source_is_blank(rule):
            return Decision(rule, Action.KEEP, Reason.BLANK_KEPT)
        written = self._write(rule, Reason.WON)
        if written.action is not Action.WRITE or rule.conflict.value == self.side.value:
            return written
        if rule.conflict is not Conflict.PARK:
            return Decision(rule, Action.KEEP, Reason.LOST)
        hint = "make both sides hold the same value, or name one system as master"
        return Decision(rule, Action.PARK, Reason.CONFLICT, code="CD-4010", hint=hint)

    def _write(self, rule: FieldRule, reason: Reason) -> Decision:
        """Write the converted value, unless the target is known to hold it already."""
        decision = _sent(rule, self.side, self.source, reason, self.lengths)
        if decision.action is Action.WRITE and self._holds(rule, decision.value):
            return Decision(rule, Action.KEEP, Reason.AGREES, decision.value, agrees=True)
        return decision

    def _holds(self, rule: FieldRule, value: Value) -> bool:
        """Whether the target already has the value: it was loaded, or held it at the last agreement."""
        if self.target is not None and not isinstance(self._target(rule), Untold):
            return same_value(value, self._target(rule))
        return bool(self.base.is_same(rule, self.side.other, value))


def plan_create(source_side: Side, rules: Sequence[FieldRule], source: Values, lengths: Lengths) -> Plan:
    """Decide what a new record gets: fields that the source masters before or after, and those to be filled; no
    blanks."""
    return Plan(source_side, list(_created(source_side, rules, source, lengths)))


def _created(side: Side, rules: Sequence[FieldRule], source: Values, lengths: Lengths) -> Iterator[Decision]:
    for rule in rules:
        carried = source if carries_on_create(rule, side) else {}
        if not _converts_to_blank(rule, side, carried, creating=True):
            yield _sent(rule, side, carried, Reason.CREATED, lengths, creating=True)
        elif carried or is_blank(source.get(rule.column(side))):
            yield Decision(rule, Action.KEEP, Reason.UNCHANGED)
        else:
            yield Decision(rule, Action.KEEP, Reason.NOT_MASTER)


def carries_on_create(rule: FieldRule, side: Side) -> bool:
    """Whether a create from this side sends the field."""
    if rule.on_create in (OnCreate.LEAVE, OnCreate.AFTER):
        return False
    masters = {rule.master_unlinked, rule.master_linked}
    return rule.on_create is OnCreate.FILL or Master.BOTH in masters or any(master.is_side(side) for master in masters)


def sent_after(rule: FieldRule, side: Side) -> bool:
    """Whether a field of this side goes into a new record by a write of its own right after the create."""
    return rule.on_create is OnCreate.AFTER and rule.master_linked.is_side(side)


def plan_caught_up(
    source_side: Side, rules: Sequence[FieldRule], before: Values, now: Values, lengths: Lengths
) -> Plan:
    """Decide what an edit made during the create still has to carry over, before mastership changes hands."""
    carried = [rule for rule in rules if _mastered_on_create(rule, source_side)]
    changed = [
        rule
        for rule in carried
        if not is_as_before(before.get(rule.column(source_side)), now.get(rule.column(source_side)))
    ]
    sent = [_sent(rule, source_side, now, Reason.CHANGED, lengths, creating=True) for rule in changed]
    return Plan(source_side, sent)


def is_as_before(before: Value, now: Value) -> bool:
    """Whether a value of the source is still the same to the other side: one that refers to a record which has found
    its partner meanwhile is not, though the key may read the same."""
    return same_value(before, now) and isinstance(before, Unlinked) is isinstance(now, Unlinked)


def plan_behind(
    source_side: Side,
    rules: Sequence[FieldRule],
    now: Values,
    target: Values,
    sent: Collection[str],
    lengths: Lengths,
) -> Plan:
    """Decide what a create sent by an earlier run lacks today: fields it sends that differ, and sent ones that
    are blank now."""
    decisions = []
    for rule in rules:
        value, column = now.get(rule.column(source_side)), rule.column(source_side.other)
        if _mastered_on_create(rule, source_side) and (not is_blank(value) or column in sent):
            decision = _sent(rule, source_side, now, Reason.CHANGED, lengths, creating=True)
            if not alike(decision.value, target.get(column)):
                decisions.append(decision)
    return Plan(source_side, decisions)


def _mastered_on_create(rule: FieldRule, side: Side) -> bool:
    """Sent with a create, and not only to fill a blank: an edit of it made during the create still goes over."""
    masters = {rule.master_unlinked, rule.master_linked}
    return carries_on_create(rule, side) and any(master.is_side(side) for master in masters)


def alike(one: Value, other: Value) -> bool:
    """Equal but for capitals and surplus blanks, which systems change by themselves."""
    first, second = (" ".join((canonical(value) or "").split()).casefold() for value in (one, other))
    return first == second


def _converts_to_blank(rule: FieldRule, source_side: Side, source: Values, *, creating: bool = False) -> bool:
    """Whether nothing would be left of a value and no default stands in; one that does not fit is not nothing."""
    try:
        blank = is_blank(converted(rule, source_side, source))
    except Unfit:
        return False
    return blank and rule.default_for(source_side.other, creating=creating) is None


def converted(rule: FieldRule, source_side: Side, source: Values) -> Value:
    """The rule's value of a source record in the target's terms; raises Unfit."""
    converter = CONVERTERS[rule.convert]
    convert = converter.forth if source_side is Side.LEFT else converter.back
    return convert(source.get(rule.column(source_side)), rule.given(source_side, source))


def agree(rules: Sequence[FieldRule], left: Values, right: Values) -> list[FieldRule]:
    """The rules on which two records agree, seen from the left."""
    return [rule for rule in rules if _agrees(rule, left, right)]


def _agrees(rule: FieldRule, left: Values, right: Values) -> bool:
    try:
        return same_value(converted(rule, Side.LEFT, left), right.get(rule.right))
    except Unfit:
        return False


def _sent(
    rule: FieldRule, side: Side, source: Values, reason: Reason, lengths: Lengths, *, creating: bool = False
) -> Decision:
    """A write of the converted value or the rule's default, or a parked field if it does not fit."""
    if isinstance(source.get(rule.column(side)), Unlinked):
        return _waiting(rule)
    try:
        target, defaulted = converted(rule, side, source), False
        if is_blank(target) and (default := rule.default_for(side.other, creating=creating)) is not None:
            target, defaulted = default, True
        text = canonical(target)
        if text is not None and rule.check:
            CHECKS[rule.check].complain(text, rule.check_with.told(side, source))
    except Unfit as unfit:
        return Decision(rule, Action.PARK, Reason.UNFIT, code=unfit.code, hint=unfit.hint)
    return _fitted(Decision(rule, Action.WRITE, reason, target, defaulted=defaulted), side.other, lengths)


def _waiting(rule: FieldRule) -> Decision:
    """What becomes of a key without a partner: the field waits for it; whose is that of a person, a person is told."""
    if not rule.last_editor:
        return Decision(rule, Action.WAIT, Reason.NO_PARTNER)
    return Decision(rule, Action.PARK, Reason.NO_EDITOR, code="CD-4021", hint="the user has no partner")


def _fitted(decision: Decision, side: Side, lengths: Lengths) -> Decision:
    """The write, with a text that is too long for its column cut or parked."""
    column, text = decision.rule.column(side), decision.value
    if not isinstance(text, str) or _has_room(column, text, lengths):
        return decision
    if decision.rule.too_long is TooLong.CUT and (short := _shortened(column, text, lengths)):
        return replace(decision, value=short, cut=True)
    limit = f"the {lengths[column]} characters of {column}" if column in lengths else f"what {column} hold"
    hint = f"the text is longer than {limit}; shorten it or say too_long: cut"
    return Decision(decision.rule, Action.PARK, Reason.UNFIT, code="CD-4007", hint=hint)


def _has_room(column: str, text: str, lengths: Lengths) -> bool:
    if is_joined(column):
        return split(column, text, lengths) is not None
    limit = lengths.get(column)
    return limit is None or length(text) <= limit


def _shortened(column: str, text: str, lengths: Lengths) -> str:
    """The beginning of a text that fits, at whole words where it goes over several columns; empty if none does."""
    return shortened(column, text, lengths) if is_joined(column) else cut(text, lengths.get(column) or 0)
