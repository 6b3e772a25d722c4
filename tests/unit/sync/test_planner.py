"""The planner: one story for each reason it gives, and what holds for all records and rules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.definition import Conflict, FieldRule, ForeignEdit, Master, OnCreate, Reference, TooLong
from shared.sync.fingerprint import Base
from shared.sync.planner import (
    Action,
    NeedsTarget,
    Plan,
    Reason,
    agree,
    converted,
    plan_behind,
    plan_caught_up,
    plan_create,
    plan_update,
)
from shared.sync.ports import Side, Unlinked, Untold, Value
from shared.sync.values import canonical, is_blank, same_value
from tests.unit.sync.making import NO_BASE, TEXTS, base_of, record, remembered, rule, rules

TABLE = {"1": "Ship", "2": "All"}


@dataclass(frozen=True)
class Case:
    """One field of a linked record, seen from the left: the values now, and those of the last agreement (if any)."""

    story: str
    rule: FieldRule
    source: Value
    target: Value
    action: Action
    reason: Reason
    agreed: tuple[Value, Value] | None = None
    value: Value = None
    code: str = ""
    agrees: bool = False
    lengths: dict[str, int | None] = field(default_factory=dict)
    foreign_edit: ForeignEdit = ForeignEdit.RESTORE


OURS, THEIRS, SHARED = rule(), rule(master=Master.RIGHT), rule(master=Master.BOTH)
FILL = OnCreate.FILL
USERS = Reference(left="users", right="employees")

CASES = [
    Case("an echo", OURS, "x", "x", Action.KEEP, Reason.UNCHANGED, ("x", "x")),
    Case("what the target made of it is no change", OURS, "x", "X", Action.KEEP, Reason.UNCHANGED, ("x", "X")),
    Case("an edit in the master", OURS, "y", "x", Action.WRITE, Reason.CHANGED, ("x", "x"), "y"),
    Case("a field emptied in the master", OURS, None, "x", Action.WRITE, Reason.CHANGED, ("x", "x"), None),
    Case("an edit on both sides", OURS, "y", "z", Action.WRITE, Reason.CHANGED_BOTH, ("x", "x"), "y"),
    Case("the same edit on both sides", OURS, "y", "y", Action.KEEP, Reason.AGREES, ("x", "x"), "y", agrees=True),
    Case("an edit where it is not mastered", OURS, "x", "z", Action.WRITE, Reason.PUT_BACK, ("x", "x"), "x"),
    Case("a first agreement", OURS, "x", "z", Action.WRITE, Reason.FIRST, value="x"),
    Case("a first look at equal values", OURS, "x", "x", Action.KEEP, Reason.AGREES, value="x", agrees=True),
    Case("a blank at the first agreement", OURS, None, "z", Action.KEEP, Reason.BLANK_KEPT, agrees=True),
    Case("what converts to blank", rule(convert="trim"), " ", "z", Action.KEEP, Reason.BLANK_KEPT, agrees=True),
    Case("a blank to be filled from there", rule(on_create=FILL), None, "z", Action.KEEP, Reason.BLANK_KEPT),
    Case("a spared value edited there", OURS, None, "zz", Action.KEEP, Reason.BLANK_KEPT, (None, "z"), agrees=True),
    Case("a spared value, the master filled at last", OURS, "x", "z", Action.WRITE, Reason.CHANGED, (None, "z"), "x"),
    Case("a blank edited where it is not mastered", OURS, None, "z", Action.WRITE, Reason.PUT_BACK, (None, None)),
    Case("theirs, edited here", THEIRS, "y", "x", Action.KEEP, Reason.NOT_MASTER, ("x", "x")),
    Case("theirs, edited there", THEIRS, "x", "y", Action.KEEP, Reason.UNCHANGED, ("x", "x")),
    Case("theirs, never agreed", THEIRS, "y", "x", Action.KEEP, Reason.UNCHANGED),
    Case(
        "theirs and blank there",
        rule(master=Master.RIGHT, on_create=FILL),
        "y",
        None,
        Action.WRITE,
        Reason.FILLED,
        value="y",
    ),
    Case("theirs and filled there", rule(master=Master.RIGHT, on_create=FILL), "y", "x", Action.KEEP, Reason.UNCHANGED),
    Case("shared, unchanged", SHARED, "x", "x", Action.KEEP, Reason.UNCHANGED, ("x", "x")),
    Case("shared, edited here", SHARED, "y", "x", Action.WRITE, Reason.CHANGED, ("x", "x"), "y"),
    Case("shared, edited there", SHARED, "x", "y", Action.KEEP, Reason.OTHER_WAY, ("x", "x")),
    Case("shared, edited alike", SHARED, "y", "y", Action.KEEP, Reason.AGREES, ("x", "x"), "y", agrees=True),
    Case("shared, a conflict", SHARED, "y", "z", Action.PARK, Reason.CONFLICT, ("x", "x"), code="CD-4010"),
    Case(
        "shared, a conflict that this side wins", rule(master=Master.BOTH, conflict=Conflict.LEFT), "y", "z",
        Action.WRITE, Reason.WON, ("x", "x"), "y",
    ),
    Case(
        "shared, a conflict that the other side wins", rule(master=Master.BOTH, conflict=Conflict.RIGHT), "y", "z",
        Action.KEEP, Reason.LOST, ("x", "x"),
    ),
    Case(
        "an edit where it is not mastered, of a definition that only reports", OURS, "x", "z",
        Action.KEEP, Reason.REPORTED, ("x", "x"), foreign_edit=ForeignEdit.REPORT,
    ),
    Case(
        "a reference to a record without a partner", OURS, Unlinked("k"), "z",
        Action.WAIT, Reason.NO_PARTNER, ("x", "x"),
    ),
    Case(
        "an editor without a partner", rule(last_editor="at", reference=USERS), Unlinked("k"), "z",
        Action.PARK, Reason.NO_EDITOR, ("x", "x"), code="CD-4021",
    ),
    Case("a value that is not told", OURS, Untold(), "z", Action.KEEP, Reason.UNTOLD, ("x", "x")),
    Case("a value that was never told", OURS, Untold(), "z", Action.KEEP, Reason.UNTOLD),
    Case("a target that does not tell, unchanged", OURS, "x", Untold(), Action.KEEP, Reason.UNCHANGED, ("x", "x")),
    Case("a target that does not tell, changed", OURS, "y", Untold(), Action.WRITE, Reason.CHANGED, ("x", "x"), "y"),
    Case("a target that never told", OURS, "y", Untold(), Action.WRITE, Reason.FIRST, value="y"),
    Case("shared, differing from the start", SHARED, "y", "z", Action.PARK, Reason.CONFLICT, code="CD-4010"),
    Case("shared, blank there from the start", SHARED, "y", None, Action.WRITE, Reason.FIRST, value="y"),
    Case("shared, blank here from the start", SHARED, None, "z", Action.KEEP, Reason.BLANK_KEPT),
    Case(
        "shared and unfit: the unfit value is the problem, not the conflict",
        rule(master=Master.BOTH, check="phone"),
        "call us",
        "2",
        Action.PARK,
        Reason.UNFIT,
        ("1", "1"),
        code="CD-4003",
    ),
    Case(
        "too long for the target", OURS, "abcdef", "x", Action.PARK, Reason.UNFIT, ("x", "x"), None, "CD-4007",
        lengths={"b": 3},
    ),
    Case("just long enough", OURS, "abc", "x", Action.WRITE, Reason.CHANGED, ("x", "x"), "abc", lengths={"b": 3}),
    Case(
        "cut to fit, no blank at the end", rule(too_long=TooLong.CUT), "ab cdef", "x", Action.WRITE, Reason.CHANGED,
        ("x", "x"), "ab", lengths={"b": 3},
    ),
    Case(
        "cut already", rule(too_long=TooLong.CUT), "ab cdef", "ab", Action.KEEP, Reason.AGREES, value="ab", agrees=True,
        lengths={"b": 3},
    ),
    Case("by the table", rule(convert="values", values=TABLE), 2, None, Action.WRITE, Reason.FIRST, value="All"),
    Case(
        "not in the table", rule(convert="values", values=TABLE), 3, "Ship", Action.PARK, Reason.UNFIT, (1, "Ship"),
        code="CD-4001",
    ),
    Case("a failed check", rule(check="email"), "at home", None, Action.PARK, Reason.UNFIT, code="CD-4004"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.story)
def test_each_situation_has_its_decision(case: Case) -> None:
    """Action, reason, value, code and whether it belongs into the base."""
    base = base_of([case.rule], {"a": case.agreed[0]}, {"b": case.agreed[1]}) if case.agreed else NO_BASE
    plan = plan_update(
        Side.LEFT, [case.rule], base, {"a": case.source}, {"b": case.target}, case.lengths, case.foreign_edit
    )
    (decision,) = plan.decisions
    assert (decision.action, decision.reason, decision.code) == (case.action, case.reason, case.code)
    assert same_value(decision.value, case.value)
    assert decision.agrees is case.agrees
    assert bool(decision.hint) is (case.action is Action.PARK)


def test_every_reason_has_its_story() -> None:
    """A new reason needs a case above; creates are told below, and what is written back is no decision of a plan."""
    assert {case.reason for case in CASES} == set(Reason) - {Reason.CREATED, Reason.WRITTEN_BACK, Reason.IMMUTABLE}


def test_a_target_that_never_changes_is_left_alone_and_agreed_on() -> None:
    """Whatever was to be written, waited for or parked; it is told once, and then is as agreed."""
    rules = [rule("a", "b"), rule("c", "d"), rule("e", "f")]
    base = base_of(rules, {"a": "x", "c": "x", "e": "x"}, {"b": "x", "d": "x", "f": "x"})
    now = {"a": "y", "c": "x", "e": "too long"}
    there: dict[str, Value] = {"b": "x", "d": "x", "f": "x"}
    plan = plan_update(Side.LEFT, rules, base, now, there, {"f": 3}).immutable()
    assert [(one.action, one.reason) for one in plan.decisions] == [
        (Action.KEEP, Reason.IMMUTABLE),
        (Action.KEEP, Reason.UNCHANGED),
        (Action.KEEP, Reason.IMMUTABLE),
    ]
    assert (plan.writes, plan.problems, plan.is_quiet) == ({}, [], True)
    assert [one.rule.left for one in plan.agreed] == ["a", "e"]
    assert [one.reason for one in plan.told(base, there)] == [Reason.IMMUTABLE.value] * 2


@pytest.mark.parametrize("case", [case for case in CASES if case.action is Action.PARK], ids=lambda case: case.story)
def test_a_hint_never_tells_the_value(case: Case) -> None:
    """Hints are stored with the parked item."""
    base = base_of([case.rule], {"a": case.agreed[0]}, {"b": case.agreed[1]}) if case.agreed else NO_BASE
    plan = plan_update(Side.LEFT, [case.rule], base, {"a": case.source}, {"b": case.target}, case.lengths)
    assert plan.problems
    assert str(case.source) not in plan.problems[0].hint.split()
    assert repr(case.source) not in repr(plan)


def test_the_journal_is_told_what_happened_but_not_the_plainly_unchanged() -> None:
    """One entry per field with news, fingerprints instead of values, "cut to fit" said."""
    both = [rule("a", "b"), rule("c", "d", too_long=TooLong.CUT)]
    base = base_of(both, {"a": "x", "c": "x"}, {"b": "x", "d": "x"})
    plan = plan_update(Side.LEFT, both, base, {"a": "x", "c": "secret text"}, {"b": "x", "d": "x"}, {"d": 6})
    (told,) = plan.told(base, {"b": "x", "d": "x"})
    assert (told.left, told.right, told.action) == ("c", "d", "write")
    assert told.reason == f"{Reason.CHANGED}, cut to fit"
    assert "secret" not in f"{told}"
    assert told.before != told.after != ""


def test_the_blanks_of_a_plan_are_counted_for_the_brake() -> None:
    """Two fields emptied at once."""
    three = [rule(f"a{n}", f"b{n}") for n in range(3)]
    base = base_of(three, dict.fromkeys(["a0", "a1", "a2"], "x"), dict.fromkeys(["b0", "b1", "b2"], "x"))
    plan = plan_update(Side.LEFT, three, base, {"a0": "y"}, dict.fromkeys(["b0", "b1", "b2"], "x"), {})
    assert plan.blanks == 2


# --- creates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unlinked", "linked", "on_create", "sent"),
    [
        (Master.LEFT, Master.LEFT, OnCreate.CARRY, True),
        (Master.LEFT, Master.RIGHT, OnCreate.CARRY, True),
        (Master.RIGHT, Master.LEFT, OnCreate.CARRY, True),
        (Master.NOBODY, Master.BOTH, OnCreate.CARRY, True),
        (Master.RIGHT, Master.RIGHT, OnCreate.CARRY, False),
        (Master.RIGHT, Master.RIGHT, OnCreate.FILL, True),
        (Master.LEFT, Master.LEFT, OnCreate.LEAVE, False),
    ],
)
def test_a_create_sends_what_its_source_masters_before_or_after(
    unlinked: Master, linked: Master, on_create: OnCreate, sent: bool
) -> None:
    """on_create: fill sends in addition, leave sends nothing."""
    one = rule(master=linked, unlinked=unlinked, on_create=on_create)
    plan = plan_create(Side.LEFT, [one], {"a": "x"}, {})
    assert plan.writes == ({"b": "x"} if sent else {})
    assert plan.decisions[0].reason is (Reason.CREATED if sent else Reason.NOT_MASTER)


@given(data=st.data())
def test_a_create_never_sends_a_blank(data: st.DataObject) -> None:
    """The system's own defaults stay."""
    some = data.draw(rules())
    plan = plan_create(Side.LEFT, some, record(data.draw, Side.LEFT, some), {})
    assert not [value for value in plan.writes.values() if is_blank(value)]


