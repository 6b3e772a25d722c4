"""Discounts and prices of customers and cost centres: rows of the CRM, for a service, an article or everything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import PARTIES, POOR, WHOLE, PostWorld, Sites, shipped

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])
TERMS = ("customer_discount", "cost_centre_discount", "customer_price", "cost_centre_price")
UNTIL: Mapping[str, Any] = {"cdock_validfrom": date(2026, 1, 1), "cdock_validto": date(2026, 12, 31)}


def world_of(site: Sites) -> PostWorld:
    """A world with customers, cost centres, their discounts and prices."""
    return PostWorld(site, shipped(*PARTIES, *TERMS))


async def parties(world: PostWorld) -> dict[str, str]:
    """An account with a cost centre, both in PostOffice, and a service and an article in both systems."""
    for name in ("services", "articles"):
        world.site.create(name, {"number": "1", "name": name})
    account = await world.new_account(name="Aurora Milling")
    centre = await world.crm.create("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account})
    await world.next_walk()
    (service,), (article,) = world.crm.rows("cdock_postservice"), world.crm.rows("cdock_postarticle")
    return {"account": account, "centre": centre, "service": service, "article": article}


def there(world: PostWorld, table: str, part: str) -> list[dict[str, Any]]:
    """Discounts or prices of the only customer or cost centre, without their keys."""
    (row,) = world.site.rows(table).values()
    return [{name: value for name, value in one.items() if name != "key"} for one in row[part]]


@both
@virtually
async def test_discounts_go_over_follow_and_go(site: Sites) -> None:
    """R-111: of a customer for a service, of a cost centre for everything."""
    async with world_of(site) as world:
        ids = await parties(world)
        of_customer = await world.crm.create(
            "cdock_discount",
            {
                "cdock_percent": Decimal("2.5"),
                "cdock_accountid": ids["account"],
                "cdock_serviceid": ids["service"],
                **UNTIL,
            },
        )
        await world.crm.create("cdock_discount", {"cdock_percent": Decimal(3), "cdock_costcentreid": ids["centre"]})
        await world.next_walk()
        (service,) = world.site.rows("services")
        assert there(world, "customers", "discounts") == [
            {
                "percent": "2.5000",
                "serviceId": service,
                "articleId": None,
                "validFrom": "2026-01-01",
                "validTo": "2026-12-31",
            }
        ]
        (other,) = there(world, "cost-centres", "discounts")
        assert (other["percent"], other["serviceId"], other["validFrom"]) == ("3.0000", None, None)
        await world.crm.edit("cdock_discount", of_customer, {"cdock_percent": Decimal("2.25"), "cdock_validto": None})
        await world.next_walk()
        (changed,) = there(world, "customers", "discounts")
        assert (changed["percent"], changed["validTo"], changed["serviceId"]) == ("2.2500", None, service)
        await world.crm.delete("cdock_discount", of_customer)
        await world.next_walk()
        assert there(world, "customers", "discounts") == []
        assert len(there(world, "cost-centres", "discounts")) == 1


@both
@virtually
async def test_prices_go_over_once_and_move(site: Sites) -> None:
    """R-112: of a cost centre for an article; an answer that is lost makes none twice, and one that gets another owner
    leaves the former one."""
    async with world_of(site) as world:
        ids = await parties(world)
        world.site.faults.add(FaultRule(FaultKind.LOST_ANSWER, "PUT", "/prices/", times=1))
        price = await world.crm.create(
            "cdock_customerprice",
            {
                "cdock_price": Decimal("0.0125"),
                "cdock_currency": "CHF",
                "cdock_costcentreid": ids["centre"],
                "cdock_articleid": ids["article"],
            },
        )
        await world.next_walk()
        (article,) = world.site.rows("articles")
        (one,) = there(world, "cost-centres", "prices")
        assert (one["price"], one["currency"], one["articleId"]) == ("0.0125", "CHF", article)
        owners = {"cdock_costcentreid": None, "cdock_accountid": ids["account"]}
        await world.crm.edit("cdock_customerprice", price, owners)
        await world.next_walk()
        assert there(world, "cost-centres", "prices") == []
        assert there(world, "customers", "prices") == [one]


@both
@virtually
async def test_a_price_of_a_service_that_postoffice_does_not_have_is_no_price_of_everything(site: Sites) -> None:
    """R-112: it waits, and says so; without its value it is put before a person."""
    async with world_of(site) as world:
        ids = await parties(world)
        own = await world.crm.create("cdock_postservice", {"cdock_number": "own", "cdock_name": "Ours"})
        owner = {"cdock_accountid": ids["account"]}
        await world.crm.create("cdock_customerprice", {"cdock_price": Decimal(1), "cdock_serviceid": own, **owner})
        await world.crm.create("cdock_customerprice", owner)
        await world.next_walk()
        assert there(world, "customers", "prices") == []
        assert [one.code for one in await world.parked("customer_price_to_postoffice")] == ["CD-4020"]
