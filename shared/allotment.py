"""How what a system allows one identity is divided among processes, and how much of it is good to use: pure decisions.

`shared/allowance.py` carries them out. A share is only ever taken from what nobody else holds: who holds more than his
share gives the surplus back himself, when it is no longer in use. So the sum never exceeds what is allowed, however
many processes decide at the same time on what they saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from shared.sync.ports import Hold

LEASE: Final = timedelta(seconds=45)
"""How long a hold lasts that nobody renews, and so how long a killed process keeps its share."""
MARGIN: Final = timedelta(seconds=5)
"""The holder stops using a hold so much earlier, and the others take it back so much later: clocks differ."""
TURN: Final = timedelta(seconds=20)
"""How long a process keeps its only permit while others have none."""
BURST_SECONDS: Final = 1.0
"""How much of an unused pace may be made up for at once."""
SMALLEST_WAIT_SECONDS: Final = 0.001
"""A timer may ring a trifle early; what is left then is not worth another one."""
GROW_SECONDS: Final = 5.0
"""How long a system must not have complained before one request more at once is tried."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a system allows one identity, over all processes.

    at_once: requests under way; where the system gives a hint of its own (hint_header), `unhinted` counts until it
    has. per_minute: requests in a minute; None: not limited in this way.
    """

    at_once: int
    per_minute: int | None = None
    hint_header: str = ""
    unhinted: int | None = None

    @property
    def first(self) -> int:
        """How many at once before the system has said anything."""
        return self.at_once if self.unhinted is None else self.unhinted

    def hinted(self, hint: int) -> int:
        """How many at once after the system's hint."""
        return max(1, min(hint, self.at_once))


@dataclass(frozen=True, slots=True)
class Ask:
    """What a process wants: requests at once and in a minute; and what of its permits is in use in this moment."""

    holder: str
    in_use: int
    wish: int
    pace_wish: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What a process may use: requests at once and in a minute. others: how many processes hold something."""

    permits: int
    pace: int
    others: int = 0


def fair_shares(wishes: Mapping[str, int], total: int, turn: int = 0) -> dict[str, int]:
    """Divide a total: small wishes are granted whole, the rest is divided evenly among the others.

    When there is less than one for each, `turn` says who comes first, so that everybody's turn comes.
    """
    shares = dict.fromkeys(wishes, 0)
    hungry = sorted(name for name, wish in wishes.items() if wish > 0)
    while hungry:
        level = total // len(hungry)
        content = [name for name in hungry if wishes[name] <= level]
        if not content:
            first = turn % len(hungry) if level == 0 else 0
            for place, name in enumerate(hungry[first:] + hungry[:first]):
                shares[name] = level + (place < total % len(hungry))
            break
        for name in content:
            shares[name] = wishes[name]
            total -= wishes[name]
        hungry = [name for name in hungry if name not in content]
    return shares


def allot(holds: Sequence[Hold], ask: Ask, at_once: int, per_minute: int, now: datetime) -> tuple[Share, Hold]:
    """What the process that asks may use, and the hold it writes down for it."""
    others = [hold for hold in holds if hold.holder != ask.holder and now < hold.until + MARGIN]
    wishes = {hold.holder: hold.wish for hold in others} | {ask.holder: ask.wish}
    turn = int(now.timestamp() // TURN.total_seconds())
    permits = min(
        fair_shares(wishes, at_once, turn)[ask.holder], max(0, at_once - sum(hold.permits for hold in others))
    )
    wishes = {hold.holder: hold.pace_wish for hold in others} | {ask.holder: ask.pace_wish}
    pace = min(fair_shares(wishes, per_minute)[ask.holder], max(0, per_minute - sum(hold.pace for hold in others)))
    hold = Hold(ask.holder, max(permits, ask.in_use), ask.wish, pace, ask.pace_wish, now + LEASE)
    return Share(permits, pace, len(others)), hold


def minimal(per_minute: int) -> Share:
    """What a process may use that cannot learn what the others hold: one request at a time, a tenth of the pace."""
    return Share(1, max(1, per_minute // 10) if per_minute else 0)


def still_valid(holds: Sequence[Hold], now: datetime) -> tuple[Hold, ...]:
    """The holds without those that have lapsed."""
    return tuple(hold for hold in holds if now < hold.until + MARGIN)


# --- whose turn it is -------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that waits. weight: how many it counts as; passed_by: of what weight those were that went before it
    although they came later."""

    weight: int
    passed_by: int = field(default=0, kw_only=True)


def whose_turn(queue: Sequence[Waiting]) -> int:
    """The place in the queue that is next: the first one, unless it is a batch and a single request waits behind it.

    Single requests are what batches are prepared from and understood by, so they go first; until as many have passed
    a batch as it counts itself.
    """
    first = queue[0]
    if first.weight == 1 or first.passed_by >= first.weight:
        return 0
    return next((place for place, one in enumerate(queue) if one.weight == 1), 0)


# --- how many at once are good ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Level:
    """How many requests at once a process lets out: halved when the system complains, raised by one after a while.

    ceiling: never more. since: when it was last changed, or proved right.
    """

    value: int
    ceiling: int
    since: float = 0.0

    def complained(self, now: float) -> Level:
        """After a 429."""
        return replace(self, value=max(1, self.value // 2), since=now)

    def answered(self, now: float, *, reached: bool) -> Level:
        """After any other answer; reached: as many as allowed were under way."""
        if not reached or self.value >= self.ceiling or now - self.since < GROW_SECONDS:
            return self
        return replace(self, value=self.value + 1, since=now)

    def under(self, ceiling: int) -> Level:
        """With another ceiling."""
        return replace(self, value=min(self.value, ceiling), ceiling=ceiling)


# --- how fast ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pace:
    """Requests in time. full_at: when everything sent so far would have been sent at an even pace; the next request may
    go when that is not further ahead than the burst."""

    full_at: float = 0.0

    def wait(self, now: float, weight: int, per_minute: int) -> float:
        """Seconds until a request that counts as `weight` ones may go; what is more than a burst is saved up first."""
        seconds = self.full_at + _beyond_burst(weight, per_minute) - now
        return seconds if seconds > SMALLEST_WAIT_SECONDS else 0.0

    def sent(self, now: float, weight: int, per_minute: int, saved_for: int = 1) -> Pace:
        """After the request. Time that went by unused counts as far as it was needed: by this one, or by one that
        waits and counts as `saved_for`."""
        unused = max(0.0, _beyond_burst(max(weight, saved_for), per_minute))
        return Pace(max(now - unused, self.full_at) + weight * 60.0 / per_minute)

    @classmethod
    def empty(cls, now: float) -> Pace:
        """Nothing to make up for: how a new hold begins, so that passing shares on adds no requests."""
        return cls(now + BURST_SECONDS)


def _beyond_burst(weight: int, per_minute: int) -> float:
    """The seconds of a request that a burst does not cover; negative where it covers more than the request."""
    return (weight - 1) * 60.0 / per_minute - BURST_SECONDS
