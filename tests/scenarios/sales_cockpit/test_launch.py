"""From the button on an opportunity to its project: once made, always found, and only for who may see it."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.sales_cockpit.keeping import NAMED
from tests.scenarios.sales_cockpit.people_world import (
    ANNA,
    BERTA,
    COCKPIT_URL,
    CRM_CLIENT,
    CRM_URL,
    NOBODY,
    OUR_API,
    PeopleWorld,
    Setup,
)

EMBEDDED = Setup(environment={"CROSSDOCK_SALES_COCKPIT_EMBED": "on"})


@virtually
async def test_the_first_click_makes_the_project_and_every_later_one_opens_it() -> None:
    """R-005, R-007, R-009, R-011, R-012: one click, one project; its key is the opportunity's id."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        first = await world.launch(key)
        again = await world.launch(f"{{{key.upper()}}}", app=1)
        assert (first.status_code, again.status_code) == (302, 302)
        assert first.headers["location"] == again.headers["location"]
        ((project_id, project),) = world.cockpit.rows("projects").items()
        assert (project["externalId"], project["name"]) == (key, world.of_crm(key)["name"])
        assert first.headers["location"].startswith(f"{COCKPIT_URL}/projects/{project_id}")
        assert first.headers["cache-control"] == "no-store"


@virtually
async def test_a_program_asks_for_the_address() -> None:
    """R-007: `format=json` says whether the project is new."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        told = [(await world.launch(key, format="json")).json() for _ in range(2)]
        assert [one["created"] for one in told] == [True, False]
        assert told[0]["projectId"] == told[1]["projectId"]
        assert told[0]["url"] == told[1]["url"]


@virtually
async def test_the_cockpit_gets_ids_and_the_name_and_nothing_else() -> None:
    """R-002, R-024: what the project was made with."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        await world.launch(key)
        (made,) = [one for one in world.cockpit_calls() if one.method == "POST"]
        assert made.status == 201
        (project,) = world.cockpit.rows("projects").values()
        told = {"externalId": key, "name": world.of_crm(key)["name"]}
        assert {name: value for name, value in project.items() if value is not None} == told | {"createdBy": ANNA}


@virtually
async def test_the_first_click_may_assign_a_solution() -> None:
    """R-010: with one and without one; one that the Cockpit does not know is refused, and no project is left."""
    async with PeopleWorld() as world:
        solution = world.cockpit.add_solution("Harbours")
        with_one, without, unknown = [await world.opportunity() for _ in range(3)]
        assert (await world.launch(with_one, solutionid=solution)).status_code == 302
        assert (await world.launch(without)).status_code == 302
        refused = await world.launch(unknown, solutionid="nothing-like-it", format="json")
        assert (refused.status_code, refused.json()["code"]) == (422, "CD-7005")
        by_key = {row["externalId"]: row["solutionId"] for row in world.cockpit.rows("projects").values()}
        assert by_key == {with_one: solution, without: None}


@virtually
async def test_two_hundred_first_clicks_at_once_make_one_project() -> None:
    """R-011: from two instances, all at the same moment."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        parts = [await app.cockpit() for app in world.apps]
        user = await world.apps[0].users.bearer({"authorization": f"Bearer {world.token()}"})
        clicks = [parts[number % 2].launching.launch(user, key) for number in range(200)]
        launched = await asyncio.gather(*clicks)
        assert len({one.project.key for one in launched}) == 1
        assert sum(one.created for one in launched) == 1
        assert len(world.cockpit.rows("projects")) == 1
        assert await world.linked(key)


@virtually
async def test_a_known_project_costs_one_call_of_each_system() -> None:
    """R-011: may the user see it, and where is it."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        await world.launch(key)
        world.forget_requests()
        await world.launch(key)
        assert [(one.method, one.status) for one in world.crm_calls()] == [("GET", 200)]
        assert [(one.method, one.status) for one in world.cockpit_calls()] == [("GET", 200)]


