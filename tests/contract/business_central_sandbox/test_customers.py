"""Customers: lengths, codes, relations, currency, VAT formats, number series, template, etags."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sandbox.business_central import ApiError, Company, PostCode
from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import (
    COMPANY,
    COMPANY_URL,
    CONTACTS,
    CUSTOMERS,
    ZERO,
    Rig,
    decoded,
    error_of,
)


async def refused(rig: Rig, fields: dict[str, Any], status: int = 400) -> tuple[str, str]:
    answer = await rig.http.post(CUSTOMERS, json={"displayName": "Ferramenta Rossa S.r.l.", **fields})
    return error_of(answer, status)


async def test_a_new_customer_is_answered_with_201_location_and_the_conventions_for_blanks(rig: Rig) -> None:
    """Only a name is sent; everything else comes back blank the way the service writes blanks."""
    answer = await rig.http.post(CUSTOMERS, json={"displayName": "Ferramenta Rossa S.r.l."})
    assert answer.status_code == 201
    row = answer.json()
    assert answer.headers["location"] == f"{CUSTOMERS}({row['id']})"
    assert row["number"] == "K00010"
    assert row["type"] == "Company"
    assert row["blocked"] == "_x0020_"
    assert row["addressLine1"] == row["country"] == row["taxAreaDisplayName"] == ""
    assert row["paymentTermsId"] == row["currencyId"] == row["taxAreaId"] == ZERO
    assert row["currencyCode"] == "EUR"
    assert row["creditLimit"] == row["balanceDue"] == 0
    assert row["lastModifiedDateTime"] == "2026-03-05T19:19:22.37Z"
    assert re.fullmatch(r"'\d+;\d+1;00;'", decoded(row["@odata.etag"]))
    assert await rig.get(f"{CUSTOMERS}({row['id']})") == row


async def test_codes_are_upper_cased_and_trimmed(rig: Rig) -> None:
    """Code columns normalise what they get; the answer shows what was kept."""
    row = await rig.create(number=" k9 ", country="it ", postalCode=" i-39100")
    assert (row["number"], row["country"], row["postalCode"]) == ("K9", "IT", "I-39100")


@pytest.mark.parametrize(
    ("field", "length"),
    [
        ("number", 20),
        ("displayName", 100),
        ("addressLine1", 100),
        ("addressLine2", 50),
        ("city", 30),
        ("state", 30),
        ("postalCode", 20),
        ("website", 255),
    ],
)
async def test_texts_fit_exactly_and_one_more_character_is_refused(rig: Rig, field: str, length: int) -> None:
    """The documented length goes in, one more does not."""
    assert (await rig.create(**{field: "X" * length}))[field] == "X" * length
    code, message = await refused(rig, {field: "X" * (length + 1)})
    assert code == "Application_StringExceededLength"
    assert message.startswith(
        f"The length of the string is {length + 1}, but it must be less than or equal to {length}"
    )


async def test_the_name_is_mandatory(rig: Rig) -> None:
    """Left out and blank are two different refusals; a PATCH cannot blank it either."""
    assert error_of(await rig.http.post(CUSTOMERS, json={"city": "Bolzano"}), 400)[1].startswith('A "displayName"')
    assert (await refused(rig, {"displayName": ""}))[1].startswith('The blank "displayName" is not allowed.')
    row = await rig.create()
    answer = await rig.patch(f"{CUSTOMERS}({row['id']})", row["@odata.etag"], displayName="")
    assert error_of(answer, 400)[0] == "Application_DialogException"


@pytest.mark.parametrize("field", ["id", "balanceDue", "taxAreaDisplayName", "lastModifiedDateTime"])
async def test_read_only_properties_cannot_be_written(rig: Rig, field: str) -> None:
    """Exactly four properties of a customer are read-only."""
    code, message = await refused(rig, {field: "x"})
    assert code == "BadRequest_InvalidOperation"
    assert message.startswith(f"Control '{field}' is read-only")


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        (
            {"nickName": "x"},
            "BadRequest",
            "Could not find a property named 'nickName' on type 'Microsoft.NAV.customer'.",
        ),
        ({"city": 5}, "BadRequest", "Cannot convert"),
        ({"creditLimit": "much"}, "BadRequest", "Cannot convert"),
        ({"taxLiable": "yes"}, "BadRequest", "Cannot convert"),
        ({"paymentTermsId": "30D"}, "Application_InvalidGUID", "Invalid format of GUID string."),
        ({"blocked": ""}, "Unknown", "'' is not an option. The existing options are:  ,Ship,Invoice,All"),
        ({"type": "Firma"}, "Unknown", "'Firma' is not an option."),
        ({"country": "XX"}, "Internal_InvalidTableRelation", "The field Country/Region Code of table Customer"),
        ({"salespersonCode": "NOBODY"}, "Internal_InvalidTableRelation", "The field Salesperson Code"),
        ({"salespersonCode": "FORMER"}, "Application_DialogException", "You cannot use the Salesperson"),
        ({"paymentTermsId": COMPANY}, "Application_DialogException", 'The "paymentTermsId" does not match'),
        ({"shipmentMethodId": COMPANY}, "Application_DialogException", 'The "shipmentMethodId" does not match'),
        ({"paymentMethodId": COMPANY}, "Application_DialogException", 'The "paymentMethodId" does not match'),
        ({"currencyId": COMPANY}, "Application_DialogException", 'The "currencyId" does not match to a Currency.'),
        ({"currencyCode": "XYZ"}, "Application_DialogException", 'The "currencyCode" does not match to a Currency.'),
        (
            {"phoneNumber": "0471 1 int. 12"},
            "Application_FieldValidationException",
            "Phone No. must not contain letters",
        ),
        ({"email": "info(at)rossa.example"}, "Application_DialogException", "The email address"),
        ({"email": "a@rossa.example; b"}, "Application_DialogException", 'The email address "b" is not valid.'),
    ],
)
async def test_wrong_values_are_refused_as_the_service_does(
    rig: Rig, fields: dict[str, Any], code: str, text: str
) -> None:
    """Each kind of wrong value has its code; nothing of the refused record remains."""
    found = await refused(rig, fields)
    assert found[0] == code
    assert found[1].startswith(text)
    assert await rig.values(CUSTOMERS) == []
    assert await rig.values(CONTACTS) == []


async def test_an_unknown_tax_area_is_a_record_not_found(rig: Rig) -> None:
    """The identifier of the tax area is looked up without a friendlier text."""
    assert (await refused(rig, {"taxAreaId": COMPANY}, 404))[0] == "Internal_RecordNotFound"


async def test_references_are_set_by_identifier_and_cleared_with_the_zero_guid_or_null(rig: Rig) -> None:
    """Payment terms, shipment method, payment method and tax area point to the small tables."""
    row = await rig.create(
        paymentTermsId=await rig.id_of("paymentTerms", "30T"),
        shipmentMethodId=await rig.id_of("shipmentMethods", "EXW"),
        paymentMethodId=await rig.id_of("paymentMethods", "BANK"),
        taxAreaId=await rig.id_of("taxAreas", "EU"),
        salespersonCode="north",
        email="a@rossa.example;b@rossa.example",
    )
    assert row["taxAreaDisplayName"] == "Customers in the EU"
    assert row["salespersonCode"] == "NORTH"
    row = await rig.change(row, paymentTermsId=ZERO, shipmentMethodId=None, email=None)
    assert row["paymentTermsId"] == row["shipmentMethodId"] == ZERO
    assert row["email"] == ""


async def test_the_local_currency_is_a_blank_that_shows_as_its_code(rig: Rig) -> None:
    """EUR in and out, the zero identifier beside it; foreign currencies have both."""
    local = await rig.create(currencyCode="eur")
    assert (local["currencyId"], local["currencyCode"]) == (ZERO, "EUR")
    foreign = await rig.create(currencyCode="CHF")
    assert foreign["currencyId"] == await rig.id_of("currencies", "CHF")
    assert "EUR" not in [row["code"] for row in await rig.values(f"{COMPANY_URL}/currencies")]
    back = await rig.change(foreign, currencyId=ZERO)
    assert back["currencyCode"] == "EUR"


async def test_two_currencies_that_disagree_are_refused(rig: Rig) -> None:
    """Identifier and code in one body must mean the same currency."""
    francs = await rig.id_of("currencies", "CHF")
    assert (await rig.create(currencyId=francs, currencyCode="CHF"))["currencyCode"] == "CHF"
    code, message = await refused(rig, {"currencyId": francs, "currencyCode": "USD"})
    assert message.startswith("The currency values do not match to a specific Currency.")
    assert (await refused(rig, {"currencyId": francs, "currencyCode": "EUR"}))[0] == code


@pytest.mark.parametrize(
    ("country", "number"),
    [
        ("IT", "00743110157"),
        ("IT", "00743110158"),  # a wrong check digit passes: it is only a message, lost in a service call
        ("DE", "123456789"),
        ("AT", "u12345678"),
        ("FR", "XX123456789"),
        ("CH", "anything goes"),
        ("", "00743110157"),  # a blank country means the company's own
    ],
)
async def test_vat_numbers_of_the_right_form_are_kept_upper_cased(rig: Rig, country: str, number: str) -> None:
    """The form is checked per country, nothing else."""
    row = await rig.create(country=country, taxRegistrationNumber=number)
    assert row["taxRegistrationNumber"] == number.upper()


@pytest.mark.parametrize(
    ("country", "number"),
    [("IT", "IT00743110157"), ("IT", "0074311015"), ("DE", "DE123456789"), ("AT", "12345678"), ("", "U12345678")],
)
async def test_vat_numbers_of_the_wrong_form_are_a_hard_error(rig: Rig, country: str, number: str) -> None:
    """A leading country code is not stripped; the text for a new record names only the accepted forms."""
    code, message = await refused(rig, {"country": country, "taxRegistrationNumber": number})
    assert code == "Application_DialogException"
    assert message.startswith("The following formats are acceptable: ")


async def test_the_vat_error_of_an_existing_customer_names_it(rig: Rig) -> None:
    """Number and country stand in the text; changing the country checks the number again."""
    row = await rig.create(country="IT", taxRegistrationNumber="00743110157")
    answer = await rig.patch(f"{CUSTOMERS}({row['id']})", "*", taxRegistrationNumber="123")
    assert f"for Customer {row['number']} is not in agreement" in error_of(answer, 400)[1]
    answer = await rig.patch(f"{CUSTOMERS}({row['id']})", "*", country="DE")
    assert "Country/Region Code DE" in error_of(answer, 400)[1]


async def test_another_country_clears_the_old_address_parts(rig: Rig) -> None:
    """City, state and post code go when a country changes, unless they follow it in the body."""
    row = await rig.create(country="IT", city="Bolzano", state="BZ", postalCode="39100")
    row = await rig.change(row, country="AT", city="Innsbruck")
    assert (row["city"], row["state"], row["postalCode"]) == ("Innsbruck", "", "")


async def test_fields_can_be_checked_in_the_order_of_the_page_instead(make: MakeRig) -> None:
    """Which order the service uses is not known: a client must survive both."""
    rig = make(field_order="page")
    row = await rig.create(country="IT", city="Bolzano", postalCode="39100")
    row = await rig.change(row, country="AT", city="Innsbruck", postalCode="6020")
    assert (row["city"], row["postalCode"]) == ("", "6020")


async def test_a_known_post_code_fills_in_the_rest(make: MakeRig) -> None:
    """BC may overwrite what was sent: the post code table wins over the body's earlier values."""
    codes = (PostCode("39100", "Bolzano", "BZ", "IT"),)
    rig = make(companies=(Company(COMPANY, "ALPENHOLZ", post_codes=codes),))
    row = await rig.create(city="Bozen", postalCode="39100")
    assert (row["city"], row["state"], row["country"]) == ("Bolzano", "BZ", "IT")


