"""The door of a sandbox: request log, faults on demand and the admin routes around the vendor's routes.

A plain ASGI application, so that it works in process, under uvicorn and in virtual time alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Protocol
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.clock import Clock
from sandbox.faults import ConnectionBroken, FaultKind, FaultRule, Faults
from sandbox.request_log import RequestLog
from sandbox.transport import READ_TIMEOUT_SECONDS

STALE_SECONDS = "sandbox.stale_seconds"
UNFORESEEN = "sandbox.unforeseen"
SIGN_IN_PAGE = (
    "<!DOCTYPE html><html><head><title>Sign in to your account</title></head>"
    "<body><form method='post' action='/common/login'><input name='loginfmt'></form></body></html>"
)


class FaultAnswers(Protocol):
    """How one system words its failures."""

    def throttled(self, retry_after_seconds: float) -> Response:
        """Answer 429."""
        ...

    def unavailable(self) -> Response:
        """Answer 503."""
        ...

    def gateway_timeout(self) -> Response:
        """Answer 504."""
        ...

    def server_error(self) -> Response:
        """Answer 500."""
        ...


def stale_seconds(scope: Mapping[str, object]) -> float | None:
    """Return how old an answer this GET shall show (0 = the previous version), or None for the present state."""
    value = scope.get(STALE_SECONDS)
    return value if isinstance(value, float) else None


def raw_segments_of(request: Request) -> tuple[str, ...]:
    """Return the parts of a request's path as they were sent, for a vendor whose parts have parts of their own."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    return tuple(segment for segment in raw.decode("latin-1").partition("?")[0].split("/") if segment)


def segments_of(request: Request) -> tuple[str, ...]:
    """Return the parts of a request's path, decoded one by one."""
    return tuple(unquote(segment) for segment in raw_segments_of(request))


def not_imitated(scope: Scope, what: str) -> Response:
    """Answer 501 for something no sandbox imitates; the request is marked as unforeseen and logged."""
    scope[UNFORESEEN] = True
    text = f"The sandbox does not imitate this: {what}"
    return JSONResponse({"error": {"code": "sandbox_not_imitated", "message": text}}, 501)


@dataclass
class _Answer:
    """What the vendor's application sent, or is sending."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    async def collect(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


class FrontDoor:
    """Wraps the vendor's routes. Paths under `/_sandbox` go to `admin` and meet neither log nor fault."""

    def __init__(
        self,
        vendor: ASGIApp,
        admin: ASGIApp,
        *,
        faults: Faults,
        requests: RequestLog,
        clock: Clock,
        answers: FaultAnswers,
    ) -> None:
        self._vendor = vendor
        self._admin = admin
        self._faults = faults
        self._requests = requests
        self._clock = clock
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["path"].startswith("/_sandbox"):
            await self._admin(scope, receive, send)
        else:
            await self._logged(scope, receive, send)

    async def _logged(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = self._faults.pick(scope["method"], scope["path"])
        seen = _Answer()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"date", self._date())]
            await send(message)

        try:
            if rule is None:
                await self._vendor(scope, receive, watched)
            else:
                await self._struck(rule, scope, receive, watched)
        finally:
            self._log(scope, seen.status, rule)

    def _date(self) -> bytes:
        """The moment of the answer, as every origin server tells it (RFC 9110, 6.6.1)."""
        return format_datetime(self._clock.now(), usegmt=True).encode("ascii")

    def _log(self, scope: Scope, status: int, rule: FaultRule | None) -> None:
        names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
        self._requests.add(
            at=self._clock.now(),
            method=scope["method"],
            path=scope["path"],
            query_names=tuple(names),
            status=status,
            unforeseen=bool(scope.get(UNFORESEEN)),
            fault=rule.kind if rule is not None else None,
        )

    async def _struck(self, rule: FaultRule, scope: Scope, receive: Receive, send: Send) -> None:
        match rule.kind:
            case FaultKind.STALE_READ:
                scope[STALE_SECONDS] = float(rule.seconds)
                await self._vendor(scope, receive, send)
            case FaultKind.STALL:
                await self._stall(rule, scope, receive)
            case FaultKind.LOST_ANSWER:
                await self._vendor(scope, receive, _Answer().collect)
                raise ConnectionBroken(rule.kind)
            case FaultKind.REFUSED_CONNECTION:
                raise ConnectionBroken(rule.kind)
            case FaultKind.HALF_BODY:
                await self._half_body(scope, receive, send)
            case _:
                await self._refuse(rule, scope, receive, send)

    async def _stall(self, rule: FaultRule, scope: Scope, receive: Receive) -> None:
        if rule.executes:
            await self._vendor(scope, receive, _Answer().collect)
        patience = READ_TIMEOUT_SECONDS.get()
        await self._clock.sleep(rule.seconds if patience is None else min(patience, rule.seconds))
        raise ConnectionBroken(rule.kind)

    async def _half_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer()
        await self._vendor(scope, receive, answer.collect)
        if answer.body:
            half = bytes(answer.body[: len(answer.body) // 2])
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            await send({"type": "http.response.body", "body": half, "more_body": True})
        raise ConnectionBroken(FaultKind.HALF_BODY)

    async def _refuse(self, rule: FaultRule, scope: Scope, receive: Receive, send: Send) -> None:
        if rule.kind is FaultKind.GATEWAY_TIMEOUT:
            await self._vendor(scope, receive, _Answer().collect)
        response = self._refusal(rule)
        await response(scope, receive, send)

    def _refusal(self, rule: FaultRule) -> Response:
        match rule.kind:
            case FaultKind.THROTTLED:
                return self._answers.throttled(rule.retry_after_seconds)
            case FaultKind.UNAVAILABLE:
                return self._answers.unavailable()
            case FaultKind.GATEWAY_TIMEOUT:
                return self._answers.gateway_timeout()
            case FaultKind.GARBAGE:
                return HTMLResponse(SIGN_IN_PAGE)
        return self._answers.server_error()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
