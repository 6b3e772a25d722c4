"""The dialect of IFS Cloud: projections over OData, in the words of the contract."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import Response

from sandbox.field_service.errors import Refused, answer, changed, not_found
from sandbox.field_service.ifs_metadata import ENVELOPE, csdl, entity_of, projection_of
from sandbox.field_service.ifs_query import Query, address_of, key_in, read_query
from sandbox.field_service.keys import parts_of
from sandbox.field_service.options import IfsCloudOptions
from sandbox.field_service.realm import Realm
from sandbox.field_service.records import Records
from sandbox.field_service.service import Service, object_of
from sandbox.field_service.tables import Column, Kind, Table
from sandbox.field_service.values import shown_row
from sandbox.front import stale_seconds
from sandbox.per_minute import PerMinute
from sandbox.problems import NotImitated
from sandbox.rows_on_disk import REVISION, Row

_LIST = frozenset({"$filter", "$select", "$orderby", "$top", "$skip"})
_ROW = frozenset({"$select"})
_PROJECTION, _DESCRIPTION = "ProjectionName", "Description"
PROJECTIONS = Table(
    "AllProjections.Projections",
    "Projections",
    (_PROJECTION,),
    {name: Column(name, Kind.TEXT, 200, read_only=True) for name in (_PROJECTION, _DESCRIPTION)},
)
_TAKEN = "DuplicateKey"


class IfsCloud(Service):
    """One environment. `options` may be changed while it serves."""

    def __init__(
        self, records: Records, options: Callable[[], IfsCloudOptions], limit: PerMinute, realm: Realm
    ) -> None:
        super().__init__(records, limit)
        self._options = options
        self._realm = realm
        self._asked = 0

    def worded(self, error: Refused) -> dict[str, Any]:
        """Word a refusal."""
        details = [{"code": error.code, "message": error.message, "target": error.column or None}]
        code = "DATABASE_ERROR" if error.rule else error.code
        return {"code": code, "message": error.message, "details": details}

    async def answered(self, request: Request, segments: tuple[str, ...]) -> Response:
        """Answer a request."""
        if tuple(map(unquote, segments)) == self._realm.path and request.method == "POST":
            return await self._realm.answered(request)
        base = tuple(part for part in self._options().base.split("/") if part)
        if segments[: len(base)] != base or len(segments) != len(base) + 2:
            raise NotImitated("an address outside the contract")
        if not self._realm.knows(request):
            raise Refused(401, "Unauthorized", "The token is missing, wrong or old.")
        self.count()
        if "prefer" in request.headers:
            raise NotImitated("a preference")
        self._check_length(request)
        try:
            return await self._asked_for(request, unquote(segments[-2]), segments[-1])
        except Refused as error:
            if error.status not in (409, 422):
                raise
            status = 409 if error.code == _TAKEN else 400
            raise Refused(status, error.code, error.message, error.column, rule=True) from None

    def _check_length(self, request: Request) -> None:
        longest = self._options().longest_address
        if longest and len(request.url.path) + len(request.url.query) > longest:
            raise Refused(414, "AddressTooLong", "The address is too long.")

    async def _asked_for(self, request: Request, service: str, rest: str) -> Response:
        projection = service.removesuffix(".svc")
        inside = self._inside(projection)
        if unquote(rest) == "$metadata":
            if request.method != "GET" or request.url.query:
                raise NotImitated("metadata in another way")
            document = csdl(projection, inside, self.store.tables)
            return Response(document.encode(), media_type="application/xml")
        address = address_of(rest)
        table = next((one for one in inside if one.name == f"{projection}.{address.entity_set}"), None)
        if table is None:
            raise Refused(404, "NotFound", "There is no such entity set.")
        options = _options_of(request)
        if address.key is None:
            return await self._whole_set(request, table, options)
        return await self._one_row(request, table, key_in(table, address.key), options)

    def _inside(self, projection: str) -> list[Table]:
        if projection in self._options().denied:
            raise Refused(403, "Forbidden", "This projection is not granted to this user.")
        every = (PROJECTIONS, *self.store.tables.values())
        inside = [table for table in every if projection_of(table.name) == projection]
        if not inside:
            raise Refused(404, "NotFound", "There is no such projection.")
        return inside

    # --- an entity set ---

    async def _whole_set(self, request: Request, table: Table, options: Mapping[str, str]) -> Response:
        match request.method:
            case "GET":
                query = read_query(table, options, _LIST)
                if table is PROJECTIONS:
                    return self._listed(table, query, self._projections())
                if query.top is None:
                    raise NotImitated("a list without $top")
                return self._listed(table, query, self._rows(table, stale_seconds(request.scope)))
            case "POST" if table is not PROJECTIONS and not options:
                _, row = self.records.create(table, await object_of(request))
                return answer(201, self._shown(table, row))
        raise NotImitated("a request outside the contract")

    def _projections(self) -> list[Row]:
        names = dict.fromkeys(projection_of(name) for name in self.store.tables)
        return [{_PROJECTION: name, _DESCRIPTION: _spaced(name), REVISION: 0} for name in names]

    def _rows(self, table: Table, stale: float | None) -> Iterable[Row]:
        """All rows. Those that an order leaves equal come in any order."""
        self._asked += 1
        for key, row in sorted(self.store.rows(table.name), key=lambda one: one[0], reverse=bool(self._asked % 2)):
            shown = row if stale is None else self.store.as_of(table.name, key, stale)
            if shown is not None:
                yield shown

    def _listed(self, table: Table, query: Query, rows: Iterable[Row]) -> Response:
        value = [self._shown(table, row, query.select) for row in query.page(rows)]
        return answer(200, {"@odata.context": f"$metadata#{table.name.partition('.')[2]}", "value": value})

    # --- one row ---

    async def _one_row(self, request: Request, table: Table, key: str, options: Mapping[str, str]) -> Response:
        if table is PROJECTIONS or (options and request.method != "GET"):
            raise NotImitated("a request outside the contract")
        match request.method:
            case "GET":
                query = read_query(table, options, _ROW)
                return answer(200, self._shown(table, self._state(request, table, key), query.select))
            case "PATCH":
                return self._patched(table, key, await object_of(request), request.headers.get("if-match"))
            case "DELETE":
                self._check_version(table, key, request.headers.get("if-match"))
                self.records.delete(table, key)
                return answer(204)
        raise NotImitated("a request outside the contract")

    def _state(self, request: Request, table: Table, key: str) -> Row:
        row, stale = self.store.get(table.name, key), stale_seconds(request.scope)
        if stale is not None:
            row = self.store.as_of(table.name, key, stale)
        if row is None:
            raise not_found()
        return row

    def _patched(self, table: Table, key: str, body: Mapping[str, Any], version: str | None) -> Response:
        """Change a row. Without a version, what is not there is made."""
        if version is None and self.store.get(table.name, key) is None:
            parts = dict(zip(table.keys, self._parts(table, key), strict=True))
            _, row = self.records.create(table, {**body, **parts})
            return answer(201, self._shown(table, row))
        if version is not None:
            self._check_version(table, key, version)
        return answer(200, self._shown(table, self.records.change(table, key, body)))

    def _parts(self, table: Table, key: str) -> Iterable[Any]:
        for name, part in zip(table.keys, parts_of(key), strict=True):
            yield int(part) if table.columns[name].kind is Kind.WHOLE else part

    def _check_version(self, table: Table, key: str, given: str | None) -> None:
        row = self.records.there(table, key)
        if given is None:
            raise Refused(428, "VersionNeeded", "It names the version it is based on.")
        if given not in ("*", _etag(table, row)):
            raise changed()

    def _shown(self, table: Table, row: Row, select: tuple[str, ...] | None = None) -> dict[str, Any]:
        shown = shown_row(table, row, self.forms)
        keyref = "".join(f"{_upper(name)}={row[name]}^" for name in table.keys)
        envelope = dict(zip(ENVELOPE, (entity_of(table.name), keyref, None), strict=True))
        return {
            "@odata.etag": _etag(table, row),
            **envelope,
            **{name: shown[name] for name in (select if select is not None else table.columns)},
        }


def _options_of(request: Request) -> dict[str, str]:
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) != len(pairs):
        raise Refused(400, "BadQuery", "An option is given twice.")
    return options


def _etag(table: Table, row: Row) -> str:
    version = base64.b64encode(f"{table.name}:{row[REVISION]}".encode()).decode()
    return f'W/"{version}"'


def _upper(name: str) -> str:
    """A column as the database calls it: TaskSeq is TASK_SEQ."""
    return "".join(f"_{one}" if place and one.isupper() else one for place, one in enumerate(name)).upper()


def _spaced(name: str) -> str:
    return "".join(f" {one.lower()}" if place and one.isupper() else one for place, one in enumerate(name))
