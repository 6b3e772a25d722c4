"""The Web API as HTTP: addresses, headers, status codes. What the requests mean is in the other modules.

After Microsoft Learn, 'Compose HTTP requests and handle errors', 'Create a table row', 'Update and delete table
rows', 'Perform conditional operations using the Web API'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.clock import Clock
from sandbox.dataverse import errors
from sandbox.dataverse.context import Caller
from sandbox.dataverse.definitions import Definitions, metadata_id
from sandbox.dataverse.elsewhere import ELSEWHERE
from sandbox.dataverse.encoding import header_text, to_json
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.limits import Admission, Limits
from sandbox.dataverse.metadata import LOOKUPS, Model, Table
from sandbox.dataverse.options import DataverseOptions
from sandbox.dataverse.reading import Preferences, Query, Reader, etag
from sandbox.dataverse.records import ANY_VERSION, Records
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Row, Store
from sandbox.dataverse.values import GUID, BodyReader, KeyReference, lookup_target, parse_key
from sandbox.disk import Disk
from sandbox.front import not_imitated, stale_seconds
from sandbox.tokens import InvalidToken, TokenIssuer

BASE = "/api/data/v9.2"
JSON = "application/json; odata.metadata=minimal"
REFUSED_HEADERS = {
    "callerobjectid": None,
    "mscrmcallerid": None,
    "mscrm.bypassbusinesslogicexecution": None,
    "mscrm.bypassbusinesslogicexecutionstepids": None,
    "mscrm.bypasscustompluginexecution": None,
    "mscrm.suppressduplicatedetection": "true",
    "mscrm.sessiontoken": None,
}
"""Optional headers with effects nobody has imitated; a value that means the default is let through."""
MAX_ADDRESS = 32_768
RIGHTS_FUNCTIONS = frozenset(
    f"Microsoft.Dynamics.CRM.{name}" for name in ("RetrieveUserPrivileges", "RetrievePrincipalAttributePrivileges")
)
_SET = re.compile(r"([A-Za-z_]\w*)(?:\((.*)\))?")
_ETAG = re.compile(r'W/"(\d+)"')
_PREFERENCE = re.compile(r'\s*([\w.-]+)\s*(?:=\s*("[^"]*"|[^,;"]*))?\s*(?:,|$)')


@dataclass(frozen=True)
class Call:
    """One request, taken apart: segments below the service root, query options, headers, caller."""

    method: str
    segments: tuple[str, ...]
    path: str
    options: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    preferences: Preferences
    caller: Caller
    stale_seconds: float | None

    def json(self) -> Any:
        """Return the body; raises DataverseError when it is not JSON."""
        content_type = self.headers.get("content-type", "")
        if not content_type.startswith("application/json"):
            raise DataverseError(415, "", f"The media type '{content_type}' of the request body is not supported.")
        try:
            return json.loads(self.body, parse_float=Decimal, parse_constant=_no_constant)
        except ValueError:
            raise errors.payload_error("", "The request body is not valid JSON.") from None

    def precondition(self, name: str) -> str | None:
        """Return If-Match or If-None-Match, or None; the literal text `null`, which samples send, means none."""
        value = self.headers.get(name)
        return None if value in (None, "", "null") else value


class Refusals:
    """How Dataverse words its failures, for faults on demand."""

    def throttled(self, retry_after_seconds: float) -> Response:
        """Answer 429 as service protection does."""
        text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
        return _error(429, "0x80072322", text, {"Retry-After": f"{retry_after_seconds:g}"})

    def unavailable(self) -> Response:
        """Answer 503 as the front end does, without a JSON body."""
        return Response("Service Unavailable", 503, media_type="text/html")

    def gateway_timeout(self) -> Response:
        """Answer 504 as the front end does, without a JSON body."""
        return Response("Gateway Timeout", 504, media_type="text/html")

    def server_error(self) -> Response:
        """Answer 500 with the generic SQL error, which is transient."""
        return _error(500, "0x80044150", "Generic SQL error.")


class WebApi:
    """The ASGI application below the vendor's paths."""

    def __init__(
        self,
        *,
        base_url: str,
        organization_id: str,
        business_unit_id: str,
        model: Model,
        store: Store,
        disk: Disk,
        clock: Clock,
        issuer: TokenIssuer,
        limits: Limits,
        options: DataverseOptions,
        records: Records,
        reader: Reader,
        bodies: BodyReader,
        definitions: Definitions,
        security: Security,
        new_id: Callable[[], str],
    ) -> None:
        self._base_url = base_url
        self._organization_id = organization_id
        self._business_unit_id = business_unit_id
        self._model = model
        self._store = store
        self._disk = disk
        self._clock = clock
        self._issuer = issuer
        self._limits = limits
        self._options = options
        self._records = records
        self._reader = reader
        self._bodies = bodies
        self._definitions = definitions
        self._security = security
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. What was changed is on disk before the answer leaves."""
        request = Request(scope, receive)
        server, cookie = self._limits.server(request.headers.get("cookie"))
        try:
            response = await self._admitted(request, scope, server)
        except DataverseError as error:
            response = _error(error.status, error.code, error.message, error.headers)
        except NotImitated as what:
            response = not_imitated(scope, str(what))
        self._disk.commit()
        request_id = self._new_id()
        response.headers["x-ms-service-request-id"] = response.headers["REQ_ID"] = request_id
        response.headers["x-ms-dop-hint"] = str(self._options.dop_hint)
        response.headers.setdefault("OData-Version", "4.0")
        if cookie is not None:
            response.headers.append("Set-Cookie", cookie)
        await response(scope, receive, send)

    async def _admitted(self, request: Request, scope: Scope, server: int) -> Response:
        user = self._signed_in(request)
        admission = self._limits.enter(user["systemuserid"], server)
        try:
            if self._options.latency_seconds:
                await self._clock.sleep(self._options.latency_seconds)
            response = await self._route(await self._call(request, scope, user))
        except DataverseError as error:
            error.headers.update(_limit_headers(admission))
            raise
        finally:
            self._limits.leave(admission)
        response.headers.update(_limit_headers(admission))
        return response

    def _signed_in(self, request: Request) -> Row:
        """Return the application user of the bearer token; raises DataverseError 401 or 403."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        challenge = (
            f"Bearer authorization_uri=https://login.microsoftonline.com/{self._issuer.tenant_id}/oauth2/authorize, "
            f"resource_id={self._base_url}/"
        )
        if scheme.lower() != "bearer" or not token:
            raise DataverseError(
                401, "", "Authorization has been denied for this request.", {"WWW-Authenticate": challenge}
            )
        try:
            claims = self._issuer.verify(token, self._base_url)
        except InvalidToken as problem:
            code = "0x80041d52" if problem.reason == "expired" else "0x80041d50"
            headers = {"WWW-Authenticate": f'{challenge}, error="invalid_token"'}
            raise DataverseError(401, code, "The OAuth token is expired or invalid.", headers) from None
        users = self._store.find("systemuser", ["applicationid"], [claims.application_id])
        if not users:
            raise DataverseError(403, "0x80072560", "The user is not a member of the organization.")
        return users[0]

    async def _call(self, request: Request, scope: Scope, user: Row) -> Call:
        path, segments = _segments(scope)
        self._check_headers(request.headers)
        query = request.scope["query_string"].decode("latin-1")
        options = dict(parse_qsl(query, keep_blank_values=True, encoding="utf-8"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        correlation = headers.get("x-ms-correlation-id") or headers.get("x-ms-correlation-request-id") or ""
        caller = Caller(
            user_id=user["systemuserid"],
            object_id=user.get("azureactivedirectoryobjectid") or Caller("").object_id,
            user_agent=headers.get("user-agent", ""),
            tag=options.get("tag"),
            correlation_id=correlation.lower() if GUID.fullmatch(correlation) else self._new_id(),
            request_id=self._new_id(),
        )
        return Call(
            method=request.method,
            segments=segments,
            path=path,
            options=options,
            headers=headers,
            body=await request.body(),
            preferences=parse_preferences(headers.get("prefer", "")),
            caller=caller,
            stale_seconds=stale_seconds(scope),
        )

    def _check_headers(self, headers: Mapping[str, str]) -> None:
        for name, harmless in REFUSED_HEADERS.items():
            if name in headers and headers[name].lower() != harmless:
                raise NotImitated(f"the header {name}")
        for name in ("odata-version", "odata-maxversion"):
            if headers.get(name, "4.0") != "4.0":
                raise errors.bad_query(f"The value of the header {name} must be 4.0.")

    # Routing

    async def _route(self, call: Call) -> Response:
        first = call.segments[0] if call.segments else ""
        if first in ("WhoAmI", "WhoAmI()"):
            return self._who_am_i(call)
        if first.partition("(")[0] == "EntityDefinitions":
            return self._definition(call)
        if call.segments[1:] and call.segments[1].removesuffix("()") in RIGHTS_FUNCTIONS:
            return self._rights(call)
        if first.startswith("$") or not first or first.partition("(")[0] in ELSEWHERE:
            raise NotImitated(f"/{first}" if first else "the service document")
        found = _SET.fullmatch(first)
        table = self._model.by_set.get(found[1]) if found is not None else None
        if found is None or table is None:
            raise errors.unknown_segment(first.partition("(")[0])
        self._check_privilege(call, table)
        if found[2] is None:
            return await self._set(call, table)
        return await self._row(call, table, parse_key(table, found[2]))

    def _who_am_i(self, call: Call) -> Response:
        if call.method != "GET" or len(call.segments) > 1:
            text = f"No HTTP resource was found that matches the request URI '{self._reader.root}/WhoAmI'."
            raise DataverseError(404, "", text)
        body = {
            "@odata.context": f"{self._reader.root}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": self._business_unit_id,
            "UserId": call.caller.user_id,
            "OrganizationId": self._organization_id,
        }
        return _json(body)

    def _rights(self, call: Call) -> Response:
        """Answer the functions that tell what a user may do."""
        found = _SET.fullmatch(call.segments[0])
        if call.method != "GET" or found is None or found[1] != "systemusers" or len(call.segments) > 2:
            raise errors.unknown_segment(call.segments[1])
        name, user_id = call.segments[1].removesuffix("()"), (found[2] or "").lower()
        if self._store.get("systemuser", user_id) is None:
            raise errors.does_not_exist("User", user_id)
        kind = name.removeprefix("Microsoft.Dynamics.CRM.")
        body: dict[str, Any] = {"@odata.context": f"{self._reader.root}/$metadata#{name}Response"}
        if kind == "RetrieveUserPrivileges":
            return _json(body | {"RolePrivileges": self._security.privileges(user_id)})
        return _json(body | {"AttributePrivileges": self._security.attribute_privileges(user_id, metadata_id)})

    def _check_privilege(self, call: Call, table: Table) -> None:
        """Refuse what the caller has no privilege for; whether a PATCH creates is found out later."""
        action = {"GET": "Read", "POST": "Create", "PATCH": "Write", "DELETE": "Delete"}.get(call.method)
        if action is not None:
            self._security.check(call.caller.user_id, table, action)

    def _definition(self, call: Call) -> Response:
        if call.method == "GET":
            options = {name: value for name, value in call.options.items() if name.startswith("$")}
            return _json(self._definitions.get(call.segments, options))
        if call.method == "PUT":
            self._definitions.switch_tracking_on(call.segments, call.json())
            return Response(status_code=204)
        if call.method == "POST":
            return Response(
                status_code=204, headers={"OData-EntityId": self._definitions.create_key(call.segments, call.json())}
            )
        if call.method == "DELETE":
            self._definitions.drop_key(call.segments)
            return Response(status_code=204)
        raise NotImitated(f"{call.method} on definitions")

    async def _set(self, call: Call, table: Table) -> Response:
        if call.segments[1:] == ("$count",) and call.method == "GET":
            return Response(str(self._reader.count(self._query(call, table))), media_type="text/plain")
        if len(call.segments) > 1:
            raise NotImitated(f"{call.method} {'/'.join(call.segments[1:])} on a table")
        if call.method == "GET":
            return _json(self._reader.page(self._query(call, table)), call.preferences.applied)
        if call.method == "POST":
            return await self._create(call, table)
        raise _method_not_allowed(call.method)

    async def _row(self, call: Call, table: Table, key: KeyReference) -> Response:
        if len(call.segments) > 1:
            return self._collection(call, table, key)
        handlers: Mapping[str, Callable[[Call, Table, KeyReference], Awaitable[Response]]] = {
            "GET": self._read,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        handler = handlers.get(call.method)
        if handler is None:
            raise _method_not_allowed(call.method)
        return await handler(call, table, key)

    def _collection(self, call: Call, table: Table, key: KeyReference) -> Response:
        """Answer `table(id)/collection`: the rows whose lookup points to the row."""
        relation = self._model.collections.get((table.name, call.segments[1]))
        if relation is None or len(call.segments) > 2 or call.method != "GET":
            raise NotImitated(f"{call.method} {'/'.join(call.segments[1:])} on a row")
        row_id, column = self._bodies.resolve(table, key), relation.column
        query = replace(
            self._query(call, self._model.tables[relation.referencing_table]),
            restriction=lambda row: row.get(column.name) == row_id and lookup_target(column, row) == table.name,
        )
        return _json(self._reader.page(query), call.preferences.applied)

    def _query(self, call: Call, table: Table) -> Query:
        hidden = self._security.hidden(call.caller.user_id, table.name)
        return Query(table, call.options, call.preferences, call.stale_seconds, path=call.path, hidden=hidden)

    # One row

    async def _read(self, call: Call, table: Table, key: KeyReference) -> Response:
        row = self._reader.row(table, self._bodies.resolve(table, key), call.stale_seconds)
        known = call.precondition("if-none-match")
        if known is not None and known == etag(row) and table.versioned and not call.preferences.annotations:
            return Response(status_code=304, headers={"ETag": etag(row)})
        body = self._reader.one(self._query(call, table), row)
        return _json(body, call.preferences.applied, headers={"ETag": etag(row)})

    async def _create(self, call: Call, table: Table) -> Response:
        self._check_write(call, table)
        changes = self._bodies.read(table, call.json(), creating=True)
        self._security.check_changes(call.caller.user_id, table, changes, creating=True)
        row = await self._records.create(table, changes, call.caller)
        return self._written(call, table, row, created=True, address=row[table.primary_id])

    async def _patch(self, call: Call, table: Table, key: KeyReference) -> Response:
        self._check_write(call, table)
        found = self._find(table, key)
        match, none_match = call.precondition("if-match"), call.precondition("if-none-match")
        if none_match is not None and none_match != "*":
            raise NotImitated("If-None-Match with an etag on PATCH")
        if found is None and match is not None:
            raise self._missing(table, key)
        if found is not None and none_match is not None:
            raise errors.matching_key_exists()
        if found is None:
            changes = dict(key.values) | self._bodies.read(table, call.json(), creating=True)
            self._security.check(call.caller.user_id, table, "Create")
            self._security.check_changes(call.caller.user_id, table, changes, creating=True)
            row = await self._records.create(table, _with_targets(table, changes), call.caller, key.row_id)
        else:
            changes = self._bodies.read(table, call.json(), creating=False)
            self._security.check_changes(call.caller.user_id, table, changes, creating=False)
            row = await self._records.update(table, found, changes, call.caller, _version(match))
        return self._written(call, table, row, created=found is None, address=key.text)

    async def _delete(self, call: Call, table: Table, key: KeyReference) -> Response:
        self._check_write(call, table)
        found = self._find(table, key)
        if found is None:
            raise self._missing(table, key)
        await self._records.delete(table, found, call.caller, _version(call.precondition("if-match")))
        return Response(status_code=204)

    def _find(self, table: Table, key: KeyReference) -> str | None:
        if key.row_id is None:
            return self._bodies.look_up(table, key)
        return key.row_id if self._store.get(table.name, key.row_id) is not None else None

    def _missing(self, table: Table, key: KeyReference) -> DataverseError:
        if key.row_id is None:
            return errors.not_found_by_key(table.name)
        return errors.does_not_exist(table.display_name, key.row_id)

    def _check_write(self, call: Call, table: Table) -> None:
        """Refuse a write that cannot be, or whose answer could not be given, before anything happens."""
        deleting = call.method == "DELETE"
        if table.read_only or (table.delete_only and not deleting):
            raise NotImitated(f"writing rows of {table.name}")
        for option in call.options:
            if option not in ("$select", "tag"):
                raise NotImitated(f"the query option {option} on a write")
        self._reader.check_select(self._query(call, table))

    def _written(self, call: Call, table: Table, row: Row, *, created: bool, address: str) -> Response:
        """Answer a write: 204 with the address, or with return=representation the row (201 or 200)."""
        if not call.preferences.representation:
            target = f"{self._reader.root}/{table.set_name}({address})"
            return Response(status_code=204, headers={"OData-EntityId": header_text(target)})
        options = {name: value for name, value in call.options.items() if name == "$select"}
        query = replace(self._query(call, table), options=options, stale_seconds=None, path="")
        body = self._reader.one(query, row)
        return _json(body, call.preferences.applied, 201 if created else 200, {"ETag": etag(row)})


def parse_preferences(text: str) -> Preferences:
    """Read the Prefer header; unknown preferences are ignored, as HTTP says, known ones nobody imitates are not."""
    found, position = Preferences(), 0
    while position < len(text):
        part = _PREFERENCE.match(text, position)
        if part is None or part.end() == position:
            raise errors.bad_query("The value of the header Prefer is not valid.")
        found = _preferring(found, part[1].lower(), (part[2] or "").strip())
        position = part.end()
    return found


def _preferring(found: Preferences, name: str, raw: str) -> Preferences:
    value = raw.strip('"')
    applied = (*found.applied, f"{name}={raw}" if raw else name)
    match name:
        case "return":
            wanted = value == "representation"
            return replace(found, representation=wanted, applied=applied if wanted else found.applied)
        case "odata.maxpagesize":
            if not value.isdecimal() or int(value) < 1:
                raise errors.bad_query(f"Invalid value '{value}' for the preference odata.maxpagesize.")
            return replace(found, page_size=int(value), applied=applied)
        case "odata.include-annotations":
            names = tuple(pattern.strip() for pattern in value.split(","))
            return replace(found, annotations=names, applied=applied)
        case "odata.track-changes":
            return replace(found, track_changes=True, applied=applied)
        case "respond-async":
            raise NotImitated("Prefer: respond-async")
    return found


def _segments(scope: Scope) -> tuple[str, tuple[str, ...]]:
    """Take the address apart below the service root; brackets and quotes keep slashes of key values together."""
    raw = scope.get("raw_path") or scope["path"].encode()
    if len(raw) + len(scope["query_string"]) > MAX_ADDRESS:
        raise DataverseError(414, "", "The request URI is too long.")
    path = urlsplit(raw.decode("latin-1")).path
    if path.rstrip("/") != BASE and not path.startswith(BASE + "/"):
        raise NotImitated(f"addresses outside {BASE}")
    relative = path[len(BASE) :].strip("/")
    return relative, tuple(_checked_segment(part) for part in relative.split("/")) if relative else ()


def _checked_segment(encoded: str) -> str:
    """Decode a segment; characters that never get through in a path, even encoded, are refused."""
    segment = unquote(encoded)
    in_key = segment.partition("(")[2]
    if any(character in in_key for character in "/<>*%&\\?+") or re.search(r"'[^']*:[^']*'", in_key):
        raise errors.bad_query("A potentially dangerous Request.Path value was detected from the client.")
    return segment


def _with_targets(table: Table, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse keys that hold a polymorphic lookup, whose table a key value does not tell."""
    for name in changes:
        column = table.columns.get(name)
        if column is not None and column.kind in LOOKUPS and f"{name}@table" not in changes and len(column.targets) > 1:
            raise NotImitated("creating by an alternate key over a lookup to several tables")
    return dict(changes)


def _version(condition: str | None) -> str:
    """Return the version an If-Match asks for; several etags are not imitated."""
    if condition is None or condition == "*":
        return ANY_VERSION
    found = _ETAG.fullmatch(condition)
    if found is None:
        raise errors.version_mismatch()
    return found[1]


def _no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python would read and JSON does not have."""
    raise ValueError(name)


def _method_not_allowed(method: str) -> DataverseError:
    return DataverseError(405, "", f"The requested resource does not support http method '{method}'.")


def _json(
    body: Mapping[str, Any], applied: Sequence[str] = (), status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    response = Response(to_json(body), status, headers=dict(headers or {}))
    response.headers["Content-Type"] = JSON
    if applied:
        response.headers["Preference-Applied"] = ",".join(applied)
    return response


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json({"error": {"code": code, "message": message}}, status=status, headers=headers)


def _limit_headers(admission: Admission) -> dict[str, str]:
    return {
        "x-ms-ratelimit-burst-remaining-xrm-requests": str(admission.remaining_requests),
        "x-ms-ratelimit-time-remaining-xrm-requests": f"{admission.remaining_seconds:,.2f}",
    }
