"""When the endpoint fails on demand, nothing acknowledged is lost and nothing lost is acknowledged."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusConnectionError

from local.servicebus import QueueSettings
from local.servicebus.performatives import Disposition
from tests.contract.servicebus.rig import EndpointOnThread, RawPeer, data_message, receive, take, taken

PLAIN, DEDUPLICATED = "plain", "deduplicated"

# azure-servicebus 7.15.0 leaves the socket to the garbage collector when the connection is cut.
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def door() -> Iterator[EndpointOnThread]:
    """A queue that detects duplicates and one that does not."""
    queues = [QueueSettings(PLAIN), QueueSettings(DEDUPLICATED, requires_duplicate_detection=True)]
    with EndpointOnThread(queues) as endpoint:
        yield endpoint
    gc.collect()


@pytest.fixture
def persistent(door: EndpointOnThread) -> Iterator[ServiceBusClient]:
    """A client that tries again soon."""
    with ServiceBusClient.from_connection_string(
        door.connection_string, retry_total=3, retry_mode="fixed", retry_backoff_factor=0.05
    ) as client:
        yield client


def test_an_answer_lost_after_storing_leads_to_a_second_copy(
    door: EndpointOnThread, persistent: ServiceBusClient
) -> None:
    """The retry cannot know that the first send was kept; this is what duplicate detection is for."""
    for queue in (PLAIN, DEDUPLICATED):
        door.call(door.endpoint.faults.drop_after_storing)
        with persistent.get_queue_sender(queue) as sender:
            sender.send_messages(ServiceBusMessage("body", message_id="same"))
    assert door.counts(PLAIN).active == 2
    assert door.counts(DEDUPLICATED).active == 1
    assert taken(door.endpoint.port, PLAIN, 2) == ["body", "body"]
    assert taken(door.endpoint.port, DEDUPLICATED, 1) == ["body"]


def test_a_connection_lost_before_storing_leads_to_one_copy(
    door: EndpointOnThread, persistent: ServiceBusClient
) -> None:
    """The retry is the only copy."""
    door.call(door.endpoint.faults.drop_before_storing)
    with persistent.get_queue_sender(PLAIN) as sender:
        sender.send_messages(ServiceBusMessage("once"))
    assert taken(door.endpoint.port, PLAIN, 1) == ["once"]
    assert door.counts(PLAIN).active == 0


def test_a_failed_commit_is_never_acknowledged(door: EndpointOnThread) -> None:
    """Nothing is kept, the sender is told by a closed connection, and afterwards all goes on."""
    with door.client() as client, client.get_queue_sender(PLAIN) as sender:
        sender.send_messages(ServiceBusMessage("before"))
        door.call(door.endpoint.faults.fail_commits)
        with pytest.raises(ServiceBusConnectionError):
            sender.send_messages(ServiceBusMessage("lost"))
        assert door.counts(PLAIN).active == 1
        sender.send_messages(ServiceBusMessage("after"))
    assert taken(door.endpoint.port, PLAIN, 2) == ["before", "after"]


async def test_a_file_that_cannot_be_read_for_a_while_stops_service_and_loses_nothing(door: EndpointOnThread) -> None:
    """Meanwhile connections are closed at once; afterwards the messages are there."""
    port = door.endpoint.port
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        await peer.attach_sender(PLAIN)
        peer.transfer(data_message(b"kept"))
        assert (await peer.next_of(Disposition)).settled
        door.call(lambda: door.endpoint.faults.fail_commits(1000))
        peer.transfer(data_message(b"lost"))
        assert await peer.at_end()
    async with await RawPeer.connect(port) as refused:
        assert await refused.at_end()
    door.call(door.endpoint.faults.clear)
    door.call(door.endpoint.wake)
    assert await take(port, PLAIN, 1) == [b"kept"]
    assert door.counts(PLAIN).active == 0


def test_a_settlement_whose_answer_is_lost_has_happened(door: EndpointOnThread) -> None:
    """The client cannot know, and asks again: the lock is gone, and so is the message."""
    with door.client() as client, client.get_queue_sender(PLAIN) as sender:
        sender.send_messages(ServiceBusMessage("done"))
    with door.client() as client, client.get_queue_receiver(PLAIN) as receiver:
        message = receive(receiver, 1)[0]
        door.call(door.endpoint.faults.drop_after_settling)
        with pytest.raises((MessageLockLostError, ServiceBusConnectionError)):
            receiver.complete_message(message)
    assert door.counts(PLAIN).locked == 0
    assert door.counts(PLAIN).active == 0


def test_faults_can_be_called_off(door: EndpointOnThread) -> None:
    """After `clear` nothing goes wrong."""
    faults = door.endpoint.faults
    for fault in (faults.server_busy, faults.drop_before_storing, faults.drop_after_storing, faults.fail_commits):
        fault(5)
    door.call(faults.clear)
    with door.client() as client, client.get_queue_sender(PLAIN) as sender:
        sender.send_messages(ServiceBusMessage("fine"))
    assert taken(door.endpoint.port, PLAIN, 1) == ["fine"]
