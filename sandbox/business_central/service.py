"""The HTTP face of the environment: addresses, sign-in, limits, bodies, errors as the service words them."""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.business_central.api import Api
from sandbox.business_central.batch import read_batch, run_batch
from sandbox.business_central.calls import Answer, Call
from sandbox.business_central.crm_entities import EXTENSION, NOTIFYING
from sandbox.business_central.entities import ENTITIES, WEBHOOK_SETS
from sandbox.business_central.errors import (
    ApiError,
    NoEnvironment,
    NotImitated,
    bad_request,
    method_not_allowed,
    no_such_segment,
)
from sandbox.business_central.limits import Limits, throttled, unavailable
from sandbox.business_central.notices import Notices
from sandbox.business_central.setup import BusinessCentralOptions
from sandbox.business_central.store import PRESENT, StateOf, Store, Work
from sandbox.business_central.subscriptions import Subscriptions
from sandbox.business_central.texts import language_of
from sandbox.clock import Clock
from sandbox.front import not_imitated, segments_of, stale_seconds
from sandbox.tokens import Claims, InvalidToken, TokenIssuer

NO_ENVIRONMENT = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<error xmlns="http://docs.oasis-open.org/odata/ns/metadata">'
    "<code>NoEnvironment</code><message>Environment does not exist.</message></error>"
)
_SUPPORTED_FILTER = re.compile(r"\s*resource\s+eq\s+'(?P<pattern>[^']*)'\s*")
_ERROR_MEDIA = "application/json"


@dataclass(frozen=True)
class Place:
    """Where an address leads: which API of the environment, and what below it."""

    root: str
    api: tuple[str, ...]
    """`("v2.0",)` for the standard API, publisher, group and version for another."""
    rest: tuple[str, ...]


