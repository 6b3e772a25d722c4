"""What the contract suite needs beside the port itself: the receiving half of a queue, and time that passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from local.servicebus.config import QueueSettings
from local.servicebus.server import ServiceBusEndpoint
from shared.messaging.memory import MemoryQueue
from shared.messaging.service_bus import ServiceBusQueue
from shared.sync.ports import Queue
from tests.contract.domain_stores.fakes import HandClock

TRANSFER = "account_to_business_central"
OTHER_TRANSFER = "customer_to_dataverse"


@dataclass(frozen=True)
class Received:
    """A message as a function gets it."""

    message_id: str
    body: str
    correlation_id: str


class Door(Protocol):
    """A queue under test with the other side of it."""

    @property
    def queue(self) -> Queue: ...

    @property
    def names(self) -> tuple[str, str]:
        """Two queues that nothing was sent to before this test."""
        ...

    def now(self) -> datetime:
        """The time that the queue goes by."""
        ...

    async def receive_all(self, queue: str) -> list[Received]:
        """Receive and complete everything that is ready."""
        ...

    async def bury_all(self, queue: str, reason: str) -> None:
        """Receive everything that is ready and move it to the dead letters."""
        ...

    async def let_pass(self, seconds: float) -> None: ...


class MemoryDoor:
    """The queue in memory on a clock moved by hand."""

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.names = TRANSFER, OTHER_TRANSFER
        self.queue = MemoryQueue(clock, self.names)

    def now(self) -> datetime:
        return self.clock.now()

    async def receive_all(self, queue: str) -> list[Received]:
        received = []
        while delivery := await self.queue.receive(queue):
            await self.queue.complete(delivery)
            received.append(Received(delivery.message_id, delivery.body, delivery.correlation_id))
        return received

    async def bury_all(self, queue: str, reason: str) -> None:
        while delivery := await self.queue.receive(queue):
            await self.queue.dead_letter(delivery, reason)

    async def let_pass(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


class ShiftedClock:
    """The machine's time and a shift: clients of Service Bus compare the ends of locks with their own clock."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift


class ServiceBusDoor:
    """Our queue, through the azure-servicebus package, on the local endpoint; the other side is the package alone.

    Opening and closing connections takes seconds, so the tests of a module share a door and `renew` its queues.
    """

    def __init__(self) -> None:
        self._clock = ShiftedClock()
        queues = [f"{name}_{number}" for number in range(20) for name in (TRANSFER, OTHER_TRANSFER)]
        self._fresh = iter(queues)
        self.endpoint = ServiceBusEndpoint(
            queues=[QueueSettings(name, requires_duplicate_detection=True) for name in queues],
            path=None,
            key="made-up-key",
            clock=self._clock,
        )
        self._receivers: dict[str, ServiceBusReceiver] = {}
        self.renew()

    def renew(self) -> None:
        """Let `names` be two queues that nothing was sent to."""
        self.names = next(self._fresh), next(self._fresh)

    async def __aenter__(self) -> ServiceBusDoor:
        await self.endpoint.start()
        text = self.endpoint.connection_string
        self._queue = ServiceBusQueue.from_connection_string(text, send_seconds=3.0, wait_seconds=0.3)
        self._client = ServiceBusClient.from_connection_string(text)
        return self

    async def __aexit__(self, *error: object) -> None:
        closing = [self._queue.aclose(), *(receiver.close() for receiver in self._receivers.values())]
        await asyncio.gather(*closing)
        await self._client.close()
        await self.endpoint.stop()

    @property
    def queue(self) -> ServiceBusQueue:
        return self._queue

    def now(self) -> datetime:
        return self._clock.now()

    async def receive_all(self, queue: str) -> list[Received]:
        received = []
        async for message in self._each(queue):
            await self._receivers[queue].complete_message(message)
            body = b"".join(message.body).decode()
            received.append(Received(message.message_id or "", body, message.correlation_id or ""))
        return received

    async def bury_all(self, queue: str, reason: str) -> None:
        async for message in self._each(queue):
            await self._receivers[queue].dead_letter_message(message, reason=reason)

    async def let_pass(self, seconds: float) -> None:
        self._clock.shift += timedelta(seconds=seconds)
        self.endpoint.wake()

    async def _each(self, queue: str) -> AsyncIterator[ServiceBusReceivedMessage]:
        if queue not in self._receivers:
            self._receivers[queue] = await self._client.get_queue_receiver(queue).__aenter__()
        while self._waiting(queue):
            for message in await self._receivers[queue].receive_messages(100, max_wait_time=5):
                yield message

    def _waiting(self, queue: str) -> int:
        """Ready messages, and locked ones: what becomes due may already be on its way to a receiver with credit."""
        counts = self.endpoint.queue(queue).counts()
        return counts.active + counts.locked
