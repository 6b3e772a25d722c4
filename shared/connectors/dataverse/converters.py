"""Dataverse's value forms and ours.

Money and decimals are exact, choices are int, times are UTC to the second, empty text is no value. Source: Microsoft
Learn, 'Web API types and operations'.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

from shared.connectors.keys import canonical_guid
from shared.strict_json import Json, WrongShape
from shared.sync.ports import ColumnType, Value


class UnfitValue(ValueError):
    """A value of ours has no form in a column of this type; says what the column takes, never the value."""


def to_value(kind: ColumnType, value: Json, place: str) -> Value:
    """A JSON value in our own terms; raises WrongShape, naming the place, when it is not what the type documents."""
    if value is None:
        return None
    try:
        return _READERS[kind](value)
    except (TypeError, ValueError, ArithmeticError):
        raise WrongShape(f"{place} is no {kind}") from None


def to_json(kind: ColumnType, value: Value) -> Json:
    """Our value as Dataverse takes it; None clears the column. Raises UnfitValue."""
    return None if value is None else _WRITERS[kind](value)


def _read_text(value: Json) -> Value:
    if not isinstance(value, str):
        raise TypeError
    return value or None


def _read_whole(value: Json) -> Value:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _read_decimal(value: Json) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError
    return Decimal(value)


def _read_boolean(value: Json) -> Value:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _read_datetime(value: Json) -> Value:
    if not isinstance(value, str):
        raise TypeError
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _read_date(value: Json) -> Value:
    if not isinstance(value, str):
        raise TypeError
    return date.fromisoformat(value[:10])


def _read_key(value: Json) -> Value:
    if not isinstance(value, str):
        raise TypeError
    return canonical_guid(value)


def _write_text(value: Value) -> Json:
    if not isinstance(value, str):
        raise UnfitValue("takes text")
    return value


def _write_whole(value: Value) -> Json:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnfitValue("takes a whole number")
    return value


def _write_decimal(value: Value) -> Json:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise UnfitValue("takes a number")
    return value


def _write_boolean(value: Value) -> Json:
    if not isinstance(value, bool):
        raise UnfitValue("takes yes or no")
    return value


def _write_datetime(value: Value) -> Json:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise UnfitValue("takes a moment with its time zone")
    return f"{value.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()}Z"


def _write_date(value: Value) -> Json:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise UnfitValue("takes a date")
    return value.isoformat()


def _write_key(value: Value) -> Json:
    if not isinstance(value, str):
        raise UnfitValue("takes the key of a record")
    try:
        return canonical_guid(value)
    except ValueError:
        raise UnfitValue("takes the key of a record") from None


_READERS: dict[ColumnType, Callable[[Json], Value]] = {
    ColumnType.TEXT: _read_text,
    ColumnType.INTEGER: _read_whole,
    ColumnType.DECIMAL: _read_decimal,
    ColumnType.BOOLEAN: _read_boolean,
    ColumnType.DATETIME: _read_datetime,
    ColumnType.DATE: _read_date,
    ColumnType.CHOICE: _read_whole,
    ColumnType.KEY: _read_key,
    ColumnType.REFERENCE: _read_key,
}
_WRITERS: dict[ColumnType, Callable[[Value], Json]] = {
    ColumnType.TEXT: _write_text,
    ColumnType.INTEGER: _write_whole,
    ColumnType.DECIMAL: _write_decimal,
    ColumnType.BOOLEAN: _write_boolean,
    ColumnType.DATETIME: _write_datetime,
    ColumnType.DATE: _write_date,
    ColumnType.CHOICE: _write_whole,
    ColumnType.KEY: _write_key,
    ColumnType.REFERENCE: _write_key,
}
