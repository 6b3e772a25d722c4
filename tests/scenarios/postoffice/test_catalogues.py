"""PostOffice's lists in the CRM: customer groups, price groups, invoicing clients, services and articles."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import FILES, POOR, WHOLE, PostWorld, Sites

LISTS = {
    "customer-groups": "cdock_customergroup",
    "price-groups": "cdock_pricegroup",
    "invoicing-clients": "cdock_invoicingclient",
    "services": "cdock_postservice",
    "articles": "cdock_postarticle",
}
every = pytest.mark.parametrize("site", [WHOLE, POOR, FILES], ids=["whole", "poor", "files"])


@every
@virtually
async def test_every_list_arrives_and_follows(site: Sites) -> None:
    """R-098, R-099, R-100, R-101, R-102: from PostOffice into the CRM, new rows and changed ones, each once."""
    async with PostWorld(site) as world:
        made = {}
        for name in LISTS:
            for number in ("1", "2", "3"):
                made[name, number] = world.site.create(name, {"number": number, "name": f"{name} {number}"})["id"]
        await world.next_walk()
        for name, table in LISTS.items():
            shown = [(row["cdock_number"], row["cdock_name"], row["cdock_active"]) for row in world.listed(table)]
            assert shown == [(number, f"{name} {number}", True) for number in ("1", "2", "3")]
        world.site.edit("services", made["services", "2"], {"name": "Changed", "active": False, "unit": "piece"})
        world.site.edit("articles", made["articles", "3"], {"price": "12.3456"})
        await world.next_walk()
        service, article = world.listed("cdock_postservice")[1], world.listed("cdock_postarticle")[2]
        assert (service["cdock_name"], service["cdock_active"], service["cdock_unit"]) == (
            "Changed",
            False,
            "piece",
        )
        assert article["cdock_price"] == Decimal("12.3456")
        assert [len(world.listed(table)) for table in LISTS.values()] == [3, 3, 3, 3, 3]
        assert await world.parked("post_service_to_dataverse") == []


@every
@virtually
async def test_what_the_crm_has_already_is_taken_over_by_its_number(site: Sites) -> None:
    """R-098: a list kept by hand so far is not doubled."""
    async with PostWorld(site) as world:
        await world.crm.create("cdock_customergroup", {"cdock_number": "7", "cdock_name": "Old name"})
        world.site.create("customer-groups", {"number": "7", "name": "Post"})
        await world.next_walk()
        (group,) = world.listed("cdock_customergroup")
        assert group["cdock_name"] == "Post"


@every
@virtually
async def test_a_site_that_is_away_loses_nothing(site: Sites) -> None:
    """R-099: what changes while the site does not answer arrives afterwards."""
    async with PostWorld(site) as world:
        group = world.site.create("price-groups", {"number": "1", "name": "A"})
        await world.next_walk()
        fault = world.site.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        world.site.edit("price-groups", group["id"], {"name": "B"})
        await world.pass_time(minutes=20)
        assert world.listed("cdock_pricegroup")[0]["cdock_name"] == "A"
        world.site.faults.remove(fault)
        await world.next_walk()
        assert world.listed("cdock_pricegroup")[0]["cdock_name"] == "B"


@virtually
async def test_a_list_that_has_not_changed_costs_no_write() -> None:
    async with PostWorld(WHOLE) as world:
        for number in range(5):
            world.site.create("services", {"number": str(number), "name": f"S{number}"})
        await world.next_walk()
        world.forget_requests()
        await world.next_walk()
        assert world.crm.requests.count("POST") + world.crm.requests.count("PATCH") == 0