async def test_numbers_come_from_the_series_and_skip_what_is_taken(rig: Rig) -> None:
    """A number given by hand does not disturb the series."""
    await rig.create(number="K00011")
    assert [(await rig.create())["number"] for _ in range(2)] == ["K00010", "K00012"]


async def test_a_series_without_manual_numbers_refuses_ours(make: MakeRig) -> None:
    """Neither a new record nor a rename may bring its own number."""
    rig = make(manual_numbers=False)
    code, message = await refused(rig, {"number": "CRM-1"})
    assert code == "Application_DialogException"
    assert message.startswith("You may not enter numbers manually.")
    row = await rig.create()
    answer = await rig.patch(f"{CUSTOMERS}({row['id']})", row["@odata.etag"], number="CRM-1")
    assert error_of(answer, 400)[0] == "Application_DialogException"
    assert (await rig.change(row, number=row["number"], city="Merano"))["city"] == "Merano"


async def test_a_number_can_only_be_used_once(rig: Rig) -> None:
    """The second POST with the same number is refused: that is what makes a repeated create harmless."""
    await rig.create(number="CRM-1")
    code, message = await refused(rig, {"number": "crm-1"})
    assert code == "Internal_EntityWithSameKeyExists"
    assert "No.='CRM-1'" in message
    assert len(await rig.values(CUSTOMERS)) == 1


