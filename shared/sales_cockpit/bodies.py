"""The body of an evaluation as the contract has it. It comes from outside: size, depth and every member are checked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.connectors.keys import canonical_guid
from shared.routes import RequestError, TooLarge
from shared.sales_cockpit.errors import OutOfRange
from shared.sales_cockpit.ports import Evaluation
from shared.sales_cockpit.rating import PROBABILITY
from shared.strict_json import NotJson, load

LARGEST_BYTES: Final = 64 * 1024
DEPTH: Final = 8
MOST_RESULTS: Final = 200
AHEAD: Final = timedelta(minutes=5)
"""How far the Cockpit's clock may be ahead of ours."""


def read_evaluation(body: bytes, now: datetime) -> Evaluation:
    """A body; members that the contract does not name are ignored, as a newer Cockpit may send some.

    Raises RequestError naming the first wrong member, OutOfRange for a probability that is none, TooLarge.
    """
    if len(body) > LARGEST_BYTES:
        raise TooLarge
    try:
        wire = _Wire.model_validate(load(body, DEPTH))
    except NotJson as error:
        raise RequestError(f"The body is not as agreed: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = first["loc"][0] if first["loc"] else ""  # a result's name is the sender's own text
        raise RequestError(first["msg"], str(place)) from None
    if wire.evaluated_at > now + AHEAD:
        raise RequestError("The time lies in the future.", "evaluatedAt")
    if not 0 <= wire.probability <= 100:
        raise OutOfRange("The probability is none from 0 to 100.", PROBABILITY)
    return canonical(wire.evaluation(), now)


def canonical(evaluation: Evaluation, now: datetime) -> Evaluation:
    """An evaluation with the one spelling of its ids and its time, so that it is known again whoever tells of it.

    Raises ValueError for one whose ids are none, or that is not made yet: it would stand above all that follow.
    """
    at = evaluation.at.astimezone(UTC)
    if at > now + AHEAD:
        raise ValueError("the time lies in the future")
    return replace(
        evaluation,
        opportunity=canonical_guid(evaluation.opportunity),
        by=canonical_guid(evaluation.by),
        at=at.replace(microsecond=at.microsecond // 1000 * 1000),
    )


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("this is no time") from None
    if moment.tzinfo is None:
        raise ValueError("the time has no zone")
    return moment


def _number(value: Any) -> int | Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("this is no number")
    return value


_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_Key = Annotated[str, AfterValidator(canonical_guid)]


class _Wire(BaseModel):
    """The members that are read."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True, defer_build=True)

    evaluation_id: Annotated[_Id, Field(alias="evaluationId")]
    project_id: Annotated[_Id, Field(alias="projectId")]
    opportunity_id: Annotated[_Key, Field(alias="opportunityId")]
    evaluated_at: Annotated[Any, AfterValidator(_moment), Field(alias="evaluatedAt")]
    evaluated_by: Annotated[_Key, Field(alias="evaluatedBy")]
    probability: Annotated[Any, AfterValidator(_number)]
    results: Annotated[dict[str, Any], Field(max_length=MOST_RESULTS)] = {}

    def evaluation(self) -> Evaluation:
        """In our own terms."""
        return Evaluation(
            key=self.evaluation_id,
            project=self.project_id,
            opportunity=self.opportunity_id,
            at=self.evaluated_at,
            by=self.evaluated_by,
            probability=float(self.probability),
            results=self.results,
        )
