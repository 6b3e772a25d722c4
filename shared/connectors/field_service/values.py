"""Field service's value forms and ours. Times are kept to the second in both dialects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.connectors.field_service.keys import key_of, parts_of
from shared.connectors.field_service.site import FsmSite
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
    write_boolean,
    write_text,
)
from shared.connectors.zones import moment_of, wall_of, zone_of
from shared.strict_json import Json, WrongShape
from shared.sync.ports import ColumnType, Value

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,10})?")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_TIME = re.compile(r"[0-9TZ:.+-]{10,35}")
_NUMBERS = (ColumnType.INTEGER, ColumnType.DECIMAL)
_TIMES = (ColumnType.DATE, ColumnType.DATETIME)


@dataclass(frozen=True, slots=True)
class Forms:
    """How a dialect writes values."""

    readers: Mapping[ColumnType, Reader]
    writers: Mapping[ColumnType, Writer]

    def value(self, kind: ColumnType, value: Json, place: str) -> Value:
        """A JSON value in our own terms; raises WrongShape, naming the place, for one of another form."""
        return read_by(self.readers, kind, value, place)

    def json(self, kind: ColumnType, value: Value) -> Json:
        """Our value as the dialect writes it. Raises UnfitValue."""
        return None if value is None else self.writers[kind](value)


def fsm_forms(site: FsmSite) -> Forms:
    """FSM: texts for yes and no, times of the installation's time zone."""
    zone, (yes, no) = zone_of(site.time_zone), site.flags
    truths = {yes: True, no: False}

    def read_flag(value: Json) -> Value:
        text = text_of(value)
        if text not in truths:
            raise ValueError("neither yes nor no")
        return truths[text]

    def read_time(value: Json) -> Value:
        return moment_of(datetime.fromisoformat(text_of(value)), zone)

    def write_time(value: Value) -> Json:
        return wall_of(value, zone).isoformat(timespec="seconds")

    return _forms(read_flag, read_time, lambda value: yes if write_boolean(value) else no, write_time)


def ifs_cloud_forms() -> Forms:
    """IFS Cloud: as OData has it, times in UTC."""
    return _forms(
        READERS[ColumnType.BOOLEAN],
        READERS[ColumnType.DATETIME],
        write_boolean,
        lambda value: f"{utc_of(value).isoformat(timespec='seconds')}Z",
    )


def _forms(read_flag: Reader, read_time: Reader, write_flag: Writer, write_time: Writer) -> Forms:
    readers = {
        **READERS,
        ColumnType.TEXT: read_text,
        ColumnType.CHOICE: read_text,
        ColumnType.BOOLEAN: _or_blank(read_flag),
        ColumnType.DATE: _or_blank(READERS[ColumnType.DATE]),
        ColumnType.DATETIME: _or_blank(read_time),
    }
    writers = {
        **WRITERS,
        ColumnType.CHOICE: write_text,
        ColumnType.BOOLEAN: write_flag,
        ColumnType.DATETIME: write_time,
    }
    return Forms(readers, writers)


def _or_blank(read: Reader) -> Reader:
    return lambda value: None if value == "" else read(value)


def key_in(row: Mapping[str, Json], columns: tuple[str, ...]) -> str | None:
    """The key that these columns of a row make; None where one of them is blank. Raises WrongShape for what no key
    holds."""
    parts = [_part(row.get(name), name) for name in columns]
    if not all(parts):
        return None
    try:
        return key_of(parts)
    except ValueError:
        raise WrongShape(f"{', '.join(columns)} make no key") from None


def _part(value: Json, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WrongShape(f"{place} is no part of a key")
    return str(value)


def parts_as(kinds: tuple[ColumnType, ...], key: str) -> list[Json]:
    """The parts of a key as columns of these kinds hold them. Raises UnfitValue for a key of another table."""
    try:
        parts = parts_of(key)
        if len(parts) != len(kinds):
            raise ValueError("another number of parts")
        return [_as_kind(kind, part) for kind, part in zip(kinds, parts, strict=True)]
    except ValueError:
        raise UnfitValue("takes the key of a record") from None


def _as_kind(kind: ColumnType, part: str) -> Json:
    """A part as its column holds it; what stands in an address without quotes must not say anything else there."""
    if kind in _NUMBERS:
        if _WHOLE.fullmatch(part) and str(int(part)) == part:
            return sought(kind, part)
    elif kind not in _TIMES or _is_time(part):
        return part
    raise ValueError("no value of the column in its one spelling")


def _is_time(part: str) -> bool:
    """Whether a text is a day or a moment; raises ValueError for one that no calendar has."""
    if not _TIME.fullmatch(part):
        return False
    datetime.fromisoformat(part)
    return True


_SOUGHT: Mapping[ColumnType, Callable[[str], Json]] = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: lambda text: int(text) if _WHOLE.fullmatch(text) else None,
    ColumnType.DECIMAL: lambda text: Decimal(text) if _NUMBER.fullmatch(text) else None,
}
SEARCHABLE = frozenset(_SOUGHT)
"""Of the kinds of a row's columns; finding nothing in another one would look like "no partner"."""


def sought(kind: ColumnType, text: str) -> Json:
    """A text as what a column of the kind may equal; None where it can equal none."""
    return _SOUGHT[kind](text)
