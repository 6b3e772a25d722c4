"""The HTTP side: an ASGI application that finds the function, checks the key and runs it.

ASGI (Starlette's request and response classes, served by uvicorn in the running loop), so that tests can call the
application in process without a socket and the sandboxes' server serves it too. Facts: Microsoft Learn, 'Azure
Functions HTTP trigger' and 'Work with access keys'; source of the host's HTTP to gRPC conversion.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import azure.functions as func
from azure.functions.http import HttpRequestConverter
from azure.functions.meta import Datum
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from local.host.index import HostedFunction, HttpTrigger
from local.host.invoking import Invoker, Outcome
from local.host.routes import split_path
from local.host.settings import HostKeys

BODY_LIMIT_BYTES = 104_857_600
"""Requests above 100 MB are refused (Microsoft Learn, 'Azure Functions HTTP trigger', limits)."""

_WITHOUT_BODY = frozenset({204, 304})
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding", "connection"})


class _TooLarge(Exception):
    """The request's body is above the limit."""


class HttpSide:
    """The ASGI application of a function app.

    run_timer and status stand behind the administrative addresses `POST /admin/functions/<name>` (starts a timer
    function) and `GET /admin/host/status`, both for the master key only.
    """

    def __init__(
        self,
        functions: Iterable[HostedFunction],
        invoker: Invoker,
        keys: HostKeys,
        *,
        route_prefix: str,
        run_timer: Callable[[str], Awaitable[Outcome | None]],
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._prefix = tuple(part.lower() for part in route_prefix.split("/") if part)
        self._functions = sorted(
            ((function, function.trigger) for function in functions if isinstance(function.trigger, HttpTrigger)),
            key=lambda pair: pair[1].template.precedence,
        )
        self._invoker = invoker
        self._keys = keys
        self._run_timer = run_timer
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other ASGI scopes (lifespan, websocket) are refused by their protocol's means."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        parts = split_path(_raw_path(request))
        if parts[:1] == ("admin",):
            return await self._administer(request, parts[1:])
        found = self._find(request.method, parts)
        if found is None:
            return Response(status_code=404)
        function, level, route_values = found
        if not self._may(request, function.name, level):
            return Response(status_code=401)
        try:
            body = await _body(request)
        except _TooLarge:
            return Response(status_code=413)
        except ClientDisconnect:
            return Response(status_code=400)
        argument = _http_request(request, route_values, body)
        outcome = await self._invoker.invoke(function, argument, request.headers.get("traceparent", ""))
        return _response(outcome)

    def _find(self, method: str, parts: tuple[str, ...]) -> tuple[HostedFunction, str, dict[str, str]] | None:
        """Return the most specific function for the address; another method is as unknown as another address."""
        if tuple(part.lower() for part in parts[: len(self._prefix)]) != self._prefix:
            return None
        for function, trigger in self._functions:
            values = trigger.template.match(parts[len(self._prefix) :])
            if values is not None and method in trigger.methods:
                return None if function.disabled else (function, trigger.auth_level, values)
        return None

    # --- keys -----------------------------------------------------------------------------------

    def _may(self, request: Request, function: str, level: str) -> bool:
        if level == "ANONYMOUS":
            return True
        allowed = [self._keys.master]
        if level == "FUNCTION":
            allowed += [self._keys.default, self._keys.functions.get(function, "")]
        shown = request.headers.get("x-functions-key") or request.query_params.get("code") or ""
        return _is_one_of(shown, allowed)

    # --- administration -------------------------------------------------------------------------

    async def _administer(self, request: Request, parts: tuple[str, ...]) -> Response:
        if not self._may(request, "", "ADMIN"):
            return Response(status_code=401)
        match request.method, parts:
            case "GET", ("host", "status"):
                return Response(json.dumps(self._status()), media_type="application/json")
            case "POST", ("functions", name):
                outcome = await self._run_timer(name)
                return Response(status_code=404 if outcome is None else 202 if outcome.ok else 500)
            case _:
                return Response(status_code=404)


def _is_one_of(shown: str, allowed: Iterable[str]) -> bool:
    """Compare in constant time with every key; an empty key opens nothing."""
    found = False
    for key in allowed:
        found |= hmac.compare_digest(shown.encode(), key.encode()) and key != ""
    return found


def _raw_path(request: Request) -> str:
    """Return the path as it was sent, before decoding."""
    raw = request.scope.get("raw_path") or request.url.path.encode()
    return bytes(raw).decode("latin-1").partition("?")[0]


async def _body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > BODY_LIMIT_BYTES:
        raise _TooLarge
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise _TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def _http_request(request: Request, route_values: Mapping[str, str], body: bytes) -> func.HttpRequest:
    """Build the request by the worker's own converter.

    As the host does: header names in lower case, repeated headers and query values joined by commas, query values
    that are empty left out.
    """
    decoded: func.HttpRequest = HttpRequestConverter.decode(
        Datum(
            {
                "method": Datum(request.method, "string"),
                "url": Datum(str(request.url), "string"),
                "headers": _data(_joined(request.headers.items())),
                "query": _data(_query(request.url.query)),
                "params": _data(route_values),
                "body": Datum(body, "bytes"),
            },
            "http",
        ),
        trigger_metadata=None,
    )
    return decoded


def _data(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _query(text: str) -> dict[str, str]:
    """Names differ not by case: the first spelling counts."""
    spellings: dict[str, str] = {}
    pairs = [
        (spellings.setdefault(name.lower(), name), value) for name, value in parse_qsl(text, keep_blank_values=True)
    ]
    return {name: value for name, value in _joined(pairs).items() if value}


def _response(outcome: Outcome) -> Response:
    """Return the function's answer; an error, or a value that is no answer, is a 500 without a body."""
    value = outcome.value
    if not outcome.ok:
        return Response(status_code=500)
    if isinstance(value, str):
        return Response(value, media_type="text/plain")
    assert isinstance(value, func.HttpResponse)
    body = b"" if value.status_code in _WITHOUT_BODY else value.get_body()
    response = Response(body, status_code=value.status_code)
    for name, text in value.headers.items():
        if name.lower() not in _OWN_HEADERS:
            response.headers.append(name, text)
    if "content-type" not in response.headers and value.status_code not in _WITHOUT_BODY:
        charset = f"; charset={value.charset}" if value.mimetype.startswith("text/") else ""
        response.headers["content-type"] = f"{value.mimetype}{charset}"
    return response


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
