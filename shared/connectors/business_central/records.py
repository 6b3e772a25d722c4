"""Rows into records and values into bodies, with the help of the schema and of the small tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.connectors.business_central.client import BusinessCentralClient
from shared.connectors.business_central.converters import UnfitValue, to_json, to_value
from shared.connectors.business_central.errors import SYSTEM
from shared.connectors.business_central.schema import Field, Schema
from shared.connectors.cache import Cache
from shared.connectors.keys import ZERO_GUID
from shared.errors import Answer, BadAnswer, Refused, UnknownColumn
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import Clock, ColumnType, Record, Value

FRESH_SECONDS = 1.0
"""A key or code that is in no small table may be new: the table is read again before anything is said about it."""
UNSEARCHABLE = frozenset({ColumnType.BOOLEAN, ColumnType.DATETIME, ColumnType.DATE, ColumnType.CHOICE})
"""A filter on an enum is refused by some versions of the service; finding nothing would look like "no partner"."""
FIRST_IN_BODY = ("number", "individualPerson", "resident", "type", "displayName", "country", "postalCode")
"""Fields are checked in the order in which they come: the country decides the form of a tax number, and a post code
fills in a city that a later `city` then corrects."""


@dataclass(frozen=True, slots=True)
class SmallTable:
    """The column behind a dot for every record of a small table, both ways; texts are compared without case."""

    values: Mapping[str, Value]
    keys: Mapping[str, str]


def quoted(text: str) -> str:
    """Text as an OData literal, quotes doubled, before any percent-encoding."""
    return "'" + text.replace("'", "''") + "'"


def selected(fields: Sequence[Field], *more: str) -> tuple[str, str]:
    """The $select option; never empty, since the id is always among the columns."""
    return "$select", ",".join(dict.fromkeys(["id", *more, *(field.near for field in fields)]))


class Records:
    """Turns rows of one company into records and back. Small tables are kept for an hour."""

    def __init__(self, client: BusinessCentralClient, schema: Schema, clock: Clock) -> None:
        self._client = client
        self._schema = schema
        self._small = Cache(clock, self._load_small)

    def forget(self) -> None:
        """Read the small tables anew: a reference just proved wrong."""
        self._small.forget()

    async def record(self, fields: Sequence[Field], row: JsonObject) -> Record:
        """A row as a record; raises BadAnswer when it is not as documented."""
        try:
            return Record(
                key=as_text(_known(to_value(ColumnType.KEY, row.get("id"), "id")), "id"),
                version=as_text(row.get("@odata.etag"), "the etag"),
                values={field.name: await self._value(field, row) for field in fields},
            )
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None

    async def body(self, table: str, values: Mapping[str, Value]) -> JsonObject:
        """The body of a write, in the order in which it is to be checked; raises Refused and UnknownColumn."""
        fields = await self._schema.fields(table, sorted(values, key=_place_in_body))
        return {field.near: await self._json(field, values[field.name]) for field in fields}

    async def condition(self, field: Field, texts: Sequence[str]) -> str | None:
        """A filter for "the column equals one of these"; None when none of them can be equal.

        `or` is allowed over one and the same column only, which this is. Raises UnknownColumn for a column that no
        text can be searched in.
        """
        if field.type in UNSEARCHABLE and not field.far:
            detail = f"{SYSTEM}: the column {field.name} cannot be searched in."
            raise UnknownColumn(SYSTEM, Answer(field=field.name), detail)
        literals = [literal for text in texts if (literal := await self._literal(field, text)) is not None]
        return " or ".join(f"{field.near} eq {literal}" for literal in literals) or None

    async def _literal(self, field: Field, text: str) -> str | None:
        if field.far:
            return (await self._small.get(f"{field.target} {field.far}")).keys.get(text.casefold())
        if field.type is ColumnType.TEXT:
            return quoted(text)
        if field.type in (ColumnType.INTEGER, ColumnType.DECIMAL):
            return text if re.fullmatch(r"-?\d{1,28}(\.\d{1,10})?", text) else None
        try:
            return str(to_json(field.type, text))
        except UnfitValue:
            return None

    async def _value(self, field: Field, row: JsonObject) -> Value:
        if field.near not in row:
            raise WrongShape(f"{field.near} is missing")
        if not field.far:
            return to_value(field.type, row[field.near], field.near)
        key = as_text(row[field.near], field.near).lower()
        small = await self._small.get(f"{field.target} {field.far}")
        if key not in small.values and key != ZERO_GUID:
            small = await self._small.get(f"{field.target} {field.far}", at_most_seconds_old=FRESH_SECONDS)
        return small.values.get(key)

    async def _json(self, field: Field, value: Value) -> Json:
        if field.far:
            return ZERO_GUID if value is None else await self._key_behind(field, value)
        try:
            return to_json(field.type, value)
        except UnfitValue as error:
            raise _unfit(field, str(error)) from None

    async def _key_behind(self, field: Field, value: Value) -> str:
        wanted = str(value).casefold()
        small = await self._small.get(f"{field.target} {field.far}")
        if wanted not in small.keys:
            small = await self._small.get(f"{field.target} {field.far}", at_most_seconds_old=FRESH_SECONDS)
        if wanted not in small.keys:
            raise _unfit(field, f"names no record of {field.target}")
        return small.keys[wanted]

    async def _load_small(self, name: str) -> SmallTable:
        target, far = name.split(" ")
        kind = (await self._schema.columns(target))[far].type
        values: dict[str, Value] = {}
        async for page in self._client.pages(target, [("$select", f"id,{far}")], target):
            for row in rows_of(page):
                values[_text(row, "id").lower()] = to_value(kind, row.get(far), far)
        if target == "currencies" and far == "code":
            values[ZERO_GUID] = await self._local_currency()
        keys = {str(value).casefold(): key for key, value in values.items() if value is not None}
        return SmallTable(values, keys)

    async def _local_currency(self) -> Value:
        """The local currency is in no list: as a reference it is the zero GUID, its code stands in the company's
        information (Microsoft Learn, 'companyInformation resource type')."""
        query = [("$select", "id,currencyCode")]
        page = await self._client.get("companyInformation", query, "companyInformation")
        codes = [to_value(ColumnType.TEXT, row.get("currencyCode"), "currencyCode") for row in rows_of(page)]
        return codes[0] if codes else None


def rows_of(page: JsonObject) -> list[JsonObject]:
    """The rows of a page; raises BadAnswer."""
    try:
        return [as_object(row, "a row") for row in as_list(page.get("value"), "value")]
    except WrongShape as error:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None


def _place_in_body(name: str) -> int:
    near = name.partition(".")[0]
    return FIRST_IN_BODY.index(near) if near in FIRST_IN_BODY else len(FIRST_IN_BODY)


def _known(value: Value) -> Json:
    return value if isinstance(value, str) else None


def _text(row: JsonObject, name: str) -> str:
    try:
        return as_text(row.get(name), name)
    except WrongShape as error:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None


def _unfit(field: Field, why: str) -> Refused:
    return Refused(SYSTEM, Answer(field=field.name), f"{SYSTEM}: the column {field.name} {why}.")
