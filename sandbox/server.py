"""Serve an ASGI application over a real port inside the running event loop, quietly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.faults import ConnectionBroken


class _QuietServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signal handlers alone and says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Served:
    """An application being served; `url` is its address without a trailing slash."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None], port: int) -> None:
        self._server = server
        self._task = task
        self.port = port
        self.url = f"{'https' if server.config.is_ssl else 'http'}://127.0.0.1:{port}"

    async def stop(self) -> None:
        """Stop serving; open connections are closed. A second call does nothing."""
        self._server.should_exit = True
        self._server.force_exit = True
        await self._task


class _BreakingApp:
    """Closes the real socket where the application breaks the connection on purpose."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.server: uvicorn.Server | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ConnectionBroken:
            self._close(scope)
            while (await receive())["type"] != "http.disconnect":
                continue

    def _close(self, scope: Scope) -> None:
        """Close the socket the request came in on: uvicorn offers no way, so look for its connection."""
        connections: set[Any] = self.server.server_state.connections if self.server else set()
        for connection in list(connections):
            if connection.client == tuple(scope["client"]):
                connection.transport.close()


async def serve(app: ASGIApp, port: int = 0, certificate: Path | None = None) -> Served:
    """Serve `app` on 127.0.0.1; port 0 takes a free one. Returns when it accepts connections.

    `certificate` names a PEM file with certificate and key, for https. Installs no signal handler and writes no access
    log. Raises OSError when the port is taken.
    """
    listener = socket.create_server(("127.0.0.1", port))  # at once, even where a server has just been killed
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else the parts of an answer wait for one another
    breaking = _BreakingApp(app)
    config = uvicorn.Config(
        breaking,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        date_header=False,
        log_level="critical",
        ssl_certfile=certificate,
    )
    server = breaking.server = _QuietServer(config)
    task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    ready = asyncio.ensure_future(server.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        await task
    return Served(server, task, int(listener.getsockname()[1]))
