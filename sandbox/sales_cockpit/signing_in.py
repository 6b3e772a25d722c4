"""How people sign in to the Cockpit: the authorization code flow, with a proof key, and a session in a cookie.

After Microsoft Learn, 'Microsoft identity platform and OAuth 2.0 authorization code flow'. The Cockpit asks for a token
with which its backend may call Crossdock in the person's name. Sessions are in memory only.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from sandbox.clock import Clock

COOKIE = "COCKPITSESSION"
BACK_PATH = "/signed-in"
RENEW_BEFORE = timedelta(minutes=2)
MOST_SESSIONS = 1000


def _text() -> str:
    return secrets.token_urlsafe(36)


class NotSignedIn(Exception):
    """The sign-in failed, or has ended; `code` is the sign-in service's."""

    def __init__(self, code: str = "") -> None:
        super().__init__(f"not signed in {code}".rstrip())
        self.code = code


@dataclass(frozen=True)
class SignInOptions:
    """Where people sign in, and for what. url: the sign-in service with its tenant, without a slash at the end.
    scope: Crossdock's API, as `api://<client id>/user_impersonation`."""

    url: str
    client_secret: str = field(repr=False)
    scope: str


@dataclass
class Session:
    """One browser. mark: what its forms show, so that no other page can send one. waits_for: the page that its sign-in
    is for. token: for Crossdock, in the person's name. told: what the next page says once."""

    id: str = field(default_factory=_text, repr=False)
    mark: str = field(default_factory=_text, repr=False)
    state: str = ""
    verifier: str = field(default="", repr=False)
    waits_for: str = ""
    object_id: str = ""
    name: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: datetime | None = None
    told: Mapping[str, Any] | None = None


class SigningIn:
    """The sessions, and the way to the sign-in service and back."""

    def __init__(
        self, options: SignInOptions, client_id: str, portal: str, clock: Clock, post: httpx.AsyncClient
    ) -> None:
        self._options = options
        self._client_id = client_id
        self._back = f"{portal}{BACK_PATH}"
        self._clock = clock
        self._post = post
        self._sessions: dict[str, Session] = {}

    def session(self, cookie: str) -> Session:
        """The session of a browser, a new one for a browser that has none."""
        found = self._sessions.get(cookie)
        if found is None:
            found = Session()
            self._sessions[found.id] = found
            if len(self._sessions) > MOST_SESSIONS:
                self._sessions.pop(next(iter(self._sessions)))
        return found

    def end(self, session: Session) -> None:
        """Forget a session."""
        self._sessions.pop(session.id, None)

    def begin(self, session: Session, page: str, *, choose: bool = False) -> str:
        """The address where the person signs in; afterwards he comes back to the page."""
        session.state, session.verifier, session.waits_for = _text(), _text(), page
        proof = base64.urlsafe_b64encode(hashlib.sha256(session.verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "client_id": self._client_id,
            "response_type": "code",
            "redirect_uri": self._back,
            "response_mode": "query",
            "scope": f"openid profile offline_access {self._options.scope}",
            "state": session.state,
            "code_challenge": proof,
            "code_challenge_method": "S256",
        }
        prompt = {"prompt": "select_account"} if choose else {}
        return f"{self._options.url}/oauth2/v2.0/authorize?{urlencode(asked | prompt)}"

    async def finish(self, session: Session, given: Mapping[str, str]) -> str:
        """Take the answer of the sign-in service; returns the page that the person wanted. Raises NotSignedIn."""
        if not session.state or given.get("state") != session.state or "code" not in given:
            raise NotSignedIn(given.get("error", ""))
        form = {"grant_type": "authorization_code", "code": given["code"], "redirect_uri": self._back}
        body = await self._ask({**form, "code_verifier": session.verifier})
        person = jwt.decode(body["id_token"], options={"verify_signature": False})  # straight from the token endpoint
        session.state, session.object_id, session.name = "", str(person["oid"]), str(person.get("name", ""))
        self._keep(session, body)
        return session.waits_for

    async def token(self, session: Session) -> str:
        """A token for Crossdock in the person's name, renewed where it is about to end. Raises NotSignedIn."""
        if session.expires_at is None:
            raise NotSignedIn
        if self._clock.now() + RENEW_BEFORE >= session.expires_at:
            form = {"grant_type": "refresh_token", "refresh_token": session.refresh_token}
            self._keep(session, await self._ask({**form, "scope": self._options.scope}))
        return session.token

    def _keep(self, session: Session, body: Mapping[str, Any]) -> None:
        session.token = str(body["access_token"])
        session.refresh_token = str(body.get("refresh_token", session.refresh_token))
        session.expires_at = self._clock.now() + timedelta(seconds=int(body["expires_in"]))

    async def _ask(self, form: Mapping[str, str]) -> dict[str, Any]:
        ours = {"client_id": self._client_id, "client_secret": self._options.client_secret}
        try:
            answer = await self._post.post(f"{self._options.url}/oauth2/v2.0/token", data={**form, **ours})
        except httpx.HTTPError:
            raise NotSignedIn("no answer") from None
        if answer.status_code != 200:
            raise NotSignedIn(str(answer.json().get("error", answer.status_code)))
        return dict(answer.json())
