"""The codice fiscale: sixteen characters for a person, eleven digits for an organisation."""

from __future__ import annotations

import re

from shared.sync.arguments import Told
from shared.sync.checks.vat_numbers import is_right_italian
from shared.sync.values import Unfit

_DIGIT = "[0-9LMNPQRSTUV]"  # letters stand for digits where two people would have the same code
_FORM = re.compile(
    rf"[A-Z]{{6}}{_DIGIT}{{2}}[ABCDEHLMPRST]{_DIGIT}{{2}}[A-Z]{_DIGIT}{{3}}[A-Z]",
    re.ASCII,
)
_DIGITS = {sign: value for letters in ("0123456789", "LMNPQRSTUV") for value, sign in enumerate(letters)}
_DAYS = dict(zip("ABCDEHLMPRST", (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def plain(text: str) -> str:
    """Letters and digits in capitals."""
    return re.sub(r"[^0-9A-Z]", "", text.upper())


def check_fiscal_code(text: str, told: Told) -> None:
    """Complain about a wrong check letter, a day that does not exist, or another form."""
    code = plain(text)
    if len(code) == 11:
        if not is_right_italian(code):
            raise Unfit("CD-4031", "the eleven digits of an organisation have a wrong check digit or office")
        return
    if not _FORM.fullmatch(code):
        raise Unfit("CD-4031", "a person's has sixteen characters of a fixed form, an organisation's eleven digits")
    if code[15] != check_letter(code[:15]):
        raise Unfit("CD-4031", "its check letter is wrong")
    if not _is_day(code):
        raise Unfit("CD-4031", "the day of birth in it does not exist")


def check_letter(first: str) -> str:
    """The sixteenth character for the first fifteen, as they are written."""
    values = [int(sign) if sign.isdigit() else _LETTERS.index(sign) for sign in first]
    return _LETTERS[sum(_ODD[value] if place % 2 == 0 else value for place, value in enumerate(values)) % 26]


def _is_day(code: str) -> bool:
    """Whether month and day exist; a woman's day has forty added. The century is not known: 1900 counts as 2000."""
    year, day = (10 * _DIGITS[code[place]] + _DIGITS[code[place + 1]] for place in (6, 9))
    day -= 40 if day > 40 else 0
    last = 28 if code[8] == "B" and year % 4 else _DAYS[code[8]]
    return 1 <= day <= last
