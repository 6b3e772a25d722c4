"""Rows into records, values into bodies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from shared.connectors.postoffice.client import text_in
from shared.connectors.postoffice.errors import SYSTEM
from shared.connectors.postoffice.further import as_shown
from shared.connectors.postoffice.managers import manager_in, shows
from shared.connectors.postoffice.site import Site
from shared.connectors.postoffice.tables import ACCOUNT_MANAGER, Table
from shared.connectors.postoffice.values import UnfitValue, canonical_id, to_json, to_value
from shared.errors import Answer, BadAnswer, Refused, UnknownColumn
from shared.strict_json import Json, JsonObject, WrongShape
from shared.sync.ports import ColumnMetadata, Record, Value


class Rows:
    """Reads and writes the rows of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def columns(self, table: Table, names: Sequence[str]) -> list[ColumnMetadata]:
        """The columns by name; raises UnknownColumn naming the one that there is not."""
        for name in names:
            if name not in table.columns:
                raise UnknownColumn(SYSTEM, Answer(field=name))
        return [table.columns[name] for name in names]

    def parts(self, table: Table, names: Collection[str]) -> list[str]:
        """The parts that these columns belong to, of those that the site shows."""
        shown = (name for name in names if name != ACCOUNT_MANAGER or shows(self._site))
        return sorted({table.expands(name) for name in shown} - {""})

    def record(self, table: Table, row: JsonObject, columns: Sequence[ColumnMetadata], version: str | None) -> Record:
        """A row as a record; raises BadAnswer for one that is not as documented."""
        try:
            key = canonical_id(text_in(row, "id"))
        except ValueError as error:
            raise _bad(table, error) from None
        return Record(key, version, self.values(table, row, columns))

    def values(self, table: Table, row: JsonObject, columns: Sequence[ColumnMetadata]) -> Mapping[str, Value]:
        """The values of a row; raises BadAnswer for one that is not as documented."""
        try:
            return {one.name: self._value(table, row, one) for one in columns}
        except (WrongShape, ValueError) as error:
            raise _bad(table, error) from None

    def _value(self, table: Table, row: JsonObject, column: ColumnMetadata) -> Value:
        if column.name == ACCOUNT_MANAGER and not table.further:
            return manager_in(self._site, row)
        if table.further and column.name not in self._site.declared(table.name):
            return as_shown(self._shown(table, row, column.name))
        found = self._shown if table.further else self._found
        return to_value(column.type, found(table, row, column.name), column.name)

    def _shown(self, table: Table, row: JsonObject, name: str) -> Json:
        """Of a list that the contract does not name: a column that a row lacks is gone, and not blank."""
        theirs = self._site.theirs(table.name, name)
        if theirs not in row:
            raise UnknownColumn(SYSTEM, Answer(field=name))
        return row[theirs]

    def _found(self, table: Table, row: JsonObject, name: str) -> Json:
        node: Json = row
        for part in name.split("."):
            if node is None:
                return None
            if not isinstance(node, dict):
                raise WrongShape(f"{name} is no object")
            node = node.get(self._site.theirs(table.name, part) if node is row else part)
        return node

    def body(self, table: Table, values: Mapping[str, Value]) -> JsonObject:
        """A write's body; raises Refused naming the column whose value has no form there."""
        body: JsonObject = {}
        for name, value in values.items():
            (column,) = self.columns(table, [name])
            try:
                told = to_json(column.type, value)
            except UnfitValue as error:
                raise Refused(SYSTEM, Answer(field=name), f"{SYSTEM}: {name} {error}.") from None
            self._put(body, table, name.split("."), told)
        return body

    def _put(self, body: JsonObject, table: Table, path: Sequence[str], value: Json) -> None:
        node = body
        for place, part in enumerate(path[:-1]):
            inner = node.setdefault(self._site.theirs(table.name, part) if place == 0 else part, {})
            assert isinstance(inner, dict)
            node = inner
        node[self._site.theirs(table.name, path[0]) if len(path) == 1 else path[-1]] = value

    def sent_names(self, table: Table, values: Collection[str]) -> Iterator[str]:
        """The columns as an error of the site may name them."""
        return (self._site.theirs(table.name, name) if "." not in name else name for name in values)


def _bad(table: Table, error: Exception) -> BadAnswer:
    return BadAnswer(SYSTEM, detail=f"{SYSTEM}: a row of {table.name}: {error}")
