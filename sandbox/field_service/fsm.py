"""The dialect of FSM 6.x: what the server does with a request, in the words of the contract."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from sandbox.field_service.errors import Refused, answer, changed, not_found
from sandbox.field_service.fsm_query import Query, read_query
from sandbox.field_service.keys import key_of
from sandbox.field_service.options import Auth, FsmOptions
from sandbox.field_service.records import Records
from sandbox.field_service.service import Service, object_of
from sandbox.field_service.tables import Table
from sandbox.field_service.values import shown_row, shown_value
from sandbox.front import stale_seconds
from sandbox.per_minute import PerMinute
from sandbox.problems import NotImitated
from sandbox.rows_on_disk import REVISION, Row
from sandbox.tokens import InvalidToken, TokenIssuer

Perform = Callable[[Mapping[str, Any]], Mapping[str, Any]]
_METHODS: Mapping[str, str] = {
    "schema": "GET",
    "table_schema": "GET",
    "query": "POST",
    "create": "POST",
    "message": "POST",
    "read": "GET",
    "update": "PATCH",
    "delete": "DELETE",
}
_PATHS: Mapping[str, str] = {
    "schema": "schema",
    "table_schema": "schema/{table}",
    "query": "tables/{table}/query",
    "create": "tables/{table}",
    "message": "messages/{message}",
    "read": "tables/{table}/{key}",
    "update": "tables/{table}/{key}",
    "delete": "tables/{table}/{key}",
}


class Fsm(Service):
    """One FSM server under a path. `options` may be changed while it serves; `messages` are those that it performs."""

    def __init__(
        self, root: str, records: Records, options: Callable[[], FsmOptions], limit: PerMinute, issuer: TokenIssuer
    ) -> None:
        super().__init__(records, limit)
        self._root = tuple(part for part in root.split("/") if part)
        self._options = options
        self._issuer = issuer
        self._asked = 0
        self.messages: dict[str, Perform] = {}

    def worded(self, error: Refused) -> dict[str, Any]:
        """Word a refusal."""
        return {"code": error.code, "message": error.message, "column": error.column or None}

    async def answered(self, request: Request, segments: tuple[str, ...]) -> Response:
        """Answer a request."""
        if segments[: len(self._root)] != self._root:
            raise NotImitated("an address outside the base")
        if not self._knows(request):
            raise Refused(401, "Unauthorized", "The credentials are missing or wrong.")
        self.count()
        if request.url.query or "prefer" in request.headers:
            raise NotImitated("a query in the address, or a preference")
        operation, said = self._operation(request.method, "/".join(segments[len(self._root) :]))
        body = await object_of(request) if request.method in ("POST", "PATCH") else {}
        return self._carried_out(operation, said, body, request)

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, str]]:
        elsewhere = False
        for name, form in {**_PATHS, **self._options().paths}.items():
            said = _path(form).fullmatch(path)
            if said is not None and _METHODS[name] == method:
                return name, said.groupdict()
            elsewhere = elsewhere or said is not None
        if elsewhere:
            raise Refused(405, "MethodNotAllowed", "That is not offered here.")
        raise NotImitated("an address outside the contract")

    def _carried_out(
        self, operation: str, said: Mapping[str, str], body: Mapping[str, Any], request: Request
    ) -> Response:
        match operation:
            case "schema":
                tables = [{"name": one.name, "label": one.label} for one in self._seen()]
                return answer(200, {"tables": tables})
            case "message":
                return self._performed(unquote(said["message"]), body)
        table = self._table(unquote(said["table"]))
        match operation:
            case "table_schema":
                return answer(200, _schema(table))
            case "query":
                return self._queried(read_query(table, body, self.forms))
            case "create":
                return self._shown(201, table, self.records.create(table, body)[1])
        key = key_of([unquote(part) for part in said["key"].split(",")])
        match operation:
            case "read":
                return self._read(table, key, stale_seconds(request.scope))
            case "update":
                self._check_version(table, key, request.headers.get("if-match"))
                return self._shown(200, table, self.records.change(table, key, body))
        self.records.delete(table, key)
        return answer(204)

    # --- operations ---

    def _seen(self) -> list[Table]:
        return [table for name, table in self.store.tables.items() if name not in self._options().denied]

    def _table(self, name: str) -> Table:
        table = self.store.tables.get(name)
        if table is None:
            raise Refused(404, "UnknownTable", "There is no such table.")
        if name in self._options().denied:
            raise Refused(403, "Forbidden", "This table is not open to this user.")
        return table

    def _performed(self, name: str, body: Mapping[str, Any]) -> Response:
        if name not in self.messages:
            raise Refused(404, "UnknownMessage", "There is no such message.")
        return answer(200, dict(self.messages[name](body)))

    def _read(self, table: Table, key: str, stale: float | None) -> Response:
        row = self.store.get(table.name, key)
        if stale is not None:
            row = self.store.as_of(table.name, key, stale)
        if row is None:
            raise not_found()
        return self._shown(200, table, row)

    def _queried(self, query: Query) -> Response:
        """Rows in which nothing stands for what is blank. Those that the order leaves equal come in any order."""
        self._asked += 1
        rows = sorted(self.store.rows(query.table), key=lambda one: one[0], reverse=bool(self._asked % 2))
        found = query.page([row for _, row in rows])
        return answer(200, {"rows": [self._found(query, row) for row in found]})

    def _found(self, query: Query, row: Row) -> dict[str, Any]:
        shown = {name: shown_value(row[name], self.forms) for name in query.columns if row.get(name) is not None}
        options = self._options()
        return {"@etag": _etag(row), **shown} if options.versions and options.versions_in_queries else shown

    def _shown(self, status: int, table: Table, row: Row) -> Response:
        headers = {"ETag": _etag(row)} if self._options().versions else {}
        return answer(status, shown_row(table, row, self.forms), headers)

    def _check_version(self, table: Table, key: str, given: str | None) -> None:
        row = self.records.there(table, key)
        if not self._options().versions:
            return
        if given is None:
            raise Refused(428, "VersionNeeded", "A change names the version it is based on.")
        if given not in ("*", _etag(row)):
            raise changed()

    # --- sign-in ---

    def _knows(self, request: Request) -> bool:
        options = self._options()
        if options.auth is Auth.API_KEY:
            return _same(request.headers.get(options.api_key_header, ""), options.api_key)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if options.auth is Auth.BASIC:
            return scheme.lower() == "basic" and _same(_decoded(given), f"{options.user}:{options.password}")
        try:
            self._issuer.verify(given.strip(), options.audience)
        except InvalidToken:
            return False
        return scheme.lower() == "bearer"


def _schema(table: Table) -> dict[str, Any]:
    columns = [column.said() for column in table.columns.values()]
    return {"name": table.name, "label": table.label, "keys": list(table.keys), "columns": columns}


def _etag(row: Row) -> str:
    return f'"{row[REVISION]}"'


@lru_cache
def _path(form: str) -> re.Pattern[str]:
    """What a path looks like that has names in braces; what stands for them is as it was sent."""
    parts = re.split(r"\{(\w+)\}", form)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)))


def _same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def _decoded(given: str) -> str:
    try:
        return base64.b64decode(given, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
