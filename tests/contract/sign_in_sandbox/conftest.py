"""A directory with two people, an API of ours, a web application in front of it, and an organisation behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest

from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport
from tests.contract.dataverse_sandbox.conftest import ManualClock

API = "0a4d2f7e-6a01-4f43-8d0b-3a2f1f0c9b11"
WEB = "5b8c1d90-77f2-4c0e-9e55-1d2a3b4c5d22"
SECRETS = {API: "api secret", WEB: "web secret"}
ANNA = "11111111-aaaa-4aaa-8aaa-111111111111"
BERT = "22222222-bbbb-4bbb-8bbb-222222222222"
CRM = "https://crm.example"
BACK = "https://web.example/callback"
SIGN_IN = "https://login.example"


@dataclass
class Place:
    """The sign-in service, and a browser that follows no redirect."""

    issuer: TokenIssuer
    clock: ManualClock
    browser: httpx.AsyncClient

    @property
    def root(self) -> str:
        return f"{SIGN_IN}/{self.issuer.tenant_id}"

    async def tokens(self, client: str = WEB, secret: str = SECRETS[WEB], **form: str) -> httpx.Response:
        """What the token endpoint answers an application."""
        form = {"client_id": client, "client_secret": secret, **form}
        return await self.browser.post(f"{self.root}/oauth2/v2.0/token", data=form)

    async def on_behalf_of(self, assertion: str, scope: str = f"{CRM}/.default") -> httpx.Response:
        """What our API gets for a token that somebody showed it."""
        return await self.tokens(
            API,
            SECRETS[API],
            grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer",
            assertion=assertion,
            scope=scope,
            requested_token_use="on_behalf_of",
        )

    async def authorize(self, **wish: str) -> httpx.Response:
        """What the browser is answered that an application sent here."""
        usual = {"client_id": WEB, "response_type": "code", "redirect_uri": BACK, "scope": f"openid api://{API}/read"}
        return await self.browser.get(f"{self.root}/oauth2/v2.0/authorize", params={**usual, **wish})

    async def press(self, page: httpx.Response, user: str) -> httpx.Response:
        """Press somebody's button on the page."""
        return await self.browser.post(str(page.request.url), data={"user": user})

    async def code_of(self, user: str, **wish: str) -> str:
        """Sign somebody in and return the code that the application gets."""
        return told(await self.press(await self.authorize(**{"prompt": "select_account", **wish}), user))["code"]

    async def redeem(self, code: str, **form: str) -> httpx.Response:
        """Exchange a code."""
        return await self.tokens(grant_type="authorization_code", code=code, **{"redirect_uri": BACK, **form})

    async def claims(self, token: str, audience: str) -> dict[str, Any]:
        """Read a token as any application does: by the published keys, with signature, audience and times."""
        keys = jwt.PyJWKSet.from_dict((await self.browser.get(f"{self.root}/discovery/v2.0/keys")).json())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=["RS256"], audience=audience, options={"verify_exp": False, "verify_iat": False}
        )
        return claims


def told(answer: httpx.Response) -> dict[str, str]:
    """What a redirect tells the application."""
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def number_of(answer: httpx.Response) -> int:
    """The AADSTS number of a refusal."""
    return int(answer.json()["error_codes"][0])


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """The directory of the tests; the web application may use our API, our API the organisation."""
    clock = ManualClock()
    issuer = TokenIssuer(clock)
    issuer.register(API, SECRETS[API])
    issuer.register(WEB, SECRETS[WEB])
    issuer.add_api(API, ("read", "write"))
    issuer.add_api(WEB, redirect_uris=(BACK,))
    issuer.add_user(ANNA, "Anna Rossi", "anna@example.com")
    issuer.add_user(BERT, "Bert <Meier>", "bert@example.com")
    issuer.consent(WEB, API)
    issuer.consent(API, CRM)
    async with httpx.AsyncClient(transport=SandboxTransport(issuer.app)) as browser:
        yield Place(issuer, clock, browser)
