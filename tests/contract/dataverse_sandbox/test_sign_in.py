"""Who may ask: bearer tokens, application users, and the first requests of a client."""

from __future__ import annotations

import httpx
import pytest

from sandbox.transport import SandboxTransport
from tests.contract.dataverse_sandbox.conftest import BASE_URL, CLIENT_ID, ORGANIZATION_ID, ROOT, Organisation, code_of


async def test_who_am_i_names_the_application_user(org: Organisation) -> None:
    """The user of a token is the systemuser row whose applicationid is the token's application."""
    body = (await org.client.get("/WhoAmI")).json()
    assert body["OrganizationId"] == ORGANIZATION_ID
    assert org.sandbox.rows("systemuser")[body["UserId"]]["applicationid"] == CLIENT_ID


async def test_a_request_without_a_token_is_challenged(org: Organisation) -> None:
    """401 tells where tokens come from."""
    async with httpx.AsyncClient(transport=SandboxTransport(org.sandbox.app), base_url=ROOT) as nobody:
        answer = await nobody.get("/WhoAmI")
    assert answer.status_code == 401
    assert f"resource_id={BASE_URL}/" in answer.headers["WWW-Authenticate"]


async def test_a_token_for_another_system_is_refused(org: Organisation) -> None:
    """The audience must be the organisation's own address."""
    client = org.new_client(org.issuer.issue(CLIENT_ID, "https://other.example"))
    answer = await client.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (401, "0x80041d50")


async def test_a_forged_token_is_refused(org: Organisation) -> None:
    """The signature counts."""
    token = org.issuer.issue(CLIENT_ID, BASE_URL)
    answer = await org.new_client(token[:-4] + "AAAA").get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (401, "0x80041d50")


async def test_a_token_expires_on_the_sandbox_clock(org: Organisation) -> None:
    """A token lives 3599 seconds, then every request is 401 until a new one is fetched."""
    client = org.new_client(org.issuer.issue(CLIENT_ID, BASE_URL))
    assert (await client.get("/WhoAmI")).status_code == 200
    await org.clock.advance(3599)
    answer = await client.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (401, "0x80041d52")


async def test_an_application_without_a_user_is_no_member(org: Organisation) -> None:
    """A valid token is not enough: the organisation must know the application."""
    stranger = "11111111-2222-4333-8444-555555555555"
    client = org.new_client(org.issuer.issue(stranger, BASE_URL))
    answer = await client.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (403, "0x80072560")
    org.sandbox.add_application_user(stranger)
    assert (await client.get("/WhoAmI")).status_code == 200


async def test_the_token_endpoint_speaks_as_entra_does(org: Organisation) -> None:
    """Client credentials give a token that works; a wrong secret gives Entra's error with its number."""
    org.issuer.register(CLIENT_ID, "right")
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "scope": f"{BASE_URL}/.default"}
    url = f"https://login.example/{org.issuer.tenant_id}/oauth2/v2.0/token"
    async with httpx.AsyncClient(transport=SandboxTransport(org.issuer.app)) as client:
        good = await client.post(url, data={**form, "client_secret": "right"})
        bad = await client.post(url, data={**form, "client_secret": "wrong"})
    assert good.json()["expires_in"] == 3599
    assert (await org.new_client(good.json()["access_token"]).get("/WhoAmI")).status_code == 200
    assert (bad.status_code, bad.json()["error"], bad.json()["error_codes"]) == (401, "invalid_client", [7000215])


async def test_every_answer_carries_the_support_headers(org: Organisation) -> None:
    """Request ids, the recommended parallelism and what is left of the limits come with every answer."""
    answer = await org.client.get("/WhoAmI")
    assert answer.headers["OData-Version"] == "4.0"
    assert answer.headers["x-ms-dop-hint"] == "4"
    assert answer.headers["x-ms-service-request-id"] == answer.headers["REQ_ID"]
    assert answer.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "5999"


async def test_an_unforeseen_request_is_501_and_logged(org: Organisation) -> None:
    """What nobody imitated is never answered as if it worked."""
    for method, path in [
        ("POST", "/$batch?tag=x"),
        ("GET", "/$metadata"),
        ("POST", "/accounts/Microsoft.Dynamics.CRM.Merge"),
        ("GET", "/accounts?$expand=primarycontactid"),
        ("GET", f"/organizations({ORGANIZATION_ID})?$expand=createdby"),
        ("PATCH", f"/organizations({ORGANIZATION_ID})"),
        ("GET", "/accounts?sql=SELECT%20TOP%201%20name%20FROM%20account"),
        ("GET", "/leads?$select=subject"),
        ("GET", "/RetrieveTotalRecordCount(EntityNames=['account'])"),
        ("PUT", f"/accounts({ORGANIZATION_ID})/name"),
        ("GET", "/accounts?$apply=aggregate($count as c)"),
        ("GET", "/accounts?$filter=length(name) gt 3"),
    ]:
        assert (await org.client.request(method, path, json=None if method == "GET" else {})).status_code == 501
    assert len(org.sandbox.requests.unforeseen()) == 12
    impersonated = await org.client.get("/accounts", headers={"MSCRMCallerID": org.sandbox.person_id})
    assert impersonated.status_code == 501


async def test_the_unforeseen_request_is_a_warning_without_values(
    org: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names method and address, never what was asked for."""
    with caplog.at_level("WARNING", logger="sandbox"):
        await org.client.get("/accounts?$expand=primarycontactid&$filter=name eq 'Rossi'")
    assert "unforeseen request GET /api/data/v9.2/accounts" in caplog.text
    assert "Rossi" not in caplog.text
