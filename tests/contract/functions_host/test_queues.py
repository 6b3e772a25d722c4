"""Queue functions get each message once at a time, under a lock that is kept, settled by how the function ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import azure.functions as func
import pytest

from local.host import FunctionsHost, QueuedMessage, QueueTrigger, index
from local.host.messages import argument_for
from local.host.settings import read_host_json
from tests.contract.functions_host.fakes import SETTINGS, HandClock, MemoryBus, MemoryReceiver, make_host, settle, until


async def test_a_message_is_handed_over_and_completed(
    running: FunctionsHost, sample: ModuleType, bus: MemoryBus
) -> None:
    """`async def` with the whole message, `def` with its text."""
    bus.queue("orders").send("o1", application_properties={"attempt": 2, "kind": b"new"})
    bus.queue("invoices").send("i1")
    await until(lambda: bus.queue("orders").completed and bus.queue("invoices").completed, "both completed")
    assert sorted(sample.journal) == ["invoices i1 invoices", "orders o1 #1 {'attempt': 2, 'kind': 'new'}"]
    assert running.health().healthy


async def test_an_error_gives_the_message_back_at_once_until_the_queue_has_enough(
    running: FunctionsHost, sample: ModuleType, bus: MemoryBus, caplog: pytest.LogCaptureFixture
) -> None:
    """No pause between deliveries; the count rises from 1; after the tenth the queue makes it a dead letter."""
    queue = bus.queue("orders")
    queue.send("bad")
    queue.send("good")
    await until(lambda: queue.dead and queue.completed, "one dead, one completed")
    assert [line for line in sample.journal if "bad" in line] == [f"orders bad #{n} {{}}" for n in range(1, 11)]
    assert queue.completed == ["good"]
    assert "a value that must not show" not in caplog.text


async def test_no_more_runs_at_once_than_allowed(clock: HandClock, bus: MemoryBus) -> None:
    """`maxConcurrentCalls` holds for each function by itself; further messages stay unlocked in the queue."""
    gate, inside = asyncio.Event(), [0, 0]

    async def waiting(msg: func.ServiceBusMessage) -> None:
        inside[0] += 1
        inside[1] = max(inside)
        await gate.wait()
        inside[0] -= 1

    host = make_host(queue_app(waiting), clock, bus, host_json=service_bus(maxConcurrentCalls=3))
    queue = bus.queue("q")
    for number in range(8):
        queue.send(str(number))
    await host.start()
    await until(lambda: inside[0] == 3, "three runs")
    await settle()
    assert sum(entry.locked_until is not None for entry in queue.entries) == 3
    gate.set()
    await until(lambda: len(queue.completed) == 8, "all completed")
    assert inside == [0, 3]
    await host.stop()


async def test_the_lock_is_kept_while_a_run_goes_on(clock: HandClock, bus: MemoryBus) -> None:
    """Four minutes under a lock of one minute: renewed in time, handed out once, completed."""
    runs: list[datetime] = []

    async def slow(msg: func.ServiceBusMessage) -> None:
        runs.append(clock.now())
        await clock.sleep(240)

    host = make_host(queue_app(slow), clock, bus)
    queue = bus.queue("q")
    queue.send("x")
    await host.start()
    await until(lambda: runs, "the run")
    await clock.advance(239)
    assert queue.renewals >= 4
    await clock.advance(1)
    await until(lambda: queue.completed == ["x"], "completed")
    assert len(runs) == 1
    await host.stop()


async def test_the_lock_is_kept_for_so_long_only(
    clock: HandClock, bus: MemoryBus, caplog: pytest.LogCaptureFixture
) -> None:
    """After `maxAutoLockRenewalDuration` the lock runs out: the message comes again while the first run goes on."""
    counts: list[int | None] = []

    async def slow(msg: func.ServiceBusMessage) -> None:
        counts.append(msg.delivery_count)
        if len(counts) == 1:
            await clock.sleep(600)

    host = make_host(queue_app(slow), clock, bus, host_json=service_bus(maxAutoLockRenewalDuration="00:02:00"))
    queue = bus.queue("q")
    queue.send("x")
    await host.start()
    await until(lambda: counts, "the first run")
    await clock.advance(200)
    await until(lambda: queue.completed == ["x"], "the second run")
    assert counts == [1, 2]
    await clock.advance(400)
    await until(lambda: "could not be settled (CD-9104)" in caplog.text, "the first run's end")
    await host.stop()


async def test_without_auto_complete_nothing_is_completed(clock: HandClock, bus: MemoryBus) -> None:
    """As in Azure the message then comes again when its lock runs out; the trigger's word beats host.json's."""
    for options, host_json, completed in (
        ({"auto_complete_messages": False}, {}, []),
        ({}, service_bus(autoCompleteMessages=False), []),
        ({"auto_complete_messages": True}, service_bus(autoCompleteMessages=False), ["x"]),
    ):
        bus.queues.clear()
        queue = bus.queue("q")
        queue.send("x")
        done = asyncio.Event()
        host = make_host(queue_app(noting_into(done), **options), clock, bus, host_json=host_json)
        await host.start()
        await done.wait()
        await host.stop()
        assert queue.completed == completed


async def test_the_listener_comes_back_after_an_outage(
    running: FunctionsHost, bus: MemoryBus, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It says once that the endpoint is gone and once that it is back, pauses longer each time, loses nothing."""
    caplog.set_level(logging.INFO, "local.host")
    queue = bus.queue("orders")
    await until(lambda: running.health().healthy, "listening")
    queue.up = False
    queue.send("later")
    await until(lambda: state_of(running, "orders") == "waiting", "the outage noticed")
    opened = queue.opened
    for _ in range(5):
        await clock.advance(15)
    assert queue.opened - opened >= 4
    assert not running.health().healthy
    queue.up = True
    await clock.advance(15)
    await until(lambda: queue.completed == ["later"], "the message")
    assert running.health().healthy
    assert caplog.text.count("orders: The queue's endpoint does not answer") == 1
    assert caplog.text.count("orders: the queue's endpoint answers again") == 1


