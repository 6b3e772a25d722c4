"""Checks of single values, pure: formats of VAT numbers, telephone numbers, e-mail addresses, number series.

Formats of VAT numbers after the European Commission's 'VIES FAQ' (structure of VAT numbers), written as the
application's own patterns: `#` a digit, `@` a letter, `?` anything. The application checks the pattern only; check
digits and duplicates raise a message that a service call never sees (Microsoft Learn, 'Verify VAT registration
numbers').
"""

from __future__ import annotations

import re
from collections.abc import Mapping

VAT_FORMATS: Mapping[str, tuple[str, ...]] = {
    "AT": ("U########",),
    "BE": ("0#########", "1#########"),
    "BG": ("#########", "##########"),
    "CY": ("########@",),
    "CZ": ("########", "#########", "##########"),
    "DE": ("#########",),
    "DK": ("########",),
    "EE": ("#########",),
    "EL": ("#########",),
    "ES": ("?#######?",),
    "FI": ("########",),
    "FR": ("??#########",),
    "GB": ("#########", "############"),
    "GR": ("#########",),
    "HR": ("###########",),
    "HU": ("########",),
    "IE": ("#######@", "#######@@", "#?#####@"),
    "IT": ("###########",),
    "LT": ("#########", "############"),
    "LU": ("########",),
    "LV": ("###########",),
    "MT": ("########",),
    "NL": ("#########B##",),
    "PL": ("##########",),
    "PT": ("#########",),
    "RO": tuple("#" * n for n in range(2, 11)),
    "SE": ("##########01",),
    "SI": ("########",),
    "SK": ("##########",),
    "XI": ("#########", "############", "GD###", "HA###"),
}
"""Countries without an entry (CH, US, ...) have no format, so anything passes."""

_ADDRESS = re.compile(r"[^\s@,;<>()\[\]\"]+@[^\s@,;<>()\[\]\".]+(?:\.[^\s@,;<>()\[\]\".]+)+")


def fits_format(number: str, pattern: str) -> bool:
    """Say whether a VAT number has the form of a pattern."""
    return len(number) == len(pattern) and all(map(_fits, number, pattern))


def _fits(character: str, sign: str) -> bool:
    if sign == "#":
        return character in "0123456789"
    if sign == "@":
        return "A" <= character <= "Z"
    return sign == "?" or sign == character


def has_letters(text: str) -> bool:
    """Say whether a telephone number contains letters, which the application refuses."""
    return any(character.isalpha() for character in text)


def bad_address(emails: str) -> str | None:
    """Return the first malformed address of a list separated by `;`, or None."""
    if not emails:
        return None
    for address in emails.split(";"):
        if _ADDRESS.fullmatch(address.strip()) is None:
            return address.strip()
    return None


def following(number: str) -> str:
    """Return the number after this one in its series: the last digits count up (`K00099` -> `K00100`)."""
    found = re.fullmatch(r"(.*?)(\d+)(\D*)", number)
    if found is None:
        raise ValueError(f"the number {number!r} of a series must contain digits")
    head, digits, tail = found.groups()
    return f"{head}{int(digits) + 1:0{len(digits)}d}{tail}"


def name_parts(display_name: str) -> tuple[str, str, str]:
    """Split a person's name into first, middle and surname as the application does, without regard to lengths."""
    words = display_name.split()
    if len(words) < 2:
        return " ".join(words), "", ""
    if len(words) == 2:
        return words[0], "", words[1]
    return " ".join(words[:-2]), words[-2], words[-1]
