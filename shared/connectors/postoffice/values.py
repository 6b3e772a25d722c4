"""PostOffice's value forms and ours: amounts are text with up to four decimals, ids of its own are text."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal

from shared.connectors.values import (
    READERS,
    WRITERS,
    Reader,
    UnfitValue,
    Writer,
    read_by,
    read_text,
    text_of,
    utc_of,
    write_decimal,
)
from shared.strict_json import Json
from shared.sync.ports import ColumnType, Record, Value

__all__ = ["UnfitValue", "canonical_id", "canonical_part", "holds", "to_json", "to_value"]

PLACES = Decimal("0.0001")
_PART = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")


def canonical_id(text: str) -> str:
    """The one spelling of a record's id; raises ValueError for text that can be none."""
    if not _ID.fullmatch(text) or text in (".", ".."):
        raise ValueError("this text is no id of PostOffice")
    return text


def canonical_part(text: str) -> str:
    """The one spelling of a part's key, `<owner>/<part>`; raises ValueError for text that can be none."""
    owner, _, part = text.partition("/")
    if not _PART.fullmatch(part):
        raise ValueError("this text is no key of a part of PostOffice")
    return f"{canonical_id(owner)}/{part}"


def holds(record: Record, column: str, folded: Collection[str]) -> bool:
    """Whether a column's value is one of these texts, without regard to capitals; a blank is none."""
    value = record.values.get(column)
    return value is not None and str(value).casefold() in folded


def to_value(kind: ColumnType, value: Json, place: str) -> Value:
    """A JSON value in our own terms; raises WrongShape, naming the place, when it is not what the type documents."""
    return read_by(_READERS, kind, value, place)


def to_json(kind: ColumnType, value: Value) -> Json:
    """Our value as PostOffice takes it. Raises UnfitValue."""
    return None if value is None else _WRITERS[kind](value)


def _read_amount(value: Json) -> Value:
    amount = Decimal(text_of(value))
    if not amount.is_finite():
        raise ValueError("no number")
    return amount


def _write_amount(value: Value) -> Json:
    amount = write_decimal(value)
    assert isinstance(amount, int | Decimal)
    rounded = Decimal(amount).quantize(PLACES)
    if rounded != amount:
        raise UnfitValue("takes at most four decimals")
    return f"{rounded:f}"


def _read_id(value: Json) -> Value:
    return canonical_id(text_of(value)) if value != "" else None


def _write_id(value: Value) -> Json:
    try:
        return canonical_id(value if isinstance(value, str) else "")
    except ValueError:
        raise UnfitValue("takes the id of a record") from None


_READERS: Mapping[ColumnType, Reader] = {
    **READERS,
    ColumnType.TEXT: read_text,
    ColumnType.DECIMAL: _read_amount,
    ColumnType.REFERENCE: _read_id,
}
_WRITERS: Mapping[ColumnType, Writer] = {
    **WRITERS,
    ColumnType.DECIMAL: _write_amount,
    ColumnType.REFERENCE: _write_id,
    ColumnType.DATETIME: lambda value: f"{utc_of(value).isoformat(timespec='milliseconds')}Z",
}
