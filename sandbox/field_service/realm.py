"""The realm of IFS Cloud's sign-in: tokens for clients with a secret."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from sandbox.field_service.errors import answer
from sandbox.field_service.options import IfsCloudOptions
from sandbox.tokens import InvalidToken, TokenIssuer

SCOPES = frozenset({"openid", "microprofile-jwt"})


class Realm:
    """Gives out tokens by client credentials, and says whether one is good."""

    def __init__(self, issuer: TokenIssuer, options: Callable[[], IfsCloudOptions]) -> None:
        self._issuer = issuer
        self._options = options

    @property
    def path(self) -> tuple[str, ...]:
        """Where the endpoint is."""
        return ("auth", "realms", self._options().namespace, "protocol", "openid-connect", "token")

    async def answered(self, request: Request) -> Response:
        """Answer a request for a token."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        if form.get("grant_type") != "client_credentials":
            return _refused(400, "unsupported_grant_type")
        secret = self._options().clients.get(form.get("client_id", ""))
        if secret is None or not hmac.compare_digest(secret.encode(), form.get("client_secret", "").encode()):
            return _refused(401, "unauthorized_client")
        if not set(form.get("scope", "").split()) >= SCOPES:
            return _refused(400, "invalid_scope")
        life = self._options().token_seconds
        token = self._issuer.issue(form["client_id"], self._audience, life_seconds=life)
        return answer(200, {"access_token": token, "expires_in": life, "token_type": "Bearer", "scope": form["scope"]})

    def knows(self, request: Request) -> bool:
        """Say whether a request shows a token of this realm that is good."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            self._issuer.verify(token.strip(), self._audience)
        except InvalidToken:
            return False
        return scheme.lower() == "bearer"

    @property
    def _audience(self) -> str:
        return f"realm:{self._options().namespace}"


def _refused(status: int, code: str) -> Response:
    body: dict[str, Any] = {"error": code, "error_description": "The request for a token is refused."}
    return answer(status, body)
