"""Values as a dialect writes them in JSON, and as the database keeps them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sandbox.field_service.errors import Refused
from sandbox.field_service.tables import Column, Kind, Table
from sandbox.rows_on_disk import Row

LARGEST = 10**15
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,7})?Z")


class Forms(Protocol):
    """What the dialects write differently."""

    def flag(self, given: Any) -> bool:
        """Read a yes or no; raises ValueError."""
        ...

    def time(self, given: str) -> datetime:
        """Read a time; raises ValueError."""
        ...

    def stamp(self, now: datetime) -> datetime:
        """A moment as the database keeps times: to the second."""
        ...

    def shown(self, value: bool | datetime) -> Any:
        """Write a yes or no, or a time."""
        ...


@dataclass(frozen=True)
class FsmForms:
    """Times without a zone, in that of the installation; flags are two texts."""

    zone: str = "UTC"
    flags: tuple[str, str] = ("Y", "N")

    def flag(self, given: Any) -> bool:
        """Read a yes or no; raises ValueError."""
        return not self.flags.index(given)

    def time(self, given: str) -> datetime:
        """Read a time; raises ValueError."""
        if not _TIME.fullmatch(given):
            raise ValueError("no time")
        return datetime.fromisoformat(given)

    def stamp(self, now: datetime) -> datetime:
        """The time on the wall of the installation: in the hour that the clocks go back it comes twice."""
        zone = UTC if self.zone == "UTC" else ZoneInfo(self.zone)
        return now.astimezone(zone).replace(microsecond=0, tzinfo=None, fold=0)

    def shown(self, value: bool | datetime) -> Any:
        """Write a yes or no, or a time."""
        return value.isoformat() if isinstance(value, datetime) else self.flags[not value]


class IfsCloudForms:
    """OData: times in UTC, flags are true and false."""

    def flag(self, given: Any) -> bool:
        """Read a yes or no; raises ValueError."""
        if not isinstance(given, bool):
            raise ValueError("no flag")
        return given

    def time(self, given: str) -> datetime:
        """Read a time; what is below a second is not kept. Raises ValueError."""
        found = _MOMENT.fullmatch(given)
        if found is None:
            raise ValueError("no time")
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)

    def stamp(self, now: datetime) -> datetime:
        """The moment in UTC."""
        return now.astimezone(UTC).replace(microsecond=0)

    def shown(self, value: bool | datetime) -> Any:
        """Write a yes or no, or a time."""
        return f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value


def value_of(column: Column, given: Any, forms: Forms) -> Any:
    """Read a value as the database keeps it; blank is None. Raises the 422 that names the column."""
    if given is None or given == "":
        return None
    if column.kind is Kind.TEXT and column.length and isinstance(given, str) and len(given) > column.length:
        raise Refused(422, "TooLong", f"At most {column.length} characters.", column.name)
    try:
        value = _read(column.kind, given, forms)
    except ValueError:
        raise Refused(422, "BadValue", f"It takes a value of the type {column.kind}.", column.name) from None
    if column.choices and value not in column.choices:
        raise Refused(422, "BadValue", "It is none of the choices.", column.name)
    return value


def _read(kind: Kind, given: Any, forms: Forms) -> Any:
    match kind:
        case Kind.FLAG:
            return forms.flag(given)
        case Kind.WHOLE if isinstance(given, int) and not isinstance(given, bool) and abs(given) < LARGEST:
            return given
        case Kind.AMOUNT if isinstance(given, int | Decimal) and not isinstance(given, bool):
            amount = Decimal(given)
            if amount.is_finite() and abs(amount) < LARGEST:
                return amount
        case Kind.TEXT if isinstance(given, str):
            return given
        case Kind.DAY if isinstance(given, str) and _DAY.fullmatch(given):
            return date.fromisoformat(given)
        case Kind.TIME if isinstance(given, str):
            return forms.time(given)
    raise ValueError(kind)


def shown_value(value: Any, forms: Forms) -> Any:
    """Write a value of the database as the dialect does in JSON."""
    if isinstance(value, bool | datetime):
        return forms.shown(value)
    return value.isoformat() if isinstance(value, date) else value


def shown_row(table: Table, row: Row, forms: Forms) -> Mapping[str, Any]:
    """Write all columns of a row."""
    return {name: shown_value(row.get(name), forms) for name in table.columns}
