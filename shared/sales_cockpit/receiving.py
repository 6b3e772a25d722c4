"""An evaluation that the Cockpit sends while its user waits: written at once, queued where Dynamics does not answer in
time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import ConnectorError, StoreUnavailable
from shared.sales_cockpit.bodies import read_evaluation
from shared.sales_cockpit.errors import NotTheRater
from shared.sales_cockpit.queued import QueuedEvaluations
from shared.sales_cockpit.telling import Cause, Ending
from shared.sales_cockpit.writing_back import Done, WritingBack
from shared.sync.ports import Clock
from shared.users import User


@dataclass(frozen=True)
class Receiving:
    """Takes evaluations at the door."""

    writing: WritingBack
    queued: QueuedEvaluations
    clock: Clock
    budget_seconds: float

    async def take(self, user: User, body: bytes) -> tuple[Mapping[str, Any], int]:
        """The answer and its status.

        Raises RequestError and its kinds for what can never be written, and QueueUnavailable when neither Dynamics nor
        the queue takes it.
        """
        evaluation = read_evaluation(body, self.clock.now())
        if evaluation.by != user.object_id:
            raise NotTheRater("", "evaluatedBy")
        try:
            done = await self.writing.write(user, evaluation, Cause.TOLD, self.budget_seconds)
        except (ConnectorError, StoreUnavailable):
            await self.queued.put(evaluation)
            return {"queued": True}, 202
        return _told(done), 200


def _told(done: Done) -> Mapping[str, Any]:
    if done.ending is Ending.OLDER:
        return {"applied": False, "reason": "older"}
    return {"applied": True, "etag": done.etag}
