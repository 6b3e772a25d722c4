"""The local host and Microsoft's own runtime say the same about the sample app.

The runtime is the code that runs inside the worker in Azure (from Python 3.13 on); what it answers is the measure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from local.host import FunctionsHost
from tests.contract.functions_host.fakes import SAMPLE_APP, SETTINGS, MemoryBus, until
from tests.contract.functions_host.runtime_driver import Invoked, NotIndexed, RuntimeDriver

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.fixture
def runtime() -> Iterator[RuntimeDriver]:
    """Microsoft's runtime with the sample app in a process of its own."""
    with RuntimeDriver(SAMPLE_APP, SETTINGS) as driver:
        yield driver


def test_both_find_the_same_functions(one_runtime: RuntimeDriver, host: FunctionsHost) -> None:
    """Names, kinds and parameters."""
    kinds = {"httpTrigger": "http", "timerTrigger": "timer", "serviceBusTrigger": "queue"}
    found = {entry.name: (kinds[entry.trigger["type"]], entry.trigger["name"]) for entry in one_runtime.index()}
    assert found == {function.name: (function.trigger.kind, function.argument) for function in host.functions()}


@pytest.mark.parametrize(
    ("function", "method", "path", "route", "query", "body"),
    [
        ("greet", "GET", "/api/greet/Ada", {"name": "Ada"}, {}, b""),
        ("echo", "PUT", "/api/echo/a/b?q=1&r=%C3%A4", {"rest": "a/b"}, {"q": "1", "r": "ä"}, b"some body"),
        ("order_by_id", "GET", f"/api/orders/{GUID}", {"id": GUID}, {}, b""),
        ("order_by_number", "GET", "/api/orders", {}, {}, b""),
        ("keep", "POST", "/api/keep", {}, {}, b""),
        ("fail", "GET", "/api/fail", {}, {}, b""),
        ("nothing", "GET", "/api/nothing", {}, {}, b""),
        ("cookies", "GET", "/api/cookies", {}, {}, b""),
    ],
)
async def test_both_answer_alike(
    one_runtime: RuntimeDriver,
    caller: httpx.AsyncClient,
    function: str,
    method: str,
    path: str,
    route: dict[str, str],
    query: dict[str, str],
    body: bytes,
) -> None:
    """Status, content type, own headers, cookies and body; the runtime's failure is the host's 500."""
    url = f"http://localhost:7071{path}"
    headers = {"x-test-header": "value"}
    theirs = one_runtime.invoke_http(function, method, url, headers=headers, query=query, route=route, body=body)
    ours = await caller.request(method, path, content=body, headers={**headers, "x-functions-key": "master-key"})
    if not theirs.ok:
        assert (ours.status_code, ours.content) == (500, b"")
        return
    assert ours.status_code == theirs.status
    assert ours.content == theirs.body
    assert dict(ours.cookies) == theirs.cookies
    if ours.content:
        for name, value in theirs.headers.items():
            assert ours.headers[name] == value


async def test_both_hand_over_messages_and_ticks_alike(
    runtime: RuntimeDriver, running: FunctionsHost, sample: ModuleType, bus: MemoryBus
) -> None:
    """The functions write down what they were given; both journals are the same."""
    properties = {"n": 1, "text": "x"}
    assert runtime.invoke_queue("orders", "grün", ApplicationProperties=properties).ok
    assert not runtime.invoke_queue("orders", "bad", MessageId="m2").ok
    assert runtime.invoke_queue("invoices", "i1").ok
    assert runtime.invoke_timer("tick").ok
    orders, invoices = bus.queue("orders"), bus.queue("invoices")
    orders.max_deliveries = 1
    orders.send("grün", application_properties=properties)
    await until(lambda: orders.completed, "the first message")
    orders.send("bad")
    await until(lambda: orders.dead, "the second message")
    invoices.send("i1")
    await until(lambda: invoices.completed, "the third message")
    assert (await running.invoke_timer("tick")).ok
    assert sample.journal == json.loads(runtime.invoke_http("show_journal", "GET", "http://x/").body)


def test_a_timer_that_is_past_due_says_so(runtime: RuntimeDriver) -> None:
    """The driver can tell a timer that it is late."""
    assert runtime.invoke_timer("tick", past_due=True).ok
    assert json.loads(runtime.invoke_http("show_journal", "GET", "http://x/").body) == ["tick past_due=True"]


def test_an_app_that_does_not_load_says_why(tmp_path: Path) -> None:
    """The runtime's reason comes through; asking the driver for an invocation says the same."""
    (tmp_path / "function_app.py").write_text("import no_such_module")
    with RuntimeDriver(tmp_path) as driver, pytest.raises(NotIndexed, match="no_such_module"):
        driver.invoke_http("f", "GET", "http://x/")


def test_output_of_functions_does_not_disturb(tmp_path: Path) -> None:
    """Functions may print; the answers do not mix with it."""
    source = (
        "import azure.functions as func\napp = func.FunctionApp()\nprint('at import')\n"
        "@app.route(route='x')\ndef f(req: func.HttpRequest) -> str:\n    print('inside')\n    return 'fine'\n"
    )
    (tmp_path / "function_app.py").write_text(source)
    with RuntimeDriver(tmp_path) as driver:
        assert driver.invoke_http("f", "GET", "http://x/") == Invoked(ok=True, status=200, body=b"fine")


@pytest.mark.parametrize(
    ("folder", "status", "told"), [(SAMPLE_APP, 0, "tick: timerTrigger"), (None, 1, "The runtime loads no function")]
)
def test_the_command_line_says_what_was_indexed(folder: Path | None, status: int, told: str, tmp_path: Path) -> None:
    """0 and a list, or 1 and the reason."""
    (tmp_path / "function_app.py").write_text("")
    command = [sys.executable, "-m", "tests.contract.functions_host.runtime_driver", str(folder or tmp_path)]
    done: Any = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # our own module
    assert (done.returncode, told in done.stdout) == (status, True), done.stderr
