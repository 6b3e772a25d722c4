"""The whole way: the azure-servicebus package sends, the local endpoint keeps, the host runs the function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    """All that the sender said arrives; a failing message ends in the dead-letter queue, which is a queue as well."""
    app = func.FunctionApp()
    seen: list[Any] = []
    dead: list[Any] = []

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBus")
    async def handle(msg: func.ServiceBusMessage) -> None:
        seen.append(msg)
        if msg.subject == "bad":
            raise ValueError

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q/$deadletterqueue", connection="ServiceBus")
    def bury(msg: func.ServiceBusMessage) -> None:
        dead.append(msg)

    async with running(app, endpoint_at(tmp_path)) as (endpoint, host), sender_to(endpoint, "q") as sender:
        good = ServiceBusMessage(
            '{"a": "ä"}',
            message_id="id-1",
            subject="good",
            content_type="application/json",
            correlation_id="c-1",
            application_properties={"attempt": 2, "cause": "notice", "first": True},
            time_to_live=timedelta(days=2),
        )
        await sender.send_messages(good)
        await sender.send_messages(ServiceBusMessage("x", message_id="id-2", subject="bad"))
        await until(lambda: dead, "the dead letter")
        await until(lambda: empty(endpoint), "everything settled")
        assert host.health().healthy
    first = next(msg for msg in seen if msg.message_id == "id-1")
    assert first.get_body() == '{"a": "ä"}'.encode()
    assert (first.subject, first.content_type, first.correlation_id) == ("good", "application/json", "c-1")
    assert first.application_properties == {"attempt": 2, "cause": "notice", "first": True}
    assert first.time_to_live == timedelta(days=2)
    assert first.expires_at_utc == first.enqueued_time_utc + timedelta(days=2)
    assert first.locked_until > first.enqueued_time_utc
    assert (first.delivery_count, first.sequence_number) == (1, 1)
    assert [msg.delivery_count for msg in seen if msg.message_id == "id-2"] == [1, 2, 3]
    assert dead[0].dead_letter_reason == "MaxDeliveryCountExceeded"


async def test_a_long_run_keeps_its_lock(tmp_path: Path) -> None:
    """Longer than the queue's lock of a second: one delivery, completed."""
    app = func.FunctionApp()
    counts: list[int | None] = []

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="brief", connection="ServiceBus")
    async def handle(msg: func.ServiceBusMessage) -> None:
        counts.append(msg.delivery_count)
        await asyncio.sleep(1.6)

    async with running(app, endpoint_at(tmp_path)) as (endpoint, _), sender_to(endpoint, "brief") as sender:
        await sender.send_messages(ServiceBusMessage("x"))
        await until(lambda: counts and empty(endpoint, "brief"), "completed")
    assert counts == [1]


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

    first = endpoint_at(tmp_path)
    async with running(app, first) as (endpoint, host):
        async with sender_to(endpoint, "q") as sender:
            await sender.send_messages(ServiceBusMessage("long"))
            await until(lambda: texts, "the long run")
        await endpoint.stop()
        await until(lambda: host.health().listeners[0].state == "waiting", "the outage noticed")
        second = endpoint_at(tmp_path, port=endpoint.port)
        await second.start()
        async with sender_to(second, "q") as sender:
            await sender.send_messages(ServiceBusMessage("short"))
            await until(lambda: texts == ["long", "short"], "the other message")
        gate.set()
        await until(lambda: empty(second), "the long run's message")
    await second.stop()
    assert texts == ["long", "short"]


def endpoint_at(folder: Path, port: int = 0) -> ServiceBusEndpoint:
    """Return an endpoint with its data in that folder."""
    return ServiceBusEndpoint(queues=QUEUES, path=folder / "queues.db", key="key", port=port)


@asynccontextmanager
async def running(
    app: func.FunctionApp, endpoint: ServiceBusEndpoint
) -> AsyncIterator[tuple[ServiceBusEndpoint, FunctionsHost]]:
    """Start the endpoint and a host of the app, and stop both afterwards."""
    await endpoint.start()
    settings = {"ServiceBus": endpoint.connection_string}
    host = FunctionsHost(app, settings=settings, host_json={}, keys=HostKeys(), clock=RealClock())
    await host.start()
    await until(lambda: host.health().healthy, "listening")
    try:
        yield endpoint, host
    finally:
        await host.stop()
        await endpoint.stop()


@asynccontextmanager
async def sender_to(endpoint: ServiceBusEndpoint, queue: str) -> AsyncIterator[ServiceBusSender]:
    """Return a sender of the unmodified package."""
    async with (
        ServiceBusClient.from_connection_string(endpoint.connection_string) as client,
        client.get_queue_sender(queue) as sender,
    ):
        yield sender


def empty(endpoint: ServiceBusEndpoint, queue: str = "q") -> bool:
    """Return whether nothing is left in a queue nor in the hands of a receiver."""
    counts = endpoint.queue(queue).counts()
    return counts.active + counts.locked + counts.dead_lettered == 0
