"""The fields of a file as values: the forms of the vendor's export module, as far as a site has not changed them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal

from shared.connectors.keys import canonical_guid
from shared.connectors.postoffice.values import canonical_id
from shared.connectors.zones import moment_of, zone_of
from shared.sync.ports import ColumnType, Value

_PARTS: Mapping[str, str] = {"YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d{2})", "DD": r"(?P<day>\d{2})"}
_CLOCK = re.compile(r"(\d{2}):(\d{2}):(\d{2})")
_WHOLE = re.compile(r"-?\d{1,18}")
_AMOUNT = re.compile(r"-?\d{1,14}(\.\d{1,4})?")
_FLAGS: Mapping[str, bool] = {"1": True, "0": False}


class Cells:
    """Reads fields. dates: a day's form of YYYY, MM and DD; zone: in which the times of day are."""

    def __init__(self, dates: str, zone: str) -> None:
        self._day = re.compile(re.sub("YYYY|MM|DD", lambda part: _PARTS[part[0]], re.escape(dates)))
        self._zone = zone_of(zone)
        self._readers: Mapping[ColumnType, Callable[[str], Value]] = {
            ColumnType.TEXT: str,
            ColumnType.INTEGER: _whole,
            ColumnType.DECIMAL: _amount,
            ColumnType.BOOLEAN: _FLAGS.__getitem__,
            ColumnType.DATE: self._date,
            ColumnType.DATETIME: self._moment,
            ColumnType.KEY: canonical_guid,
            ColumnType.REFERENCE: canonical_id,
        }

    def value(self, kind: ColumnType, text: str) -> Value:
        """A field as a value, None for an empty one; raises ValueError, without the text, for one of another form."""
        if not text:
            return None
        try:
            return self._readers[kind](text)
        except (ValueError, KeyError, ArithmeticError):
            raise ValueError(f"is no {kind}") from None

    def _date(self, text: str) -> date:
        found = self._day.fullmatch(text)
        if found is None:
            raise ValueError("no day")
        return date(int(found["year"]), int(found["month"]), int(found["day"]))

    def _moment(self, text: str) -> datetime:
        """A day and a time of day, or a day alone, which begins at midnight."""
        day, _, clock = text.partition(" ")
        found = _CLOCK.fullmatch(clock or "00:00:00")
        if found is None:
            raise ValueError("no time")
        at = datetime.combine(self._date(day), datetime.min.time())
        return moment_of(at.replace(hour=int(found[1]), minute=int(found[2]), second=int(found[3])), self._zone)


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("no whole number")
    return int(text)


def _amount(text: str) -> Decimal:
    if not _AMOUNT.fullmatch(text):
        raise ValueError("no amount")
    return Decimal(text)
