"""The optional extension: there or not, its pages, the Italian fields, row versions, the key of our own, its action."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.tokens import TENANT_ID
from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import (
    BASE_URL,
    COMPANY,
    COMPANY_URL,
    CONTACTS,
    CUSTOMERS,
    HOOK,
    ROOT,
    ZERO,
    Rig,
    error_of,
)

API = "crmlink/sync/v1.0"
EXTENSION = f"{BASE_URL}/v2.0/{TENANT_ID}/Production/api/{API}"
INSIDE = f"{EXTENSION}/companies({COMPANY})"
CRM_CUSTOMERS = f"{INSIDE}/crmCustomers"
CRM_CONTACTS = f"{INSIDE}/crmContacts"
WRONG_FISCAL_CODE = "RCCMNL83S18D969X"
FISCAL_CODE = "RCCMNL83S18D969H"


@pytest.fixture
def rig(make: MakeRig) -> Rig:
    """An environment with the extension."""
    return make(extension=API)


async def post(rig: Rig, url: str, **fields: Any) -> httpx.Response:
    return await rig.http.post(url, json=fields)


async def customer(rig: Rig, **fields: Any) -> dict[str, Any]:
    answer = await post(rig, CRM_CUSTOMERS, **{"displayName": "Ferramenta Rossa S.r.l.", **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def change(rig: Rig, row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await rig.patch(f"{CRM_CUSTOMERS}({row['id']})", row["@odata.etag"], **fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def company_contact(rig: Rig, row: dict[str, Any]) -> dict[str, Any]:
    below = await rig.values(f"{CUSTOMERS}({row['id']})/contactsInformation")
    return await rig.get(f"{CRM_CONTACTS}({below[0]['contactId']})")


async def person(rig: Rig, company: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"type": "Person", "companyNumber": company["number"], **fields}
    answer = await post(rig, CRM_CONTACTS, **body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def bound(rig: Rig) -> int:
    (row,) = await rig.values(f"{INSIDE}/changeBounds")
    return int(row["lowestActiveRowVersion"])


async def test_without_the_extension_its_metadata_is_not_found(make: MakeRig) -> None:
    """That is how a client finds out; another publisher's API is not there either."""
    plain = make()
    assert error_of(await plain.http.get(f"{EXTENSION}/$metadata"), 404)[0] == "BadRequest_ResourceNotFound"
    assert error_of(await plain.http.get(CRM_CUSTOMERS), 404)[0] == "BadRequest_ResourceNotFound"
    assert error_of(await plain.http.get(f"{EXTENSION.replace('crmlink', 'others')}/$metadata"), 404)


async def test_the_metadata_names_its_pages_and_no_standard_ones(rig: Rig) -> None:
    """Types and lengths of the additional fields; the standard API stays as it is."""
    document = (await rig.http.get(f"{EXTENSION}/$metadata")).text
    for part in (
        '<EntitySet Name="crmCustomers" EntityType="Microsoft.NAV.crmCustomer" />',
        '<Property Name="fiscalCode" Type="Edm.String" MaxLength="20" />',
        '<Property Name="paCode" Type="Edm.String" MaxLength="7" />',
        '<Property Name="systemRowVersion" Type="Edm.Int64">',
        'EntitySet Name="changeBounds"',
    ):
        assert part in document
    assert "paymentTerms" not in document.replace("paymentTermsId", "").replace("paymentTermsCode", "")
    assert "fiscalCode" not in (await rig.http.get(f"{ROOT}/$metadata")).text