def test_an_edit_made_during_a_create_is_carried_over_unless_it_only_fills() -> None:
    """Also a field emptied meanwhile."""
    some = [rule("a", "b"), rule("c", "d"), rule("e", "f", master=Master.RIGHT, on_create=OnCreate.FILL)]
    plan = plan_caught_up(Side.LEFT, some, {"a": "x", "c": "x", "e": "x"}, {"a": "y", "c": None, "e": "y"}, {})
    assert plan.writes == {"b": "y", "d": None}


def test_a_reference_that_found_its_partner_during_the_create_still_goes_over() -> None:
    """From the right side its key reads the same before and after."""
    refers = rule(master=Master.RIGHT, reference=USERS)
    found = plan_caught_up(Side.RIGHT, [refers], {"b": Unlinked("k")}, {"b": "k"}, {})
    assert found.writes == {"a": "k"}
    assert plan_caught_up(Side.RIGHT, [refers], {"b": "k"}, {"b": "k"}, {}).decisions == []
    assert plan_caught_up(Side.RIGHT, [refers], {"b": Unlinked("k")}, {"b": Unlinked("k")}, {}).decisions == []


def test_a_create_of_an_earlier_run_is_brought_up_to_date() -> None:
    """What it sent and is blank now is emptied; what it never sent and is blank stays; capitals are no difference."""
    some = [rule("a", "b"), rule("c", "d"), rule("e", "f"), rule("g", "h")]
    now = {"a": "new", "c": None, "e": None, "g": "same  text"}
    target = {"b": "old", "d": "old", "f": "theirs", "h": "SAME TEXT"}
    assert plan_behind(Side.LEFT, some, now, target, {"b", "d"}, {}).writes == {"b": "new", "d": None}