class Service:
    """The vendor's routes as an ASGI application."""

    def __init__(
        self,
        *,
        base_url: str,
        tenant: str,
        environment: str,
        apis: Mapping[str, Api],
        store: Store,
        clock: Clock,
        issuer: TokenIssuer,
        options: BusinessCentralOptions,
        subscriptions: Subscriptions,
        notices: Notices,
        limits: Limits,
        seed: int,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._tenant = tenant
        self._environment = environment
        self._api = apis["v2.0"]
        self._apis = apis
        self._store = store
        self._clock = clock
        self._issuer = issuer
        self._options = options
        self._subscriptions = subscriptions
        self._notices = notices
        self._limits = limits
        self._random = random.Random(f"latency {seed}")
        self._requests = 0
        self._seed = seed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        response = await self._response(request)
        await response(scope, receive, send)

    # --- one request ---

    async def _response(self, request: Request) -> Response:
        request_id = self._next_request_id()
        language = language_of(request.headers.get("accept-language"), self._options.user_language)
        try:
            answer = await self._answer(request)
        except NotImitated as error:
            return not_imitated(request.scope, error.what)
        except NoEnvironment:
            return Response(NO_ENVIRONMENT, 404, media_type="application/xml")
        except ApiError as error:
            answer = self._refusal(error, language, request_id)
        return _http(answer, request_id)

    def _next_request_id(self) -> str:
        self._requests += 1
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"request {self._seed}/{self._requests}"))

    def _refusal(self, error: ApiError, language: str, request_id: str) -> Answer:
        headers: dict[str, str] = {}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if error.status == 429 and self._options.retry_after_on_429:
            headers["Retry-After"] = str(int(self._options.window_seconds))
        return Answer(error.status, error.body(language, request_id), headers, _ERROR_MEDIA)

    async def _answer(self, request: Request) -> Answer:
        claims = self._signed_in(request)
        segments = segments_of(request)
        if segments[:1] == ("environments",):
            return self._environments(request, segments)
        place = self._place(segments)
        self._limits.count(claims.application_id)
        async with self._limits.slot(claims.application_id):
            return await self._served(request, place, claims)

    async def _served(self, request: Request, place: Place, claims: Claims) -> Answer:
        call = await self._call(request, place, claims)
        api = self._apis.get("/".join(place.api))
        if api is None:
            await self._pause()
            return self._other_api(call, place)
        if place.rest[:1] == ("$batch",):
            return await self._batch(request, api, call, claims)
        await self._pause()
        if place.rest and place.rest[0].partition("(")[0] == "subscriptions":
            return await self._subscriptions.answer(call, "/".join(place.api))
        return self._single(api, call)

    def _single(self, api: Api, call: Call) -> Answer:
        work = self._store.begin(call.user_id)
        try:
            answer = api.answer(call, work)
        except Exception:
            work.undo()
            raise
        self.finish(work, by_person=False)
        return answer

    def finish(self, work: Work, *, by_person: bool) -> None:
        """Make a unit of work lasting, together with the notices of its changes."""
        self._notices.record(work, by_person=by_person)
        work.commit()

    async def _pause(self) -> None:
        low, high = self._options.latency_seconds
        if high > 0:
            await self._clock.sleep(self._random.uniform(low, high))

    # --- sign-in and addresses ---

    def _signed_in(self, request: Request) -> Claims:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _rejected()
        try:
            claims = self._issuer.verify(token.strip(), self._options.audience)
        except InvalidToken:
            raise _rejected() from None
        known = self._options.applications
        if known is not None and claims.application_id.lower() not in {one.lower() for one in known}:
            raise _rejected()
        return claims

    def _place(self, segments: tuple[str, ...]) -> Place:
        """Read `/v2.0[/{tenant}]/{environment}/api/...`."""
        if segments[:1] != ("v2.0",) or "api" not in segments[:4]:
            raise NotImitated("an address outside /v2.0/{tenant}/{environment}/api")
        at = segments.index("api")
        if at == 3 and segments[1].lower() != self._tenant.lower():
            raise _rejected()
        if at < 2 or segments[at - 1].lower() != self._environment.lower():
            raise NoEnvironment
        below = segments[at + 1 :]
        length = 1 if below[:1] == ("v2.0",) else 3
        root = "/".join((self._base_url, *segments[: at + 1], *below[:length]))
        return Place(root, below[:length], below[length:])

    def _environments(self, request: Request, segments: tuple[str, ...]) -> Answer:
        if segments != ("environments", "v1.2"):
            raise NotImitated("another list of environments than v1.2")
        if request.method != "GET":
            raise method_not_allowed(request.method, "environments")
        row = {
            "aadTenantId": self._tenant,
            "applicationFamily": "BusinessCentral",
            "type": self._options.environment_type,
            "name": self._environment,
            "countryCode": self._api.country,
            "webServiceUrl": self._base_url,
            "webClientLoginUrl": f"https://businesscentral.dynamics.com/{self._tenant}/{self._environment}",
            "ringName": "PROD",
        }
        return Answer(200, {"value": [row]}, media="application/json")

    async def _call(self, request: Request, place: Place, claims: Claims) -> Call:
        options = dict(parse_qsl(request.url.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Call(
            request.method,
            place.rest,
            options,
            headers,
            url="/".join((place.root, *place.rest)),
            root=place.root,
            body=await _json_body(request),
            state=self._state(request),
            user_id=claims.object_id,
        )

    def _state(self, request: Request) -> StateOf:
        """Return which state a read shows: a fault on demand, or the lag of the replica."""
        stale = stale_seconds(request.scope)
        if stale is not None:
            return StateOf(previous=True) if stale == 0 else self._state_before(stale)
        lag = self._options.replica_lag_seconds
        wants_replica = request.headers.get("data-access-intent", "").lower() == "readonly"
        return self._state_before(lag) if wants_replica and lag > 0 else PRESENT

    def _state_before(self, seconds: float) -> StateOf:
        return StateOf(at=self._clock.now() - timedelta(seconds=seconds))

    # --- other APIs ---

    def _other_api(self, call: Call, place: Place) -> Answer:
        """Answer for the runtime API's list of what can be subscribed to; a custom API is not installed."""
        if place.api != ("microsoft", "runtime", "beta"):
            if place.api[:1] == ("microsoft",):
                raise NotImitated(f"the API {'/'.join(place.api)}")
            raise no_such_segment(place.api[0] if place.api else "api")
        names = [segment.partition("(")[0] for segment in place.rest]
        if names != ["companies", "webhookSupportedResources"] or call.method != "GET":
            raise NotImitated("another part of the runtime API than webhookSupportedResources")
        self._api.company(place.rest[0].partition("(")[2].rstrip(")"))
        return Answer(200, {"@odata.context": f"{call.root}/$metadata", "value": self._supported(call.options)})

    def _supported(self, options: Mapping[str, str]) -> list[dict[str, str]]:
        """List what can be subscribed to, of the standard API and of the extension."""
        names = [f"v2.0/{name}" for name in ENTITIES if name in WEBHOOK_SETS]
        if self._options.extension:
            names += [f"{self._options.extension}/{name}" for name in EXTENSION if name in NOTIFYING]
        return [{"resource": name} for name in _matching(names, options)]

    # --- batch ---

    async def _batch(self, request: Request, api: Api, call: Call, claims: Claims) -> Answer:
        if call.method != "POST" or len(call.segments) > 1:
            raise method_not_allowed(call.method, "$batch")
        batch = read_batch(call)
        if self._options.batch_parts_count and len(batch.parts) > 1:
            self._limits.count(claims.application_id, len(batch.parts) - 1)

        def execute(part: Call, work: Work) -> tuple[Answer, Exception | None]:
            return self._part(request, api, part, work)

        responses = await run_batch(
            batch,
            begin=lambda: self._store.begin(claims.object_id),
            execute=execute,
            finish=lambda work: self.finish(work, by_person=False),
            pause=self._pause,
        )
        return Answer(200, {"responses": responses}, {"OData-Version": "4.0"})

    def _part(self, request: Request, api: Api, call: Call, work: Work) -> tuple[Answer, Exception | None]:
        """Carry out one part; whatever is wrong with it stays within it, and its own writes are undone."""
        mark = len(work.changes)
        state = self._state(request) if call.method == "GET" else PRESENT
        try:
            return api.answer(replace(call, state=state), work), None
        except ApiError as error:
            work.undo(mark)
            language = language_of(call.headers.get("accept-language"), self._options.user_language)
            return self._refusal(error, language, self._next_request_id()), error
        except NotImitated as error:
            work.undo(mark)
            not_imitated(request.scope, error.what)
            return Answer(501, {"error": {"code": "sandbox_not_imitated", "message": error.what}}), error


class Failures:
    """How the service words the failures that come on demand."""

    def throttled(self, retry_after_seconds: float) -> Response:
        """Answer 429 with Retry-After in whole seconds."""
        response = self._worded(throttled())
        response.headers["Retry-After"] = str(max(1, round(retry_after_seconds)))
        return response

    def unavailable(self) -> Response:
        """Answer 503."""
        return self._worded(unavailable())

    def gateway_timeout(self) -> Response:
        """Answer 504 as a gateway does: not in JSON."""
        return Response("<html><head><title>504 Gateway Time-out</title></head></html>", 504, media_type="text/html")

    def server_error(self) -> Response:
        """Answer 500."""
        return self._worded(ApiError(500, "Internal_ServerError", "server_error"))

    def _worded(self, error: ApiError) -> Response:
        request_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"fault {error.code}"))
        return _http(Answer(error.status, error.body("en", request_id), media=_ERROR_MEDIA), request_id)


