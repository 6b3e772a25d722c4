"""Fixtures of the host's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import httpx
import pytest

from local.host import FunctionsHost
from tests.contract.functions_host.fakes import SAMPLE_APP, SETTINGS, HandClock, MemoryBus, load_sample_app, make_host
from tests.contract.functions_host.runtime_driver import RuntimeDriver


@pytest.fixture
def clock() -> HandClock:
    """A clock that is moved by hand."""
    return HandClock()


@pytest.fixture
def bus(clock: HandClock) -> MemoryBus:
    """Queues in memory, by the same clock."""
    return MemoryBus(clock)


@pytest.fixture
def sample() -> ModuleType:
    """The sample app, freshly loaded."""
    return load_sample_app()


@pytest.fixture
def host(sample: ModuleType, clock: HandClock, bus: MemoryBus) -> FunctionsHost:
    """A host of the sample app, with a free port, that was not started."""
    return make_host(sample.app, clock, bus, http_port=0)


@pytest.fixture
async def running(host: FunctionsHost) -> AsyncIterator[FunctionsHost]:
    """The same host, started, and stopped afterwards."""
    await host.start()
    yield host
    await host.stop()


@pytest.fixture
async def caller(host: FunctionsHost) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of the host's ASGI application, without a socket."""
    transport = httpx.ASGITransport(host.asgi)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7071") as client:
        yield client


@pytest.fixture(scope="module")
def one_runtime() -> Iterator[RuntimeDriver]:
    """The same, for tests that leave nothing behind in it."""
    with RuntimeDriver(SAMPLE_APP, SETTINGS) as driver:
        yield driver
