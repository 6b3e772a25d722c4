"""Bearer tokens for the systems: from managed identity or a secret, renewed early, fetched once for many callers.

Sources: Microsoft Learn, 'Microsoft identity platform and the OAuth 2.0 client credentials flow'; azure-identity's
reference for the credential classes.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx

from shared.errors import SettingsError
from shared.settings import LOOPBACK
from shared.strict_json import Json, NotJson, load
from shared.sync.ports import Clock

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

RENEW_BEFORE = timedelta(minutes=5)
SMALLEST_REST = timedelta(seconds=30)
LARGEST_ANSWER_BYTES = 1024 * 1024
_AADSTS = re.compile(r"AADSTS\d{1,9}")


class TokenRefused(Exception):
    """The sign-in service refuses our credentials. `code` is its error code (AADSTS...), never its text."""

    def __init__(self, code: str = "") -> None:
        super().__init__(f"the sign-in service refuses our credentials {code}".rstrip())
        self.code = code


class TokenServiceDown(Exception):
    """The sign-in service does not answer, or not with a token."""


class TokenSource(Protocol):
    """Gives bearer tokens for a scope."""

    async def token(self, scope: str, *, refused: str | None = None) -> str:
        """A token that is still good for a while.

        `refused` is a token that the system has just refused with 401: the answer is then another one, fetched
        once however many callers name the same. Raises TokenRefused and TokenServiceDown.
        """
        ...

    async def aclose(self) -> None: ...


def require_safe(url: str, setting: str) -> None:
    """Refuse an address that is not https; http is allowed towards this very machine only.

    Raises SettingsError, naming the setting.
    """
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not safe or not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(f"{setting}: give an https address without user name, query and fragment.")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: datetime
    expires_at: datetime


@dataclass(slots=True)
class _Slot:
    token: _Token | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class CachedTokens(ABC):
    """Keeps one token per scope, renews it before it expires, and lets one caller fetch for all who wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[str, _Slot] = {}

    async def token(self, scope: str, *, refused: str | None = None) -> str:
        """See TokenSource. A renewal that fails is no problem while the old token is still good."""
        slot = self._slots.setdefault(scope, _Slot())
        if good := self._good(slot, refused):
            return good
        async with slot.lock:
            if good := self._good(slot, refused):
                return good
            return await self._renewed(slot, scope, refused)

    @abstractmethod
    async def aclose(self) -> None:
        """Close what the source holds open."""

    @abstractmethod
    async def _fetch(self, scope: str, *, anew: bool) -> tuple[str, datetime]:
        """A token and when it expires; `anew`: not from any cache below."""

    def _good(self, slot: _Slot, refused: str | None) -> str | None:
        token = slot.token
        if token is None or token.text == refused or self._clock.now() >= token.renew_at:
            return None
        return token.text

    async def _renewed(self, slot: _Slot, scope: str, refused: str | None) -> str:
        before = self._clock.now()
        try:
            text, expires_at = await self._fetch(scope, anew=refused is not None)
        except TokenServiceDown:
            rest = slot.token
            if rest is None or rest.text == refused or rest.expires_at - before < SMALLEST_REST:
                raise
            return rest.text
        margin = min(RENEW_BEFORE, (expires_at - before) / 5)
        slot.token = _Token(text, expires_at - margin, expires_at)
        return text


class TokenEndpointTokens(CachedTokens):
    """Client credentials by POST to a token endpoint (Entra's, or its imitation on this machine).

    `url` is the whole address of the endpoint. The secret is sent in the body only and never shown.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        require_safe(url, "the address of the token endpoint")
        super().__init__(clock)
        self._url = url
        self._client_id = client_id
        self._client_secret = client_secret
        self._timeout_seconds = timeout_seconds
        self._http = httpx.AsyncClient(transport=transport, follow_redirects=False, timeout=timeout_seconds)

    async def aclose(self) -> None:
        """Close the connection to the endpoint."""
        await self._http.aclose()

    async def _fetch(self, scope: str, *, anew: bool) -> tuple[str, datetime]:
        asked_at = self._clock.now()
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": scope,
        }
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._http.post(self._url, data=form)
        except (httpx.HTTPError, TimeoutError):
            raise TokenServiceDown("the token endpoint does not answer") from None
        return token_of(response, asked_at)


def token_of(response: httpx.Response, asked_at: datetime) -> tuple[str, datetime]:
    """The token of a token endpoint's answer and when it expires; raises TokenRefused and TokenServiceDown."""
    body = _body(response)
    if response.status_code in (400, 401, 403):
        raise TokenRefused(_error_code(body))
    text, seconds = body.get("access_token"), _whole_seconds(body.get("expires_in"))
    if response.status_code != 200 or not isinstance(text, str) or not text or seconds <= 0:
        raise TokenServiceDown("the token endpoint answered something else than a token")
    return text, asked_at + timedelta(seconds=seconds)


