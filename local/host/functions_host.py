"""The host as a whole: reads the app, starts the listeners, serves HTTP, stops in an orderly way."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import azure.functions as func
import uvicorn
from starlette.types import ASGIApp

from local.host.errors import HostRefused, UnknownFunction
from local.host.http import HttpSide
from local.host.index import HostedFunction, QueueTrigger, TimerTrigger, index
from local.host.invoking import Invoker, Outcome
from local.host.ports import Clock, OpenReceiver
from local.host.queues import ListenerHealth, QueueListener
from local.host.service_bus import open_service_bus_receiver
from local.host.settings import HostKeys, read_host_json
from local.host.sign_in import PlatformSignIn
from local.host.timers import TimerListener, TimerStates

log = logging.getLogger(__name__)

_LAST_SECONDS = 10.0
"""How long cancelled functions may take to end, and receivers to close, before the stop goes on without them."""


@dataclass(frozen=True, slots=True)
class HostHealth:
    """How the host is: `healthy` when it runs and no listener waits for its endpoint."""

    running: bool
    invocations: int
    listeners: tuple[ListenerHealth, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything that should listen does."""
        return self.running and all(listener.state == "listening" for listener in self.listeners)


class _Server(uvicorn.Server):
    """uvicorn inside a program that has its own way to stop: it must not take over the process's signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class FunctionsHost:
    """Runs the functions of an app on this machine: HTTP, timers, Service Bus queues.

    settings are the app settings that bindings refer to; the functions themselves read the environment, which is the
    caller's to set. http_port 0 takes a free port, None serves no HTTP. state_path keeps the timers' last and next
    runs across restarts. grace_seconds is how long `stop` waits for running functions before it cancels them.
    sign_in is the platform's sign-in in front of the functions; None leaves it off, as it is in Azure at first.
    Raises HostRefused (naming function or setting) for an app that would not run in Azure or is not imitated.
    """

    def __init__(
        self,
        app: func.FunctionApp,
        *,
        settings: Mapping[str, str],
        host_json: Mapping[str, Any],
        keys: HostKeys,
        clock: Clock,
        http_address: str = "127.0.0.1",
        http_port: int | None = 0,
        state_path: Path | None = None,
        open_receiver: OpenReceiver = open_service_bus_receiver,
        new_invocation_id: Callable[[], str] = lambda: str(uuid4()),
        grace_seconds: float = 30.0,
        sign_in: PlatformSignIn | None = None,
    ) -> None:
        options = read_host_json(host_json)
        self._functions = index(app, settings)
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._address = http_address
        self._port = http_port
        self._invoker = Invoker(new_invocation_id, _threads(settings))
        states = TimerStates(state_path)
        active = [function for function in self._functions if not function.disabled]
        self._timers = {
            function.name.lower(): TimerListener(function, self._invoker, states, clock)
            for function in active
            if isinstance(function.trigger, TimerTrigger)
        }
        self._queues = [
            QueueListener(function, self._invoker, open_receiver, options.service_bus, clock)
            for function in active
            if isinstance(function.trigger, QueueTrigger)
        ]
        self._listeners: tuple[TimerListener | QueueListener, ...] = (*self._timers.values(), *self._queues)
        self._http = HttpSide(
            self._functions,
            self._invoker,
            keys,
            route_prefix=options.route_prefix,
            run_timer=self._run_timer,
            status=self._status,
        )
        self._sign_in = sign_in
        self._app: ASGIApp = self._http if sign_in is None else sign_in.around(self._http)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._url = ""
        self._running = False
        self._used = False

    @property
    def asgi(self) -> ASGIApp:
        """The ASGI application, for tests that call it in process; it works without `start`."""
        return self._app

    @property
    def url(self) -> str:
        """The address of the HTTP side, such as http://127.0.0.1:7071; empty before the start and without HTTP."""
        return self._url

    def functions(self) -> tuple[HostedFunction, ...]:
        """Return what was found in the app, disabled functions included."""
        return self._functions

    def health(self) -> HostHealth:
        """Return how the host and each of its listeners are."""
        listeners = tuple(listener.health for listener in self._listeners)
        return HostHealth(self._running, self._invoker.running, listeners)

    async def invoke_timer(self, name: str) -> Outcome:
        """Run a timer function now, outside of its schedule, and return how it ended.

        It waits for a run that is going on. Raises UnknownFunction where there is no timer of that name.
        """
        outcome = await self._run_timer(name)
        if outcome is None:
            raise UnknownFunction(f"there is no timer function {name!r} (or it is disabled).")
        return outcome

    async def start(self) -> None:
        """Serve HTTP and listen to timers and queues; a queue's endpoint need not be there yet.

        Raises HostRefused when the HTTP port is taken. A host starts once.
        """
        if self._used:
            raise HostRefused("a host starts once; make a new one.")
        self._used = True
        if self._port is not None:
            await self._serve(self._port)
        for listener in self._listeners:
            listener.start()
        self._running = True
        log.info("The local Functions host runs %d functions, HTTP at %s", len(self._functions), self._url or "no port")

    async def stop(self) -> None:
        """Take nothing new, wait for running functions (at most grace_seconds), then cancel what is left.

        Messages of cancelled functions stay locked until their lock runs out, as when Azure ends a process. Doing it
        twice, or before the start, is fine.
        """
        if not self._running:
            return
        self._running = False
        ends = [asyncio.create_task(listener.stop()) for listener in self._listeners]
        listeners = tuple(ends)
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            ends.append(self._serving)
        if not await self._all_end(ends, self._grace_seconds):
            log.warning("%d functions were still running and are cancelled", self._invoker.cancel_running())
            if not await self._all_end(ends, _LAST_SECONDS):
                log.warning("a listener did not end and is left behind")
                await self._abandon(listeners, ends)
        if self._sign_in is not None:
            await self._sign_in.aclose()
        self._invoker.close()

    async def _abandon(self, listeners: Collection[asyncio.Task[None]], ends: Collection[asyncio.Task[None]]) -> None:
        """Cancel the listeners and let the HTTP side drop its connections."""
        if self._server is not None:
            self._server.force_exit = True
        for listener in listeners:
            listener.cancel()
        await _all_of(ends)

    async def _all_end(self, ends: Collection[asyncio.Task[None]], seconds: float) -> bool:
        """Wait for all of them, at most so long by the host's clock."""
        everything = asyncio.create_task(_all_of(ends))
        grace = asyncio.create_task(self._clock.sleep(seconds))
        await asyncio.wait({everything, grace}, return_when=asyncio.FIRST_COMPLETED)
        everything.cancel()
        grace.cancel()
        return all(end.done() for end in ends)

    async def _serve(self, port: int) -> None:
        try:
            door = socket.create_server((self._address, port))
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as sandbox.server does
        except OSError as error:
            raise HostRefused(f"port {port} on {self._address} is taken; choose another.") from error
        config = uvicorn.Config(self._app, access_log=False, log_config=None, lifespan="off", server_header=False)
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[door]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.01)
        self._url = f"http://{self._address}:{door.getsockname()[1]}"

    async def _run_timer(self, name: str) -> Outcome | None:
        listener = self._timers.get(name.lower())
        return None if listener is None else await listener.run_now()

    def _status(self) -> Mapping[str, Any]:
        health = self.health()
        return {
            "state": "Running" if health.running else "Stopped",
            "healthy": health.healthy,
            "functions": [function.summary for function in self._functions],
            "listeners": [
                {"function": entry.function, "kind": entry.kind, "state": entry.state, "detail": entry.detail}
                for entry in health.listeners
            ],
        }


async def _all_of(tasks: Collection[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


def _threads(settings: Mapping[str, str]) -> int | None:
    """`PYTHON_THREADPOOL_THREAD_COUNT`, as the worker reads it; absent means Python's own default."""
    text = settings.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    if not text:
        return None
    if not text.isdigit() or not 1 <= int(text) <= 32:
        raise HostRefused("the app setting PYTHON_THREADPOOL_THREAD_COUNT must be a number from 1 to 32.")
    return int(text)
