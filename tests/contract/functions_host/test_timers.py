"""Timer functions run by the clock, once for what was missed, never twice at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host import FunctionsHost, HostRefused, UnknownFunction
from local.host.ncrontab import parse
from local.host.timers import Status, status_at_start
from tests.contract.functions_host.fakes import NOON, HandClock, MemoryBus, make_host, settle, until


async def test_a_timer_runs_at_its_times(running: FunctionsHost, sample: ModuleType, clock: HandClock) -> None:
    """Every five minutes means three times in a quarter of an hour, and not at the start."""
    await clock.advance(1)
    assert sample.journal == []
    await clock.advance(15 * 60)
    assert sample.journal == ["tick past_due=False"] * 3


async def test_an_error_does_not_stop_the_schedule(clock: HandClock, bus: MemoryBus) -> None:
    """The run that failed is over; the next comes at its time."""
    runs: list[datetime] = []

    async def failing(timer: func.TimerRequest) -> None:
        runs.append(clock.now())
        raise RuntimeError

    host = make_host(timer_app(failing), clock, bus)
    await host.start()
    await clock.advance(600)
    assert runs == [NOON + timedelta(minutes=5), NOON + timedelta(minutes=10)]
    await host.stop()


async def test_runs_never_overlap_and_missed_ones_are_skipped(clock: HandClock, bus: MemoryBus) -> None:
    """A run of 12 minutes at every fifth minute: the next starts when it ends, and only one."""
    runs: list[tuple[str, datetime]] = []

    async def slow(timer: func.TimerRequest) -> None:
        runs.append(("begin", clock.now()))
        await clock.sleep(12 * 60 if len(runs) == 1 else 1)
        runs.append(("end", clock.now()))

    host = make_host(timer_app(slow), clock, bus)
    await host.start()
    await clock.advance(31 * 60)
    minutes = [(what, (when - NOON) // timedelta(minutes=1)) for what, when in runs]
    assert minutes[:6] == [("begin", 5), ("end", 17), ("begin", 17), ("end", 17), ("begin", 20), ("end", 20)]
    await host.stop()


async def test_what_was_missed_during_a_standstill_runs_once(
    sample: ModuleType, clock: HandClock, bus: MemoryBus, tmp_path: Path
) -> None:
    """The state survives the host: after an hour of standstill one run is made up for, as past due."""
    state = tmp_path / "state" / "timers.json"
    first = make_host(sample.app, clock, bus, state_path=state)
    await first.start()
    await clock.advance(301)
    await first.stop()
    assert sample.journal == ["tick past_due=False"]
    await clock.advance(3600)
    second = make_host(sample.app, clock, bus, state_path=state)
    await second.start()
    await clock.advance(1)
    assert sample.journal[1:] == ["tick past_due=True"]
    await clock.advance(300)
    assert sample.journal[2:] == ["tick past_due=False"]
    await second.stop()


async def test_a_timer_that_never_ran_is_made_up_for_too(
    sample: ModuleType, clock: HandClock, bus: MemoryBus, tmp_path: Path
) -> None:
    """The first start notes the next occurrence, so that a standstill right after it loses nothing."""
    for expected in ([], ["tick past_due=True"]):
        host = make_host(sample.app, clock, bus, state_path=tmp_path / "timers.json")
        await host.start()
        await clock.advance(1)
        await host.stop()
        assert sample.journal == expected
        await clock.advance(3600)


async def test_without_monitor_or_below_a_minute_nothing_is_made_up_for(
    clock: HandClock, bus: MemoryBus, tmp_path: Path
) -> None:
    """`use_monitor=False`, and any schedule that runs more often than once a minute."""
    seen: list[bool] = []

    async def noting(timer: func.TimerRequest) -> None:
        seen.append(timer.past_due)

    for options in ({"use_monitor": False}, {"schedule": "*/30 * * * * *"}):
        app = timer_app(noting, **options)
        for _ in range(2):
            host = make_host(app, clock, bus, state_path=tmp_path / "timers.json")
            await host.start()
            await clock.advance(300)
            await host.stop()
            await clock.advance(3600)
    assert seen == [False] * 22
    assert not (tmp_path / "timers.json").exists()


async def test_run_on_startup_runs_at_the_start(clock: HandClock, bus: MemoryBus) -> None:
    """And is told the state of its schedule; it is not past due."""
    requests: list[Any] = []

    async def noting(timer: func.TimerRequest) -> None:
        requests.append(timer)

    host = make_host(timer_app(noting, run_on_startup=True), clock, bus)
    await host.start()
    await settle()
    (request,) = requests
    assert request.past_due is False
    assert request.schedule_status["Next"] == "2026-03-02T12:05:00+00:00"
    await host.stop()


async def test_the_administrator_starts_a_timer(running: FunctionsHost, sample: ModuleType) -> None:
    """By method and by address; other functions cannot be started so."""
    outcome = await running.invoke_timer("tick")
    assert outcome.ok
    async with httpx.AsyncClient(base_url=running.url, headers={"x-functions-key": "master-key"}) as caller:
        assert (await caller.post("/admin/functions/tick", json={})).status_code == 202
        assert (await caller.post("/admin/functions/orders", json={})).status_code == 404
        assert (await caller.post("/admin/functions/tick?code=x", headers={"x-functions-key": ""})).status_code == 401
    assert sample.journal == ["tick past_due=False"] * 2
    with pytest.raises(UnknownFunction, match="no timer function 'orders'"):
        await running.invoke_timer("orders")


async def test_a_stop_waits_for_the_run_that_goes_on(clock: HandClock, bus: MemoryBus, tmp_path: Path) -> None:
    """The run ends by itself, and its end is noted."""
    ended: list[datetime] = []

    async def slow(timer: func.TimerRequest) -> None:
        await clock.sleep(10)
        ended.append(clock.now())

    host = make_host(timer_app(slow), clock, bus, state_path=tmp_path / "timers.json")
    await host.start()
    await clock.advance(301)
    stopping = asyncio.create_task(host.stop())
    await settle()
    assert not stopping.done()
    await clock.advance(10)
    await stopping
    assert ended == [NOON + timedelta(seconds=310)]
    assert '"last": "2026-03-02T12:05:00+00:00"' in (tmp_path / "timers.json").read_text()


async def test_a_stop_cancels_what_does_not_end(clock: HandClock, bus: MemoryBus, tmp_path: Path) -> None:
    """When the grace is over; the run that was cut off counts as missed, so the next start makes up for it."""
    ended: list[str] = []
    past_due: list[bool] = []

    async def endless(timer: func.TimerRequest) -> None:
        past_due.append(timer.past_due)
        if timer.past_due:
            return
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    app = timer_app(endless)
    host = make_host(app, clock, bus, grace_seconds=20, state_path=tmp_path / "timers.json")
    await host.start()
    await clock.advance(301)
    stopping = asyncio.create_task(host.stop())
    await settle()
    await clock.advance(19)
    assert ended == []
    await clock.advance(2)
    await until(stopping.done, "the stop")
    assert ended == ["cancelled"]
    again = make_host(app, clock, bus, state_path=tmp_path / "timers.json")
    await again.start()
    await settle()
    assert past_due == [False, True]
    await again.stop()


def test_a_broken_state_file_is_named(sample: ModuleType, clock: HandClock, bus: MemoryBus, tmp_path: Path) -> None:
    """It is not overwritten in silence."""
    path = tmp_path / "timers.json"
    path.write_text('{"tick": {}}')
    with pytest.raises(HostRefused, match=r"timers\.json cannot be read; delete the file"):
        make_host(sample.app, clock, bus, state_path=path)


def test_a_changed_schedule_is_not_made_up_for() -> None:
    """What the new schedule would have done in the past does not count as missed."""
    known = Status(NOON - timedelta(hours=2), NOON - timedelta(hours=1), NOON - timedelta(hours=2))
    hourly, often = parse("0 0 * * * *"), parse("0 */5 * * * *")
    assert status_at_start(hourly, known, NOON + timedelta(seconds=1)) == known
    assert status_at_start(often, known, NOON + timedelta(seconds=1)).next == NOON + timedelta(minutes=5)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["0 */5 * * * *", "0 0 3 * * *"]))
def test_a_start_never_loses_an_occurrence(ran: int, later: int, text: str) -> None:
    """Whenever a timer ran and whenever its host starts again: the next run is the first since, or past due."""
    schedule, began = parse(text), datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=ran)
    known = Status(began, schedule.next_after(began), began)
    now = began + timedelta(seconds=later)
    assert status_at_start(schedule, known, now).next == schedule.next_after(began)


def timer_app(handler: Any, schedule: str = "0 */5 * * * *", **options: Any) -> func.FunctionApp:
    """Return an app with one timer function."""
    app = func.FunctionApp()
    app.timer_trigger(arg_name="timer", schedule=schedule, **options)(handler)
    return app
