"""How the Service Bus queue uses the azure-servicebus package: connections kept, batches cut, errors translated."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import ServiceBusConnectionError

from shared.errors import QueueUnavailable
from shared.messaging.service_bus import ServiceBusQueue
from shared.sync.ports import DeadLetter, Outgoing
from tests.contract.domain_stores.fakes import START
from tests.contract.messaging.doors import ServiceBusDoor


class FakeSender:
    """A sender that may be used by one task at a time and fails when told to, like the real one."""

    def __init__(self, client: FakeClient, queue: str) -> None:
        self.client = client
        self.queue = queue
        self.busy = False
        self.opened = False
        self.closed = False

    async def __aenter__(self) -> FakeSender:
        self.opened = True
        return self

    async def create_message_batch(self) -> ServiceBusMessageBatch:
        return ServiceBusMessageBatch(max_size_in_bytes=4000)

    async def send_messages(self, message: ServiceBusMessage | ServiceBusMessageBatch) -> None:
        assert not self.busy, "a sender is not safe for several tasks"
        assert self.opened
        assert not self.closed
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        if self.queue in self.client.hanging_queues:
            await asyncio.sleep(3600)
        if self.client.failures:
            raise self.client.failures.pop()
        self.client.sent.append((self.queue, message))

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed = True
        raise ServiceBusConnectionError(message="the connection was broken before")


class FakeClient:
    """A client of the package as far as sending goes."""

    def __init__(self) -> None:
        self.senders: list[FakeSender] = []
        self.sent: list[tuple[str, ServiceBusMessage | ServiceBusMessageBatch]] = []
        self.failures: list[Exception] = []
        self.hanging_queues: set[str] = set()
        self.closed = 0

    def get_queue_sender(self, queue: str) -> FakeSender:
        self.senders.append(FakeSender(self, queue))
        return self.senders[-1]

    async def close(self) -> None:
        self.closed += 1


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
async def queue(client: FakeClient) -> AsyncIterator[ServiceBusQueue]:
    queue = ServiceBusQueue(lambda: cast(ServiceBusClient, client), send_seconds=0.5)
    yield queue
    await queue.aclose()


async def test_one_sender_per_queue_is_kept_open(queue: ServiceBusQueue, client: FakeClient) -> None:
    """Opening costs half a second: many calls at once share the sender of a queue, one after the other."""
    await asyncio.gather(*(queue.send(name, [Outgoing("1", "{}")]) for name in ("a", "b") * 5))
    assert [sender.queue for sender in client.senders] == ["a", "b"]
    assert len(client.sent) == 10


async def test_a_list_goes_as_few_batches_in_its_order(queue: ServiceBusQueue, client: FakeClient) -> None:
    """Whenever a batch is full the next one begins; nothing is lost at the seam."""
    await queue.send("a", [Outgoing(f"{number}", "x" * 900) for number in range(10)])
    batches = [cast(ServiceBusMessageBatch, batch) for _, batch in client.sent]
    assert [len(batch) for batch in batches] == [4, 4, 2]


async def test_a_message_carries_what_the_queue_needs(queue: ServiceBusQueue, client: FakeClient) -> None:
    """Id, correlation id, content type and the time before which nobody may see it."""
    due = START + timedelta(minutes=5)
    await queue.send("a", [Outgoing("change-1/2", "{}", not_before=due, correlation_id="c-1")])
    message = cast(ServiceBusMessage, client.sent[0][1])
    assert (message.message_id, message.correlation_id, message.content_type) == (
        "change-1/2",
        "c-1",
        "application/json",
    )
    assert message.scheduled_enqueue_time_utc == due


@pytest.mark.parametrize(
    "failure",
    [
        ServiceBusConnectionError(message="secret text"),
        ClientAuthenticationError("secret text"),
        ConnectionResetError(),
    ],
)
async def test_after_an_error_the_sender_is_opened_anew(
    queue: ServiceBusQueue, client: FakeClient, failure: Exception
) -> None:
    """The sender hears of it at once and in our words; the next call works on a new connection."""
    client.failures.append(failure)
    with pytest.raises(QueueUnavailable, match="Queue a does not answer") as raised:
        await queue.send("a", [Outgoing("1", "{}")])
    assert "secret text" not in str(raised.value)
    await queue.send("a", [Outgoing("1", "{}")])
    assert len(client.senders) == 2
    await queue.aclose()
    assert all(sender.closed for sender in client.senders)


async def test_a_queue_that_never_answers_is_given_up(queue: ServiceBusQueue, client: FakeClient) -> None:
    """A webhook's sender waits for us: the call is bounded, and the connection is not used again."""
    client.hanging_queues.add("a")
    with pytest.raises(QueueUnavailable):
        await queue.send("a", [Outgoing("1", "{}")])
    client.hanging_queues.clear()
    await queue.send("a", [Outgoing("1", "{}")])
    assert len(client.senders) == 2


