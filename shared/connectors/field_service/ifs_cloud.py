"""The dialect of IFS Cloud: OData 4, a service for each projection. A table is `<projection>.<entity set>`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from shared.connectors import csdl
from shared.connectors.answers import bad_answer
from shared.connectors.field_service.client import AtInstallation, FieldServiceClient, Request
from shared.connectors.field_service.dialect import Row, Rows, Walk
from shared.connectors.field_service.errors import Doing
from shared.connectors.field_service.site import IfsCloudSite
from shared.connectors.field_service.tables import Reference, Table
from shared.connectors.field_service.values import ifs_cloud_forms
from shared.connectors.turns import InTurn
from shared.errors import Answer, BadAnswer, RecordMissing, UnknownColumn, VersionConflict
from shared.http_client import Reply
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import ColumnMetadata, ColumnType, TableLabel

KIND = "ifs_cloud"
ETAG, NEXT_LINK = "@odata.etag", "@odata.nextLink"
COMPUTED, IMMUTABLE = "Org.OData.Core.V1.Computed", "Org.OData.Core.V1.Immutable"
ANY_VERSION = "*"
SHOWN_ONLY = "Reference_"
"""How the sets begin in which a projection shows other projections' records; which those are nobody says."""
MOST_ROWS = 1000
"""Of one page."""
MOST_CHARACTERS = 4000
"""Of one filter as an address holds it; servers take addresses of about twice as much."""
PROJECTIONS = "AllProjections.svc/Projections"
_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,127})\.[A-Za-z][A-Za-z0-9_]{0,127}")
_SERVICE = re.compile(r"(?:^|/)([A-Za-z][A-Za-z0-9_]{0,127})\.svc(?:/|$)")
QUOTE, OR = "'", " or "
_QUOTED = frozenset({ColumnType.TEXT, ColumnType.CHOICE})

Query = Sequence[tuple[str, str]]


