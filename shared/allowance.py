"""What one identity may do at a system, as this process has it: how many requests at once, how fast, and not before.

A process holds a share of the identity's limits by a lease in the store (`shared/allotment.py` decides how large). The
lease is taken when the first request wants to go, renewed every few seconds in the background while requests go, given
back when none has gone for a while and when the process ends; after a crash it lapses. A request itself costs no call
of the store. While the store does not answer the process goes on with what it holds, and after that with the smallest
share.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from shared.allotment import (
    LEASE,
    MARGIN,
    SMALLEST_WAIT_SECONDS,
    Allowed,
    Ask,
    Level,
    Pace,
    Share,
    Waiting,
    allot,
    minimal,
    still_valid,
    whose_turn,
)
from shared.errors import StoreUnavailable
from shared.sync.ports import Clock, Hold, PermitRow, Permits, RowTaken

log = logging.getLogger(__name__)

RENEW_SECONDS: Final = 5.0
"""How often a busy process asks anew; less often where many hold something, so that the row is not fought over."""
LONGEST_RENEW_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 10.0
STORE_SECONDS: Final = 5.0
"""How long a request waits for the store before the process makes do with the smallest share."""
SOON_SECONDS: Final = 1.0
_ROUNDS: Final = 10
_SMALLEST_PACE: Final = 60
_WORTH_TELLING: Final = 5.0
"""A shorter wait that the system asks for is over before the others read of it."""
_LOST: Final = float("-inf")


@dataclass(slots=True, eq=False)
class _Waiting(Waiting):
    """A request that waits, and what tells it to go."""

    turn: asyncio.Future[None]


class Allowance:
    """One identity's permits, pace and gate; shared by all clients of the process that use the identity.

    Without a store the whole allowance is this process's own.
    """

    def __init__(
        self, allowed: Allowed, clock: Clock, *, identity: str = "", store: Permits | None = None, holder: str = ""
    ) -> None:
        self._allowed = allowed
        self._clock = clock
        self._identity = identity
        self._store = store
        self._holder = holder
        self._at_once = allowed.first
        self._level = Level(allowed.first, allowed.first)
        self._share = Share(0, 0) if store else Share(allowed.at_once, allowed.per_minute or 0)
        self._lease_ends = _LOST if store else float("inf")
        self._leased = False
        self._row: PermitRow | None = None
        self._surplus = False
        self._untold = False
        self._gate_opens = _LOST
        self._in_use = 0
        self._entering = 0
        self._queue: deque[_Waiting] = deque()
        self._pace = Pace()
        self._ringer: asyncio.Task[None] | None = None
        self._rings_at = _LOST
        self._asking = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._asked_at = _LOST
        self._soon = SOON_SECONDS
        self._used_at = _LOST
        self._peak = 0
        self._sent = 0
        self._hurried = False
        self._measured_since = 0.0

    @property
    def most(self) -> int:
        """The most requests that can ever be under way at once."""
        return self._allowed.at_once

    @property
    def waiting(self) -> int:
        """How many requests wait for a place or for the pace."""
        return self._entering

    # --- one request ---

    async def enter(self, weight: int = 1) -> None:
        """Wait until a request that counts as `weight` ones may go. `leave` must follow."""
        self._entering += 1
        self._used_at = self._clock.monotonic()
        self._peak = max(self._peak, self._in_use + self._entering)
        try:
            await self._hold_something()
            if self._queue or not self._go(weight):
                await self._wait_for_turn(weight)
        finally:
            self._entering -= 1

    def leave(self) -> None:
        """The request has ended."""
        self._in_use -= 1
        self._used_at = self._clock.monotonic()
        self._admit()

    def answered(self, headers: Mapping[str, str]) -> None:
        """The system answered, and with anything but "too many requests"."""
        hint = headers.get(self._allowed.hint_header, "") if self._allowed.hint_header else ""
        if hint.isascii() and hint.isdigit():
            self._at_once = self._allowed.hinted(int(hint[:6]))
            self._level = self._level.under(self._at_once)
        reached = self._in_use >= self._limit()
        self._level = self._level.answered(self._clock.monotonic(), reached=reached)
        self._admit()

    def close_gate(self, seconds: float) -> None:
        """The system wants no request for that long. Of several such answers at once the first halves the level."""
        now = self._clock.monotonic()
        if self.gate_seconds == 0:
            self._level = self._level.complained(now)
        self._gate_opens = max(self._gate_opens, now + seconds)
        self._untold = self._untold or seconds >= _WORTH_TELLING

    @property
    def gate_seconds(self) -> float:
        """How long the system wants no request from this identity; 0 when it takes them."""
        seconds = self._gate_opens - self._clock.monotonic()
        return seconds if seconds > SMALLEST_WAIT_SECONDS else 0.0

    def _limit(self) -> int:
        return min(self._share.permits, self._level.value) if self._holds() else 0

    def _holds(self) -> bool:
        return self._clock.monotonic() < self._lease_ends

    async def _wait_for_turn(self, weight: int) -> None:
        waiting = _Waiting(weight, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._admit()
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled():
                self.leave()
            else:
                with suppress(ValueError):
                    self._queue.remove(waiting)
            raise

    def _admit(self) -> None:
        """Let in those whose turn it is, as far as there are places and the pace allows."""
        while self._queue:
            place = whose_turn(self._queue)
            one = self._queue[place]
            if not one.turn.done():
                if not self._go(one.weight):
                    return
                one.turn.set_result(None)
                if place:
                    self._queue[0].passed_by += one.weight
            del self._queue[place]

    def _go(self, weight: int) -> bool:
        """Take a place and go, if there is one and the pace allows; otherwise see to being asked again."""
        if self._in_use >= self._limit():
            return False
        if self._allowed.per_minute is not None:
            seconds = self._pace_seconds(weight)
            if seconds > 0:
                self._hurried = True
                self._ring_in(min(seconds, SOON_SECONDS))
                return False
            first = self._queue[0].weight if self._queue else 1
            self._pace = self._pace.sent(self._clock.monotonic(), weight, self._share.pace, first)
            self._sent += weight
        self._in_use += 1
        return True

    def _ring_in(self, seconds: float) -> None:
        """Let in who may go then, unless that happens earlier anyway."""
        at = self._clock.monotonic() + seconds
        if self._ringer is not None:
            if self._rings_at <= at:
                return
            self._ringer.cancel()
        self._rings_at = at
        self._ringer = asyncio.get_running_loop().create_task(self._ring(seconds))

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._ringer = None
        self._admit()

    def _pace_seconds(self, weight: int) -> float:
        """Seconds until the pace lets a request go; without a share of it, as long as it takes to get one."""
        per_minute = self._share.pace
        return self._pace.wait(self._clock.monotonic(), weight, per_minute) if per_minute else SOON_SECONDS

    # --- the lease ---

    async def _hold_something(self) -> None:
        if self._store is None:
            return
        if not self._holds():
            async with self._asking:
                if not self._holds():
                    await self._ask(self._store)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.get_running_loop().create_task(self._keep(self._store))

    async def _keep(self, store: Permits) -> None:
        """Renew while requests go; then give everything back."""
        while True:
            await self._clock.sleep(SOON_SECONDS)
            async with self._asking:
                if self._is_idle():
                    self._lease_ends = _LOST
                    await self._give_back(store)
                    return
                if self._is_due():
                    await self._ask(store)

    def _is_idle(self) -> bool:
        return not self._in_use and not self._entering and self._clock.monotonic() - self._used_at >= IDLE_SECONDS

    def _is_due(self) -> bool:
        age = self._clock.monotonic() - self._asked_at
        if age >= min(LONGEST_RENEW_SECONDS, max(RENEW_SECONDS, self._share.others / 10)):
            return True
        gives_back = self._surplus and self._in_use <= self._share.permits
        return age >= self._soon and (gives_back or self._untold or self._is_hungry())

    def _is_hungry(self) -> bool:
        """Whether more than the share could be used."""
        full = bool(self._queue) and self._in_use >= self._limit()
        more = full and self._share.permits < min(self._level.value, self._at_once)
        faster = self._hurried and self._share.pace < (self._allowed.per_minute or 0)
        return more or faster

    async def _ask(self, store: Permits) -> None:
        self._asked_at = self._clock.monotonic()
        self._soon = min(self._soon * 2, RENEW_SECONDS) if self._is_hungry() else SOON_SECONDS
        try:
            async with asyncio.timeout(STORE_SECONDS):
                share = await self._negotiate(store)
        except (StoreUnavailable, RowTaken, TimeoutError) as error:
            self._row = None
            if not self._leased or not self._holds():
                self._use(self._makeshift(error), timedelta(seconds=LONGEST_RENEW_SECONDS), leased=False)
            return
        self._use(share, LEASE - MARGIN, leased=True)

    def _makeshift(self, error: Exception) -> Share:
        """Nothing where the others were just faster; the smallest share where the store does not answer."""
        if isinstance(error, RowTaken):
            return Share(0, 0)
        log.warning("the store of permits does not answer", extra={"action": "permits"})
        return minimal(self._allowed.per_minute or 0)

    def _use(self, share: Share, life: timedelta, *, leased: bool) -> None:
        if not self._holds():
            self._pace = Pace.empty(self._clock.monotonic())
        self._share, self._leased, self._lease_ends = share, leased, self._asked_at + life.total_seconds()
        self._peak, self._sent, self._hurried = self._in_use + self._entering, 0, False
        self._measured_since = self._clock.monotonic()
        self._admit()

    async def _negotiate(self, store: Permits) -> Share:
        """Agree with the other processes on a share; raises RowTaken when they were faster again and again."""
        for round_number in range(_ROUNDS):
            row = self._row or await store.get(self._identity)
            self._hear_of_gates(row)
            share, hold = self._decided(row)
            others = [one for one in still_valid(row.holds, self._clock.now()) if one.holder != self._holder]
            self._restrict(share)
            try:
                written = await store.put(replace(row, holds=(*others, hold)))
            except RowTaken:
                self._row = None
                await self._clock.sleep(0.02 * (1 + round_number))
                continue
            self._row = None if others else written  # who is alone need not read what he wrote himself
            self._surplus, self._untold = hold.permits > share.permits, False
            return share
        raise RowTaken("the permits of an identity")

    def _decided(self, row: PermitRow) -> tuple[Share, Hold]:
        per_minute = self._allowed.per_minute or 0
        ask = Ask(self._holder, self._in_use, self._wish(), self._pace_wish())
        share, hold = allot(row.holds, ask, self._at_once, per_minute, self._clock.now())
        closed = self._clock.now() + timedelta(seconds=self.gate_seconds)
        return share, replace(hold, closed_until=closed if self.gate_seconds >= _WORTH_TELLING else None)

    def _restrict(self, share: Share) -> None:
        """Use no more than was decided before the others may read that it is free."""
        if self._holds():
            permits, pace = min(share.permits, self._share.permits), min(share.pace, self._share.pace)
            self._share = replace(self._share, permits=permits, pace=pace)

    def _wish(self) -> int:
        """What could have been used since the last time; at first half of everything, which leaves room for others."""
        wanted = self._peak if self._holds() else max(self._peak, (self._at_once + 1) // 2)
        return max(1, min(wanted, self._level.value))

    def _pace_wish(self) -> int:
        """The pace of the time since the last asking and half as much again; everything, if somebody had to wait."""
        whole = self._allowed.per_minute or 0
        if self._hurried or not whole:
            return whole
        if not self._holds():
            return (whole + 1) // 2
        seconds = max(SOON_SECONDS, self._clock.monotonic() - self._measured_since)
        return min(whole, max(_SMALLEST_PACE, round(self._sent / seconds * 90)))

    def _hear_of_gates(self, row: PermitRow) -> None:
        """A wait that the system asked another process for concerns this one too."""
        now: datetime = self._clock.now()
        for hold in row.holds:
            if hold.closed_until is not None and hold.holder != self._holder and hold.closed_until > now:
                seconds = (hold.closed_until - now).total_seconds()
                self._gate_opens = max(self._gate_opens, self._clock.monotonic() + min(seconds, 600.0))

    async def _give_back(self, store: Permits) -> None:
        self._row = None
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(STORE_SECONDS):
                for _ in range(_ROUNDS):
                    row = await store.get(self._identity)
                    rest = tuple(one for one in row.holds if one.holder != self._holder)
                    if len(rest) == len(row.holds):
                        return
                    with suppress(RowTaken):
                        await store.put(replace(row, holds=rest))
                        return

    async def aclose(self) -> None:
        """Give everything back."""
        tasks = [task for task in (self._keeper, self._ringer) if task is not None]
        self._keeper = self._ringer = None
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._store is not None and self._asked_at != _LOST:
            self._lease_ends = _LOST
            await self._give_back(self._store)
