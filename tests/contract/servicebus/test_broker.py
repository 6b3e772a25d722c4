"""The rules of queues without any network: many messages, restarts of the broker, the passing of time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from local.servicebus.broker import Broker, Counts, Delivery, Entity, Settlement, milliseconds
from local.servicebus.codec import Described, Symbol, Timestamp, ULong, encode
from local.servicebus.config import QueueSettings
from local.servicebus.errors import Condition, Refusal
from local.servicebus.messages import Incoming, read_incoming
from local.servicebus.store import SqliteStore, SubQueue
from tests.contract.servicebus.rig import MovableClock

QUEUE = QueueSettings(
    "q", lock_duration=timedelta(minutes=1), max_delivery_count=3, default_message_ttl=timedelta(days=1)
)


class Taker:
    """A receiver that wants a number of messages."""

    def __init__(self, wanted: int, *, deletes: bool = False) -> None:
        self.wanted = wanted
        self.deletes = deletes
        self.got: list[Delivery] = []

    @property
    def wants(self) -> bool:
        return len(self.got) < self.wanted

    def deliver(self, delivery: Delivery) -> None:
        self.got.append(delivery)

    def done(self) -> None:
        """There is nothing more for now."""


class Rig:
    """A broker on a store and clock of its own."""

    def __init__(self, queue: QueueSettings = QUEUE) -> None:
        self.clock = MovableClock()
        self.store = SqliteStore(None)
        self.queue = queue
        self.restart()

    def restart(self) -> None:
        """What a new process finds."""
        self.store.rollback()
        self.broker = Broker([self.queue], self.store, self.clock, uuid4)

    def turn(self) -> None:
        """What the server does between two inputs; more often than needed does no harm."""
        for _ in range(10):
            self.broker.run_due()
        self.broker.finish_turn()
        self.store.commit()

    def entity(self, sub: SubQueue = SubQueue.MAIN) -> Entity:
        return self.broker.entity("q", sub)

    def send(self, count: int = 1, **fields: int) -> None:
        self.broker.enqueue(self.entity(), [message(**fields) for _ in range(count)])
        self.turn()

    def take(self, wanted: int, sub: SubQueue = SubQueue.MAIN, *, deletes: bool = False) -> list[Delivery]:
        taker = Taker(wanted, deletes=deletes)
        self.broker.add_consumer(self.entity(sub), taker)
        self.turn()
        self.broker.remove_consumer(self.entity(sub), taker)
        return taker.got

    def pass_time(self, **units: float) -> None:
        self.clock.move(timedelta(**units))
        self.turn()

    def counts(self) -> Counts:
        return self.broker.counts("q")


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A broker with a queue that lets messages live for a day."""
    made = Rig()
    yield made
    made.store.close()


def message(*, scheduled_ms: int | None = None, ttl_ms: int | None = None) -> Incoming:
    """A message as a sender sends it."""
    annotations = {} if scheduled_ms is None else {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(scheduled_ms)}
    parts = [Described(ULong(0x72), annotations), Described(ULong(0x75), b"x")]
    incoming = read_incoming(b"".join(encode(part) for part in parts), uuid4)
    return Incoming(incoming.content, incoming.message_id, ttl_ms, incoming.scheduled_ms)


def token_of(delivery: Delivery) -> UUID:
    """The lock token of a peek-lock delivery."""
    assert delivery.lock_token is not None
    return delivery.lock_token


def test_a_broken_turn_leaves_no_trace(rig: Rig) -> None:
    """After a rollback the broker is loaded anew and knows only what was committed."""
    rig.send(2)
    rig.broker.enqueue(rig.entity(), [message()])
    [taken] = [rig.broker.entity("q").first_ready()]
    assert taken is not None
    rig.restart()
    assert rig.counts() == Counts(active=2, scheduled=0, locked=0, deferred=0, dead_lettered=0)
    rig.send()
    numbers = rig.store.sequences_from(rig.entity().place, 0, 10)
    assert numbers == [1, 2, 3]


def test_numbers_are_not_given_twice_after_a_restart(rig: Rig) -> None:
    """Even when the messages with the highest numbers are gone."""
    rig.send(3)
    rig.take(3, deletes=True)
    rig.restart()
    rig.send()
    assert rig.store.sequences_from(rig.entity().place, 0, 10) == [4]


def test_the_queue_s_life_is_a_ceiling(rig: Rig) -> None:
    """A longer life of a message is cut to the queue's; a shorter one holds. Not dead-lettered means gone."""
    rig.send(ttl_ms=10**12)
    rig.send(ttl_ms=60_000)
    rig.send()
    rig.pass_time(minutes=2)
    assert rig.counts().active == 2
    rig.pass_time(days=1)
    assert rig.counts() == Counts(0, 0, 0, 0, 0)


def test_dead_letters_never_expire(rig: Rig) -> None:
    """Their life is over already."""
    rig.send()
    [delivery] = rig.take(1)
    rig.broker.settle(rig.entity(), token_of(delivery), Settlement.DEAD_LETTER)
    rig.turn()
    rig.restart()
    rig.pass_time(days=400)
    assert rig.counts().dead_lettered == 1


def test_a_dead_letter_may_fail_as_often_as_it_likes(rig: Rig) -> None:
    """There is nowhere to move it; its lock and count work as everywhere."""
    rig.send()
    [delivery] = rig.take(1)
    rig.broker.settle(rig.entity(), token_of(delivery), Settlement.DEAD_LETTER)
    for _ in range(5):
        [delivery] = rig.take(1, SubQueue.DEAD_LETTER)
        rig.pass_time(minutes=2)
    assert rig.counts().dead_lettered == 1


