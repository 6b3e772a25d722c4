"""The platform's sign-in in front of the functions: a browser signs in, and the functions are told who it is."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import azure.functions as func
import httpx
import pytest

from local.host import FunctionsHost, PlatformSignIn
from sandbox.tokens import TokenIssuer
from sandbox.transport import HostRouter
from tests.contract.functions_host.fakes import HandClock, MemoryBus, make_host

APP = "http://app.example"
SIGN_IN = "https://login.example"
CLIENT = "0a4d2f7e-6a01-4f43-8d0b-3a2f1f0c9b11"
SCOPE = f"openid profile offline_access api://{CLIENT}/user_impersonation"
ANNA = "11111111-aaaa-4aaa-8aaa-111111111111"
BERT = "22222222-bbbb-4bbb-8bbb-222222222222"


def app_that_tells() -> func.FunctionApp:
    """An app whose only function answers the platform's headers."""
    app = func.FunctionApp()

    @app.route(route="told", auth_level=func.AuthLevel.ANONYMOUS)
    async def told(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(json.dumps({k: v for k, v in req.headers.items() if k.startswith("x-ms-")}))

    return app


@dataclass
class Site:
    """The app with its sign-in, and somebody's browser."""

    host: FunctionsHost
    issuer: TokenIssuer
    clock: HandClock
    browser: httpx.AsyncClient

    async def told(self, **headers: str) -> dict[str, str]:
        """What the function is told about the caller."""
        answer = await self.browser.get(f"{APP}/api/told", headers=headers)
        assert answer.status_code == 200
        told: dict[str, str] = answer.json()
        return told

    async def login(self, back: str = "/api/told") -> httpx.Response:
        """Ask for a sign-in; the answer is the sign-in service's page, or what comes back by itself."""
        first = await self.browser.get(f"{APP}/.auth/login/aad", params={"post_login_redirect_uri": back})
        assert first.status_code == 302, first.text
        return await self.browser.get(first.headers["Location"])

    async def press(self, page: httpx.Response, user: str) -> httpx.Response:
        """Press somebody's button; the answer is the form that posts itself to the app."""
        return await self.browser.post(str(page.request.url), data={"user": user})

    async def come_back(self, form: httpx.Response, **changed: str) -> httpx.Response:
        """Do what the form's script does."""
        found = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form.text))
        fields = {name: html.unescape(value) for name, value in found.items()}
        action = re.search(r'action="([^"]+)"', form.text)
        assert action is not None, form.text
        return await self.browser.post(html.unescape(action[1]), data=fields | changed)

    async def sign_in(self, user: str, back: str = "/api/told") -> httpx.Response:
        """The whole way, with the press of a button."""
        return await self.come_back(await self.press(await self.login(back), user))


async def made(clock: HandClock, bus: MemoryBus, scope: str, *, reached: bool = True) -> tuple[Site, PlatformSignIn]:
    issuer = TokenIssuer(clock)
    issuer.register(CLIENT, "app secret")
    issuer.add_api(CLIENT, redirect_uris=(f"{APP}/.auth/login/aad/callback", f"{APP}/.auth/logout/done"))
    issuer.add_user(ANNA, "Anna Rossi", "anna@example.com")
    issuer.add_user(BERT, "Bert Meier", "bert@example.com")
    transport = HostRouter({"login.example": issuer.app} if reached else {})
    sign_in = PlatformSignIn(
        authority=f"{SIGN_IN}/{issuer.tenant_id}",
        client_id=CLIENT,
        client_secret="app secret",
        scope=scope,
        clock=clock,
        transport=transport,
    )
    host = make_host(app_that_tells(), clock, bus, sign_in=sign_in)
    browser = httpx.AsyncClient(transport=HostRouter({"app.example": host.asgi, "login.example": issuer.app}))
    return Site(host, issuer, clock, browser), sign_in


@pytest.fixture
async def site(clock: HandClock, bus: MemoryBus) -> AsyncIterator[Site]:
    """The app, asking for a token to its own API."""
    site, sign_in = await made(clock, bus, SCOPE)
    yield site
    await site.browser.aclose()
    await sign_in.aclose()


def principal(told: dict[str, str]) -> dict[str, Any]:
    """The decoded principal."""
    decoded: dict[str, Any] = json.loads(base64.b64decode(told["x-ms-client-principal"]))
    return decoded


async def test_a_browser_signs_in_and_the_functions_are_told(site: Site) -> None:
    """Who it is by id, name and claims, and with an access token to the app's own API."""
    assert await site.told() == {}
    back = await site.sign_in(ANNA)
    assert (back.status_code, back.headers["Location"]) == (302, "/api/told")
    told = await site.told()
    assert (told["x-ms-client-principal-id"], told["x-ms-client-principal-idp"]) == (ANNA, "aad")
    assert told["x-ms-client-principal-name"] == "anna@example.com"
    claims = site.issuer.verify(told["x-ms-token-aad-access-token"], CLIENT)
    assert (claims.object_id, claims.scopes) == (ANNA, ("user_impersonation",))
    told_claims = {claim["typ"]: claim["val"] for claim in principal(told)["claims"]}
    assert told_claims["http://schemas.microsoft.com/identity/claims/objectidentifier"] == ANNA
    assert principal(told)["auth_typ"] == "aad"


