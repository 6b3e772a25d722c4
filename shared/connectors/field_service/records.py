"""Rows into records, values into bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shared.connectors.field_service.dialect import Dialect, Row
from shared.connectors.field_service.tables import Field, Table
from shared.connectors.field_service.values import key_in, parts_as
from shared.connectors.values import UnfitValue
from shared.errors import Answer, BadAnswer, Refused
from shared.strict_json import Json, JsonObject, WrongShape
from shared.sync.ports import Record, Value


def sources_of(table: Table, fields: Iterable[Field], *more: str) -> list[str]:
    """The columns that rows have to bring along: the key always."""
    return list(dict.fromkeys([*table.keys, *(name for one in fields for name in one.sources), *more]))


class Records:
    """Reads and writes the rows of one dialect. What stands behind a dot is the connector's to look up."""

    def __init__(self, dialect: Dialect) -> None:
        self._kind = dialect.kind
        self._forms = dialect.forms

    def key(self, table: Table, row: Row) -> str:
        """The key of a row; raises BadAnswer for one without."""
        try:
            key = key_in(row.values, table.keys)
        except WrongShape as error:
            raise self._bad(table, error) from None
        if key is None:
            raise self._bad(table, WrongShape("its key is blank"))
        return key

    def record(self, table: Table, row: Row, fields: Sequence[Field]) -> Record:
        """A row as a record; a dotted name has the key that its reference leads to. Raises BadAnswer for one that is
        not as documented."""
        try:
            return Record(self.key(table, row), row.version, {one.name: self._value(row.values, one) for one in fields})
        except WrongShape as error:
            raise self._bad(table, error) from None

    def _value(self, row: JsonObject, field: Field) -> Value:
        if field.leads:
            return key_in(row, field.sources)
        return self._forms.value(field.type, row.get(field.sources[0]), field.name)

    def parts(self, table: Table, key: str) -> list[Json] | None:
        """The parts of a key; None for one that no record of the table can have."""
        try:
            return parts_as(tuple(table.kinds[name] for name in table.keys), key)
        except UnfitValue:
            return None

    def body(self, table: Table, fields: Sequence[Field], values: Mapping[str, Value]) -> JsonObject:
        """A write's body; what stands behind a dot is given as the key of its record. Raises Refused naming the column
        whose value has no form there."""
        body: JsonObject = {}
        for one in fields:
            try:
                body |= self._written(table, one, values[one.name])
            except UnfitValue as error:
                raise Refused(self._kind, Answer(field=one.name), f"{self._kind}: {one.name} {error}.") from None
        return body

    def _written(self, table: Table, field: Field, value: Value) -> JsonObject:
        if not field.leads:
            return {field.sources[0]: self._forms.json(field.type, value)}
        if value is None:
            return dict.fromkeys(field.sources)
        kinds = tuple(table.kinds[name] for name in field.sources)
        return dict(zip(field.sources, parts_as(kinds, str(value)), strict=True))

    def _bad(self, table: Table, error: WrongShape) -> BadAnswer:
        return BadAnswer(self._kind, detail=f"{self._kind}: a row of {table.name}: {error}")