def _rejected() -> ApiError:
    return ApiError(401, "Authentication_InvalidCredentials", "credentials")


async def _json_body(request: Request) -> Any:
    """Read a body as JSON, numbers as Decimal. Raises 415 for another type and 400 for what is not JSON."""
    raw = await request.body()
    if request.method not in ("POST", "PATCH", "PUT") or not raw:
        return None
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "BadRequest", "media")
    try:
        return json.loads(raw, parse_float=Decimal)
    except ValueError:
        raise bad_request("bad_body") from None


def _matching(names: Sequence[str], options: Mapping[str, str]) -> Sequence[str]:
    """Filter names; the filter's `*` is a wild card as in the application's own filters."""
    extra: Sequence[str] = [name for name in options if name != "$filter"]
    if extra:
        raise NotImitated(f"the query option {extra[0]} of webhookSupportedResources")
    if "$filter" not in options:
        return names
    found = _SUPPORTED_FILTER.fullmatch(options["$filter"])
    if found is None:
        raise NotImitated("another filter of webhookSupportedResources than resource eq '..'")
    pattern = re.compile(re.escape(found["pattern"]).replace(r"\*", ".*"))
    return [name for name in names if pattern.fullmatch(name)]


def _http(answer: Answer, request_id: str) -> Response:
    headers = {**answer.headers, "request-id": request_id}
    if answer.body is None:
        return Response(None, answer.status, headers)
    is_text = isinstance(answer.body, str)
    content = answer.body if is_text else json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
    return Response(content.encode(), answer.status, headers, answer.media)
