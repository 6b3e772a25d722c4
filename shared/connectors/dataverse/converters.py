"""Dataverse's value forms and ours.

Money and decimals are exact, choices are int, times are UTC to the second, empty text is no value. Source: Microsoft
Learn, 'Web API types and operations'.
"""

from __future__ import annotations

from shared.connectors.values import (
    READERS,
    WRITERS,
    UnfitValue,
    read_by,
    read_whole,
    utc_of,
    write_whole,
)
from shared.strict_json import Json
from shared.sync.ports import ColumnType, Value

__all__ = ["UnfitValue", "to_json", "to_value"]


def to_value(kind: ColumnType, value: Json, place: str) -> Value:
    """A JSON value in our own terms; raises WrongShape, naming the place, when it is not what the type documents."""
    return read_by(_READERS, kind, value, place)


def to_json(kind: ColumnType, value: Value) -> Json:
    """Our value as Dataverse takes it; None clears the column. Raises UnfitValue."""
    return None if value is None else _WRITERS[kind](value)


def _write_datetime(value: Value) -> Json:
    return f"{utc_of(value).replace(microsecond=0).isoformat()}Z"


_READERS = {**READERS, ColumnType.CHOICE: read_whole}
_WRITERS = {**WRITERS, ColumnType.DATETIME: _write_datetime, ColumnType.CHOICE: write_whole}
