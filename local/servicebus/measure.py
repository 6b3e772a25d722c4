"""Measure the endpoint with the azure-servicebus package: `python -m local.servicebus.measure --messages 2000`.

Client and endpoint share this process and its processors, so the figures say what a person's machine can do, not what
the endpoint could do alone. Prints messages per second; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from local.servicebus.config import QueueSettings
from local.servicebus.server import ServiceBusEndpoint

_QUEUE = "measured"
_BODY = b"x" * 1024


async def _send_one_by_one(sender: ServiceBusSender, count: int) -> None:
    for _ in range(count):
        await sender.send_messages(ServiceBusMessage(_BODY))


async def _send_lists(sender: ServiceBusSender, count: int) -> None:
    for _ in range(count // 100):
        await sender.send_messages([ServiceBusMessage(_BODY) for _ in range(100)])


async def _complete(receiver: ServiceBusReceiver, count: int) -> None:
    done = 0
    while done < count:
        messages = await receiver.receive_messages(100, max_wait_time=10)
        await asyncio.gather(*(receiver.complete_message(message) for message in messages))
        done += len(messages)


async def _delete(receiver: ServiceBusReceiver, count: int) -> None:
    done = 0
    while done < count:
        done += len(await receiver.receive_messages(300, max_wait_time=10))


async def _timed(name: str, count: int, work: Callable[[], Awaitable[None]]) -> None:
    began = time.perf_counter()
    await work()
    print(f"{name:<45} {count / (time.perf_counter() - began):>8.0f} messages/s")


async def _measure(count: int, path: Path | None) -> None:
    endpoint = ServiceBusEndpoint(queues=[QueueSettings(_QUEUE)], path=path, key="measured")
    await endpoint.start()
    deleting = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    async with ServiceBusClient.from_connection_string(endpoint.connection_string) as client:
        async with client.get_queue_sender(_QUEUE) as sender, client.get_queue_receiver(_QUEUE) as receiver:
            await _timed("send one by one", count, lambda: _send_one_by_one(sender, count))
            await _timed("receive 100 and complete them together", count, lambda: _complete(receiver, count))
            await _timed("send in lists of 100", count, lambda: _send_lists(sender, count))
        async with client.get_queue_receiver(_QUEUE, receive_mode=deleting, prefetch_count=300) as taker:
            await _timed("receive and delete, 300 fetched ahead", count, lambda: _delete(taker, count))
    await endpoint.stop()


def main() -> int:
    """Measure in memory and on a file of the temporary folder; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.servicebus.measure")
    parser.add_argument("--messages", type=int, default=2000, help="messages of 1 KB per measurement (default: 2000)")
    count = max(1, parser.parse_args().messages // 100) * 100
    print("in memory")
    asyncio.run(_measure(count, None))
    with tempfile.TemporaryDirectory() as folder:
        print("in a file")
        asyncio.run(_measure(count, Path(folder) / "measured.sqlite"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
