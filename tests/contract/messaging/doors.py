"""What the contract suite needs beside the port itself: the receiving half of a queue, and time that passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.messaging.memory import MemoryQueue
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
        self.queue = MemoryQueue(clock, (TRANSFER, OTHER_TRANSFER))

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
