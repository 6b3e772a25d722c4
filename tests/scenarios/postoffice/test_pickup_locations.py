"""Pick-up locations go both ways: each side makes and changes them, and the definition says who wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import PARTIES, POOR, WHOLE, PostWorld, Sites, shipped

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])
TABLE = "cdock_pickuplocation"


def world_of(site: Sites) -> PostWorld:
    """A world with customers, cost centres and pick-up locations."""
    return PostWorld(site, shipped(*PARTIES, "pickup_location"))


async def company(world: PostWorld, name: str = "Aurora Milling") -> tuple[str, str]:
    """An account with its customer."""
    account = await world.new_account(name=name)
    await world.next_walk()
    return account, next(key for key, row in world.customers_there.items() if row["crmId"] == account)


def place(world: PostWorld) -> Mapping[str, Any]:
    """The only pick-up location of PostOffice."""
    (row,) = world.site.rows("pickup-locations").values()
    return row


def location(world: PostWorld) -> Mapping[str, Any]:
    """The only pick-up location of the CRM."""
    (row,) = world.crm.rows(TABLE).values()
    return row


async def made_in_the_crm(world: PostWorld, account: str, **values: Any) -> str:
    """Somebody enters a location in the CRM, and it goes over."""
    usual = {"cdock_name": "Ramp 2", "cdock_accountid": account, "cdock_city": "Bonn", "cdock_opensat": "07:30"}
    key = await world.crm.create(TABLE, {**usual, **values})
    await world.next_walk()
    return key


@both
@virtually
async def test_one_that_is_made_in_the_crm_arrives_and_both_sides_change_it(site: Sites) -> None:
    """R-115: with the customer it belongs to; PostOffice's number comes back; each side's edits reach the other."""
    async with world_of(site) as world:
        account, customer = await company(world)
        key = await made_in_the_crm(world, account, cdock_country="Deutschland")
        there = place(world)
        assert (there["crmId"], there["customerId"], there["name"], there["active"]) == (key, customer, "Ramp 2", True)
        assert (there["city"], there["country"], there["opensAt"]) == ("Bonn", "DE", "07:30")
        assert location(world)["cdock_number"] == there["number"]
        world.site.edit("pickup-locations", there["id"], {"opensAt": "08:00", "active": False})
        await world.crm.edit(TABLE, key, {"cdock_street": "Mill Lane 1"})
        await world.next_walk()
        assert (place(world)["street"], place(world)["opensAt"]) == ("Mill Lane 1", "08:00")
        assert (location(world)["cdock_opensat"], location(world)["statecode"]) == ("08:00", 1)


@both
@virtually
async def test_one_that_is_made_in_postoffice_arrives(site: Sites) -> None:
    """R-115: once, with its customer and cost centre; the CRM's id stands in PostOffice afterwards. One of a customer
    that is not linked waits for that."""
    async with world_of(site) as world:
        account, customer = await company(world)
        centre = await world.crm.create("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account})
        await world.next_walk()
        (centre_there,) = world.cost_centres_there
        foreign = world.site.create("customers", {"name": "Eigen AG", "number": "77"})["id"]
        world.site.create("pickup-locations", {"name": "Theirs", "customerId": foreign})
        world.site.create(
            "pickup-locations",
            {"name": "Ramp 3", "customerId": customer, "costCentreId": centre_there, "closesAt": "17:00"},
        )
        await world.next_walk()
        here = location(world)
        names = ("cdock_name", "cdock_accountid", "cdock_costcentreid", "cdock_closesat")
        assert [here[name] for name in names] == ["Ramp 3", account, centre, "17:00"]
        linked = {row["name"]: row["crmId"] for row in world.site.rows("pickup-locations").values()}
        assert linked == {"Theirs": None, "Ramp 3": here["cdock_pickuplocationid"]}
        await world.new_account(name="Eigen AG", cdock_postnumber="77")
        await world.next_walk()
        assert {row["cdock_name"] for row in world.crm.rows(TABLE).values()} == {"Ramp 3", "Theirs"}


@both
@virtually
async def test_where_both_sides_have_changed_a_field_postoffice_wins_and_the_other_value_is_noted(site: Sites) -> None:
    """R-115: the rule of the definition; different fields both go over, and the losing value stays readable."""
    async with world_of(site) as world:
        account, _ = await company(world)
        key = await made_in_the_crm(world, account)
        await world.crm.edit(TABLE, key, {"cdock_name": "Gate of the CRM", "cdock_city": "Brühl"})
        world.site.edit("pickup-locations", place(world)["id"], {"name": "Gate of the post", "closesAt": "18:00"})
        await world.next_walk()
        there, here = place(world), location(world)
        assert (there["name"], there["city"], there["closesAt"]) == ("Gate of the post", "Brühl", "18:00")
        names = ("cdock_name", "cdock_city", "cdock_closesat")
        assert [here[name] for name in names] == ["Gate of the post", "Brühl", "18:00"]
        notes = [row["notetext"] for row in world.crm.rows("annotation").values() if row["objectid"] == key]
        assert len(notes) == 1
        assert "Gate of the CRM" in notes[0]
        for transfer in ("pickup_location_to_postoffice", "pickup_location_to_dataverse"):
            assert await world.parked(transfer) == []


@both
@virtually
async def test_lost_answers_make_no_location_twice(site: Sites) -> None:
    """R-115: a create on either side whose answer is lost is found again."""
    async with world_of(site) as world:
        account, customer = await company(world)
        world.site.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", "/pickup-locations", times=1))
        await world.crm.create(TABLE, {"cdock_name": "Ramp 2", "cdock_accountid": account})
        await world.pass_time(minutes=40)
        world.crm.faults.add(FaultRule(FaultKind.LOST_ANSWER, "PATCH", f"/{TABLE}s", times=1))
        world.site.create("pickup-locations", {"name": "Ramp 3", "customerId": customer})
        await world.next_walk()
        assert sorted(row["name"] for row in world.site.rows("pickup-locations").values()) == ["Ramp 2", "Ramp 3"]
        assert sorted(row["cdock_name"] for row in world.crm.rows(TABLE).values()) == ["Ramp 2", "Ramp 3"]


@both
@virtually
async def test_what_one_side_deletes_stays_on_the_other(site: Sites) -> None:
    """R-115: the link is undone, and nothing is made again by itself."""
    async with world_of(site) as world:
        account, _ = await company(world)
        key = await made_in_the_crm(world, account)
        await world.crm.delete(TABLE, key)
        await world.next_walk()
        assert place(world)["name"] == "Ramp 2"
        assert world.crm.rows(TABLE) == {}


@both
@virtually
async def test_one_whose_link_is_undone_keeps_no_id_of_the_crm_and_can_be_linked_with_another_one(site: Sites) -> None:
    """R-115, R-091: undone by a person, or because the CRM's location was deleted."""
    async with world_of(site) as world:
        account, _ = await company(world)
        first = await made_in_the_crm(world, account)
        where = f"links/dataverse/{TABLE}/{first}/unlink"
        assert (await world.asked("POST", where, transfer="pickup_location_to_postoffice"))["let_go"]
        assert place(world)["crmId"] is None
        ((there, _),) = world.site.rows("pickup-locations").items()
        second = await made_in_the_crm(world, account, cdock_name="Ramp 3", cdock_number=place(world)["number"])
        transfer = "transfers/pickup_location_to_postoffice/links"
        await world.asked("POST", transfer, left=second, right=there)
        await world.next_walk()
        assert place(world)["crmId"] == second
        await world.crm.delete(TABLE, second)
        await world.next_walk()
        assert place(world)["crmId"] is None
