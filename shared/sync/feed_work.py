"""Does what lies on the queue of the feeds: walks on demand, and full compares step by step."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.sync.feed_tasks import QUEUE, FeedTask, Task
from shared.sync.full_compare import FullCompares
from shared.sync.message import MessageInvalid
from shared.sync.pipeline import Pipeline
from shared.sync.ports import DeadLetter
from shared.sync.walking import Walks

log = logging.getLogger(__name__)

_FURTHEST_BACK = timedelta(days=7)
"""A walk from an earlier time costs more than a compare."""
_ONCE_MORE = timedelta(minutes=1)
_AFTER_DEATH = timedelta(minutes=10)


@dataclass(frozen=True)
class FeedWork:
    """The work of one process."""

    pipeline: Pipeline
    walks: Walks
    compares: FullCompares

    async def run(self, task: FeedTask) -> None:
        """Do a task; raises when it must come again: store, queue or settings failed, or somebody else was faster."""
        log.info("feeds", extra={"action": "feeds", "task": task.task.value, "cause": task.cause, "table": task.table})
        match task.task:
            case Task.STEP:
                await self.compares.step(task.pair)
            case Task.WALK if self._is_near(task.since):
                await self._walk(task)
            case _:
                await self.compares.of_table(task.system, task.table, task.cause)

    def _is_near(self, since: datetime | None) -> bool:
        return since is None or since > self.pipeline.ports.clock.now() - _FURTHEST_BACK

    async def _walk(self, task: FeedTask) -> None:
        """Walk; what could not be walked to its end goes on from there, also where no timer walks the feed."""
        if task.since is not None:
            await self.walks.step_back(task.system, task.table, task.since)
        walked = await self.walks.now(task.system, task.table)
        if any(one.code or one.unfinished for one in walked):
            await self._again(replace(task, since=None), _ONCE_MORE)

    async def _again(self, task: FeedTask, delay: timedelta) -> None:
        ports = self.pipeline.ports
        fresh = replace(task, change_id=f"again/{ports.ids.new()}")
        await ports.queue.send(QUEUE, [fresh.outgoing(ports.clock.now() + delay)])

    async def sweep(self, limit: int = 100) -> int:
        """Put back what the queue gave up on, and revive compares whose next step was lost; answers how many."""
        queue = self.pipeline.ports.queue
        letters = await queue.dead_letters(QUEUE, limit)
        for letter in letters:
            await self._put_back(letter)
            await queue.settle_dead_letter(QUEUE, letter)
        await self.compares.revive()
        return len(letters)

    async def _put_back(self, letter: DeadLetter) -> None:
        try:
            await self._again(FeedTask.from_json(letter.body), _AFTER_DEATH)
        except MessageInvalid:
            log.error("unreadable task of the feeds", extra={"action": "feeds", "reason": letter.reason})
