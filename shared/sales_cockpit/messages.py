"""What lies on the queue of evaluations: which one of which opportunity is to be written, and by whom it was made.

No value of it: the evaluation is read again from the Cockpit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import to_json

from shared.sales_cockpit.ports import Evaluation
from shared.sync.message import VERSION, MessageInvalid, explain, short_id
from shared.sync.ports import Outgoing

QUEUE: Final = "evaluation_to_dataverse"
"""The queue's name, which is also its function's and the one in the journal."""


@dataclass(frozen=True, slots=True)
class EvaluationMessage:
    """One evaluation that waits. at: when it was made; by: the object id of who made it; since: when it was queued
    first. attempt: how often it was put off; failures: how many of those were unforeseen errors."""

    evaluation: str
    opportunity: str
    at: datetime
    by: str
    since: datetime
    attempt: int = 0
    failures: int = 0

    @classmethod
    def about(cls, evaluation: Evaluation, now: datetime) -> EvaluationMessage:
        """The first message about an evaluation."""
        return cls(evaluation.key, evaluation.opportunity, evaluation.at, evaluation.by, now)

    def again(self, *, failed: bool) -> EvaluationMessage:
        """The next try."""
        return replace(self, attempt=self.attempt + 1, failures=self.failures + 1 if failed else 0)

    def outgoing(self, not_before: datetime | None = None) -> Outgoing:
        """What the queue takes. Queueing the same try twice within the queue's window is the same as once."""
        body = {
            "v": VERSION,
            "evaluation": self.evaluation,
            "opportunity": self.opportunity,
            "at": self.at.astimezone(UTC),
            "by": self.by,
            "since": self.since.astimezone(UTC),
            "attempt": self.attempt,
            "failures": self.failures,
        }
        name = short_id(f"{self.evaluation}/{self.at.astimezone(UTC).isoformat()}/{self.attempt}")
        return Outgoing(name, to_json(body).decode(), not_before, correlation_id=short_id(self.evaluation))

    @staticmethod
    def from_json(body: str | bytes) -> EvaluationMessage:
        """Read a body again; raises MessageInvalid naming every wrong field, without its value."""
        try:
            wire = _Wire.model_validate_json(body)
        except ValidationError as error:
            raise MessageInvalid(explain(error)) from None
        at, since = wire.at.astimezone(UTC), wire.since.astimezone(UTC)
        return EvaluationMessage(
            wire.evaluation, wire.opportunity, at, wire.by, since, attempt=wire.attempt, failures=wire.failures
        )


_Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Wire(BaseModel):
    """The body as it travels."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True, defer_build=True)

    v: Literal[1]
    evaluation: _Id
    opportunity: _Id
    at: AwareDatetime
    by: _Id
    since: AwareDatetime
    attempt: Annotated[int, Field(ge=0)] = 0
    failures: Annotated[int, Field(ge=0)] = 0
