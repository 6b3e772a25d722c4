"""The queue port over each of its implementations."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.contract.domain_stores.fakes import HandClock
from tests.contract.messaging.doors import Door, MemoryDoor


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def door(clock: HandClock) -> Door:
    return MemoryDoor(clock)


@pytest.fixture
def now(clock: HandClock) -> datetime:
    """The time that the queue under test goes by."""
    return clock.now()