def _body(response: httpx.Response) -> dict[str, Json]:
    if len(response.content) > LARGEST_ANSWER_BYTES:
        return {}
    try:
        body = load(response.content)
    except NotJson:
        return {}
    return body if isinstance(body, dict) else {}


def _error_code(body: dict[str, Json]) -> str:
    codes = body.get("error_codes")
    if isinstance(codes, list) and codes and isinstance(codes[0], int):
        return f"AADSTS{codes[0]}"
    error = body.get("error")
    return error if isinstance(error, str) and error.isidentifier() else ""


def _whole_seconds(value: Json) -> int:
    """`expires_in` is a number in Entra's answer and text in some others; anything else counts as no time at all."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return min(int(text), 86_400) if text.isascii() and text.isdigit() and len(text) < 10 else 0


class FixedCredential:
    """A secret that is shown as it is, for systems that know no tokens. Once refused it stays refused."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def token(self, scope: str, *, refused: str | None = None) -> str:
        """See TokenSource."""
        if refused == self._secret:
            raise TokenRefused
        return self._secret

    async def aclose(self) -> None:
        """Nothing to close."""


class AzureIdentityTokens(CachedTokens):
    """Tokens through azure-identity, which is imported with the first token only.

    Without client id: the default credential (managed identity of the app, or the developer's sign-in). With a
    client id alone: that user-assigned managed identity. With tenant, client id and secret: that application.
    Raises SettingsError for any other combination.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
    ) -> None:
        if client_secret and not (tenant_id and client_id):
            raise SettingsError("A client secret needs the tenant id and the client id beside it.")
        super().__init__(clock)
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._client_secret = client_secret
        self._credential: AsyncTokenCredential | None = None

    async def aclose(self) -> None:
        """Close the credential; it is made anew when asked again."""
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()

    async def _fetch(self, scope: str, *, anew: bool) -> tuple[str, datetime]:
        if anew:
            await self.aclose()  # a credential keeps its tokens; only a new one asks the sign-in service again
        if self._credential is None:
            self._credential = self._new_credential()
        return await token_from(self._credential, scope)

    def _new_credential(self) -> AsyncTokenCredential:
        from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

        if self._tenant_id and self._client_id and self._client_secret:
            return ClientSecretCredential(self._tenant_id, self._client_id, self._client_secret)
        if self._client_id:
            return ManagedIdentityCredential(client_id=self._client_id)
        return DefaultAzureCredential()


class CredentialTokens(CachedTokens):
    """Tokens of an azure-identity credential that belongs to somebody else, who closes it."""

    def __init__(self, credential: AsyncTokenCredential, clock: Clock) -> None:
        super().__init__(clock)
        self._credential = credential

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _fetch(self, scope: str, *, anew: bool) -> tuple[str, datetime]:
        return await token_from(self._credential, scope)


async def token_from(credential: AsyncTokenCredential, scope: str) -> tuple[str, datetime]:
    """A credential's token and when it expires; raises TokenRefused and TokenServiceDown."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError

    try:
        token = await credential.get_token(scope)
    except ClientAuthenticationError as error:
        code = _AADSTS.search(str(error))  # the text itself may hold names, and is dropped
        raise TokenRefused(code[0] if code else "") from None
    except AzureError:
        raise TokenServiceDown("the sign-in service does not answer") from None
    return token.token, datetime.fromtimestamp(token.expires_on, UTC)
