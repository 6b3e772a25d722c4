"""When a record's version may stand for "as last agreed, and carried everywhere"."""

from __future__ import annotations

from shared.sync.definition import Definition, FieldRule, Master, TableName, Transfer
from shared.sync.ports import Record, Side
from shared.sync.vouching import vouched
from tests.unit.sync.making import NO_BASE, Values, base_of, rule

RULES = (
    rule("name", "displayName", Master.RIGHT),
    rule("phone", "phoneNumber", Master.LEFT),
    rule("note", "memo", Master.BOTH),
)
LEFT: Values = {"name": "Aurora", "phone": "1", "note": "n"}
RIGHT: Values = {"displayName": "Aurora", "phoneNumber": "1", "memo": "n"}
BASE = base_of(RULES, LEFT, RIGHT)


def definition(*sources: Side, rules: tuple[FieldRule, ...] = RULES) -> Definition:
    """A pair with transfers from these sides."""
    transfers = tuple(Transfer(name=f"record_to_{side.other.value}", source=side) for side in sources)
    left, right = TableName(system="crm", table="account"), TableName(system="erp", table="customers")
    return Definition(file="f", left=left, right=right, transfers=transfers, fields=rules)


def version(values: Values, side: Side = Side.RIGHT, *sources: Side) -> str | None:
    """What may be stored of a record with these values."""
    return vouched(definition(*(sources or tuple(Side))), BASE, side, Record("k", "v7", values))


def test_a_record_as_last_agreed_is_vouched_for() -> None:
    """On both sides."""
    assert (version(RIGHT), version(LEFT, Side.LEFT)) == ("v7", "v7")


def test_an_edit_that_has_yet_to_go_over_or_to_be_put_back_is_not() -> None:
    """The record's own field, one that the other side owns, one that both share."""
    for change in ({"displayName": "Aurora Works"}, {"phoneNumber": "2"}, {"memo": "m"}):
        assert version({**RIGHT, **change}) is None


def test_what_no_transfer_carries_keeps_nothing_waiting() -> None:
    """With one direction only, the target's own fields never go anywhere."""
    changed = {**RIGHT, "displayName": "Aurora Works"}
    assert version(changed, Side.RIGHT, Side.LEFT) == "v7"
    assert version(changed, Side.RIGHT, Side.RIGHT) is None


def test_a_value_that_never_agreed_is_not_vouched_for_and_a_blank_is() -> None:
    """The terms that a template has filled in are news for the other side; an empty field is none."""
    both, record = definition(*Side), Record("k", "v7", RIGHT)
    assert vouched(both, NO_BASE, Side.RIGHT, record) is None
    assert vouched(both, NO_BASE, Side.RIGHT, Record("k", "v7", dict.fromkeys(RIGHT))) == "v7"
    owned_by_left = definition(*Side, rules=(RULES[1],))
    assert vouched(owned_by_left, NO_BASE, Side.RIGHT, record) == "v7"
