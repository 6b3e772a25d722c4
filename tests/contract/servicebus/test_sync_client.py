"""Every supported operation through the synchronous client."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from local.servicebus import Counts
from tests.contract.servicebus.conftest import QUEUE
from tests.contract.servicebus.rig import EndpointOnThread, receive, wait_until

EMPTY = Counts(active=0, scheduled=0, locked=0, deferred=0, dead_lettered=0)


@dataclass
class Ends:
    """The open links that all tests of this module share."""

    door: EndpointOnThread
    sender: ServiceBusSender
    receiver: ServiceBusReceiver
    dead: ServiceBusReceiver

    def counts(self) -> Counts:
        return self.door.counts(QUEUE)

    def send(self, *bodies: str, **fields: Any) -> None:
        """Send a message for each body, with the same fields."""
        for body in bodies:
            self.sender.send_messages(ServiceBusMessage(body, **fields))

    def one(self) -> ServiceBusReceivedMessage:
        """Receive one message."""
        return receive(self.receiver, 1)[0]


@pytest.fixture(scope="module")
def links(door: EndpointOnThread) -> Iterator[Ends]:
    """Sender, receiver and dead-letter receiver, opened once."""
    with ExitStack() as stack:
        client = stack.enter_context(door.client())
        sender = stack.enter_context(client.get_queue_sender(QUEUE))
        receiver = stack.enter_context(client.get_queue_receiver(QUEUE))
        dead = stack.enter_context(client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER))
        yield Ends(door, sender, receiver, dead)


@pytest.fixture
def ends(links: Ends) -> Iterator[Ends]:
    """The links; each test leaves the queue empty behind."""
    yield links
    wait_until(lambda: links.counts() == EMPTY)


def test_a_message_arrives_with_all_its_fields(ends: Ends) -> None:
    """What was sent is what is received; delivery count starts at 0 and the lock is half a minute."""
    sent = ServiceBusMessage(
        b"body",
        message_id="fields-1",
        subject="subject",
        content_type="application/json",
        correlation_id="correlation",
        to="to",
        reply_to="reply",
        reply_to_session_id="rs",
        partition_key="p",
        application_properties={"text": "x", "number": 7, "flag": True, "id": uuid.UUID(int=5), "float": 1.5},
    )
    before = ends.door.clock.now()
    ends.sender.send_messages(sent)
    got = ends.one()
    assert (b"".join(got.body), got.message_id, got.subject) == (b"body", "fields-1", "subject")
    assert (got.content_type, got.correlation_id, got.to) == ("application/json", "correlation", "to")
    assert (got.reply_to, got.reply_to_session_id, got.partition_key) == ("reply", "rs", "p")
    assert got.application_properties == {
        b"text": b"x",
        b"number": 7,
        b"flag": True,
        b"id": uuid.UUID(int=5),
        b"float": 1.5,
    }
    assert got.delivery_count == 0
    assert got.state is ServiceBusMessageState.ACTIVE
    assert got.enqueued_time_utc is not None
    assert abs(got.enqueued_time_utc - before) < timedelta(seconds=20)
    assert got.locked_until_utc is not None
    assert abs(got.locked_until_utc - got.enqueued_time_utc - timedelta(seconds=30)) < timedelta(seconds=20)
    assert ends.counts() == Counts(active=0, scheduled=0, locked=1, deferred=0, dead_lettered=0)
    ends.receiver.complete_message(got)
    assert ends.counts() == EMPTY


def test_a_list_is_delivered_in_order(ends: Ends) -> None:
    """A list goes as one batch and keeps its order and its sequence numbers."""
    ends.sender.send_messages([ServiceBusMessage(f"{number}") for number in range(50)])
    got = receive(ends.receiver, 50)
    assert [str(message) for message in got] == [f"{number}" for number in range(50)]
    numbers = [message.sequence_number or 0 for message in got]
    assert numbers == list(range(numbers[0], numbers[0] + 50))
    for message in got:
        ends.receiver.complete_message(message)


def test_a_batch_object_is_filled_up_to_the_queue_s_limit(ends: Ends) -> None:
    """The batch knows its limit from the link and says when it is full."""
    batch = ends.sender.create_message_batch()
    assert batch.max_size_in_bytes == 262_144
    batch.add_message(ServiceBusMessage("a" * 200_000))
    with pytest.raises(MessageSizeExceededError):
        batch.add_message(ServiceBusMessage("b" * 100_000))
    ends.sender.send_messages(batch)
    got = ends.one()
    assert len(str(got)) == 200_000
    ends.receiver.complete_message(got)


def test_large_messages_travel_in_several_frames(ends: Ends) -> None:
    """A message larger than a frame arrives whole, among small ones."""
    bodies = ["s", "x" * 250_000, "t", "y" * 70_000]
    ends.send(*bodies)
    got = receive(ends.receiver, 4)
    assert [str(message) for message in got] == bodies
    for message in got:
        ends.receiver.complete_message(message)


@pytest.mark.parametrize("mode", ["single", "batch"])
def test_a_message_that_is_too_large_is_refused(ends: Ends, mode: str) -> None:
    """Nothing of it is kept, and the link goes on working."""
    message = ServiceBusMessage("x" * 270_000)
    with pytest.raises(MessageSizeExceededError):
        ends.sender.send_messages(message if mode == "single" else [message])
    ends.send("still works")
    ends.receiver.complete_message(ends.one())


def test_exotic_bodies_survive(ends: Ends) -> None:
    """Several data sections, sequences and values of any type come back as they were."""
    bodies: list[tuple[dict[str, Any], Any, AmqpMessageBodyType]] = [
        ({"data_body": [b"one", b"two", b""]}, [b"one", b"two", b""], AmqpMessageBodyType.DATA),
        ({"sequence_body": [[1, 2], ["three", None]]}, [[1, 2], [b"three", None]], AmqpMessageBodyType.SEQUENCE),
        ({"value_body": {"a": [1, {"b": True}]}}, {b"a": [1, {b"b": True}]}, AmqpMessageBodyType.VALUE),
    ]
    for given, expected, kind in bodies:
        annotated = AmqpAnnotatedMessage(**given, footer={"sum": 1}, annotations={"custom": uuid.UUID(int=9)})
        ends.sender.send_messages(annotated)
        got = ends.one()
        raw = got.raw_amqp_message
        assert raw.body_type is kind
        if expected is not None:
            body = raw.body if kind is AmqpMessageBodyType.VALUE else list(raw.body)
            assert body == expected
        assert raw.annotations is not None
        assert raw.annotations[b"custom"] == uuid.UUID(int=9)
        assert raw.footer == {b"sum": 1}
        ends.receiver.complete_message(got)


def test_a_received_message_can_be_sent_again(ends: Ends) -> None:
    """The system annotations that come along are not taken for the sender's; its custom ones are kept."""
    ends.send("again", message_id="first")
    first = ends.one()
    raw = first.raw_amqp_message
    assert raw.properties is not None
    raw.properties.message_id = "second"
    assert raw.annotations is not None
    raw.annotations["custom"] = "kept"
    ends.sender.send_messages(raw)
    ends.receiver.complete_message(first)
    second = ends.one()
    assert (second.message_id, str(second), second.delivery_count) == ("second", "again", 0)
    assert second.sequence_number == (first.sequence_number or 0) + 1
    assert second.raw_amqp_message.annotations is not None
    assert second.raw_amqp_message.annotations[b"custom"] == b"kept"
    ends.receiver.complete_message(second)


