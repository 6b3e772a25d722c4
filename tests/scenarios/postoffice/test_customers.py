"""Customers and cost centres: the CRM's general data and both addresses in PostOffice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import POOR, WHOLE, PostWorld, Sites

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])

GROUPS = {
    "customer-groups": ("cdock_customergroup", "cdock_customergroupid", "customerGroupId"),
    "price-groups": ("cdock_pricegroup", "cdock_pricegroupid", "priceGroupId"),
    "invoicing-clients": ("cdock_invoicingclient", "cdock_invoicingclientid", "invoicingClientId"),
}
ADDRESS = {"name": "name", "name2": "line2", "street": "line1", "postcode": "postalcode", "city": "city"}


async def groups_made(world: PostWorld, number: str) -> tuple[dict[str, str], dict[str, str]]:
    """One row of each list in PostOffice; answers the look-ups of a CRM record and what PostOffice calls the same."""
    ids = {name: world.site.create(name, {"number": number, "name": f"{name} {number}"})["id"] for name in GROUPS}
    await world.next_walk()
    of_crm = {
        look_up: next(key for key, row in world.crm.rows(table).items() if row["cdock_number"] == number)
        for table, look_up, _ in GROUPS.values()
    }
    return of_crm, {GROUPS[name][2]: row_id for name, row_id in ids.items()}


def addresses(city: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Both addresses of an account, and as PostOffice holds them."""
    of_crm: dict[str, str] = {}
    of_site: dict[str, dict[str, str]] = {}
    for place, number in (("main", 1), ("invoice", 2)):
        told = {one: f"{one} {place} {city}" for one in ADDRESS if one != "postcode"} | {"postcode": f"{number}0115"}
        of_crm |= {f"address{number}_{ADDRESS[one]}": value for one, value in told.items()}
        of_crm[f"address{number}_country"] = "Deutschland"
        of_site[place] = {**told, "country": "DE"}
    return of_crm, of_site


@both
@virtually
async def test_an_account_becomes_a_customer_and_stays_one(site: Sites) -> None:
    """R-107, R-108, R-109: general data, master address and invoice address go over and follow; PostOffice holds the
    account's id and the CRM is master."""
    async with PostWorld(site) as world:
        (look_ups, group_ids), (crm_addresses, post_addresses) = await groups_made(world, "1"), addresses("Bonn")
        general: dict[str, Any] = {
            "name": "Aurora Milling",
            "accountnumber": "AM-7",
            "telephone1": "+49 228 1",
            "emailaddress1": "office@aurora-milling.example",
            "websiteurl": "https://aurora-milling.example",
            "cdock_postremark": "rings twice",
        }
        account = await world.new_account(**general, **look_ups, **crm_addresses)
        await world.next_walk()
        (customer,) = world.customers_there.values()
        assert (customer["crmId"], customer["master"], customer["active"]) == (account, "CRM", True)
        assert customer["addresses"] == post_addresses
        assert {name: customer[name] for name in group_ids} == group_ids
        assert [customer[name] for name in ("name", "externalNumber", "telephone", "email", "website", "remark")] == [
            *general.values()
        ]
        assert world.account(account)["cdock_postnumber"] == customer["number"]

        changed, gone = await groups_made(world, "2"), addresses("Köln")
        await world.edit_account(account, name="Aurora Mills", statecode=1, statuscode=2, **changed[0], **gone[0])
        await world.next_walk()
        (customer,) = world.customers_there.values()
        assert (customer["name"], customer["active"], customer["addresses"]) == ("Aurora Mills", False, gone[1])
        assert {name: customer[name] for name in changed[1]} == changed[1]


@both
@virtually
async def test_a_cost_centre_follows_its_customer(site: Sites) -> None:
    """R-107, R-108, R-109: a cost centre of the CRM becomes one of the same customer in PostOffice, not before it."""
    async with PostWorld(site) as world:
        account = await world.new_account(name="Aurora Milling")
        centre = await world.crm.create(
            "cdock_costcentre",
            {
                "cdock_name": "Mill 2",
                "cdock_accountid": account,
                "cdock_externalnumber": "M2",
                "cdock_city": "Bonn",
                "cdock_invoicecity": "Köln",
            },
        )
        await world.next_walk()
        (customer_id,), (there,) = world.customers_there, world.cost_centres_there.values()
        assert (there["crmId"], there["master"], there["customerId"]) == (centre, "CRM", customer_id)
        assert (there["name"], there["externalNumber"]) == ("Mill 2", "M2")
        assert (there["addresses"]["main"]["city"], there["addresses"]["invoice"]["city"]) == ("Bonn", "Köln")
        assert world.crm.rows("cdock_costcentre")[centre]["cdock_number"] == there["number"]

        await world.crm.edit("cdock_costcentre", centre, {"cdock_name": "Mill Two", "cdock_city": "Brühl"})
        await world.next_walk()
        (there,) = world.cost_centres_there.values()
        assert (there["name"], there["addresses"]["main"]["city"]) == ("Mill Two", "Brühl")
