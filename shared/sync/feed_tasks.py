"""What lies on the queue of the feeds: work that concerns a table or a pair as a whole, and no record of its own.

Such a task is asked for by a notice that names no record, by the clock or by a feed that has forgotten where we were.
It is small enough for the doors, which start cold, and is done by the function of the queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import to_json

from shared.sync.message import VERSION, MessageInvalid, explain, short_id
from shared.sync.notices import ManyChanges
from shared.sync.ports import Outgoing

QUEUE: Final = "feeds"
"""The queue's name, which is also its function's; names of transfers have a `_to_` in them."""


class Task(StrEnum):
    """walk: the feed of a table, from `since` or from where it stands. compare: all pairs of a table. step: go on with
    a pair's compare."""

    WALK = "walk"
    COMPARE = "compare"
    STEP = "step"


@dataclass(frozen=True, slots=True)
class FeedTask:
    """One task. system and table: of walk and compare; pair: of step. cause: who asked. change_id: for the queue."""

    task: Task
    cause: str
    change_id: str
    system: str = ""
    table: str = ""
    since: datetime | None = None
    pair: str = ""

    def outgoing(self, not_before: datetime | None = None) -> Outgoing:
        """Return what the queue takes."""
        body = {
            "v": VERSION,
            "task": self.task,
            "cause": self.cause,
            "change_id": self.change_id,
            "system": self.system,
            "table": self.table,
            "since": self.since.astimezone(UTC) if self.since else None,
            "pair": self.pair,
        }
        return Outgoing(short_id(self.change_id), to_json(body).decode(), not_before)

    @staticmethod
    def from_json(body: str | bytes) -> FeedTask:
        """Read a body again; raises MessageInvalid naming every wrong field, without its value."""
        try:
            wire = _Wire.model_validate_json(body)
        except ValidationError as error:
            raise MessageInvalid(explain(error)) from None
        since = wire.since.astimezone(UTC) if wire.since else None
        return FeedTask(wire.task, wire.cause, wire.change_id, wire.system, wire.table, since, wire.pair)


def task_for(told: ManyChanges) -> FeedTask:
    """What a notice without a record asks for: a walk where it says since when, else a compare of the table."""
    task = Task.COMPARE if told.since is None else Task.WALK
    return FeedTask(task, "collection", told.change_id, told.system, told.table, told.since)


_Text = Annotated[str, StringConstraints(max_length=512)]


class _Wire(BaseModel):
    """The body as it travels."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True, defer_build=True)

    v: Literal[1]
    task: Task
    cause: _Text
    change_id: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    system: _Text = ""
    table: _Text = ""
    since: AwareDatetime | None = Field(default=None)
    pair: _Text = ""
