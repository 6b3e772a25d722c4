"""How queues behave: locks, delivery counts, dead letters, schedules, deferral, expiry and duplicates.

No I/O of its own: it is given a store, a clock and ids, and hands messages to consumers through a port. Everything
here happens at once and in memory; the caller commits the store before any consequence leaves the process. Sources:
Microsoft Learn, "Message transfers, locks, and settlement", "Message sequencing and timestamps", "Overview of Service
Bus dead-letter queues", "Message expiration (Time to Live)", "Duplicate message detection", "Message deferral".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import Protocol
from uuid import UUID

from local.servicebus.codec import Int, Long, Symbol, Timestamp, Value
from local.servicebus.config import QueueSettings
from local.servicebus.errors import Condition, Refusal
from local.servicebus.messages import Incoming, render, with_application_properties
from local.servicebus.store import Entry, Place, State, Store, SubQueue

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DUE_AT_ONCE = 500
"""So many due events are handled in one go, so that a crowd of them does not hold up the event loop."""

_COMPACT_AT = 10_000
"""From so many planned events on, those that settling has overtaken are thrown out now and then."""

EXPIRED = "TTLExpiredException"
MAX_DELIVERIES = "MaxDeliveryCountExceeded"


class Clock(Protocol):
    """The only source of time; `now` is aware and UTC."""

    def now(self) -> datetime: ...


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return (moment - _EPOCH) // _MILLISECOND


class Settlement(Enum):
    """What a receiver does with a locked message."""

    COMPLETE = auto()
    ABANDON = auto()
    DEFER = auto()
    DEAD_LETTER = auto()
    RELEASE = auto()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a queue holds; a locked one counts only as locked, `active` are those free to be received."""

    active: int
    scheduled: int
    locked: int
    deferred: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message for a receiver; `lock_token` None when it was deleted on the way (receive-and-delete)."""

    encoded: bytes
    lock_token: UUID | None


class Consumer(Protocol):
    """A receiver with credit.

    wants: it has credit and can take a delivery now. deletes: receive-and-delete. done: it wants, but nothing is there.
    """

    @property
    def wants(self) -> bool: ...

    @property
    def deletes(self) -> bool: ...

    def deliver(self, delivery: Delivery) -> None: ...

    def done(self) -> None: ...


@dataclass(slots=True)
class Entity:
    """A queue or sub-queue at work."""

    settings: QueueSettings
    place: Place
    entries: dict[int, Entry] = field(default_factory=dict)
    ready: list[int] = field(default_factory=list)
    locks: dict[UUID, Entry] = field(default_factory=dict)
    scheduled: set[int] = field(default_factory=set)
    deferred: set[int] = field(default_factory=set)
    consumers: dict[Consumer, None] = field(default_factory=dict)

    @property
    def is_main(self) -> bool:
        return self.place.sub is SubQueue.MAIN

    def take_in(self, entry: Entry) -> None:
        """Index an entry by its state."""
        self.entries[entry.sequence] = entry
        if entry.lock_token is not None:
            self.locks[entry.lock_token] = entry
        if entry.state is State.SCHEDULED:
            self.scheduled.add(entry.sequence)
        elif entry.state is State.DEFERRED:
            self.deferred.add(entry.sequence)
        elif entry.lock_token is None:
            heappush(self.ready, entry.sequence)

    def let_go(self, entry: Entry) -> None:
        """Forget an entry; its place among the ready ones is skipped later."""
        self.entries.pop(entry.sequence, None)
        self.scheduled.discard(entry.sequence)
        self.deferred.discard(entry.sequence)
        if entry.lock_token is not None:
            self.locks.pop(entry.lock_token, None)

    def first_ready(self) -> Entry | None:
        """The unlocked active message with the lowest sequence number."""
        while self.ready:
            entry = self.entries.get(self.ready[0])
            if entry is not None and entry.state is State.ACTIVE and entry.lock_token is None:
                return entry
            heappop(self.ready)
        return None


@dataclass(slots=True)
class _Queue:
    settings: QueueSettings
    number: int
    next_sequence: int
    entities: dict[SubQueue, Entity]
    remembered: dict[str, int] = field(default_factory=dict)


class _What(Enum):
    LOCK_ENDS = auto()
    ACTIVATE = auto()
    EXPIRE = auto()
    FORGET = auto()


class Broker:
    """All queues of an endpoint. Raises Refusal where a client asks for what cannot be.

    `new_id` makes lock tokens and the ids of messages sent without one. After an exception of the store the caller
    must roll back and make a new broker from the store.
    """

    def __init__(self, queues: Sequence[QueueSettings], store: Store, clock: Clock, new_id: Callable[[], UUID]) -> None:
        self._store = store
        self._clock = clock
        self.new_id = new_id
        self._due: list[tuple[int, int, _What, _Queue | Entity, int | str | UUID]] = []
        self._tie = 0
        self._compact_at = _COMPACT_AT
        self._dirty: dict[int, Entity] = {}
        self._numbered: dict[int, _Queue] = {}
        self._queues = {settings.name.lower(): self._load(settings) for settings in queues}
        heapify(self._due)
        store.commit()

    def now_ms(self) -> int:
        """The clock's time in milliseconds since 1970."""
        return milliseconds(self._clock.now())

    # --- finding

    def has(self, name: str) -> bool:
        """Whether there is a queue of that name (without regard to case)."""
        return name.lower() in self._queues

    def entity(self, name: str, sub: SubQueue = SubQueue.MAIN) -> Entity:
        """A queue or sub-queue; raises Refusal (amqp:not-found) when there is none."""
        queue = self._queues.get(name.lower())
        if queue is None:
            raise Refusal(Condition.NOT_FOUND, "there is no queue of this name; name it in the configuration")
        return queue.entities[sub]

    def counts(self, name: str) -> Counts:
        """How many messages the queue holds now."""
        main = self.entity(name)
        dead = self.entity(name, SubQueue.DEAD_LETTER)
        locked_deferred = sum(1 for entry in main.locks.values() if entry.state is State.DEFERRED)
        deferred = len(main.deferred) - locked_deferred
        locked, scheduled = len(main.locks), len(main.scheduled)
        return Counts(
            active=len(main.entries) - locked - scheduled - deferred,
            scheduled=scheduled,
            locked=locked,
            deferred=deferred,
            dead_lettered=len(dead.entries),
        )

    # --- sending

    def enqueue(self, entity: Entity, messages: Sequence[Incoming]) -> list[int]:
        """Store messages; gives their sequence numbers, 0 for one that was dropped as a duplicate."""
        return [self._enqueue_one(entity, message) for message in messages]

    def _enqueue_one(self, entity: Entity, message: Incoming) -> int:
        queue, now = self._queue_of(entity), self.now_ms()
        if self._is_duplicate(queue, message.message_id, now):
            return 0
        later = message.scheduled_ms is not None and message.scheduled_ms > now
        entry = Entry(
            sequence=self._next_sequence(queue),
            body=0,
            state=State.SCHEDULED if later else State.ACTIVE,
            enqueued_ms=now,
            ttl_ms=_shorter(message.ttl_ms, entity.settings.default_message_ttl),
            scheduled_ms=message.scheduled_ms,
        )
        if not later:
            entry.expires_ms = _later(now, entry.ttl_ms)
        self._store.add(entity.place, entry, message.content)
        self._take_in(entity, entry)
        return entry.sequence

    def schedule(self, entity: Entity, messages: Sequence[Incoming]) -> list[int]:
        """Store messages for later; one whose time has come already can be received at once."""
        if any(message.scheduled_ms is None for message in messages):
            raise Refusal(Condition.ARGUMENT_ERROR, "a message to schedule lacks x-opt-scheduled-enqueue-time")
        return self.enqueue(entity, messages)

    def cancel_scheduled(self, entity: Entity, sequences: Sequence[int]) -> None:
        """Delete scheduled messages, all or none; raises Refusal when one is not (or no longer) scheduled."""
        known = {sequence: entity.entries[sequence] for sequence in sequences if sequence in entity.scheduled}
        if not all(sequence in known for sequence in sequences):
            raise Refusal(Condition.MESSAGE_NOT_FOUND, "a sequence number is not that of a scheduled message")
        for entry in known.values():
            self._delete(entity, entry)

    def _is_duplicate(self, queue: _Queue, message_id: str, now: int) -> bool:
        if not queue.settings.requires_duplicate_detection:
            return False
        if queue.remembered.get(message_id, 0) > now:
            return True
        until = now + queue.settings.duplicate_detection_window // _MILLISECOND
        queue.remembered[message_id] = until
        self._store.remember(queue.number, message_id, until)
        self._plan(until, _What.FORGET, queue, message_id)
        return False

    def _next_sequence(self, queue: _Queue) -> int:
        sequence = queue.next_sequence
        queue.next_sequence += 1
        self._numbered[queue.number] = queue
        return sequence

    # --- receiving

    def add_consumer(self, entity: Entity, consumer: Consumer) -> None:
        """A receiver wants messages; those who came earlier are served first."""
        entity.consumers.setdefault(consumer)
        self._touch(entity)

    def remove_consumer(self, entity: Entity, consumer: Consumer) -> None:
        """A receiver wants nothing more."""
        entity.consumers.pop(consumer, None)

    def finish_turn(self) -> None:
        """Hand out what can be handed out and store what is kept up to here; call it before each commit."""
        while self._dirty:
            _, entity = self._dirty.popitem()
            self._serve(entity)
        while self._numbered:
            number, queue = self._numbered.popitem()
            self._store.set_next_sequence(number, queue.next_sequence)

    def _serve(self, entity: Entity) -> None:
        """Credit is served in the order in which it was given: the first consumer takes all it wants."""
        for consumer in list(entity.consumers):
            while consumer.wants:
                delivery = self._next_delivery(entity, delete=consumer.deletes)
                if delivery is None:
                    consumer.done()
                    break
                consumer.deliver(delivery)

    def _next_delivery(self, entity: Entity, *, delete: bool) -> Delivery | None:
        while (entry := entity.first_ready()) is not None:
            if entry.expires_ms is not None and entry.expires_ms <= self.now_ms():
                self._expire(entity, entry)
                continue
            heappop(entity.ready)
            return self._deleted(entity, entry) if delete else self._locked(entity, entry)
        return None

    def _deleted(self, entity: Entity, entry: Entry) -> Delivery:
        encoded = self._rendered(entity, entry, delivery_annotations={})
        self._delete(entity, entry)
        return Delivery(encoded, None)

    def _locked(self, entity: Entity, entry: Entry) -> Delivery:
        token = self._lock(entity, entry)
        annotations = {Symbol("x-opt-lock-token"): token}
        return Delivery(self._rendered(entity, entry, delivery_annotations=annotations), token)

    def _lock(self, entity: Entity, entry: Entry) -> UUID:
        token = self.new_id()
        entry.lock_token = token
        entity.locks[token] = entry
        self._hold(entity, entry)
        return token

    def _hold(self, entity: Entity, entry: Entry) -> None:
        entry.locked_until_ms = self.now_ms() + entity.settings.lock_duration // _MILLISECOND
        self._store.update(entity.place, entry)
        if entry.lock_token is not None:
            self._plan(entry.locked_until_ms, _What.LOCK_ENDS, entity, entry.lock_token)

    def receive_deferred(self, entity: Entity, sequences: Sequence[int], *, delete: bool) -> list[Delivery]:
        """Receive deferred messages by number, all or none; raises Refusal when one is missing or locked."""
        entries = [entity.entries.get(sequence) for sequence in dict.fromkeys(sequences)]
        free = [entry for entry in entries if entry is not None and entry.lock_token is None]
        if len(free) < len(entries) or any(entry.state is not State.DEFERRED for entry in free):
            raise Refusal(Condition.MESSAGE_NOT_FOUND, "a sequence number is not that of an unlocked deferred message")
        return [self._deleted(entity, entry) if delete else self._locked(entity, entry) for entry in free]

    def peek(self, entity: Entity, sequence: int, count: int, max_bytes: int) -> list[bytes]:
        """Up to `count` messages from a sequence number on, in any state, without locking; about `max_bytes`."""
        found: list[bytes] = []
        size = 0
        for number in self._store.sequences_from(entity.place, sequence, count):
            encoded = self._rendered(entity, entity.entries[number], locked=False)
            size += len(encoded)
            if found and size > max_bytes:
                break
            found.append(encoded)
        return found

    def _rendered(
        self,
        entity: Entity,
        entry: Entry,
        *,
        delivery_annotations: Mapping[Symbol, Value] | None = None,
        locked: bool = True,
    ) -> bytes:
        annotations: dict[Symbol, Value] = {
            Symbol("x-opt-enqueued-time"): Timestamp(entry.enqueued_ms),
            Symbol("x-opt-sequence-number"): Long(entry.sequence),
        }
        if locked and entry.lock_token is not None:
            annotations[Symbol("x-opt-locked-until")] = Timestamp(entry.locked_until_ms)
        if entry.scheduled_ms is not None:
            annotations[Symbol("x-opt-scheduled-enqueue-time")] = Timestamp(entry.scheduled_ms)
        if entry.state is not State.ACTIVE:
            annotations[Symbol("x-opt-message-state")] = Int(entry.state)
        return render(
            self._store.content(entry),
            ttl_ms=entry.ttl_ms,
            delivery_count=entry.delivery_count,
            delivery_annotations=delivery_annotations,
            annotations=annotations,
        )

    # --- settling

    def settle(
        self, entity: Entity, token: UUID, settlement: Settlement, properties: Mapping[str, Value] | None = None
    ) -> None:
        """Settle a locked message; `properties` change its application properties.

        Raises Refusal (message-lock-lost) when the lock is over, and when a dead letter is dead-lettered again.
        """
        entry = self._entry_locked_by(entity, token)
        if settlement is Settlement.COMPLETE:
            self._delete(entity, entry)
            return
        if settlement is Settlement.DEAD_LETTER and not entity.is_main:
            raise Refusal(Condition.NOT_ALLOWED, "a message of a dead-letter queue cannot be dead-lettered again")
        self._change_properties(entry, properties or {})
        if settlement is Settlement.DEAD_LETTER:
            self._dead_letter(entity, entry)
        elif settlement is Settlement.DEFER:
            self._unlock(entity, entry, State.DEFERRED)
        else:
            self._back(entity, entry, failed=settlement is Settlement.ABANDON)

    def check_lock(self, entity: Entity, token: UUID) -> None:
        """Raise Refusal (message-lock-lost) unless the lock holds."""
        self._entry_locked_by(entity, token)

    def renew(self, entity: Entity, tokens: Sequence[UUID]) -> list[int]:
        """Begin the locks' time anew, all or none; gives their new ends in milliseconds since 1970."""
        entries = [self._entry_locked_by(entity, token) for token in tokens]
        for entry in entries:
            self._hold(entity, entry)
        return [entry.locked_until_ms for entry in entries]

    def _entry_locked_by(self, entity: Entity, token: UUID) -> Entry:
        entry = entity.locks.get(token)
        if entry is None or entry.locked_until_ms <= self.now_ms():
            raise Refusal(
                Condition.MESSAGE_LOCK_LOST,
                "the lock is over: it expired, or the message was settled already; receive the message again",
            )
        return entry

    def _back(self, entity: Entity, entry: Entry, *, failed: bool) -> None:
        """Unlock; a failed delivery counts, and the last allowed one or an expiry meanwhile moves the message on."""
        entry.delivery_count += failed
        limit = entity.settings.max_delivery_count
        if failed and entity.is_main and entry.delivery_count >= limit:
            text = f"Message could not be consumed after {limit} delivery attempts."
            self._change_properties(entry, {"DeadLetterReason": MAX_DELIVERIES, "DeadLetterErrorDescription": text})
            self._dead_letter(entity, entry)
            return
        self._unlock(entity, entry, entry.state)
        if entry.state is State.ACTIVE and entry.expires_ms is not None and entry.expires_ms <= self.now_ms():
            self._expire(entity, entry)

    def _unlock(self, entity: Entity, entry: Entry, state: State) -> None:
        entity.let_go(entry)
        entry.lock_token, entry.locked_until_ms, entry.state = None, 0, state
        self._store.update(entity.place, entry)
        self._take_in(entity, entry)

    def _change_properties(self, entry: Entry, properties: Mapping[str, Value]) -> None:
        if properties:
            self._store.replace_content(entry, with_application_properties(self._store.content(entry), properties))

    def _dead_letter(self, entity: Entity, entry: Entry) -> None:
        """Move to the dead-letter queue: number and delivery count stay, the time to live is over."""
        dead = self._queue_of(entity).entities[SubQueue.DEAD_LETTER]
        entity.let_go(entry)
        entry.lock_token, entry.locked_until_ms = None, 0
        entry.state, entry.expires_ms = State.ACTIVE, None
        self._store.move(entity.place, entry.sequence, dead.place, entry)
        self._take_in(dead, entry)

    def _delete(self, entity: Entity, entry: Entry) -> None:
        entity.let_go(entry)
        self._store.remove(entity.place, entry)

    def _expire(self, entity: Entity, entry: Entry) -> None:
        if not entity.settings.dead_lettering_on_message_expiration:
            self._delete(entity, entry)
            return
        text = "The message expired and was dead lettered."
        self._change_properties(entry, {"DeadLetterReason": EXPIRED, "DeadLetterErrorDescription": text})
        self._dead_letter(entity, entry)

    def release_locks(self) -> None:
        """End all locks as if they had run out: for a start after which no receiver of before can be alive."""
        for queue in self._queues.values():
            for entity in queue.entities.values():
                for entry in list(entity.locks.values()):
                    self._back(entity, entry, failed=True)

    # --- time

    def next_due_ms(self) -> int | None:
        """When `run_due` has something to do next; None when nothing waits for time."""
        return self._due[0][0] if self._due else None

    def run_due(self) -> None:
        """Do what time has brought: end locks, activate schedules, expire messages, forget message ids."""
        now = self.now_ms()
        for _ in range(_DUE_AT_ONCE):
            if not self._due or self._due[0][0] > now:
                return
            moment, _, what, where, which = heappop(self._due)
            self._happen(moment, what, where, which)

    def _happen(self, moment: int, what: _What, where: _Queue | Entity, which: int | str | UUID) -> None:
        if isinstance(where, _Queue):
            if isinstance(which, str) and where.remembered.get(which) == moment:
                del where.remembered[which]
                self._store.forget(where.number, which)
            return
        entry = where.locks.get(which) if isinstance(which, UUID) else where.entries.get(_number(which))
        if entry is None:
            return
        if what is _What.LOCK_ENDS and entry.locked_until_ms == moment:
            self._back(where, entry, failed=True)
        elif what is _What.ACTIVATE and entry.state is State.SCHEDULED:
            self._activate(where, entry, moment)
        elif what is _What.EXPIRE and entry.state is State.ACTIVE and entry.lock_token is None:
            self._expire(where, entry)

    def _activate(self, entity: Entity, entry: Entry, moment: int) -> None:
        """A scheduled message enters the queue with a new number and enqueue time; its life begins now."""
        entity.let_go(entry)
        old, entry.sequence = entry.sequence, self._next_sequence(self._queue_of(entity))
        entry.state, entry.enqueued_ms = State.ACTIVE, max(moment, self.now_ms())
        entry.expires_ms = _later(entry.enqueued_ms, entry.ttl_ms)
        self._store.move(entity.place, old, entity.place, entry)
        self._take_in(entity, entry)

    def _plan(self, moment: int, what: _What, where: _Queue | Entity, which: int | str | UUID) -> None:
        self._tie += 1
        heappush(self._due, (moment, self._tie, what, where, which))
        if len(self._due) > self._compact_at:
            self._due = [event for event in self._due if _can_happen(event[0], event[3], event[4])]
            heapify(self._due)
            self._compact_at = max(_COMPACT_AT, 2 * len(self._due))

    # --- keeping the indexes

    def _take_in(self, entity: Entity, entry: Entry) -> None:
        """Index a stored entry, plan what time will bring and see who wants it."""
        entity.take_in(entry)
        if entry.lock_token is not None:
            self._plan(entry.locked_until_ms, _What.LOCK_ENDS, entity, entry.lock_token)
        if entry.state is State.SCHEDULED:
            self._plan(entry.scheduled_ms or 0, _What.ACTIVATE, entity, entry.sequence)
        elif entry.expires_ms is not None and entity.is_main:
            self._plan(entry.expires_ms, _What.EXPIRE, entity, entry.sequence)
        self._touch(entity)

    def _touch(self, entity: Entity) -> None:
        self._dirty[id(entity)] = entity

    def _queue_of(self, entity: Entity) -> _Queue:
        return self._queues[entity.settings.name.lower()]

    def _load(self, settings: QueueSettings) -> _Queue:
        number, next_sequence = self._store.queue(settings.name.lower())
        entities = {sub: Entity(settings, Place(number, sub)) for sub in SubQueue}
        queue = _Queue(settings, number, next_sequence, entities)
        for entity in entities.values():
            for entry in self._store.entries(entity.place):
                self._take_in(entity, entry)
        for message_id, until in self._store.remembered(number):
            queue.remembered[message_id] = until
            self._plan(until, _What.FORGET, queue, message_id)
        return queue


def _can_happen(moment: int, where: _Queue | Entity, which: int | str | UUID) -> bool:
    """Whether what an event waits for is still there."""
    if isinstance(where, _Queue):
        return isinstance(which, str) and where.remembered.get(which) == moment
    return which in where.locks if isinstance(which, UUID) else which in where.entries


def _number(which: int | str | UUID) -> int:
    return which if isinstance(which, int) else -1


def _later(moment: int, ttl_ms: int | None) -> int | None:
    return None if ttl_ms is None else moment + ttl_ms


def _shorter(ttl_ms: int | None, ceiling: timedelta | None) -> int | None:
    if ceiling is None:
        return ttl_ms
    limit = ceiling // _MILLISECOND
    return limit if ttl_ms is None else min(ttl_ms, limit)
