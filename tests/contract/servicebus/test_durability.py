"""What was acknowledged is there after the process was killed; what was locked, counted or scheduled is so still."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiver, ServiceBusSubQueue
from azure.servicebus.exceptions import ServiceBusError

from local.servicebus import Counts, QueueSettings, ServiceBusEndpoint, StoreError
from tests.contract.servicebus.rig import (
    KEY,
    ROOT,
    EndpointOnThread,
    EndpointProcess,
    MovableClock,
    emulator_config,
    everything,
    receive,
    wait_until,
)

# azure-servicebus 7.15.0 leaves the socket to the garbage collector when the connection is cut.
pytestmark = pytest.mark.filterwarnings(r"ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
QUEUE = "q"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EndpointProcess]:
    """The endpoint as a process, started."""
    endpoint = EndpointProcess(tmp_path, {"Name": QUEUE, "Properties": {"LockDuration": "PT5M"}})
    endpoint.start()
    yield endpoint
    endpoint.kill()
    gc.collect()


@contextmanager
def opened(connection_string: str) -> Iterator[ServiceBusReceiver]:
    """A receiver on the queue."""
    with (
        ServiceBusClient.from_connection_string(connection_string, retry_total=0) as client,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        yield receiver


def send_until_cut_off(connection_string: str, name: str, acknowledged: list[str]) -> None:
    """Send one message after the other and note each that was acknowledged."""
    with (
        ServiceBusClient.from_connection_string(connection_string, retry_total=0) as client,
        client.get_queue_sender(QUEUE) as sender,
    ):
        try:
            while True:
                body = f"{name} {len(acknowledged)}"
                sender.send_messages(ServiceBusMessage(body))
                acknowledged.append(body)
        except ServiceBusError:
            return


def all_longer_than(length: int, lists: list[list[str]]) -> bool:
    """Whether each of the lists is longer."""
    return all(len(one) > length for one in lists)


def test_every_acknowledged_send_survives_a_kill(process: EndpointProcess) -> None:
    """Killed twice in the midst of sending by two senders: nothing that was acknowledged is missing, nothing is there
    twice, and only a message under way at a kill may be there without having been acknowledged."""
    kept: list[str] = []
    for life in range(2):
        lists: list[list[str]] = [[], []]
        senders = [
            threading.Thread(target=send_until_cut_off, args=(process.connection_string, f"{life}{number}", one))
            for number, one in enumerate(lists)
        ]
        for sender in senders:
            sender.start()
        wait_until(partial(all_longer_than, 100, lists))
        process.kill()
        for sender in senders:
            sender.join()
        kept += lists[0] + lists[1]
        process.start()
    present = everything(process.port, QUEUE)
    assert set(kept) <= set(present)
    assert len(present) == len(set(present))
    assert len(present) - len(kept) <= 4


def test_locks_counts_schedules_and_dead_letters_survive_a_kill(process: EndpointProcess) -> None:
    """The receiver that was not killed completes with its lock token afterwards; the schedule can be cancelled."""
    due = datetime.now(UTC) + timedelta(days=1)
    with (
        ServiceBusClient.from_connection_string(process.connection_string, retry_total=0) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
    ):
        sender.send_messages([ServiceBusMessage(body) for body in ("held", "again", "deferred", "dead", "done")])
        held, again, deferred, dead, done = receive(receiver, 5)
        receiver.abandon_message(again)
        receiver.defer_message(deferred)
        receiver.dead_letter_message(dead, reason="why", error_description="because")
        receiver.complete_message(done)
        numbers = sender.schedule_messages([ServiceBusMessage("planned")], due)
        process.kill()
    process.start()
    with (
        ServiceBusClient.from_connection_string(process.connection_string, retry_total=0) as client,
        client.get_queue_sender(QUEUE) as sender,
        client.get_queue_receiver(QUEUE) as receiver,
        client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as graveyard,
    ):
        sender.cancel_scheduled_messages(numbers)
        sender.send_messages(ServiceBusMessage("new"))
        receiver.complete_message(held)
        first, second = receive(receiver, 2)
        assert (str(first), first.delivery_count, str(second)) == ("again", 1, "new")
        assert (second.sequence_number or 0) > numbers[0]
        [by_number] = receiver.receive_deferred_messages(deferred.sequence_number or 0)
        parked = receive(graveyard, 1)[0]
        assert (str(by_number), str(parked), parked.dead_letter_reason) == ("deferred", "dead", "why")
        for message in (first, second, by_number):
            receiver.complete_message(message)
        graveyard.complete_message(parked)
        assert receiver.peek_messages(sequence_number=1) == []


# --- in one process -------------------------------------------------------------------------------


def settings(**options: object) -> QueueSettings:
    """The queue of these tests."""
    return QueueSettings(QUEUE, requires_duplicate_detection=True, **options)  # type: ignore[arg-type]  # test options


def test_message_ids_are_remembered_over_a_restart(tmp_path: Path) -> None:
    """A duplicate is known after a restart, too, until the window is over."""
    path = tmp_path / "deep" / "data.sqlite"
    for counted in (1, 1):
        with EndpointOnThread([settings()], path) as door:
            with door.client() as client, client.get_queue_sender(QUEUE) as sender:
                sender.send_messages(ServiceBusMessage("x", message_id="same"))
            assert door.counts(QUEUE).active == counted


async def test_locks_can_be_released_at_the_start(tmp_path: Path) -> None:
    """For a process whose receivers died with it: the delivery counts as failed and the message is free at once."""
    path = tmp_path / "data.sqlite"
    with EndpointOnThread([settings()], path) as door:
        with door.client() as client, client.get_queue_sender(QUEUE) as sender:
            sender.send_messages(ServiceBusMessage("x"))
        with opened(door.connection_string) as receiver:
            receive(receiver, 1)
    endpoint = ServiceBusEndpoint(queues=[settings()], path=path, key=KEY, clock=MovableClock())
    await endpoint.start()
    assert endpoint.queue(QUEUE).counts() == Counts(0, 0, 1, 0, 0)
    await endpoint.stop()
    endpoint = ServiceBusEndpoint(queues=[settings()], path=path, key=KEY, release_locks_on_start=True)
    await endpoint.start()
    assert endpoint.queue(QUEUE).counts() == Counts(1, 0, 0, 0, 0)
    await endpoint.stop()
    await endpoint.stop()


async def test_a_data_file_belongs_to_one_endpoint(tmp_path: Path) -> None:
    """The second is told so, and the file can be used again after the first has stopped."""
    path = tmp_path / "data.sqlite"
    first = ServiceBusEndpoint(queues=[settings()], path=path, key=KEY)
    await first.start()
    with pytest.raises(StoreError, match="in use"):
        await ServiceBusEndpoint(queues=[settings()], path=path, key=KEY).start()
    await first.stop()
    third = ServiceBusEndpoint(queues=[settings()], path=path, key=KEY)
    await third.start()
    await third.stop()


async def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    """It is not overwritten."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader, " * 500, encoding="utf-8")
    with pytest.raises(StoreError, match="no data file"):
        await ServiceBusEndpoint(queues=[settings()], path=path, key=KEY).start()
    assert path.read_text(encoding="utf-8").startswith("Dear reader")


# --- the command ----------------------------------------------------------------------------------


def run(config: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with a configuration that it refuses."""
    path = folder / "config.json"
    path.write_text(config, encoding="utf-8")
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "local.servicebus", "--config", str(path), "--port", "0"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_command_says_why_it_cannot_start(tmp_path: Path) -> None:
    """Exit code 2 and one sentence naming the field."""
    ended = run(emulator_config({"Name": QUEUE, "Properties": {"RequiresSession": True}}), tmp_path)
    assert ended.returncode == 2
    assert "RequiresSession is not supported here" in ended.stderr
    assert "Traceback" not in ended.stderr
