"""Who is signed in: tokens of the sign-in service, and those that only look like them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.errors import SettingsError, SignInUnavailable
from shared.routes import NotAdmitted
from shared.settings import Settings
from shared.user_tokens import KEYS_PAUSE_SECONDS, KEYS_SECONDS, UserTokens
from shared.users import User
from tests.contract.domain_stores.fakes import HandClock

TENANT = "7d3ba6e5-41c4-4f0e-9a55-2f6f0a7a5a10"
API = "3f2b8a54-4c37-4a0e-8c5e-1f8f6f0b9a11"
PERSON = "0b4f9d7e-2a66-4f0b-9f5c-6a1c0e5d7a22"
KEYS = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("first", "second")}
SETTINGS = {"CROSSDOCK_USERS_TENANT_ID": TENANT, "CROSSDOCK_USERS_AUDIENCE": f"{API} api://crossdock"}


class SignIn:
    """The sign-in service's keys, and how often they were asked for."""

    def __init__(self) -> None:
        self.keys = ["first"]
        self.asked = 0
        self.down = False

    def transport(self, _: str) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == f"https://login.microsoftonline.com/{TENANT}/discovery/v2.0/keys"
        self.asked += 1
        if self.down:
            raise httpx.ConnectError("down")
        return httpx.Response(200, json={"keys": [{**_public(name), "kid": name} for name in self.keys]})


def _public(name: str) -> dict[str, Any]:
    key: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS[name].public_key()))
    return key


class World:
    """A check with a clock of its own."""

    def __init__(self, settings: Mapping[str, str] = SETTINGS) -> None:
        self.clock = HandClock()
        self.sign_in = SignIn()
        self.users = UserTokens(Settings(settings), self.clock, self.sign_in.transport)

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(self.clock.now().timestamp())
        usual = {
            "aud": API,
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "tid": TENANT,
            "oid": PERSON,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "scp": "user_impersonation",
        }
        return {name: value for name, value in {**usual, **other}.items() if value is not None}

    def token(self, key: str = "first", **other: Any) -> str:
        return jwt.encode(self.claims(**other), KEYS[key], algorithm="RS256", headers={"kid": key})

    async def admits(self, token: str) -> bool:
        try:
            user = await self.users.bearer({"authorization": f"Bearer {token}"})
        except NotAdmitted:
            return False
        assert (user.object_id, user.assertion) == (PERSON, token)
        return True


async def test_a_user_is_known_by_his_token() -> None:
    """R-019, R-020: his Azure id, and the same one in every system; both versions of tokens, both names of the API."""
    world = World()
    assert await world.admits(world.token())
    assert await world.admits(world.token(iss=f"https://sts.windows.net/{TENANT}/", aud="api://crossdock"))
    assert world.sign_in.asked == 1


def _forged(world: World) -> str:
    return world.token("second")


def _unsigned(world: World) -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none", "kid": "first"}).encode()).rstrip(b"=").decode()
    return f"{head}.{world.token().split('.')[1]}."


def _with_the_public_key_as_secret(world: World) -> str:
    """The old trick: an HMAC with what everybody knows."""
    head = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "first"}).encode()).rstrip(b"=")
    body = head + b"." + world.token().split(".")[1].encode()
    public = jwt.algorithms.RSAAlgorithm.to_jwk(KEYS["first"].public_key()).encode()
    return (body + b"." + base64.urlsafe_b64encode(hmac.new(public, body, hashlib.sha256).digest())).decode()


def _signed_by_another_under_the_name(world: World) -> str:
    return jwt.encode(world.claims(), KEYS["second"], algorithm="RS256", headers={"kid": "first"})


