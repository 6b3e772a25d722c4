"""Tokens are fetched early, once, and never shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Self

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

from sandbox.tokens import TENANT_ID, TokenIssuer
from sandbox.transport import SandboxTransport
from shared.errors import SettingsError
from shared.identity import AzureIdentityTokens, CredentialTokens, TokenEndpointTokens, TokenRefused, TokenServiceDown
from tests.unit.connectors.fakes import START, JumpingClock

SCOPE = "https://system.example/.default"
URL = f"https://login.example/{TENANT_ID}/oauth2/v2.0/token"
PASSWORD = "made-up"
Handler = Callable[[httpx.Request], httpx.Response]


def endpoint(
    clock: JumpingClock, transport: httpx.AsyncBaseTransport, password: str = PASSWORD, url: str = URL
) -> TokenEndpointTokens:
    return TokenEndpointTokens(url, "11111111-1111-4111-8111-111111111111", password, clock, transport=transport)


def sandbox(clock: JumpingClock) -> TokenIssuer:
    issuer = TokenIssuer(clock)
    issuer.register("11111111-1111-4111-8111-111111111111", PASSWORD)
    return issuer


async def test_a_token_is_fetched_once_for_many_and_renewed_before_it_expires() -> None:
    """Fifty callers cost one request; five minutes before the end the next one is fetched."""
    clock = JumpingClock()
    issuer = sandbox(clock)
    tokens = endpoint(clock, SandboxTransport(issuer.app))
    got = await asyncio.gather(*(tokens.token(SCOPE) for _ in range(50)))
    clock.elapsed = 3599 - 301
    early = await tokens.token(SCOPE)
    clock.elapsed = 3599 - 299
    late = await tokens.token(SCOPE)
    await tokens.aclose()
    assert len(set(got)) == 1
    assert (early == got[0], late == got[0], issuer.issued) == (True, False, 2)
    assert issuer.verify(late, "https://system.example").audience == "https://system.example"


async def test_a_refused_token_is_replaced_once_however_many_report_it() -> None:
    """All who hold the refused token get the same new one."""
    clock = JumpingClock()
    issuer = sandbox(clock)
    tokens = endpoint(clock, SandboxTransport(issuer.app))
    old = await tokens.token(SCOPE)
    new = await asyncio.gather(*(tokens.token(SCOPE, refused=old) for _ in range(50)))
    await tokens.aclose()
    assert (len(set(new)), issuer.issued) == (1, 2)
    assert old not in new


async def test_a_wrong_secret_is_refused_with_the_services_code_and_without_its_text() -> None:
    """The code tells the administrator what to do; the text would name the application."""
    clock = JumpingClock()
    tokens = endpoint(clock, SandboxTransport(sandbox(clock).app), password="wrong")
    with pytest.raises(TokenRefused) as refused:
        await tokens.token(SCOPE)
    await tokens.aclose()
    assert refused.value.code == "AADSTS7000215"
    assert "11111111" not in str(refused.value)


@pytest.mark.parametrize(
    "handler",
    [
        lambda _: httpx.Response(503),
        lambda _: httpx.Response(200, html="<html>sign in</html>"),
        lambda _: httpx.Response(200, json={"access_token": "", "expires_in": 3599}),
        lambda _: httpx.Response(200, json={"access_token": "t"}),
        lambda _: httpx.Response(200, json={"access_token": "t", "expires_in": -1}),
        lambda _: httpx.Response(200, json=["access_token"]),
        lambda _: httpx.Response(302, headers={"Location": "https://elsewhere.example"}),
        lambda request: (_ for _ in ()).throw(httpx.ConnectError("refused", request=request)),
    ],
)
async def test_an_endpoint_that_gives_no_token_is_down(handler: Handler) -> None:
    """Whatever is no token is no reason to call the credentials wrong."""
    tokens = endpoint(JumpingClock(), httpx.MockTransport(handler))
    with pytest.raises(TokenServiceDown):
        await tokens.token(SCOPE)
    await tokens.aclose()


async def test_a_failed_renewal_is_no_problem_while_the_old_token_is_good() -> None:
    """The sign-in service may be down for minutes without anybody noticing."""
    clock = JumpingClock()
    up = True

    def system(_: httpx.Request) -> httpx.Response:
        body = {"access_token": "first", "expires_in": "3600"}
        return httpx.Response(200, json=body) if up else httpx.Response(500)

    tokens = endpoint(clock, httpx.MockTransport(system))
    await tokens.token(SCOPE)
    up = False
    clock.elapsed = 3600 - 120
    assert await tokens.token(SCOPE) == "first"
    clock.elapsed = 3600 - 10
    with pytest.raises(TokenServiceDown):
        await tokens.token(SCOPE)
    await tokens.aclose()


@pytest.mark.parametrize("url", ["http://login.example/token", "ftp://127.0.0.1/token", "https://u:p@login.example"])
def test_a_secret_is_never_sent_in_the_clear(url: str) -> None:
    """Plain http is for this very machine."""
    with pytest.raises(SettingsError):
        endpoint(JumpingClock(), httpx.MockTransport(lambda _: httpx.Response(500)), url=url)


async def test_plain_http_is_allowed_on_this_machine() -> None:
    """The local run signs in at an imitation without a certificate."""
    clock = JumpingClock()
    issuer = sandbox(clock)
    url = f"http://127.0.0.1:8080/{TENANT_ID}/oauth2/v2.0/token"
    tokens = endpoint(clock, SandboxTransport(issuer.app), url=url)
    assert await tokens.token(SCOPE)
    await tokens.aclose()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, DefaultAzureCredential),
        ({"client_id": "c"}, ManagedIdentityCredential),
        ({"tenant_id": "t", "client_id": "c", "client_secret": "s"}, ClientSecretCredential),
    ],
)
async def test_the_settings_choose_the_credential(settings: dict[str, str], kind: type) -> None:
    """Managed identity by client id, an application by its secret, else the default chain."""
    tokens = AzureIdentityTokens(JumpingClock(), **settings)
    credential = tokens._new_credential()
    assert type(credential) is kind
    await credential.close()


def test_half_of_an_applications_credentials_is_refused() -> None:
    """A secret without its application is a slip in the settings."""
    with pytest.raises(SettingsError):
        AzureIdentityTokens(JumpingClock(), client_secret="s")


class FakeCredential:
    """Counts, and fails when told to; renewing takes a new credential, since a credential keeps its tokens."""

    made = 0
    failure: Exception | None = None

    def __init__(self) -> None:
        type(self).made += 1
        self.text = f"token {self.made}"

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        if self.failure:
            raise self.failure
        return AccessToken(self.text, int((START + timedelta(hours=1)).timestamp()))

    async def close(self) -> None:
        return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *arguments: object) -> None:
        return None


async def test_azure_identity_is_asked_anew_only_with_a_new_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a refusal the credential's own cache must not answer with the same token again."""
    tokens = AzureIdentityTokens(JumpingClock())
    monkeypatch.setattr(tokens, "_new_credential", FakeCredential)
    old = await tokens.token(SCOPE)
    assert await tokens.token(SCOPE) == old
    assert await tokens.token(SCOPE, refused=old) != old
    failures = [(ClientAuthenticationError("x"), TokenRefused), (ServiceRequestError("x"), TokenServiceDown)]
    for failure, expected in failures:
        monkeypatch.setattr(FakeCredential, "failure", failure)
        with pytest.raises(expected):
            await tokens.token("another scope")
    await tokens.aclose()


async def test_a_credential_of_somebody_else_is_asked_once_for_many_and_never_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The app's own credential serves the queue, too; its failures are told as any other's."""
    credential = FakeCredential()
    tokens = CredentialTokens(credential, JumpingClock())
    assert {await tokens.token(SCOPE) for _ in range(3)} == {credential.text}
    await tokens.aclose()
    assert await tokens.token(SCOPE) == credential.text
    monkeypatch.setattr(FakeCredential, "failure", ClientAuthenticationError("x"))
    with pytest.raises(TokenRefused):
        await tokens.token("another scope")
    assert await tokens.token(SCOPE) == credential.text
