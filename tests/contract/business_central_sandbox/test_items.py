"""Items with their stock, and what customers owe: read-only, as far as they are imitated."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from sandbox.business_central import ApiError
from tests.contract.business_central_sandbox.rig import COMPANY, COMPANY_URL, Rig

ITEMS = f"{COMPANY_URL}/items"


async def test_an_item_shows_its_price_and_the_sum_of_what_was_posted(rig: Rig) -> None:
    """Its number is a code: upper case, and searched in any."""
    body = {"number": "f-1", "displayName": "Filter", "unitPrice": Decimal("25.5"), "baseUnitOfMeasureCode": "pcs"}
    item = await rig.sandbox.create(COMPANY, "items", body)
    for quantity in (10, -3):
        await rig.sandbox.stock(COMPANY, item["id"], Decimal(quantity))
    query = {"$select": "number,unitPrice,inventory,baseUnitOfMeasureCode,blocked", "$filter": "number eq 'F-1'"}
    ((row),) = (await rig.http.get(ITEMS, params=query)).json()["value"]
    assert {name: value for name, value in row.items() if "odata" not in name} == {
        "number": "F-1",
        "unitPrice": 25.5,
        "inventory": 7,
        "baseUnitOfMeasureCode": "PCS",
        "blocked": False,
    }
    before = row["@odata.etag"]
    await rig.sandbox.edit(COMPANY, "items", item["id"], {"blocked": True})
    after = (await rig.http.get(f"{ITEMS}({item['id']})")).json()
    assert (after["blocked"], after["@odata.etag"] != before) == (True, True)


async def test_what_the_application_refuses_of_an_item(rig: Rig) -> None:
    """A unit that is in no table, a number twice."""
    await rig.sandbox.create(COMPANY, "items", {"number": "F-1", "displayName": "Filter"})
    for body in ({"number": "F-2", "baseUnitOfMeasureCode": "NIX"}, {"number": "F-1"}):
        with pytest.raises(ApiError):
            await rig.sandbox.create(COMPANY, "items", {"displayName": "Other"} | body)


async def test_items_are_not_written_from_outside_and_not_searched_by_what_the_page_computes(rig: Rig) -> None:
    """501: the real service does the one, and the other is not imitated."""
    assert (await rig.http.post(ITEMS, json={"displayName": "Filter"})).status_code == 501
    assert (await rig.http.get(ITEMS, params={"$filter": "inventory gt 0"})).status_code == 501


async def test_what_a_customer_owes_stands_under_his_own_key(rig: Rig) -> None:
    """The whole balance, and the part of it that should have been paid; nothing of it is written."""
    customer = await rig.sandbox.create(COMPANY, "customers", {"displayName": "Ferramenta"})
    await rig.sandbox.book(COMPANY, customer["id"], Decimal(100), date(2026, 3, 1))
    await rig.sandbox.book(COMPANY, customer["id"], Decimal(50), date(2026, 4, 1))
    address = f"{COMPANY_URL}/customerFinancialDetails({customer['id']})"
    row = (await rig.http.get(address)).json()
    assert (row["id"], row["number"], row["balance"], row["overdueAmount"]) == (
        customer["id"],
        customer["number"],
        150,
        100,
    )
    answer = await rig.http.patch(address, json={"balance": 0}, headers={"If-Match": "*"})
    assert answer.status_code == 405
