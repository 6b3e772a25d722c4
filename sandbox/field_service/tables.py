"""Tables and columns as people of an installation see them, and as they add them themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class Kind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    WHOLE = "whole"
    AMOUNT = "amount"
    FLAG = "flag"
    DAY = "day"
    TIME = "time"


@dataclass(frozen=True)
class Column:
    """One column. length: of a text, 0 is any. references: a table with one key column, whose key it holds.

    A time that is read-only is the time of the row's last change; the server keeps it.
    """

    name: str
    kind: Kind
    length: int = 0
    required: bool = False
    read_only: bool = False
    references: str = ""
    choices: tuple[str, ...] = ()

    @property
    def is_stamp(self) -> bool:
        """Say whether it holds the time of the last change."""
        return self.read_only and self.kind is Kind.TIME

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Column:
        """Read a column as the files of tables and the schema of FSM say it."""
        return cls(
            str(said["name"]),
            Kind(said["type"]),
            int(said.get("length") or 0),
            bool(said.get("required")),
            bool(said.get("readOnly")),
            str(said.get("references") or ""),
            tuple(said.get("choices") or ()),
        )

    def said(self) -> dict[str, Any]:
        """Say it as the schema of FSM does."""
        return {
            "name": self.name,
            "type": str(self.kind),
            "length": self.length or None,
            "required": self.required,
            "readOnly": self.read_only,
            "references": self.references or None,
            "choices": list(self.choices) or None,
        }


@dataclass(frozen=True)
class Reference:
    """What leads to a row of another table: own columns with the other's columns that they equal."""

    name: str
    target: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """One table. navigation: references over several columns, by their names."""

    name: str
    label: str
    keys: tuple[str, ...]
    columns: Mapping[str, Column]
    navigation: Mapping[str, Reference] = field(default_factory=dict)

    @classmethod
    def read(cls, name: str, said: Mapping[str, Any]) -> Table:
        """Read a table as the files say it; raises ValueError where the key names no column."""
        columns = {str(one["name"]): Column.read(one) for one in said["columns"]}
        leads = {
            str(by): Reference(str(by), str(to["target"]), dict(to["columns"]))
            for by, to in said.get("navigation", {}).items()
        }
        table = cls(name, str(said.get("label") or name), tuple(said["keys"]), columns, leads)
        if not table.keys or not set(table.keys) <= columns.keys():
            raise ValueError(f"{name}: its key has to be among its columns")
        return table

    def said(self) -> dict[str, Any]:
        """Say it as the files do."""
        leads = {by: {"target": to.target, "columns": dict(to.columns)} for by, to in self.navigation.items()}
        columns = [column.said() for column in self.columns.values()]
        return {"label": self.label, "keys": list(self.keys), "columns": columns, "navigation": leads}

    def with_column(self, column: Column) -> Table:
        """The table with a further column."""
        return replace(self, columns={**self.columns, column.name: column})

    def without(self, name: str) -> Table:
        """The table without a column, and without what leads on over it."""
        self._no_key(name)
        columns = {own: column for own, column in self.columns.items() if own != name}
        leads = {by: to for by, to in self.navigation.items() if name not in to.columns}
        return replace(self, columns=columns, navigation=leads)

    def renamed(self, old: str, new: str) -> Table:
        """The table with a column that has another name."""
        self._no_key(old)
        names = {**{own: own for own in self.columns}, old: new}
        columns = {names[own]: replace(column, name=names[own]) for own, column in self.columns.items()}
        leads = {
            by: replace(to, columns={names[own]: other for own, other in to.columns.items()})
            for by, to in self.navigation.items()
        }
        return replace(self, columns=columns, navigation=leads)

    def _no_key(self, name: str) -> None:
        if name in self.keys or name not in self.columns:
            raise ValueError(f"{self.name}: {name} is a key, or no column")

    @property
    def stamps(self) -> tuple[str, ...]:
        """The columns in which the server keeps the time of the last change."""
        return tuple(name for name, column in self.columns.items() if column.is_stamp)

    def references(self, tables: Mapping[str, Table]) -> Iterator[Reference]:
        """What leads from its rows to others'."""
        for name, column in self.columns.items():
            if column.references:
                (key,) = tables[column.references].keys
                yield Reference(name, column.references, {name: key})
        yield from self.navigation.values()


def tables_of(file: str) -> dict[str, Table]:
    """The tables of a dialect when it is new."""
    said = json.loads((HERE / file).read_text("utf-8"))["tables"]
    return {name: Table.read(name, one) for name, one in said.items()}