@virtually
async def test_a_lost_answer_makes_no_second_project() -> None:
    """R-011: the create was done and nobody heard of it."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        world.cockpit.faults.add(FaultRule(FaultKind.LOST_ANSWER, method="POST", path="projects$", times=1))
        failed = await world.launch(key, format="json")
        assert (failed.status_code, failed.json()["code"]) == (502, "CD-7006")
        assert (await world.launch(key)).status_code == 302
        assert len(world.cockpit.rows("projects")) == 1


@virtually
async def test_an_opportunity_that_one_may_not_see_is_not_there() -> None:
    """R-022: whether it does not exist or belongs to somebody else, the answer is the same, and nothing is made."""
    async with PeopleWorld() as world:
        annas, bertas = await world.opportunity(ANNA), await world.opportunity(BERTA)
        unknown = "00000000-0000-4000-8000-000000000001"
        answers = [await world.launch(key, BERTA, format="json") for key in (annas, unknown)]
        assert [(one.status_code, one.json()["code"]) for one in answers] == [(404, "CD-7001")] * 2
        assert answers[0].json() == answers[1].json()
        assert (await world.launch(bertas, NOBODY, format="json")).json()["code"] == "CD-7001"
        assert world.cockpit.rows("projects") == {}
        assert (await world.launch(bertas, BERTA)).status_code == 302


@virtually
async def test_the_user_is_the_same_in_all_three_systems() -> None:
    """R-020, R-021, R-022: Dynamics and the Cockpit see the person, not our application."""
    async with PeopleWorld() as world:
        key = await world.opportunity(BERTA)
        await world.launch(key, BERTA)
        (project,) = world.cockpit.rows("projects").values()
        assert project["createdBy"] == BERTA
        assert {one.status for one in world.crm_calls()} == {200}


@virtually
async def test_a_closed_opportunity_gets_no_project_and_keeps_the_one_it_has() -> None:
    """R-006: the CRM says what is closed; opening what is there is no change."""
    async with PeopleWorld() as world:
        known, new = await world.opportunity(), await world.opportunity()
        await world.launch(known)
        await world.crm.close_opportunity(known, won=True)
        await world.crm.close_opportunity(new, won=False)
        assert (await world.launch(known)).status_code == 302
        refused = await world.launch(new, headers=None, userlcid="1031")
        assert refused.status_code == 409
        assert "abgeschlossen" in refused.text
        assert len(world.cockpit.rows("projects")) == 1


@virtually
async def test_a_browser_that_is_not_signed_in_goes_to_the_sign_in_and_comes_back() -> None:
    """R-019, R-029: single sign-on; a program gets 401."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        sent = await world.launch(f"{{{key.upper()}}}", headers={})
        assert sent.status_code == 302
        way = urlsplit(sent.headers["location"])
        assert (way.netloc, way.path) == ("", "/.auth/login/aad")
        back = parse_qs(way.query)["post_login_redirect_uri"][0]
        assert back == f"/api/cockpit/launch?opportunityid={key}&again=1"
        still_not = await world.launch(key, headers={}, again="1")
        assert (still_not.status_code, "location" in still_not.headers) == (401, False)
        program = await world.launch(key, headers={}, format="json")
        assert (program.status_code, program.json()["code"]) == (401, "CD-5002")
        signed_in = {"X-MS-TOKEN-AAD-ACCESS-TOKEN": world.token(), "X-MS-CLIENT-PRINCIPAL-ID": ANNA}
        assert (await world.launch(key, headers=signed_in)).status_code == 302


@pytest.mark.parametrize("kind", ["another audience", "expired", "another signature"])
def test_a_token_that_does_not_fit_opens_nothing(kind: str) -> None:
    """R-019: not even the question whether the opportunity exists."""

    @virtually
    async def story() -> None:
        async with PeopleWorld() as world:
            key = await world.opportunity()
            token = world.token(life_seconds=60)
            if kind == "another audience":
                token = world.issuer.issue_user(ANNA, CRM_URL, OUR_API)
            if kind == "expired":
                await world.clock.sleep(3600)
            if kind == "another signature":
                token = token[:-8] + ("AAAAAAAA" if not token.endswith("AAAAAAAA") else "BBBBBBBB")
            answer = await world.launch(key, headers={"Authorization": f"Bearer {token}"}, format="json")
            assert answer.status_code == 401
            assert world.crm_calls() == []

    story()