async def test_both_pages_show_the_same_customer(rig: Rig) -> None:
    """One table: what one page writes the other shows, with the same etag and by the same rules."""
    made = await customer(rig, country="IT", taxRegistrationNumber="00743110157", paCode="abc1234", creditLimit=5)
    assert (made["paCode"], made["number"], made["currencyCode"]) == ("ABC1234", "K00010", "EUR")
    standard = await rig.get(f"{CUSTOMERS}({made['id']})")
    assert standard["@odata.etag"] == made["@odata.etag"]
    assert standard["taxRegistrationNumber"] == "00743110157"
    assert error_of(await post(rig, CRM_CUSTOMERS, city="Bolzano"), 400)[0] == "Application_DialogException"
    assert error_of(await post(rig, CRM_CUSTOMERS, displayName="X", taxRegistrationNumber="12"), 400)
    assert error_of(await rig.patch(f"{CRM_CUSTOMERS}({made['id']})", None, paCode="1"), 400)


async def test_a_wrong_fiscal_code_is_stored_without_any_sign(rig: Rig) -> None:
    """The application only shows a message, which a call never sees; the company contact takes it over."""
    made = await customer(rig, fiscalCode=WRONG_FISCAL_CODE)
    assert made["fiscalCode"] == WRONG_FISCAL_CODE
    assert (await company_contact(rig, made))["fiscalCode"] == WRONG_FISCAL_CODE
    assert error_of(await post(rig, CRM_CUSTOMERS, displayName="X", fiscalCode="X" * 21), 400)


async def test_names_belong_to_an_individual_person(rig: Rig) -> None:
    """Without the flag they are refused; taking it away blanks them, and the fiscal code with them."""
    refused = await post(rig, CRM_CUSTOMERS, displayName="Anna Verdi", firstName="Anna")
    assert error_of(refused, 400)[0] == "Application_FieldValidationException"
    made = await customer(
        rig, individualPerson=True, firstName="Anna", lastName="Verdi", fiscalCode=FISCAL_CODE, placeOfBirth="Trento"
    )
    assert (made["firstName"], made["lastName"], made["fiscalCode"]) == ("Anna", "Verdi", FISCAL_CODE)
    after = await change(rig, made, individualPerson=False)
    assert (after["firstName"], after["lastName"], after["placeOfBirth"], after["fiscalCode"]) == ("", "", "", "")


async def test_a_flag_written_anew_blanks_the_fiscal_code_all_the_same(rig: Rig) -> None:
    """The word no counts each time it is written, not only when it changes."""
    made = await customer(rig, fiscalCode=FISCAL_CODE)
    assert (await change(rig, made, individualPerson=False))["fiscalCode"] == ""
    both = await customer(rig, individualPerson=False, fiscalCode=FISCAL_CODE)
    assert both["fiscalCode"] == FISCAL_CODE


async def test_who_is_not_resident_has_no_fiscal_code(rig: Rig) -> None:
    """Going abroad blanks it, writing one is refused by an error of the field; coming home blanks the names."""
    made = await customer(rig, individualPerson=True, firstName="Anna", fiscalCode=FISCAL_CODE)
    abroad = await change(rig, made, resident="Non_x002D_Resident")
    assert (abroad["resident"], abroad["fiscalCode"], abroad["firstName"]) == ("Non_x002D_Resident", "", "Anna")
    refused = await rig.patch(f"{CRM_CUSTOMERS}({made['id']})", "*", fiscalCode=FISCAL_CODE)
    assert error_of(refused, 400)[0] == "Application_FieldValidationException"
    home = await change(rig, abroad, resident="Resident")
    assert (home["resident"], home["firstName"]) == ("Resident", "")


async def test_codes_stand_beside_the_references(rig: Rig) -> None:
    """One field of the table under two names; unknown codes are refused as such."""
    made = await customer(rig, paymentTermsCode="30T", vatBusinessPostingGroup="EU", customerPostingGroup="EU")
    assert made["paymentTermsId"] == await rig.id_of("paymentTerms", "30T")
    assert (await rig.get(f"{CUSTOMERS}({made['id']})"))["taxAreaDisplayName"] == "Customers in the EU"
    assert (await change(rig, made, paymentTermsId=ZERO))["paymentTermsCode"] == ""
    for name in ("paymentTermsCode", "customerPostingGroup", "languageCode", "billToCustomerNumber"):
        refused = await post(rig, CRM_CUSTOMERS, **{"displayName": "X", name: "NOSUCH"})
        assert error_of(refused, 400)[0] == "Internal_InvalidTableRelation"


