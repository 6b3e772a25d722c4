"""Runs one timer function by its schedule.

As the .NET timer extension does it (source of `TimerListener` and `ScheduleMonitor`; Microsoft Learn, 'Timer trigger
for Azure Functions'): times are UTC, runs never overlap, an error does not stop the schedule. The next occurrence is
counted from the start of a run; if it passed while the run was going on, one run follows at once and all further
missed ones are skipped. With `use_monitor` the last and next run are kept; a start that finds the next one in the past
runs once with `past_due`, however many were missed. Below a minute's distance nothing is monitored.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum
from azure.functions.timer import TimerRequestConverter

from local.host.errors import HostRefused
from local.host.index import HostedFunction, TimerTrigger
from local.host.invoking import Invoker, Outcome
from local.host.ncrontab import Schedule
from local.host.ports import Clock
from local.host.queues import ListenerHealth

log = logging.getLogger(__name__)

_MONITORED_FROM = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Status:
    """When a timer ran last and runs next; `last` is None before its first run, `updated` is when this was counted."""

    last: datetime | None
    next: datetime
    updated: datetime


class TimerStates:
    """The states of all monitored timers, in one small file that is replaced as a whole; without a path, in memory."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._states = self._read()

    def get(self, name: str) -> Status | None:
        """Return what is known of a timer."""
        return self._states.get(name)

    def set(self, name: str, status: Status) -> None:
        """Keep what is known of a timer; it is on disk when this returns."""
        self._states[name] = status
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.new")
        new.write_text(json.dumps({key: _spelled(value) for key, value in sorted(self._states.items())}, indent=1))
        os.replace(new, self._path)

    def _read(self) -> dict[str, Status]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            stored = json.loads(self._path.read_text())
            return {name: _status(entry) for name, entry in stored.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HostRefused(f"the timers' states in {self._path} cannot be read; delete the file.") from error


def _spelled(status: Status) -> dict[str, str | None]:
    last = None if status.last is None else status.last.isoformat()
    return {"last": last, "next": status.next.isoformat(), "updated": status.updated.isoformat()}


def _status(entry: Mapping[str, Any]) -> Status:
    last = entry["last"]
    return Status(
        None if last is None else datetime.fromisoformat(last),
        datetime.fromisoformat(entry["next"]),
        datetime.fromisoformat(entry["updated"]),
    )


def status_at_start(schedule: Schedule, known: Status | None, now: datetime) -> Status:
    """Return the state a timer starts with; its run is past due when `next` lies before `now`.

    Without a known state the next occurrence is noted at once, so that it counts as missed after a standstill. When
    the schedule was changed meanwhile, what would have been missed by the new schedule is not made up for.
    """
    if known is None:
        return Status(None, schedule.next_after(now), now)
    expected = schedule.next_after(known.last or known.updated)
    if expected == known.next:
        return known
    if now > expected:
        return Status(None, schedule.next_after(now), now)
    return replace(known, last=None, next=expected)


def timer_request(past_due: bool, status: Status | None) -> func.TimerRequest:
    """Return the request as the worker decodes it, by its own converter (so it fits azure-functions 1.x and 2.x)."""
    request: dict[str, Any] = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": past_due}
    if status is not None:
        request["ScheduleStatus"] = {
            "Last": "0001-01-01T00:00:00+00:00" if status.last is None else status.last.isoformat(),
            "Next": status.next.isoformat(),
            "LastUpdated": status.updated.isoformat(),
        }
    decoded: func.TimerRequest = TimerRequestConverter.decode(Datum(json.dumps(request), "json"), trigger_metadata=None)
    return decoded


class TimerListener:
    """The listener of one timer function."""

    def __init__(self, function: HostedFunction, invoker: Invoker, states: TimerStates, clock: Clock) -> None:
        assert isinstance(function.trigger, TimerTrigger)
        self._function = function
        self._trigger = function.trigger
        self._invoker = invoker
        self._states = states
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._running: asyncio.Task[Outcome] | None = None
        schedule, now = function.trigger.schedule, clock.now()
        self._monitored = function.trigger.use_monitor and not schedule.shortest_gap_under(_MONITORED_FROM, now)
        self._status = status_at_start(schedule, states.get(function.name) if self._monitored else None, now)
        self._health = ListenerHealth(function.name, "timer", "starting", now)

    @property
    def health(self) -> ListenerHealth:
        """How the listener is now; the detail says when it runs next."""
        return replace(self._health, detail=f"next {self._status.next.isoformat()}")

    def start(self) -> None:
        """Begin to run by the schedule."""
        self._keep(self._status)
        self._health = replace(self._health, state="listening", since=self._clock.now())
        self._loop = asyncio.create_task(self._run_by_schedule(), name=f"timer {self._function.name}")

    async def stop(self) -> None:
        """Start no more runs and wait for the one that is going on (the invoker's limit cancels it)."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait({self._loop})
        if self._running is not None:
            await asyncio.wait({self._running})
        self._health = replace(self._health, state="stopped", since=self._clock.now())

    async def run_now(self) -> Outcome:
        """Run the function once outside of its schedule, after a run that is going on."""
        async with self._one_at_a_time:
            return await self._invoker.invoke(self._function, timer_request(False, self._shown()))

    async def _run_by_schedule(self) -> None:
        if self._monitored and self._clock.now() > self._status.next:
            log.info("%s: its run of %s was missed and is made up for", self._function.name, self._status.next)
            await self._run(past_due=True)
        elif self._trigger.run_on_startup:
            await self._run(past_due=False)
        while True:
            left = (self._status.next - self._clock.now()).total_seconds()
            if left > 0:
                await self._clock.sleep(left)
            if self._clock.now() >= self._status.next:
                await self._run(past_due=False)

    async def _run(self, past_due: bool) -> None:
        """Run in a task of its own, so that stopping the loop lets the run finish and be noted."""
        self._running = asyncio.create_task(self._run_and_note(past_due))
        await asyncio.shield(self._running)

    async def _run_and_note(self, past_due: bool) -> Outcome:
        async with self._one_at_a_time:
            began = self._clock.now()
            outcome = await self._invoker.invoke(self._function, timer_request(past_due, self._shown()))
            if not outcome.cancelled:  # a run that was cut off is made up for at the next start
                self._keep(Status(began, self._trigger.schedule.next_after(began), began))
            return outcome

    def _shown(self) -> Status | None:
        return self._status if self._monitored else None

    def _keep(self, status: Status) -> None:
        """Note the state; a disk that refuses it must not end the schedule."""
        self._status = status
        if not self._monitored:
            return
        try:
            self._states.set(self._function.name, status)
        except OSError as error:
            log.warning("%s: its state could not be written (%s)", self._function.name, type(error).__name__)