# --- what holds for all records -------------------------------------------------------------------

SIDES = st.sampled_from(list(Side))


@given(data=st.data(), side=SIDES, seen=st.booleans())
def test_an_echo_is_always_unchanged(data: st.DataObject, side: Side, seen: bool) -> None:
    """Whatever the two records hold: if it is what they held when they last agreed, nothing is done."""
    some = data.draw(rules())
    values = {one: record(data.draw, one, some) for one in Side}
    base = base_of(some, values[Side.LEFT], values[Side.RIGHT])
    plan = plan_update(side, some, base, values[side], values[side.other] if seen else None, {})
    assert {decision.reason for decision in plan.decisions} == {Reason.UNCHANGED}
    assert not plan.news


@dataclass(frozen=True)
class Situation:
    """Rules, two records and a base that covers some of the rules, with values of its own."""

    rules: list[FieldRule]
    side: Side
    source: dict[str, Value]
    target: dict[str, Value]
    base: Base

    def plan(self, base: Base | None = None, target: dict[str, Value] | None = None) -> Plan:
        return plan_update(self.side, self.rules, base or self.base, self.source, target or self.target, {})

    @property
    def without_base(self) -> list[FieldRule]:
        return [one for one in self.rules if self.base.agreed(one) is None]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    some = draw(rules())
    side = draw(SIDES)
    known = [one for one in some if draw(st.booleans())]
    base = base_of(known, record(draw, Side.LEFT, some), record(draw, Side.RIGHT, some))
    return Situation(some, side, record(draw, side, some), record(draw, side.other, some), base)


