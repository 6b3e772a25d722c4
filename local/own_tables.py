"""Reads what a file with `tables:` declares: tables and columns of a system that are ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from local.definition_document import Document, Faulty, Location, first_place
from shared.sync.definition import Problem
from shared.sync.own_tables import MADE_IN, OwnColumn, OwnTable, OwnView, declared

TABLES: Final = "tables"
"""The key by which a file is one of these, and no definition."""
_FILE_KEYS: Final = {TABLES, "needed_for"}
_TABLE_KEYS: Final = {"label", "plural", "name", "columns", "keys", "views"}
_COLUMN_KEYS: Final = {"label", "type", "length", "decimals", "choices", "refers_to"}
_NAME_KEYS: Final = {"column", "label", "length"}
_VIEW_KEYS: Final = {"columns", "where", "order"}


def read_tables(document: Document, file: str) -> Sequence[OwnTable]:
    """The tables of a file, in its order; raises Faulty."""
    return list(_Reader(document, file).tables())


@dataclass(frozen=True)
class _Reader:
    document: Document
    file: str

    def tables(self) -> Iterator[OwnTable]:
        tree = self.document.names((), self.document.tree, _FILE_KEYS)
        needed_for = self._texts(("needed_for",), tree.get("needed_for", []))
        for system, tables in self.document.names((TABLES,), tree[TABLES], None).items():
            where: Location = (TABLES, system)
            if system != MADE_IN:
                text = f"tables of {system} cannot be made from outside; declare those of {MADE_IN} only"
                raise Faulty(self.document.line(where), text)
            for name, body in self.document.names(where, tables, None).items():
                yield self._table((*where, name), system, body, needed_for)

    def _table(self, where: Location, system: str, tree: Any, needed_for: tuple[str, ...]) -> OwnTable:
        facts = self.document.names(where, tree, _TABLE_KEYS)
        raw: dict[str, Any] = {
            "file": self.file,
            "system": system,
            "table": where[-1],
            "columns": tuple(self._columns((*where, "columns"), facts.get("columns", {}))),
            "keys": tuple(self._keys((*where, "keys"), facts.get("keys", []))),
            "views": tuple(self._views((*where, "views"), facts.get("views", {}))),
            "needed_for": needed_for,
            "line": self.document.line(where),
        }
        raw |= {name: facts[name] for name in ("label", "plural") if name in facts}
        if "name" in facts:
            raw["name"] = self._name((*where, "name"), facts["name"])
        try:
            return OwnTable.model_validate(raw)
        except ValidationError as error:
            raise self.document.faulty(error, (*where, *first_place(error))) from None

    def _name(self, where: Location, tree: Any) -> OwnColumn:
        facts = dict(self.document.names(where, tree, _NAME_KEYS))
        if "column" not in facts:
            raise Faulty(self.document.line(where), "name: says which column holds the records' name; add column:")
        return self._column(where, facts.pop("column"), facts)

    def _columns(self, where: Location, tree: Any) -> Iterator[OwnColumn]:
        for name, body in self.document.names(where, tree, None).items():
            place = (*where, name)
            yield self._column(place, name, dict(self.document.names(place, body, _COLUMN_KEYS)))

    def _column(self, where: Location, name: Any, facts: dict[str, Any]) -> OwnColumn:
        """A column with its type, which choices and references need not say."""
        if not facts.get("label"):
            raise Faulty(self.document.line(where), f"{name}: has no label, which people see; add label:")
        for key, kind in (("choices", "choice"), ("refers_to", "reference")):
            if key in facts:
                facts.setdefault("type", kind)
        try:
            return OwnColumn.model_validate({"name": name, "line": self.document.line(where), **facts})
        except ValidationError as error:
            raise self.document.faulty(error, (*where, *first_place(error))) from None

    def _keys(self, where: Location, tree: Any) -> Iterator[tuple[str, ...]]:
        """Each key as the list of its columns; one column may stand for a list of one."""
        if not isinstance(tree, list):
            raise Faulty(self.document.line(where), "keys: must be a list of columns; write it in brackets")
        for place, key in enumerate(tree):
            yield self._texts((*where, place), key if isinstance(key, list) else [key])

    def _views(self, where: Location, tree: Any) -> Iterator[OwnView]:
        for name, body in self.document.names(where, tree, None).items():
            place = (*where, name)
            facts = dict(self.document.names(place, body, _VIEW_KEYS))
            raw = {"name": name, "line": self.document.line(place), "order": facts.get("order", {})}
            raw["columns"] = self._texts((*place, "columns"), facts.get("columns", []))
            conditions = self.document.names((*place, "where"), facts.get("where", {}), None)
            raw["where"] = {
                column: self._texts((*place, "where", column), values if isinstance(values, list) else [values])
                for column, values in conditions.items()
            }
            try:
                yield OwnView.model_validate(raw)
            except ValidationError as error:
                raise self.document.faulty(error, (*place, *first_place(error))) from None

    def _texts(self, where: Location, tree: Any) -> tuple[str, ...]:
        if not isinstance(tree, list) or not all(isinstance(one, str) for one in tree):
            raise Faulty(self.document.line(where), f"{_named(where)}: must be a list of names; write it in brackets")
        return tuple(tree)


def _named(where: Location) -> str:
    """The last key on the way to a place."""
    return next(str(one) for one in reversed(where) if isinstance(one, str))


def without_second_declarations(tables: Sequence[OwnTable]) -> tuple[list[OwnTable], list[Problem]]:
    """Several files may give columns to a table, but each is declared once; the later file's table is refused."""
    kept: list[OwnTable] = []
    problems: list[Problem] = []
    for table in tables:
        before = declared(kept, table.system).get(table.table)
        text, line = _clash(table, before) if before else ("", 0)
        if text:
            problems.append(Problem(file=table.file, line=line, text=text))
        else:
            kept.append(table)
    return kept, problems


def _clash(table: OwnTable, before: OwnTable) -> tuple[str, int]:
    """What of a table is declared already, and the line that does it again."""
    if table.is_ours and before.is_ours:
        return f"{table.table} is declared in {before.file} already; keep one, the other may add columns", table.line
    for column in table.every_column:
        if before.column(column.name) is not None:
            return f"{table.table}.{column.name} is declared in {before.file} already; keep one", column.line
    for view in table.views:
        if view.name in [one.name for one in before.views]:
            return f"{table.table} has a view '{view.name}' in {before.file} already; rename one", view.line
    return "", 0