async def test_changing_the_number_renames_the_customer(rig: Rig) -> None:
    """The identifier stays, the number moves; a taken or blank number is refused."""
    row = await rig.create(number="CRM-1")
    await rig.create(number="CRM-2")
    renamed = await rig.change(row, number="crm-9")
    assert (renamed["id"], renamed["number"]) == (row["id"], "CRM-9")
    answer = await rig.patch(f"{CUSTOMERS}({row['id']})", "*", number="CRM-2")
    assert error_of(answer, 400)[0] == "Internal_EntityWithSameKeyExists"
    assert error_of(await rig.patch(f"{CUSTOMERS}({row['id']})", "*", number=""), 400)[0].startswith("Application")


async def test_the_template_fills_what_was_not_sent(make: MakeRig) -> None:
    """Payment terms, tax area and currency come from the template, but a sent value stays, even a blank one."""
    rig = make(template={"paymentTermsId": "30T", "taxAreaId": "DOMESTIC", "currencyCode": "CHF", "city": "Bolzano"})
    row = await rig.create(city="Merano")
    assert row["paymentTermsId"] == await rig.id_of("paymentTerms", "30T")
    assert (row["taxAreaDisplayName"], row["currencyCode"], row["city"]) == ("Domestic customers", "CHF", "Merano")
    assert (await rig.create(paymentTermsId=ZERO))["paymentTermsId"] == ZERO


