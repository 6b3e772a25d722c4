"""The token endpoint's grants: what an application shows, and which tokens it gets.

After Microsoft Learn, 'OAuth 2.0 client credentials flow', 'OAuth 2.0 authorization code flow', 'OAuth 2.0
On-Behalf-Of flow' and 'Refresh tokens in the Microsoft identity platform'. Public clients, certificates and federated
credentials are not imitated.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.sign_in import errors
from sandbox.sign_in.directory import GRAPH, Application, Asked, Directory, read_scope
from sandbox.sign_in.tokens import Claims, InvalidToken, Tokens

ON_BEHALF_OF = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CODE_LIFE = timedelta(minutes=10)
REFRESH_LIFE = timedelta(days=90)


@dataclass(frozen=True)
class Code:
    """What a code stands for. `challenge` is the proof key's, as it was sent, with its method."""

    client_id: str
    redirect_uri: str
    object_id: str
    scope: str
    nonce: str
    challenge: tuple[str, str]
    given: datetime
    used: bool = False


@dataclass(frozen=True)
class _Refresh:
    client_id: str
    object_id: str
    scope: str
    given: datetime


class Grants:
    """Answers requests for tokens, and keeps the codes and refresh tokens that are out."""

    def __init__(self, directory: Directory, tokens: Tokens, seed: int) -> None:
        self._directory = directory
        self._tokens = tokens
        self._random = random.Random(f"entra {seed}")
        self._codes: dict[str, Code] = {}
        self._refreshes: dict[str, _Refresh] = {}

    def new_code(self, code: Code) -> str:
        """Give a code out."""
        text = self._opaque("1.A")
        self._codes[text] = code
        return text

    def answer(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Return the answer to a request for tokens; raises SignInError."""
        kind = _needed(form, "grant_type")
        grants = {
            "client_credentials": self._client_credentials,
            "authorization_code": self._authorization_code,
            "refresh_token": self._refresh_token,
            ON_BEHALF_OF: self._on_behalf_of,
        }
        if kind not in grants:
            raise errors.unsupported_grant()
        client = self._directory.authenticated(_needed(form, "client_id"), form.get("client_secret", ""))
        return grants[kind](client, form)

    def _client_credentials(self, client: Application, form: Mapping[str, str]) -> dict[str, Any]:
        scope = _needed(form, "scope")
        if not scope.endswith("/.default") or " " in scope:
            raise errors.not_default(scope)
        audience, version = self._directory.audience(scope.removesuffix("/.default"))
        return self._body(self._tokens.for_application(client.client_id, audience, version, None))

    def _authorization_code(self, client: Application, form: Mapping[str, str]) -> dict[str, Any]:
        text = _needed(form, "code")
        code = self._codes.get(text)
        if code is None or code.client_id != client.client_id:
            raise errors.invalid_code()
        if code.used:
            raise errors.code_used()
        if self._tokens.clock.now() - code.given > CODE_LIFE:
            raise errors.code_expired()
        if form.get("redirect_uri", "") != code.redirect_uri:
            raise errors.another_reply_address(form.get("redirect_uri", ""), code.redirect_uri)
        if not _proves(form.get("code_verifier", ""), *code.challenge):
            raise errors.wrong_verifier()
        self._codes[text] = replace(code, used=True)
        asked = read_scope(form.get("scope") or code.scope)
        return self._signed_in(client, code.object_id, replace(asked, sign_in=read_scope(code.scope).sign_in), code)

    def _refresh_token(self, client: Application, form: Mapping[str, str]) -> dict[str, Any]:
        kept = self._refreshes.get(_needed(form, "refresh_token"))
        if kept is None or kept.client_id != client.client_id:
            raise errors.invalid_code()
        if self._tokens.clock.now() - kept.given > REFRESH_LIFE:
            raise errors.refresh_expired()
        asked = read_scope(form.get("scope") or kept.scope)
        return self._signed_in(client, kept.object_id, replace(asked, sign_in=read_scope(kept.scope).sign_in), None)

    def _on_behalf_of(self, client: Application, form: Mapping[str, str]) -> dict[str, Any]:
        if form.get("requested_token_use") != "on_behalf_of":
            raise errors.missing("requested_token_use")
        scope, claims = _needed(form, "scope"), self._assertion(client, _needed(form, "assertion"))
        person = self._directory.person(claims.object_id)
        asked = read_scope(scope)
        if not asked.scopes:
            raise errors.bad_scope(scope)
        return self._for_user(client, person.object_id, asked)

    def _assertion(self, client: Application, assertion: str) -> Claims:
        """Return what the shown token says, if the application may act on it."""
        try:
            claims = self._tokens.claims(assertion)
        except InvalidToken as problem:
            raise (errors.forged_assertion if problem.reason == "signature" else errors.malformed_assertion)() from None
        if claims.audience.rstrip("/").lower() not in client.names:
            raise errors.assertion_for_another(claims.audience, client.client_id)
        now, expires = self._tokens.clock.now(), datetime.fromtimestamp(claims.expires_at, UTC)
        if now >= expires:
            raise errors.assertion_expired(now, expires)
        if not claims.is_user:
            raise errors.no_user_in_assertion(client.client_id)
        return claims

    def _signed_in(self, client: Application, object_id: str, asked: Asked, code: Code | None) -> dict[str, Any]:
        """Answer for somebody who signed in here: with an ID token and a refresh token, if they were asked for."""
        body = self._for_user(client, object_id, asked)
        if "offline_access" in asked.sign_in:
            scope = " ".join((*sorted(asked.sign_in), *(f"{asked.resource}/{name}" for name in asked.scopes)))
            text = self._opaque("1.R")
            self._refreshes[text] = _Refresh(client.client_id, object_id, scope, self._tokens.clock.now())
            body["refresh_token"] = text
        if "openid" in asked.sign_in:
            nonce = code.nonce if code is not None else ""
            body["id_token"] = self._tokens.identity(self._directory.person(object_id), client.client_id, nonce)
        return body

    def _for_user(self, client: Application, object_id: str, asked: Asked) -> dict[str, Any]:
        may = self._directory.granted(client.client_id, asked)
        token = self._tokens.for_user(object_id, may.audience, client.client_id, may.scopes, may.version, None)
        names = may.scopes if may.resource == GRAPH else (f"{may.resource}/{name}" for name in may.scopes)
        return self._body(token) | {"scope": " ".join(names)}

    def _body(self, token: str) -> dict[str, Any]:
        life = self._tokens.life_seconds
        return {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token}

    def _opaque(self, start: str) -> str:
        return start + base64.urlsafe_b64encode(self._random.randbytes(48)).decode()


def _needed(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise errors.missing(name)
    return value


def _proves(verifier: str, challenge: str, method: str) -> bool:
    if not challenge:
        return not verifier
    if method != "S256":
        return verifier == challenge
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return digest == challenge
