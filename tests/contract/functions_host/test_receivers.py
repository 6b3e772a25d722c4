"""What a receiver promises, held by both of them: the one in memory and the one on the azure-servicebus package.

The second speaks to the project's own Service Bus endpoint over a real socket.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from local.host import LockLost, QueuedMessage, QueueSource, Receiver, ReceiverLost, open_service_bus_receiver
from local.servicebus.config import QueueSettings
from local.servicebus.server import ServiceBusEndpoint
from tests.contract.functions_host.fakes import HandClock, MemoryQueue, MemoryReceiver

LOCK_SECONDS = 60.0


class Door(Protocol):
    """How the suite reaches a queue, whatever is behind it."""

    async def open(self) -> Receiver: ...

    async def send(self, body: str, **properties: Any) -> None: ...

    async def pass_time(self, seconds: float) -> None: ...

    async def break_down(self) -> None: ...


class MemoryDoor:
    """To the queue in memory."""

    def __init__(self) -> None:
        self._clock = HandClock()
        self._queue = MemoryQueue(self._clock, LOCK_SECONDS)

    async def open(self) -> Receiver:
        return MemoryReceiver(self._queue)

    async def send(self, body: str, **properties: Any) -> None:
        self._queue.send(body, **properties)

    async def pass_time(self, seconds: float) -> None:
        await self._clock.advance(seconds)

    async def break_down(self) -> None:
        self._queue.up = False


class _AheadClock:
    """The machine's clock, set forward by hand; the package compares locks with the machine's own."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class EndpointDoor:
    """To the local endpoint, through the unmodified package."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clock = _AheadClock()
        queue = QueueSettings("orders", lock_duration=timedelta(seconds=LOCK_SECONDS))
        self.endpoint = ServiceBusEndpoint(queues=[queue], path=None, key="key", clock=self._clock)

    async def open(self) -> Receiver:
        receiver = open_service_bus_receiver(QueueSource(self.endpoint.connection_string, "orders"))
        self._stack.push_async_callback(receiver.close)
        return receiver

    async def send(self, body: str, **properties: Any) -> None:
        async with (
            ServiceBusClient.from_connection_string(self.endpoint.connection_string) as client,
            client.get_queue_sender("orders") as sender,
        ):
            await sender.send_messages(ServiceBusMessage(body, **properties))

    async def pass_time(self, seconds: float) -> None:
        self._clock.ahead += timedelta(seconds=seconds)
        self.endpoint.wake()

    async def break_down(self) -> None:
        await self.endpoint.stop()


@pytest.fixture(params=["memory", "endpoint"])
async def door(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    """A queue that holds nothing yet."""
    if request.param == "memory":
        yield MemoryDoor()
        return
    async with AsyncExitStack() as stack:
        behind = EndpointDoor(stack)
        await behind.endpoint.start()
        stack.push_async_callback(behind.endpoint.stop)
        yield behind


async def test_a_message_is_settled_as_it_was_handled(door: Door) -> None:
    """Abandoned it is there again at once and counted, completed it is gone, and an empty queue gives nothing."""
    await door.send("x", application_properties={"attempt": 2, "kind": "new"})
    receiver = await door.open()
    first = await got(receiver)
    assert (first.body, first.delivery_count) == (b"x", 1)
    assert first.application_properties.keys() == {"attempt", "kind"}
    await receiver.abandon(first)
    second = await got(receiver)
    assert (second.delivery_count, second.sequence_number) == (2, first.sequence_number)
    assert second.lock_token != first.lock_token
    await receiver.complete(second)
    assert await receiver.receive(0.1) is None


async def test_a_lock_holds_until_it_runs_out_and_can_be_lengthened(door: Door) -> None:
    """Nobody else gets the message meanwhile; afterwards it comes again, and the first holder cannot settle it."""
    await door.send("x")
    receiver = await door.open()
    first = await got(receiver)
    assert await receiver.receive(0.1) is None
    await door.pass_time(40)
    renewed = await receiver.renew(first)
    assert renewed > first.locked_until
    await door.pass_time(40)
    assert await receiver.receive(0.1) is None
    await door.pass_time(40)
    second = await got(receiver)
    assert second.delivery_count == 2
    for settle in (receiver.complete, receiver.abandon, receiver.renew):
        with pytest.raises(LockLost):
            await settle(first)
    await receiver.complete(second)


async def test_a_lost_endpoint_is_told_and_closing_never_fails(door: Door) -> None:
    """Receiving says so; closing twice is fine all the same."""
    receiver = await door.open()
    assert await receiver.receive(0.1) is None
    await door.break_down()
    with pytest.raises(ReceiverLost):
        await receiver.receive(5.0)
    await receiver.close()
    await receiver.close()


async def got(receiver: Receiver) -> QueuedMessage:
    """Return the next message, which must come."""
    message = await receiver.receive(5.0)
    assert message is not None
    return message