@virtually
async def test_inside_the_opportunity_only_where_it_is_configured() -> None:
    """R-013, R-014: switched off it is refused, and the tab still works."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        refused = await world.launch(key, mode="embed", userlcid="1040")
        assert (refused.status_code, "CD-7002" in refused.text) == (403, True)
        assert (await world.launch(key)).status_code == 302
    async with PeopleWorld(EMBEDDED) as world:
        key = await world.opportunity()
        shown = await world.ask("GET", f"launch?mode=embed&id=%7B{key}%7D&typename=opportunity&userlcid=1031")
        assert shown.status_code == 302


@virtually
async def test_only_the_configured_dynamics_may_frame_our_pages() -> None:
    """R-013: and none may where the page is for a tab."""
    async with PeopleWorld(EMBEDDED) as world:
        key = await world.opportunity()
        framed = await world.launch(key, headers={}, mode="embed")
        assert framed.status_code == 401
        assert f"frame-ancestors {CRM_URL}" in framed.headers["content-security-policy"]
        assert "x-frame-options" not in framed.headers
        assert 'target="_blank"' in framed.text
        alone = await world.launch("nonsense")
        assert alone.status_code == 400
        assert "frame-ancestors 'none'" in alone.headers["content-security-policy"]
        assert alone.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("opportunityid=nonsense", "opportunityid"),
        ("", "opportunityid"),
        ("opportunityid=00000000-0000-0000-0000-000000000000", "opportunityid"),
        ("id=11111111-1111-4111-8111-111111111111&typename=account", "typename"),
        ("opportunityid=11111111-1111-4111-8111-111111111111&mode=window", "mode"),
        ("opportunityid=11111111-1111-4111-8111-111111111111&solutionid=" + "x" * 101, "solutionid"),
    ],
)
def test_a_wrong_address_names_what_is_wrong_in_it(query: str, field: str) -> None:
    """R-007: the field and the remedy, before anybody is asked."""

    @virtually
    async def story() -> None:
        async with PeopleWorld() as world:
            answer = await world.ask("GET", f"launch?{query}&format=json")
            assert (answer.status_code, answer.json()["field"]) == (400, field)
            assert world.crm_calls() == []

    story()


@pytest.mark.parametrize(("system", "code"), [("crm", "CD-7007"), ("cockpit", "CD-7006")])
def test_a_system_that_is_down_is_a_page_in_the_users_language(system: str, code: str) -> None:
    """R-007: no stack trace, and never longer than the budget."""

    @virtually
    async def story() -> None:
        async with PeopleWorld() as world:
            key = await world.opportunity()
            getattr(world, system).faults.add(FaultRule(FaultKind.STALL, seconds=600, times=1))
            began = world.clock.monotonic()
            headers = {"Authorization": f"Bearer {world.token()}", "Accept-Language": "fr-CH,fr;q=0.9"}
            answer = await world.launch(key, headers=headers)
            assert (answer.status_code, code in answer.text) == (502, True)
            assert "ne répond pas" in answer.text
            assert world.clock.monotonic() - began <= 9
            assert NAMED not in answer.text
            assert (await world.launch(key)).status_code == 302

    story()


@virtually
async def test_an_address_that_leads_away_from_the_cockpit_is_not_followed() -> None:
    """Nothing that is received chooses a host."""
    async with PeopleWorld(
        Setup(environment={"CROSSDOCK_SALES_COCKPIT_SANDBOX_URL": "https://moved.example"})
    ) as world:
        key = await world.opportunity()
        answer = await world.launch(key, format="json")
        assert (answer.status_code, answer.json()["code"]) == (502, "CD-7006")


@virtually
async def test_an_installation_without_a_cockpit_has_no_such_address() -> None:
    """R-014: nothing is half there."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
    async with PeopleWorld(Setup(environment={"CROSSDOCK_SYSTEMS": "dataverse"})) as world:
        answer = await world.launch(key, format="json")
        assert (answer.status_code, answer.json()["code"]) == (404, "CD-5004")


@virtually
async def test_a_store_that_fails_keeps_nobody_from_his_project() -> None:
    """R-011: the link is made up for at the next click."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        world.rows.down = True
        assert (await world.launch(key)).status_code == 302
        world.rows.down = False
        assert not await world.linked(key)
        assert (await world.launch(key)).status_code == 302
        assert await world.linked(key)


@virtually
async def test_the_second_way_needs_no_exchange_of_tokens() -> None:
    """R-022: our application user asks Dynamics to act as the user; his rights count."""
    settings = {"CROSSDOCK_SALES_COCKPIT_AS_USER": "caller_object_id"}
    async with PeopleWorld(Setup(environment=settings)) as world:
        annas, bertas = await world.opportunity(ANNA), await world.opportunity(BERTA)
        refused = await world.launch(bertas, BERTA, format="json")
        assert (refused.status_code, refused.json()["code"]) == (502, "CD-7010")
        world.crm.allow_acting_for_others(CRM_CLIENT)
        assert (await world.launch(bertas, BERTA)).status_code == 302
        assert (await world.launch(annas, BERTA, format="json")).json()["code"] == "CD-7001"


@virtually
async def test_without_consent_the_administrator_is_told() -> None:
    """R-029: by a code; the user sees a page."""
    async with PeopleWorld(Setup(consent=False)) as world:
        key = await world.opportunity()
        answer = await world.launch(key, format="json")
        assert (answer.status_code, answer.json()["code"]) == (502, "CD-7010")
