"""The body of an evaluation: what is taken, and what is refused with the name of the member."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.routes import RequestError, TooLarge
from shared.sales_cockpit.bodies import AHEAD, LARGEST_BYTES, read_evaluation
from shared.sales_cockpit.errors import OutOfRange
from shared.sales_cockpit.ports import Evaluation

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DEAL, ANNA = "d0000000-0000-4000-8000-00000000000d", "a11a0000-0000-4000-8000-000000000001"
BODY: dict[str, Any] = {
    "evaluationId": "e-17",
    "projectId": "p-4",
    "opportunityId": f"{{{DEAL.upper()}}}",
    "evaluatedAt": "2026-03-02T09:59:59.123456+01:00",
    "evaluatedBy": ANNA.upper(),
    "probability": 66.5,
    "results": {"score": 71.25, "light": "green", "fits": True, "none": None},
}


def read(**changes: Any) -> Evaluation:
    body = {name: value for name, value in {**BODY, **changes}.items() if value != "left out"}
    return read_evaluation(json.dumps(body).encode(), NOW)


def test_a_body_becomes_an_evaluation_with_one_spelling_of_its_ids_and_time() -> None:
    """Braces and capitals go, the time is UTC to the millisecond, numbers of results stay exact."""
    assert read() == Evaluation(
        key="e-17",
        project="p-4",
        opportunity=DEAL,
        at=datetime(2026, 3, 2, 8, 59, 59, 123000, tzinfo=UTC),
        by=ANNA,
        probability=66.5,
        results={"score": Decimal("71.25"), "light": "green", "fits": True, "none": None},
    )


def test_results_may_be_missing_and_unknown_members_are_ignored() -> None:
    """A newer Cockpit may send more."""
    found = read(results="left out", criteria=[{"name": "UNIQUES", "value": 3}], probability=0)
    assert found.results == {}
    assert found.probability == 0


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("evaluationId", ""),
        ("evaluationId", 17),
        ("evaluationId", "e 17"),
        ("evaluationId", "e" * 65),
        ("evaluationId", "left out"),
        ("projectId", "left out"),
        ("projectId", "p/4"),
        ("opportunityId", "d0000000"),
        ("opportunityId", "00000000-0000-0000-0000-000000000000"),
        ("opportunityId", f"{DEAL}'"),
        ("opportunityId", "left out"),
        ("evaluatedBy", "anna@example.com"),
        ("evaluatedBy", None),
        ("evaluatedAt", "2026-03-02T08:59:59"),
        ("evaluatedAt", "yesterday"),
        ("evaluatedAt", 1772446530),
        ("evaluatedAt", (NOW + AHEAD + timedelta(seconds=1)).isoformat()),
        ("probability", "66"),
        ("probability", True),
        ("probability", None),
        ("probability", "left out"),
        ("results", ["score"]),
        ("results", {f"r{number}": number for number in range(201)}),
    ],
)
def test_a_wrong_member_is_named(member: str, value: Any) -> None:
    """And its value is told to nobody."""
    with pytest.raises(RequestError) as refused:
        read(**{member: value})
    assert refused.value.field == member
    assert refused.value.status == 400
    assert "example.com" not in str(refused.value)


@pytest.mark.parametrize("probability", [-1, 100.5, 101, 10**30])
def test_a_probability_out_of_range_is_unprocessable(probability: float) -> None:
    """422, as the contract says."""
    with pytest.raises(OutOfRange) as refused:
        read(probability=probability)
    assert (refused.value.field, refused.value.status) == ("probability", 422)


def test_a_clock_that_is_a_little_ahead_is_none_of_the_users_fault() -> None:
    """A few minutes pass."""
    assert read(evaluatedAt=(NOW + AHEAD).isoformat()).at == NOW + AHEAD


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"probability": NaN}', b'{"a":' + b"[" * 20 + b"]" * 20 + b"}",
     b'{"probability": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_what_is_no_body_is_refused(body: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(RequestError) as refused:
        read_evaluation(body, NOW)
    assert refused.value.status == 400


def test_a_body_that_is_too_large_is_not_read() -> None:
    """413."""
    with pytest.raises(TooLarge):
        read_evaluation(b" " * (LARGEST_BYTES + 1), NOW)