async def test_nobody_sets_the_platforms_headers_from_outside(site: Site) -> None:
    """Neither without a session nor beside one."""
    forged = {"X-MS-CLIENT-PRINCIPAL-ID": BERT, "x-ms-token-aad-access-token": "forged", "X-Ms-Client-Principal": "x"}
    assert await site.told(**forged) == {}
    await site.sign_in(ANNA)
    told = await site.told(**forged)
    assert told["x-ms-client-principal-id"] == ANNA
    assert "forged" not in told["x-ms-token-aad-access-token"]


async def test_without_the_sign_in_headers_pass_as_they_come(clock: HandClock, bus: MemoryBus) -> None:
    """As in Azure, where it is off: an app must not trust them."""
    host = make_host(app_that_tells(), clock, bus)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host.asgi), base_url=APP) as caller:
        answer = await caller.get("/api/told", headers={"X-MS-CLIENT-PRINCIPAL-ID": BERT})
        assert answer.json() == {"x-ms-client-principal-id": BERT}
        assert (await caller.get("/.auth/login/aad")).status_code == 404


async def test_the_next_sign_in_needs_no_button(site: Site) -> None:
    """The service remembers the browser; a session that ran out after eight hours is renewed without a page."""
    await site.sign_in(ANNA)
    await site.clock.advance(8 * 3600)
    assert await site.told() == {}
    await site.come_back(await site.login())
    assert (await site.told())["x-ms-client-principal-id"] == ANNA


async def test_signing_out_ends_both_sessions(site: Site) -> None:
    """Here and at the service, and leads to where the app wants."""
    await site.sign_in(ANNA)
    first = await site.browser.get(f"{APP}/.auth/logout?post_logout_redirect_uri=/api/told?x=1")
    second = await site.browser.get(first.headers["Location"])
    assert second.headers["Location"] == f"{APP}/.auth/logout/done"
    third = await site.browser.get(second.headers["Location"])
    assert (third.status_code, third.headers["Location"]) == (302, "/api/told?x=1")
    assert await site.told() == {}
    assert "Pick an account" in (await site.login()).text
    await site.sign_in(BERT)
    assert (await site.told())["x-ms-client-principal-id"] == BERT


async def test_a_redirect_leads_to_the_app_only(site: Site) -> None:
    """An address of somebody else is refused, however it is written."""
    for address in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        for way in ("login/aad?post_login", "logout?post_logout"):
            answer = await site.browser.get(f"{APP}/.auth/{way}_redirect_uri={quote(address, safe='')}")
            assert answer.status_code == 400, address
    own = await site.browser.get(f"{APP}/.auth/login/aad", params={"post_login_redirect_uri": f"{APP}/api/told?a=b"})
    assert own.status_code == 302
    assert (await site.sign_in(ANNA, f"{APP}/api/told?a=b")).headers["Location"] == f"{APP}/api/told?a=b"


async def test_an_answer_for_another_browser_is_refused(site: Site) -> None:
    """The nonce ties the answer to the browser that asked."""
    form = await site.press(await site.login(), ANNA)
    site.browser.cookies.delete("Nonce", domain="app.example", path="/.auth")
    assert (await site.come_back(form)).status_code == 401
    again = await site.press(await site.login(), ANNA)
    assert (await site.come_back(again, code="1.Ainvented")).status_code == 401
    site.browser.cookies.set("Nonce", "another", domain="app.example", path="/.auth")
    assert (await site.come_back(form)).status_code == 401
    assert await site.told() == {}


async def test_an_expired_token_is_handed_on_until_it_is_refreshed(site: Site) -> None:
    """The session lives longer than the token; refreshing needs a session and a refresh token."""
    assert (await site.browser.get(f"{APP}/.auth/refresh")).status_code == 401
    await site.sign_in(ANNA)
    old = await site.told()
    await site.clock.advance(3600)
    assert (await site.told())["x-ms-token-aad-access-token"] == old["x-ms-token-aad-access-token"]
    assert (await site.browser.get(f"{APP}/.auth/refresh")).status_code == 200
    new = await site.told()
    assert site.issuer.verify(new["x-ms-token-aad-access-token"], CLIENT).object_id == ANNA
    assert new["x-ms-token-aad-expires-on"] > old["x-ms-token-aad-expires-on"]


async def test_a_bare_sign_in_brings_a_token_that_is_not_ours(clock: HandClock, bus: MemoryBus) -> None:
    """Without the API's scope the access token is for Microsoft Graph, and there is nothing to refresh."""
    site, sign_in = await made(clock, bus, "openid profile")
    await site.sign_in(ANNA)
    token = (await site.told())["x-ms-token-aad-access-token"]
    assert site.issuer.verify(token, "00000003-0000-0000-c000-000000000000").object_id == ANNA
    assert (await site.browser.get(f"{APP}/.auth/refresh")).status_code == 403
    await site.browser.aclose()
    await sign_in.aclose()


async def test_a_code_that_the_service_refuses_ends_the_sign_in(site: Site) -> None:
    """It is too old by the time the form comes back."""
    form = await site.press(await site.login(), ANNA)
    await site.clock.advance(601)
    assert (await site.come_back(form)).status_code == 401
    assert await site.told() == {}


async def test_a_service_that_is_down_ends_the_sign_in(clock: HandClock, bus: MemoryBus) -> None:
    """The host cannot reach it for the tokens; the browser is told, the host goes on."""
    site, sign_in = await made(clock, bus, SCOPE, reached=False)
    assert (await site.sign_in(ANNA)).status_code == 401
    assert await site.told() == {}
    assert (await site.browser.get(f"{APP}/.auth/nothing")).status_code == 404
    await site.browser.aclose()
    await sign_in.aclose()
