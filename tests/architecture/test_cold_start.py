"""The function app as the platform starts it: what it imports, and whether Microsoft's own runtime takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from shared.app import transfer_names
from shared.routes import ROUTES
from shared.sync.feed_tasks import QUEUE
from tests.contract.functions_host import runtime_driver
from tests.scenarios.doors.world import ENVIRONMENT, dump, notice

ROOT = Path(__file__).parents[2]
HEAVY = (
    "azure.servicebus",
    "azure.data",
    "azure.identity",
    "azure.core",
    "httpx",
    "aiohttp",
    "yaml",
    "msal",
    "sqlite3",
    "stdnum",
    "phonenumbers",
    "email_validator",
    "rapidfuzz",
)


def loaded(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after this code."""
    told = subprocess.run(  # noqa: S603 # our own interpreter and code
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
    )
    return set(json.loads(told.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> list[str]:
    """Those of them that a notice must not wait for."""
    return sorted(name for name in modules if name.startswith(HEAVY))


def test_a_cold_start_loads_only_what_taking_a_notice_needs() -> None:
    """azure.functions, pydantic and our own slim modules; neither the engine nor a connector."""
    modules = loaded("import function_app")
    assert heavy(modules) == []
    ours = {name for name in modules if name.startswith("shared.")}
    assert not {"shared.engine", "shared.operations", "shared.sync.pipeline", "shared.sync.definition"} & ours
    assert not {name for name in ours if name.endswith((".connector", ".client")) or name.startswith("shared.stores")}


def test_taking_a_notice_loads_nothing_more_up_to_the_send() -> None:
    """Guard, parsing and messages; what follows is the queue's own package."""
    code = f"""
import asyncio, os, random
from datetime import UTC, datetime
import azure.functions as func
from functions import webhooks
from shared.app import App, Outside, installed

class Taken:
    sent = 0
    async def send_all(self, by_queue):
        self.sent += sum(map(len, by_queue.values()))

class Noon:
    def now(self):
        return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

queue = Taken()
body = {dump(notice())!r}
secret = os.environ["CROSSDOCK_DATAVERSE_WEBHOOK_SECRET"]
with installed(App(os.environ, Outside(clock=Noon(), queue=queue))):
    request = func.HttpRequest("POST", "https://app.example", headers={{"x-crossdock-secret": secret}}, body=body)
    assert asyncio.run(webhooks.dataverse_webhook(request)).status_code == 202
assert queue.sent == 2
"""
    assert heavy(loaded(code)) == []


def test_taking_a_message_of_field_service_loads_nothing_more() -> None:
    """In either form."""
    code = """
import asyncio, os
import azure.functions as func
from functions import webhooks
from shared.app import App, installed

secret = "field-service-secret-of-32-characters"
settings = {**os.environ, "CROSSDOCK_SYSTEMS": "dataverse,fsm", "CROSSDOCK_FSM_WEBHOOK_SECRET": secret}
with installed(App(settings)) as app:
    for body in (b'{"table": "nothing", "key": "7"}', b"<m><nothing/></m>"):
        request = func.HttpRequest("POST", "https://app.example", headers={"x-crossdock-secret": secret}, body=body)
        assert asyncio.run(webhooks.fsm_outbound(request)).status_code == 200
"""
    assert heavy(loaded(code)) == []


def test_the_cockpits_queue_and_timer_are_there_only_with_a_cockpit() -> None:
    """An app that waits for a queue nobody has made would not start."""
    own = {"evaluation_to_dataverse": "serviceBusTrigger", "evaluations": "timerTrigger"}
    with_one = {**ENVIRONMENT, "CROSSDOCK_SYSTEMS": "dataverse,sales_cockpit"}
    found, without = (
        {entry.name: entry.trigger["type"] for entry in runtime_driver.index(ROOT, environment)}
        for environment in (with_one, ENVIRONMENT)
    )
    assert own.items() <= found.items()
    assert not own.keys() & without.keys()
    code = "import os; os.environ['CROSSDOCK_SYSTEMS'] = 'dataverse,sales_cockpit'; import function_app"
    assert heavy(loaded(code)) == []


def test_the_platforms_own_runtime_finds_every_function() -> None:
    """One function that it does not like, and Azure would show none."""
    found = {entry.name: entry.trigger["type"] for entry in runtime_driver.index(ROOT, ENVIRONMENT)}
    timers = {"walks", "drain", "sweep", "subscriptions", "compare", "schema_drift"}
    assert {name for name, kind in found.items() if kind == "httpTrigger"} == set(ROUTES)
    assert {name for name, kind in found.items() if kind == "serviceBusTrigger"} == {*transfer_names(), QUEUE}
    assert {name for name, kind in found.items() if kind == "timerTrigger"} == timers
    assert not [name for name in {*ROUTES, *timers} if "_to_" in name], "names of transfers are kept for transfers"
