"""Customers, cost centres and pick-up locations: created, changed, linked, and refused as the contract says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.postoffice.options import poor
from sandbox.problems import ApiError
from tests.contract.postoffice_sandbox.conftest import CRM_ID, OTHER_CRM_ID, MakeSite, Site

CUSTOMER: dict[str, Any] = {
    "crmId": CRM_ID,
    "number": "4711",
    "name": "Muster & Söhne",
    "addresses": {"main": {"street": "Ringstrasse 1", "postcode": "8001", "city": "Zürich", "country": "CH"}},
    "contacts": [{"key": "k1", "lastName": "Beispiel"}],
}


async def created(site: Site, **changes: Any) -> dict[str, Any]:
    return dict((await site.ask("POST", "/customers", CUSTOMER | changes, status=201)).json())


async def test_a_created_customer_is_mastered_by_the_crm_and_is_shown_whole(site: Site) -> None:
    made = await created(site)
    assert (made["master"], made["active"], made["number"]) == ("CRM", True, "4711")
    found = await site.ask("GET", f"/customers/{made['id']}?expand=addresses,contacts,prices,accountManagers")
    assert found.json()["addresses"]["main"]["city"] == "Zürich"
    assert found.json()["addresses"]["invoice"] is None
    assert [one["key"] for one in found.json()["contacts"]] == ["k1"]
    assert found.json()["accountManagers"] == []
    assert found.headers["etag"] == f'"{made["version"]}"'


async def test_without_expand_no_parts_are_shown(site: Site) -> None:
    made = await created(site)
    assert "addresses" not in (await site.ask("GET", f"/customers/{made['id']}")).json()
    assert (await site.refusal("GET", f"/customers/{made['id']}?expand=invoices"))[:2] == (400, "UnknownParameter")


async def test_a_repeated_create_answers_the_same_record(site: Site) -> None:
    first = await site.ask("POST", "/customers", CUSTOMER, status=201, Idempotency_Key="one")
    again = await site.ask("POST", "/customers", CUSTOMER, status=200, Idempotency_Key="one")
    by_id = await site.ask("POST", "/customers", CUSTOMER | {"number": "4712"}, status=200)
    assert first.json()["id"] == again.json()["id"] == by_id.json()["id"]
    other = CUSTOMER | {"name": "Another"}
    assert (await site.refusal("POST", "/customers", other, Idempotency_Key="one"))[:2] == (422, "IdempotencyKeyReused")


async def test_a_poor_site_makes_a_second_record_of_a_repeated_create(make: MakeSite) -> None:
    site = make(poor())
    body = {name: value for name, value in CUSTOMER.items() if name != "number"}
    for _ in range(2):
        await site.ask("POST", "/customers", body, status=201, Idempotency_Key="one")
    assert len(await site.all("/customers", crmId=CRM_ID)) == 2


async def test_numbers_are_unique_and_given_where_missing(site: Site) -> None:
    await created(site)
    assert await site.refusal("POST", "/customers", CUSTOMER | {"crmId": OTHER_CRM_ID}) == (
        409,
        "NumberTaken",
        ["number"],
    )
    given = await created(site, crmId=OTHER_CRM_ID, number=None)
    assert given["number"] == "100001"


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"name": ""}, "InvalidFields", ["name"]),
        ({"name": "x" * 81}, "InvalidFields", ["name"]),
        ({"crmId": "no guid"}, "InvalidFields", ["crmId"]),
        ({"crmId": None}, "InvalidFields", ["crmId"]),
        ({"colour": "red"}, "InvalidFields", ["colour"]),
        ({"master": "CRM"}, "InvalidFields", ["master"]),
        ({"customerGroupId": "99"}, "UnknownReference", ["customerGroupId"]),
        ({"active": "yes"}, "InvalidFields", ["active"]),
        ({"contacts": [{"key": "k1"}]}, "InvalidFields", ["contacts.k1.lastName"]),
        ({"prices": {"p1": {"price": 1.5}}}, "InvalidFields", ["prices.p1.price"]),
        ({"prices": {"p1": {"price": "1.23456"}}}, "InvalidFields", ["prices.p1.price"]),
        ({"addresses": {"holiday": {}}}, "InvalidFields", ["key"]),
        ({"contacts": [{"key": "with space", "lastName": "X"}]}, "InvalidFields", ["key"]),
    ],
)
async def test_wrong_fields_are_named(site: Site, changes: dict[str, Any], code: str, fields: list[str]) -> None:
    assert await site.refusal("POST", "/customers", CUSTOMER | changes) == (422, code, fields)
    assert await site.all("/customers") == []


async def test_a_change_needs_the_current_version_where_it_names_one(site: Site) -> None:
    made = await created(site)
    path = f"/customers/{made['id']}"
    changed = await site.ask("PATCH", path, {"telephone": "+41 44 000 00 00"}, If_Match=f'"{made["version"]}"')
    assert changed.headers["etag"] != f'"{made["version"]}"'
    stale = await site.refusal("PATCH", path, {"telephone": None}, If_Match=f'"{made["version"]}"')
    assert stale[:2] == (412, "VersionConflict")
    await site.ask("PATCH", path, {"telephone": None}, If_Match="*")


async def test_a_change_that_changes_nothing_keeps_the_version(site: Site) -> None:
    made = await created(site)
    answer = await site.ask("PATCH", f"/customers/{made['id']}", {"name": CUSTOMER["name"]})
    assert answer.json()["version"] == made["version"]


async def test_one_address_is_changed_without_the_rest(site: Site) -> None:
    made = await created(site)
    path = f"/customers/{made['id']}"
    await site.ask("PATCH", path, {"addresses": {"main": {"city": "Basel"}, "invoice": {"city": "Chur"}}})
    found = (await site.ask("GET", f"{path}?expand=addresses")).json()["addresses"]
    assert (found["main"]["street"], found["main"]["city"], found["invoice"]["city"]) == (
        "Ringstrasse 1",
        "Basel",
        "Chur",
    )


async def test_a_site_without_versions_takes_every_change(make: MakeSite) -> None:
    site = make(poor())
    made = await created(site)
    assert "version" not in made
    answer = await site.ask("PATCH", f"/customers/{made['id']}", {"remark": "seen"}, If_Match='"17"')
    assert "etag" not in answer.headers


async def test_a_record_of_its_own_is_locked_for_the_crm_until_it_is_linked(site: Site) -> None:
    """R-084, R-086, R-091: the identifier, the lock and the mastership change hands together."""
    own = site.sandbox.create("customers", {"name": "Eigen AG", "number": "1"})
    path = f"/customers/{own['id']}"
    assert (await site.refusal("PATCH", path, {"name": "X"}))[:2] == (409, "NotCrmMastered")
    assert (await site.refusal("PUT", f"{path}/contacts/a", {"lastName": "X"}))[:2] == (409, "NotCrmMastered")
    linked = await site.ask("PUT", f"{path}/crm-link", {"crmId": CRM_ID, "master": "CRM"})
    assert (linked.json()["crmId"], linked.json()["master"]) == (CRM_ID, "CRM")
    await site.ask("PUT", f"{path}/crm-link", {"crmId": CRM_ID, "master": "CRM"})
    with pytest.raises(ApiError, match="CrmMastered"):
        site.sandbox.edit("customers", own["id"], {"name": "Changed here"})
    site.sandbox.edit("customers", own["id"], {"remark": "free"})
    await site.ask("DELETE", f"{path}/crm-link", status=204)
    site.sandbox.edit("customers", own["id"], {"name": "Changed here"})
    assert (await site.refusal("DELETE", f"{path}/crm-link"))[:2] == (404, "NotFound")


async def test_a_link_to_something_else_is_refused(site: Site) -> None:
    made = await created(site)
    own = site.sandbox.create("customers", {"name": "Eigen AG"})
    taken = {"crmId": CRM_ID, "master": "CRM"}
    assert (await site.refusal("PUT", f"/customers/{own['id']}/crm-link", taken))[1] == "LinkedToOther"
    other = {"crmId": OTHER_CRM_ID, "master": "CRM"}
    assert (await site.refusal("PUT", f"/customers/{made['id']}/crm-link", other))[1] == "LinkedToOther"
    wrong = {"crmId": CRM_ID, "master": "PO"}
    assert (await site.refusal("PUT", f"/customers/{made['id']}/crm-link", wrong))[1] == "InvalidFields"


async def test_sub_records_are_put_and_taken_away_by_their_keys(site: Site) -> None:
    service = site.sandbox.create("services", {"number": "A", "name": "Abholung"})
    made = await created(site)
    path = f"/customers/{made['id']}"
    price = await site.ask("PUT", f"{path}/prices/p1", {"price": "12.5", "serviceId": service["id"]})
    assert price.json()["price"] == "12.5000"
    await site.ask("PUT", f"{path}/discounts/d1", {"percent": "3"})
    assert (await site.refusal("PUT", f"{path}/discounts/d2", {"percent": "3", "articleId": "9"}))[
        1
    ] == "UnknownReference"
    await site.ask("DELETE", f"{path}/prices/p1", status=204)
    assert (await site.refusal("DELETE", f"{path}/prices/p1"))[0] == 404
    shown = (await site.ask("GET", f"{path}?expand=prices,discounts")).json()
    assert (shown["prices"], [one["key"] for one in shown["discounts"]]) == ([], ["d1"])


async def test_an_account_manager_is_an_employee_of_a_known_type(site: Site) -> None:
    kind = site.sandbox.create("account-manager-types", {"number": "1", "name": "Verkauf"})
    person = site.sandbox.create("employees", {"number": "7", "name": "E", "lastName": "E"})
    made = await created(site)
    path = f"/customers/{made['id']}/account-managers"
    await site.ask("PUT", f"{path}/{kind['id']}", {"employeeId": person["id"]})
    assert (await site.refusal("PUT", f"{path}/{kind['id']}", {"employeeId": "99"}))[1] == "UnknownEmployee"
    assert (await site.refusal("PUT", f"{path}/99", {"employeeId": person["id"]}))[1] == "UnknownType"


async def test_a_journal_entry_is_written_once(site: Site) -> None:
    made = await created(site)
    entry = {"externalId": CRM_ID, "at": "2026-03-01T10:00:00Z", "subject": "Call", "text": "About prices"}
    for status in (201, 200):
        await site.ask("POST", f"/customers/{made['id']}/journal", entry, status=status, Idempotency_Key=CRM_ID)
    assert len(site.sandbox.rows("journal")) == 1
    assert (await site.refusal("POST", f"/customers/{made['id']}/journal", {"externalId": "x"}))[2] == ["at", "subject"]


async def test_a_cost_centre_belongs_to_a_customer(site: Site) -> None:
    customer = await created(site)
    body = {"crmId": OTHER_CRM_ID, "name": "Lager", "customerId": customer["id"]}
    centre = (await site.ask("POST", "/cost-centres", body, status=201)).json()
    assert (await site.all("/cost-centres", customerId=customer["id"]))[0]["id"] == centre["id"]
    homeless = {"crmId": CRM_ID, "name": "Lager"}
    assert await site.refusal("POST", "/cost-centres", homeless) == (422, "InvalidFields", ["customerId"])


async def test_pickup_locations_are_nobodys_alone(site: Site) -> None:
    customer = await created(site)
    place = site.sandbox.create("pickup-locations", {"name": "Rampe", "customerId": customer["id"], "opensAt": "07:30"})
    path = f"/pickup-locations/{place['id']}"
    await site.ask("PUT", f"{path}/crm-link", {"crmId": OTHER_CRM_ID, "master": "CRM"})
    await site.ask("PATCH", path, {"opensAt": "08:00"})
    site.sandbox.edit("pickup-locations", place["id"], {"closesAt": "17:00"})
    assert (await site.refusal("PATCH", path, {"opensAt": "8"}))[2] == ["opensAt"]


async def test_what_was_answered_is_there_after_a_restart(make: MakeSite, tmp_path: Path) -> None:
    first = make(persist=tmp_path / "post.db")
    made = await created(first)
    second = make(persist=tmp_path / "post.db", clock=first.clock)
    found = await second.ask("GET", f"/customers/{made['id']}?expand=contacts")
    assert found.json()["contacts"][0]["lastName"] == "Beispiel"
    assert (await created(second, crmId=OTHER_CRM_ID, number="2"))["id"] != made["id"]