async def test_an_outage_during_a_run_leads_to_a_second_delivery(clock: HandClock, bus: MemoryBus) -> None:
    """The run that could not be completed is repeated when its lock has run out: at least once, never lost."""
    counts: list[int | None] = []
    gate = asyncio.Event()

    async def waiting(msg: func.ServiceBusMessage) -> None:
        counts.append(msg.delivery_count)
        await gate.wait()

    host = make_host(queue_app(waiting), clock, bus)
    queue = bus.queue("q")
    queue.send("x")
    await host.start()
    await until(lambda: counts, "the first run")
    queue.up = False
    gate.set()
    await until(lambda: state_of(host, "f") == "waiting", "the outage noticed")
    queue.up = True
    await clock.advance(61)
    await until(lambda: queue.completed == ["x"], "the second run")
    assert counts == [1, 2]
    await host.stop()


async def test_a_long_run_does_not_hold_up_the_return_from_an_outage(clock: HandClock, bus: MemoryBus) -> None:
    """While it still goes on, the next message is served; at its end it is completed by the receiver it came from."""
    gate, texts = asyncio.Event(), []

    async def waiting(msg: str) -> None:
        texts.append(msg)
        if msg == "long":
            await gate.wait()

    host = make_host(queue_app(waiting), clock, bus)
    queue = bus.queue("q")
    queue.send("long")
    await host.start()
    await until(lambda: texts == ["long"], "the long run")
    queue.up = False
    await until(lambda: state_of(host, "f") == "waiting", "the outage noticed")
    queue.up = True
    queue.send("short")
    await clock.advance(1)
    await until(lambda: queue.completed == ["short"], "the other message")
    gate.set()
    await until(lambda: queue.completed == ["short", "long"], "the long run's message")
    await host.stop()


async def test_a_stop_goes_on_without_a_receiver_that_hangs(clock: HandClock, bus: MemoryBus) -> None:
    """An endpoint that swallows everything cannot keep the host from ending."""

    class Hanging(MemoryReceiver):
        async def receive(self, wait_seconds: float) -> None:
            await asyncio.Event().wait()

    bus.open = lambda source: Hanging(bus.queue(source.queue))  # type: ignore[method-assign] # the fault of this test
    host = make_host(queue_app(any_message), clock, bus, grace_seconds=5)
    await host.start()
    stopping = asyncio.create_task(host.stop())
    await settle()
    await clock.advance(6)
    await clock.advance(11)
    await until(stopping.done, "the stop")
    await stopping


async def test_a_message_that_cannot_be_handed_over_goes_back(clock: HandClock, bus: MemoryBus) -> None:
    """A property of a kind that has no JSON form: counted as a failed delivery, in the end a dead letter."""
    host = make_host(queue_app(any_message), clock, bus)
    queue = bus.queue("q", max_deliveries=2)
    queue.send("x", application_properties={"odd": object()})
    await host.start()
    await until(lambda: queue.dead, "the dead letter")
    await host.stop()