@given(situation=situations())
def test_a_plan_carried_out_leaves_nothing_to_write(situation: Situation) -> None:
    """The next run finds an echo."""
    plan = situation.plan()
    after = situation.target | plan.writes
    base = remembered(situation.base, plan, situation.source, after)
    assert situation.plan(base, after).writes == {}


@given(situation=situations())
def test_a_crash_between_write_and_remembering_costs_no_second_write(situation: Situation) -> None:
    """The old base with the new target: what was written is found to agree."""
    plan = situation.plan()
    assert situation.plan(target=situation.target | plan.writes).writes == {}


@given(situation=situations())
def test_no_column_is_written_that_the_rules_do_not_name(situation: Situation) -> None:
    """And each decision is about one rule."""
    plan = situation.plan()
    assert set(plan.writes) <= {one.column(situation.side.other) for one in situation.rules}
    assert [decision.rule for decision in plan.decisions] == situation.rules


@given(situation=situations())
def test_a_field_of_the_other_side_is_never_written_once_there_is_a_base(situation: Situation) -> None:
    """Without a base only a blank is filled, and only where the rule says fill."""
    theirs = Master(situation.side.other.value)
    for decision in situation.plan().decisions:
        if decision.rule.master_linked is theirs and decision.action is Action.WRITE:
            assert decision.rule in situation.without_base
            assert decision.rule.on_create is OnCreate.FILL
            assert is_blank(situation.target[decision.rule.column(situation.side.other)])