def test_abandoning_delivers_again_with_a_higher_count_and_at_last_dead_letters(ends: Ends) -> None:
    """The queue allows three deliveries; the third failure moves the message, and says why."""
    ends.send("poison", message_id="poison", application_properties={"kept": "yes"})
    for count in range(3):
        got = ends.one()
        assert got.delivery_count == count
        ends.receiver.abandon_message(got)
    assert ends.counts() == Counts(active=0, scheduled=0, locked=0, deferred=0, dead_lettered=1)
    dead = receive(ends.dead, 1)[0]
    assert (dead.message_id, str(dead)) == ("poison", "poison")
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert dead.application_properties is not None
    assert dead.application_properties[b"kept"] == b"yes"
    assert dead.delivery_count == 3
    ends.dead.complete_message(dead)


def test_an_abandoned_message_comes_before_later_ones(ends: Ends) -> None:
    """Order is by sequence number, so a message given back is first again."""
    ends.send("1", "2", "3")
    first = ends.one()
    ends.receiver.abandon_message(first)
    got = receive(ends.receiver, 3)
    assert [str(message) for message in got] == ["1", "2", "3"]
    for message in got:
        ends.receiver.complete_message(message)


def test_dead_lettering_keeps_reason_and_description(ends: Ends) -> None:
    """Both travel as application properties; the number of the message stays."""
    ends.send("bad", message_id="bad")
    got = ends.one()
    ends.receiver.dead_letter_message(got, reason="unreadable", error_description="the key is missing: ü")
    assert ends.counts().dead_lettered == 1
    peeked = ends.dead.peek_messages(sequence_number=1)[0]
    assert peeked.sequence_number == got.sequence_number
    dead = receive(ends.dead, 1)[0]
    assert dead.dead_letter_reason == "unreadable"
    assert dead.dead_letter_error_description == "the key is missing: ü"
    assert dead.expires_at_utc is None or dead.expires_at_utc > datetime.now(UTC)
    with pytest.raises(ServiceBusError):
        ends.dead.dead_letter_message(dead)
    ends.door.pass_time(seconds=31)
    ends.dead.complete_message(receive(ends.dead, 1)[0])


