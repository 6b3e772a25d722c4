"""The interface over HTTP: addresses, sign-in, limits, and the shape of answers and refusals."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.clock import Clock
from sandbox.front import not_imitated, segments_of, stale_seconds
from sandbox.per_minute import PerMinute
from sandbox.postoffice.api import Answer, Api, Call
from sandbox.postoffice.errors import SYSTEM
from sandbox.postoffice.options import Auth, PostOfficeOptions
from sandbox.postoffice.store import Store
from sandbox.problems import ApiError, NotImitated, bad_request, json_body, refused, throttled
from sandbox.tokens import InvalidToken, TokenIssuer


class Service:
    """Serves one site under `{base_path}/v1`."""

    def __init__(
        self, *, base_path: str, api: Api, store: Store, options: PostOfficeOptions, clock: Clock, issuer: TokenIssuer
    ) -> None:
        self._root = tuple(part for part in (*base_path.split("/"), "v1") if part)
        self._api = api
        self._store = store
        self._options = options
        self._issuer = issuer
        self._limit = PerMinute(clock, lambda: options.requests_per_minute)

    def clear(self) -> None:
        """Forget what has been counted."""
        self._limit.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self._response(Request(scope, receive))
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        try:
            self._signed_in(request)
            self._count()
            answer = self._api.answer(await self._call(request))
        except ApiError as error:
            return refused(SYSTEM, error)
        except NotImitated as error:
            return not_imitated(request.scope, error.what)
        finally:
            self._store.commit()
        return _http(answer)

    async def _call(self, request: Request) -> Call:
        segments = segments_of(request)
        if segments[: len(self._root)] != self._root:
            raise NotImitated("an address outside the base")
        headers = {name.lower(): value for name, value in request.headers.items()}
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        if len({name for name, _ in pairs}) != len(pairs):
            raise bad_request("BadParameter", "A parameter is given twice.")
        stale = stale_seconds(request.scope) if request.method == "GET" else None
        body = await json_body(request)
        return Call(request.method, segments[len(self._root) :], dict(pairs), headers, body, stale)

    def _count(self) -> None:
        if self._limit.seconds_to_wait():
            raise throttled()

    def _signed_in(self, request: Request) -> None:
        if not self._knows(request):
            raise ApiError(401, "Unauthorized", "The credentials are missing or wrong.")

    def _knows(self, request: Request) -> bool:
        options = self._options
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


def _same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def _decoded(given: str) -> str:
    try:
        return base64.b64decode(given, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _http(answer: Answer) -> Response:
    if answer.body is None:
        return Response(None, answer.status, dict(answer.headers))
    content = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":"))
    return Response(content.encode(), answer.status, dict(answer.headers), "application/json")
