"""From the settings of a field service to a connector that is answered, in every way of signing in."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from sandbox.field_service.options import Auth, FsmOptions, IfsCloudOptions
from sandbox.field_service.sandbox import FieldServiceSandbox, FsmSandbox, IfsCloudSandbox
from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport
from shared.app import App, Outside
from shared.engine import Systems
from shared.errors import SettingsError, SignInFailed
from shared.settings import prefix_of
from tests.contract.connectors.rigs import LOGIN
from tests.scenarios.doors.world import ENVIRONMENT
from tests.unit.connectors.fakes import JumpingClock

SECRET = "open-sesame"
FSM = {"CROSSDOCK_SYSTEMS": "fsm", "CROSSDOCK_FSM_URL": "https://fsm.example/service/rest"}
IFS = {
    "CROSSDOCK_SYSTEMS": "ifs_cloud",
    "CROSSDOCK_IFS_CLOUD_URL": "https://ifs.example",
    "CROSSDOCK_IFS_CLOUD_NAMESPACE": "prod",
    "CROSSDOCK_IFS_CLOUD_IDENTITIES": f"CROSSDOCK:{SECRET}",
}
BASIC = FSM | {"CROSSDOCK_FSM_IDENTITIES": f"crossdock:{SECRET}"}
KEY = FSM | {"CROSSDOCK_FSM_SIGN_IN": "api_key", "CROSSDOCK_FSM_IDENTITIES": f"X-Api-Key:{SECRET}"}
OAUTH2 = FSM | {
    "CROSSDOCK_FSM_SIGN_IN": "oauth2",
    "CROSSDOCK_FSM_TOKEN_URL": LOGIN,
    "CROSSDOCK_FSM_SCOPE": "api://fsm/.default",
    "CROSSDOCK_FSM_IDENTITIES": f"crossdock:{SECRET}",
}
SANDBOX = {
    "CROSSDOCK_SANDBOX_TOKEN_URL": "http://127.0.0.1:9/t/oauth2/v2.0/token",
    "CROSSDOCK_IFS_CLOUD_URL": "",
    "CROSSDOCK_IFS_CLOUD_SANDBOX_URL": "http://127.0.0.1:9",
}


class World:
    """A field service, and an app with these settings."""

    def __init__(self, settings: Mapping[str, str], auth: Auth = Auth.BASIC) -> None:
        self.clock = JumpingClock()
        self.issuer = TokenIssuer(self.clock)
        self.issuer.register("crossdock", SECRET)
        self.name = settings["CROSSDOCK_SYSTEMS"].partition("=")[0]
        self.sandbox: FieldServiceSandbox
        if "CROSSDOCK_IFS_CLOUD_NAMESPACE" in settings:
            options = IfsCloudOptions(namespace="prod")
            self.sandbox = IfsCloudSandbox(clock=self.clock, issuer=self.issuer, options=options)
        else:
            fsm = FsmOptions(auth=auth)
            self.sandbox = FsmSandbox(clock=self.clock, issuer=self.issuer, base_path="/service/rest", options=fsm)
        self.app = App({**ENVIRONMENT, **settings}, Outside(clock=self.clock, http=self._transport))
        self.systems = Systems(self.app, None)

    def _transport(self, name: str) -> httpx.AsyncBaseTransport:
        return SandboxTransport(self.issuer.app if name == "sign_in" else self.sandbox.app)

    async def ping(self) -> str:
        """Ask as the settings say; returns what the connector is known by."""
        connector = self.systems.made([self.name])[self.name]
        await connector.ping()
        return connector.instance

    async def aclose(self) -> None:
        """Close everything."""
        await self.systems.aclose()
        await self.app.aclose()
        await self.sandbox.aclose()


@pytest.mark.parametrize(
    ("settings", "auth", "instance"),
    [
        (BASIC, Auth.BASIC, "fsm.example/service/rest"),
        (KEY, Auth.API_KEY, "fsm.example/service/rest"),
        (OAUTH2, Auth.OAUTH2, "fsm.example/service/rest"),
        (IFS, Auth.BASIC, "ifs.example"),
        (IFS | SANDBOX, Auth.BASIC, "127.0.0.1:9"),
    ],
    ids=["basic", "key", "oauth2", "ifs_cloud", "ifs_cloud on this machine"],
)
async def test_settings_become_a_connector_that_is_answered(
    settings: Mapping[str, str], auth: Auth, instance: str
) -> None:
    """User and password, a key in a header, tokens of a sign-in service, tokens of the environment itself."""
    world = World(settings, auth)
    assert await world.ping() == instance
    assert world.sandbox.requests.unforeseen() == []
    await world.aclose()


@pytest.mark.parametrize("settings", [BASIC, IFS])
async def test_a_wrong_secret_is_a_refused_sign_in(settings: Mapping[str, str]) -> None:
    """Nothing of it is shown."""
    world = World({name: value.replace(SECRET, "wrong-one") for name, value in settings.items()})
    with pytest.raises(SignInFailed) as refused:
        await world.ping()
    assert "wrong-one" not in str(refused.value)
    await world.aclose()


@pytest.mark.parametrize(
    ("settings", "site", "named"),
    [
        (BASIC, '{"pages": 5}', "pages: is not known"),
        (BASIC, '{"time_zone": "Europe/Rom"}', "time_zone: is no time zone"),
        (BASIC, "[]", "object"),
        (IFS, '{"flags": ["J", "N"]}', "flags"),
        (IFS, "{", "JSON"),
    ],
)
async def test_what_is_wrong_in_a_binding_is_named_with_its_setting(
    settings: Mapping[str, str], site: str, named: str
) -> None:
    """Of a system that has a name of its own, too; only its own definitions stand still."""
    kind = settings["CROSSDOCK_SYSTEMS"]
    own = {name.replace(prefix_of(kind), prefix_of("field")): value for name, value in settings.items()}
    named_otherwise = {"CROSSDOCK_SYSTEMS": f"field={kind}", "CROSSDOCK_FIELD_SITE": site}
    world = World({**settings, **own, **named_otherwise})
    assert world.systems.made(["field"]) == {}
    error = world.systems.wrong["field"]
    assert isinstance(error, SettingsError)
    assert "CROSSDOCK_FIELD_SITE" in str(error)
    assert named in str(error)
    await world.aclose()
