"""An httpx transport straight into a sandbox, in process: no socket, no thread, no real time."""

from __future__ import annotations

from contextvars import ContextVar

import httpx
from starlette.types import ASGIApp

from sandbox.faults import ConnectionBroken, FaultKind

READ_TIMEOUT_SECONDS: ContextVar[float | None] = ContextVar("read_timeout_seconds", default=None)
"""How long the caller of the request being served waits for an answer; None = for ever, or not known."""


def broken(error: ConnectionBroken, request: httpx.Request) -> httpx.TransportError:
    """Return the exception an httpx client sees on a real network for this kind of break."""
    if error.kind is FaultKind.REFUSED_CONNECTION:
        return httpx.ConnectError("connection refused", request=request)
    if error.kind is FaultKind.STALL:
        return httpx.ReadTimeout("no answer within the read timeout", request=request)
    return httpx.RemoteProtocolError("server disconnected without sending a complete response", request=request)


class SandboxTransport(httpx.AsyncBaseTransport):
    """Carries requests to an ASGI application and turns broken connections into httpx's own exceptions.

    The request's read timeout is honoured where a sandbox stalls on purpose, on the sandbox's clock. A break
    before the request was read is `httpx.ConnectError`, a stall `httpx.ReadTimeout`, a lost or half answer
    `httpx.RemoteProtocolError`.
    """

    def __init__(self, app: ASGIApp, client: tuple[str, int] = ("127.0.0.1", 50000)) -> None:
        self._inner = httpx.ASGITransport(app=app, client=client)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request in process."""
        timeouts = request.extensions.get("timeout") or {}
        mark = READ_TIMEOUT_SECONDS.set(timeouts.get("read"))
        try:
            return await self._inner.handle_async_request(request)
        except ConnectionBroken as error:
            raise broken(error, request) from error
        finally:
            READ_TIMEOUT_SECONDS.reset(mark)


class HostRouter(httpx.AsyncBaseTransport):
    """Carries each request to the application of its host, so that one client can talk to several sandboxes.

    Keys are hosts as they stand in URLs (`crm.example`, `127.0.0.1:8080`). A host nobody serves is
    `httpx.ConnectError`, as on a real network.
    """

    def __init__(self, apps: dict[str, ASGIApp]) -> None:
        self._transports = {host: SandboxTransport(app) for host, app in apps.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request by the application of its host."""
        transport = self._transports.get(request.url.netloc.decode())
        if transport is None:
            raise httpx.ConnectError(f"nobody serves {request.url.host}", request=request)
        return await transport.handle_async_request(request)
