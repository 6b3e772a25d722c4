"""The platform's own sign-in in front of the functions: App Service Authentication with Microsoft Entra ID.

It answers `/.auth/...`, keeps a session per browser, and tells the functions by headers who is signed in. Requests
without a session go on (AllowAnonymous). After Microsoft Learn, 'Customize sign-in and sign-out in Azure App Service
authentication', 'Work with user identities' and 'Work with OAuth tokens'.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import httpx
import jwt
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from local.host.ports import Clock

CALLBACK = "/.auth/login/aad/callback"
SIGNED_OUT = "/.auth/logout/done"
SESSION_COOKIE = "AppServiceAuthSession"
SESSION_LIFE = timedelta(hours=8)
"""How long a session lives (Microsoft Learn, 'Work with OAuth tokens in Azure App Service authentication')."""
_NONCE_COOKIE = "Nonce"
_AFTER_COOKIE = "AppServiceAuthAfterLogout"
_OURS = (b"x-ms-client-principal", b"x-ms-token-")
_CLAIM_NAMES = {
    "oid": "http://schemas.microsoft.com/identity/claims/objectidentifier",
    "tid": "http://schemas.microsoft.com/identity/claims/tenantid",
    "sub": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier",
}
_NAME_TYPE = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"
_ROLE_TYPE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"


class _Refused(Exception):
    """The sign-in service gave no tokens."""


@dataclass(frozen=True, slots=True)
class _Session:
    """What the token store holds of one browser."""

    claims: Mapping[str, Any] = field(repr=False)
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    access_until: datetime
    until: datetime

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the functions are told with each request."""
        told = [{"typ": _CLAIM_NAMES.get(name, name), "val": str(value)} for name, value in self.claims.items()]
        principal = {"auth_typ": "aad", "claims": told, "name_typ": _NAME_TYPE, "role_typ": _ROLE_TYPE}
        found = {
            "x-ms-client-principal": base64.b64encode(json.dumps(principal).encode()).decode(),
            "x-ms-client-principal-id": str(self.claims["oid"]),
            "x-ms-client-principal-name": quote(str(self.claims.get("preferred_username", "")), safe="@"),
            "x-ms-client-principal-idp": "aad",
            "x-ms-token-aad-id-token": self.id_token,
            "x-ms-token-aad-access-token": self.access_token,
            "x-ms-token-aad-expires-on": f"{self.access_until:%Y-%m-%dT%H:%M:%S.0000000Z}",
            "x-ms-token-aad-refresh-token": self.refresh_token,
        }
        return [(name.encode(), text.encode("latin-1")) for name, text in found.items() if text]