async def test_fields_of_the_extension_have_their_own_checks(rig: Rig) -> None:
    """No letters in a mobile number, at most twenty characters of a registration number."""
    for body in ({"mobilePhoneNumber": "mobile"}, {"registrationNumber": "1" * 21}):
        refused = await post(rig, CRM_CUSTOMERS, displayName="X", **body)
        assert error_of(refused, 400)[0] == "Application_FieldValidationException"


@pytest.mark.parametrize("url", [CRM_CUSTOMERS, CRM_CONTACTS])
async def test_a_key_of_our_own_is_unique_and_given_once(rig: Rig, url: str) -> None:
    """The second create with it meets the first; blanks do not count, and it is found by a filter."""
    made = (await post(rig, url, displayName="One", externalId="cd-1")).json()
    assert made["externalId"] == "CD-1"
    code, _ = error_of(await post(rig, url, displayName="Two", externalId="CD-1"), 400)
    assert code == "Internal_EntityWithSameKeyExists"
    blank = (await post(rig, url, displayName="Three")).json()
    found = await rig.values(f"{url}?$filter=externalId eq 'CD-1'&$select=id")
    assert [row["id"] for row in found] == [made["id"]]
    assert (await rig.patch(f"{url}({blank['id']})", "*", externalId="CD-2")).status_code == 200
    assert error_of(await rig.patch(f"{url}({blank['id']})", "*", externalId=""), 400)
    assert error_of(await rig.patch(f"{url}({blank['id']})", "*", externalId="CD-3"), 400)
    assert (await rig.patch(f"{url}({blank['id']})", "*", externalId="CD-2")).status_code == 200


async def test_parts_of_a_name_are_written_and_make_the_name(rig: Rig) -> None:
    """A last name of two words stays one; the whole name, written, is cut anew."""
    company = await company_contact(rig, await customer(rig))
    made = await person(rig, company, firstName="Anna", surname="De Luca", jobTitle="Buyer")
    assert (made["displayName"], made["middleName"], made["surname"]) == ("Anna De Luca", "", "De Luca")
    renamed = await rig.patch(f"{CRM_CONTACTS}({made['id']})", "*", surname="Dal Monte")
    assert (renamed.json()["displayName"], renamed.json()["surname"]) == ("Anna Dal Monte", "Dal Monte")
    cut = await rig.patch(f"{CONTACTS}({made['id']})", "*", displayName="Anna Maria Verdi")
    assert cut.status_code == 200
    row = await rig.get(f"{CRM_CONTACTS}({made['id']})")
    assert (row["firstName"], row["middleName"], row["surname"]) == ("Anna", "Maria", "Verdi")


async def test_contacts_name_their_customer(rig: Rig) -> None:
    """The key for persons, the number for the company contact too; neither is written."""
    owner = await customer(rig)
    company = await company_contact(rig, owner)
    made = await person(rig, company, displayName="Anna Verdi")
    assert (made["customerId"], made["customerNumber"]) == (owner["id"], owner["number"])
    assert (company["customerId"], company["customerNumber"]) == (ZERO, owner["number"])
    await rig.sandbox.relate(COMPANY, company["id"], "Vendor")
    assert (await rig.get(f"{CRM_CONTACTS}({made['id']})"))["customerId"] == owner["id"]
    assert error_of(await rig.patch(f"{CRM_CONTACTS}({made['id']})", "*", customerId=ZERO), 400)


