"""Contacts and the cascades between customers, company contacts and persons."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.business_central import ApiError
from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import COMPANY, COMPANY_URL, CONTACTS, CUSTOMERS, ZERO, Rig, error_of


async def company_contact(rig: Rig, customer: dict[str, Any]) -> dict[str, Any]:
    rows = await rig.values(f"{CUSTOMERS}({customer['id']})/contactsInformation")
    found = next(row for row in rows if row["contactType"] == "Company")
    return await rig.get(f"{CONTACTS}({found['contactId']})")


async def person(rig: Rig, company: dict[str, Any], name: str = "Acquisti Ufficio", **fields: Any) -> dict[str, Any]:
    body = {"type": "Person", "displayName": name, "companyNumber": company["number"], **fields}
    answer = await rig.http.post(CONTACTS, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_new_customer_brings_its_company_contact(rig: Rig) -> None:
    """The contact carries the same data and is related; its number comes from the contacts' own series."""
    customer = await rig.create(city="Bolzano", country="IT", taxRegistrationNumber="00743110157")
    contact = await company_contact(rig, customer)
    assert contact["number"] == contact["companyNumber"] == "KT000010"
    assert contact["contactBusinessRelation"] == "Customer"
    for name in ("displayName", "city", "country", "taxRegistrationNumber"):
        assert contact[name] == customer[name]
    assert contact["searchName"] == "FERRAMENTA ROSSA S.R.L."
    assert contact["lastInteractionDate"] == "0001-01-01"


async def test_without_the_relation_code_no_contact_is_created(make: MakeRig) -> None:
    """Marketing Setup decides; then the list below the customer is empty."""
    rig = make(company_contacts=False)
    customer = await rig.create()
    assert await rig.values(f"{CUSTOMERS}({customer['id']})/contactsInformation") == []
    assert await rig.values(CONTACTS) == []


async def test_a_changed_customer_changes_its_contact_and_not_the_other_way_round_again(rig: Rig) -> None:
    """One PATCH, two rows with new etags; a value the two do not share leaves the contact alone."""
    customer = await rig.create()
    before = await company_contact(rig, customer)
    customer = await rig.change(customer, displayName="Ferramenta Verde S.r.l.", phoneNumber="0471 1")
    contact = await company_contact(rig, customer)
    assert (contact["displayName"], contact["phoneNumber"]) == ("Ferramenta Verde S.r.l.", "0471 1")
    assert contact["companyName"] == "Ferramenta Verde S.r.l."
    assert contact["@odata.etag"] != before["@odata.etag"]
    await rig.change(customer, creditLimit=5000)
    assert (await company_contact(rig, customer))["@odata.etag"] == contact["@odata.etag"]


async def test_a_changed_company_contact_changes_the_customer_behind_the_callers_back(rig: Rig) -> None:
    """The customer's etag that a caller holds is stale afterwards."""
    customer = await rig.create()
    contact = await company_contact(rig, customer)
    answer = await rig.patch(f"{CONTACTS}({contact['id']})", contact["@odata.etag"], city="Merano")
    assert answer.status_code == 200
    assert (await rig.get(f"{CUSTOMERS}({customer['id']})"))["city"] == "Merano"
    late = await rig.patch(f"{CUSTOMERS}({customer['id']})", customer["@odata.etag"], city="Lana")
    assert error_of(late, 409)[0] == "Request_EntityChanged"


async def test_persons_take_over_from_their_company_what_they_leave_blank(rig: Rig) -> None:
    """Company name always, address and communication only where the person has nothing of its own."""
    customer = await rig.create(city="Bolzano", phoneNumber="0471 1", email="info@rossa.example")
    contact = await company_contact(rig, customer)
    one = await person(rig, contact, email="acquisti@rossa.example")
    assert (one["companyName"], one["city"], one["phoneNumber"]) == (contact["displayName"], "Bolzano", "0471 1")
    assert one["email"] == "acquisti@rossa.example"
    assert one["contactBusinessRelation"] == "Customer"


async def test_persons_follow_their_company_where_they_still_had_its_value(rig: Rig) -> None:
    """A customer's PATCH reaches through its contact down to the persons."""
    customer = await rig.create(city="Bolzano", phoneNumber="0471 1")
    contact = await company_contact(rig, customer)
    follower = await person(rig, contact)
    own = await person(rig, contact, "Vendite Ufficio", phoneNumber="0471 99", city="Lana")
    await rig.change(customer, displayName="Ferramenta Verde", phoneNumber="0471 2", city="Merano")
    follower = await rig.get(f"{CONTACTS}({follower['id']})")
    own = await rig.get(f"{CONTACTS}({own['id']})")
    assert (follower["companyName"], follower["phoneNumber"], follower["city"]) == (
        "Ferramenta Verde",
        "0471 2",
        "Merano",
    )
    assert (own["companyName"], own["phoneNumber"], own["city"]) == ("Ferramenta Verde", "0471 99", "Lana")