class IfsCloud(AtInstallation[IfsCloudSite]):
    """One environment of IFS Cloud. place: the path before what the site's binding calls the base."""

    kind = KIND
    has_versions = True

    def __init__(self, http: InTurn, place: str, site: IfsCloudSite) -> None:
        super().__init__(FieldServiceClient(http, KIND, f"{place.rstrip('/')}/{site.base}"), site)
        self.forms = ifs_cloud_forms()

    def changed_since(self, moment: datetime) -> Json:
        return self.forms.json(ColumnType.DATETIME, moment)

    # --- the schema ---

    def group_of(self, table: str) -> str:
        found = _NAME.fullmatch(table)
        if found is None:
            raise ValueError("no table of IFS Cloud")
        return found[1]

    async def tables(self, group: str) -> Mapping[str, Table]:
        path = f"{group}.svc/$metadata"
        reply = await self._client.described(Request(path=path, template=path, expects="application/xml"))
        if reply is None:
            return {}
        try:
            return tables_of(group, csdl.read_csdl(reply.raw))
        except ValueError as error:
            raise BadAnswer(KIND, detail=f"{KIND}: {group}: {error}") from None

    async def browse(self, within: str) -> Sequence[TableLabel]:
        """The projections, or the entity sets of one."""
        if not within:
            query = [("$select", "ProjectionName,Description")]
            reply = await self._client.send(Request(path=_target(PROJECTIONS, query), template=PROJECTIONS))
            return sorted((_projection(row) for row in self._rows(reply)), key=lambda one: one.name)
        tables = await self.tables(within) if _NAME.fullmatch(f"{within}.x") else {}
        if not tables:
            raise UnknownColumn(KIND, Answer(field=within))
        return [TableLabel(name, tables[name].label) for name in sorted(tables)]

    async def ping(self) -> None:
        query = [("$select", "ProjectionName"), ("$top", "1")]
        await self._client.send(Request(path=_target(PROJECTIONS, query), template=PROJECTIONS))

    # --- reading ---

    async def those(
        self, table: Table, by: Sequence[str], alike: Sequence[Sequence[Json]], columns: Collection[str], most: int
    ) -> Sequence[Row]:
        found: list[Row] = []
        for condition in _conditions([_equals(table, by, one) for one in alike]):
            query = [_selected(columns), ("$filter", condition), ("$orderby", ",".join(table.keys))]
            if len(found) < most:
                found += (await self._page(table, query, 0, min(most - len(found), MOST_ROWS))).rows
        return found

    async def some(self, table: Table, walk: Walk, offset: int, limit: int) -> Rows:
        query = [_selected(walk.columns), ("$orderby", ",".join(walk.order))]
        if walk.floor is not None:
            column, least = walk.floor
            query.append(("$filter", f"{column} ge {_literal(table.kinds[column], least)}"))
        return await self._page(table, query, offset, limit)

    async def _page(self, table: Table, query: Query, offset: int, limit: int) -> Rows:
        skip = [("$skip", str(offset))] if offset else []
        path = _target(_path(table), [*query, ("$top", str(limit)), *skip])
        reply = await self._client.send(Request(path=path, template=_path(table), names=table.names))
        rows = [_row(row) for row in self._rows(reply)]
        return Rows(rows, bool(rows) and (len(rows) == limit or NEXT_LINK in self._client.object_of(reply)))

    def _rows(self, reply: Reply) -> list[JsonObject]:
        try:
            return [as_object(row, "a row") for row in as_list(self._client.object_of(reply).get("value"), "value")]
        except WrongShape as error:
            raise bad_answer(KIND, error) from None

    # --- writing ---

    async def create(self, table: Table, body: JsonObject, columns: Collection[str], within_seconds: float) -> Row:
        path = _path(table)
        request = Request(method="POST", path=path, template=path, doing=Doing.CREATE, body=body, names=table.names)
        return _row(self._client.object_of(await self._client.send(request, within_seconds)))

    async def update(
        self,
        table: Table,
        parts: Sequence[Json],
        body: JsonObject,
        columns: Collection[str],
        version: str | None,
        within_seconds: float,
    ) -> Row:
        """Never without a version: IFS then creates what is not there."""
        request = Request(
            method="PATCH",
            path=f"{_path(table)}{_key(table, parts)}",
            template=f"{_path(table)}(..)",
            doing=Doing.UPDATE,
            body=body,
            headers={"If-Match": version or ANY_VERSION},
            names=table.names,
        )
        return _row(self._client.object_of(await self._bound(request, within_seconds)))

    async def delete(self, table: Table, parts: Sequence[Json], within_seconds: float) -> None:
        request = Request(
            method="DELETE",
            path=f"{_path(table)}{_key(table, parts)}",
            template=f"{_path(table)}(..)",
            doing=Doing.DELETE,
            headers={"If-Match": ANY_VERSION},
            names=table.names,
        )
        await self._bound(request, within_seconds)

    async def _bound(self, request: Request, within_seconds: float) -> Reply:
        """Send a write that is bound to a version; that any version is a conflict says that there is no record."""
        try:
            return await self._client.send(request, within_seconds)
        except VersionConflict as error:
            if request.headers["If-Match"] == ANY_VERSION:
                raise RecordMissing(KIND, error.answer) from None
            raise


# --- addresses ---


def _path(table: Table) -> str:
    projection, _, entity_set = table.name.partition(".")
    return f"{projection}.svc/{entity_set}"


def _target(path: str, query: Query) -> str:
    return f"{path}?" + "&".join(f"{name}={quote(value, safe=',')}" for name, value in query)


def _selected(columns: Collection[str]) -> tuple[str, str]:
    return "$select", ",".join(columns)


def _key(table: Table, parts: Sequence[Json]) -> str:
    named = (
        f"{name}={quote(_literal(table.kinds[name], part), safe=QUOTE)}"
        for name, part in zip(table.keys, parts, strict=True)
    )
    return f"({','.join(named)})"


def _conditions(each: Sequence[str]) -> Iterator[str]:
    """Filters that together let through what one of these does."""
    begun: list[str] = []
    for one in each:
        if begun and len(quote(OR.join([*begun, one]), safe="")) > MOST_CHARACTERS:
            yield OR.join(begun)
            begun = []
        begun.append(one)
    if begun:
        yield OR.join(begun)