async def test_a_receiver_that_cannot_be_made_does_not_end_the_host(
    sample: ModuleType, clock: HandClock, bus: MemoryBus
) -> None:
    """A malformed connection string shows in the health, with the class of the error and not its text."""

    def broken(source: object) -> Any:
        raise ValueError("SharedAccessKey=secret")

    bus.open = broken  # type: ignore[method-assign] # the fault this test is about
    host = make_host(sample.app, clock, bus)
    await host.start()
    await settle()
    assert state_of(host, "orders") == "waiting"
    assert "ValueError" in str(host.health())
    assert "secret" not in str(host.health())
    await host.stop()


async def test_a_stop_waits_for_runs_and_takes_nothing_new(clock: HandClock, bus: MemoryBus) -> None:
    """The message in hand is completed, the next one stays in the queue, unlocked."""
    began, gate = asyncio.Event(), asyncio.Event()

    async def waiting(msg: str) -> None:
        began.set()
        await gate.wait()

    host = make_host(queue_app(waiting), clock, bus, host_json=service_bus(maxConcurrentCalls=1))
    queue = bus.queue("q")
    queue.send("first")
    queue.send("second")
    await host.start()
    await began.wait()
    stopping = asyncio.create_task(host.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    gate.set()
    await stopping
    assert queue.completed == ["first"]
    assert [entry.locked_until for entry in queue.entries] == [None]
    await host.stop()


async def test_a_stop_cancels_runs_that_do_not_end_and_leaves_their_messages(clock: HandClock, bus: MemoryBus) -> None:
    """Their locks run out later, as when Azure ends a process: nothing is lost, the delivery is counted."""
    began = asyncio.Event()

    async def endless(msg: str) -> None:
        began.set()
        await asyncio.Event().wait()

    host = make_host(queue_app(endless), clock, bus, grace_seconds=5)
    queue = bus.queue("q")
    queue.send("x")
    await host.start()
    await began.wait()
    stopping = asyncio.create_task(host.stop())
    await settle()
    await clock.advance(6)
    await until(stopping.done, "the stop")
    assert queue.completed == []
    await clock.advance(60)
    again = queue.take()
    assert again is not None
    assert again.delivery_count == 2


async def test_a_function_that_cancels_itself_has_failed(clock: HandClock, bus: MemoryBus) -> None:
    """Only the host's end leaves a message locked; a stray CancelledError gives it back like any other error."""

    async def cancelling(msg: str) -> None:
        raise asyncio.CancelledError

    host = make_host(queue_app(cancelling), clock, bus)
    queue = bus.queue("q", max_deliveries=2)
    queue.send("x")
    await host.start()
    await until(lambda: queue.dead, "the dead letter")
    await host.stop()


async def test_functions_in_threads_run_side_by_side(clock: HandClock, bus: MemoryBus) -> None:
    """Two `def` functions can wait for one another, so each has a thread; the loop stays free."""
    together = threading.Barrier(2, timeout=5)

    def meeting(msg: str) -> None:
        together.wait()

    host = make_host(queue_app(meeting), clock, bus, settings={"PYTHON_THREADPOOL_THREAD_COUNT": "2"})
    queue = bus.queue("q")
    queue.send("a")
    queue.send("b")
    await host.start()
    await until(lambda: len(queue.completed) == 2, "both")
    await host.stop()


async def test_a_returned_value_is_a_failure(clock: HandClock, bus: MemoryBus) -> None:
    """The worker refuses a value where there is no `$return`; the message goes back."""

    async def returning(msg: str) -> str:
        return msg

    host = make_host(queue_app(returning), clock, bus)
    queue = bus.queue("q", max_deliveries=2)
    queue.send("x")
    await host.start()
    await until(lambda: queue.dead, "the dead letter")
    await host.stop()


def test_all_fields_of_a_message_arrive() -> None:
    """Every field the worker knows, with its type; the delivery count is that of .NET, the first one is 1."""
    at = datetime(2026, 3, 2, 12, 0, 0, 250000, tzinfo=UTC)
    queued = QueuedMessage(
        body="grün".encode(),
        message_id="m",
        delivery_count=1,
        sequence_number=7,
        lock_token="0f8fad5b-d9cb-469f-a165-70867728950e",
        locked_until=at + timedelta(minutes=1),
        enqueued_at=at,
        application_properties={"n": 1, "text": b"x", "when": at, "flag": True},
        enqueued_sequence_number=6,
        expires_at=at + timedelta(days=14),
        time_to_live=timedelta(days=14),
        scheduled_for=at,
        content_type="application/json",
        correlation_id="c",
        subject="s",
        to="t",
        reply_to="r",
        reply_to_session_id="rs",
        session_id="si",
        partition_key="p",
        transaction_partition_key="tp",
        dead_letter_source="d",
        dead_letter_reason="dr",
        dead_letter_description="dd",
    )
    message = argument_for(trigger_of(queue_app(any_message)), queued)
    assert isinstance(message, func.ServiceBusMessage)
    assert message.get_body() == "grün".encode()
    properties = {"n": 1, "text": "x", "when": "2026-03-02T12:00:00.250000Z", "flag": True}
    shown = {name: getattr(message, name) for name in EXPECTED}
    assert shown == {
        **EXPECTED,
        "locked_until": at + timedelta(minutes=1),
        "enqueued_time_utc": at,
        "expires_at_utc": at + timedelta(days=14),
        "scheduled_enqueue_time_utc": at,
        "application_properties": properties,
        "user_properties": properties,
    }
    metadata = message.metadata
    assert metadata is not None
    assert metadata["DeliveryCount"] == 1


EXPECTED: dict[str, Any] = {
    "message_id": "m",
    "delivery_count": 1,
    "sequence_number": 7,
    "enqueued_sequence_number": 6,
    "lock_token": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "locked_until": None,
    "enqueued_time_utc": None,
    "expires_at_utc": None,
    "scheduled_enqueue_time_utc": None,
    "application_properties": None,
    "user_properties": None,
    "time_to_live": timedelta(days=14),
    "content_type": "application/json",
    "correlation_id": "c",
    "subject": "s",
    "label": "s",
    "to": "t",
    "reply_to": "r",
    "reply_to_session_id": "rs",
    "session_id": "si",
    "partition_key": "p",
    "transaction_partition_key": "tp",
    "state": 0,
    "dead_letter_source": "d",
    "dead_letter_reason": "dr",
    "dead_letter_error_description": "dd",
}


def test_a_body_comes_as_the_parameter_is_annotated() -> None:
    """Message, text or bytes; without `data_type=BINARY` bytes that are no UTF-8 are spoilt, as in Azure."""
    at = datetime(2026, 3, 2, tzinfo=UTC)
    queued = QueuedMessage(b"\xff", "m", 1, 1, "t", at, at)

    async def text(msg: str) -> None: ...

    async def raw(msg: bytes) -> None: ...

    assert argument_for(trigger_of(queue_app(text)), queued) == "\ufffd"
    assert argument_for(trigger_of(queue_app(raw)), queued) == b"\xff"
    message = argument_for(trigger_of(queue_app(any_message)), queued)
    assert isinstance(message, func.ServiceBusMessage)
    assert message.get_body() == "\ufffd".encode()
    binary = argument_for(trigger_of(queue_app(any_message, data_type="BINARY")), queued)
    assert isinstance(binary, func.ServiceBusMessage)
    assert binary.get_body() == b"\xff"
    assert binary.session_id is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:30", 30), ("1.02:00:00", 93600), ("-00:00:00.0010000", None), ("00:05:00.5", 300)]
)
def test_the_renewal_duration_is_a_net_time_span(text: str, seconds: int | None) -> None:
    """Days before a dot; the documented value for endless renewal has no end."""
    renewal = read_host_json(service_bus(maxAutoLockRenewalDuration=text)).service_bus.lock_renewal
    assert renewal == (None if seconds is None else timedelta(seconds=seconds))


async def any_message(msg: func.ServiceBusMessage) -> None:
    """A handler that takes anything."""


def noting_into(done: asyncio.Event) -> Any:
    """Return a handler that says that it ran."""

    async def handler(msg: str) -> None:
        done.set()

    return handler


def queue_app(handler: Any, **options: Any) -> func.FunctionApp:
    """Return an app with one queue function `f` on the queue `q`."""
    app = func.FunctionApp()
    trigger = app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="ServiceBus", **options)
    app.function_name("f")(trigger(handler))
    return app


def trigger_of(app: func.FunctionApp) -> QueueTrigger:
    """Return the trigger of such an app."""
    (function,) = index(app, SETTINGS)
    assert isinstance(function.trigger, QueueTrigger)
    return function.trigger


def service_bus(**options: Any) -> dict[str, Any]:
    """Return a host.json with these options of the Service Bus extension."""
    return {"extensions": {"serviceBus": options}}


def state_of(host: FunctionsHost, function: str) -> str:
    """Return the state of a function's listener."""
    return next(entry.state for entry in host.health().listeners if entry.function == function)
