"""Rows into records and values into bodies, with the help of the schema and of what references point to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

from shared.connectors.cache import Cache
from shared.connectors.dataverse.client import DataverseClient
from shared.connectors.dataverse.converters import UnfitValue, to_json, to_value
from shared.connectors.dataverse.errors import SYSTEM
from shared.connectors.dataverse.schema import MERGED, MERGED_INTO, Field, Schema, Table
from shared.connectors.keys import canonical_guid
from shared.errors import Answer, BadAnswer, Refused, UnknownColumn
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import Clock, ColumnType, Record, Value

_INTO = f"_{MERGED_INTO}_value"
_ETAG = re.compile(r'W/"(\d+)"')
LIFE_SECONDS = 3600.0
KEYS_PER_LOOK_UP = 100
UNSEARCHABLE = frozenset({ColumnType.BOOLEAN, ColumnType.DATETIME, ColumnType.DATE})
BARE_TYPES = frozenset({ColumnType.INTEGER, ColumnType.CHOICE, ColumnType.DECIMAL})


def selected(table: Table, fields: Sequence[Field]) -> tuple[str, str]:
    """The $select option of the asked columns; never empty, since the primary id is always among them, and of a table
    whose records can be merged what says into which."""
    merges = [MERGED, _INTO] if table.merges else []
    return "$select", ",".join(dict.fromkeys([table.primary_id, *(field.json_name for field in fields), *merges]))


POINTS_TO = "Microsoft.Dynamics.CRM.lookuplogicalname"
"""The annotation that says which table a reference points to."""


def preferring(fields: Sequence[Field], *more: str) -> str:
    """The Prefer header: what else is wanted, and the annotation where a column may point to several tables."""
    annotation = [f'odata.include-annotations="{POINTS_TO}"'] if any(field.shared for field in fields) else []
    return ",".join([*more, *annotation])


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
    """A filter expression, or None when the column's type makes equality with this text impossible.

    Raises UnknownColumn for a column that no text can be searched in: finding nothing would look like "no partner".
    """
    if field.type in UNSEARCHABLE:
        detail = f"{SYSTEM}: the column {field.name} cannot be searched in."
        raise UnknownColumn(SYSTEM, Answer(field=field.name), detail)
    name = f"{field.lookup.navigation}/{field.far}" if field.lookup and field.far else field.json_name
    if field.type is ColumnType.TEXT:
        return f"{name} eq {quoted(text)}"
    if field.type in BARE_TYPES:
        return f"{name} eq {text}" if re.fullmatch(r"-?\d{1,28}(\.\d{1,10})?", text) else None
    try:
        return f"{name} eq {to_json(field.type, text)}"
    except UnfitValue:
        return None


def is_one_of(column: str, values: Sequence[str]) -> str:
    """A filter expression for "the column is one of these keys"."""
    listed = ",".join(f'"{value}"' for value in values)
    return f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=[{listed}])"


def rows_of(page: JsonObject) -> list[JsonObject]:
    """The rows of a page; raises BadAnswer."""
    try:
        return [as_object(row, "a row") for row in as_list(page.get("value"), "value")]
    except WrongShape as error:
        raise _bad(error) from None


class Records:
    """Turns rows of one organisation into records and back.

    What a dotted column needs of a small table is looked up and kept for an hour, the same way for reads, answers to
    writes and change feeds: `$expand` would be ignored in the second and refused in the third.
    """

    def __init__(self, client: DataverseClient, schema: Schema, clock: Clock) -> None:
        self._client = client
        self._schema = schema
        self._far_values = FarValues(client, schema, clock)
        self._far_keys = Cache(clock, self._load_far_keys)

    def forget(self) -> None:
        """Look everything up anew: a reference just proved wrong."""
        self._far_values.forget()
        self._far_keys.forget()

    async def records(
        self, table: Table, fields: Sequence[Field], rows: Sequence[JsonObject], partial: bool = False
    ) -> list[Record]:
        """Rows as records; raises BadAnswer when one is not as documented.

        A column that is not in a row is a fault of the answer, not an empty column; where rows may be `partial` (a
        change feed) it is left out of the record.
        """
        try:
            near = [_near_values(fields, row, partial) for row in rows]
            behind = {field.name: await self._behind(field, near) for field in fields if field.far}
            return [_record(table, row, _with_far(values, behind)) for row, values in zip(rows, near, strict=True)]
        except ValueError as error:
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

    async def _behind(self, field: Field, near: Sequence[Mapping[str, Value]]) -> Mapping[str, Value]:
        keys = {str(values[field.name]) for values in near if values.get(field.name) is not None}
        return await self._far_values.of(field, sorted(keys))

    async def _load_far_keys(self, name: str) -> Sequence[str]:
        target, far, text = name.split(" ", 2)
        table = await self._schema.table(target)
        condition = equals(Field(far, table.columns[far].type), text)
        if condition is None:
            return []
        query = [("$select", table.primary_id), ("$filter", condition), ("$top", "2")]
        page = await self._client.get(table.set_name, query, table.set_name)
        return [_text(row, table.primary_id) for row in rows_of(page)]


class FarValues:
    """Columns of small tables by key: fetched many at once, kept for an hour. A record that is gone has no value."""

    MOST = 10_000

    def __init__(self, client: DataverseClient, schema: Schema, clock: Clock) -> None:
        self._client = client
        self._schema = schema
        self._clock = clock
        self._known: dict[tuple[str, str, str], tuple[float, Value]] = {}
        self._lock = asyncio.Lock()

    def forget(self) -> None:
        """Look everything up anew."""
        self._known.clear()

    async def of(self, field: Field, keys: Sequence[str]) -> Mapping[str, Value]:
        """The values of a dotted column for keys of the table behind it."""
        assert field.lookup is not None
        target = field.lookup.target
        async with self._lock:
            oldest = self._clock.monotonic() - LIFE_SECONDS
            kept = {key: self._known.get((target, field.far, key)) for key in keys}
            known = {key: entry[1] for key, entry in kept.items() if entry is not None and entry[0] >= oldest}
            missing = [key for key in keys if key not in known]
            for start in range(0, len(missing), KEYS_PER_LOOK_UP):
                known |= await self._load(field, target, missing[start : start + KEYS_PER_LOOK_UP])
            return known

    async def _load(self, field: Field, target: str, keys: Sequence[str]) -> dict[str, Value]:
        table = await self._schema.table(target)
        condition = is_one_of(table.primary_id, keys)
        query = [("$select", f"{table.primary_id},{field.far}"), ("$filter", condition)]
        asked_at = self._clock.monotonic()
        found: dict[str, Value] = {}
        async for page in self._client.pages(table.set_name, query, table.set_name):
            found.update({_text(row, table.primary_id): _far(field, row) for row in rows_of(page)})
        if len(self._known) > self.MOST:
            self._known.clear()
        self._known.update({(target, field.far, key): (asked_at, value) for key, value in found.items()})
        return found


def _near_values(fields: Sequence[Field], row: JsonObject, partial: bool) -> dict[str, Value]:
    """The row's own values: plain columns, and for dotted ones the key of the record behind."""
    values: dict[str, Value] = {}
    for field in fields:
        if field.json_name in row:
            kind = ColumnType.REFERENCE if field.lookup else field.type
            value = to_value(kind, row[field.json_name], field.json_name)
            values[field.name] = value if _is_meant(field, row, value) else None
        elif not partial:
            raise WrongShape(f"{field.json_name} is missing")
    return values


