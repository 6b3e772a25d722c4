"""The look at all evaluations: what nobody told us of, and what did not get through, is written.

Of every opportunity only the newest evaluation counts. What Dynamics does not take now goes to the queue, so the next
look begins where this one began.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.errors import BadAnswer
from shared.sales_cockpit.bodies import canonical
from shared.sales_cockpit.messages import QUEUE
from shared.sales_cockpit.ports import Cockpit, Evaluation, EvaluationPage, Stage
from shared.sales_cockpit.queued import CALL_SECONDS, QueuedEvaluations
from shared.sales_cockpit.telling import Cause
from shared.sales_cockpit.writing_back import FINAL, WritingBack, order
from shared.sync.ports import Clock, RowTaken, Watermark, Watermarks
from shared.users import User

log = logging.getLogger(__name__)

MARK: Final = "evaluations"
FIRST: Final = timedelta(days=1)
"""How far back the very first look goes: what was rated before the two were connected stays as it is."""
OVERLAP: Final = timedelta(minutes=30)
"""What is read again behind the mark: clocks differ, and the Cockpit may show a change late."""
AT_ONCE: Final = 4
BUDGET_SECONDS: Final = 240.0
"""After it the rest goes to the queue, so that a look ends before the platform ends it."""


@dataclass(frozen=True)
class Reconciling:
    """Looks at all evaluations. instance: of the Cockpit."""

    cockpit: Cockpit
    instance: str
    writing: WritingBack
    queued: QueuedEvaluations
    watermarks: Watermarks
    clock: Clock

    async def look(self) -> Mapping[str, int]:
        """Write what is missing; answers how many ended how.

        Raises what the Cockpit, the store and the queue raise; then the next look finds the same again.
        """
        began, name = self.clock.now(), f"{MARK}/{self.instance}"
        mark = await self.watermarks.get(name)
        since = began - FIRST if mark is None else _time(mark) - OVERLAP
        newest = await self._newest(since)
        ended = await self._write_all(newest, self.clock.monotonic() + BUDGET_SECONDS)
        with suppress(RowTaken):  # another look was faster and has seen the same
            fresh = Watermark(None) if mark is None else mark
            await self.watermarks.put(name, dataclasses.replace(fresh, value=began.isoformat(), done_at=began))
        log.info("the evaluations were looked at", extra={"action": MARK, "since": since.isoformat(), **ended})
        return ended

    async def looked_at(self) -> datetime | None:
        """When the last look began that came to its end."""
        mark = await self.watermarks.get(f"{MARK}/{self.instance}")
        return mark.done_at if mark else None

    async def _newest(self, since: datetime) -> Sequence[Evaluation]:
        """Of every opportunity the newest evaluation that was changed since then, the newest of all first."""
        newest: dict[str, Evaluation] = {}
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = await self.cockpit.evaluations(since, cursor, CALL_SECONDS)
            for one in _readable(page, self.clock.now()):
                known = newest.get(one.opportunity)
                if known is None or order(one) >= order(known):
                    newest[one.opportunity] = one
            cursor = page.next
            if cursor is None:
                return sorted(newest.values(), key=order, reverse=True)
            if cursor in seen:
                raise BadAnswer(self.cockpit.system)
            seen.add(cursor)

    async def _write_all(self, evaluations: Sequence[Evaluation], deadline: float) -> Mapping[str, int]:
        """A few at a time. One that fails stops no other; the first that could not even be queued is raised then."""
        places, ended = asyncio.Semaphore(AT_ONCE), Counter[str]()

        async def one(evaluation: Evaluation) -> None:
            async with places:
                ended[await self._write(evaluation, deadline)] += 1

        results = await asyncio.gather(*map(one, evaluations), return_exceptions=True)
        for error in [result for result in results if isinstance(result, BaseException)]:
            raise error
        return dict(ended)

    async def _write(self, evaluation: Evaluation, deadline: float) -> str:
        if await self._is_settled(evaluation):
            return "settled"
        if self.clock.monotonic() >= deadline:
            await self.queued.put(evaluation)
            return "queued"
        try:
            done = await self.writing.write(User(evaluation.by), evaluation, Cause.LOOK, CALL_SECONDS)
        except FINAL:
            return "refused"
        except Exception as error:
            kind = type(error).__name__
            log.warning("an evaluation goes to the queue", extra={"action": QUEUE, "id": evaluation.key, "kind": kind})
            await self.queued.put(evaluation)
            return "queued"
        return done.ending.name.lower()

    async def _is_settled(self, evaluation: Evaluation) -> bool:
        """Whether it is written, or a newer one is known."""
        row = await self.writing.rows.get(self.writing.instance, evaluation.opportunity)
        if row is None:
            return False
        return order(row) > order(evaluation) or (row.stage is Stage.CONFIRMED and order(row) == order(evaluation))


def _time(mark: Watermark) -> datetime:
    return datetime.fromisoformat(str(mark.value))


def _readable(page: EvaluationPage, now: datetime) -> Sequence[Evaluation]:
    found: list[Evaluation] = []
    for one in page.items:
        try:
            found.append(canonical(one, now))
        except ValueError as error:
            log.warning("an evaluation is left out: %s", error, extra={"action": QUEUE})
    return found