async def test_a_primary_contact_hangs_on_the_customer(rig: Rig) -> None:
    """A stranger is refused; a deleted one leaves the customer without; a person that is a customer has itself."""
    owner = await customer(rig, phoneNumber="0471 1")
    made = await person(rig, await company_contact(rig, owner), displayName="Anna Verdi", phoneNumber="0471 99")
    owner = await change(rig, owner, primaryContactId=made["id"])
    assert (owner["primaryContactId"], owner["phoneNumber"]) == (made["id"], "0471 1")
    other = await customer(rig, displayName="Legnami Blu")
    refused = await rig.patch(f"{CRM_CUSTOMERS}({other['id']})", "*", primaryContactId=made["id"])
    assert error_of(refused, 400)[0] == "Application_DialogException"
    unknown = await rig.patch(f"{CRM_CUSTOMERS}({other['id']})", "*", primaryContactId=other["id"])
    assert '"primaryContactId"' in error_of(unknown, 400)[1]
    await rig.http.delete(f"{CRM_CONTACTS}({made['id']})")
    assert (await rig.get(f"{CRM_CUSTOMERS}({owner['id']})"))["primaryContactId"] == ZERO
    itself = await customer(rig, displayName="Paolo Neri", type="Person")
    assert itself["primaryContactId"] == (await company_contact(rig, itself))["id"]


async def test_row_versions_grow_and_the_bound_lies_above_them(rig: Rig) -> None:
    """Every write anywhere in the environment takes the next one; a filter reads from one to the other."""
    first, second = await customer(rig), await customer(rig, displayName="Legnami Blu")
    assert first["systemRowVersion"] < second["systemRowVersion"] < await bound(rig)
    renamed = await change(rig, first, displayName="Ferramenta Verde")
    low, high = second["systemRowVersion"], await bound(rig)
    condition = f"systemRowVersion ge {low} and systemRowVersion lt {high}"
    rows = await rig.values(f"{CRM_CUSTOMERS}?$filter={condition}&$orderby=systemRowVersion")
    assert [row["id"] for row in rows] == [second["id"], first["id"]]
    assert rows[-1]["systemRowVersion"] == renamed["systemRowVersion"] < high


async def test_an_open_transaction_holds_the_bound_down(rig: Rig) -> None:
    """Its row appears later with the version and the time it began with: below what others have long passed."""
    one, other = await customer(rig), await customer(rig, displayName="Legnami Blu")
    held = rig.sandbox.begin_edit(COMPANY, "customers", one["id"], {"city": "Merano"})
    low = await bound(rig)
    await rig.clock.advance(60)
    passed = await change(rig, other, city="Lana")
    assert await bound(rig) == low < passed["systemRowVersion"]
    late = await held.commit()
    row = await rig.get(f"{CRM_CUSTOMERS}({one['id']})")
    assert (row["systemRowVersion"], row["city"]) == (low, "Merano")
    assert late["lastModifiedDateTime"] < passed["lastModifiedDateTime"]
    assert await bound(rig) > passed["systemRowVersion"]


async def test_rows_say_who_wrote_them(rig: Rig) -> None:
    """The application for a call, somebody else for a person; a cascade belongs to whoever caused it."""
    made = await customer(rig)
    assert (await company_contact(rig, made))["systemModifiedBy"] == made["systemModifiedBy"]
    await rig.sandbox.edit(COMPANY, "customers", made["id"], {"city": "Merano"})
    row = await rig.get(f"{CRM_CUSTOMERS}({made['id']})")
    assert row["systemModifiedBy"] not in (made["systemModifiedBy"], ZERO)


async def test_relations_and_templates_are_read(rig: Rig) -> None:
    """Which contact is which customer or vendor, and what a customer can be made from."""
    owner = await customer(rig)
    company = await company_contact(rig, owner)
    await rig.sandbox.relate(COMPANY, company["id"], "Vendor")
    rows = await rig.values(f"{INSIDE}/contactBusinessRelations")
    told = {(row["contactNumber"], row["linkToTable"], row["businessRelationCode"]): row["number"] for row in rows}
    assert told[company["number"], "Customer", "CUST"] == owner["number"]
    assert (company["number"], "Vendor", "VEND") in told
    templates = await rig.values(f"{INSIDE}/customerTemplates?$orderby=code")
    assert [(row["code"], row["contactType"]) for row in templates][:1] == [("COMPANY", "Company")]
    assert error_of(await post(rig, f"{INSIDE}/customerTemplates", code="X"), 405)


