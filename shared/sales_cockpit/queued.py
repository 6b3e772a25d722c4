"""Evaluations that could not be written at once: read again from the Cockpit, and written as the person who rated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.errors import CrossdockError, QueueUnavailable, StoreUnavailable, SystemDown
from shared.sales_cockpit.bodies import canonical
from shared.sales_cockpit.errors import EvaluationMissing, NotSetUp, SignInAgain
from shared.sales_cockpit.messages import QUEUE, EvaluationMessage
from shared.sales_cockpit.ports import Cockpit, Evaluation
from shared.sales_cockpit.telling import Cause
from shared.sales_cockpit.writing_back import FINAL, WritingBack
from shared.sync.message import MessageInvalid
from shared.sync.ports import Clock, Ids, Queue
from shared.sync.retrying import Defer, decide
from shared.users import User

log = logging.getLogger(__name__)

CALL_SECONDS: Final = 60.0
"""Nobody waits: what one evaluation, or one page of them, may take."""
BEFORE: Final = timedelta(hours=1)
"""How long before its own time an evaluation is looked for: the Cockpit's clock counts."""
MOST_PAGES: Final = 1000
LETTERS: Final = 100


@dataclass(frozen=True)
class QueuedEvaluations:
    """Puts evaluations on their queue, and does what lies there."""

    writing: WritingBack
    cockpit: Cockpit
    queue: Queue
    clock: Clock
    ids: Ids

    async def put(self, evaluation: Evaluation) -> None:
        """Queue an evaluation, by its ids. Raises QueueUnavailable."""
        await self.queue.send(QUEUE, [EvaluationMessage.about(evaluation, self.clock.now()).outgoing()])

    async def run(self, message: EvaluationMessage) -> None:
        """Do a message to its end: written, refused for good, or put off. Raises only what must bring the message
        itself again: store and queue."""
        try:
            evaluation = await self._evaluation(message)
            await self.writing.write(User(evaluation.by), evaluation, Cause.QUEUE, CALL_SECONDS)
        except FINAL as error:
            log.info("an evaluation cannot be written", extra=_facts(message, error))
        except (StoreUnavailable, QueueUnavailable):
            raise
        except Exception as error:
            await self._put_off(message, error)

    async def sweep(self) -> None:
        """Bring what the queue gave up to an end: once more, or into the journal."""
        for letter in await self.queue.dead_letters(QUEUE, LETTERS):
            try:
                message = EvaluationMessage.from_json(letter.body)
            except MessageInvalid:
                log.error("unreadable evaluation message", extra={"action": QUEUE, "reason": letter.reason})
            else:
                await self._put_off(message, CrossdockError())
            await self.queue.settle_dead_letter(QUEUE, letter)

    async def _evaluation(self, message: EvaluationMessage) -> Evaluation:
        """What the Cockpit holds of it now; raises EvaluationMissing."""
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self.cockpit.evaluations(message.at - BEFORE, cursor, CALL_SECONDS)
            found = [one for one in page.items if one.key == message.evaluation]
            if found:
                return _readable(found, self.clock.now())
            cursor = page.next
            if cursor is None:
                break
        raise EvaluationMissing

    async def _put_off(self, message: EvaluationMessage, error: Exception) -> None:
        now = self.clock.now()
        passing = SystemDown(self.cockpit.system) if isinstance(error, NotSetUp | SignInAgain) else error
        verdict = decide(passing, message.attempt, message.failures, now - message.since, self.ids.fraction())
        if isinstance(verdict, Defer):
            again = message.again(failed=verdict.failed)
            await self.queue.send(QUEUE, [again.outgoing(now + verdict.delay)])
            log.info("an evaluation waits", extra=_facts(message, error))
            return
        told = self.writing.telling.of(message.evaluation, message.opportunity, Cause.QUEUE)
        await told.failed(error if isinstance(error, CrossdockError) else CrossdockError(), waits=False)
        log.error("an evaluation is given up", extra=_facts(message, error))


def _readable(found: Sequence[Evaluation], now: datetime) -> Evaluation:
    try:
        return canonical(found[-1], now)
    except ValueError:
        raise EvaluationMissing from None


def _facts(message: EvaluationMessage, error: Exception) -> dict[str, object]:
    code = error.code if isinstance(error, CrossdockError) else CrossdockError.code
    named = {"action": QUEUE, "evaluation": message.evaluation, "opportunity": message.opportunity}
    return {**named, "attempt": message.attempt, "code": code, "kind": type(error).__name__}
