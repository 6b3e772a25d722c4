"""What the journal keeps of an evaluation: which columns were written or why not. Never a value."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from shared.errors import CrossdockError, StoreUnavailable
from shared.sales_cockpit.messages import QUEUE
from shared.sync.outcome import Kind
from shared.sync.ports import Clock, Counters, FieldDecision, Ids, Journal, JournalEntry, Side

log = logging.getLogger(__name__)

WRITE, KEEP = "write", "keep"
PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""Names of results that a setting could name, and that a log may hold."""
MOST_NAMES: Final = 100
"""Names that are told; whoever sends ever new ones fills neither memory nor log."""
REFUSED: Final = "evaluations_refused"


class Cause(StrEnum):
    """What made us write: the Cockpit told us while its user waited, a message, or the look at all evaluations."""

    TOLD = "told by the Cockpit"
    QUEUE = "queue"
    LOOK = "look at all evaluations"


class Ending(StrEnum):
    """How it ended without an error."""

    WRITTEN = "the evaluation was written"
    EQUAL = "the opportunity holds the evaluation's values already"
    BEFORE = "the evaluation was written before"
    OLDER = "a newer evaluation was written, or is about to be"


_KINDS: Final[Mapping[Ending, Kind]] = {
    Ending.WRITTEN: Kind.UPDATED,
    Ending.EQUAL: Kind.UNCHANGED,
    Ending.BEFORE: Kind.UNCHANGED,
    Ending.OLDER: Kind.SKIPPED,
}


@dataclass(frozen=True)
class Told:
    """One try to write one evaluation, for the journal."""

    of: Telling
    run: str
    evaluation: str
    opportunity: str
    cause: Cause

    async def ended(self, ending: Ending, written: Mapping[str, str], kept: Mapping[str, str]) -> None:
        """How it ended. written, kept: columns by what goes there."""
        why_kept = Ending.EQUAL if ending is Ending.WRITTEN else ending
        fields = [*_decisions(written, WRITE, ending), *_decisions(kept, KEEP, why_kept)]
        await self._write(_KINDS[ending], ending.value, "", fields)

    async def failed(self, error: CrossdockError, *, waits: bool, field: str = "") -> None:
        """What stands in the way, for now or for good. field: the result that it is about."""
        await self._write(Kind.DEFERRED if waits else Kind.SKIPPED, error.sentence, error.code, (), field)
        if not waits and self.cause is not Cause.TOLD:
            await self.of.count_refused()

    async def _write(
        self, kind: Kind, reason: str, code: str, fields: Sequence[FieldDecision], about: str = ""
    ) -> None:
        entry = JournalEntry(
            run=self.run,
            at=self.of.clock.now(),
            transfer=QUEUE,
            pair=self.of.pair,
            side=Side.LEFT,
            key=self.opportunity,
            other=self.opportunity,
            outcome=kind.value,
            reason=reason,
            code=code,
            cause=self.cause.value,
            correlation_id=self.evaluation,
            fields=fields,
            field=about,
        )
        try:
            await self.of.journal.write([entry])
        except StoreUnavailable:  # what was written is written; the next look tells it
            log.warning("an evaluation is not in the journal", extra={"evaluation": self.evaluation, "outcome": kind})


@dataclass(frozen=True)
class Telling:
    """Makes the entries of one organisation's opportunities. pair: the name of the pair of opportunities and
    projects."""

    journal: Journal
    counters: Counters
    pair: str
    clock: Clock
    ids: Ids
    ignored: set[str] = field(default_factory=set)

    def of(self, evaluation: str, opportunity: str, cause: Cause) -> Told:
        """A new try."""
        return Told(self, self.ids.new(), evaluation, opportunity, cause)

    def left_out(self, names: Sequence[str]) -> None:
        """Say once of every result that it has no column."""
        room = max(MOST_NAMES - len(self.ignored), 0)
        new = [name for name in names if PLAIN.fullmatch(name) and name not in self.ignored][:room]
        self.ignored.update(new)
        if new:
            log.info("results without a column are left out", extra={"action": QUEUE, "results": new})

    async def count_refused(self) -> None:
        """Count what can never be written and what no user was told of."""
        with suppress(StoreUnavailable):
            await self.counters.add(REFUSED, self.clock.now().date().isoformat(), 1)

    async def refused_lately(self) -> int:
        """How many were refused for good today and yesterday, beside those that their users were told of."""
        today = self.clock.now().date()
        days = [day.isoformat() for day in (today - timedelta(days=1), today)]
        return sum([await self.counters.read(REFUSED, day) for day in days])


def _decisions(columns: Mapping[str, str], action: str, reason: str) -> list[FieldDecision]:
    return [FieldDecision(column, place, action, reason) for column, place in columns.items()]
