"""The asynchronous client on the event loop that the endpoint itself runs on, as in the local host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageLockLostError

from local.servicebus import Counts, QueueSettings, ServiceBusEndpoint
from tests.contract.servicebus.rig import KEY, MovableClock

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUEUE = "changes"
EMPTY = Counts(active=0, scheduled=0, locked=0, deferred=0, dead_lettered=0)


@dataclass
class Ends:
    """The endpoint and the open links that all tests of this module share."""

    endpoint: ServiceBusEndpoint
    clock: MovableClock
    client: ServiceBusClient
    sender: ServiceBusSender
    receiver: ServiceBusReceiver
    dead: ServiceBusReceiver

    def counts(self) -> Counts:
        return self.endpoint.queue(QUEUE).counts()

    def pass_time(self, **units: float) -> None:
        self.clock.move(timedelta(**units))
        self.endpoint.wake()


async def receive(receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    """Receive exactly `count` messages."""
    found: list[ServiceBusReceivedMessage] = []
    while len(found) < count:
        more = await receiver.receive_messages(count - len(found), max_wait_time=10)
        assert more, f"only {len(found)} of {count} messages came"
        found += more
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def links() -> AsyncIterator[Ends]:
    """Endpoint, client and links on one loop."""
    clock = MovableClock()
    queues = [QueueSettings(QUEUE, lock_duration=timedelta(seconds=30), max_delivery_count=2)]
    endpoint = ServiceBusEndpoint(queues=queues, path=None, key=KEY, clock=clock)
    await endpoint.start()
    async with AsyncExitStack() as stack:
        client = ServiceBusClient.from_connection_string(
            endpoint.connection_string, retry_total=2, retry_mode="fixed", retry_backoff_factor=0.05
        )
        await stack.enter_async_context(client)
        sender = client.get_queue_sender(QUEUE)
        receiver = client.get_queue_receiver(QUEUE)
        dead = client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        await asyncio.gather(*(stack.enter_async_context(link) for link in (sender, receiver, dead)))
        yield Ends(endpoint, clock, client, sender, receiver, dead)
    await endpoint.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def ends(links: Ends) -> AsyncIterator[Ends]:
    """The links; each test leaves the queue empty behind."""
    yield links
    assert links.counts() == EMPTY


async def test_a_message_goes_through_and_is_completed(ends: Ends) -> None:
    """Send, receive, complete, on one loop."""
    await ends.sender.send_messages(ServiceBusMessage("body", message_id="m"))
    got = (await receive(ends.receiver, 1))[0]
    assert (str(got), got.message_id, got.delivery_count) == ("body", "m", 0)
    assert ends.counts().locked == 1
    await ends.receiver.complete_message(got)


async def test_many_messages_are_completed_at_once(ends: Ends) -> None:
    """Settlements need an answer each; a hundred of them may be under way together."""
    await ends.sender.send_messages([ServiceBusMessage(str(number)) for number in range(100)])
    got = await receive(ends.receiver, 100)
    await asyncio.gather(*(ends.receiver.complete_message(message) for message in got))


async def test_each_way_of_settling_has_its_effect(ends: Ends) -> None:
    """Abandon, defer, dead-letter and receiving the deferred one."""
    await ends.sender.send_messages([ServiceBusMessage(name) for name in ("abandon", "defer", "dead")])
    abandoned, deferred, dead = await receive(ends.receiver, 3)
    await ends.receiver.abandon_message(abandoned)
    await ends.receiver.defer_message(deferred)
    await ends.receiver.dead_letter_message(dead, reason="why", error_description="because")
    assert ends.counts() == Counts(active=1, scheduled=0, locked=0, deferred=1, dead_lettered=1)
    again = (await receive(ends.receiver, 1))[0]
    assert again.delivery_count == 1
    await ends.receiver.complete_message(again)
    by_number = await ends.receiver.receive_deferred_messages(deferred.sequence_number or 0)
    await ends.receiver.complete_message(by_number[0])
    parked = (await receive(ends.dead, 1))[0]
    assert (parked.dead_letter_reason, parked.dead_letter_error_description) == ("why", "because")
    await ends.dead.complete_message(parked)


async def test_two_lost_locks_dead_letter_a_message(ends: Ends) -> None:
    """Nobody need settle anything: time alone counts deliveries up to the queue's two."""
    await ends.sender.send_messages(ServiceBusMessage("unlucky"))
    first = (await receive(ends.receiver, 1))[0]
    ends.pass_time(seconds=31)
    with pytest.raises(MessageLockLostError):
        await ends.receiver.complete_message(first)
    second = (await receive(ends.receiver, 1))[0]
    assert second.delivery_count == 1
    ends.pass_time(seconds=31)
    dead = (await receive(ends.dead, 1))[0]
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    await ends.dead.complete_message(dead)


async def test_schedule_peek_and_cancel(ends: Ends) -> None:
    """A scheduled message is seen by peek, can be cancelled, and comes when it is due."""
    due = datetime.now(UTC) + timedelta(days=1)
    numbers = await ends.sender.schedule_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], due)
    await ends.sender.cancel_scheduled_messages(numbers[0])
    peeked = await ends.receiver.peek_messages(5, sequence_number=1)
    assert [str(message) for message in peeked] == ["b"]
    ends.pass_time(hours=25)
    got = (await receive(ends.receiver, 1))[0]
    await ends.receiver.renew_message_lock(got)
    await ends.receiver.complete_message(got)


async def test_a_waiting_receiver_gets_a_message_at_once(ends: Ends) -> None:
    """The receiver waits before the message is there."""
    waiting = asyncio.create_task(ends.receiver.receive_messages(1, max_wait_time=20))
    await asyncio.sleep(0.3)
    await ends.sender.send_messages(ServiceBusMessage("awaited"))
    got = await waiting
    assert [str(message) for message in got] == ["awaited"]
    await ends.receiver.complete_message(got[0])


async def test_a_scheduled_message_comes_by_the_machine_s_time_too(ends: Ends) -> None:
    """Nobody wakes the endpoint here: its own alarm does."""
    due = ends.clock.now() + timedelta(seconds=0.3)
    await ends.sender.schedule_messages(ServiceBusMessage("alarm"), due)
    got = (await receive(ends.receiver, 1))[0]
    assert got.enqueued_time_utc is not None
    assert got.enqueued_time_utc >= due - timedelta(milliseconds=1)
    await ends.receiver.complete_message(got)


async def test_the_client_s_lock_renewer_works(ends: Ends) -> None:
    """It renews for as long as the handler runs; the lock's end moves."""
    await ends.sender.send_messages(ServiceBusMessage("held"))
    got = (await receive(ends.receiver, 1))[0]
    ends.pass_time(seconds=25)
    before = got.locked_until_utc
    async with AutoLockRenewer(max_lock_renewal_duration=60) as renewer:
        renewer.register(ends.receiver, got)
        await ends.receiver.renew_message_lock(got)
    assert before is not None
    assert got.locked_until_utc is not None
    assert got.locked_until_utc > before
    await ends.receiver.complete_message(got)


async def test_a_busy_server_is_tried_again(ends: Ends) -> None:
    """The client's own retries get over two refusals; the message is there once."""
    ends.endpoint.faults.server_busy(2)
    await ends.sender.send_messages(ServiceBusMessage("patience"))
    got = (await receive(ends.receiver, 1))[0]
    assert got.delivery_count == 0
    await ends.receiver.complete_message(got)
