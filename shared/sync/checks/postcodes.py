"""Post codes of the EU's countries and their neighbours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.sync.arguments import Told
from shared.sync.checks.countries import code_of
from shared.sync.values import Unfit

_FOUR, _FIVE, _SIX, _THREE_TWO = r"\d{4}", r"\d{5}", r"\d{6}", r"\d{3} ?\d{2}"
FORMS: Mapping[str, str] = {
    "AT": _FOUR,
    "BE": _FOUR,
    "BG": _FOUR,
    "CH": _FOUR,
    "CY": _FOUR,
    "CZ": _THREE_TWO,
    "DE": _FIVE,
    "DK": _FOUR,
    "EE": _FIVE,
    "ES": r"(0[1-9]|[1-4]\d|5[0-2])\d{3}",
    "FI": _FIVE,
    "FR": _FIVE,
    "GB": r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|GIR ?0AA",
    "GR": _THREE_TWO,
    "HR": _FIVE,
    "HU": _FOUR,
    "IE": r"[A-Z]\d[\dW] ?[A-Z\d]{4}",
    "IT": _FIVE,
    "LI": _FOUR,
    "LT": r"(LT-)?\d{5}",
    "LU": r"(L-)?\d{4}",
    "LV": r"(LV-)?\d{4}",
    "MC": r"980\d{2}",
    "MT": r"[A-Z]{3} ?\d{4}",
    "NL": r"[1-9]\d{3} ?[A-Z]{2}",
    "NO": _FOUR,
    "PL": r"\d{2}-\d{3}",
    "PT": r"\d{4}-\d{3}",
    "RO": _SIX,
    "SE": _THREE_TWO,
    "SI": _FOUR,
    "SK": _THREE_TWO,
    "SM": r"4789\d",
    "VA": r"00120",
}


def check_postcode(text: str, told: Told) -> None:
    """Complain about a code that the country does not have; that of an unknown country is anything."""
    form = FORMS.get(code_of(told.get("country", "")) or "")
    if form and not re.fullmatch(form, text, re.ASCII):
        raise Unfit("CD-4034", "the country's post codes have another form")
