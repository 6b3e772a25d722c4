"""Who a signed-in user is: the tokens of the sign-in service, checked here and nowhere else.

Source: Microsoft Learn, 'Access tokens in the Microsoft identity platform' (claims, issuers, keys and their rollover)
and 'Work with user identities in Azure App Service authentication' (the headers of the platform's sign-in).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import httpx

from shared.connectors.keys import canonical_guid
from shared.errors import SignInUnavailable
from shared.routes import PRINCIPAL_ID_HEADER, NotAdmitted
from shared.settings import OperatorDoor, Settings, UserSignIn, needed
from shared.strict_json import JsonObject, NotJson, load
from shared.sync.ports import Clock
from shared.users import User

if TYPE_CHECKING:
    from jwt import PyJWKSet

log = logging.getLogger(__name__)

AUTHORITY: Final = "https://login.microsoftonline.com"
PLATFORM_TOKEN_HEADER: Final = "x-ms-token-aad-access-token"  # noqa: S105 # the name of a header
SIGN_IN_PATH: Final = "/.auth/login/aad"
LONGEST_TOKEN: Final = 16 * 1024
LARGEST_KEYS_BYTES: Final = 256 * 1024
KEYS_SECONDS: Final = 24 * 3600.0
"""Keys are asked for again after a day, as the service advises, or for a token with a key that is unknown."""
KEYS_PAUSE_SECONDS: Final = 60.0
"""Tokens with unknown keys make us ask once in this time at most: anybody can invent them."""
LEEWAY_SECONDS: Final = 60.0
TIMEOUT_SECONDS: Final = 10.0


class UserTokens:
    """Checks users' tokens. http: makes the transport to the sign-in service; None: the usual one."""

    def __init__(
        self, settings: Settings, clock: Clock, http: Callable[[str], httpx.AsyncBaseTransport] | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._make_http = http
        self._keys: PyJWKSet | None = None
        self._tried_at = float("-inf")
        self._asking = asyncio.Lock()

    async def bearer(self, headers: Mapping[str, str]) -> User:
        """Who shows a token himself; raises NotAdmitted, SettingsError, SignInUnavailable."""
        kind, _, token = (headers.get("authorization") or "").partition(" ")
        if kind.lower() != "bearer":
            raise NotAdmitted
        return await self._user(token.strip())

    async def browser(self, headers: Mapping[str, str]) -> User:
        """Who shows a token, or is signed in by the platform, whose headers count only while the settings say that it
        is on. Without a token of his the platform tells his id alone."""
        if headers.get("authorization"):
            return await self.bearer(headers)
        if self._settings.get(OperatorDoor).platform_sign_in == "off":
            raise NotAdmitted
        if token := headers.get(PLATFORM_TOKEN_HEADER):
            return await self._user(token)
        return User(_guid(headers.get(PRINCIPAL_ID_HEADER)))

    async def _user(self, token: str) -> User:
        if not token or len(token) > LONGEST_TOKEN:
            raise NotAdmitted
        wanted = self._settings.get(UserSignIn)
        needed(UserSignIn, "tenant_id", wanted.tenant_id)
        claims = await self._claims(token, wanted)
        self._check(claims, wanted)
        return User(_guid(claims.get("oid")), token)

    async def _claims(self, token: str, wanted: UserSignIn) -> Mapping[str, Any]:
        """What a token says whose signature is that of the sign-in service. Times are checked by our own clock."""
        import jwt  # with the first token: what takes notices starts without it

        try:
            key_id = str(jwt.get_unverified_header(token).get("kid") or "")
            key = await self._key(key_id, wanted)
            options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
            claims: Mapping[str, Any] = jwt.decode(token, key, algorithms=["RS256"], options=options)
        except jwt.PyJWTError:
            raise NotAdmitted from None
        return claims

    def _check(self, claims: Mapping[str, Any], wanted: UserSignIn) -> None:
        """Raise NotAdmitted for a token of another tenant, for another API, out of its time or without our scope."""
        tenant, now = str(wanted.tenant_id), self._clock.now().timestamp()
        issuers = (f"{AUTHORITY}/{tenant}/v2.0", f"https://sts.windows.net/{tenant}/")
        audiences = (wanted.audience or "").split()
        expires, begins = claims.get("exp"), claims.get("nbf")
        fits = (
            claims.get("iss") in issuers
            and claims.get("tid") == tenant
            and claims.get("aud") in audiences
            and _is_number(expires)
            and now < float(expires or 0) + LEEWAY_SECONDS
            and (begins is None or (_is_number(begins) and float(begins) - LEEWAY_SECONDS <= now))
            and wanted.scope in str(claims.get("scp") or "").split()
        )
        if not fits:
            raise NotAdmitted

    async def _key(self, key_id: str, wanted: UserSignIn) -> Any:
        """A key of the sign-in service; raises NotAdmitted for one that it does not have."""
        async with self._asking:
            age = self._clock.monotonic() - self._tried_at
            if self._keys is None or age > KEYS_SECONDS or (not self._has(key_id) and age > KEYS_PAUSE_SECONDS):
                await self._ask(wanted)
        if not self._has(key_id):
            raise NotAdmitted
        assert self._keys is not None
        return self._keys[key_id]

    def _has(self, key_id: str) -> bool:
        return self._keys is not None and any(key.key_id == key_id for key in self._keys.keys)

    async def _ask(self, wanted: UserSignIn) -> None:
        """Read the keys; while that fails those known before go on."""
        from jwt import PyJWKSet, PyJWTError

        authority, self._tried_at = wanted.sandbox_url or AUTHORITY, self._clock.monotonic()
        try:
            text = await self._fetched(f"{authority.rstrip('/')}/{wanted.tenant_id}/discovery/v2.0/keys")
            self._keys = PyJWKSet.from_dict(dict(text))
        except (httpx.HTTPError, TimeoutError, NotJson, PyJWTError, ValueError):
            if self._keys is None:
                raise SignInUnavailable from None
            log.warning("the sign-in service's keys could not be read anew", extra={"action": "sign_in"})

    async def _fetched(self, url: str) -> JsonObject:
        transport = self._make_http("sign_in") if self._make_http else None
        async with asyncio.timeout(TIMEOUT_SECONDS), httpx.AsyncClient(transport=transport) as http:
            response = await http.get(url)
            response.raise_for_status()
            if len(response.content) > LARGEST_KEYS_BYTES:
                raise ValueError("too large")
            body = load(response.content)
        if not isinstance(body, dict):
            raise ValueError("no object")
        return body


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _guid(text: object) -> str:
    """A user's id in canonical form; raises NotAdmitted for anything else."""
    try:
        return canonical_guid(str(text or ""))
    except ValueError:
        raise NotAdmitted from None
