"""What converters, checks and normalisers are told besides the value: settings of the rule, and other columns.

An argument `country` is written as a setting (`country: IT`), as a column of the same record (`country_from:
<column>`), or as both: then the setting stands in where the column is blank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Told = Mapping[str, str]
"""The arguments of one use, by name; those that are not known are missing."""

NOTHING: Told = {}

FROM = "_from"
"""The ending of an argument that names a column."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One thing that a converter, check or normaliser may be told.

    pattern: what a setting looks like, words: the same for people; an argument without them comes from a column only.
    column: whether it may come from a column. required: whether it must be said one way or the other.
    """

    pattern: str = ""
    words: str = ""
    column: bool = False
    required: bool = False


COUNTRY: Mapping[str, Argument] = {"country": Argument("[A-Z]{2}", "an ISO code of two capital letters", column=True)}
"""The argument of everything that depends on the record's country."""


def wrong_argument(what: str, takes: Mapping[str, Argument], settings: Told, columns: Mapping[str, object]) -> str:
    """Why these settings and columns are not what it takes, with what to do; empty if they are."""
    known = [name for name, one in takes.items() if one.pattern]
    known += [name + FROM for name, one in takes.items() if one.column]
    for name in [*settings, *(name + FROM for name in columns)]:
        if name not in known:
            offered = f"it takes: {', '.join(sorted(known))}" if known else "it takes nothing; leave it out"
            return f"{what} does not take '{name}'; {offered}"
    for name, text in settings.items():
        if not re.fullmatch(takes[name].pattern, text):
            return f"{what}: {name} is {takes[name].words}; correct it"
    missing = [name for name, one in takes.items() if one.required and name not in {*settings, *columns}]
    return f"{what} has to be told {missing[0]}; add it" if missing else ""
