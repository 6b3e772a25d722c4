"""Tokens for the systems on behalf of the users who call us: their token in, one for a system out.

Source: Microsoft Learn, 'Microsoft identity platform and OAuth2.0 On-Behalf-Of flow'; azure-identity's reference of
`OnBehalfOfCredential`. A token that says no user (of an application) cannot be exchanged.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Final

import httpx

from shared.identity import CachedTokens, TokenServiceDown, TokenSource, require_safe, token_from, token_of
from shared.sync.ports import Clock

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE_SCOPE: Final = "api://AzureADTokenExchange/.default"
"""What a managed identity's token is asked for where it stands in for the application's secret."""
MOST_USERS: Final = 500
TIMEOUT_SECONDS: Final = 10.0

MakeTokens = Callable[[str], TokenSource]
"""The tokens that a user's own token can be exchanged for."""


class OnBehalfOf:
    """The tokens of the users who called lately, each exchanged once and kept until it expires."""

    def __init__(self, make: MakeTokens) -> None:
        self._make = make
        self._known: OrderedDict[bytes, TokenSource] = OrderedDict()

    def of(self, assertion: str) -> TokenSource:
        """Those of the user whose token this is. Kept under a hash, so that a look at the keys shows no token."""
        name = hashlib.sha256(assertion.encode("utf-8", "surrogatepass")).digest()
        found = self._known.pop(name, None) or self._make(assertion)
        self._known[name] = found
        if len(self._known) > MOST_USERS:
            self._known.popitem(last=False)
        return found


class EndpointExchange(CachedTokens):
    """Exchanges at a token endpoint by its address (the imitation on this machine). `http` belongs to somebody else."""

    def __init__(
        self, url: str, client_id: str, client_secret: str, assertion: str, clock: Clock, http: httpx.AsyncClient
    ) -> None:
        require_safe(url, "the address of the token endpoint")
        super().__init__(clock)
        self._url = url
        self._form = {
            "grant_type": GRANT,
            "requested_token_use": "on_behalf_of",
            "client_id": client_id,
            "client_secret": client_secret,
            "assertion": assertion,
        }
        self._http = http

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _fetch(self, scope: str, *, anew: bool) -> tuple[str, datetime]:
        asked_at = self._clock.now()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = await self._http.post(self._url, data={**self._form, "scope": scope})
        except (httpx.HTTPError, TimeoutError):
            raise TokenServiceDown("the token endpoint does not answer") from None
        return token_of(response, asked_at)


class AzureExchange(CachedTokens):
    """Exchanges through azure-identity, as an application with a secret, or with the app's managed identity as its
    federated credential (`identity_client_id`: the user-assigned one; None: the system's)."""

    def __init__(
        self,
        assertion: str,
        clock: Clock,
        *,
        tenant_id: str,
        client_id: str,
        client_secret: str | None,
        identity_client_id: str | None,
    ) -> None:
        super().__init__(clock)
        self._assertion = assertion
        self._tenant_id = tenant_id
        self._client_id = client_id
        self._client_secret = client_secret
        self._identity_client_id = identity_client_id

    async def aclose(self) -> None:
        """Nothing to close: a credential lives for one exchange, its token is kept here."""

    async def _fetch(self, scope: str, *, anew: bool) -> tuple[str, datetime]:
        from azure.identity.aio import OnBehalfOfCredential

        if self._client_secret is not None:
            credential = OnBehalfOfCredential(
                self._tenant_id, self._client_id, client_secret=self._client_secret, user_assertion=self._assertion
            )
        else:
            ours = await self._own_assertion()  # azure-identity takes a function that does not wait
            credential = OnBehalfOfCredential(
                self._tenant_id, self._client_id, client_assertion_func=lambda: ours, user_assertion=self._assertion
            )
        async with credential:
            return await token_from(credential, scope)

    async def _own_assertion(self) -> str:
        from azure.identity.aio import ManagedIdentityCredential

        async with ManagedIdentityCredential(client_id=self._identity_client_id) as identity:
            return (await token_from(identity, EXCHANGE_SCOPE))[0]