def _equals(table: Table, by: Sequence[str], group: Sequence[Json]) -> str:
    parts = [f"{name} eq {_literal(table.kinds[name], value)}" for name, value in zip(by, group, strict=True)]
    return parts[0] if len(parts) == 1 else f"({' and '.join(parts)})"


def _literal(kind: ColumnType, value: Json) -> str:
    """A value as OData writes it in addresses, before it is encoded; quotes within text are doubled."""
    if kind in _QUOTED:
        return f"{QUOTE}{str(value).replace(QUOTE, 2 * QUOTE)}{QUOTE}"
    return f"{value:f}" if kind is ColumnType.DECIMAL else str(value)


def _row(values: JsonObject) -> Row:
    etag = values.get(ETAG)
    return Row(values, etag if isinstance(etag, str) else None)


def _projection(row: JsonObject) -> TableLabel:
    label = row.get("Description")
    try:
        return TableLabel(
            as_text(row.get("ProjectionName"), "ProjectionName"), label if isinstance(label, str) else "", group=True
        )
    except WrongShape as error:
        raise bad_answer(KIND, error) from None


# --- the schema ---


def tables_of(projection: str, document: csdl.Csdl) -> dict[str, Table]:
    """The sets with records that can be known: those whose key has columns of types that there are here."""
    found = {}
    for name, entity_set in document.sets.items():
        type_ = document.types.get(entity_set.type)
        if type_ is None:
            continue
        table = _table(projection, name, entity_set, type_, document)
        if table.keys and set(table.keys) <= set(table.kinds):
            found[table.name] = table
    return found


def _table(
    projection: str, name: str, entity_set: csdl.EntitySet, type_: csdl.EntityType, document: csdl.Csdl
) -> Table:
    columns = {one: column for one in type_.properties if (column := _column(one, type_, document)) is not None}
    kinds = {one: column.type for one, column in columns.items()}
    references = {
        one: Reference(_led_to(projection, entity_set.bindings.get(one, ""), document), navigation.columns)
        for one, navigation in type_.navigation.items()
        if navigation.columns and set(navigation.columns) <= set(columns)
    }
    leading = {one: _leading(one, reference, columns) for one, reference in references.items()}
    return Table(f"{projection}.{name}", "", tuple(type_.keys), kinds, {**columns, **leading}, references)


def _column(name: str, type_: csdl.EntityType, document: csdl.Csdl) -> ColumnMetadata | None:
    """A property as a column; None for one of a type that no definition can name."""
    attributes, terms = type_.properties[name], type_.terms.get(name, set())
    members = document.enums.get(attributes.get("Type", ""))
    kind = ColumnType.CHOICE if members is not None else csdl.TYPES.get(attributes.get("Type", ""))
    if kind is None:
        return None
    length = attributes.get("MaxLength", "")
    writable, is_key = COMPUTED not in terms, name in type_.keys
    is_given = is_key and len(type_.keys) == 1
    return ColumnMetadata(
        name,
        kind,
        max_length=int(length) if length.isdecimal() else None,
        writable=writable,
        choices={one: one for one in members or ()},
        updatable=writable and not is_key and IMMUTABLE not in terms,
        required=writable and not is_given and attributes.get("Nullable") == "false",
    )


def _leading(name: str, reference: Reference, columns: Mapping[str, ColumnMetadata]) -> ColumnMetadata:
    own = [columns[one] for one in reference.columns]
    return ColumnMetadata(
        name,
        ColumnType.REFERENCE,
        writable=all(one.writable for one in own),
        updatable=all(one.updatable for one in own),
        target=reference.target,
        over=tuple(reference.columns),
    )


def _led_to(projection: str, binding: str, document: csdl.Csdl) -> str:
    """The table that a navigation property leads to; empty where the document does not say it."""
    container, _, entity_set = binding.rpartition("/")
    if not entity_set or entity_set.startswith(SHOWN_ONLY):
        return ""
    if not container:
        return f"{projection}.{entity_set}"
    found = _SERVICE.search(document.included.get(container.rpartition(".")[0], ""))
    return f"{found[1]}.{entity_set}" if found else ""
