"""What became of a column since it was last looked at, and how bad that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shared.sync.definition import Definition, Index, TableName, Transfer
from shared.sync.ports import ColumnMetadata, ColumnType, Right, Side, TableMetadata
from shared.sync.schema_changes import CODE, changes, facts_of, named_columns
from shared.sync.surveying import Survey
from tests.unit.sync.making import rule

PLACE = ("crm", "account")
NAME = ColumnMetadata("name", ColumnType.TEXT, 160, choices={"1": "One", "2": "Two"}, target="contact")


def index() -> Index:
    """One definition with one rule on line 7."""
    definition = Definition(
        file="transfers/x.yaml",
        left=TableName(system="crm", table="account"),
        right=TableName(system="erp", table="customers"),
        transfers=(Transfer(name="account_to_erp", source=Side.LEFT),),
        fields=(rule("name", "displayName").model_copy(update={"line": 7}),),
    )
    return Index(definitions=(definition,))


def surveyed(column: ColumnMetadata | None) -> Survey:
    """An account with this column, or without it; the other columns of the table are nobody's business."""
    columns = {"fax": ColumnMetadata("fax", ColumnType.TEXT, 50)} | ({"name": column} if column else {})
    return Survey({PLACE: TableMetadata("account", columns)})


def changed(before: ColumnMetadata | None, now: ColumnMetadata | None) -> list[tuple[str, str]]:
    """Severity and sentence of each change."""
    then, at_last = (facts_of(index(), surveyed(one))[PLACE] for one in (before, now))
    found = changes(PLACE, then, at_last, named_columns(index(), surveyed(now))[PLACE])
    assert all((one.code, one.file, one.line) == (CODE, "transfers/x.yaml", 7) for one in found)
    return [(one.severity.value, one.sentence.removeprefix("crm account.name ")) for one in found]


CASES: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "type": ({"type": ColumnType.INTEGER}, "wrong", "was text and is integer now."),
    "target": ({"target": "account"}, "wrong", "pointed to contact and points to account now."),
    "shorter": ({"max_length": 100}, "warning", "became shorter: 160 characters before, 100 characters now."),
    "longer": ({"max_length": 200}, "note", "became longer: 160 characters before, 200 characters now."),
    "no limit": ({"max_length": None}, "note", "became longer: 160 characters before, any length now."),
    "read-only": ({"writable": False}, "warning", "became read-only."),
    "at a create only": ({"updatable": False}, "warning", "can be written at a create only now."),
    "required": ({"required": True}, "warning", "is required at a create now."),
    "secured": ({"denied": frozenset({Right.READ})}, "warning", "was secured: our identity may not read it."),
    "a new choice": ({"choices": {"1": "", "2": "", "3": ""}}, "warning", "has a new choice '3'."),
    "a lost choice": ({"choices": {"1": ""}}, "warning", "no longer has the choice '2'."),
}


def column(**facts: Any) -> ColumnMetadata:
    """The column with some facts changed."""
    values = {name: getattr(NAME, name) for name in NAME.__slots__}
    return ColumnMetadata(**(values | facts))


@pytest.mark.parametrize("case", CASES)
def test_each_change_is_told_with_its_severity(case: str) -> None:
    """And back again it is a change, too, except where a right comes back."""
    facts, severity, sentence = CASES[case]
    assert changed(NAME, column(**facts)) == [(severity, sentence)]
    back = changed(column(**facts), NAME)
    assert len(back) == (0 if case == "secured" else 1)
    assert back != [(severity, sentence)]


def test_a_column_that_is_gone_or_came_back() -> None:
    """Gone is wrong: every record would fail."""
    assert changed(NAME, None) == [("wrong", "is gone.")]
    assert changed(None, NAME) == [("note", "is there now.")]
    assert changed(None, None) == changed(NAME, NAME) == []


def test_a_column_that_was_not_looked_at_before_is_no_change() -> None:
    """A line that was added to a definition."""
    now = facts_of(index(), surveyed(NAME))[PLACE]
    assert changes(PLACE, {}, now, named_columns(index(), surveyed(NAME))[PLACE]) == []


def test_columns_that_no_definition_names_are_not_looked_at() -> None:
    """Whatever happens to them."""
    assert set(facts_of(index(), surveyed(NAME))[PLACE]) == {"name"}
