"""Addresses, sign-in, the shape of answers and errors, metadata."""

from __future__ import annotations

import logging
from xml.etree import ElementTree

import httpx
import pytest

from sandbox.business_central import AUDIENCE, Company
from sandbox.tokens import TENANT_ID
from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import (
    BASE_URL,
    COMPANY,
    COMPANY_URL,
    CUSTOMERS,
    OTHER_COMPANY,
    ROOT,
    Rig,
    error_of,
)


async def test_a_request_without_an_acceptable_token_is_refused_with_401(rig: Rig) -> None:
    """No token, a token for another audience and an expired one all end in the same JSON refusal."""
    expired = rig.issuer.issue("connector", AUDIENCE, life_seconds=-1)
    foreign = rig.issuer.issue("connector", "https://elsewhere.example")
    for header in (None, "Basic x", f"Bearer {expired}", f"Bearer {foreign}", "Bearer forged"):
        rig.http.headers.pop("Authorization", None)
        answer = await rig.http.get(f"{ROOT}/companies", headers={"Authorization": header} if header else {})
        code, message = error_of(answer, 401)
        assert code == "Authentication_InvalidCredentials"
        assert message.endswith(f"  CorrelationId:  {answer.headers['request-id']}.")


async def test_an_application_without_a_card_in_the_environment_is_refused(make: MakeRig) -> None:
    """A valid token is not enough: the application must be known to the environment."""
    rig = make(applications=frozenset({"connector"}))
    assert (await rig.http.get(f"{ROOT}/companies")).status_code == 200
    assert (await rig.client("stranger").get(f"{ROOT}/companies")).status_code == 401


async def test_a_wrong_environment_is_answered_in_xml(rig: Rig) -> None:
    """Whoever parses errors as JSON only breaks here."""
    answer = await rig.http.get(f"{BASE_URL}/v2.0/{TENANT_ID}/Nowhere/api/v2.0/companies")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/xml")
    assert ElementTree.fromstring(answer.text)[0].text == "NoEnvironment"  # noqa: S314 # our own sandbox's text


async def test_the_tenant_may_be_left_out_but_not_be_another_one(rig: Rig) -> None:
    """The address without the tenant works, one with a foreign tenant is refused."""
    assert (await rig.http.get(f"{BASE_URL}/v2.0/Production/api/v2.0/companies")).status_code == 200
    assert (await rig.http.get(f"{BASE_URL}/v2.0/other.example/Production/api/v2.0/companies")).status_code == 401


async def test_environments_and_companies_can_be_listed(rig: Rig) -> None:
    """The list of environments names ours; companies have id, name and a display name that may be blank."""
    environments = (await rig.get(f"{BASE_URL}/environments/v1.2"))["value"]
    assert [(one["name"], one["aadTenantId"]) for one in environments] == [("Production", TENANT_ID)]
    companies = await rig.values(f"{ROOT}/companies")
    assert [one["name"] for one in companies] == ["ALPENHOLZ", "ALPENHOLZ DE"]
    assert companies[0]["displayName"] == ""
    assert (await rig.get(f"{ROOT}/companies({COMPANY})"))["id"] == COMPANY


async def test_an_environment_without_companies_has_nothing_to_offer(make: MakeRig) -> None:
    """Zero companies: an empty list, and no default company to fall back on."""
    rig = make(companies=())
    assert await rig.values(f"{ROOT}/companies") == []
    assert error_of(await rig.http.get(f"{ROOT}/customers"), 404)[0] == "Internal_CompanyNotFound"


async def test_the_company_can_be_named_in_the_query_and_is_some_company_without(rig: Rig) -> None:
    """`?company=` takes a name or an id; without it the service takes a default company."""
    await rig.sandbox.create(OTHER_COMPANY, "customers", {"displayName": "Eisen Huber GmbH"})
    for wanted in ("ALPENHOLZ DE", OTHER_COMPANY):
        rows = await rig.values(f"{ROOT}/customers?company={wanted}")
        assert [row["displayName"] for row in rows] == ["Eisen Huber GmbH"]
    assert await rig.values(f"{ROOT}/customers") == []
    assert error_of(await rig.http.get(f"{ROOT}/customers?company=Nobody"), 404)[0] == "Internal_CompanyNotFound"
    missing = f"{ROOT}/companies(11111111-0000-0000-0000-000000000000)/customers"
    assert error_of(await rig.http.get(missing), 404)[0] == "Internal_CompanyNotFound"


