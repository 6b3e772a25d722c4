"""Rows into records and values into bodies, with the help of the schema and of the small tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.connectors.business_central.client import BusinessCentralClient
from shared.connectors.business_central.converters import UnfitValue, quoted, to_json
from shared.connectors.business_central.errors import SYSTEM
from shared.connectors.business_central.persons import COLUMN, NUMBER, TABLE, Persons
from shared.connectors.business_central.rows import bad_answer, key_in, rows_of, text_in, value_in
from shared.connectors.business_central.schema import Field, Schema
from shared.connectors.cache import Cache
from shared.connectors.keys import ZERO_GUID
from shared.errors import Answer, Refused, UnknownColumn
from shared.strict_json import Json, JsonObject, WrongShape
from shared.sync.ports import Clock, ColumnType, Record, Value

FRESH_SECONDS = 1.0
"""A key or code that is in no small table may be new: the table is read again before anything is said about it."""
UNSEARCHABLE = frozenset({ColumnType.BOOLEAN, ColumnType.DATETIME, ColumnType.DATE, ColumnType.CHOICE})
"""A filter on an enum is refused by some versions of the service; finding nothing would look like "no partner"."""
FIRST_IN_BODY = (
    "number",
    "individualPerson",
    "resident",
    "type",
    "companyNumber",
    "customerId",
    "displayName",
    "country",
    "postalCode",
    "primaryContactId",
)
"""Fields are checked in the order in which they come: what a person is decides which names and codes it may have, the
country decides the form of a tax number, a post code fills in a city that a later `city` then corrects, a name is cut
into parts that later ones correct, and a person takes over from its company what it has none of itself, as older
releases let a customer take over from its primary contact."""


@dataclass(frozen=True, slots=True)
class SmallTable:
    """The column behind a dot for every record of a small table, both ways; texts are compared without case."""

    values: Mapping[str, Value]
    keys: Mapping[str, str]


def selected(fields: Sequence[Field], *more: str) -> tuple[str, str]:
    """The $select option; never empty, since the id is always among the columns."""
    return "$select", ",".join(dict.fromkeys(["id", *more, *(name for field in fields for name in field.selects)]))


class Records:
    """Turns rows of one company into records and back. Small tables are kept for an hour."""

    def __init__(self, client: BusinessCentralClient, schema: Schema, clock: Clock) -> None:
        self._client = client
        self._schema = schema
        self._small = Cache(clock, self._load_small)
        self._persons = Persons(client, clock)

    def forget(self) -> None:
        """Look everything up anew: a reference just proved wrong."""
        self._small.forget()
        self._persons.forget()

    async def records(self, fields: Sequence[Field], rows: Sequence[JsonObject]) -> list[Record]:
        """Rows as records; raises BadAnswer when one is not as documented."""
        computed = any(field.computed for field in fields)
        customers = await self._persons.customers_of(rows) if computed and rows else {}
        return [await self._record(fields, row, customers) for row in rows]

    async def record(self, fields: Sequence[Field], row: JsonObject) -> Record:
        """A row as a record; raises BadAnswer when it is not as documented."""
        (one,) = await self.records(fields, [row])
        return one

    async def look_up(self, table: str, bodies: Sequence[Mapping[str, Value]]) -> None:
        """Look up together what each of several bodies would look up by itself."""
        if table == TABLE:
            await self._persons.learn_numbers([values.get(COLUMN) for values in bodies])

    async def _record(self, fields: Sequence[Field], row: JsonObject, customers: Mapping[str, Value]) -> Record:
        key = key_in(row)
        if key is None:
            raise bad_answer(WrongShape("id is no key"))
        values = {f.name: customers[key] if f.computed else await self._value(f, row) for f in fields}
        return Record(key, text_in(row, "@odata.etag"), values)

    async def body(self, table: str, values: Mapping[str, Value]) -> JsonObject:
        """The body of a write, in the order in which it is to be checked; raises Refused and UnknownColumn."""
        fields = await self._schema.fields(table, sorted(values, key=_place_in_body))
        return {field.writes: await self._json(field, values[field.name]) for field in fields}

    async def condition(self, field: Field, texts: Sequence[str]) -> str | None:
        """A filter for "the column equals one of these"; None when none of them can be equal.

        `or` is allowed over one and the same column only, which this is. Raises UnknownColumn for a column that no
        text can be searched in.
        """
        if field.type in UNSEARCHABLE and not field.far:
            detail = f"{SYSTEM}: the column {field.name} cannot be searched in."
            raise UnknownColumn(SYSTEM, Answer(field=field.name), detail)
        if field.of_person:
            return _persons_of(await self._persons.company_numbers(texts))
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
        if not field.far:
            return value_in(row, field.near, field.type)
        key = text_in(row, field.near).lower()
        small = await self._small.get(f"{field.target} {field.far}")
        if key not in small.values and key != ZERO_GUID:
            small = await self._small.get(f"{field.target} {field.far}", at_most_seconds_old=FRESH_SECONDS)
        return small.values.get(key)

    async def _json(self, field: Field, value: Value) -> Json:
        if field.of_person:
            return "" if value is None else await self._persons.company_number(value)
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
                values[text_in(row, "id").lower()] = value_in(row, far, kind)
        if target == "currencies" and far == "code":
            values[ZERO_GUID] = await self._local_currency()
        keys = {str(value).casefold(): key for key, value in values.items() if value is not None}
        return SmallTable(values, keys)

    async def _local_currency(self) -> Value:
        """The local currency is in no list: as a reference it is the zero GUID, its code stands in the company's
        information (Microsoft Learn, 'companyInformation resource type')."""
        query = [("$select", "id,currencyCode")]
        page = await self._client.get("companyInformation", query, "companyInformation")
        codes = [value_in(row, "currencyCode", ColumnType.TEXT) for row in rows_of(page)]
        return codes[0] if codes else None


def _persons_of(numbers: Sequence[str]) -> str | None:
    """A filter for the persons of companies, without the companies themselves."""
    companies = " or ".join(f"{NUMBER} eq {quoted(number)}" for number in numbers)
    return " and ".join([f"({companies})", *(f"number ne {quoted(number)}" for number in numbers)]) if numbers else None


def _place_in_body(name: str) -> int:
    near = name.partition(".")[0]
    return FIRST_IN_BODY.index(near) if near in FIRST_IN_BODY else len(FIRST_IN_BODY)


def _unfit(field: Field, why: str) -> Refused:
    return Refused(SYSTEM, Answer(field=field.name), f"{SYSTEM}: the column {field.name} {why}.")
