"""Reads what an organisation has registered for us, and changes it; `registration.py` says what is to be done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from shared.connectors.dataverse.client import DataverseClient
from shared.connectors.dataverse.errors import SYSTEM, Doing
from shared.connectors.dataverse.records import quoted
from shared.connectors.dataverse.registration import (
    MESSAGES,
    WEBHOOK,
    Endpoint,
    Key,
    Present,
    Step,
    TablePresent,
    Write,
    parts,
)
from shared.connectors.dataverse.schema import Schema
from shared.connectors.dataverse.views import PUBLIC
from shared.errors import BadAnswer, UnknownColumn
from shared.strict_json import JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.registering import NoticeWish, Part, TableWish

ENGLISH: Final = 1033
_TABLE: Final = [
    ("$select", "LogicalName,ChangeTrackingEnabled,ObjectTypeCode,PrimaryIdAttribute,PrimaryNameAttribute"),
    ("$expand", "Attributes($select=LogicalName),Keys($select=LogicalName,KeyAttributes,EntityKeyIndexStatus)"),
]
_STEP: Final = (
    "name,stage,mode,statecode,asyncautodelete,filteringattributes,_eventhandler_value,_sdkmessagefilterid_value"
)


class Registrar:
    """Looks and settles, as the first of our identities."""

    def __init__(self, client: DataverseClient, schema: Schema) -> None:
        self._client = client.each_identity()[0]
        self._schema = schema

    async def parts(self, wishes: Sequence[TableWish], notices: NoticeWish | None) -> Sequence[Part]:
        """How everything stands; a table that the organisation does not have has no parts, unless it is declared."""
        try:
            tables = {wish.table: await self._table(wish, notices) for wish in wishes}
            there = {name: table for name, table in tables.items() if table is not None}
            named = [await self._with_columns(wish) if wish.table in there else wish for wish in wishes]
            present = await self._present(there, named, notices)
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: what is registered: {error}") from None
        return parts(named, notices, present)

    async def settle(self, part: Part) -> None:
        """Send what makes, changes or removes a part."""
        for write in part.work if isinstance(part.work, tuple) else ():
            assert isinstance(write, Write), "the plan makes nothing else"
            body = {**await self._definition(write), **(write.body or {})} if write.whole else write.body
            headers = {"MSCRM.MergeLabels": "true"} if write.whole else {}
            await self._client.order(write.method, write.path, write.template, body, headers)

    async def _definition(self, write: Write) -> JsonObject:
        """The whole definition that a PUT replaces."""
        found = await self._client.get(write.path, [], write.template, Doing.METADATA)
        return {name: value for name, value in found.items() if name != "@odata.context"}

    async def _present(
        self, tables: Mapping[str, TablePresent], wishes: Sequence[TableWish], notices: NoticeWish | None
    ) -> Present:
        makes = any(wish.missing or wish.keys for wish in wishes)
        language = await self._language() if makes else ENGLISH
        ids = await self._primary_ids({one.column.refers_to for wish in wishes for one in wish.missing if one.column})
        if notices is None:
            return Present(tables, ids, language=language)
        endpoints = await self._endpoints()
        steps = await self._steps([one.id for one in endpoints])
        return Present(tables, ids, endpoints, steps, await self._messages(), language)

    async def _primary_ids(self, tables: Collection[str]) -> Mapping[str, str]:
        """Of the tables that are there."""
        found: dict[str, str] = {}
        for name in filter(None, sorted(tables)):
            with suppress(UnknownColumn):
                found[name] = (await self._schema.table(name)).primary_id
        return found

    async def _table(self, wish: TableWish, notices: NoticeWish | None) -> TablePresent | None:
        path, template = f"EntityDefinitions(LogicalName={quoted(wish.table)})", "EntityDefinitions(..)"
        try:
            told = await self._client.get(path, _TABLE, template, Doing.METADATA)
        except UnknownColumn:
            return None
        columns = [as_object(row, "a column") for row in as_list(told.get("Attributes"), "Attributes")]
        keys = [as_object(row, "a key") for row in as_list(told.get("Keys"), "Keys")]
        return TablePresent(
            tracked=told.get("ChangeTrackingEnabled") is True,
            columns=frozenset(as_text(row.get("LogicalName"), "LogicalName") for row in columns),
            keys=[_key(row) for row in keys],
            filters=await self._filters(wish.table) if notices else {},
            type_code=_number(told, "ObjectTypeCode"),
            primary_id=_text(told, "PrimaryIdAttribute"),
            primary_name=_text(told, "PrimaryNameAttribute"),
            views=await self._views(wish.table) if wish.declared and wish.declared.views else frozenset(),
        )

    async def _views(self, table: str) -> frozenset[str]:
        condition = f"returnedtypecode eq {quoted(table)} and querytype eq {PUBLIC}"
        query = [("$select", "savedqueryid,name"), ("$filter", condition)]
        rows = _rows(await self._client.get("savedqueries", query, "savedqueries"))
        return frozenset(_text(row, name) for row in rows for name in ("savedqueryid", "name"))

    async def _with_columns(self, wish: TableWish) -> TableWish:
        """The wish with the columns' own names in the place of navigation properties."""
        lookups = {one.navigation: one.column for one in (await self._schema.table(wish.table)).lookups}
        columns = tuple(dict.fromkeys(lookups.get(name, name) for name in wish.columns))
        return replace(wish, columns=columns)

    async def _filters(self, table: str) -> Mapping[str, str]:
        """What joins each message to the table."""
        found: dict[str, str] = {}
        for message in MESSAGES:
            condition = f"primaryobjecttypecode eq {quoted(table)} and sdkmessageid/name eq {quoted(message)}"
            query = [("$select", "sdkmessagefilterid"), ("$filter", condition)]
            for row in _rows(await self._client.get("sdkmessagefilters", query, "sdkmessagefilters")):
                found[message] = as_text(row.get("sdkmessagefilterid"), "sdkmessagefilterid")
        return found

    async def _messages(self) -> Mapping[str, str]:
        condition = " or ".join(f"name eq {quoted(message)}" for message in MESSAGES)
        query = [("$select", "sdkmessageid,name"), ("$filter", condition)]
        rows = _rows(await self._client.get("sdkmessages", query, "sdkmessages"))
        return {as_text(row.get("name"), "name"): as_text(row.get("sdkmessageid"), "sdkmessageid") for row in rows}

    async def _endpoints(self) -> Sequence[Endpoint]:
        query = [("$select", "name,url,authtype,isauthvalueset"), ("$filter", f"contract eq {WEBHOOK}")]
        rows = _rows(await self._client.get("serviceendpoints", query, "serviceendpoints"))
        return [
            Endpoint(
                id=as_text(row.get("serviceendpointid"), "serviceendpointid"),
                name=_text(row, "name"),
                address=_text(row, "url"),
                authentication=_number(row, "authtype"),
                has_secret=row.get("isauthvalueset") is True,
            )
            for row in rows
        ]

    async def _steps(self, endpoints: Iterable[str]) -> Sequence[Step]:
        found: list[Step] = []
        for endpoint in endpoints:
            query = [("$select", _STEP), ("$filter", f"_eventhandler_value eq {endpoint}")]
            page = await self._client.get("sdkmessageprocessingsteps", query, "sdkmessageprocessingsteps")
            found += [_step(row) for row in _rows(page)]
        return found

    async def _language(self) -> int:
        """Labels have to be in the organisation's base language at least."""
        rows = _rows(await self._client.get("organizations", [("$select", "languagecode")], "organizations"))
        return _number(rows[0], "languagecode") or ENGLISH if rows else ENGLISH


def _rows(page: JsonObject) -> list[JsonObject]:
    return [as_object(row, "a row") for row in as_list(page.get("value"), "value")]


def _text(row: JsonObject, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _number(row: JsonObject, name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0


def _key(row: JsonObject) -> Key:
    columns = [as_text(name, "a column") for name in as_list(row.get("KeyAttributes"), "KeyAttributes")]
    return Key(as_text(row.get("LogicalName"), "LogicalName"), tuple(columns), _text(row, "EntityKeyIndexStatus"))


def _step(row: JsonObject) -> Step:
    return Step(
        id=as_text(row.get("sdkmessageprocessingstepid"), "sdkmessageprocessingstepid"),
        endpoint=_text(row, "_eventhandler_value"),
        name=_text(row, "name"),
        filter_id=_text(row, "_sdkmessagefilterid_value"),
        stage=_number(row, "stage"),
        mode=_number(row, "mode"),
        enabled=row.get("statecode") == 0,
        cleans_up=row.get("asyncautodelete") is True,
        columns=frozenset(name.strip() for name in _text(row, "filteringattributes").split(",") if name.strip()),
    )
