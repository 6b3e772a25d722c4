"""When a transfer last did its work, and since when it only fails: written beside the runs, once a minute at most."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from shared.errors import StoreUnavailable
from shared.sync.context import Ports
from shared.sync.outcome import Kind, Outcome, Why

EVERY: Final = timedelta(minutes=1)
"""How often one process writes the same of a transfer."""
SUCCESSES: Final = frozenset({Kind.CREATED, Kind.UPDATED, Kind.UNCHANGED, Kind.SKIPPED})
NO_SIGN: Final = frozenset({Why.SWITCHED_OFF, Why.STOPPED, Why.CLAIMED, Why.RACE, Why.NO_PARTNER, Why.HANDED_BACK})
"""Why a run ended that says nothing of whether the transfer works."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """A transfer's signs of life. failing_since: the first failure after the last success."""

    success_at: datetime | None = None
    failed_at: datetime | None = None
    failing_since: datetime | None = None

    def after(self, now: datetime, *, worked: bool) -> Pulse:
        """The pulse after a run."""
        if worked:
            return replace(self, success_at=now)
        first = self.failing_since is None or (self.success_at is not None and self.failing_since <= self.success_at)
        return replace(self, failed_at=now, failing_since=now if first else self.failing_since)

    @property
    def only_fails_since(self) -> datetime | None:
        """Since when nothing has succeeded although it was tried; None while it works. What one process wrote late by
        up to a minute does not count."""
        if self.failing_since is None or self.failed_at is None:
            return None
        lately = self.success_at is not None and self.failed_at <= self.success_at + 2 * EVERY
        works = self.success_at is not None and self.failing_since <= self.success_at
        return None if works or lately else self.failing_since


@dataclass
class Pulses:
    """Writes and reads the pulses; one per process."""

    ports: Ports
    _written: dict[tuple[str, bool], datetime] = field(default_factory=dict)

    async def beat(self, transfer: str, outcomes: Iterable[Outcome]) -> None:
        """Note how a run ended; a store that does not answer is not worth a message's second run."""
        for worked in sorted({_worked(one) for one in outcomes if one.why not in NO_SIGN} - {None}, key=bool):
            await self._note(transfer, worked=bool(worked))

    async def of(self, transfer: str) -> Pulse:
        """A transfer's pulse; empty before its first run."""
        text = await self.ports.stores.reports.get(_name(transfer))
        told: Mapping[str, str | None] = json.loads(text) if text else {}
        return Pulse(**{name: datetime.fromisoformat(at) if at else None for name, at in told.items()})

    async def _note(self, transfer: str, *, worked: bool) -> None:
        now, before = self.ports.clock.now(), self._written.get((transfer, worked))
        if before is not None and now - before < EVERY:
            return
        self._written[transfer, worked] = now
        with suppress(StoreUnavailable):
            pulse = (await self.of(transfer)).after(now, worked=worked)
            told = {name: at.isoformat() if at else None for name, at in asdict(pulse).items()}
            await self.ports.stores.reports.put(_name(transfer), json.dumps(told))


def _worked(outcome: Outcome) -> bool | None:
    """Whether a run's end shows that the transfer works, or that it does not; a parked record shows neither."""
    if outcome.kind in SUCCESSES:
        return True
    return False if outcome.kind is Kind.DEFERRED else None


def _name(transfer: str) -> str:
    return f"pulse/{transfer}"
