"""The dialect of FSM 6.x. Searching is a POST, so that no value stands in an address."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from shared.connectors.answers import bad_answer
from shared.connectors.browsing import beginning_with
from shared.connectors.field_service.client import AtInstallation, FieldServiceClient, Request
from shared.connectors.field_service.dialect import Row, Rows, Walk
from shared.connectors.field_service.errors import Doing
from shared.connectors.field_service.site import FsmSite
from shared.connectors.field_service.tables import Reference, Table
from shared.connectors.field_service.values import fsm_forms
from shared.connectors.turns import InTurn
from shared.connectors.zones import earliest_wall, zone_of
from shared.errors import BadAnswer, Refused
from shared.http_client import Reply
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import ColumnMetadata, ColumnType, TableLabel

KIND = "fsm"
VERSION, ANY_VERSION = "@etag", "*"
MOST_VALUES = 100
"""Of one part of a filter."""
MOST_ROWS = 1000
"""Of one query."""
TYPES: Mapping[str, ColumnType] = {
    "text": ColumnType.TEXT,
    "whole": ColumnType.INTEGER,
    "amount": ColumnType.DECIMAL,
    "flag": ColumnType.BOOLEAN,
    "day": ColumnType.DATE,
    "time": ColumnType.DATETIME,
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Fsm(AtInstallation[FsmSite]):
    """One FSM server. base: the path of its interface."""

    kind = KIND

    def __init__(self, http: InTurn, base: str, site: FsmSite) -> None:
        super().__init__(FieldServiceClient(http, KIND, base), site)
        self._zone = zone_of(site.time_zone)
        self.forms = fsm_forms(site)

    @property
    def has_versions(self) -> bool:
        return self._site.versions

    def changed_since(self, moment: datetime) -> Json:
        return earliest_wall(moment, self._zone).isoformat(timespec="seconds")

    # --- the schema ---

    def group_of(self, table: str) -> str:
        if not _NAME.fullmatch(table):
            raise ValueError("no table of FSM")
        return table

    async def tables(self, group: str) -> Mapping[str, Table]:
        path, template = (self._site.path("table_schema", table=one) for one in (group, ".."))
        reply = await self._client.described(Request(path=path, template=template))
        if reply is None:
            return {}
        try:
            return {group: _table(group, self._client.object_of(reply))}
        except WrongShape as error:
            raise BadAnswer(KIND, detail=f"{KIND}: the schema of {group}: {error}") from None

    async def browse(self, within: str) -> Sequence[TableLabel]:
        """Those whose name begins with `within`."""
        try:
            rows = _objects(await self._schema(), "tables")
            return beginning_with(within, [TableLabel(as_text(one.get("name"), "name"), _label(one)) for one in rows])
        except WrongShape as error:
            raise bad_answer(KIND, error) from None

    async def ping(self) -> None:
        await self._schema()

    async def _schema(self) -> JsonObject:
        path = self._site.path("schema")
        return self._client.object_of(await self._client.send(Request(path=path, template=path)))

    # --- reading ---

    async def those(
        self, table: Table, by: Sequence[str], alike: Sequence[Sequence[Json]], columns: Collection[str], most: int
    ) -> Sequence[Row]:
        """A hundred values of one column at a time; a filter cannot say which values of several columns belong
        together, so those are asked for one after another."""
        found: list[Row] = []
        for condition in _conditions(by, alike):
            if len(found) < most:
                body = _query(columns, condition, table.keys, min(most - len(found), MOST_ROWS), 0)
                found += (await self._queried(table, body)).rows
        if self._site.versions and any(row.version is None for row in found):
            told = await asyncio.gather(*(self._read(table, row) for row in found))
            return [row for row in told if row is not None]
        return found

    async def _read(self, table: Table, row: Row) -> Row | None:
        """A row that a query has told without its version, read by itself."""
        parts = [row.values.get(name) for name in table.keys]
        path = self._site.path("read", table=table.name, key=_key(parts))
        template = self._site.path("read", table=table.name, key="..")
        reply = await self._client.send_or_none(Request(path=path, template=template, names=table.names))
        return None if reply is None else self._row(reply)

    async def some(self, table: Table, walk: Walk, offset: int, limit: int) -> Rows:
        floor: list[Json] = [] if walk.floor is None else [_part(walk.floor[0], "ge", [walk.floor[1]])]
        return await self._queried(table, _query(walk.columns, floor, walk.order, limit, offset))

    async def _queried(self, table: Table, body: JsonObject) -> Rows:
        path = self._site.path("query", table=table.name)
        reply = await self._client.send(Request(method="POST", path=path, template=path, body=body, names=table.names))
        try:
            rows = _objects(self._client.object_of(reply), "rows")
        except WrongShape as error:
            raise bad_answer(KIND, error) from None
        return Rows([Row(row, self._version(row.get(VERSION))) for row in rows], len(rows) == body["limit"])

    def _version(self, told: Json) -> str | None:
        return told if self._site.versions and isinstance(told, str) and told else None

    def _row(self, reply: Reply) -> Row:
        return Row(self._client.object_of(reply), self._version(reply.headers.get("etag")))

    # --- writing ---

    async def create(self, table: Table, body: JsonObject, columns: Collection[str], within_seconds: float) -> Row:
        path = self._site.path("create", table=table.name)
        request = Request(method="POST", path=path, template=path, doing=Doing.CREATE, body=body, names=table.names)
        return self._row(await self._client.send(request, within_seconds))

    async def update(
        self,
        table: Table,
        parts: Sequence[Json],
        body: JsonObject,
        columns: Collection[str],
        version: str | None,
        within_seconds: float,
    ) -> Row:
        request = Request(
            method="PATCH",
            path=self._site.path("update", table=table.name, key=_key(parts)),
            template=self._site.path("update", table=table.name, key=".."),
            doing=Doing.UPDATE,
            body=body,
            headers={"If-Match": version or ANY_VERSION} if self._site.versions else {},
            names=table.names,
        )
        return self._row(await self._client.send(request, within_seconds))

    async def delete(self, table: Table, parts: Sequence[Json], within_seconds: float) -> None:
        request = Request(
            method="DELETE",
            path=self._site.path("delete", table=table.name, key=_key(parts)),
            template=self._site.path("delete", table=table.name, key=".."),
            doing=Doing.DELETE,
            names=table.names,
        )
        await self._client.send(request, within_seconds)


def _key(parts: Sequence[Json]) -> str:
    """A key as a part of a path. Raises Refused for one that means another place there, however it is encoded."""
    key = ",".join(quote(str(part), safe="") for part in parts)
    if key in (".", ".."):
        raise Refused(KIND, detail=f"{KIND}: a key of dots alone has no address.")
    return key


def _conditions(by: Sequence[str], alike: Sequence[Sequence[Json]]) -> Iterator[list[Json]]:
    """Filters that together let through the rows with one of these groups of values."""
    if len(by) == 1:
        values = [value for (value,) in alike]
        for start in range(0, len(values), MOST_VALUES):
            yield [_part(by[0], "in", values[start : start + MOST_VALUES])]
        return
    for group in alike:
        yield [_part(name, "in", [value]) for name, value in zip(by, group, strict=True)]


def _part(column: str, operator: str, values: list[Json]) -> Json:
    return {"column": column, "operator": operator, "values": values}


def _query(
    columns: Collection[str], condition: list[Json], order: Sequence[str], limit: int, offset: int
) -> dict[str, Json]:
    return {
        "columns": list(columns),
        "filter": condition,
        "orderBy": list(order),
        "limit": limit,
        "offset": offset,
    }


def _objects(body: JsonObject, name: str) -> list[JsonObject]:
    return [as_object(one, name) for one in as_list(body.get(name), name)]


def _label(told: JsonObject) -> str:
    label = told.get("label")
    return label if isinstance(label, str) else ""


def _table(name: str, told: JsonObject) -> Table:
    keys = tuple(as_text(one, "a key") for one in as_list(told.get("keys"), "keys"))
    rows = {as_text(one.get("name"), "a column's name"): one for one in _objects(told, "columns")}
    columns = {one: column for one, row in rows.items() if (column := _column(one, row, keys)) is not None}
    if not keys or not set(keys) <= set(columns):
        raise WrongShape("its key is none of its columns")
    references = {one: Reference(column.target, {one: ""}) for one, column in columns.items() if column.target}
    kinds = {one: TYPES[str(rows[one].get("type"))] for one in columns}
    return Table(name, _label(told), keys, kinds, columns, references)


def _column(name: str, told: JsonObject, keys: tuple[str, ...]) -> ColumnMetadata | None:
    """A column as its schema describes it; None for one of a type that nobody has promised."""
    kind = TYPES.get(as_text(told.get("type"), f"the type of {name}"))
    if kind is None:
        return None
    length, target = told.get("length"), told.get("references")
    choices = [as_text(one, f"a choice of {name}") for one in as_list(told.get("choices") or [], "choices")]
    writable = told.get("readOnly") is not True
    type_ = ColumnType.REFERENCE if target else ColumnType.CHOICE if choices else kind
    return ColumnMetadata(
        name,
        type_,
        max_length=length if isinstance(length, int) and length > 0 else None,
        writable=writable,
        choices={one: one for one in choices},
        updatable=writable and name not in keys,
        target=as_text(target, f"what {name} references") if target else "",
        required=told.get("required") is True or (name in keys and len(keys) > 1),
    )
