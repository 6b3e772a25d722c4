"""One endpoint per test module: opening and closing the client's links takes a second each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from local.servicebus import QueueSettings
from tests.contract.servicebus.rig import EndpointOnThread

QUEUE = "orders"


@pytest.fixture(scope="module")
def door() -> Iterator[EndpointOnThread]:
    """An endpoint in memory with a queue that has everything switched on, and some others."""
    queues = [
        QueueSettings(
            QUEUE,
            lock_duration=timedelta(seconds=30),
            max_delivery_count=3,
            requires_duplicate_detection=True,
            duplicate_detection_window=timedelta(minutes=10),
            dead_lettering_on_message_expiration=True,
        ),
        QueueSettings("fleeting", default_message_ttl=timedelta(minutes=1)),
        QueueSettings("bystander", max_message_bytes=2048),
    ]
    with EndpointOnThread(queues) as endpoint:
        yield endpoint