async def test_queues_do_not_wait_for_each_other(queue: ServiceBusQueue, client: FakeClient) -> None:
    """One that never answers is given up while the others have long got theirs; no task is left behind."""
    client.hanging_queues.add("a")
    before = asyncio.all_tasks()
    with pytest.raises(QueueUnavailable, match="Queue a"):
        await queue.send_all({name: [Outgoing("1", "{}")] for name in ("a", "b", "c")})
    assert sorted(name for name, _ in client.sent) == ["b", "c"]
    await queue.aclose()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("own", ["a", "b"])
async def test_a_caller_that_gives_up_stops_all_sends(queue: ServiceBusQueue, client: FakeClient, own: str) -> None:
    """Whichever queue it is waiting for: nothing goes on behind its back."""
    client.hanging_queues.update({"a", "b"} if own == "b" else {"a"})
    before = asyncio.all_tasks()
    sending = asyncio.ensure_future(queue.send_all({name: [Outgoing("1", "{}")] for name in ("a", "b")}))
    for _ in range(10):
        await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await queue.aclose()
    assert asyncio.all_tasks() == before


async def test_closing_twice_is_harmless_and_sending_afterwards_opens_again(
    queue: ServiceBusQueue, client: FakeClient
) -> None:
    """An app that is stopped may still have a call under way."""
    await queue.send("a", [Outgoing("1", "{}")])
    await queue.aclose()
    await queue.aclose()
    assert client.closed == 1
    await queue.send("a", [Outgoing("2", "{}")])
    assert len(client.senders) == 2


async def test_a_foreign_dead_letter_is_a_fault_of_the_caller(queue: ServiceBusQueue) -> None:
    """Only what `dead_letters` returned can be settled."""
    with pytest.raises(ValueError, match="receipt"):
        await queue.settle_dead_letter("a", DeadLetter("1", "{}", "", 1))


async def test_the_queue_comes_back_after_an_outage() -> None:
    """The endpoint goes away with an open connection and returns: the calls between fail, those after work."""
    async with ServiceBusDoor() as door:
        await door.queue.send(door.names[0], [Outgoing("1", "{}")])
        await door.endpoint.stop()
        with pytest.raises(QueueUnavailable):
            await door.queue.send(door.names[0], [Outgoing("2", "{}")])
        await door.endpoint.start()
        await door.queue.send(door.names[0], [Outgoing("3", "{}")])
        assert [received.message_id for received in await door.receive_all(door.names[0])] == ["3"]


def test_the_package_is_imported_on_first_use() -> None:
    """A cold start that only answers a webhook's handshake does not pay for it."""
    program = (
        "import sys; from shared.messaging.service_bus import ServiceBusQueue; "
        "ServiceBusQueue.from_connection_string('Endpoint=sb://127.0.0.1;SharedAccessKeyName=a;SharedAccessKey=b'); "
        "sys.exit('azure.servicebus' in sys.modules or 'azure.core' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603 - our own program
