"""HTTP functions are found, guarded and answered as in Azure."""

from __future__ import annotations

import asyncio
import logging
from types import ModuleType

import azure.functions as func
import httpx
import pytest

import local.host.http
from local.host import FunctionsHost, HostKeys, HostRefused
from local.host.routes import BadRoute, parse, split_path
from tests.contract.functions_host.fakes import HandClock, MemoryBus, make_host, settle

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


async def test_a_function_answers_under_its_route(caller: httpx.AsyncClient) -> None:
    """The prefix is `api`, literals ignore case, a slash at the end does not matter."""
    for path in ("/api/greet/Ada", "/API/Greet/Ada", "/api/greet/Ada/"):
        answer = await caller.get(path)
        assert (answer.status_code, answer.text) == (200, "Good day, Ada")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-told"] == "yes"


async def test_a_function_sees_the_request_as_the_worker_shows_it(caller: httpx.AsyncClient) -> None:
    """Repeated values are joined, empty query values left out, an encoded slash stays encoded, `def` has a thread."""
    answer = await caller.put(
        "/api/echo/a%20b/c%2Fd?x=1&X=2&empty=&y=%C3%A4",
        headers=[("x-functions-key", "host-key"), ("x-test", "one"), ("X-Test", "two")],
        content="body",
    )
    told = answer.json()
    assert told["method"] == "PUT"
    assert told["url"].startswith("http://localhost:7071/api/echo/")
    assert told["params"] == {"x": "1,2", "y": "ä"}
    assert told["route"] == {"rest": "a b/c%2Fd"}
    assert told["headers"] == {"x-test": "one,two"}
    assert told["body"] == "body"
    assert told["function"] == "echo"
    assert told["has_id"]
    assert told["same_id"]
    assert told["in_thread"]
    assert answer.headers["content-type"] == "application/json"


async def test_the_more_specific_route_wins(caller: httpx.AsyncClient) -> None:
    """A literal beats a parameter with a constraint, which beats one without; an optional one may be absent."""
    key = {"x-functions-key": "host-key"}
    for path, text in (
        ("latest", "latest"),
        (GUID, f"id {GUID}"),
        ("77", "number 77"),
        ("", "number none"),
    ):
        assert (await caller.get(f"/api/orders/{path}", headers=key)).text == text


async def test_an_unknown_address_or_method_is_a_404(caller: httpx.AsyncClient) -> None:
    """HEAD to a function that lists GET only finds nothing, as in Azure."""
    assert (await caller.get("/api/nowhere")).status_code == 404
    assert (await caller.get("/greet/Ada")).status_code == 404
    assert (await caller.delete("/api/greet/Ada")).status_code == 404
    assert (await caller.head("/api/greet/Ada")).status_code == 404
    assert (await caller.get("/api/greet/Ada/more")).status_code == 404
    assert (await caller.get("/")).status_code == 404


async def test_head_gives_no_body_where_the_function_takes_it(caller: httpx.AsyncClient) -> None:
    """A function without a list of methods takes all of them."""
    answer = await caller.head("/api/echo/x", headers={"x-functions-key": "host-key"})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "header", "code", "status"),
    [
        ("/api/echo/x", None, None, 401),
        ("/api/echo/x", "wrong", None, 401),
        ("/api/echo/x", "", None, 401),
        ("/api/echo/x", "echo-key", None, 200),
        ("/api/echo/x", None, "echo-key", 200),
        ("/api/echo/x", "wrong", "echo-key", 401),
        ("/api/echo/x", "host-key", None, 200),
        ("/api/echo/x", "master-key", None, 200),
        ("/api/orders/latest", "echo-key", None, 401),
        ("/api/orders/latest", "ключ", None, 401),
        ("/api/keep", "host-key", None, 401),
        ("/api/keep", None, "master-key", 204),
        ("/api/greet/Ada", "wrong", None, 200),
    ],
)
async def test_keys_open_what_they_should(
    caller: httpx.AsyncClient, path: str, header: str | None, code: str | None, status: int
) -> None:
    """Function level: own, host and master key; admin level: master key; anonymous: none asked."""
    headers = {} if header is None else {b"x-functions-key": header.encode()}
    params = {} if code is None else {"code": code}
    method = "POST" if path == "/api/keep" else "GET"
    answer = await caller.request(method, path, headers=headers, params=params)
    assert answer.status_code == status


