"""What a value is to the engine: the one text by which values are compared, blanks, and values that do not fit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from shared.sync.ports import Value


class Unfit(Exception):
    """A value does not fit its field. code: of the catalogue; hint: what to do, without the value."""

    def __init__(self, code: str, hint: str) -> None:
        super().__init__(f"{code}: {hint}")
        self.code = code
        self.hint = hint


def canonical(value: Value) -> str | None:
    """The one text of a value, by which values are compared and fingerprinted; blank text is no value.

    1, Decimal("1.0") and "1" are the same; True is "true"; times are UTC with the precision they have.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return _number(Decimal(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat()


def _number(number: Decimal) -> str:
    plain = format(number.normalize(), "f")
    return "0" if plain in {"-0", ""} else plain


def length(text: str) -> int:
    """The length of a text as the systems count it: a character outside Unicode's first plane counts as two."""
    return len(text) + sum(sign > "\uffff" for sign in text)


def cut(text: str, limit: int) -> str:
    """The beginning of a text that fits, no character halved, without blanks at its end."""
    while length(text) > limit:
        text = text[: min(limit, len(text) - 1)]
    return text.rstrip()


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal in their canonical form."""
    return canonical(one) == canonical(other)


def is_blank(value: Value) -> bool:
    return canonical(value) is None
