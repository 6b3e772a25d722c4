"""Columns of our own for what the CRM has none for yet, as a file with `tables:` declares them."""

from __future__ import annotations

import re
from typing import Final

from local.definition_start.likeness import words_of
from shared.sync.own_tables import (
    CUSTOM,
    LONGEST_MEMO,
    LONGEST_STRING,
    MEMO,
    MOST_DECIMALS,
    TYPES,
    USUAL_LENGTH,
    OwnColumn,
)
from shared.sync.ports import ColumnMetadata, ColumnType

PREFIX: Final = "cdock_"
FIRST_CHOICE: Final = 100_000_000
"""Where the numbers of choices begin that an organisation makes itself."""
LONGEST_KEY: Final = 250
_PLAIN: Final = {kind: name for name, kind in TYPES.items() if name != MEMO}


def prefix_of(table: str) -> str:
    """The publisher's prefix of a table of an organisation's own; ours for a standard one."""
    return f"{table.partition('_')[0]}_" if CUSTOM.fullmatch(table) else PREFIX


def told(name: str) -> str:
    """A name as people would write it."""
    text = " ".join(words_of(name)) or name
    return text[:1].upper() + text[1:]


def own_name(prefix: str, name: str) -> str:
    """The name of a column of our own for another system's column."""
    return f"{prefix}{re.sub('[^a-z0-9]', '', ''.join(words_of(name)))}"[:50]


def own_column(name: str, like: ColumnMetadata, refers_to: str = "") -> OwnColumn:
    """A column that holds what another system's column holds. refers_to: the table, of a reference."""
    label = like.label or told(like.name)
    if refers_to:
        label = label.removesuffix(" id").removesuffix(" ref")
        return OwnColumn(name=name, label=label, type="reference", refers_to=refers_to)
    match like.type:
        case ColumnType.CHOICE:
            return OwnColumn(name=name, label=label, type="choice", choices=_numbered(like))
        case ColumnType.DECIMAL:
            decimals = min(like.decimals, MOST_DECIMALS) if like.decimals is not None else 2
            return OwnColumn(name=name, label=label, type="decimal", decimals=decimals)
        case ColumnType.TEXT:
            length = min(like.max_length or LONGEST_STRING, LONGEST_MEMO)
            return OwnColumn(name=name, label=label, type="text" if length <= LONGEST_STRING else MEMO, length=length)
        case _:
            return OwnColumn(name=name, label=label, type=_PLAIN[like.type])


def key_column(name: str, label: str, like: ColumnMetadata) -> OwnColumn:
    """The column that holds another system's key, or a part of it, as text."""
    length = like.max_length if like.type is ColumnType.TEXT else USUAL_LENGTH
    return OwnColumn(name=name, label=label, length=min(length or LONGEST_KEY, LONGEST_KEY))


def _numbered(like: ColumnMetadata) -> dict[str, str]:
    labels = [label if label not in ("", value) else told(value) for value, label in like.choices.items()]
    return {str(FIRST_CHOICE + place): label for place, label in enumerate(labels)}
