"""The composition root: what is made from which settings, when, and that all of it is given back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.app import App, Outside, current, installed
from shared.connectors.business_central.connector import BusinessCentralConnector
from shared.connectors.dataverse.connector import DataverseConnector
from shared.engine import Engine, load_index
from shared.errors import SettingsError, StoreUnavailable
from shared.messaging.service_bus import ServiceBusQueue
from shared.sync.ports import Mode, Switch
from tests.scenarios.doors.world import COMPANY, ENVIRONMENT, ORGANIZATION

SANDBOXES = {
    "CROSSDOCK_SANDBOX_TOKEN_URL": "http://127.0.0.1:9/tenant/oauth2/v2.0/token",
    "CROSSDOCK_DATAVERSE_URL": "",
    "CROSSDOCK_DATAVERSE_SANDBOX_URL": "http://127.0.0.1:9",
    "CROSSDOCK_DATAVERSE_IDENTITIES": "crm:made-up crm2:made-up",
    "CROSSDOCK_BUSINESS_CENTRAL_URL": "",
    "CROSSDOCK_BUSINESS_CENTRAL_SANDBOX_URL": "http://127.0.0.1:9/v2.0",
    "CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES": "erp:made-up erp2:made-up",
}


async def built(**changes: str) -> tuple[App, Engine]:
    """An app and its engine, made from settings only."""
    app = App({**ENVIRONMENT, **changes})
    return app, await app.engine()


async def test_settings_become_the_real_systems_and_a_store() -> None:
    """Nothing is called until a transfer runs: no address here answers."""
    app, engine = await built()
    crm, erp = (engine.pipeline.ports.connectors[name] for name in ("dataverse", "business_central"))
    assert (crm.instance, erp.instance) == (ORGANIZATION, f"Production/{COMPANY}")
    kinds = {type(part) for part in engine.own}
    assert {DataverseConnector, BusinessCentralConnector} <= kinds
    assert (await engine.stores.modes.get("account_to_business_central")).switch is Switch.OFF
    assert isinstance(app.queue, ServiceBusQueue)
    await app.aclose()


async def test_sandboxes_are_signed_in_to_and_called_where_they_are() -> None:
    """The same connectors, another address; the transport of every client can be given."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url}")
        if "token" in request.url.path:
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})
        return httpx.Response(200, json={"OrganizationId": ORGANIZATION, "value": []})

    outside = Outside(http=lambda name: httpx.MockTransport(answer))
    app = App({**ENVIRONMENT, **SANDBOXES}, outside)
    engine = await app.engine()
    await engine.pipeline.ports.connectors["dataverse"].ping()
    await engine.pipeline.ports.connectors["business_central"].ping()
    assert asked[0] == "POST http://127.0.0.1:9/tenant/oauth2/v2.0/token"
    assert "GET http://127.0.0.1:9/api/data/v9.2/WhoAmI" in asked
    assert any("http://127.0.0.1:9/v2.0/contoso.example/Production/api/v2.0/companies" in one for one in asked)
    await app.aclose()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"CROSSDOCK_FINGERPRINT_KEY": ""}, "CROSSDOCK_FINGERPRINT_KEY"),
        ({"ServiceBus": ""}, "ServiceBus__fullyQualifiedNamespace"),
        ({"CROSSDOCK_DATAVERSE_URL": "ftp://contoso.example"}, "dataverse"),
        ({"CROSSDOCK_DATAVERSE_URL": "http://contoso.example"}, "https"),
        ({"CROSSDOCK_DATAVERSE_IDENTITIES": "a:b"}, "tenant"),
        ({"CROSSDOCK_BUSINESS_CENTRAL_ENVIRONMENT": "a/b"}, "environment"),
        ({**SANDBOXES, "CROSSDOCK_BUSINESS_CENTRAL_IDENTITIES": ""}, "BUSINESS_CENTRAL"),
        ({**SANDBOXES, "CROSSDOCK_DATAVERSE_SANDBOX_URL": "http://contoso.example"}, "https"),
        (
            {"CROSSDOCK_STORE_PATH": "", "CROSSDOCK_STORE_CONNECTION_STRING": "no-connection-string"},
            "connection string of the store",
        ),
    ],
)
async def test_a_wrong_setting_is_named_before_anything_runs(changes: dict[str, str], named: str) -> None:
    """By the section that reads it, or by the part that gets it."""
    with pytest.raises(SettingsError, match=named):
        await built(**changes)