def test_a_deferred_message_is_only_received_by_its_number(ends: Ends) -> None:
    """It leaves the line, is found by peek as deferred, and can be settled when received by number."""
    ends.send("later", "now")
    later, now = receive(ends.receiver, 2)
    ends.receiver.defer_message(later)
    ends.receiver.complete_message(now)
    assert ends.counts() == Counts(active=0, scheduled=0, locked=0, deferred=1, dead_lettered=0)
    peeked = ends.receiver.peek_messages(sequence_number=later.sequence_number or 0)
    assert [message.state for message in peeked] == [ServiceBusMessageState.DEFERRED]
    number = later.sequence_number or 0
    again = ends.receiver.receive_deferred_messages(number)[0]
    assert (str(again), again.state, again.delivery_count) == ("later", ServiceBusMessageState.DEFERRED, 0)
    with pytest.raises(MessageNotFoundError):
        ends.receiver.receive_deferred_messages(number)
    ends.receiver.abandon_message(again)
    third = ends.receiver.receive_deferred_messages([number])[0]
    assert third.delivery_count == 1
    ends.receiver.renew_message_lock(third)
    ends.receiver.dead_letter_message(third, reason="r", error_description="d")
    dead = receive(ends.dead, 1)[0]
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("r", "d")
    ends.dead.complete_message(dead)


def test_a_lock_that_runs_out_gives_the_message_back(ends: Ends) -> None:
    """The old receiver is told that it lost the lock; the next delivery counts one more."""
    ends.send("slow")
    first = ends.one()
    ends.door.pass_time(seconds=31)
    with pytest.raises(MessageLockLostError):
        ends.receiver.complete_message(first)
    second = ends.one()
    assert second.delivery_count == 1
    with pytest.raises(MessageLockLostError):
        ends.receiver.renew_message_lock(first)
    ends.receiver.complete_message(second)


def test_a_renewed_lock_holds_longer(ends: Ends) -> None:
    """Renewing begins the lock's time anew."""
    ends.send("long")
    got = ends.one()
    ends.door.pass_time(seconds=20)
    until = ends.receiver.renew_message_lock(got)
    assert abs(until - ends.door.clock.now() - timedelta(seconds=30)) < timedelta(seconds=20)
    ends.door.pass_time(seconds=20)
    ends.receiver.complete_message(got)


