"""Values as people see them, in English: labels, dates, amounts, names of linked rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sandbox.dataverse.metadata import CHOICES, Column, Kind

Formatter = Callable[[Any], str | None]


def label(column: Column, value: Any) -> str | None:
    """Return the label of a choice or a two-option value, or None for other kinds."""
    if column.kind in CHOICES:
        return column.options.get(value)
    if column.kind is Kind.BOOL:
        return column.labels[1 if value else 0]
    return None


def formatted(column: Column, value: Any, symbol: str = "€") -> str | None:
    """Return what the application shows for a value, or None when it shows the value as it is."""
    if value is None:
        return None
    found = label(column, value)
    if found is not None:
        return found
    match column.kind:
        case Kind.MONEY:
            return f"{symbol}{Decimal(value):,.{column.precision}f}"
        case Kind.DECIMAL | Kind.DOUBLE:
            return f"{Decimal(str(value)):,.{column.precision}f}"
        case Kind.INT | Kind.BIGINT:
            return f"{value:,}"
        case Kind.DATETIME:
            return _us_date(value) + " " + _us_time(value)
        case Kind.DATE:
            return _us_date(value)
    return None


def _us_date(value: date) -> str:
    return f"{value.month}/{value.day}/{value.year}"


def _us_time(value: datetime) -> str:
    return f"{value.hour % 12 or 12}:{value.minute:02} {'AM' if value.hour < 12 else 'PM'}"


def formatted_in_notice(column: Column, value: Any, symbol: str = "€") -> str | None:
    """Return the formatted value of a webhook body; dates are ISO 8601 there, with `-00:00` for UTC."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}-00:00"
    if isinstance(value, date):
        return value.isoformat()
    return formatted(column, value, symbol)
