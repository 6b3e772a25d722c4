"""The Web API as HTTP: service protection, sign-in, and which part serves which address.

After Microsoft Learn, 'Compose HTTP requests and handle errors' and 'Service protection API limits'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.clock import Clock
from sandbox.dataverse import errors
from sandbox.dataverse.batch import Batches
from sandbox.dataverse.bulk_delete import BulkDeletes
from sandbox.dataverse.calls import (
    ACTS_FOR,
    BASE,
    Call,
    error_answer,
    json_answer,
    method_not_allowed,
    read_call,
    refusal,
)
from sandbox.dataverse.context import Caller
from sandbox.dataverse.definitions import metadata_id
from sandbox.dataverse.elsewhere import ELSEWHERE
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.limits import Admission, Limits
from sandbox.dataverse.merging import NAME as MERGE
from sandbox.dataverse.merging import Merges
from sandbox.dataverse.metadata import Model
from sandbox.dataverse.metadata_api import SETS, MetadataApi
from sandbox.dataverse.notifying import NAME as NOTIFY
from sandbox.dataverse.notifying import Notifying
from sandbox.dataverse.options import DataverseOptions
from sandbox.dataverse.records import Records
from sandbox.dataverse.rows import RowApi
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Row, Store
from sandbox.dataverse.values import GUID, parse_key
from sandbox.disk import Disk
from sandbox.front import not_imitated, stale_seconds
from sandbox.tokens import InvalidToken, TokenIssuer

RIGHTS_FUNCTIONS = frozenset(
    f"Microsoft.Dynamics.CRM.{name}" for name in ("RetrieveUserPrivileges", "RetrievePrincipalAttributePrivileges")
)
_SET = re.compile(r"([A-Za-z_]\w*)(?:\((.*)\))?")


class Refusals:
    """How Dataverse words its failures, for faults on demand."""

    def throttled(self, retry_after_seconds: float) -> Response:
        """Answer 429 as service protection does."""
        text = "Number of requests exceeded the limit of 6000 over time window of 300 seconds."
        return error_answer(429, "0x80072322", text, {"Retry-After": f"{retry_after_seconds:g}"})

    def unavailable(self) -> Response:
        """Answer 503 as the front end does, without a JSON body."""
        return Response("Service Unavailable", 503, media_type="text/html")

    def gateway_timeout(self) -> Response:
        """Answer 504 as the front end does, without a JSON body."""
        return Response("Gateway Timeout", 504, media_type="text/html")

    def server_error(self) -> Response:
        """Answer 500 with the generic SQL error, which is transient."""
        return error_answer(500, "0x80044150", "Generic SQL error.")


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
        rows: RowApi,
        bulk_deletes: BulkDeletes,
        merges: Merges,
        notifying: Notifying,
        metadata: MetadataApi,
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
        self._rows = rows
        self._bulk_deletes = bulk_deletes
        self._merges = merges
        self._notifying = notifying
        self._metadata = metadata
        self._security = security
        self._new_id = new_id
        self._root = base_url + BASE
        self._batches = Batches(
            base_url=base_url, pause=self._pause, execute=self._route, together=records.together, new_id=new_id
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. What was changed is on disk before the answer leaves."""
        request = Request(scope, receive)
        server, cookie = self._limits.server(request.headers.get("cookie"))
        try:
            response = await self._admitted(request, scope, server)
        except DataverseError as error:
            response = refusal(error)
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
            call = await self._call(request, scope, user)
            if call.segments == ("$batch",):
                response = await self._batch(call)
            else:
                await self._pause()
                response = await self._route(call)
        except DataverseError as error:
            error.headers.update(_limit_headers(admission))
            raise
        finally:
            self._limits.leave(admission)
        response.headers.update(_limit_headers(admission))
        return response

    def _signed_in(self, request: Request) -> Row:
        """Return the user of the bearer token, a person or an application; raises DataverseError 401 or 403."""
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
        if claims.is_user:
            return self._user("azureactivedirectoryobjectid", claims.object_id)
        return self._user("applicationid", claims.application_id)

    def _user(self, column: str, value: str) -> Row:
        users = self._store.find("systemuser", [column], [value])
        if not users:
            raise errors.not_a_member()
        return users[0]

    def _in_whose_name(self, headers: Mapping[str, str], user: Row) -> Row:
        """Return the user whom the caller wants to be; raises DataverseError 403."""
        wanted = headers.get(ACTS_FOR, "").lower()
        if not wanted or wanted == user.get("azureactivedirectoryobjectid"):
            return user
        self._security.check_acting_for_others(user["systemuserid"])
        return self._user("azureactivedirectoryobjectid", wanted)

    async def _pause(self) -> None:
        if self._options.latency_seconds:
            await self._clock.sleep(self._options.latency_seconds)

    async def _call(self, request: Request, scope: Scope, user: Row) -> Call:
        headers = {name.lower(): value for name, value in request.headers.items()}
        person = self._in_whose_name(headers, user)
        correlation = headers.get("x-ms-correlation-id") or headers.get("x-ms-correlation-request-id") or ""
        caller = Caller(
            user_id=person["systemuserid"],
            object_id=person.get("azureactivedirectoryobjectid") or Caller("").object_id,
            acting_id=user["systemuserid"] if person is not user else None,
            user_agent=headers.get("user-agent", ""),
            correlation_id=correlation.lower() if GUID.fullmatch(correlation) else self._new_id(),
            request_id=self._new_id(),
        )
        path = urlsplit((scope.get("raw_path") or scope["path"].encode()).decode("latin-1")).path
        address = f"{path}?{scope['query_string'].decode('latin-1')}"
        call = read_call(request.method, address, headers, await request.body(), caller)
        return replace(call, stale_seconds=stale_seconds(scope))

    async def _batch(self, call: Call) -> Response:
        if call.method != "POST":
            raise method_not_allowed(call.method)
        return await self._batches.run(call)

    # Routing

    async def _route(self, call: Call) -> Response:
        first = call.segments[0] if call.segments else ""
        if first in ("WhoAmI", "WhoAmI()"):
            return self._who_am_i(call)
        if first.partition("(")[0] in SETS:
            return self._metadata.serve(call)
        if call.segments == (MERGE,):
            return await self._merges.take(call)
        if call.segments == (NOTIFY,):
            return await self._notifying.take(call)
        if call.segments == ("BulkDelete",):
            return self._bulk_deletes.take(call)
        if call.segments[1:] and call.segments[1].removesuffix("()") in RIGHTS_FUNCTIONS:
            return self._rights(call)
        if first.startswith("$") or not first or first.partition("(")[0] in ELSEWHERE:
            raise NotImitated(f"/{first}" if first else "the service document")
        found = _SET.fullmatch(first)
        table = self._model.by_set.get(found[1]) if found is not None else None
        if found is None or table is None:
            raise errors.unknown_segment(first.partition("(")[0])
        if found[2] is None:
            return await self._rows.set(call, table)
        return await self._rows.row(call, table, parse_key(table, found[2]))

    def _who_am_i(self, call: Call) -> Response:
        if call.method != "GET" or len(call.segments) > 1:
            text = f"No HTTP resource was found that matches the request URI '{self._root}/WhoAmI'."
            raise DataverseError(404, "", text)
        body = {
            "@odata.context": f"{self._root}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": self._business_unit_id,
            "UserId": call.caller.user_id,
            "OrganizationId": self._organization_id,
        }
        return json_answer(body)

    def _rights(self, call: Call) -> Response:
        """Answer the functions that tell what a user may do."""
        found = _SET.fullmatch(call.segments[0])
        if call.method != "GET" or found is None or found[1] != "systemusers" or len(call.segments) > 2:
            raise errors.unknown_segment(call.segments[1])
        name, user_id = call.segments[1].removesuffix("()"), (found[2] or "").lower()
        if self._store.get("systemuser", user_id) is None:
            raise errors.does_not_exist("User", user_id)
        kind = name.removeprefix("Microsoft.Dynamics.CRM.")
        body: dict[str, Any] = {"@odata.context": f"{self._root}/$metadata#{name}Response"}
        if kind == "RetrieveUserPrivileges":
            return json_answer(body | {"RolePrivileges": self._security.privileges(user_id)})
        return json_answer(body | {"AttributePrivileges": self._security.attribute_privileges(user_id, metadata_id)})


def _limit_headers(admission: Admission) -> dict[str, str]:
    return {
        "x-ms-ratelimit-burst-remaining-xrm-requests": str(admission.remaining_requests),
        "x-ms-ratelimit-time-remaining-xrm-requests": f"{admission.remaining_seconds:,.2f}",
    }