@given(situation=situations())
def test_a_blank_never_overwrites_a_value_without_a_base(situation: Situation) -> None:
    """Also a value of which the converter leaves nothing."""
    writes = situation.plan().writes
    for one in situation.without_base:
        column = one.column(situation.side.other)
        assert not (column in writes and is_blank(writes[column]) and not is_blank(situation.target[column]))


@given(situation=situations())
def test_the_target_is_asked_for_only_where_there_is_no_base(situation: Situation) -> None:
    """The steady state is one read; a plan without the target never raises once all fields have agreed."""
    try:
        plan_update(situation.side, situation.rules, situation.base, situation.source, None, {})
    except NeedsTarget:
        assert situation.without_base


@given(situation=situations())
def test_a_target_as_at_the_last_agreement_needs_no_look(situation: Situation) -> None:
    """Planning blind and planning with the unchanged target write the same."""
    base = base_of(situation.rules, *_sides(situation))
    edited = dict.fromkeys(situation.source, "edited")
    blind = plan_update(situation.side, situation.rules, base, edited, None, {})
    seeing = plan_update(situation.side, situation.rules, base, edited, situation.target, {})
    assert blind.writes == seeing.writes


def _sides(situation: Situation) -> tuple[dict[str, Value], dict[str, Value]]:
    pair = (situation.source, situation.target)
    return pair if situation.side is Side.LEFT else (pair[1], pair[0])


@given(situation=situations())
def test_a_shared_field_changed_on_both_sides_is_parked_and_not_overwritten(situation: Situation) -> None:
    """Unless both sides hold the same now."""
    for decision in situation.plan().decisions:
        one, (left, right) = decision.rule, _sides(situation)
        changed = [situation.base.is_same(one, side, values.get(one.column(side))) is False
                   for side, values in ((Side.LEFT, left), (Side.RIGHT, right))]  # fmt: skip
        if one.master_linked is Master.BOTH and all(changed):
            assert decision.action is not Action.WRITE
            assert decision.action is Action.PARK or decision.agrees


def test_another_version_of_a_rule_asks_for_the_target_and_overwrites_nothing_blindly() -> None:
    """A changed converter is no change of the record."""
    old, new = rule(), rule(convert="upper")
    base = base_of([old], {"a": "x"}, {"b": "x"})
    with pytest.raises(NeedsTarget):
        plan_update(Side.LEFT, [new], base, {"a": "x"}, None, {})
    plan = plan_update(Side.LEFT, [new], base, {"a": "x"}, {"b": "X"}, {})
    assert plan.writes == {}