async def test_a_patch_needs_the_current_etag(rig: Rig) -> None:
    """Missing and malformed tokens are 400, a stale one is 409 and not 412, `*` always fits."""
    row = await rig.create()
    url = f"{CUSTOMERS}({row['id']})"
    for etag in (None, "nonsense", 'W/"nonsense"', '"JzE5OzE7MDA7Jw=="'):
        assert error_of(await rig.patch(url, etag, city="Merano"), 400)[0] == "BadRequest_InvalidToken"
    changed = await rig.change(row, city="Merano")
    assert changed["@odata.etag"] != row["@odata.etag"]
    code, message = error_of(await rig.patch(url, row["@odata.etag"], city="Lana"), 409)
    assert code == "Request_EntityChanged"
    assert message.startswith("Another user has already changed the record.")
    assert (await rig.patch(url, "*", city="Lana")).status_code == 200
    assert (await rig.get(url))["city"] == "Lana"


async def test_a_deletion_checks_the_etag_only_if_there_is_one(rig: Rig) -> None:
    """204 without a body; afterwards the record is a 404 for every method."""
    row = await rig.create()
    url = f"{CUSTOMERS}({row['id']})"
    changed = await rig.change(row, city="Merano")
    assert error_of(await rig.http.delete(url, headers={"If-Match": row["@odata.etag"]}), 409)
    assert (await rig.http.delete(url, headers={"If-Match": changed["@odata.etag"]})).status_code == 204
    for answer in (await rig.http.get(url), await rig.patch(url, "*", city="x"), await rig.http.delete(url)):
        assert error_of(answer, 404)[0] == "BadRequest_ResourceNotFound"
    assert (await rig.http.delete(f"{CUSTOMERS}({(await rig.create())['id']})")).status_code == 204


