"""The sign-in sandbox's door: applications and people get tokens, and the sandboxes ask whether one is good.

One issuer is shared by all sandboxes of a run. What it imitates: docs/systems/sign_in_sandbox.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.clock import Clock, SystemClock
from sandbox.sign_in.authorize import SignIn
from sandbox.sign_in.directory import Directory, Person
from sandbox.sign_in.grants import Grants
from sandbox.sign_in.service import Service
from sandbox.sign_in.tokens import Claims, InvalidToken, Tokens

__all__ = ["LIFE_SECONDS", "TENANT_ID", "Claims", "InvalidToken", "TokenIssuer"]

TENANT_ID = "7d3ba6e5-41c4-4f0e-9a55-2f6f0a7a5a10"
LIFE_SECONDS = 3599


class TokenIssuer:
    """Issues and verifies tokens; `app` serves the sign-in service's addresses."""

    def __init__(
        self, clock: Clock | None = None, *, tenant_id: str = TENANT_ID, life_seconds: int = LIFE_SECONDS, seed: int = 0
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.tenant_id = tenant_id
        self._tokens = Tokens(self.clock, tenant_id, life_seconds, seed)
        self._directory = Directory()
        grants = Grants(self._directory, self._tokens, seed)
        self.app = Service(self._tokens, grants, SignIn(self._directory, self._tokens, grants, seed)).app

    @property
    def issued(self) -> int:
        """Return how many access tokens came out."""
        return self._tokens.issued

    @property
    def life_seconds(self) -> int:
        """Return how long an access token lives."""
        return self._tokens.life_seconds

    # Who there is

    def register(self, client_id: str, client_secret: str) -> None:
        """Make an application known, or give it another secret."""
        self._directory.register(client_id, client_secret)

    def add_api(
        self,
        client_id: str,
        scopes: Sequence[str] = ("user_impersonation",),
        redirect_uris: Sequence[str] = (),
        uri: str = "",
        *,
        version: str = "2.0",
    ) -> None:
        """Give an application an API, and the addresses that people come back to from a sign-in.

        In scopes it is called by its client id, `api://<client id>` or `uri`; `version` is that of the tokens made out
        to it: in 2.0 the audience is the client id, in 1.0 what it was called. The secret comes from `register`.
        """
        self._directory.add_api(client_id, scopes, redirect_uris, uri, version)

    def add_user(self, object_id: str, name: str, upn: str) -> None:
        """Put somebody into the directory."""
        self._directory.people[object_id.lower()] = Person(object_id.lower(), name, upn)

    def consent(self, client_id: str, resource: str) -> None:
        """Allow an application to use a resource in everybody's name, as an administrator does.

        `resource` is an API as scopes call it, or the address of a system such as a Dataverse organisation. An
        application needs no consent to its own API.
        """
        self._directory.consent(client_id, resource)

    # Tokens

    def issue(self, client_id: str, audience: str, *, life_seconds: int | None = None, version: str = "1.0") -> str:
        """Issue an application's token without the HTTP exchange; the application need not be registered."""
        return self._tokens.for_application(client_id.lower(), audience, version, life_seconds)

    def issue_user(
        self,
        object_id: str,
        audience: str,
        client_id: str,
        scopes: Sequence[str] = ("user_impersonation",),
        *,
        life_seconds: int | None = None,
        version: str = "2.0",
    ) -> str:
        """Issue a token with which an application acts in somebody's name, without a sign-in; nobody need be known."""
        return self._tokens.for_user(object_id.lower(), audience, client_id.lower(), scopes, version, life_seconds)

    def verify(self, token: str, audience: str) -> Claims:
        """Return a token's claims, or raise InvalidToken when it is forged, for somebody else or expired."""
        return self._tokens.verify(token, audience)

    def replace_key(self) -> None:
        """Sign with another key from now on; tokens that are out become worthless."""
        self._tokens.replace_key()