class PlatformSignIn:
    """Sign-in with one application of the sign-in service.

    authority is the service's address with the tenant; scope must name the application's own API, or the access token
    that the functions get is for Microsoft Graph. At the service these addresses of the app are to be registered:
    `<app>/.auth/login/aad/callback` and `<app>/.auth/logout/done`.
    """

    def __init__(
        self,
        *,
        authority: str,
        client_id: str,
        client_secret: str,
        scope: str,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._authority = authority.rstrip("/")
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._clock = clock
        self._http = httpx.AsyncClient(transport=transport)
        self._sessions: dict[str, _Session] = {}

    async def aclose(self) -> None:
        """Close the connections to the sign-in service."""
        await self._http.aclose()

    def around(self, app: ASGIApp) -> ASGIApp:
        """Put the sign-in in front of an application."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            request = Request(scope, receive)
            if request.url.path.lower().startswith("/.auth/"):
                await (await self._answer(request))(scope, receive, send)
                return
            await app({**scope, "headers": self._told(request)}, receive, send)

        return guarded

    def _told(self, request: Request) -> list[tuple[bytes, bytes]]:
        """The headers for the functions: nobody from outside can set the platform's own."""
        kept = [pair for pair in request.scope["headers"] if not pair[0].lower().startswith(_OURS)]
        session = self._session(request)
        return kept if session is None else kept + session.headers()

    def _session(self, request: Request) -> _Session | None:
        found = self._sessions.get(request.cookies.get(SESSION_COOKIE, ""))
        return found if found is not None and self._clock.now() < found.until else None

    async def _answer(self, request: Request) -> Response:
        match request.method, request.url.path.lower():
            case "GET", "/.auth/login/aad":
                return self._login(request)
            case "POST", "/.auth/login/aad/callback":
                return await self._callback(request)
            case "GET", "/.auth/refresh":
                return await self._refresh(request)
            case "GET", "/.auth/logout":
                return self._logout(request)
            case "GET", "/.auth/logout/done":
                return _signed_out(request)
            case _:
                return Response(status_code=404)

    # --- signing in -----------------------------------------------------------------------------

    def _login(self, request: Request) -> Response:
        back = request.query_params.get("post_login_redirect_uri", "/")
        if not _is_own(request, back):
            return Response("The redirect address is not one of this app.", 400)
        nonce = secrets.token_urlsafe(16)
        wish = {
            "response_type": "code id_token",
            "response_mode": "form_post",
            "client_id": self._client_id,
            "redirect_uri": _root(request) + CALLBACK,
            "scope": self._scope,
            "nonce": nonce,
            "state": urlencode({"redir": back}),
        }
        answer = RedirectResponse(f"{self._authority}/oauth2/v2.0/authorize?{urlencode(wish)}", 302)
        answer.set_cookie(_NONCE_COOKIE, nonce, httponly=True, path="/.auth")
        return answer

    async def _callback(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        nonce = request.cookies.get(_NONCE_COOKIE, "")
        back = parse_qs(form.get("state", "")).get("redir", ["/"])[0]
        if "code" not in form or not nonce or not _is_own(request, back):
            return Response("The sign-in failed.", 401)
        exchange = {"grant_type": "authorization_code", "code": form["code"]}
        try:
            session = await self._tokens({**exchange, "redirect_uri": _root(request) + CALLBACK})
        except _Refused:
            return Response("The sign-in failed.", 401)
        if not secrets.compare_digest(str(session.claims.get("nonce", "")), nonce):
            return Response("The sign-in failed.", 401)
        key = secrets.token_urlsafe(32)
        self._sessions[key] = session
        answer = RedirectResponse(back, 302)
        answer.set_cookie(SESSION_COOKIE, key, httponly=True)
        answer.delete_cookie(_NONCE_COOKIE, path="/.auth")
        return answer

    async def _refresh(self, request: Request) -> Response:
        """Fetch new tokens for a session; without a refresh token there is nothing to fetch them with."""
        key, session = request.cookies.get(SESSION_COOKIE, ""), self._session(request)
        if session is None:
            return Response(status_code=401)
        if not session.refresh_token:
            return Response("There is no refresh token.", 403)
        try:
            new = await self._tokens({"grant_type": "refresh_token", "refresh_token": session.refresh_token})
        except _Refused:
            return Response("The tokens could not be refreshed.", 403)
        self._sessions[key] = replace(new, until=session.until)
        return Response(status_code=200)

    async def _tokens(self, form: Mapping[str, str]) -> _Session:
        form = {**form, "client_id": self._client_id, "client_secret": self._client_secret, "scope": self._scope}
        try:
            answer = await self._http.post(f"{self._authority}/oauth2/v2.0/token", data=form)
            told = answer.json()
        except (httpx.HTTPError, ValueError) as problem:
            raise _Refused from problem
        if answer.status_code != 200 or "id_token" not in told:
            raise _Refused
        now = self._clock.now().astimezone(UTC)
        return _Session(
            claims=jwt.decode(told["id_token"], options={"verify_signature": False}),
            id_token=told["id_token"],
            access_token=told["access_token"],
            refresh_token=told.get("refresh_token", ""),
            access_until=now + timedelta(seconds=told["expires_in"]),
            until=now + SESSION_LIFE,
        )

    # --- signing out ----------------------------------------------------------------------------

    def _logout(self, request: Request) -> Response:
        back = request.query_params.get("post_logout_redirect_uri", "")
        if back and not _is_own(request, back):
            return Response("The redirect address is not one of this app.", 400)
        self._sessions.pop(request.cookies.get(SESSION_COOKIE, ""), None)
        there = urlencode({"post_logout_redirect_uri": _root(request) + SIGNED_OUT})
        answer = RedirectResponse(f"{self._authority}/oauth2/v2.0/logout?{there}", 302)
        answer.delete_cookie(SESSION_COOKIE)
        if back:
            answer.set_cookie(_AFTER_COOKIE, quote(back, safe=""), httponly=True, path="/.auth")
        return answer


def _signed_out(request: Request) -> Response:
    """Go on to where the sign-out was to lead, or say that it is done."""
    back = parse_qs(f"to={request.cookies.get(_AFTER_COOKIE, '')}").get("to", [""])[0]
    page = "<!DOCTYPE html><title>Signed out</title><p>You have been signed out.</p>"
    answer: Response = RedirectResponse(back, 302) if back and _is_own(request, back) else HTMLResponse(page)
    answer.delete_cookie(_AFTER_COOKIE, path="/.auth")
    return answer


def _root(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _is_own(request: Request, address: str) -> bool:
    """Say whether an address leads to this very app: a path, or a whole address of its own origin."""
    if "\\" in address or any(ord(letter) < 32 for letter in address):
        return False
    parts = urlsplit(address)
    if not parts.scheme and not parts.netloc:
        return parts.path.startswith("/") and not address.startswith("//")
    return f"{parts.scheme}://{parts.netloc}" == _root(request)
