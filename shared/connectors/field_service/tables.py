"""Tables of field service as its schema describes them, and columns as definitions name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.sync.ports import ColumnMetadata, ColumnType


@dataclass(frozen=True, slots=True)
class Reference:
    """What leads to a record of another table. target: that table, empty where nobody says it. columns: own ones, with
    the other's that they equal (empty where nobody says it)."""

    target: str
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table. keys: the columns of its primary key in their order. kinds: what each column of a row holds. columns:
    what a definition may name, references over several columns included."""

    name: str
    label: str
    keys: tuple[str, ...]
    kinds: Mapping[str, ColumnType]
    columns: Mapping[str, ColumnMetadata]
    references: Mapping[str, Reference]

    @property
    def names(self) -> frozenset[str]:
        """The names that an error may be kept with."""
        return frozenset({self.name, *self.kinds, *self.columns})


@dataclass(frozen=True, slots=True)
class Field:
    """A column as a definition names it. sources: the columns of a row that it stands for, of a reference in the order
    of the other's key. leads: it is a reference, or stands behind one; target: the table that it leads to, empty where
    nobody says it. far: the column behind the dot, of that table."""

    name: str
    type: ColumnType
    sources: tuple[str, ...]
    leads: bool = False
    target: str = ""
    far: Field | None = None
