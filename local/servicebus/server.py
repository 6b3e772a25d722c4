"""The endpoint: sockets, turns and the clock's alarms around the pure parts.

A turn is what happens between two commits: all input that is there is acted on, what can be handed out is handed out,
the store commits, and only then do the connections send. So several clients share one commit, and no client learns of
anything that a crash could undo.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from local.servicebus.broker import Broker, Clock, Counts
from local.servicebus.cbs import Authority
from local.servicebus.config import QueueSettings, check_queues
from local.servicebus.connection import Connection
from local.servicebus.context import Context
from local.servicebus.errors import Condition
from local.servicebus.faults import Faults
from local.servicebus.management import Management
from local.servicebus.store import SqliteStore

IDLE_SECONDS = 120.0
_TICK_SECONDS = 5.0
_LONGEST_SLEEP_SECONDS = 3600.0
_GOODBYE_SECONDS = 1.0
_WRITE_BUFFER_BYTES = 1_048_576
_log = logging.getLogger("crossdock.servicebus")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time now, aware and UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class QueueView:
    """The in-process door to one queue's figures."""

    name: str
    _broker: Callable[[], Broker]

    def counts(self) -> Counts:
        """How many messages are active, scheduled, locked, deferred and dead-lettered now."""
        return self._broker().counts(self.name)


