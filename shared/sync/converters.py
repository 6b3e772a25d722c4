"""Converters, by the name that definitions use: pure functions from the left side's value to the right's, and back.

`back(forth(x))` equals `x` up to the converter's normal form; tests/unit holds every converter to that. A value that
cannot be converted raises `Unfit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from shared.sync.arguments import NOTHING, Argument, Told
from shared.sync.checks import vat_numbers
from shared.sync.ports import Value
from shared.sync.values import Unfit, canonical


@dataclass(frozen=True, slots=True)
class Given:
    """What a rule gives its converter besides the value: the table values: and the arguments."""

    values: Mapping[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True)
class Converter:
    """Two pure functions, a sentence for the mapping sheet, and the arguments that it takes."""

    forth: Callable[[Value, Given], Value]
    back: Callable[[Value, Given], Value]
    meaning: str
    takes: Mapping[str, Argument] = field(default_factory=dict)


def _same(value: Value, _: Given) -> Value:
    return value


def _trimmed(value: Value, _: Given) -> Value:
    return " ".join(value.split()) or None if isinstance(value, str) else value


def _upper(value: Value, _: Given) -> Value:
    return value.strip().upper() or None if isinstance(value, str) else value


def _plain_vat_number(value: Value, _: Given) -> Value:
    """Letters and digits in capitals, without the country's prefix."""
    return vat_numbers.parts(vat_numbers.plain(value))[1] or None if isinstance(value, str) else value


def _looked_up(value: Value, values: Mapping[str, str]) -> Value:
    text = canonical(value)
    if text is None:
        return None
    if text not in values:
        raise Unfit("CD-4001", "the value is not in the rule's table values:; add it there")
    return values[text]


def _values_forth(value: Value, given: Given) -> Value:
    return _looked_up(value, given.values)


def _values_back(value: Value, given: Given) -> Value:
    return _looked_up(value, {right: left for left, right in given.values.items()})


def _negated(value: Value, _: Given) -> Value:
    if value is None:
        return None
    if not isinstance(value, bool):
        raise Unfit("CD-4002", "the converter 'not' takes yes/no columns only")
    return not value


def _date_of(value: Value, _: Given) -> Value:
    return value.astimezone(UTC).date() if isinstance(value, datetime) else value


def _midnight(value: Value, _: Given) -> Value:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


CONVERTERS: Mapping[str, Converter] = {
    "same": Converter(_same, _same, "unchanged"),
    "trim": Converter(_trimmed, _trimmed, "without surplus blanks"),
    "upper": Converter(_upper, _upper, "in capitals"),
    "vat_number": Converter(_plain_vat_number, _plain_vat_number, "the plain VAT number, without country prefix"),
    "values": Converter(_values_forth, _values_back, "by the table of values"),
    "not": Converter(_negated, _negated, "yes becomes no and no becomes yes"),
    "date": Converter(_date_of, _midnight, "the day without the time (UTC)"),
}