async def test_the_inherit_switches_can_be_off(make: MakeRig) -> None:
    """Then only the company's name travels."""
    rig = make(inherit_address=False, inherit_communication=False)
    customer = await rig.create(city="Bolzano", phoneNumber="0471 1")
    one = await person(rig, await company_contact(rig, customer))
    assert (one["city"], one["phoneNumber"], one["companyName"]) == ("", "", customer["displayName"])


async def test_a_deleted_customer_leaves_its_contact_without_the_relation(rig: Rig) -> None:
    """The contact stays and says that it is nothing to us any more."""
    customer = await rig.create()
    contact = await company_contact(rig, customer)
    assert (await rig.http.delete(f"{CUSTOMERS}({customer['id']})")).status_code == 204
    assert (await rig.get(f"{CONTACTS}({contact['id']})"))["contactBusinessRelation"] == "None"


async def test_a_customer_of_type_person_gets_a_person_contact(rig: Rig) -> None:
    """The kind of the customer decides about the kind of its contact."""
    customer = await rig.create(type="Person", displayName="Vorname Mitte Nachname")
    rows = await rig.values(f"{CUSTOMERS}({customer['id']})/contactsInformation")
    assert [row["contactType"] for row in rows] == ["Person"]


async def test_a_persons_name_must_fit_its_three_parts(rig: Rig) -> None:
    """First, middle and surname have 30 characters each, whatever the display name may hold."""
    body = {"type": "Person", "displayName": "Vorname " + "N" * 31}
    assert error_of(await rig.http.post(CONTACTS, json=body), 400)[0] == "Application_StringExceededLength"


async def test_the_company_number_is_that_of_a_company_contact(rig: Rig) -> None:
    """A customer's number, or a person's, is not a company contact."""
    customer = await rig.create()
    body = {"type": "Person", "displayName": "Acquisti", "companyNumber": customer["number"]}
    assert error_of(await rig.http.post(CONTACTS, json=body), 400)[0] == "Internal_InvalidTableRelation"
    body = {"type": "Company", "displayName": "Filiale", "companyNumber": "KT000010"}
    assert error_of(await rig.http.post(CONTACTS, json=body), 400)[0] == "Application_FieldValidationException"


async def test_a_person_can_be_moved_to_another_company(rig: Rig) -> None:
    """The company's name follows the number."""
    one = await company_contact(rig, await rig.create())
    other = await company_contact(rig, await rig.create(displayName="Legnami Blu"))
    moved = await person(rig, one)
    answer = await rig.patch(f"{CONTACTS}({moved['id']})", moved["@odata.etag"], companyNumber=other["number"])
    assert answer.json()["companyName"] == "Legnami Blu"


async def test_contacts_check_their_values(rig: Rig) -> None:
    """Job title 30, no letters in a mobile number, a name is needed, the relation cannot really be written."""
    for body, code in (
        ({"displayName": "X", "jobTitle": "x" * 31}, "Application_StringExceededLength"),
        ({"displayName": "X", "mobilePhoneNumber": "mobil"}, "Application_FieldValidationException"),
        ({"city": "Bolzano"}, "Application_DialogException"),
        ({"displayName": "X", "contactBusinessRelation": "Kunde"}, "Unknown"),
    ):
        assert error_of(await rig.http.post(CONTACTS, json=body), 400)[0] == code
    answer = await rig.http.post(CONTACTS, json={"displayName": "X", "contactBusinessRelation": "Vendor"})
    assert answer.json()["contactBusinessRelation"] == "None"


async def test_customer_contacts_are_the_persons_of_customers(rig: Rig) -> None:
    """Each person with its customer's id; prospects' persons and companies are not in the list."""
    customer = await rig.create()
    one = await person(rig, await company_contact(rig, customer), "Anna Maria Rossi", jobTitle="Purchasing")
    prospect = (await rig.http.post(CONTACTS, json={"displayName": "Prospect"})).json()
    await person(rig, prospect, "Somebody Else")
    rows = await rig.values(f"{COMPANY_URL}/customerContacts")
    assert [row["id"] for row in rows] == [one["id"]]
    assert (rows[0]["customerId"], rows[0]["customerName"]) == (customer["id"], customer["displayName"])
    assert (rows[0]["firstName"], rows[0]["lastName"]) == ("Anna", "Rossi")
    assert rows[0]["professionalTitle"] == "Purchasing"
    answer = await rig.patch(f"{COMPANY_URL}/customerContacts({one['id']})", rows[0]["@odata.etag"], lastName="Bianchi")
    assert answer.json()["lastName"] == "Bianchi"
    assert (await rig.get(f"{CONTACTS}({one['id']})"))["displayName"] == "Anna Maria Bianchi"
    assert error_of(await rig.http.get(f"{COMPANY_URL}/customerContacts({prospect['id']})"), 404)