def _is_meant(field: Field, row: JsonObject, value: Value) -> bool:
    """Whether a reference points to the table that the name means; raises WrongShape where the row does not say."""
    if not field.shared or field.lookup is None or value is None:
        return True
    name = f"{field.json_name}@{POINTS_TO}"
    return as_text(row.get(name), name) == field.lookup.target


def _with_far(near: Mapping[str, Value], behind: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    return {name: behind[name].get(str(value)) if name in behind else value for name, value in near.items()}


def _record(table: Table, row: JsonObject, values: Mapping[str, Value]) -> Record:
    etag = row.get("@odata.etag")
    return Record(
        key=canonical_guid(as_text(row.get(table.primary_id), table.primary_id)),
        version=version_of(etag) if isinstance(etag, str) and etag else None,
        values=values,
        merged_into=_merged_into(row) if table.merges else None,
    )


def _merged_into(row: JsonObject) -> str | None:
    """A feed leaves out what did not change, and so does this."""
    into = row.get(_INTO) if row.get(MERGED) is True else None
    return canonical_guid(into) if isinstance(into, str) else None


def _far(field: Field, row: JsonObject) -> Value:
    try:
        return to_value(field.type, row.get(field.far), field.name)
    except WrongShape as error:
        raise _bad(error) from None


def _text(row: JsonObject, name: str) -> str:
    try:
        return as_text(row.get(name), name).lower()
    except WrongShape as error:
        raise _bad(error) from None


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
