"""Normalisers, by the name that definitions use: the form in which match keys are compared. For matching only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.sync.checks import vat_numbers


@dataclass(frozen=True)
class Normaliser:
    """plain: the form that is compared. spellings: forms under which the value may stand in a system, to search for."""

    plain: Callable[[str], str]
    spellings: Callable[[str], tuple[str, ...]]


def _squeezed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def _vat_number(text: str) -> str:
    return vat_numbers.parts(vat_numbers.plain(text))[1]


def _company_name(text: str) -> str:
    return re.sub(r"[^\w]+", " ", _squeezed(text)).strip()


def _as_is(text: str) -> tuple[str, ...]:
    return (text.strip(),)


def _vat_spellings(text: str) -> tuple[str, ...]:
    prefix, number = vat_numbers.parts(vat_numbers.plain(text))
    country = prefix or "IT"
    return tuple(dict.fromkeys((text.strip(), number, country + number, f"{country} {number}")))


NORMALISERS: Mapping[str, Normaliser] = {
    "text": Normaliser(_squeezed, _as_is),
    "vat_number": Normaliser(_vat_number, _vat_spellings),
    "company_name": Normaliser(_company_name, _as_is),
}
