"""The whole way: the azure-servicebus package sends, the local endpoint keeps, the host runs the function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

from local.host import FunctionsHost, HostKeys
from local.servicebus.config import QueueSettings
from local.servicebus.server import ServiceBusEndpoint
from tests.contract.functions_host.fakes import until

QUEUES = (
    QueueSettings("q", max_delivery_count=3),
    QueueSettings("brief", lock_duration=timedelta(seconds=1)),
)


class RealClock:
    """The machine's clock; sockets keep real time."""

    def now(self) -> datetime:
        """The time now."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(seconds)


async def test_messages_travel_from_sender_to_function(tmp_path: Path) -> None:
    """All that the sender said arrives; a run longer than its lock keeps it; what fails ends as a dead letter.

    The dead-letter queue is a queue as well, with a function of its own.
    """
    app = func.FunctionApp()
    seen: list[Any] = []

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBus")
    async def handle(msg: func.ServiceBusMessage) -> None:
        seen.append(msg)
        if msg.subject == "bad":
            raise ValueError

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q/$deadletterqueue", connection="ServiceBus")
    def bury(msg: func.ServiceBusMessage) -> None:
        seen.append(msg)

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="brief", connection="ServiceBus")
    async def linger(msg: func.ServiceBusMessage) -> None:
        seen.append(msg)
        await asyncio.sleep(1.6)

    async with running(app, endpoint_at(tmp_path)) as stage:
        good = ServiceBusMessage(
            '{"a": "ä"}',
            message_id="good",
            content_type="application/json",
            correlation_id="c-1",
            application_properties={"attempt": 2, "cause": "notice", "first": True},
            time_to_live=timedelta(days=2),
        )
        await stage.send("brief", ServiceBusMessage("x", message_id="slow"))
        await stage.send("q", good, ServiceBusMessage("x", message_id="bad", subject="bad"))
        await until(lambda: stage.empty("q") and stage.empty("brief"), "everything settled")
        assert stage.host.health().healthy
    (first,) = by_id(seen, "good")
    assert first.get_body() == '{"a": "ä"}'.encode()
    assert (first.subject, first.content_type, first.correlation_id) == (None, "application/json", "c-1")
    assert first.application_properties == {"attempt": 2, "cause": "notice", "first": True}
    assert first.time_to_live == timedelta(days=2)
    assert first.expires_at_utc == first.enqueued_time_utc + timedelta(days=2)
    assert first.locked_until > first.enqueued_time_utc
    assert (first.delivery_count, first.sequence_number) == (1, 1)
    assert [msg.delivery_count for msg in by_id(seen, "slow")] == [1]
    *tries, dead = by_id(seen, "bad")
    assert [msg.delivery_count for msg in tries] == [1, 2, 3]
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"


async def test_an_endpoint_that_goes_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    """A run goes on during the outage and is completed afterwards by its lock; what was sent later is served."""
    app = func.FunctionApp()
    texts: list[str] = []
    gate = asyncio.Event()

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBus")
    async def handle(msg: str) -> None:
        texts.append(msg)
        if msg == "long":
            await gate.wait()

    async with running(app, endpoint_at(tmp_path)) as stage:
        await stage.send("q", ServiceBusMessage("long"))
        await until(lambda: texts, "the long run")
        await stage.endpoint.stop()
        await until(lambda: stage.host.health().listeners[0].state == "waiting", "the outage noticed")
        stage.endpoint = endpoint_at(tmp_path, port=stage.endpoint.port)
        await stage.endpoint.start()
        await stage.send("q", ServiceBusMessage("short"))
        await until(lambda: texts == ["long", "short"], "the other message")
        gate.set()
        await until(lambda: stage.empty("q"), "the long run's message")
    assert texts == ["long", "short"]


@dataclass
class Stage:
    """An endpoint, a host that listens to it, and senders of the unmodified package."""

    endpoint: ServiceBusEndpoint
    host: FunctionsHost
    open_things: list[ServiceBusSender | ServiceBusClient] = field(default_factory=list)

    async def send(self, queue: str, *messages: ServiceBusMessage) -> None:
        """Send in order; the connection is closed with the stage, because closing takes a second."""
        client = ServiceBusClient.from_connection_string(self.endpoint.connection_string)
        sender = client.get_queue_sender(queue)
        self.open_things += [sender, client]
        await sender.send_messages(list(messages))

    def empty(self, queue: str) -> bool:
        """Return whether nothing is left in a queue nor in the hands of a receiver."""
        counts = self.endpoint.queue(queue).counts()
        return counts.active + counts.locked + counts.dead_lettered == 0

    async def close(self) -> None:
        """End everything, all at once as far as possible."""
        await asyncio.gather(self.host.stop(), *(thing.close() for thing in self.open_things))
        await self.endpoint.stop()


@asynccontextmanager
async def running(app: func.FunctionApp, endpoint: ServiceBusEndpoint) -> AsyncIterator[Stage]:
    """Start the endpoint and a host of the app, and end both afterwards."""
    await endpoint.start()
    settings = {"ServiceBus": endpoint.connection_string}
    host = FunctionsHost(app, settings=settings, host_json={}, keys=HostKeys(), clock=RealClock(), http_port=None)
    stage = Stage(endpoint, host)
    await host.start()
    try:
        await until(lambda: host.health().healthy, "listening")
        yield stage
    finally:
        await stage.close()


def endpoint_at(folder: Path, port: int = 0) -> ServiceBusEndpoint:
    """Return an endpoint with its data in that folder."""
    return ServiceBusEndpoint(queues=QUEUES, path=folder / "queues.db", key="key", port=port)


def by_id(messages: list[Any], message_id: str) -> list[Any]:
    """Return the deliveries of one message, in order."""
    return [msg for msg in messages if msg.message_id == message_id]
