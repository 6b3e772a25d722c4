"""The interface over HTTP: addresses, sign-in, limits, and the shape of answers and refusals."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.clock import Clock
from sandbox.front import not_imitated, segments_of, stale_seconds
from sandbox.per_minute import PerMinute
from sandbox.problems import ApiError, NotImitated, bad_request, json_body, refused, throttled
from sandbox.sales_cockpit.api import Answer, Api, Call
from sandbox.sales_cockpit.store import Store
from sandbox.tokens import Claims, InvalidToken, TokenIssuer

SYSTEM = "sales_cockpit"


class Service:
    """Serves one Cockpit's interface under `{base_path}/api/v1`, and beside it its pages, if it has any."""

    def __init__(
        self,
        *,
        base_path: str,
        api: Api,
        store: Store,
        clock: Clock,
        issuer: TokenIssuer,
        pages: ASGIApp | None = None,
    ) -> None:
        self._root = tuple(part for part in (*base_path.split("/"), "api", "v1") if part)
        self._api = api
        self._store = store
        self._issuer = issuer
        self._pages = pages
        self._limit = PerMinute(clock, lambda: api.options.requests_per_minute)

    def clear(self) -> None:
        """Forget what has been counted."""
        self._limit.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        if self._pages is not None and segments_of(request)[: len(self._root)] != self._root:
            await self._pages(scope, receive, send)
            return
        response = await self._response(request)
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        try:
            claims = self._signed_in(request)
            self._count()
            answer = self._api.answer(await self._call(request, claims))
        except ApiError as error:
            return _unauthorized(error) if error.status == 401 else refused(SYSTEM, error)
        except NotImitated as error:
            return not_imitated(request.scope, error.what)
        finally:
            self._store.commit()
        return _http(answer)

    async def _call(self, request: Request, claims: Claims) -> Call:
        segments = segments_of(request)
        if segments[: len(self._root)] != self._root:
            raise NotImitated("an address outside the base")
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        if len({name for name, _ in pairs}) != len(pairs):
            raise bad_request("BadParameter", "A parameter is given twice.")
        return Call(
            request.method,
            segments[len(self._root) :],
            dict(pairs),
            claims.object_id,
            {name.lower(): value for name, value in request.headers.items()},
            await json_body(request),
            stale_seconds(request.scope) if request.method == "GET" else None,
        )

    def _count(self) -> None:
        if self._limit.seconds_to_wait():
            raise throttled()

    def _signed_in(self, request: Request) -> Claims:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        for audience in self._api.options.audiences if scheme.lower() == "bearer" else ():
            try:
                return self._issuer.verify(token.strip(), audience)
            except InvalidToken:
                continue
        raise ApiError(401, "Unauthorized", "A token for this application is needed.")


def _unauthorized(error: ApiError) -> Response:
    response = refused(SYSTEM, error)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _http(answer: Answer) -> Response:
    if answer.body is None:
        return Response(None, answer.status)
    content = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
    return Response(content.encode(), answer.status, media_type="application/json")
