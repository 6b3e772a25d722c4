"""The queue port over each of its implementations."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.contract.domain_stores.fakes import HandClock
from tests.contract.messaging.doors import Door, MemoryDoor, ServiceBusDoor


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service_bus() -> AsyncIterator[ServiceBusDoor]:
    async with ServiceBusDoor() as door:
        yield door


@pytest.fixture(params=["memory", "service_bus"])
def door(request: pytest.FixtureRequest, clock: HandClock) -> Door:
    if request.param == "memory":
        return MemoryDoor(clock)
    door: ServiceBusDoor = request.getfixturevalue("service_bus")
    door.renew()
    return door
