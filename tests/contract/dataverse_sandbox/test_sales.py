"""Products, prices, quotes and orders, and the notifications that people see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.dataverse_sandbox.conftest import Organisation, code_of


async def test_a_price_list_item_bears_its_products_number(org: Organisation) -> None:
    """It can be searched for, and is not written."""
    unit = await org.create("uoms", name="Piece")
    prices = await org.create("pricelevels", name="Usual")
    product = await org.create("products", name="Filter", productnumber="F-1")
    bound = {"productid": f"products({product})", "pricelevelid": f"pricelevels({prices})", "uomid": f"uoms({unit})"}
    binds = {f"{name}@odata.bind": f"/{target}" for name, target in bound.items()}
    await org.create("productpricelevels", amount=12.5, **binds)
    found = await org.client.get("/productpricelevels?$select=amount,productnumber&$filter=productnumber eq 'F-1'")
    ((row),) = found.json()["value"]
    assert (row["amount"], row["productnumber"]) == (12.5, "F-1")
    answer = await org.client.post("/productpricelevels", json={"productnumber": "F-2", **binds})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("table", "state", "status"),
    [("quotes", 1, 204), ("quotes", 2, 400), ("quotes", 3, 400), ("salesorders", 1, 204), ("salesorders", 2, 400),
     ("salesorders", 3, 400)],
)  # fmt: skip
async def test_what_an_action_of_its_own_sets_no_update_does(
    org: Organisation, table: str, state: int, status: int
) -> None:
    """A quote is activated and an order submitted by an update; what ends them is not."""
    row_id = await org.create(table, name="Offer")
    answer = await org.client.patch(f"/{table}({row_id})", json={"statecode": state})
    assert answer.status_code == status
    if status == 400:
        assert code_of(answer) == "0x80100005"


def notification(user: str, **more: Any) -> dict[str, Any]:
    """The action's parameters."""
    body = {"Title": "Not confirmed", "Body": "Why", "Recipient": f"/systemusers({user})", "IconType": 100000002}
    return {name: value for name, value in (body | more).items() if value is not None}


async def test_a_notification_belongs_to_its_recipient(org: Organisation) -> None:
    """As Microsoft's example; what is not said is the column's default."""
    user = org.sandbox.add_user("Anna")
    answer = await org.client.post("/SendAppNotification", json=notification(user))
    assert answer.status_code == 200
    row = org.sandbox.rows("appnotification")[answer.json()["NotificationId"]]
    assert (row["ownerid"], row["title"], row["body"]) == (user, "Not confirmed", "Why")
    assert (row["icontype"], row["toasttype"], row["priority"]) == (100000002, 200000000, 200000000)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Title": None}, 400),
        ({"Recipient": None}, 400),
        ({"Recipient": "systemusers"}, 400),
        ({"Recipient": "/systemusers(00000000-0000-4000-8000-000000000001)"}, 404),
        ({"IconType": 5}, 400),
        ({"Subject": "x"}, 400),
        ({"Actions": {}}, 501),
    ],
)
async def test_what_is_no_notification_is_refused(org: Organisation, more: dict[str, Any], status: int) -> None:
    """And nothing is made."""
    user = org.sandbox.add_user("Anna")
    answer = await org.client.post("/SendAppNotification", json=notification(user, **more))
    assert answer.status_code == status
    assert org.sandbox.rows("appnotification") == {}
