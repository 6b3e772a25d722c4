"""A queue in memory with the behaviour of Service Bus, for simulations on virtual time and for tests.

It follows "Message transfers, locks, and settlement", "Duplicate message detection", "Scheduled messages" and
"Overview of Service Bus dead-letter queues" (Microsoft Learn). Nothing runs by itself: what is due or has expired
takes effect when the queue is next asked, by the time of the injected clock.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from shared.errors import QueueUnavailable
from shared.messaging.outgoing import check, send_in_turn
from shared.sync.ports import Clock, DeadLetter, Outgoing, QueueView

MAX_DELIVERIES_REASON: Final = "MaxDeliveryCountExceeded"
MOST_DEAD: Final = 100
"""Dead letters that a look counts."""


class LockLost(Exception):
    """The message is no longer locked for this receiver: it was settled, or its lock has run out."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message handed out under a lock. delivery_count: 1 at the first delivery, as functions see it."""

    queue: str
    message_id: str
    body: str
    correlation_id: str
    delivery_count: int
    sequence_number: int
    locked_until: datetime
    lock: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What lies in a queue: ready to be received, not due yet, locked, and dead-lettered."""

    ready: int
    scheduled: int
    locked: int
    dead: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The properties of a queue. The defaults are Service Bus's own, with the longest lock that it allows."""

    lock_duration: timedelta = timedelta(minutes=5)
    max_delivery_count: int = 10
    duplicate_window: timedelta = timedelta(minutes=10)


@dataclass(slots=True)
class _Stored:
    """A message in the queue. failed: deliveries that ended without completion. lock: 0 when it has none."""

    message: Outgoing
    sequence_number: int
    due: datetime
    failed: int = 0
    lock: int = 0
    locked_until: datetime | None = None
    reason: str = ""


@dataclass(slots=True)
class _Shelf:
    """One queue. Every message is in exactly one of the first four, by its sequence number.

    ready_order, scheduled_order: heaps of the numbers and of the due times. seen: until when an id counts as sent;
    the oldest comes first, because the window is the same for all.
    """

    ready: dict[int, _Stored] = field(default_factory=dict)
    locked: dict[int, _Stored] = field(default_factory=dict)
    scheduled: dict[int, _Stored] = field(default_factory=dict)
    dead: dict[int, _Stored] = field(default_factory=dict)
    ready_order: list[int] = field(default_factory=list)
    scheduled_order: list[tuple[datetime, int]] = field(default_factory=list)
    seen: dict[str, datetime] = field(default_factory=dict)

    def put_ready(self, stored: _Stored) -> None:
        self.ready[stored.sequence_number] = stored
        heapq.heappush(self.ready_order, stored.sequence_number)

    def put_scheduled(self, stored: _Stored) -> None:
        self.scheduled[stored.sequence_number] = stored
        heapq.heappush(self.scheduled_order, (stored.due, stored.sequence_number))

    def take_due(self, now: datetime) -> Iterator[_Stored]:
        while self.scheduled_order and self.scheduled_order[0][0] <= now:
            yield self.scheduled.pop(heapq.heappop(self.scheduled_order)[1])

    def forget_seen(self, now: datetime) -> None:
        while self.seen and self.seen[oldest := next(iter(self.seen))] <= now:
            del self.seen[oldest]


