"""Imitation of the Entra token endpoint: client credentials in, bearer token out.

Shapes after Microsoft Learn, 'Microsoft identity platform and the OAuth 2.0 client credentials flow' and
'Microsoft Entra authentication and authorization error codes'. The token looks like a JWT, is signed with a key
of this process (HS256, where Entra signs with RS256) and carries aud, iss, tid, appid, oid, iat, nbf and exp.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import jwt
from jwt.types import Options
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.clock import Clock, SystemClock

TENANT_ID = "7d3ba6e5-41c4-4f0e-9a55-2f6f0a7a5a10"
LIFE_SECONDS = 3599
_UNCHECKED = Options(verify_exp=False, verify_nbf=False, verify_iat=False, verify_aud=False, verify_jti=False)


@dataclass(frozen=True)
class Claims:
    """What a verified token says. Times are seconds since 1970, UTC."""

    audience: str
    application_id: str
    object_id: str
    tenant_id: str
    issued_at: int
    expires_at: int


class InvalidToken(Exception):
    """The bearer token is not acceptable. `reason`: malformed, signature, audience or expired."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the bearer token is not acceptable: {reason}")
        self.reason = reason


class TokenIssuer:
    """Issues and verifies tokens; one issuer is shared by all sandboxes of a run."""

    def __init__(
        self, clock: Clock | None = None, *, tenant_id: str = TENANT_ID, life_seconds: int = LIFE_SECONDS, seed: int = 0
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.tenant_id = tenant_id
        self.life_seconds = life_seconds
        self.issued = 0
        self._key = hashlib.sha256(f"sandbox token issuer {seed}".encode()).digest()
        self._secrets: dict[str, str] = {}
        self._decoded: dict[str, Claims] = {}
        self.app = Starlette(routes=[Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"])])

    def register(self, client_id: str, client_secret: str) -> None:
        """Make an application known, or give it another secret."""
        self._secrets[client_id.lower()] = client_secret

    def issue(self, client_id: str, audience: str, *, life_seconds: int | None = None) -> str:
        """Issue a token without the HTTP exchange; the application need not be registered."""
        now = int(self.clock.now().timestamp())
        life = self.life_seconds if life_seconds is None else life_seconds
        self.issued += 1
        payload = self._payload(client_id.lower(), audience, now, now + life)
        return jwt.encode(payload, self._key, algorithm="HS256")

    def verify(self, token: str, audience: str) -> Claims:
        """Return a token's claims, or raise InvalidToken when it is forged, for somebody else or expired."""
        claims = self._decoded.get(token) or self._decode(token)
        if claims.audience.rstrip("/") != audience.rstrip("/"):
            raise InvalidToken("audience")
        if self.clock.now().timestamp() >= claims.expires_at:
            raise InvalidToken("expired")
        return claims

    def _payload(self, client_id: str, audience: str, issued: int, expires: int) -> dict[str, Any]:
        return {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant_id}/",
            "iat": issued,
            "nbf": issued,
            "exp": expires,
            "appid": client_id,
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"service principal {client_id}")),
            "tid": self.tenant_id,
            "ver": "1.0",
            "jti": self.issued,
        }

    def _decode(self, token: str) -> Claims:
        try:
            payload = jwt.decode(token, self._key, algorithms=["HS256"], options=_UNCHECKED)
        except jwt.InvalidSignatureError:
            raise InvalidToken("signature") from None
        except jwt.PyJWTError:
            raise InvalidToken("malformed") from None
        claims = Claims(
            payload["aud"], payload["appid"], payload["oid"], payload["tid"], payload["iat"], payload["exp"]
        )
        if len(self._decoded) > 1000:
            self._decoded.clear()
        self._decoded[token] = claims
        return claims

    async def _token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        problem = self._problem(form, request.path_params["tenant"])
        if problem is not None:
            return self._refused(*problem)
        audience = form["scope"].removesuffix("/.default")
        return JSONResponse(
            {
                "token_type": "Bearer",
                "expires_in": self.life_seconds,
                "ext_expires_in": self.life_seconds,
                "access_token": self.issue(form["client_id"], audience),
            },
            headers={"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"},
        )

    def _problem(self, form: Mapping[str, str], tenant: str) -> tuple[int, str, int, str] | None:
        client = form.get("client_id", "").lower()
        if tenant != self.tenant_id:
            return 400, "invalid_request", 90002, f"Tenant '{tenant}' not found."
        if "grant_type" not in form:
            return 400, "invalid_request", 900144, "The request body must contain the parameter: 'grant_type'."
        if form["grant_type"] != "client_credentials":
            return 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
        if client not in self._secrets:
            return 400, "unauthorized_client", 700016, f"Application '{client}' was not found in the directory."
        if not form.get("client_secret"):
            return 401, "invalid_client", 7000218, "The request body must contain 'client_secret'."
        if not hmac.compare_digest(form["client_secret"].encode(), self._secrets[client].encode()):
            return 401, "invalid_client", 7000215, "Invalid client secret provided."
        if not form.get("scope", "").endswith("/.default"):
            return 400, "invalid_scope", 1002012, "The provided value for scope is not valid."
        return None

    def _refused(self, status: int, error: str, code: int, text: str) -> Response:
        now = self.clock.now()
        trace = str(uuid.uuid5(uuid.NAMESPACE_URL, f"trace {self.issued} {now.isoformat()}"))
        return JSONResponse(
            {
                "error": error,
                "error_description": f"AADSTS{code}: {text} Trace ID: {trace} Timestamp: {now:%Y-%m-%d %H:%M:%SZ}",
                "error_codes": [code],
                "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
                "trace_id": trace,
                "correlation_id": trace,
                "error_uri": f"https://login.microsoftonline.com/error?code={code}",
            },
            status,
        )
