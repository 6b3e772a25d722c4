"""What the Cockpit shows of an opportunity: read live as the user who looks, and kept nowhere."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.sales_cockpit.people_world import ANNA, BERTA, CRM_CLIENT, PeopleWorld, Setup

COLUMNS = "CROSSDOCK_SALES_COCKPIT_SHOWN_COLUMNS"


@virtually
async def test_the_configured_columns_come_with_what_dynamics_shows_for_them() -> None:
    """R-016, R-023, R-025: labels, amounts with their currency, names of look-ups; in the setting's order."""
    setting = {COLUMNS: "name, customerid, estimatedvalue, opportunityratingcode, ownerid, description"}
    async with PeopleWorld(Setup(environment=setting)) as world:
        account = await world.crm.create("account", {"name": "Hafenbau Wolkenbruch"})
        key = await world.opportunity(customerid=("account", account), opportunityratingcode=1)
        answer = await world.ask("GET", f"opportunities/{key}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        told = answer.json()
        assert (told["opportunityId"], told["state"]) == (key, "open")
        assert [one["name"] for one in told["fields"]] == setting[COLUMNS].split(", ")
        text = {one["name"]: one["text"] for one in told["fields"]}
        value = {one["name"]: one["value"] for one in told["fields"]}
        assert (text["customerid"], value["customerid"]) == ("Hafenbau Wolkenbruch", account)
        assert text["opportunityratingcode"] == "Hot"
        assert text["ownerid"] == "Anna"
        assert "€" in text["estimatedvalue"]
        assert text["name"] == world.of_crm(key)["name"]


@virtually
async def test_every_look_sees_the_opportunity_as_it_is_then() -> None:
    """R-003, R-025: nothing is cached; one call each time."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        for amount in ("1000.00", "2000.00"):
            await world.crm.edit("opportunity", key, {"estimatedvalue": Decimal(amount)})
            world.forget_requests()
            told = (await world.ask("GET", f"opportunities/{key}?fields=estimatedvalue")).json()
            assert [Decimal(str(one["value"])) for one in told["fields"]] == [Decimal(amount)]
            assert [one.method for one in world.crm_calls()] == ["GET"]


@virtually
async def test_some_of_the_columns_may_be_asked_for_and_no_others() -> None:
    """R-023: the setting decides, not who asks; what he asked for wrongly is not repeated to him."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        some = await world.ask("GET", f"opportunities/{key}?fields=name,closeprobability")
        assert [one["name"] for one in some.json()["fields"]] == ["name", "closeprobability"]
        refused = await world.ask("GET", f"opportunities/{key}?fields=name,description")
        assert (refused.status_code, refused.json()["field"]) == (400, "fields")
        assert "description" not in refused.text


@pytest.mark.parametrize("way", ["on_behalf_of", "caller_object_id"])
def test_a_user_sees_what_he_may_see_in_dynamics(way: str) -> None:
    """R-022: another user's opportunity is not there, a secured column is empty."""

    @virtually
    async def story() -> None:
        setting = {COLUMNS: "name,description", "CROSSDOCK_SALES_COCKPIT_AS_USER": way}
        async with PeopleWorld(Setup(environment=setting)) as world:
            world.crm.allow_acting_for_others(CRM_CLIENT)
            world.crm.secure_column(CRM_CLIENT, "opportunity", "description", ("read",))
            annas, bertas = (
                await world.opportunity(ANNA, description=None),
                await world.opportunity(BERTA, description=None),
            )
            assert (await world.ask("GET", f"opportunities/{annas}", BERTA)).json()["code"] == "CD-7001"
            told = (await world.ask("GET", f"opportunities/{bertas}", BERTA)).json()
            assert {one["name"]: one["text"] for one in told["fields"]}["description"] == ""

    story()


@virtually
async def test_nobody_sees_anything_without_a_token() -> None:
    """R-019: also not with the platform's headers, which are for pages."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        for headers in ({}, {"X-MS-TOKEN-AAD-ACCESS-TOKEN": world.token()}):
            answer = await world.ask("GET", f"opportunities/{key}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "CD-5002")
        assert world.crm_calls() == []


@virtually
async def test_a_column_that_does_not_exist_is_the_administrators() -> None:
    """R-023: the setting is named."""
    async with PeopleWorld(Setup(environment={COLUMNS: "name,cdock_fantasy"})) as world:
        key = await world.opportunity()
        answer = await world.ask("GET", f"opportunities/{key}")
        assert answer.status_code == 503
        assert COLUMNS in answer.json()["sentence"]
        assert "cdock_fantasy" in answer.json()["sentence"]


@virtually
async def test_dynamics_may_be_down() -> None:
    """R-025: there is nothing else to show then."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        await world.ask("GET", f"opportunities/{key}")
        world.crm.faults.add(FaultRule(FaultKind.UNAVAILABLE, times=1))
        answer = await world.ask("GET", f"opportunities/{key}")
        assert (answer.status_code, answer.json()["code"]) == (502, "CD-7007")


@virtually
async def test_a_closed_opportunity_can_still_be_looked_at() -> None:
    """R-016: its state is told."""
    async with PeopleWorld() as world:
        key = await world.opportunity()
        await world.crm.close_opportunity(key, won=False)
        assert (await world.ask("GET", f"opportunities/{key}")).json()["state"] == "lost"