async def test_a_customer_is_created_from_a_company_contact_once(rig: Rig) -> None:
    """The contact keeps its history, becomes the customer's, and hands over what both have."""
    prospect = (await post(rig, CRM_CONTACTS, displayName="Prospetto S.p.A.", city="Trento")).json()
    url = f"{CRM_CONTACTS}({prospect['id']})/Microsoft.NAV."
    assert (await post(rig, f"{url}CreateCustomer", templateCode="company")).status_code == 204
    (made,) = await rig.values(CRM_CUSTOMERS)
    assert (made["displayName"], made["city"], made["customerPostingGroup"]) == (
        "Prospetto S.p.A.",
        "Trento",
        "DOMESTIC",
    )
    assert (await company_contact(rig, made))["id"] == prospect["id"]
    assert error_of(await post(rig, f"{url}createCustomer", templateCode="COMPANY"), 400)
    assert error_of(await post(rig, f"{url}createCustomer", templateCode="NOSUCH"), 404)
    assert error_of(await post(rig, f"{url}createCustomer"), 400)
    assert (await post(rig, f"{url}mergeWith", templateCode="COMPANY")).status_code == 501


async def test_no_customer_is_created_from_a_blocked_contact_or_without_the_setup(make: MakeRig) -> None:
    """Privacy and Marketing Setup stand before it."""
    for options, fields in (({}, {"privacyBlocked": True}), ({"company_contacts": False}, {})):
        rig = make(extension=API, **options)
        contact = (await post(rig, CRM_CONTACTS, displayName="Prospetto", **fields)).json()
        url = f"{CRM_CONTACTS}({contact['id']})/Microsoft.NAV.createCustomer"
        assert error_of(await post(rig, url, templateCode="COMPANY"), 400)
        assert await rig.values(CRM_CUSTOMERS) == []


async def test_contacts_can_be_subscribed_to_through_the_extension(rig: Rig) -> None:
    """The list names its pages, the address and the resource carry its name, and so do the notices."""
    runtime = f"{BASE_URL}/v2.0/{TENANT_ID}/Production/api/microsoft/runtime/beta/companies({COMPANY})"
    listed = {row["resource"] for row in await rig.values(f"{runtime}/webhookSupportedResources")}
    assert {f"{API}/crmCustomers", f"{API}/crmContacts", "v2.0/customers"} <= listed
    assert listed.isdisjoint({f"{API}/contactBusinessRelations", "v2.0/contacts"})
    resource = f"/api/{API}/companies({COMPANY})/crmContacts"
    body = {"notificationUrl": HOOK, "resource": resource, "clientState": "state one"}
    assert error_of(await rig.http.post(f"{ROOT}/subscriptions", json=body), 400)
    assert (await rig.http.post(f"{EXTENSION}/subscriptions", json=body)).status_code == 201
    wrong = {**body, "resource": resource.replace("crmContacts", "contactBusinessRelations")}
    assert error_of(await rig.http.post(f"{EXTENSION}/subscriptions", json=wrong), 400)
    made = await rig.sandbox.create(COMPANY, "contacts", {"displayName": "Prospetto"})
    await rig.clock.advance(30)
    await rig.sandbox.deliver_due()
    assert [row["resource"] for row in rig.receiver.rows] == [f"{resource.lstrip('/')}({made['id']})"]


async def test_batches_go_to_the_extension_too(rig: Rig) -> None:
    """Its own address, addresses of parts relative to it."""
    part = {"method": "POST", "url": f"companies({COMPANY})/crmCustomers"}
    parts = [{"id": str(n), **part, "body": {"displayName": f"Mill {n}", "paCode": "1"}} for n in range(2)]
    answer = await rig.http.post(f"{EXTENSION}/$batch", json={"requests": parts})
    assert [one["body"]["paCode"] for one in answer.json()["responses"]] == ["1", "1"]
    assert len(await rig.values(f"{COMPANY_URL}/customers")) == 2
