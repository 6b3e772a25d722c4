"""Field service in process, in both dialects, on a clock the test moves, asked as the contract says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.exact_json import from_json, to_json
from sandbox.field_service.options import Auth, FsmOptions, IfsCloudOptions
from sandbox.field_service.sandbox import FsmSandbox, IfsCloudSandbox
from sandbox.tokens import TokenIssuer
from sandbox.transport import SandboxTransport
from tests.contract.hand_clock import HandClock

HOST = "https://service.example"
BASE = f"{HOST}/main/ifsapplications/projection/v1"
SCOPE = "openid microprofile-jwt"


class _Site:
    """A client that is signed in."""

    client: httpx.AsyncClient

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> httpx.Response:
        """Ask, expect a status, and return the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named["Content-Type"] = "application/json"
        answer = await self.client.request(
            method, path, content=None if body is None else to_json(body).encode(), headers=named
        )
        assert answer.status_code == status, answer.text
        return answer

    async def told(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """Ask, expect a status, and return what the answer says."""
        return from_json((await self.ask(method, path, body, status, **headers)).content)


class Receiver:
    """Somebody who is told of changes: keeps what came, and answers with the statuses that are said, then 202."""

    def __init__(self) -> None:
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.came.append((dict(request.headers), await request.body()))
        await Response(status_code=self.answers.pop(0) if self.answers else 202)(scope, receive, send)


class FsmSite(_Site):
    """An FSM server and a client of it."""

    def __init__(self, options: FsmOptions, persist: Path | None, clock: HandClock) -> None:
        self.clock = clock
        self.issuer = TokenIssuer(clock)
        self.receiver = Receiver()
        self.sandbox = FsmSandbox(
            clock=clock,
            issuer=self.issuer,
            base_path="/fsm",
            persist=persist,
            post=self.receiver.client,
            options=options,
        )
        self.client = httpx.AsyncClient(
            base_url=f"{HOST}/fsm",
            transport=SandboxTransport(self.sandbox.app),
            headers={options.api_key_header: options.api_key} if options.auth is Auth.API_KEY else {},
            auth=(options.user, options.password) if options.auth is Auth.BASIC else None,
        )

    async def refusal(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, str | None]:
        """Ask for what is refused; returns status, code and column."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, path, json=body, headers=named)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["column"]

    async def query(self, table: str, columns: list[str], *filters: tuple[str, str, list[Any]], **more: Any) -> Any:
        """Query a table; returns the rows."""
        said = [{"column": column, "operator": how, "values": values} for column, how, values in filters]
        body = {"columns": columns, "filter": said, "orderBy": [], "limit": 100, "offset": 0, **more}
        return (await self.told("POST", f"tables/{table}/query", body))["rows"]


class IfsSite(_Site):
    """An environment of IFS Cloud and a client that gets its tokens there."""

    def __init__(self, options: IfsCloudOptions, persist: Path | None, clock: HandClock) -> None:
        self.clock = clock
        self.receiver = Receiver()
        self.sandbox = IfsCloudSandbox(
            clock=clock, issuer=TokenIssuer(clock), persist=persist, post=self.receiver.client, options=options
        )
        self.client = httpx.AsyncClient(base_url=BASE, transport=SandboxTransport(self.sandbox.app))

    async def sign_in(self, scope: str = SCOPE, **form: str) -> httpx.Response:
        """Ask for a token, and show it from now on."""
        wish = {"grant_type": "client_credentials", "client_id": "CROSSDOCK", "client_secret": "open-sesame"}
        path = f"{HOST}/auth/realms/example/protocol/openid-connect/token"
        answer = await self.client.post(path, data={**wish, "scope": scope, **form})
        if answer.status_code == 200:
            self.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    async def refusal(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, str | None]:
        """Ask for what is refused; returns status, the code of the first detail and its column."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.request(method, path, json=body, headers=named)
        detail = answer.json()["error"]["details"][0]
        return answer.status_code, detail["code"], detail["target"]


MakeFsm = Callable[..., FsmSite]


@pytest.fixture
async def make() -> AsyncIterator[MakeFsm]:
    """Make FSM servers with options; all are closed after the test."""
    made: list[FsmSite] = []

    def build(*, persist: Path | None = None, clock: HandClock | None = None, **options: Any) -> FsmSite:
        made.append(FsmSite(replace(FsmOptions(), **options), persist, clock or HandClock()))
        return made[-1]

    yield build
    for site in made:
        await site.client.aclose()
        await site.receiver.client.aclose()
        await site.sandbox.aclose()


@pytest.fixture
async def fsm(make: MakeFsm) -> FsmSite:
    """An FSM server as the contract says."""
    return make()


MakeIfs = Callable[..., IfsSite]


@pytest.fixture
async def make_ifs() -> AsyncIterator[MakeIfs]:
    """Make environments of IFS Cloud with options; all are closed after the test."""
    made: list[IfsSite] = []

    def build(*, persist: Path | None = None, clock: HandClock | None = None, **options: Any) -> IfsSite:
        made.append(IfsSite(replace(IfsCloudOptions(), **options), persist, clock or HandClock()))
        return made[-1]

    yield build
    for site in made:
        await site.client.aclose()
        await site.receiver.client.aclose()
        await site.sandbox.aclose()


@pytest.fixture
async def ifs(make_ifs: MakeIfs) -> IfsSite:
    """An environment of IFS Cloud, signed in."""
    site = make_ifs()
    assert (await site.sign_in()).status_code == 200
    return site