async def test_empty_keys_open_nothing(sample: ModuleType, clock: HandClock, bus: MemoryBus) -> None:
    """A host without keys is closed, not open."""
    host = make_host(sample.app, clock, bus, keys=HostKeys())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host.asgi), base_url="http://x") as caller:
        assert (await caller.get("/api/echo/x?code=")).status_code == 401
        assert (await caller.get("/admin/host/status")).status_code == 401


@pytest.mark.parametrize("path", ["/api/fail", "/api/nothing"])
async def test_an_error_is_a_500_without_body_and_a_log_line_without_its_text(
    caller: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """The line says which error and where, with the invocation's id; never what the error says, nor the query."""
    caplog.set_level(logging.INFO)
    answer = await caller.get(f"{path}?token=secret-in-query")
    assert (answer.status_code, answer.content) == (500, b"")
    lines = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("local.host"))
    assert "secret" not in lines
    assert f"Executed {path.removeprefix('/api/')} (" in lines
    assert ("RuntimeError at function_app.py:" in lines) == (path == "/api/fail")


async def test_several_cookies_arrive(caller: httpx.AsyncClient) -> None:
    """Headers that repeat stay apart."""
    answer = await caller.get("/api/cookies")
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]


async def test_too_large_bodies_are_refused(caller: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an announced length at once, without one as soon as the limit is passed."""
    monkeypatch.setattr(local.host.http, "BODY_LIMIT_BYTES", 10)

    async def pieces() -> object:
        for _ in range(3):
            yield b"12345"

    assert (await caller.post("/api/greet/Ada", content=b"1" * 11)).status_code == 413
    assert (await caller.post("/api/greet/Ada", content=pieces())).status_code == 413  # type: ignore[arg-type] # httpx takes any async iterator
    assert (await caller.post("/api/greet/Ada", content=b"1" * 10)).status_code == 200


async def test_over_a_socket_everything_is_the_same(running: FunctionsHost) -> None:
    """The same application through uvicorn, on a port of its own."""
    async with httpx.AsyncClient(base_url=running.url) as caller:
        assert (await caller.get("/api/greet/Ada")).text == "Good day, Ada"
        assert (await caller.post("/api/keep?code=master-key")).status_code == 204
        assert (await caller.get("/api/fail")).status_code == 500
        assert (await caller.head("/api/echo?code=host-key")).content == b""


async def test_a_stop_lets_a_request_end(clock: HandClock, bus: MemoryBus) -> None:
    """Who was let in gets the answer."""
    began, gate = asyncio.Event(), asyncio.Event()
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="slow")
    async def slow(req: func.HttpRequest) -> str:
        began.set()
        await gate.wait()
        return "done"

    host = make_host(app, clock, bus, http_port=0)
    await host.start()
    async with httpx.AsyncClient(base_url=host.url) as caller:
        asking = asyncio.create_task(caller.get("/api/slow"))
        await began.wait()
        stopping = asyncio.create_task(host.stop())
        await asyncio.sleep(0.15)
        assert not stopping.done()
        gate.set()
        assert (await asking).text == "done"
        await stopping


async def test_a_run_goes_on_when_its_caller_goes_away(clock: HandClock, bus: MemoryBus) -> None:
    """A caller that hangs up does not leave half a piece of work."""
    began, gate, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="slow")
    async def slow(req: func.HttpRequest) -> str:
        began.set()
        await gate.wait()
        ended.set()
        return "done"

    host = make_host(app, clock, bus)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host.asgi), base_url="http://x") as caller:
        asking = asyncio.create_task(caller.get("/api/slow"))
        await began.wait()
        asking.cancel()
        await settle()
        gate.set()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_taken_port_is_named(running: FunctionsHost, sample: ModuleType, clock: HandClock) -> None:
    """Two hosts on one port: the second says so."""
    port = int(running.url.rpartition(":")[2])
    with pytest.raises(HostRefused, match=f"port {port} on 127.0.0.1 is taken"):
        await make_host(sample.app, clock, MemoryBus(clock), http_port=port).start()


async def test_a_disabled_function_is_not_there(sample: ModuleType, clock: HandClock, bus: MemoryBus) -> None:
    """`AzureWebJobs.<name>.Disabled` switches one function off."""
    host = make_host(sample.app, clock, bus, settings={"AzureWebJobs.greet.Disabled": "true"})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host.asgi), base_url="http://x") as caller:
        assert (await caller.get("/api/greet/Ada")).status_code == 404
        assert (await caller.get("/api/journal")).status_code == 200


async def test_the_route_prefix_comes_from_host_json(sample: ModuleType, clock: HandClock, bus: MemoryBus) -> None:
    """An empty prefix serves from the root."""
    host = make_host(sample.app, clock, bus, host_json={"extensions": {"http": {"routePrefix": ""}}})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(host.asgi), base_url="http://x") as caller:
        assert (await caller.get("/greet/Ada")).status_code == 200
        assert (await caller.get("/api/greet/Ada")).status_code == 404


async def test_the_administrator_sees_the_state(running: FunctionsHost) -> None:
    """`GET /admin/host/status` lists functions and listeners, for the master key only."""
    async with httpx.AsyncClient(base_url=running.url) as caller:
        assert (await caller.get("/admin/host/status?code=host-key")).status_code == 401
        status = (await caller.get("/admin/host/status", headers={"x-functions-key": "master-key"})).json()
    assert status["state"] == "Running"
    assert "greet [http] GET,POST /greet/{name} (anonymous)" in status["functions"]
    assert {entry["function"] for entry in status["listeners"]} == {"tick", "orders", "invoices"}


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("a/{n:int}", "a/5", {"n": "5"}),
        ("a/{n:int}", "a/5x", None),
        ("a/{n:length(2,3)}", "a/abcd", None),
        ("a/{n:length(2)}", "a/ab", {"n": "ab"}),
        ("a/{n:min(3):max(5)}", "a/4", {"n": "4"}),
        ("a/{n:range(3,5)}", "a/6", None),
        ("a/{n:alpha}", "a/x1", None),
        ("a/{n:bool}", "a/TRUE", {"n": "TRUE"}),
        (r"a/{n:regex(^\d{{2}}$)}", "a/12", {"n": "12"}),
        (r"a/{n:regex(^\d{{2}}$)}", "a/123", None),
        ("a/{*rest}", "a", {}),
        ("a/{*rest}", "a/b/c", {"rest": "b/c"}),
        ("a/{n:int?}", "a", {}),
        ("a/{n}", "a//", None),
        ("", "", {}),
    ],
)
def test_templates_match(template: str, path: str, values: dict[str, str] | None) -> None:
    """Constraints as documented in Microsoft Learn, 'Routing in ASP.NET Core'."""
    assert parse(template).match(split_path(path)) == values


@pytest.mark.parametrize(
    "template", ["/a", "a/{x?}/b", "a/{*x}/b", "{a}/{A}", "a/{x:mail}", "a/{x}-{y}", "a/{x=1}", "a/{x", "a/{}"]
)
def test_bad_templates_are_refused(template: str) -> None:
    """What ASP.NET Core refuses, and what this host does not imitate."""
    with pytest.raises(BadRoute):
        parse(template)


def test_same_routes_are_a_conflict(clock: HandClock, bus: MemoryBus) -> None:
    """Two functions of one address and method are refused by name; other methods are no conflict."""
    app = func.FunctionApp()

    @app.route(route="x/{a}", methods=["GET"])
    def first(req: func.HttpRequest) -> str:
        return ""

    @app.route(route="X/{b}", methods=["POST"])
    def second(req: func.HttpRequest) -> str:
        return ""

    @app.route(route="x/{c}", methods=["GET"])
    def third(req: func.HttpRequest) -> str:
        return ""

    with pytest.raises(HostRefused, match=r"function 'third': GET /x/\{c\} belongs to 'first'"):
        make_host(app, clock, bus)
