"""Value forms that both systems write alike in JSON: whole numbers, amounts, yes and no, times, keys.

Readers raise TypeError or ValueError for another form; writers raise UnfitValue. A definition's values are text:
writers take the text of a number, of yes or no and of a day for the value itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from shared.connectors.keys import canonical_guid
from shared.strict_json import Json, WrongShape
from shared.sync.ports import ColumnType, Value

_TRUTHS = {"true": True, "false": False}

Reader = Callable[[Json], Value]
Writer = Callable[[Value], Json]


class UnfitValue(ValueError):
    """A value of ours has no form in a column of this type; says what the column takes, never the value."""


def read_by(readers: Mapping[ColumnType, Reader], kind: ColumnType, value: Json, place: str) -> Value:
    """A JSON value in our own terms; raises WrongShape, naming the place, when it is not what the type documents."""
    if value is None:
        return None
    try:
        return readers[kind](value)
    except (TypeError, ValueError, ArithmeticError):
        raise WrongShape(f"{place} is no {kind}") from None


def text_of(value: Json) -> str:
    """The value as text."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def read_text(value: Json) -> Value:
    """Text; empty text is no value."""
    return text_of(value) or None


def read_whole(value: Json) -> Value:
    """A whole number; true is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("no whole number")
    return value


def read_decimal(value: Json) -> Value:
    """An exact number."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError("no number")
    return Decimal(value)


def read_boolean(value: Json) -> Value:
    """Yes or no."""
    if not isinstance(value, bool):
        raise TypeError("neither yes nor no")
    return value


def read_datetime(value: Json) -> Value:
    """A moment in UTC; text without a zone is UTC."""
    moment = datetime.fromisoformat(text_of(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def read_date(value: Json) -> Value:
    """A day."""
    return date.fromisoformat(text_of(value))


def read_key(value: Json) -> Value:
    """A key in its one spelling."""
    return canonical_guid(text_of(value))


def write_text(value: Value) -> Json:
    """Text as it is."""
    if not isinstance(value, str):
        raise UnfitValue("takes text")
    return value


def write_whole(value: Value) -> Json:
    """A whole number."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnfitValue("takes a whole number")
    return value


def write_decimal(value: Value) -> Json:
    """A number, digit by digit."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,10})?", value):
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise UnfitValue("takes a number")
    return value


def write_boolean(value: Value) -> Json:
    """Yes or no."""
    if isinstance(value, str) and value in _TRUTHS:
        return _TRUTHS[value]
    if not isinstance(value, bool):
        raise UnfitValue("takes yes or no")
    return value


def write_date(value: Value) -> Json:
    """A day; a moment is none."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return _existing(value)
    if not isinstance(value, date) or isinstance(value, datetime):
        raise UnfitValue("takes a date")
    return value.isoformat()


def _existing(text: str) -> Json:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise UnfitValue("takes a day that exists") from None


def write_key(value: Value) -> Json:
    """A key in its one spelling."""
    try:
        return canonical_guid(value if isinstance(value, str) else "")
    except ValueError:
        raise UnfitValue("takes the key of a record") from None


def utc_of(value: Value) -> datetime:
    """A moment in UTC, without its zone for writing."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise UnfitValue("takes a moment with its time zone")
    return value.astimezone(UTC).replace(tzinfo=None)


READERS: Mapping[ColumnType, Reader] = {
    ColumnType.TEXT: read_text,
    ColumnType.INTEGER: read_whole,
    ColumnType.DECIMAL: read_decimal,
    ColumnType.BOOLEAN: read_boolean,
    ColumnType.DATETIME: read_datetime,
    ColumnType.DATE: read_date,
    ColumnType.KEY: read_key,
    ColumnType.REFERENCE: read_key,
}
WRITERS: Mapping[ColumnType, Writer] = {
    ColumnType.TEXT: write_text,
    ColumnType.INTEGER: write_whole,
    ColumnType.DECIMAL: write_decimal,
    ColumnType.BOOLEAN: write_boolean,
    ColumnType.DATE: write_date,
    ColumnType.KEY: write_key,
    ColumnType.REFERENCE: write_key,
}
