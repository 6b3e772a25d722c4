"""VAT numbers: their prefixes, the forms of the EU's countries, and which numbers are right.

Italian numbers are checked by our own rules, those of the other countries by python-stdnum, offline. A number of a
country outside the EU is looked at by its shape only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.sync.arguments import Told
from shared.sync.checks.countries import code_of
from shared.sync.values import Unfit

FORMS: Mapping[str, str] = {
    "AT": r"U\d{8}",
    "BE": r"[01]\d{9}",
    "BG": r"\d{9,10}",
    "CY": r"\d{8}[A-Z]",
    "CZ": r"\d{8,10}",
    "DE": r"[1-9]\d{8}",
    "DK": r"\d{8}",
    "EE": r"\d{9}",
    "EL": r"\d{9}",
    "ES": r"[0-9A-Z]\d{7}[0-9A-Z]",
    "FI": r"\d{8}",
    "FR": r"[0-9A-HJ-NP-Z]{2}\d{9}",
    "HR": r"\d{11}",
    "HU": r"\d{8}",
    "IE": r"\d{7}[A-Z]{1,2}|\d[0-9A-Z+*]\d{5}[A-Z]",
    "IT": r"\d{11}",
    "LT": r"\d{9}|\d{12}",
    "LU": r"\d{8}",
    "LV": r"\d{11}",
    "MT": r"[1-9]\d{7}",
    "NL": r"\d{9}B\d{2}",
    "PL": r"\d{10}",
    "PT": r"[1-9]\d{8}",
    "RO": r"\d{2,10}",
    "SE": r"\d{10}01",
    "SI": r"[1-9]\d{7}",
    "SK": r"\d{10}",
    "XI": r"\d{9}|\d{12}|(GD|HA)\d{3}",
}
"""By prefix, what follows it. Greece writes EL, Northern Ireland XI."""

_PREFIXES_OF_COUNTRIES = {"GR": "EL", "MC": "FR"}


def plain(text: str) -> str:
    """Letters and digits in capitals, with the + and * of old Irish numbers."""
    return re.sub(r"[^0-9A-Z+*]", "", text.upper())


def prefix_of_country(country: str) -> str:
    """The prefix of a country's numbers, the country given as code or name; empty outside the EU."""
    if country.upper() in FORMS:
        return country.upper()
    code = code_of(country) or ""
    prefix = _PREFIXES_OF_COUNTRIES.get(code, code)
    return prefix if prefix in FORMS else ""


def parts(number: str) -> tuple[str, str]:
    """Prefix and rest of a plain number; no prefix where none can be told apart from the number itself."""
    rest = _rest(number)
    if rest is None or _rest(rest) is not None:
        return "", number
    return _prefix(number), rest


def joined(prefix: str, number: str) -> str:
    """The number with its prefix, if it could be taken apart again; else the number as it is."""
    return prefix + number if parts(prefix + number) == (prefix, number) else number


def _prefix(number: str) -> str:
    """The first two letters, those of Greece as its numbers have them."""
    return "EL" if number[:2] == "GR" else number[:2]


def _rest(number: str) -> str | None:
    """What follows the prefix: a country's form, or for other countries a digit."""
    prefix, rest = _prefix(number), number[2:]
    if prefix in FORMS and re.fullmatch(FORMS[prefix], rest, re.ASCII):
        return rest
    return rest if re.match(r"[A-Z]{2}[0-9]", number) else None


def is_right(prefix: str, number: str) -> bool:
    """Whether the number of one of the EU's countries is right, with its check digits."""
    if not re.fullmatch(FORMS[prefix], number, re.ASCII):
        return False
    return is_right_italian(number) if prefix == "IT" else _is_right_elsewhere(prefix, number)


def is_right_italian(digits: str) -> bool:
    """Eleven digits: a number that is not zero, an office that exists, the check digit."""
    if not re.fullmatch(r"[0-9]{11}", digits) or digits[:7] == "0000000":
        return False
    office = int(digits[7:10])
    if not (1 <= office <= 100 or office in {120, 121, 888, 999}):
        return False
    total = sum(int(d) if place % 2 == 0 else sum(divmod(2 * int(d), 10)) for place, d in enumerate(digits))
    return total % 10 == 0


def _is_right_elsewhere(prefix: str, number: str) -> bool:
    from stdnum.eu import vat

    return vat.is_valid(prefix + number)


def check_vat_number(text: str, told: Told) -> None:
    """Complain about a number that is right neither in the record's country nor in that of its prefix."""
    number, country = plain(text), told.get("country", "")
    readings = _readings(number, prefix_of_country(country))
    if not readings and not country and re.fullmatch(r"[0-9]{11}", number):
        readings = [("IT", number)]
    if readings and not any(is_right(*reading) for reading in readings):
        raise Unfit("CD-4005", "its form, its check digit or the office in it is wrong")
    if not readings and not re.fullmatch(r"[0-9A-Z]{4,20}", number):
        raise Unfit("CD-4005", "this cannot be a VAT number")


def _readings(number: str, home: str) -> list[tuple[str, str]]:
    """The countries whose number it may be, each with the number: the record's own, and that of the prefix."""
    found = [(home, number), (home, number.removeprefix(home))] if home else []
    prefix = _prefix(number)
    return [*found, (prefix, number[2:])] if prefix in FORMS else found
