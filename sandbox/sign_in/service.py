"""The sign-in service's addresses: authorize, token, logout, its keys, and its description of itself."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.sign_in import errors
from sandbox.sign_in.authorize import SESSION_COOKIE, SignIn, error_page
from sandbox.sign_in.errors import SignInError
from sandbox.sign_in.grants import Grants
from sandbox.sign_in.tokens import Tokens

NOT_KEPT = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}


class Service:
    """Answers the requests; `app` is what is served."""

    def __init__(self, tokens: Tokens, grants: Grants, sign_in: SignIn) -> None:
        self._tokens = tokens
        self._grants = grants
        self._sign_in = sign_in
        self.app = Starlette(
            routes=[
                Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
                Route("/{tenant}/oauth2/v2.0/authorize", self._authorize, methods=["GET", "POST"]),
                Route("/{tenant}/oauth2/v2.0/logout", self._logout, methods=["GET"]),
                Route("/{tenant}/discovery/v2.0/keys", self._keys, methods=["GET"]),
                Route("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration, methods=["GET"]),
            ]
        )

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        try:
            self._check_tenant(request)
            return JSONResponse(self._grants.answer(form), headers=NOT_KEPT)
        except SignInError as error:
            return JSONResponse(self._refusal(error), error.status, headers=NOT_KEPT)

    async def _authorize(self, request: Request) -> Response:
        given = dict(request.query_params)
        try:
            self._check_tenant(request)
            if request.method == "POST":
                form = dict(parse_qsl((await request.body()).decode()))
                return self._sign_in.chosen(given, form.get("user", ""))
            address = f"{request.url.path}?{request.url.query}"
            return self._sign_in.authorize(given, address, request.cookies.get(SESSION_COOKIE, ""))
        except SignInError as error:
            return error_page(error)

    async def _logout(self, request: Request) -> Response:
        back = request.query_params.get("post_logout_redirect_uri", "")
        return self._sign_in.sign_out(request.cookies.get(SESSION_COOKIE, ""), back)

    async def _keys(self, request: Request) -> Response:
        return self._told(request, {"keys": [self._tokens.key.published(self._tokens.issuer)]})

    async def _configuration(self, request: Request) -> Response:
        root = f"{str(request.base_url).rstrip('/')}/{self._tokens.tenant_id}"
        body = {
            "issuer": self._tokens.issuer,
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "end_session_endpoint": f"{root}/oauth2/v2.0/logout",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": ["code", "code id_token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
        return self._told(request, body)

    def _told(self, request: Request, body: dict[str, Any]) -> Response:
        try:
            self._check_tenant(request)
        except SignInError as error:
            return JSONResponse(self._refusal(error), error.status)
        return JSONResponse(body, headers={"Cache-Control": "max-age=86400, private"})

    def _check_tenant(self, request: Request) -> None:
        if request.path_params["tenant"].lower() != self._tokens.tenant_id:
            raise errors.no_tenant(request.path_params["tenant"])

    def _refusal(self, error: SignInError) -> dict[str, Any]:
        now = self._tokens.clock.now()
        trace = str(uuid.uuid5(uuid.NAMESPACE_URL, f"trace {self._tokens.issued} {now.isoformat()}"))
        at = f"{now:%Y-%m-%d %H:%M:%SZ}"
        text = f"AADSTS{error.number}: {error.text} Trace ID: {trace} Correlation ID: {trace} Timestamp: {at}"
        body = {
            "error": error.error,
            "error_description": text,
            "error_codes": [error.number],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": trace,
            "error_uri": f"https://login.microsoftonline.com/error?code={error.number}",
        }
        return body | ({"suberror": error.suberror} if error.suberror else {})