# --- both directions together ---------------------------------------------------------------------


@dataclass
class Pair:
    """Two linked records, brought together by both transfers in turn."""

    rules: list[FieldRule]
    values: dict[Side, dict[str, Value]]
    base: Base = NO_BASE
    last: dict[Side, Plan] = field(default_factory=dict)
    spared: set[tuple[str, str]] = field(default_factory=set)

    def edit(self, side: Side, column: str, value: Value) -> None:
        self.values[side] = self.values[side] | {column: value}

    def round(self) -> int:
        """One run in each direction; answers how many fields were written."""
        written = 0
        for side in Side:
            plan = plan_update(side, self.rules, self.base, self.values[side], self.values[side.other], {})
            self.values[side.other] = self.values[side.other] | plan.writes
            self.base = remembered(self.base, plan, self.values[side], self.values[side.other])
            self.last[side] = plan
            self._note_spared(plan)
            written += len(plan.writes)
        return written

    def disagreeing(self) -> list[FieldRule]:
        """Rules whose target does not hold the master's converted value."""
        return [one for one in self.rules if not self._agrees(one)]

    def _agrees(self, one: FieldRule) -> bool:
        return any(
            same_value(converted(one, side, self.values[side]), self.values[side.other][one.column(side.other)])
            for side in Side
            if _carries(one, side)
        )

    def excused(self) -> set[tuple[str, str]]:
        """Fields that the last round parked, and values spared from the blank of their master."""
        parked = [d.rule for plan in self.last.values() for d in plan.problems]
        return {(one.left, one.right) for one in parked} | self.spared

    def _note_spared(self, plan: Plan) -> None:
        for decision in plan.decisions:
            name = (decision.rule.left, decision.rule.right)
            if decision.reason is Reason.BLANK_KEPT:
                self.spared.add(name)
            elif decision.action is Action.WRITE:
                self.spared.discard(name)


def _carries(one: FieldRule, side: Side) -> bool:
    """Whether the field may ever travel from this side: its master, or it has filled the master's blank once."""
    return one.master_linked in {Master.BOTH, Master(side.value)} or one.on_create is OnCreate.FILL


@given(data=st.data())
def test_both_directions_reach_agreement_within_two_rounds_after_any_edits(data: st.DataObject) -> None:
    """Random edits on both sides, again and again: the second round at the latest writes nothing, and then every field
    holds its master's value, but for what was parked or spared."""
    some = data.draw(rules())
    pair = Pair(some, {side: record(data.draw, side, some) for side in Side})
    for _ in range(data.draw(st.integers(1, 3))):
        pair.round()
        assert pair.round() == 0
        left_over = {(one.left, one.right) for one in pair.disagreeing()}
        assert left_over <= pair.excused()
        for side, one in data.draw(st.lists(st.tuples(SIDES, st.sampled_from(some)), max_size=4)):
            pair.edit(side, one.column(side), data.draw(TEXTS))


@given(data=st.data())
def test_edits_in_the_master_always_arrive(data: st.DataObject) -> None:
    """Once both have agreed, the master's edit is what both hold, whatever was typed on the other side."""
    some = data.draw(rules(masters=(Master.LEFT, Master.RIGHT)))
    pair = Pair(some, {side: {one.column(side): "start" for one in some} for side in Side})
    pair.round()
    for one in some:
        master = Side(one.master_linked.value)
        pair.edit(master.other, one.column(master.other), data.draw(TEXTS))
        pair.edit(master, one.column(master), data.draw(TEXTS))
    pair.round()
    assert pair.disagreeing() == []


def test_agree_names_the_rules_on_which_two_records_agree() -> None:
    """Values that do not convert agree with nothing."""
    some = [rule("a", "b"), rule("c", "d", convert="values", values=TABLE), rule("e", "f", convert="upper")]
    found = agree(some, {"a": 1, "c": "9", "e": "x"}, {"b": "1", "d": "All", "f": "X"})
    assert [one.left for one in found] == ["a", "e"]


def test_a_plan_never_shows_values() -> None:
    """Plans get into logs by accident; their text names columns only."""
    plan = plan_create(Side.LEFT, [rule()], {"a": "private"}, {})
    assert canonical(plan.writes["b"]) == "private"
    assert "private" not in repr(replace(plan))