async def test_contacts_information_exists_only_below_its_parent(rig: Rig) -> None:
    """The flat address is a 400 although the metadata shows it."""
    code, message = error_of(await rig.http.get(f"{COMPANY_URL}/contactsInformation"), 400)
    assert code == "Application_DialogException"
    assert message.startswith("You must specify a parent ID")
    customer = await rig.create()
    row = (await rig.values(f"{CUSTOMERS}({customer['id']})/contactsInformation"))[0]
    assert (row["relatedId"], row["relatedType"]) == (customer["id"], "Customer")
    assert "@odata.etag" not in row


async def test_a_deleted_company_contact_takes_its_persons_with_it_but_not_the_customer(rig: Rig) -> None:
    """The customer stays, without a contact."""
    customer = await rig.create()
    contact = await company_contact(rig, customer)
    await person(rig, contact)
    assert (await rig.http.delete(f"{CONTACTS}({contact['id']})")).status_code == 204
    assert await rig.values(CONTACTS) == []
    assert await rig.values(f"{CUSTOMERS}({customer['id']})/contactsInformation") == []


async def test_a_renamed_company_contact_keeps_its_persons(rig: Rig) -> None:
    """The persons' company number follows the rename."""
    contact = await company_contact(rig, await rig.create())
    one = await person(rig, contact)
    answer = await rig.patch(f"{CONTACTS}({contact['id']})", "*", number="acme")
    assert answer.json()["companyNumber"] == "ACME"
    assert (await rig.get(f"{CONTACTS}({one['id']})"))["companyNumber"] == "ACME"


async def test_changes_of_contacts_nobody_imitates_are_unforeseen(rig: Rig) -> None:
    """From company to person, another company name, a person's other customer: 501, nothing changed."""
    contact = await company_contact(rig, await rig.create())
    url = f"{CONTACTS}({contact['id']})"
    assert (await rig.patch(url, "*", city="Lana", type="Person")).status_code == 501
    assert (await rig.patch(url, "*", companyName="Another")).status_code == 501
    assert await rig.get(url) == contact


async def test_what_a_contact_is_stands_in_its_own_row_and_changes_with_the_relation(rig: Rig) -> None:
    """A deleted customer changes the rows of its contact and of the persons there: they get new times and etags."""
    customer = await rig.create()
    contact = await company_contact(rig, customer)
    one = await person(rig, contact)
    assert one["contactBusinessRelation"] == "Customer"
    await rig.clock.advance(60)
    await rig.http.delete(f"{CUSTOMERS}({customer['id']})")
    after = await rig.get(f"{CONTACTS}({one['id']})")
    assert after["contactBusinessRelation"] == "None"
    assert after["lastModifiedDateTime"] != one["lastModifiedDateTime"]
    assert await rig.values(f"{COMPANY_URL}/customerContacts") == []


async def test_persons_of_a_company_that_is_also_a_vendor_are_no_customer_contacts(rig: Rig) -> None:
    """The page shows who is a customer's and nothing else's; the list below the customer shows them all the same."""
    customer = await rig.create()
    contact = await company_contact(rig, customer)
    one = await person(rig, contact)
    await rig.sandbox.relate(COMPANY, contact["id"], "Vendor")
    assert (await rig.get(f"{CONTACTS}({one['id']})"))["contactBusinessRelation"] == "Multiple"
    assert await rig.values(f"{COMPANY_URL}/customerContacts") == []
    below = await rig.values(f"{CUSTOMERS}({customer['id']})/contactsInformation")
    assert {row["contactId"] for row in below} == {contact["id"], one["id"]}
    with pytest.raises(ApiError):
        await rig.sandbox.relate(COMPANY, contact["id"], "Vendor")


async def test_a_person_that_is_a_customer_itself_shows_the_customer_of_the_row_before(rig: Rig) -> None:
    """The page does not clear the id between rows; only the customer's name is blank."""
    customer = await rig.create()
    await person(rig, await company_contact(rig, customer))
    await rig.create(displayName="Anna Verdi", type="Person")
    rows = await rig.values(f"{COMPANY_URL}/customerContacts?$select=customerId,customerName")
    assert [(row["customerId"], row["customerName"]) for row in rows] == [
        (customer["id"], customer["displayName"]),
        (customer["id"], ""),
    ]


async def test_computed_columns_of_customer_contacts_are_not_searched_in(rig: Rig) -> None:
    """What the service answers is not known, so it is unforeseen here."""
    for option in (f"$filter=customerId eq {ZERO}", "$orderby=customerName"):
        assert (await rig.http.get(f"{COMPANY_URL}/customerContacts?{option}")).status_code == 501