class MemoryQueue:
    """`Queue` with its receiving half. Queues are those named at construction; others do not exist."""

    def __init__(self, clock: Clock, queues: Iterable[str], rules: Rules | None = None) -> None:
        self._clock = clock
        self._rules = rules or Rules()
        self._shelves = {name: _Shelf() for name in queues}
        self._sequence = itertools.count(1)
        self._locks = itertools.count(1)

    # --- the port

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Store the messages; one whose id was sent within the duplicate window is dropped without a word."""
        check(messages)
        shelf = self._shelf(queue)
        for message in messages:
            self._store(shelf, message)

    async def send_all(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
        """Store the messages of several queues, one queue after another."""
        await send_in_turn(self.send, by_queue)

    async def dead_letters(self, queue: str, limit: int) -> Sequence[DeadLetter]:
        """Lock up to `limit` dead letters and return them, the oldest first."""
        free = [stored for stored in self._shelf(queue).dead.values() if stored.locked_until is None]
        letters = free[:limit]
        for stored in letters:
            self._lock(stored)
        return [_dead_letter(stored) for stored in letters]

    async def settle_dead_letter(self, queue: str, letter: DeadLetter) -> None:
        """Remove the dead letter for good; raises QueueUnavailable when its lock has run out or it is gone."""
        dead = self._shelf(queue).dead
        number = next(
            (number for number, stored in dead.items() if stored.lock and stored.lock == letter.receipt), None
        )
        if number is None:
            raise QueueUnavailable("The lock on a dead letter has run out; read the dead letters again.")
        del dead[number]

    async def look(self, queue: str) -> QueueView:
        """What lies there now."""
        shelf = self._shelf(queue)
        lying = [*shelf.ready.values(), *shelf.locked.values()]
        return QueueView(min((stored.due for stored in lying), default=None), min(len(shelf.dead), MOST_DEAD))

    # --- the receiving half

    async def receive(self, queue: str) -> Delivery | None:
        """Lock the oldest message that is ready and return it; None when there is none."""
        shelf = self._shelf(queue)
        if not shelf.ready_order:
            return None
        number = heapq.heappop(shelf.ready_order)
        stored = shelf.locked[number] = shelf.ready.pop(number)
        locked_until = self._lock(stored)
        message = stored.message
        return Delivery(
            queue=queue,
            message_id=message.message_id,
            body=message.body,
            correlation_id=message.correlation_id,
            delivery_count=stored.failed + 1,
            sequence_number=number,
            locked_until=locked_until,
            lock=stored.lock,
        )

    async def complete(self, delivery: Delivery) -> None:
        """Remove the message; raises LockLost."""
        stored = self._held(delivery)
        del self._shelves[delivery.queue].locked[stored.sequence_number]

    async def abandon(self, delivery: Delivery) -> None:
        """Give the message back at once, with one failed delivery more; raises LockLost."""
        self._fail(self._shelves[delivery.queue], self._held(delivery))

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Move the message to the dead letters; raises LockLost."""
        self._bury(self._shelves[delivery.queue], self._held(delivery), reason)

    async def renew(self, delivery: Delivery) -> datetime:
        """Begin the lock's time anew and return its end; raises LockLost."""
        stored = self._held(delivery)
        stored.locked_until = self._clock.now() + self._rules.lock_duration
        return stored.locked_until

    def counts(self, queue: str) -> Counts:
        """Count what lies in the queue now."""
        shelf = self._shelf(queue)
        return Counts(len(shelf.ready), len(shelf.scheduled), len(shelf.locked), len(shelf.dead))

    def next_event(self) -> datetime | None:
        """Return when the next message becomes due or the next lock runs out; None when nothing is waited for."""
        for name in self._shelves:
            self._shelf(name)
        return min(itertools.chain.from_iterable(map(_times, self._shelves.values())), default=None)

    # --- inside

    def _shelf(self, queue: str) -> _Shelf:
        """The queue, after everything that time has done to it."""
        shelf = self._shelves.get(queue)
        if shelf is None:
            raise QueueUnavailable(f"The queue {queue} does not exist; create it or correct the transfer's name.")
        now = self._clock.now()
        shelf.forget_seen(now)
        for stored in [stored for stored in shelf.locked.values() if _expired(stored, now)]:
            self._fail(shelf, stored)
        for stored in shelf.dead.values():
            if _expired(stored, now):
                _unlock(stored)
        for stored in shelf.take_due(now):
            stored.sequence_number = next(self._sequence)  # a new one, as Service Bus gives
            shelf.put_ready(stored)
        return shelf

    def _store(self, shelf: _Shelf, message: Outgoing) -> None:
        now = self._clock.now()
        if message.message_id in shelf.seen:
            return
        shelf.seen[message.message_id] = now + self._rules.duplicate_window
        stored = _Stored(message, next(self._sequence), message.not_before or now)
        if stored.due > now:
            shelf.put_scheduled(stored)
        else:
            shelf.put_ready(stored)

    def _lock(self, stored: _Stored) -> datetime:
        stored.lock = next(self._locks)
        stored.locked_until = self._clock.now() + self._rules.lock_duration
        return stored.locked_until

    def _held(self, delivery: Delivery) -> _Stored:
        stored = self._shelf(delivery.queue).locked.get(delivery.sequence_number)
        if stored is None or stored.lock != delivery.lock:
            raise LockLost
        return stored

    def _fail(self, shelf: _Shelf, stored: _Stored) -> None:
        stored.failed += 1
        if stored.failed >= self._rules.max_delivery_count:
            self._bury(shelf, stored, MAX_DELIVERIES_REASON)
        else:
            _unlock(stored)
            shelf.put_ready(shelf.locked.pop(stored.sequence_number))

    def _bury(self, shelf: _Shelf, stored: _Stored, reason: str) -> None:
        _unlock(stored)
        stored.reason = reason
        shelf.dead[stored.sequence_number] = shelf.locked.pop(stored.sequence_number)


def _expired(stored: _Stored, now: datetime) -> bool:
    return stored.locked_until is not None and stored.locked_until <= now


def _unlock(stored: _Stored) -> None:
    stored.lock, stored.locked_until = 0, None


def _times(shelf: _Shelf) -> Iterator[datetime]:
    if shelf.scheduled_order:
        yield shelf.scheduled_order[0][0]
    for stored in itertools.chain(shelf.locked.values(), shelf.dead.values()):
        if stored.locked_until is not None:
            yield stored.locked_until


def _dead_letter(stored: _Stored) -> DeadLetter:
    message = stored.message
    return DeadLetter(message.message_id, message.body, stored.reason, stored.failed, stored.lock)
