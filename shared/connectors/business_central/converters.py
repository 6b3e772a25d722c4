"""Business Central's value forms and ours.

The API knows no null: empty text, the zero GUID, 0001-01-01 and the enum member `_x0020_` mean "no value" and become
None. A number or a yes/no is never empty there, so None written to one is stored, and read again, as 0 or no. Special
characters in enum members are escaped as `_xHHHH_` (Microsoft Learn, 'Business Central API: data types').
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

from shared.connectors.keys import ZERO_GUID, canonical_guid
from shared.strict_json import Json, WrongShape
from shared.sync.ports import ColumnType, Value

BLANK_MEMBER = "_x0020_"
FIRST_DATE = "0001-01-01"
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_PLAIN = re.compile(r"[A-Za-z0-9]")


class UnfitValue(ValueError):
    """A value of ours has no form in a column of this type; says what the column takes, never the value."""


def plain_member(member: str) -> str:
    """An enum member without escapes and outer blanks: `In_x0020_Review` is `In Review`, the blank one is ''."""
    return _ESCAPE.sub(lambda found: chr(int(found.group(1), 16)), member).strip()


def escaped_member(text: str) -> str:
    """The member for a plain text; every character but letters and digits is escaped, '' is the blank member."""
    if not text:
        return BLANK_MEMBER
    return "".join(char if _PLAIN.fullmatch(char) or char == "_" else f"_x{ord(char):04X}_" for char in text)


def to_value(kind: ColumnType, value: Json, place: str) -> Value:
    """A JSON value in our own terms; raises WrongShape, naming the place, when it is not what the type documents."""
    if value is None:
        return None
    try:
        return _READERS[kind](value)
    except (TypeError, ValueError, ArithmeticError):
        raise WrongShape(f"{place} is no {kind}") from None


def to_json(kind: ColumnType, value: Value) -> Json:
    """Our value as Business Central takes it, None as the blank of the type. Raises UnfitValue."""
    return BLANKS[kind] if value is None else _WRITERS[kind](value)


BLANKS: dict[ColumnType, Json] = {
    ColumnType.TEXT: "",
    ColumnType.INTEGER: 0,
    ColumnType.DECIMAL: 0,
    ColumnType.BOOLEAN: False,
    ColumnType.DATETIME: f"{FIRST_DATE}T00:00:00Z",
    ColumnType.DATE: FIRST_DATE,
    ColumnType.CHOICE: BLANK_MEMBER,
    ColumnType.KEY: ZERO_GUID,
    ColumnType.REFERENCE: ZERO_GUID,
}


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


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
    text = _text(value)
    if text.startswith(FIRST_DATE):
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _read_date(value: Json) -> Value:
    text = _text(value)
    return None if text.startswith(FIRST_DATE) else date.fromisoformat(text)


def _read_guid(value: Json) -> Value:
    text = _text(value)
    return None if text == ZERO_GUID else canonical_guid(text)


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
    return moment_text(value)


def _write_date(value: Value) -> Json:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise UnfitValue("takes a date")
    return value.isoformat()


def _write_choice(value: Value) -> Json:
    if not isinstance(value, str):
        raise UnfitValue("takes one of its members as text")
    return escaped_member(value)


def _write_guid(value: Value) -> Json:
    try:
        return canonical_guid(value if isinstance(value, str) else "")
    except ValueError:
        raise UnfitValue("takes the key of a record") from None


def moment_text(moment: datetime) -> str:
    """A moment as the API writes it: UTC, milliseconds."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


_READERS: dict[ColumnType, Callable[[Json], Value]] = {
    ColumnType.TEXT: lambda value: _text(value) or None,
    ColumnType.INTEGER: _read_whole,
    ColumnType.DECIMAL: _read_decimal,
    ColumnType.BOOLEAN: _read_boolean,
    ColumnType.DATETIME: _read_datetime,
    ColumnType.DATE: _read_date,
    ColumnType.CHOICE: lambda value: plain_member(_text(value)) or None,
    ColumnType.KEY: _read_guid,
    ColumnType.REFERENCE: _read_guid,
}
_WRITERS: dict[ColumnType, Callable[[Value], Json]] = {
    ColumnType.TEXT: _write_text,
    ColumnType.INTEGER: _write_whole,
    ColumnType.DECIMAL: _write_decimal,
    ColumnType.BOOLEAN: _write_boolean,
    ColumnType.DATETIME: _write_datetime,
    ColumnType.DATE: _write_date,
    ColumnType.CHOICE: _write_choice,
    ColumnType.KEY: _write_guid,
    ColumnType.REFERENCE: _write_guid,
}