class ServiceBusEndpoint:
    """A Service Bus-compatible AMQP 1.0 endpoint on the running event loop.

    queues: what there is; nothing is made on demand. path: the data file (its folder is made), None = nothing
    survives. port: 0 = any free one, see `port` after `start`. key_name, key: the one access rule. clock: the broker's
    time; tests hand in one they can move and call `wake` after moving it. token_clock: what expiries of tokens are
    compared with; clients stamp them with the machine's clock, so that is the default. ids: lock tokens and ids of
    messages sent without one. release_locks_on_start: count locks found in the file as run out, for when the
    receivers were part of the process that died.

    `start` raises ConfigError, StoreError (file in use or damaged) or OSError (port taken). All methods belong to the
    event loop of `start`. `faults` makes things go wrong on demand.
    """

    def __init__(
        self,
        *,
        queues: Sequence[QueueSettings],
        path: Path | None,
        host: str = "127.0.0.1",
        port: int = 0,
        key_name: str = "RootManageSharedAccessKey",
        key: str,
        clock: Clock | None = None,
        ids: Callable[[], UUID] = uuid4,
        token_clock: Clock | None = None,
        release_locks_on_start: bool = False,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        check_queues(queues)
        self.faults = Faults()
        self._queues = tuple(queues)
        self._path = path
        self._host = host
        self._port = port
        self._key_name, self._key = key_name, key
        self._clock = clock or SystemClock()
        self._ids = ids
        self._token_clock = token_clock or SystemClock()
        self._release_locks = release_locks_on_start
        self._idle_seconds = idle_seconds
        self._container_id = f"crossdock-{ids()}"
        self._protocols: set[_Protocol] = set()
        self._with_output: dict[_Protocol, None] = {}
        self._turn_planned = False
        self._is_stale = False
        self._alarm: asyncio.TimerHandle | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._store: SqliteStore | None = None
        self._context: Context | None = None

    # --- life

    async def start(self) -> None:
        """Open the data file and listen; returns when clients can connect."""
        if self._server is not None:
            raise RuntimeError("the endpoint has been started already")
        self._store = SqliteStore(self._path)
        try:
            self._context = self._new_context()
            if self._release_locks:
                self.context.broker.release_locks()
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Protocol(self), self._host, self._port
            )
        except BaseException:
            self._store.close()
            raise
        self._port = self._server.sockets[0].getsockname()[1]
        self._ticker = asyncio.create_task(self._tick_for_ever())
        self._turn()

    async def stop(self) -> None:
        """Say goodbye to clients, close sockets and file. Messages and locks stay in the file. Twice is harmless."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        for protocol in list(self._protocols):
            protocol.connection.fail(Condition.CONNECTION_FORCED, "the endpoint is stopping")
        self._turn()
        await self._wait_for_goodbyes()
        await server.wait_closed()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._store is not None:
            self._store.close()
            self._store = None

    async def _wait_for_goodbyes(self) -> None:
        """Clients that do not read what they are told are cut off."""
        gone = [protocol.gone for protocol in self._protocols]
        if gone:
            await asyncio.wait(gone, timeout=_GOODBYE_SECONDS)
        for protocol in list(self._protocols):
            protocol.abort()
        still_there = [protocol.gone for protocol in self._protocols]
        if still_there:
            await asyncio.wait(still_there, timeout=_GOODBYE_SECONDS)

    # --- what the outside sees

    @property
    def port(self) -> int:
        """The port clients connect to."""
        return self._port

    @property
    def connection_string(self) -> str:
        """What a client needs; holds the key, so do not log it."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "") else self._host  # noqa: S104 - compared, not bound
        return (
            f"Endpoint=sb://{host}:{self._port};SharedAccessKeyName={self._key_name};"
            f"SharedAccessKey={self._key};UseDevelopmentEmulator=true;"
        )

    def queue(self, name: str) -> QueueView:
        """A queue's figures; raises Refusal (amqp:not-found) when there is none of that name."""
        self.context.broker.entity(name)
        return QueueView(name, lambda: self.context.broker)

    def wake(self) -> None:
        """Look at the clock again, after it was moved by hand."""
        self._turn()

    @property
    def context(self) -> Context:
        """What the connections share; there from `start` on."""
        if self._context is None:
            raise RuntimeError("the endpoint has not been started")
        return self._context

    # --- turns

    def plan_turn(self) -> None:
        """End the turn when all input that is there has been read."""
        if not self._turn_planned:
            self._turn_planned = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_planned = False
        if self._store is None or self._context is None:
            return
        try:
            if self._is_stale:
                self._reload()
            self._context.broker.run_due()
            self._context.broker.finish_turn()
            if self.faults.next_commit_fails():
                raise sqlite3.OperationalError("a fault was asked for")
            self._store.commit()
        except Exception:
            # Whatever went wrong, memory and file may differ now: the file is what counts.
            _log.exception("the turn could not be committed; all connections are closed")
            self._recover()
        self._flush()
        self._set_alarm()

    def recover(self, protocol: _Protocol) -> None:
        """A connection's input led to an error of ours: undo the turn, whose changes may be half done."""
        _log.exception("an error inside the endpoint; all connections are closed")
        protocol.connection.fail(Condition.INTERNAL_ERROR, "an error inside the endpoint")
        self._recover()
        self.plan_turn()

    def _recover(self) -> None:
        """Undo the turn: drop what would have been sent, reload from the file, let clients connect anew."""
        for protocol in list(self._protocols):
            protocol.connection.take_output(0.0)
            protocol.connection.fail(Condition.INTERNAL_ERROR, "the turn was undone; connect and try again")
        self._is_stale = True
        try:
            self._reload()
        except sqlite3.Error:
            _log.exception("the data file cannot be read; no client is served until it can")

    def _reload(self) -> None:
        """Undo what was not committed and start over from the file."""
        if self._store is None:
            return
        self._store.rollback()
        if self.faults.next_commit_fails():
            raise sqlite3.OperationalError("a fault was asked for")
        self._context = self._new_context()
        self._is_stale = False

    def _new_context(self) -> Context:
        if self._store is None:
            raise RuntimeError("the endpoint has not been started")
        broker = Broker(self._queues, self._store, self._clock, self._ids)
        authority = Authority(self._key_name, self._key, lambda: self._token_clock.now().timestamp())
        management = Management(broker, self.faults)
        return Context(broker, management, authority, self.faults, self._container_id, self._idle_seconds)

    def wants_flush(self, protocol: _Protocol) -> None:
        """A connection has something to send at the end of the turn."""
        self._with_output[protocol] = None

    def _flush(self) -> None:
        while self._with_output:
            protocol, _ = self._with_output.popitem()
            protocol.flush()

    def _set_alarm(self) -> None:
        """Wake up when the next lock, schedule or life ends."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        broker = self.context.broker
        due = broker.next_due_ms()
        if due is None or self._server is None or self._is_stale:
            return
        seconds = min(max(0.0, (due - broker.now_ms()) / 1000), _LONGEST_SLEEP_SECONDS)
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._turn)

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(_TICK_SECONDS, self._idle_seconds / 4))
            for protocol in list(self._protocols):
                protocol.tick()
            self.plan_turn()

    def register(self, protocol: _Protocol) -> bool:
        """A client has connected; False when the endpoint is stopping or cannot read its file."""
        if self._server is None or self._is_stale:
            return False
        self._protocols.add(protocol)
        return True

    def forget(self, protocol: _Protocol) -> None:
        """A client is gone."""
        self._protocols.discard(protocol)
        self._with_output.pop(protocol, None)


class _Protocol(asyncio.Protocol):
    """The socket of one connection."""

    def __init__(self, endpoint: ServiceBusEndpoint) -> None:
        loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._now = loop.time
        self._transport: asyncio.Transport | None = None
        self._ticks_since_finish = 0
        self.connection = self._new_connection()
        self.gone: asyncio.Future[None] = loop.create_future()

    def _new_connection(self) -> Connection:
        return Connection(self._endpoint.context, self._now(), lambda: self._endpoint.wants_flush(self))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # The endpoint may have reloaded its file since this object was made: only now does it know this connection.
        self.connection = self._new_connection()
        transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        if not self._endpoint.register(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self.connection.receive(data, self._now())
        except Exception:
            self._endpoint.recover(self)
        if self.connection.finished or self.connection.dropped:
            self._endpoint.wants_flush(self)
        self._endpoint.plan_turn()

    def pause_writing(self) -> None:
        self.connection.pause()

    def resume_writing(self) -> None:
        self.connection.resume()
        self._endpoint.plan_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.lost()
        self._endpoint.forget(self)
        self._endpoint.plan_turn()
        if not self.gone.done():
            self.gone.set_result(None)

    def flush(self) -> None:
        """Send what the turn brought; close or cut the socket when the connection is over."""
        if self._transport is None or self._transport.is_closing():
            return
        if self.connection.dropped:
            self._transport.abort()
            return
        output = self.connection.take_output(self._now())
        if output:
            self._transport.write(output)
        if self.connection.sent():
            self._endpoint.plan_turn()
        if self.connection.finished:
            self._transport.close()

    def tick(self) -> None:
        """See to idle times; a client that does not take the goodbye is cut off."""
        self.connection.tick(self._now())
        if self.connection.finished:
            self._ticks_since_finish += 1
            if self._ticks_since_finish > 1:
                self.abort()

    def abort(self) -> None:
        """Cut the socket."""
        if self._transport is not None:
            self._transport.abort()
