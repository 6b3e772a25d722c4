"""Telephone numbers: what may stand in one, and the international form E.164."""

from __future__ import annotations

import re

from shared.sync.arguments import Told
from shared.sync.checks.countries import code_of
from shared.sync.values import Unfit


def check_phone(text: str, told: Told) -> None:
    """No letters; everything else may stand in a number."""
    if re.search(r"[^\W\d_]", text):
        raise Unfit("CD-4003", "a telephone number must not contain letters")


def e164(text: str, country: str) -> str:
    """`+`, the country's code and the number, digits only; a number without `+` or `00` is one of the country.

    Raises Unfit for letters, an extension, several numbers, and a number whose length its country does not have.
    """
    check_phone(text, {})
    home = code_of(country)
    first, *more = re.split("[/,;]", text)
    number = None if more and _international(first, home) else _international(text, home)
    if number is None or _international(number, None) != number:
        raise Unfit("CD-4038", "write one number with its area code, from abroad with + and the country's code")
    return number


def _international(text: str, country: str | None) -> str | None:
    import phonenumbers

    try:
        number = phonenumbers.parse(re.sub(r"^\s*00", "+", text), country)
    except phonenumbers.NumberParseException:
        return None
    if number.extension or not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def spellings(number: str) -> tuple[str, ...]:
    """The usual spellings of an international number: international and national, with blanks and without."""
    import phonenumbers

    parsed = phonenumbers.parse(number)
    kinds = (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL)
    written = [phonenumbers.format_number(parsed, kind) for kind in kinds]
    return (*written, *(re.sub(r"[^+0-9]", "", one) for one in written), f"00{number[1:]}")
