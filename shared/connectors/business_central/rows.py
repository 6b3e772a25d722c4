"""Rows of an answer, read with the error that says an answer is not as documented."""

from __future__ import annotations

from shared.connectors.business_central.converters import to_value
from shared.connectors.business_central.errors import SYSTEM
from shared.errors import BadAnswer
from shared.strict_json import JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import ColumnType, Value


def rows_of(page: JsonObject, name: str = "value") -> list[JsonObject]:
    """The rows of a page, or of a list within a row; raises BadAnswer."""
    try:
        return [as_object(row, "a row") for row in as_list(page.get(name), name)]
    except WrongShape as error:
        raise bad_answer(error) from None


def text_in(row: JsonObject, name: str) -> str:
    """A text of a row; raises BadAnswer."""
    try:
        return as_text(row.get(name), name)
    except WrongShape as error:
        raise bad_answer(error) from None


def key_in(row: JsonObject, name: str = "id") -> str | None:
    """A key of a row in its one spelling, None where there is none; raises BadAnswer."""
    found = value_in(row, name, ColumnType.KEY)
    return found if isinstance(found, str) else None


def value_in(row: JsonObject, name: str, kind: ColumnType) -> Value:
    """A value of a row; raises BadAnswer, also where it is missing."""
    if name not in row:
        raise bad_answer(WrongShape(f"{name} is missing"))
    try:
        return to_value(kind, row[name], name)
    except WrongShape as error:
        raise bad_answer(error) from None


def bad_answer(error: WrongShape) -> BadAnswer:
    """What a value of another kind than documented means."""
    return BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}")
