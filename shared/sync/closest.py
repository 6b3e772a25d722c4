"""The names that may be meant where a definition names what a system does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

from shared.errors import UnknownColumn
from shared.sync.breaker import unwatched
from shared.sync.definition import Definition
from shared.sync.ports import Browsable, Connector, Side, TableLabel

MOST: Final = 3
_LOOKED_AT: Final = 12
"""Texts that are looked at for so many names: a name and its label often are two of them."""


def closest(name: str, offered: Iterable[tuple[str, str]], most: int = MOST) -> list[str]:
    """The closest of the offered names, the closest first. offered: names with their labels, either of which may be
    close."""
    names: dict[str, list[str]] = {}
    for one, label in offered:
        for text in filter(None, dict.fromkeys((one.lower(), label.lower()))):
            names.setdefault(text, []).append(one)
    texts = difflib.get_close_matches(name.lower(), names, n=_LOOKED_AT)
    return list(dict.fromkeys(one for text in texts for one in names[text]))[:most]


def asking(sentence: str, name: str, offered: Iterable[tuple[str, str]]) -> str:
    """The sentence about a name, ending with the question whether one of the offered was meant, if any is close."""
    close = closest(name, offered)
    return f"{sentence}; did you mean {' or '.join(close)}?" if close else f"{sentence}."


def unused_table(definitions: Iterable[Definition], system: str, table: str) -> str:
    """The sentence where no definition has a table of a system; the name itself stays out."""
    tables = {one.table(side) for one in definitions for side in Side}
    offered = sorted(one.table for one in tables if one.system == system)
    return asking("No definition has this table of this system", table, ((name, "") for name in offered))


async def tables_like(connector: Connector, name: str) -> list[TableLabel]:
    """The tables that an unknown one may be; none where the system does not list its own. Raises ConnectorError.

    Where tables stand in groups, those of the group that the name begins with, or the groups.
    """
    lister = unwatched(connector)
    if not isinstance(lister, Browsable):
        return []
    found = list(await lister.browse())
    group = next((one.name for one in found if one.group and name.startswith(f"{one.name}.")), "")
    if not group:
        return found
    try:
        return list(await lister.browse(group))
    except UnknownColumn:
        return found
