"""Lengths: as the systems count, what is cut, and which rules leave open what happens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.definition import Definition, FieldRule, Master, OnCreate, TableName, TooLong, Transfer
from shared.sync.lengths import length_findings
from shared.sync.planner import Action, plan_create
from shared.sync.ports import ColumnMetadata, ColumnType, Side, TableMetadata
from shared.sync.values import cut, length
from tests.unit.sync.making import rule


@given(st.text())
def test_a_text_is_as_long_as_it_is_in_the_systems_own_encoding(text: str) -> None:
    """An emoji counts as two there."""
    assert length(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(st.text(alphabet="ab 😀é"), st.integers(0, 12))
def test_a_cut_text_fits_and_is_the_beginning(text: str, limit: int) -> None:
    """Without blanks at its end, and no shorter than need be."""
    short = cut(text, limit)
    assert length(short) <= limit
    assert text.startswith(short)
    assert short == short.rstrip()
    assert (
        short == text.rstrip()
        if length(text) <= limit
        else length(text[: len(short) + 1]) > limit or text[len(short)] == " "
    )


def test_the_journal_says_that_a_text_was_cut() -> None:
    """R-055: and one that may not be cut is parked with its code."""
    plan = plan_create(Side.LEFT, [rule(too_long=TooLong.CUT)], {"a": "Mill 😀😀"}, {"b": 6})
    assert plan.writes == {"b": "Mill"}
    assert [told.reason for told in plan.told(None, None)] == ["sent with the create, cut to fit"]
    for kept in (None, TooLong.PARK):
        (decision,) = plan_create(Side.LEFT, [rule(too_long=kept)], {"a": "Mill 😀😀"}, {"b": 8}).decisions
        assert (decision.action, decision.code) == (Action.PARK, "CD-4007")


def table(**columns: tuple[ColumnType, int | None]) -> TableMetadata:
    """A table with these columns."""
    found = {name: ColumnMetadata(name, kind, limit) for name, (kind, limit) in columns.items()}
    return TableMetadata("t", found)


def definition(one: FieldRule, *sources: Side) -> Definition:
    """A pair with one rule, and transfers from these sides."""
    names = {Side.LEFT: "a_to_erp", Side.RIGHT: "b_to_crm"}
    return Definition(
        file="transfers/x.yaml",
        left=TableName(system="crm", table="a"),
        right=TableName(system="erp", table="b"),
        transfers=tuple(Transfer(name=names[side], source=side) for side in sources or (Side.LEFT, Side.RIGHT)),
        fields=(one.model_copy(update={"line": 7}),),
    )


LONG, SHORT = table(a=(ColumnType.TEXT, 160)), table(b=(ColumnType.TEXT, 100))


def test_a_longer_column_without_a_rule_for_longer_texts_is_found() -> None:
    """R-055: with file, line, both columns and what to write."""
    (finding,) = length_findings(definition(rule()), LONG, SHORT)
    assert (finding.file, finding.line) == ("transfers/x.yaml", 7)
    assert "crm.a holds 160 characters and erp.b only 100" in finding.text
    assert "too_long: park or too_long: cut" in finding.text


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(rule(too_long=TooLong.PARK), id="parked on purpose"),
        pytest.param(rule(too_long=TooLong.CUT), id="cut on purpose"),
        pytest.param(rule(master=Master.RIGHT), id="never goes there"),
        pytest.param(rule(convert="phone_e164"), id="never gets that long"),
        pytest.param(rule(convert="values", values={"x": "y"}), id="by a table"),
    ],
)
def test_nothing_is_said_where_nothing_is_open(one: FieldRule) -> None:
    """A rule may be short by its converter."""
    assert list(length_findings(definition(one), LONG, SHORT)) == []


@pytest.mark.parametrize(
    "one",
    [
        rule(master=Master.RIGHT, unlinked=Master.LEFT),
        rule(master=Master.RIGHT, on_create=OnCreate.FILL),
        rule(master=Master.BOTH),
    ],
)
def test_a_field_that_goes_over_once_counts_too(one: FieldRule) -> None:
    """With the create."""
    assert len(length_findings(definition(one), LONG, SHORT)) == 1
    assert list(length_findings(definition(one, Side.RIGHT), LONG, SHORT)) == [], "no transfer goes that way"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (table(a=(ColumnType.TEXT, 100)), SHORT),
        (table(a=(ColumnType.TEXT, None)), SHORT),
        (LONG, table(b=(ColumnType.TEXT, None))),
        (table(a=(ColumnType.INTEGER, None)), SHORT),
        (LONG, table(b=(ColumnType.CHOICE, 10))),
        (table(), SHORT),
        (LONG, table()),
    ],
)
def test_only_texts_with_limits_are_compared(left: TableMetadata, right: TableMetadata) -> None:
    """What the metadata does not know is not this check's matter."""
    assert list(length_findings(definition(rule()), left, right)) == []