async def test_a_customer_with_entries_owes_money_and_cannot_be_deleted(rig: Rig) -> None:
    """The balance is calculated from what is overdue; the application protects what has been posted."""
    row = await rig.create()
    await rig.sandbox.book(COMPANY, row["id"], Decimal("3036.60"), date(2026, 3, 4))
    await rig.sandbox.book(COMPANY, row["id"], Decimal(1000), date(2026, 4, 1))
    read = await rig.get(f"{CUSTOMERS}({row['id']})")
    assert (read["balanceDue"], read["@odata.etag"]) == (3036.6, row["@odata.etag"])
    answer = await rig.http.delete(f"{CUSTOMERS}({row['id']})")
    assert error_of(answer, 400)[0] == "Application_DialogException"


async def test_blocking_is_an_ordinary_value(rig: Rig) -> None:
    """Blocked and unblocked again, with the escaped blank."""
    row = await rig.change(await rig.create(), blocked="All")
    assert row["blocked"] == "All"
    assert (await rig.change(row, blocked="_x0020_"))["blocked"] == "_x0020_"


async def test_an_answer_without_content_can_be_asked_for(rig: Rig) -> None:
    """`Prefer: return-no-content` turns the 201 into a 204 that still says where the record is."""
    answer = await rig.http.post(CUSTOMERS, json={"displayName": "X"}, headers={"Prefer": "return-no-content"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await rig.http.get(answer.headers["location"])).status_code == 200


async def test_times_lose_their_trailing_zeros(rig: Rig) -> None:
    """A whole second has no fraction at all, so times must be parsed and not compared as text."""
    await rig.clock.advance(0.63)
    assert (await rig.create())["lastModifiedDateTime"] == "2026-03-05T19:19:23Z"
    await rig.clock.advance(0.007)
    assert (await rig.create())["lastModifiedDateTime"] == "2026-03-05T19:19:23.007Z"


async def test_people_in_the_application_follow_the_same_rules(rig: Rig) -> None:
    """The Python doors change etags, and refuse what the interface refuses."""
    row = await rig.sandbox.create(COMPANY, "customers", {"displayName": "Eisen Huber GmbH"})
    edited = await rig.sandbox.edit(COMPANY, "customers", row["id"], {"city": "Innsbruck"})
    assert rig.sandbox.rows(COMPANY, "customers")[row["id"]] == edited
    assert edited["@odata.etag"] != row["@odata.etag"]
    with pytest.raises(ApiError):
        await rig.sandbox.edit(COMPANY, "customers", row["id"], {"country": "XX"})
    await rig.sandbox.delete(COMPANY, "customers", row["id"])
    assert rig.sandbox.rows(COMPANY, "customers") == {}


async def test_the_small_tables_can_be_kept_through_the_interface(rig: Rig) -> None:
    """A payment term is created, changed and deleted; its code is mandatory and unique."""
    url = f"{COMPANY_URL}/paymentTerms"
    made = await rig.http.post(url, json={"code": "90t", "displayName": "90 days", "dueDateCalculation": "90D"})
    assert (made.status_code, made.json()["code"]) == (201, "90T")
    assert error_of(await rig.http.post(url, json={"code": "90T"}), 400)[0] == "Internal_EntityWithSameKeyExists"
    assert error_of(await rig.http.post(url, json={"displayName": "x"}), 400)[0].startswith("Application_Field")
    row = made.json()
    changed = await rig.patch(f"{url}({row['id']})", row["@odata.etag"], displayName="Ninety days")
    assert changed.json()["displayName"] == "Ninety days"
    assert (await rig.http.delete(f"{url}({row['id']})")).status_code == 204


async def test_the_company_tells_its_local_currency(rig: Rig) -> None:
    """companyInformation is one row, read-only here."""
    rows = await rig.values(f"{COMPANY_URL}/companyInformation")
    assert [(row["currencyCode"], row["country"]) for row in rows] == [("EUR", "IT")]
