"""Access tokens and ID tokens: what they say, and whether one that somebody shows is good.

Claims after Microsoft Learn, 'Access token claims reference' and 'ID token claims reference': versions 1.0 and 2.0
differ in issuer and in the name of the claim that tells the calling application.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.types import Options

from sandbox.clock import Clock
from sandbox.sign_in.directory import Person
from sandbox.sign_in.keys import SigningKey, signing_key

_UNCHECKED = Options(verify_exp=False, verify_nbf=False, verify_iat=False, verify_aud=False, verify_jti=False)
_KEPT = 1000


@dataclass(frozen=True)
class Claims:
    """What a verified token says. Times are seconds since 1970, UTC.

    `object_id` is the person's in a user's token (`is_user`), which has `scopes`, and else the application's own.
    """

    audience: str
    application_id: str
    object_id: str
    tenant_id: str
    issued_at: int
    expires_at: int
    scopes: tuple[str, ...] = ()

    @property
    def is_user(self) -> bool:
        """Say whether the application acts in somebody's name: only such tokens hold scopes."""
        return bool(self.scopes)


class InvalidToken(Exception):
    """The bearer token is not acceptable. `reason`: malformed, signature, audience or expired."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the bearer token is not acceptable: {reason}")
        self.reason = reason


class Tokens:
    """Makes and reads the tokens of one tenant."""

    def __init__(self, clock: Clock, tenant_id: str, life_seconds: int, seed: int) -> None:
        self.clock = clock
        self.tenant_id = tenant_id
        self.life_seconds = life_seconds
        self.issued = 0
        self._seed = seed
        self._turn = 0
        self._decoded: dict[str, Claims] = {}

    @property
    def key(self) -> SigningKey:
        """Return the key in force."""
        return signing_key(self._seed, self._turn)

    @property
    def issuer(self) -> str:
        """Return who issues tokens of version 2.0."""
        return f"https://login.microsoftonline.com/{self.tenant_id}/v2.0"

    def replace_key(self) -> None:
        """Sign with another key from now on; what the old one signed is worth nothing any more."""
        self._turn += 1
        self._decoded.clear()

    def for_application(self, client_id: str, audience: str, version: str, life_seconds: int | None) -> str:
        """Make an access token in which nobody signed in."""
        object_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"service principal {client_id}"))
        return self._access(audience, client_id, version, life_seconds, {"oid": object_id, "sub": object_id})

    def for_user(
        self,
        object_id: str,
        audience: str,
        client_id: str,
        scopes: Sequence[str],
        version: str,
        life_seconds: int | None,
    ) -> str:
        """Make an access token with which an application acts in somebody's name."""
        who = {"oid": object_id, "sub": _pairwise(object_id, audience), "scp": " ".join(scopes)}
        return self._access(audience, client_id, version, life_seconds, who)

    def identity(self, person: Person, client_id: str, nonce: str) -> str:
        """Make the ID token of a sign-in."""
        about = {"oid": person.object_id, "sub": _pairwise(person.object_id, client_id)}
        about |= {"name": person.name, "preferred_username": person.upn, "ver": "2.0"}
        if nonce:
            about["nonce"] = nonce
        return self._signed({"aud": client_id, "iss": self.issuer, **self._times(None), **about})

    def claims(self, token: str) -> Claims:
        """Return what a token says, whomever it is for and however old; raises InvalidToken for a forged one."""
        return self._decoded.get(token) or self._decode(token)

    def verify(self, token: str, audience: str) -> Claims:
        """Return a token's claims, or raise InvalidToken when it is forged, for somebody else or expired."""
        claims = self.claims(token)
        if claims.audience.rstrip("/") != audience.rstrip("/"):
            raise InvalidToken("audience")
        if self.clock.now().timestamp() >= claims.expires_at:
            raise InvalidToken("expired")
        return claims

    def _access(
        self, audience: str, client_id: str, version: str, life_seconds: int | None, who: dict[str, str]
    ) -> str:
        self.issued += 1
        old = version == "1.0"
        payload = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant_id}/" if old else self.issuer,
            **self._times(life_seconds),
            "appid" if old else "azp": client_id,
            "appidacr" if old else "azpacr": "1",
            **who,
            "uti": _text(hashlib.sha256(f"{self._seed} token {self.issued}".encode()).digest()[:16]),
            "ver": version,
        }
        return self._signed(payload)

    def _times(self, life_seconds: int | None) -> dict[str, Any]:
        now = int(self.clock.now().timestamp())
        life = self.life_seconds if life_seconds is None else life_seconds
        return {"tid": self.tenant_id, "iat": now, "nbf": now, "exp": now + life}

    def _signed(self, payload: dict[str, Any]) -> str:
        return jwt.encode(payload, self.key.private, algorithm="RS256", headers={"kid": self.key.key_id})

    def _decode(self, token: str) -> Claims:
        try:
            payload = jwt.decode(token, self.key.public, algorithms=["RS256"], options=_UNCHECKED)
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            raise InvalidToken("signature") from None
        except jwt.PyJWTError:
            raise InvalidToken("malformed") from None
        application = payload.get("appid") or payload.get("azp")
        if application is None:
            raise InvalidToken("malformed")
        claims = Claims(
            payload["aud"],
            application,
            payload["oid"],
            payload["tid"],
            payload["iat"],
            payload["exp"],
            tuple(payload.get("scp", "").split()),
        )
        if len(self._decoded) > _KEPT:
            self._decoded.clear()
        self._decoded[token] = claims
        return claims


def _pairwise(object_id: str, audience: str) -> str:
    """Return the name by which one application knows somebody, and no other."""
    return _text(hashlib.sha256(f"{object_id} at {audience}".encode()).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