async def test_unknown_segments_are_404_and_known_but_not_imitated_ones_501(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """A typing error is the service's 404; what the service has and the sandbox has not is 501 and in the log."""
    code, message = error_of(await rig.http.get(f"{COMPANY_URL}/custommers"), 404)
    assert code == "BadRequest_ResourceNotFound"
    assert message.startswith("Resource not found for the segment 'custommers'.")
    assert rig.sandbox.requests.unforeseen() == []
    with caplog.at_level(logging.WARNING, logger="sandbox"):
        answers = [
            await rig.http.get(f"{COMPANY_URL}/salesOrders"),
            await rig.http.get(f"{CUSTOMERS}?$apply=aggregate(x)"),
            await rig.http.post(f"{CUSTOMERS}(5d115c9c-44e3-ea11-bb43-000d3a2feca2)/Microsoft.NAV.block"),
            await rig.http.get(f"{BASE_URL}/v2.0/somewhere"),
        ]
    assert [answer.status_code for answer in answers] == [501, 501, 404, 501]
    assert len(rig.sandbox.requests.unforeseen()) == 3
    assert len(caplog.records) == 3
    assert "salesOrders" in caplog.text


async def test_a_custom_api_that_is_not_installed_is_absent(rig: Rig) -> None:
    """The connector discovers our extension by its metadata: 404 means it is not there."""
    answer = await rig.http.get(f"{BASE_URL}/v2.0/{TENANT_ID}/Production/api/crmlink/sync/v1.0/$metadata")
    assert answer.status_code == 404
    assert rig.sandbox.requests.unforeseen() == []


async def test_errors_follow_the_language_asked_for(rig: Rig) -> None:
    """The same refusal in English and German; the code stays the same."""
    english = await rig.http.post(CUSTOMERS, json={})
    german = await rig.http.post(CUSTOMERS, json={}, headers={"Accept-Language": "de-AT,en;q=0.5"})
    assert error_of(english, 400)[0] == error_of(german, 400)[0] == "Application_DialogException"
    assert error_of(english, 400)[1].startswith('A "displayName" must be provided.')
    assert error_of(german, 400)[1].startswith('Ein Wert für "displayName"')


async def test_success_and_error_carry_their_headers(rig: Rig) -> None:
    """OData-Version on success, not on errors and deletions; no ETag header anywhere; request-id everywhere."""
    row = await rig.create()
    read = await rig.http.get(f"{CUSTOMERS}({row['id']})")
    refused = await rig.http.post(CUSTOMERS, json={})
    deleted = await rig.http.delete(f"{CUSTOMERS}({row['id']})")
    assert read.headers["odata-version"] == "4.0"
    assert read.headers["content-type"] == "application/json; odata.metadata=minimal; odata.streaming=true"
    assert "odata-version" not in refused.headers
    assert "odata-version" not in deleted.headers
    for answer in (read, refused, deleted):
        assert "etag" not in answer.headers
        assert "request-id" in answer.headers


async def test_metadata_describes_lengths_and_enum_members(rig: Rig) -> None:
    """The document is well-formed and holds what a definition is checked against."""
    answer = await rig.http.get(f"{ROOT}/$metadata")
    assert answer.headers["content-type"].startswith("application/xml")
    schema = ElementTree.fromstring(answer.text)[0][0]  # noqa: S314 # our own sandbox's text
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    customer = next(one for one in schema.iter(f"{edm}EntityType") if one.get("Name") == "customer")
    properties = {one.get("Name"): one for one in customer.iter(f"{edm}Property")}
    assert properties["displayName"].get("MaxLength") == "100"
    assert properties["blocked"].get("Type") == "Microsoft.NAV.customerBlocked"
    blocked = next(one for one in schema.iter(f"{edm}EnumType") if one.get("Name") == "customerBlocked")
    assert [one.get("Name") for one in blocked] == ["_x0020_", "Ship", "Invoice", "All"]
    sets = {one.get("Name") for one in schema.iter(f"{edm}EntitySet")}
    assert {"customers", "contacts", "paymentTerms", "subscriptions"} <= sets


async def test_methods_a_resource_does_not_offer_are_405(rig: Rig) -> None:
    """No POST on customerContacts and taxAreas, no PATCH on a whole set."""
    for method, url in (
        ("POST", f"{COMPANY_URL}/customerContacts"),
        ("POST", f"{COMPANY_URL}/taxAreas"),
        ("PATCH", CUSTOMERS),
        ("PUT", CUSTOMERS),
        ("DELETE", f"{ROOT}/companies"),
    ):
        answer = await rig.http.request(method, url, json={})
        assert error_of(answer, 405)[0] == "BadRequest_MethodNotAllowed"


async def test_bodies_that_are_no_json_objects_are_refused(rig: Rig) -> None:
    """Malformed JSON and lists are 400, another content type is 415."""
    headers = {"Content-Type": "application/json"}
    for raw in ("{", "[]", '"text"'):
        assert error_of(await rig.http.post(CUSTOMERS, content=raw, headers=headers), 400)[0] == "BadRequest"
    assert (await rig.http.post(CUSTOMERS, content="x=1")).status_code == 415


async def test_what_can_be_subscribed_to_is_listed(rig: Rig) -> None:
    """The runtime API lists the supported resources; contacts are not among them."""
    url = f"{BASE_URL}/v2.0/{TENANT_ID}/Production/api/microsoft/runtime/beta/companies({COMPANY})"
    rows = await rig.values(f"{url}/webhookSupportedResources?$filter=resource eq 'v2.0*'")
    resources = [row["resource"] for row in rows]
    assert "v2.0/customers" in resources
    assert "v2.0/contacts" not in resources
    assert await rig.values(f"{url}/webhookSupportedResources?$filter=resource eq 'v1.0*'") == []


async def test_two_companies_keep_their_data_apart(make: MakeRig) -> None:
    """The same number may be taken once per company."""
    rig = make(companies=(Company(COMPANY, "ONE"), Company(OTHER_COMPANY, "TWO")))
    await rig.create(number="K1")
    other: httpx.Response = await rig.http.post(
        f"{ROOT}/companies({OTHER_COMPANY})/customers", json={"displayName": "Legnami Blu", "number": "K1"}
    )
    assert other.status_code == 201