async def test_a_store_that_cannot_be_opened_is_unavailable_and_tried_again(tmp_path: Path) -> None:
    """The next message makes everything anew."""
    path = tmp_path / "store.sqlite"
    path.write_text("this is no database file, however long it may be" * 100)
    app = App({**ENVIRONMENT, "CROSSDOCK_STORE_PATH": str(path)})
    with pytest.raises(StoreUnavailable):
        await app.engine()
    path.unlink()
    engine = await app.engine()
    await engine.stores.modes.put(Mode("account_to_business_central", Switch.ON))
    await app.aclose()
    again = await app.engine()
    assert (await again.stores.modes.get("account_to_business_central")).switch is Switch.ON
    await app.aclose()


async def test_many_first_calls_make_one_engine() -> None:
    """A cold start meets several messages at once."""
    app = App(ENVIRONMENT)
    engines = await asyncio.gather(*(app.engine() for _ in range(5)))
    assert len({id(engine) for engine in engines}) == 1
    await app.aclose()
    await app.aclose()


async def test_the_queue_signs_in_with_the_apps_identity_only_when_it_sends() -> None:
    """Making it connects nowhere and imports nothing."""
    app = App({**ENVIRONMENT, "ServiceBus": "", "ServiceBus__fullyQualifiedNamespace": "a.servicebus.windows.net"})
    queue = app.queue
    assert isinstance(queue, ServiceBusQueue)
    assert app.queue is queue
    assert app._credential is None
    assert app.credential() is app.credential()
    await app.aclose()
    assert app._credential is None


def test_every_event_loop_has_its_own_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients belong to the loop they were made on; within one loop there is one app."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    async def two() -> tuple[App, App]:
        return current(), current()

    first, again = asyncio.run(two())
    other, _ = asyncio.run(two())
    assert first is again
    assert other is not first


async def test_an_installed_app_takes_the_place_of_the_processs_own() -> None:
    """The innermost one counts."""
    one, two = App({}), App({})
    with installed(one):
        with installed(two):
            assert current() is two
        assert current() is one


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"definitions": 1}',
        b'{"definitions": 1, "problems": []}',
        b'{"definitions": [], "problems": [1]}',
        b'{"definitions": [], "tables": 1, "problems": []}',
    ],
)
def test_an_index_that_is_none_is_a_problem_and_no_crash(text: bytes) -> None:
    """Health shows it."""
    index = load_index(text)
    assert index.definitions == ()
    assert [problem.file for problem in index.problems] == ["transfers/index.json"]


@pytest.mark.parametrize(
    "entry", [None, 1, {}, {"file": "f.yaml"}, {"file": "f.yaml", "transfers": [1, {"name": "t"}]}]
)
def test_an_entry_that_is_no_definition_is_named(entry: Any) -> None:
    """With its file, as far as it can be read."""
    index = load_index(json.dumps({"definitions": [entry], "problems": []}).encode())
    assert index.definitions == ()
    assert len(index.problems) == 1


def test_a_damaged_table_is_named_and_the_others_are_declared() -> None:
    """As with definitions; an index without any is one of an earlier version."""
    good = {"file": "t.yaml", "system": "dataverse", "table": "account", "columns": [{"name": "cdock_x", "label": "X"}]}
    bad = {**good, "columns": []}
    index = load_index(json.dumps({"definitions": [], "tables": [good, bad], "problems": []}).encode())
    assert [one.table for one in index.tables] == ["account"]
    assert [problem.file for problem in index.problems] == ["t.yaml"]
    assert load_index(b'{"definitions": [], "problems": []}').problems == ()