def test_deferred_messages_count_failures_too(rig: Rig) -> None:
    """Taken by number and not settled, a deferred message ends in the dead-letter queue like any other."""
    rig.send()
    [delivery] = rig.take(1)
    rig.broker.settle(rig.entity(), token_of(delivery), Settlement.DEFER)
    for _ in range(3):
        assert rig.counts().deferred == 1
        rig.broker.receive_deferred(rig.entity(), [1], delete=False)
        assert rig.counts() == Counts(active=0, scheduled=0, locked=1, deferred=0, dead_lettered=0)
        rig.pass_time(minutes=2)
    assert rig.counts().dead_lettered == 1


def test_several_deferred_messages_are_given_all_or_none(rig: Rig) -> None:
    """One wrong number and nothing is locked."""
    rig.send(2)
    for delivery in rig.take(2):
        rig.broker.settle(rig.entity(), token_of(delivery), Settlement.DEFER)
    with pytest.raises(Refusal):
        rig.broker.receive_deferred(rig.entity(), [1, 2, 3], delete=False)
    assert rig.counts().deferred == 2
    assert len(rig.broker.receive_deferred(rig.entity(), [2, 1, 2], delete=True)) == 2
    assert rig.counts().deferred == 0


def test_renewing_is_all_or_none(rig: Rig) -> None:
    """One lost lock and no lock is renewed."""
    rig.send(2)
    first, second = (token_of(delivery) for delivery in rig.take(2))
    rig.broker.settle(rig.entity(), first, Settlement.COMPLETE)
    with pytest.raises(Refusal) as caught:
        rig.broker.renew(rig.entity(), [second, first])
    assert caught.value.condition is Condition.MESSAGE_LOCK_LOST
    rig.pass_time(seconds=59)
    rig.broker.renew(rig.entity(), [second])
    rig.pass_time(seconds=59)
    rig.broker.settle(rig.entity(), second, Settlement.COMPLETE)


def test_a_lock_is_over_at_its_end_even_before_the_alarm_rings(rig: Rig) -> None:
    """No settlement slips through between the end and the alarm."""
    rig.send()
    [delivery] = rig.take(1)
    rig.clock.move(timedelta(seconds=61))
    with pytest.raises(Refusal):
        rig.broker.settle(rig.entity(), token_of(delivery), Settlement.COMPLETE)


def test_many_overtaken_alarms_are_thrown_out(rig: Rig) -> None:
    """A life of a day must not keep a trace of each of a hundred thousand finished messages."""
    for _ in range(12):
        rig.broker.enqueue(rig.entity(), [message() for _ in range(1000)])
        assert len(rig.take(1000, deletes=True)) == 1000
    assert len(rig.broker._due) < 12_000
    assert rig.broker.next_due_ms() is not None


def test_scheduled_messages_live_from_their_activation(rig: Rig) -> None:
    """The time to live begins when a message can be received."""
    due = milliseconds(rig.clock.now()) + 7_200_000
    rig.send(scheduled_ms=due, ttl_ms=60_000)
    rig.pass_time(hours=1)
    rig.restart()
    assert rig.counts().scheduled == 1
    rig.pass_time(hours=1, seconds=1)
    assert rig.counts().active == 1
    rig.pass_time(minutes=2)
    assert rig.counts().active == 0


class Model(RuleBasedStateMachine):
    """Whatever happens in whatever order: every message is in exactly one place, and the file agrees with memory."""

    locked = Bundle("locked")

    @initialize()
    def begin(self) -> None:
        self.rig = Rig(QueueSettings("q", lock_duration=timedelta(minutes=1), max_delivery_count=3))
        self.sent = self.gone = 0

    def teardown(self) -> None:
        self.rig.store.close()

    @rule(count=st.integers(1, 3), delayed=st.booleans())
    def send(self, count: int, delayed: bool) -> None:
        later = {"scheduled_ms": milliseconds(self.rig.clock.now()) + 90_000} if delayed else {}
        self.rig.send(count, **later)
        self.sent += count

    @rule(target=locked)
    def receive(self) -> UUID | None:
        got = self.rig.take(1)
        return token_of(got[0]) if got else None

    @rule(token=consumes(locked), how=st.sampled_from(list(Settlement)))
    def settle(self, token: UUID | None, how: Settlement) -> None:
        if token is None:
            return
        if token in self.rig.entity().locks:
            self.rig.broker.settle(self.rig.entity(), token, how)
            self.gone += how is Settlement.COMPLETE
        else:
            with pytest.raises(Refusal):
                self.rig.broker.settle(self.rig.entity(), token, how)
        self.rig.turn()

    @rule(seconds=st.sampled_from([1, 30, 61, 100]))
    def wait(self, seconds: int) -> None:
        self.rig.pass_time(seconds=seconds)

    @rule()
    def restart(self) -> None:
        self.rig.restart()
        self.rig.turn()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if not hasattr(self, "rig"):
            return
        counts = self.rig.counts()
        total = counts.active + counts.scheduled + counts.locked + counts.deferred + counts.dead_lettered
        assert total == self.sent - self.gone
        for sub in SubQueue:
            entity = self.rig.entity(sub)
            assert sorted(entity.entries) == self.rig.store.sequences_from(entity.place, 0, 1000)
            assert {entry.sequence: entry for entry in self.rig.store.entries(entity.place)} == entity.entries


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
