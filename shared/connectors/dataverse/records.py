"""Rows into records and values into bodies, with the help of the schema and of what references point to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from shared.connectors.cache import Cache
from shared.connectors.dataverse.client import DataverseClient
from shared.connectors.dataverse.converters import UnfitValue, to_json, to_value
from shared.connectors.dataverse.errors import SYSTEM
from shared.connectors.dataverse.schema import Field, Schema, Table
from shared.errors import Answer, BadAnswer, Refused
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import Clock, ColumnType, Record, Value

_ETAG = re.compile(r'W/"(\d+)"')
BARE_TYPES = frozenset({ColumnType.INTEGER, ColumnType.CHOICE, ColumnType.DECIMAL})


def selected(table: Table, fields: Sequence[Field]) -> tuple[str, str]:
    """The $select option of the asked columns; never empty, since the primary id is always among them."""
    return "$select", ",".join(dict.fromkeys([table.primary_id, *(field.json_name for field in fields)]))


def expanded(fields: Sequence[Field]) -> list[tuple[str, str]]:
    """The $expand option of dotted columns; no option where there are none."""
    far: dict[str, list[str]] = {}
    for field in fields:
        if field.lookup and field.far:
            far.setdefault(field.lookup.navigation, []).append(field.far)
    parts = [f"{navigation}($select={','.join(names)})" for navigation, names in far.items()]
    return [("$expand", ",".join(parts))] if parts else []


def version_of(etag: str) -> str:
    """A row version as a bare number, which can be ordered; an etag of another form (elastic tables) as it is."""
    found = _ETAG.fullmatch(etag)
    return found.group(1) if found else etag


def etag_of(version: str) -> str:
    """What If-Match wants for a version."""
    return f'W/"{version}"' if version.isascii() and version.isdigit() else version


def quoted(text: str) -> str:
    """Text as an OData literal: quotes doubled, before any percent-encoding."""
    return "'" + text.replace("'", "''") + "'"


def equals(field: Field, text: str) -> str | None:
    """A filter expression, or None when the column's type makes equality with this text impossible."""
    name = f"{field.lookup.navigation}/{field.far}" if field.lookup and field.far else field.json_name
    if field.type is ColumnType.TEXT:
        return f"{name} eq {quoted(text)}"
    if field.type in BARE_TYPES:
        return f"{name} eq {text}" if re.fullmatch(r"-?\d{1,28}(\.\d{1,10})?", text) else None
    if field.type in (ColumnType.KEY, ColumnType.REFERENCE):
        try:
            return f"{name} eq {to_json(field.type, text)}"
        except UnfitValue:
            return None
    return None


class Records:
    """Turns rows of one organisation into records and back.

    What a dotted column needs of other tables is looked up record by record and kept for an hour.
    """

    def __init__(self, client: DataverseClient, schema: Schema, clock: Clock) -> None:
        self._client = client
        self._schema = schema
        self._far_values = Cache(clock, self._load_far_value)
        self._far_keys = Cache(clock, self._load_far_keys)

    def forget(self) -> None:
        """Look everything up anew: a reference just proved wrong."""
        self._far_values.forget()
        self._far_keys.forget()

    def record(self, table: Table, fields: Sequence[Field], row: JsonObject) -> Record:
        """A row read with `expanded`; raises BadAnswer when it is not as documented."""
        try:
            values = {field.name: _value(field, row) for field in fields}
            return self._record(table, row, values)
        except (WrongShape, ValueError) as error:
            raise _bad(error) from None

    async def record_looked_up(self, table: Table, fields: Sequence[Field], row: JsonObject) -> Record:
        """A row from a place that knows no $expand: an answer to a write, a change feed."""
        try:
            values: dict[str, Value] = {}
            for field in fields:
                near = to_value(_near_type(field), row.get(field.json_name), field.json_name)
                values[field.name] = await self._far_value(field, near) if field.far else near
            return self._record(table, row, values)
        except (WrongShape, ValueError) as error:
            raise _bad(error) from None

    async def body(self, table: Table, values: Mapping[str, Value]) -> JsonObject:
        """The body of a write; raises Refused for a value that the column cannot take, UnknownColumn."""
        body: JsonObject = {}
        for field in await self._schema.fields(table.name, list(values)):
            value = values[field.name]
            if field.lookup is None:
                body[field.name] = _json(field, value)
            else:
                body[f"{field.lookup.navigation}@odata.bind"] = await self._binding(field, value)
        return body

    async def _binding(self, field: Field, value: Value) -> Json:
        assert field.lookup is not None
        if value is None:
            return None
        key = await self._far_key(field, value) if field.far else _json(field, value)
        return f"/{(await self._schema.table(field.lookup.target)).set_name}({key})"

    async def _far_key(self, field: Field, value: Value) -> str:
        assert field.lookup is not None
        keys = await self._far_keys.get(f"{field.lookup.target} {field.far} {_json_text(field, value)}")
        if len(keys) != 1:
            self.forget()
            raise _unfit(field, "names no single record of the table behind it")
        return keys[0]

    async def _far_value(self, field: Field, near: Value) -> Value:
        assert field.lookup is not None
        return None if near is None else await self._far_values.get(f"{field.lookup.target} {field.far} {near}")

    async def _load_far_value(self, name: str) -> Value:
        target, far, key = name.split(" ", 2)
        table = await self._schema.table(target)
        row = await self._client.get_or_none(f"{table.set_name}({key})", [("$select", far)], f"{table.set_name}(..)")
        return None if row is None else to_value(table.columns[far].type, row.get(far), far)

    async def _load_far_keys(self, name: str) -> Sequence[str]:
        target, far, text = name.split(" ", 2)
        table = await self._schema.table(target)
        condition = equals(Field(far, table.columns[far].type), text)
        if condition is None:
            return []
        query = [("$select", table.primary_id), ("$filter", condition), ("$top", "2")]
        page = await self._client.get(table.set_name, query, table.set_name)
        rows = [as_object(row, "a row") for row in as_list(page.get("value"), "value")]
        return [as_text(row.get(table.primary_id), table.primary_id) for row in rows]

    def _record(self, table: Table, row: JsonObject, values: Mapping[str, Value]) -> Record:
        key = to_value(ColumnType.KEY, row.get(table.primary_id), table.primary_id)
        etag = row.get("@odata.etag")
        return Record(
            key=as_text(key if isinstance(key, str) else None, table.primary_id),
            version=version_of(etag) if isinstance(etag, str) and etag else None,
            values=values,
        )


def _near_type(field: Field) -> ColumnType:
    return ColumnType.REFERENCE if field.lookup else field.type


def _value(field: Field, row: JsonObject) -> Value:
    if not (field.lookup and field.far):
        return to_value(field.type, row.get(field.json_name), field.json_name)
    behind = row.get(field.lookup.navigation)
    if behind is None:
        return None
    return to_value(field.type, as_object(behind, field.lookup.navigation).get(field.far), field.name)


def _json(field: Field, value: Value) -> Json:
    try:
        return to_json(field.type, value)
    except UnfitValue as error:
        raise _unfit(field, str(error)) from None


def _json_text(field: Field, value: Value) -> str:
    return str(_json(field, value))


def _unfit(field: Field, why: str) -> Refused:
    return Refused(SYSTEM, Answer(field=field.name), f"{SYSTEM}: the column {field.name} {why}.")


def _bad(error: Exception) -> BadAnswer:
    return BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}")