WRONG: Mapping[str, Callable[[World], str]] = {
    "another audience": lambda world: world.token(aud="00000003-0000-0000-c000-000000000000"),
    "no audience": lambda world: world.token(aud=None),
    "several audiences": lambda world: world.token(aud=[API, "another"]),
    "another issuer": lambda world: world.token(iss="https://login.example/v2.0"),
    "another tenant's issuer": lambda world: world.token(iss=f"https://login.microsoftonline.com/{API}/v2.0"),
    "another tenant": lambda world: world.token(tid=API),
    "expired": lambda world: world.token(exp=int(world.clock.now().timestamp()) - 61),
    "no end": lambda world: world.token(exp=None),
    "an end that is no number": lambda world: world.token(exp="tomorrow"),
    "not begun": lambda world: world.token(nbf=int(world.clock.now().timestamp()) + 61),
    "an application's": lambda world: world.token(scp=None, roles=["user_impersonation"]),
    "an id token": lambda world: world.token(scp=None, nonce="x"),
    "another right": lambda world: world.token(scp="User.Read"),
    "a right that only contains ours": lambda world: world.token(scp="user_impersonation_too"),
    "nobody's": lambda world: world.token(oid=None),
    "a key of nobody": _forged,
    "another key under a known name": _signed_by_another_under_the_name,
    "unsigned": _unsigned,
    "signed with the public key": _with_the_public_key_as_secret,
    "cut": lambda world: world.token()[:-9],
    "changed": lambda world: world.token().replace(".", ".a", 1),
    "nothing": lambda world: "",
    "no token": lambda world: "abc",
    "too long": lambda world: "a" * 20_000,
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_token_that_does_not_fit_opens_nothing(kind: str) -> None:
    """R-019: audience, issuer, expiry, signature, scope."""
    world = World()
    assert not await world.admits(WRONG[kind](world))
    assert await world.admits(world.token())


async def test_other_kinds_of_credentials_are_nobodys() -> None:
    """Also the platform's headers, which anybody can send where the platform's sign-in is off."""
    world = World()
    for headers in (
        {},
        {"authorization": "Basic abc"},
        {"x-ms-token-aad-access-token": world.token(), "x-ms-client-principal-id": PERSON},
    ):
        with pytest.raises(NotAdmitted):
            await world.users.browser(headers)


async def test_the_platforms_sign_in_counts_while_it_is_on() -> None:
    """R-029: with the user's token, which is checked like any other, or by his id alone; never for programs."""
    world = World({**SETTINGS, "CROSSDOCK_PLATFORM_SIGN_IN": "on"})
    token = world.token()
    assert (await world.users.browser({"x-ms-token-aad-access-token": token})).assertion == token
    by_id = await world.users.browser({"x-ms-client-principal-id": PERSON.upper()})
    assert (by_id.object_id, by_id.assertion) == (PERSON, "")
    for headers in ({"x-ms-token-aad-access-token": world.token(aud="another")}, {"x-ms-client-principal-id": "root"}):
        with pytest.raises(NotAdmitted):
            await world.users.browser(headers)
    with pytest.raises(NotAdmitted):
        await world.users.bearer({"x-ms-token-aad-access-token": token})


async def test_a_new_key_is_found_and_strangers_cannot_make_us_ask_for_ever() -> None:
    """Keys roll over without notice; a token with an invented key costs one question a minute."""
    world = World()
    assert await world.admits(world.token())
    for _ in range(5):
        assert not await world.admits(world.token("second"))
    assert world.sign_in.asked == 1
    world.sign_in.keys = ["first", "second"]
    world.clock.move(seconds=KEYS_PAUSE_SECONDS + 1)
    assert await world.admits(world.token("second"))
    assert world.sign_in.asked == 2
    world.sign_in.keys = ["second"]
    world.clock.move(seconds=KEYS_SECONDS + 1)
    assert not await world.admits(world.token("first"))


async def test_the_sign_in_service_may_be_down() -> None:
    """Known keys go on; without any, nobody can be told who he is."""
    world = World()
    world.sign_in.down = True
    with pytest.raises(SignInUnavailable):
        await world.admits(world.token())
    world.sign_in.down = False
    assert await world.admits(world.token())
    world.sign_in.down = True
    world.clock.move(seconds=KEYS_SECONDS + 1)
    assert await world.admits(world.token())


async def test_without_a_tenant_nobody_is_let_in() -> None:
    """A setting is missing, and says so to the log."""
    world = World({})
    with pytest.raises(SettingsError, match="CROSSDOCK_USERS_TENANT_ID"):
        await world.users.bearer({"authorization": f"Bearer {world.token()}"})


def test_a_token_is_not_shown() -> None:
    """Neither in the log nor in an error."""
    assert "secret" not in repr(User(PERSON, "secret"))