def test_a_message_is_settled_once(ends: Ends) -> None:
    """The client refuses the second time; at the endpoint the token is gone."""
    ends.send("once")
    got = ends.one()
    ends.receiver.complete_message(got)
    with pytest.raises(MessageAlreadySettled):
        ends.receiver.complete_message(got)


def test_a_scheduled_message_appears_when_it_is_due(ends: Ends) -> None:
    """Until then only peek shows it; then it has a new number and a new enqueue time."""
    due = ends.door.clock.now() + timedelta(hours=1)
    numbers = ends.sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], due)
    ends.send("c", scheduled_enqueue_time_utc=due)
    assert len(set(numbers)) == 2
    assert ends.counts() == Counts(active=0, scheduled=3, locked=0, deferred=0, dead_lettered=0)
    peeked = ends.receiver.peek_messages(5, sequence_number=1)
    assert [(str(one), one.state) for one in peeked] == [(body, ServiceBusMessageState.SCHEDULED) for body in "abc"]
    ends.door.pass_time(minutes=61)
    got = receive(ends.receiver, 3)
    assert [str(message) for message in got] == ["a", "b", "c"]
    assert min(message.sequence_number or 0 for message in got) > max(numbers)
    for message in got:
        scheduled = message.scheduled_enqueue_time_utc
        assert scheduled is not None
        assert abs(scheduled - due) < timedelta(seconds=1)
        assert message.enqueued_time_utc is not None
        assert message.enqueued_time_utc > due
        ends.receiver.complete_message(message)


def test_scheduled_messages_can_be_cancelled_all_or_none(ends: Ends) -> None:
    """An unknown number cancels nothing."""
    due = datetime.now(UTC) + timedelta(days=2)
    numbers = ends.sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], due)
    with pytest.raises(MessageNotFoundError):
        ends.sender.cancel_scheduled_messages([*numbers, 999_999])
    assert ends.counts().scheduled == 2
    ends.sender.cancel_scheduled_messages(numbers)
    with pytest.raises(MessageNotFoundError):
        ends.sender.cancel_scheduled_messages(numbers[0])


def test_peek_reads_on_where_it_stopped(ends: Ends) -> None:
    """Peeking locks nothing and goes from number to number."""
    ends.send("1", "2", "3")
    first = ends.receiver.peek_messages(2, sequence_number=1)
    assert [str(message) for message in first] == ["1", "2"]
    assert ends.counts().active == 3
    third = ends.receiver.peek_messages(5, sequence_number=(first[-1].sequence_number or 0) + 1)
    assert [str(message) for message in third] == ["3"]
    assert ends.receiver.peek_messages(sequence_number=10**9) == []
    for message in receive(ends.receiver, 3):
        ends.receiver.complete_message(message)


def test_an_expired_message_is_dead_lettered_with_the_reason(ends: Ends) -> None:
    """The queue asks for that; a deferred message stays where it is."""
    ends.send("stays", "goes", time_to_live=timedelta(minutes=2))
    stays = ends.one()
    ends.receiver.defer_message(stays)
    ends.door.pass_time(minutes=3)
    assert ends.counts() == Counts(active=0, scheduled=0, locked=0, deferred=1, dead_lettered=1)
    dead = receive(ends.dead, 1)[0]
    assert (str(dead), dead.dead_letter_reason) == ("goes", "TTLExpiredException")
    ends.dead.complete_message(dead)
    kept = ends.receiver.receive_deferred_messages(stays.sequence_number or 0)[0]
    ends.receiver.complete_message(kept)


def test_a_life_longer_than_the_header_can_tell_is_kept(ends: Ends) -> None:
    """Above some fifty days only the expiry time tells how long a message lives."""
    message = ServiceBusMessage("old")
    created = int(datetime.now(UTC).timestamp() * 1000)
    raw = message.raw_amqp_message
    assert raw.properties is not None
    raw.properties.creation_time, raw.properties.absolute_expiry_time = created, created + 60 * 86_400_000
    ends.sender.send_messages(message)
    ends.door.pass_time(days=59)
    assert ends.counts().active == 1
    ends.door.pass_time(days=2)
    dead = receive(ends.dead, 1)[0]
    assert dead.dead_letter_reason == "TTLExpiredException"
    ends.dead.complete_message(dead)


