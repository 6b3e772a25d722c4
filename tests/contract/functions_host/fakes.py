"""What the tests of the host stand on: a clock that is moved by hand, queues in memory, freshly loaded sample apps."""

from __future__ import annotations

import asyncio
import heapq
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from local.host import FunctionsHost, HostKeys, LockLost, QueuedMessage, QueueSource, ReceiverLost

SAMPLE_APP = Path(__file__).parent / "sample_app"
SETTINGS: Mapping[str, str] = {
    "TICK_SCHEDULE": "0 */5 * * * *",
    "ORDERS_QUEUE": "orders",
    "ServiceBus": "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;",
}
KEYS = HostKeys(master="master-key", default="host-key", functions={"echo": "echo-key"})
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class HandClock:
    """A clock that stands still until `advance`."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now
        self._order = count()
        self._sleepers: list[tuple[datetime, int, asyncio.Event]] = []

    def now(self) -> datetime:
        """The time of this clock."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved that far."""
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self._now + timedelta(seconds=seconds), next(self._order), woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking sleepers one after the other at their own times."""
        end = self._now + timedelta(seconds=seconds)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            woken.set()
            await settle()
        self._now = end
        await settle()


async def settle() -> None:
    """Let everything run that can run without time passing."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that happens in real time (threads, sockets); fails with `what` after ten seconds."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"did not happen within ten seconds: {what}")


@dataclass
class _Entry:
    """A message in a queue and who holds it."""

    message: QueuedMessage
    failures: int = 0
    locked_until: datetime | None = None
    token: int = 0


@dataclass(frozen=True)
class _Lock:
    """What one handing out of a message gives the right to settle."""

    entry: _Entry
    token: int


@dataclass
class MemoryQueue:
    """A queue in memory: peek-lock, delivery counts, dead letters, locks that run out by the clock."""

    clock: HandClock
    lock_seconds: float = 60.0
    max_deliveries: int = 10
    up: bool = True
    entries: list[_Entry] = field(default_factory=list)
    dead: list[QueuedMessage] = field(default_factory=list)
    completed: list[str] = field(default_factory=list)
    renewals: int = 0
    opened: int = 0

    def send(self, body: str, **properties: Any) -> None:
        """Put a message into the queue."""
        number = len(self.entries) + len(self.completed) + len(self.dead) + 1
        now = self.clock.now()
        message = QueuedMessage(
            body=body.encode(),
            message_id=f"m{number}",
            delivery_count=1,
            sequence_number=number,
            lock_token="",
            locked_until=now,
            enqueued_at=now,
            **properties,
        )
        self.entries.append(_Entry(message))

    def take(self) -> QueuedMessage | None:
        """Hand out the first message that nobody holds."""
        self._release_expired()
        for entry in self.entries:
            if entry.locked_until is None:
                entry.token += 1
                entry.locked_until = self.clock.now() + timedelta(seconds=self.lock_seconds)
                return replace(
                    entry.message,
                    delivery_count=entry.failures + 1,
                    lock_token=str(UUID(int=entry.token)),
                    locked_until=entry.locked_until,
                    handle=_Lock(entry, entry.token),
                )
        return None

    def held(self, message: QueuedMessage) -> _Entry:
        """Return the entry of a message, if its lock still counts."""
        self._release_expired()
        assert isinstance(message.handle, _Lock)
        entry, token = message.handle.entry, message.handle.token
        if entry.locked_until is None or entry.token != token:
            raise LockLost("taken away")
        return entry

    def fail(self, entry: _Entry) -> None:
        """Count a failed delivery; the last one makes it a dead letter."""
        entry.failures += 1
        entry.locked_until = None
        if entry.failures >= self.max_deliveries:
            self.entries.remove(entry)
            self.dead.append(entry.message)

    def _release_expired(self) -> None:
        for entry in list(self.entries):
            if entry.locked_until is not None and entry.locked_until <= self.clock.now():
                self.fail(entry)


class MemoryReceiver:
    """A receiver of a MemoryQueue."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue
        self._closed = False
        queue.opened += 1

    async def receive(self, wait_seconds: float) -> QueuedMessage | None:
        """Wait for a moment of real time at most, whatever was asked: the hand clock does not move by itself."""
        self._check()
        message = self._queue.take()
        if message is None:
            await asyncio.sleep(0.005)
        return message

    async def complete(self, message: QueuedMessage) -> None:
        """See the port."""
        self._check()
        self._queue.entries.remove(self._queue.held(message))
        self._queue.completed.append(message.body.decode())

    async def abandon(self, message: QueuedMessage) -> None:
        """See the port."""
        self._check()
        self._queue.fail(self._queue.held(message))

    async def renew(self, message: QueuedMessage) -> datetime:
        """See the port."""
        self._check()
        entry = self._queue.held(message)
        entry.locked_until = self._queue.clock.now() + timedelta(seconds=self._queue.lock_seconds)
        self._queue.renewals += 1
        return entry.locked_until

    async def close(self) -> None:
        """See the port."""
        self._closed = True

    def _check(self) -> None:
        if self._closed or not self._queue.up:
            raise ReceiverLost("endpoint is down")


@dataclass
class MemoryBus:
    """Queues by name, made when first asked for."""

    clock: HandClock
    queues: dict[str, MemoryQueue] = field(default_factory=dict)

    def queue(self, name: str, **options: Any) -> MemoryQueue:
        """Return a queue; the options count when it is made."""
        if name not in self.queues:
            self.queues[name] = MemoryQueue(self.clock, **options)
        return self.queues[name]

    def open(self, source: QueueSource) -> MemoryReceiver:
        """What the host opens receivers with."""
        return MemoryReceiver(self.queue(source.queue))


def load_sample_app() -> ModuleType:
    """Load the sample app anew, with an app object and a journal of its own."""
    spec = importlib.util.spec_from_file_location("sample_function_app", SAMPLE_APP / "function_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_host(app: Any, clock: HandClock, bus: MemoryBus, **options: Any) -> FunctionsHost:
    """Return a host on fakes, without a port unless one is asked for; host.json and settings can be given."""
    options.setdefault("http_port", None)
    return FunctionsHost(
        app,
        settings={**SETTINGS, **options.pop("settings", {})},
        host_json={"version": "2.0", **options.pop("host_json", {})},
        keys=options.pop("keys", KEYS),
        clock=clock,
        open_receiver=bus.open,
        **options,
    )
