"""Business Central's value forms and ours.

The API knows no null: empty text, the zero GUID, 0001-01-01 and the enum member `_x0020_` mean "no value" and become
None. A number or a yes/no is never empty there, so None written to one is stored, and read again, as 0 or no. Special
characters in enum members are escaped as `_xHHHH_` (Microsoft Learn, 'Business Central API: data types').
"""

from __future__ import annotations

import re
from datetime import datetime

from shared.connectors.keys import ZERO_GUID
from shared.connectors.values import (
    READERS,
    WRITERS,
    UnfitValue,
    read_by,
    read_date,
    read_datetime,
    read_key,
    text_of,
    utc_of,
)
from shared.strict_json import Json
from shared.sync.ports import ColumnType, Value

__all__ = ["UnfitValue", "escaped_member", "moment_text", "plain_member", "quoted", "to_json", "to_value"]

BLANK_MEMBER = "_x0020_"
FIRST_DATE = "0001-01-01"
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_PLAIN = re.compile(r"[A-Za-z0-9]")


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
    return read_by(_READERS, kind, value, place)


def to_json(kind: ColumnType, value: Value) -> Json:
    """Our value as Business Central takes it, None as the blank of the type. Raises UnfitValue."""
    return BLANKS[kind] if value is None else _WRITERS[kind](value)


def moment_text(moment: datetime) -> str:
    """A moment as the API writes it: UTC, milliseconds."""
    return f"{utc_of(moment).isoformat(timespec='milliseconds')}Z"


def quoted(text: str) -> str:
    """Text as an OData literal, quotes doubled, before any percent-encoding."""
    return "'" + text.replace("'", "''") + "'"


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


def _read_datetime(value: Json) -> Value:
    return None if text_of(value).startswith(FIRST_DATE) else read_datetime(value)


def _read_date(value: Json) -> Value:
    return None if text_of(value).startswith(FIRST_DATE) else read_date(value)


def _read_key(value: Json) -> Value:
    return None if text_of(value) == ZERO_GUID else read_key(value)


def _read_choice(value: Json) -> Value:
    return plain_member(text_of(value)) or None


def _write_datetime(value: Value) -> Json:
    return f"{utc_of(value).isoformat(timespec='milliseconds')}Z"


def _write_choice(value: Value) -> Json:
    if not isinstance(value, str):
        raise UnfitValue("takes one of its members as text")
    return escaped_member(value)


_READERS = {
    **READERS,
    ColumnType.DATETIME: _read_datetime,
    ColumnType.DATE: _read_date,
    ColumnType.CHOICE: _read_choice,
    ColumnType.KEY: _read_key,
    ColumnType.REFERENCE: _read_key,
}
_WRITERS = {**WRITERS, ColumnType.DATETIME: _write_datetime, ColumnType.CHOICE: _write_choice}
