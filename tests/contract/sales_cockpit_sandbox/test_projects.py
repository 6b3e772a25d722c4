"""Projects, solutions and evaluations: made, changed, told, and refused as the contract says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from sandbox.problems import ApiError
from tests.contract.hand_clock import HandClock
from tests.contract.sales_cockpit_sandbox.conftest import (
    ANNA,
    OPPORTUNITY,
    OTHER,
    PROJECT,
    Cockpit,
    MakeCockpit,
)

WHOSE = f"/projects?externalId={OPPORTUNITY}"


async def created(cockpit: Cockpit, **changes: Any) -> dict[str, Any]:
    return dict(await cockpit.ask("POST", "/projects", PROJECT | changes, status=201))


async def test_a_project_is_made_once_for_an_opportunity(cockpit: Cockpit) -> None:
    """R-009, R-011: repeated with its key it is answered as it is; without the key the refusal shows it."""
    assert await cockpit.ask("GET", WHOSE) == {"items": []}
    made = await cockpit.ask("POST", "/projects", PROJECT, status=201, Idempotency_Key=OPPORTUNITY)
    assert made == {
        "projectId": made["projectId"],
        "externalId": OPPORTUNITY,
        "name": "A new mill",
        "solutionId": None,
        "url": f"https://cockpit.example/projects/{made['projectId']}/open",
    }
    renamed = PROJECT | {"name": "Another name"}
    assert await cockpit.ask("POST", "/projects", renamed, status=200, Idempotency_Key=OPPORTUNITY) == made
    assert await cockpit.ask("POST", "/projects", renamed, status=409) == made
    assert await cockpit.ask("GET", WHOSE) == {"items": [made]}


async def test_the_key_of_repetition_is_the_opportunity(cockpit: Cockpit) -> None:
    assert await cockpit.refusal("POST", "/projects", PROJECT, Idempotency_Key=OTHER) == (
        400,
        "BadIdempotencyKey",
        ["Idempotency-Key"],
    )


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"name": ""}, "InvalidFields", ["name"]),
        ({"name": "x" * 201}, "InvalidFields", ["name"]),
        ({"externalId": "{" + OPPORTUNITY + "}"}, "InvalidFields", ["externalId"]),
        ({"externalSystem": "sap"}, "InvalidFields", ["externalSystem"]),
        ({"customer": "Muster AG"}, "InvalidFields", ["customer"]),
        ({"solutionId": "S-1"}, "UnknownSolution", ["solutionId"]),
        ({"solutionId": 7}, "UnknownSolution", ["solutionId"]),
    ],
)
async def test_wrong_fields_are_named(cockpit: Cockpit, changes: dict[str, Any], code: str, fields: list[str]) -> None:
    """R-024: there is no field that could hold anything else of the CRM."""
    assert await cockpit.refusal("POST", "/projects", PROJECT | changes) == (422, code, fields)
    assert cockpit.sandbox.rows("projects") == {}


async def test_name_and_solution_can_be_changed(cockpit: Cockpit) -> None:
    """R-010."""
    used, idle = cockpit.sandbox.add_solution("Milling"), cockpit.sandbox.add_solution("Old", active=False)
    key = (await created(cockpit))["projectId"]
    changed = await cockpit.ask("PATCH", f"/projects/{key}", {"name": "Renamed", "solutionId": used})
    assert (changed["name"], changed["solutionId"]) == ("Renamed", used)
    assert (await cockpit.refusal("PATCH", f"/projects/{key}", {"solutionId": idle}))[:2] == (422, "UnknownSolution")
    assert (await cockpit.refusal("PATCH", f"/projects/{key}", {"externalId": OTHER}))[1:] == (
        "InvalidFields",
        ["externalId"],
    )
    assert (await cockpit.refusal("PATCH", f"/projects/{key}", {"solutionId": None}))[2] == ["solutionId"]
    assert (await cockpit.refusal("PATCH", "/projects/P-1", {"name": "X"}))[:2] == (404, "NotFound")


async def test_a_deleted_project_is_gone_with_what_was_rated(cockpit: Cockpit) -> None:
    key = (await created(cockpit))["projectId"]
    cockpit.sandbox.rate(key, ANNA, {"need": 3})
    await cockpit.ask("DELETE", f"/projects/{key}", status=204)
    assert await cockpit.ask("GET", WHOSE) == {"items": []}
    assert await cockpit.ask("GET", "/evaluations") == {"items": [], "nextCursor": None}
    assert (await cockpit.refusal("DELETE", f"/projects/{key}"))[:2] == (404, "NotFound")


async def test_deleting_may_not_be_offered(make: MakeCockpit) -> None:
    cockpit = make(deletes=False)
    key = (await created(cockpit))["projectId"]
    assert (await cockpit.refusal("DELETE", f"/projects/{key}"))[:2] == (405, "MethodNotAllowed")


async def test_evaluations_are_told_in_order_page_by_page(cockpit: Cockpit) -> None:
    """R-017: any number for one project, each told as it was when it was made."""
    key = (await created(cockpit))["projectId"]
    for light in (1, 2, 3):
        cockpit.clock.move(minutes=1)
        cockpit.sandbox.rate(key, ANNA, {"need": light, "budget": 3})
    first = await cockpit.ask("GET", "/evaluations?limit=2")
    rest = await cockpit.ask("GET", f"/evaluations?limit=2&cursor={first['nextCursor']}")
    told = [*first["items"], *rest["items"]]
    assert ([one["probability"] for one in told], rest["nextCursor"]) == ([27, 33, 40], None)
    assert told[0] == {
        "evaluationId": told[0]["evaluationId"],
        "projectId": key,
        "opportunityId": OPPORTUNITY,
        "evaluatedAt": "2026-03-02T08:01:00.000Z",
        "evaluatedBy": ANNA,
        "probability": 27,
        "results": {"score": 4, "trafficLight": "red", "recommendation": "Let it go"},
    }
    since = await cockpit.ask("GET", "/evaluations?changedSince=2026-03-02T08:03:00Z")
    assert since["items"] == told[2:]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/evaluations?cursor=nonsense", "BadCursor"),
        ("/evaluations?changedSince=yesterday", "BadParameter"),
        ("/evaluations?changedSince=2026-03-02T08:03:00", "BadParameter"),
        ("/evaluations?projectId=1", "UnknownParameter"),
        ("/solutions?limit=501", "BadParameter"),
        ("/projects", "BadParameter"),
        ("/projects?externalId=1", "BadParameter"),
        (f"{WHOSE}&externalId={OTHER}", "BadParameter"),
        (f"{WHOSE}&expand=all", "UnknownParameter"),
    ],
)
async def test_what_cannot_be_asked_is_refused(cockpit: Cockpit, path: str, code: str) -> None:
    assert (await cockpit.refusal("GET", path))[:2] == (400, code)


async def test_a_cursor_belongs_to_its_list(cockpit: Cockpit) -> None:
    for name in ("A", "B"):
        cockpit.sandbox.add_solution(name)
    page = await cockpit.ask("GET", "/solutions?limit=1")
    assert [one["name"] for one in page["items"]] == ["A"]
    assert (await cockpit.refusal("GET", f"/evaluations?cursor={page['nextCursor']}"))[:2] == (400, "BadCursor")


async def test_a_token_for_somebody_else_opens_nothing(cockpit: Cockpit) -> None:
    """R-019: nor none at all, nor one that has expired."""
    audience = f"api://{cockpit.sandbox.options.client_id}"
    old = cockpit.issuer.issue("crossdock", audience, life_seconds=60)
    cockpit.clock.move(minutes=2)
    for token in ("", cockpit.issuer.issue("crossdock", "api://another"), old, "nonsense"):
        cockpit.client.headers["Authorization"] = f"Bearer {token}"
        assert (await cockpit.refusal("GET", WHOSE))[:2] == (401, "Unauthorized")


async def test_the_tokens_person_is_who_made_the_project(cockpit: Cockpit) -> None:
    """R-021: by the id in the directory."""
    key = (await created(cockpit))["projectId"]
    token = cockpit.client.headers["Authorization"].removeprefix("Bearer ")
    claims = cockpit.issuer.verify(token, f"api://{cockpit.sandbox.options.client_id}")
    assert cockpit.sandbox.rows("projects")[key]["createdBy"] == claims.object_id


async def test_too_many_requests_are_told_to_wait(make: MakeCockpit) -> None:
    cockpit = make(requests_per_minute=2)
    for _ in range(2):
        await cockpit.ask("GET", "/solutions")
    assert (await cockpit.refusal("GET", "/solutions"))[:2] == (429, "TooManyRequests")
    cockpit.clock.move(minutes=1)
    await cockpit.ask("GET", "/solutions")


async def test_what_was_answered_survives_a_killed_process(make: MakeCockpit, tmp_path: Path) -> None:
    first = make(persist=tmp_path / "cockpit.sqlite")
    made = await created(first)
    first.sandbox.rate(made["projectId"], ANNA, {"need": 3})
    told = await first.ask("GET", "/evaluations")
    await first.sandbox.aclose()
    again = make(persist=tmp_path / "cockpit.sqlite", clock=HandClock())
    assert await again.ask("GET", WHOSE) == {"items": [made]}
    assert await again.ask("GET", "/evaluations") == told


async def test_a_stale_read_shows_the_name_before(cockpit: Cockpit) -> None:
    key = (await created(cockpit))["projectId"]
    cockpit.sandbox.edit(key, {"name": "Renamed"})
    cockpit.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, "GET", "/projects", times=1))
    shown = [(await cockpit.ask("GET", WHOSE))["items"][0]["name"] for _ in range(2)]
    assert shown == ["A new mill", "Renamed"]


async def test_what_nobody_foresaw_is_said(cockpit: Cockpit) -> None:
    """An address that the contract does not have is 404 in it, and 501 beside it."""
    assert (await cockpit.refusal("GET", "/customers"))[:2] == (404, "NoSuchPath")
    assert (await cockpit.refusal("PUT", "/projects", PROJECT))[:2] == (405, "MethodNotAllowed")
    answer = await cockpit.client.get("https://cockpit.example/elsewhere")
    assert answer.status_code == 501
    assert [one.path for one in cockpit.sandbox.requests.unforeseen()] == ["/elsewhere"]


async def test_only_known_lights_can_be_set(cockpit: Cockpit) -> None:
    key = (await created(cockpit))["projectId"]
    for lights in ({"need": 4}, {"need": True}, {"weather": 1}):
        with pytest.raises(ValueError, match=r"need|weather"):
            cockpit.sandbox.rate(key, ANNA, lights)
    with pytest.raises(ApiError):
        cockpit.sandbox.rate("P-1", ANNA, {})