def test_a_locked_message_outlives_its_time_until_it_is_given_back(ends: Ends) -> None:
    """Whoever holds the lock may still complete; given back, the message expires at once."""
    ends.send("held", "returned", time_to_live=timedelta(seconds=10))
    held, returned = receive(ends.receiver, 2)
    ends.door.pass_time(seconds=15)
    ends.receiver.complete_message(held)
    ends.receiver.abandon_message(returned)
    dead = receive(ends.dead, 1)[0]
    assert dead.dead_letter_reason == "TTLExpiredException"
    ends.dead.complete_message(dead)


def test_a_second_message_of_the_same_id_disappears_within_the_window(ends: Ends) -> None:
    """It is accepted and not stored, also in a batch, also after the first was completed, also when scheduled."""
    ends.send("first", "second", message_id="same")
    batch = [ServiceBusMessage("third", message_id="same"), ServiceBusMessage("other", message_id="different")]
    ends.sender.send_messages(batch)
    got = receive(ends.receiver, 2)
    assert [str(message) for message in got] == ["first", "other"]
    for message in got:
        ends.receiver.complete_message(message)
    due = ends.door.clock.now() + timedelta(minutes=1)
    assert ends.sender.schedule_messages(ServiceBusMessage("fourth", message_id="same"), due) == [0]
    assert ends.counts() == EMPTY
    ends.door.pass_time(minutes=11)
    ends.send("fifth", message_id="same")
    got = receive(ends.receiver, 1)
    assert str(got[0]) == "fifth"
    ends.receiver.complete_message(got[0])


def test_messages_without_id_are_never_duplicates(ends: Ends) -> None:
    """Each gets an id of its own."""
    ends.send("a", "a")
    got = receive(ends.receiver, 2)
    assert len({message.message_id for message in got}) == 2
    for message in got:
        ends.receiver.complete_message(message)


def test_server_busy_surfaces_as_its_own_error(ends: Ends) -> None:
    """The refused send kept nothing."""
    ends.door.call(ends.door.endpoint.faults.server_busy)
    with pytest.raises(ServiceBusServerBusyError):
        ends.send("busy")
    ends.door.call(ends.door.endpoint.faults.server_busy)
    with pytest.raises(ServiceBusServerBusyError):
        ends.sender.schedule_messages(ServiceBusMessage("busy"), datetime.now(UTC) + timedelta(hours=5))
    assert ends.counts() == EMPTY


def test_another_receiver_may_settle_with_the_lock_token(ends: Ends) -> None:
    """A message received here can be completed there: its token goes through the management link."""
    ends.send("moved")
    with ends.door.client() as client, client.get_queue_receiver(QUEUE) as other:
        got = receive(other, 1)[0]
    ends.receiver.complete_message(got)


def test_a_closed_receiver_leaves_nothing_locked(ends: Ends) -> None:
    """Closing drains the credit and releases what was fetched ahead; the delivery count is unchanged."""
    ends.send("1", "2", "3")
    with ends.door.client() as client:
        with client.get_queue_receiver(QUEUE, prefetch_count=20) as eager:
            eager.complete_message(receive(eager, 1)[0])
            assert ends.counts().locked == 2
        wait_until(lambda: ends.counts().active == 2)
    got = receive(ends.receiver, 2)
    assert [message.delivery_count for message in got] == [0, 0]
    for message in got:
        ends.receiver.complete_message(message)


def test_receive_and_delete_gives_each_message_once(ends: Ends) -> None:
    """What is received is gone, there is nothing to settle, and fetching ahead works."""
    ends.send(*(f"{number}" for number in range(30)))
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with (
        ends.door.client() as client,
        client.get_queue_receiver(QUEUE, receive_mode=mode, prefetch_count=10) as taker,
    ):
        got = receive(taker, 30)
    assert [str(message) for message in got] == [f"{number}" for number in range(30)]
    assert got[0].lock_token is None
