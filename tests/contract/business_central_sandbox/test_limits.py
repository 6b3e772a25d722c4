"""Limits per identity: the sliding window, five at once, the queue behind them."""

from __future__ import annotations

import asyncio

import httpx

from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import CUSTOMERS, error_of, settle


async def test_the_window_of_requests_slides(make: MakeRig) -> None:
    """The seventh within five minutes is refused, and passes once the first has left the window."""
    rig = make(requests_per_window=6)
    await rig.http.get(CUSTOMERS)
    await rig.clock.advance(200)
    for _ in range(5):
        assert (await rig.http.get(CUSTOMERS)).status_code == 200
    refused = await rig.http.get(CUSTOMERS)
    assert error_of(refused, 429)[0] == "Application_TooManyRequests"
    assert "retry-after" not in refused.headers
    await rig.clock.advance(100)
    assert (await rig.http.get(CUSTOMERS)).status_code == 200
    assert (await rig.http.get(CUSTOMERS)).status_code == 429


async def test_each_identity_has_a_window_of_its_own(make: MakeRig) -> None:
    """Spreading the load over several applications is what the vendor suggests."""
    rig = make(requests_per_window=1, retry_after_on_429=True)
    other = rig.client("second connector")
    assert (await rig.http.get(CUSTOMERS)).status_code == 200
    assert (await rig.http.get(CUSTOMERS)).headers["retry-after"] == "300"
    assert (await other.get(CUSTOMERS)).status_code == 200


async def test_the_limits_can_be_switched_off(make: MakeRig) -> None:
    """For tests that are about something else."""
    rig = make(requests_per_window=1, limits=False)
    assert [(await rig.http.get(CUSTOMERS)).status_code for _ in range(3)] == [200, 200, 200]


async def test_five_run_at_once_and_the_rest_queue(make: MakeRig) -> None:
    """With a second of latency twelve requests take three seconds, five by five."""
    rig = make(latency_seconds=(1.0, 1.0))
    tasks = [asyncio.ensure_future(rig.http.get(CUSTOMERS)) for _ in range(12)]
    done = []
    for _ in range(3):
        await rig.clock.advance(1)
        done.append(sum(task.done() for task in tasks))
    assert done == [5, 10, 12]
    assert {task.result().status_code for task in tasks} == {200}


async def test_more_than_the_queue_holds_is_refused_at_once(make: MakeRig) -> None:
    """A hundred connections per identity: five served, ninety-five waiting, the next is a 429."""
    rig = make(latency_seconds=(1.0, 1.0))
    tasks = [asyncio.ensure_future(rig.http.get(CUSTOMERS)) for _ in range(100)]
    await settle()
    refused: httpx.Response = await rig.http.get(CUSTOMERS)
    assert refused.status_code == 429
    await rig.clock.advance(30)
    assert {task.result().status_code for task in tasks} == {200}


async def test_waiting_too_long_in_the_queue_ends_in_503(make: MakeRig) -> None:
    """After eight minutes the request comes to its turn too late."""
    rig = make(latency_seconds=(500.0, 500.0), parallel=1)
    first = asyncio.ensure_future(rig.http.get(CUSTOMERS))
    second = asyncio.ensure_future(rig.http.get(CUSTOMERS))
    await rig.clock.advance(1100)
    assert first.result().status_code == 200
    assert error_of(second.result(), 503)[0] == "Internal_TenantUnavailable"


async def test_a_client_that_hangs_up_gives_its_place_back(make: MakeRig) -> None:
    """Cancelled waiters leave no hole in the queue."""
    rig = make(latency_seconds=(1.0, 1.0), parallel=1)
    tasks = [asyncio.ensure_future(rig.http.get(CUSTOMERS)) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    await rig.clock.advance(2)
    assert tasks[2].result().status_code == 200
