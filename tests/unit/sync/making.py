"""Rules, keys and bases for the tests of the engine's pure parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hypothesis import strategies as st

from shared.sync.definition import Conflict, FieldRule, Master, OnCreate, Reference, TooLong
from shared.sync.fingerprint import Base, Fingerprints
from shared.sync.planner import Plan
from shared.sync.ports import Side, Value

PRINTS = Fingerprints("k1", b"a key for tests of 32 bytes long")
NO_BASE = Base("1", PRINTS, {})

Values = Mapping[str, Value]


def rule(
    left: str = "a",
    right: str = "b",
    master: Master = Master.LEFT,
    unlinked: Master | None = None,
    convert: str = "same",
    values: dict[str, str] | None = None,
    check: str | None = None,
    too_long: TooLong | None = None,
    on_create: OnCreate = OnCreate.CARRY,
    conflict: Conflict = Conflict.PARK,
    reference: Reference | None = None,
    last_editor: str = "",
) -> FieldRule:
    """A field rule; its master is the same before and after linking unless `unlinked` says otherwise."""
    return FieldRule(
        left=left,
        right=right,
        master_unlinked=unlinked or master,
        master_linked=master,
        convert=convert,
        values=values or {},
        check=check,
        too_long=too_long,
        on_create=on_create,
        conflict=conflict,
        reference=reference,
        last_editor=last_editor,
    )


def base_of(rules: Sequence[FieldRule], left: Values, right: Values) -> Base:
    """A base in which the two records agree on every rule, whatever they hold."""
    return NO_BASE.with_values((one, left.get(one.left), right.get(one.right)) for one in rules)


def remembered(base: Base, plan: Plan, source: Values, target: Values) -> Base:
    """The base after a plan was carried out; target: as it is after the writes."""
    other = plan.source.other
    found = ((d.rule, source.get(d.rule.column(plan.source)), target.get(d.rule.column(other))) for d in plan.agreed)
    if plan.source is Side.LEFT:
        return base.with_values(found)
    return base.with_values((one, there, here) for one, here, there in found)


TEXTS: st.SearchStrategy[Value] = st.sampled_from([None, "", "x", "X", " x  y ", "y", "a longer text", "00123"])


@st.composite
def rules(draw: st.DrawFn, masters: Sequence[Master] = (Master.LEFT, Master.RIGHT, Master.BOTH)) -> list[FieldRule]:
    """One to four rules with different columns."""
    count = draw(st.integers(1, 4))
    return [
        rule(
            f"left{n}",
            f"right{n}",
            master=draw(st.sampled_from(list(masters))),
            unlinked=draw(st.sampled_from(list(Master))),
            convert=draw(st.sampled_from(["same", "trim", "upper"])),
            on_create=draw(st.sampled_from(list(OnCreate))),
        )
        for n in range(count)
    ]


def record(
    draw: Callable[[st.SearchStrategy[Value]], Value], side: Side, about: Sequence[FieldRule]
) -> dict[str, Value]:
    """A record's values for all columns that the rules name on one side."""
    return {one.column(side): draw(TEXTS) for one in about}
