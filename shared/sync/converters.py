"""Pure value functions that definitions refer to by name: converters with their inverses, normalisers, checks.

A converter turns the left side's value into the right side's (`forth`) and back (`back`). `back(forth(x))` equals `x`
up to the converter's normal form; tests/unit holds every converter to that. A value that cannot be converted raises
`Unfit`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
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


def same_value(one: Value, other: Value) -> bool:
    """Whether two values are equal in their canonical form."""
    return canonical(one) == canonical(other)


def is_blank(value: Value) -> bool:
    return canonical(value) is None


# --- converters -----------------------------------------------------------------------------------

Values = Mapping[str, str]


@dataclass(frozen=True)
class Converter:
    """Two pure functions and a sentence for the mapping sheet. Both take the value and the rule's table of values."""

    forth: Callable[[Value, Values], Value]
    back: Callable[[Value, Values], Value]
    meaning: str


def _same(value: Value, _: Values) -> Value:
    return value


def _trimmed(value: Value, _: Values) -> Value:
    return " ".join(value.split()) or None if isinstance(value, str) else value


def _upper(value: Value, _: Values) -> Value:
    return value.strip().upper() or None if isinstance(value, str) else value


def _plain_vat_number(value: Value, _: Values) -> Value:
    """Without blanks, dots, hyphens and a country prefix (two letters before a digit), in capitals."""
    if not isinstance(value, str):
        return value
    plain = re.sub(r"[\s.-]", "", value).upper()
    return (plain[2:] if re.match(r"[A-Z]{2}[0-9]", plain) else plain) or None


def _looked_up(value: Value, values: Values) -> Value:
    text = canonical(value)
    if text is None:
        return None
    if text not in values:
        raise Unfit("CD-4001", "the value is not in the rule's table values:; add it there")
    return values[text]


def _values_back(value: Value, values: Values) -> Value:
    return _looked_up(value, {right: left for left, right in values.items()})


def _negated(value: Value, _: Values) -> Value:
    if value is None:
        return None
    if not isinstance(value, bool):
        raise Unfit("CD-4002", "the converter 'not' takes yes/no columns only")
    return not value


def _date_of(value: Value, _: Values) -> Value:
    return value.astimezone(UTC).date() if isinstance(value, datetime) else value


def _midnight(value: Value, _: Values) -> Value:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


CONVERTERS: Mapping[str, Converter] = {
    "same": Converter(_same, _same, "unchanged"),
    "trim": Converter(_trimmed, _trimmed, "without surplus blanks"),
    "upper": Converter(_upper, _upper, "in capitals"),
    "vat_number": Converter(_plain_vat_number, _plain_vat_number, "the plain VAT number, without country prefix"),
    "values": Converter(_looked_up, _values_back, "by the table of values"),
    "not": Converter(_negated, _negated, "yes becomes no and no becomes yes"),
    "date": Converter(_date_of, _midnight, "the day without the time (UTC)"),
}


# --- normalisers, for matching only ---------------------------------------------------------------


def _squeezed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def _vat_number(text: str) -> str:
    plain = re.sub(r"[^0-9A-Za-z]", "", text).upper()
    return plain[2:] if re.match(r"^[A-Z]{2}\d", plain) else plain


def _company_name(text: str) -> str:
    return re.sub(r"[^\w]+", " ", _squeezed(text)).strip()


@dataclass(frozen=True)
class Normaliser:
    """plain: the form that is compared. spellings: forms under which the value may stand in a system, to search for."""

    plain: Callable[[str], str]
    spellings: Callable[[str], tuple[str, ...]]


def _as_is(text: str) -> tuple[str, ...]:
    return (text.strip(),)


def _vat_spellings(text: str) -> tuple[str, ...]:
    plain = _vat_number(text)
    prefix = re.match(r"^\s*([A-Za-z]{2})[\s.-]*\d", text)
    country = prefix.group(1).upper() if prefix else "IT"
    return tuple(dict.fromkeys((text.strip(), plain, country + plain, f"{country} {plain}")))


NORMALISERS: Mapping[str, Normaliser] = {
    "text": Normaliser(_squeezed, _as_is),
    "vat_number": Normaliser(_vat_number, _vat_spellings),
    "company_name": Normaliser(_company_name, _as_is),
}


# --- checks, before a value is written --------------------------------------------------------------


def _no_letters(value: str) -> None:
    if re.search(r"[^\W\d_]", value):
        raise Unfit("CD-4003", "a telephone number must not contain letters")


_ADDRESS = re.compile(r"^[^@\s;,]+@[^@\s;,]+\.[^@\s;,]+$")


def _email(value: str) -> None:
    if not all(_ADDRESS.match(part.strip()) for part in value.split(";")):
        raise Unfit("CD-4004", "this is not an e-mail address; several are separated by ;")


def _italian_vat_number(digits: str) -> bool:
    if len(digits) != 11 or not digits.isdigit() or digits[:7] == "0000000":
        return False
    office = int(digits[7:10])
    if not (1 <= office <= 100 or office in {120, 121, 888, 999}):
        return False
    total = sum(int(d) if place % 2 == 0 else sum(divmod(2 * int(d), 10)) for place, d in enumerate(digits))
    return total % 10 == 0


def _vat_check(value: str) -> None:
    """Italian numbers whole; those of other countries by their shape, since without a prefix the country is unknown."""
    plain = re.sub(r"[^0-9A-Za-z]", "", value).upper()
    digits = plain.removeprefix("IT")
    if plain.startswith("IT") or re.fullmatch(r"\d{11}", digits):
        if not _italian_vat_number(digits):
            raise Unfit("CD-4005", "the VAT number's check digit or office is wrong")
    elif not re.fullmatch(r"[0-9A-Z]{4,20}", plain):
        raise Unfit("CD-4005", "this cannot be a VAT number")


def _positive(value: str) -> None:
    if value.startswith("-"):
        raise Unfit("CD-4006", "the amount must not be negative")


CHECKS: Mapping[str, Callable[[str], None]] = {
    "phone": _no_letters,
    "email": _email,
    "vat_number": _vat_check,
    "not_negative": _positive,
}
