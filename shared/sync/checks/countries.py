"""Countries: ISO 3166-1 codes, and the names that people write for them in several languages.

The table `countries.csv` holds code, code of three letters, names in English, Italian, German, French and Spanish, and
other names, with `|` between. The names are those of Unicode's CLDR, with older and colloquial ones added.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from shared.sync.arguments import Told
from shared.sync.values import Unfit

LANGUAGES = ("en", "it", "de", "fr", "es")


def code_of(text: str) -> str | None:
    """The ISO code of two letters for a code or a name; None if the text is neither."""
    return _codes().get(_folded(text))


def name_of(code: str, language: str) -> str:
    """A country's name in one of the languages."""
    return _rows()[code][language]


def check_country(text: str, told: Told) -> None:
    """Complain about everything that is no ISO code of two letters."""
    if text not in _rows():
        raise Unfit("CD-4036", "the country is written as its ISO code of two capital letters")


@cache
def _rows() -> Mapping[str, Mapping[str, str]]:
    with Path(__file__).with_name("countries.csv").open(encoding="utf-8", newline="") as table:
        return {row["code"]: row for row in csv.DictReader(table, delimiter=";")}


@cache
def _codes() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for code, row in _rows().items():
        names = [code, row["code3"], *(row[language] for language in LANGUAGES), *row["others"].split("|")]
        found |= {_folded(name): code for name in names if name}
    return found


def _folded(text: str) -> str:
    """Letters and digits only, without accents and capitals."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text.casefold()) if sign.isalnum())
