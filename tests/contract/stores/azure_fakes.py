"""Around real and invented storage accounts: a clock without waiting, a door that notes and loses, made-up answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from yarl import URL

from shared.stores.azure_rows import AzureRows
from tests.contract.stores.conftest import TABLES, fresh_prefix

ETAG = "W/\"datetime'2026-03-01T00%3A00%3A00.0000000Z'\""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ImpatientClock:
    """The machine's clock that does not wait; it notes how long it should have."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return sum(self.waits)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


# --- the door of a real one -----------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """One request, or one part of a transaction, as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def addresses_one_row(self) -> bool:
        if self.method == "POST":
            return self.body.get("PartitionKey") == "p|1" and self.body.get("RowKey", "").startswith("k|")
        return bool(re.search(r"/\w+links\(PartitionKey='p\|1',RowKey='k\|\d'\)$", self.path))


@dataclass
class Door:
    """Stands before Azurite: notes what comes, and can lose or spoil answers after the request was executed, or turn
    requests away."""

    azurite: URL
    sent: list[Sent] = field(default_factory=list)
    lose: int = 0
    spoil: int = 0
    turn_away: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.sent += taken_apart(request.method, request.raw_path, body)
        if self.turn_away:
            self.turn_away -= 1
            return refusal(503, "ServerBusy")
        answer = await self._passed_on(request, body)
        if self.lose:
            self.lose -= 1
            assert request.transport is not None
            request.transport.close()
        if self.spoil:
            self.spoil -= 1
            return web.Response(status=503, text="a proxy's own page")
        return answer

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
        address = URL(str(self.azurite) + request.raw_path, encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, address, headers=request.headers, data=body or None) as answer,
        ):
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in ("transfer-encoding", "connection", "keep-alive")
            }
            return web.Response(status=answer.status, headers=headers, body=await answer.read())


def taken_apart(method: str, address: str, content: bytes) -> list[Sent]:
    """A request, or the operations of a transaction."""
    parts = urlsplit(address)
    if not parts.path.endswith("/$batch"):
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return [Sent(method, unquote(parts.path), query, json.loads(content) if content else {})]
    inner = re.findall(r"(POST|PUT|DELETE|GET) (http\S+) HTTP/1.1\r\n(.*?)\r\n--changeset", content.decode(), re.S)
    return [
        sent
        for inner_method, inner_address, rest in inner
        for sent in taken_apart(inner_method, inner_address, rest.partition("\r\n\r\n")[2].encode())
    ]


@asynccontextmanager
async def behind_a_door(azurite: str) -> AsyncIterator[tuple[AzureRows, Door]]:
    """A store in Azurite whose every request goes through a door."""
    origin = URL(re.search(r"TableEndpoint=([^;]+);", azurite)[1]).origin()  # type: ignore[index]  # ours has one
    door = Door(origin)
    async with served(door.handle) as server:
        through = azurite.replace(str(origin), str(server.make_url("")).rstrip("/"))
        rows = AzureRows.from_connection_string(through, TABLES, prefix=fresh_prefix(), clock=ImpatientClock())
        await rows.prepare()
        door.sent.clear()
        try:
            yield rows, door
        finally:
            await rows.aclose()


# --- invented ones --------------------------------------------------------------------------------


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[BaseTestServer]:
    """A server that answers every request with the handler."""
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app) as server:
        yield server


@asynccontextmanager
async def storage_that(handler: Handler, clock: ImpatientClock | None = None) -> AsyncIterator[AzureRows]:
    """A store whose storage account is the handler."""
    async with served(handler) as server:
        text = (
            f"DefaultEndpointsProtocol=http;AccountName=test;AccountKey=a2V5;TableEndpoint={server.make_url('/test')};"
        )
        rows = AzureRows.from_connection_string(text, TABLES, clock=clock or ImpatientClock())
        try:
            yield rows
        finally:
            await rows.aclose()


def answering(response: Callable[[], web.Response]) -> Handler:
    """The same answer to everything."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return response()

    return answer


def refusal(status: int, code: str, text: str = "Said by the service.") -> web.Response:
    """An error answer in the service's form."""
    return web.json_response(error(code, text), status=status, headers={"x-ms-error-code": code})


def error(code: str, text: str) -> dict[str, object]:
    """The body of an error answer."""
    return {"odata.error": {"code": code, "message": {"lang": "en-US", "value": text}}}


def entity(key: str = "k|1", partition: str = "p|1", **properties: object) -> dict[str, object]:
    """A row in the service's form."""
    row = {"odata.etag": ETAG, "PartitionKey": partition, "RowKey": key, "Timestamp": "2026-03-01T00:00:00.0000000Z"}
    return {**row, **{name.replace("__", "@odata."): value for name, value in properties.items()}}


def part(status: str, *headers: str, body: str = "") -> str:
    """The answer to one operation of a transaction."""
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary", "", f"HTTP/1.1 {status}"]
    return "\r\n".join([*lines, *headers, "", body])


def batch_answer(parts: list[str], cut: int | None = None) -> web.Response:
    """A transaction's answer in the service's form, perhaps only its first characters."""
    inner = "".join(f"--changesetresponse_1\r\n{one}\r\n" for one in parts) + "--changesetresponse_1--\r\n"
    head = "Content-Type: multipart/mixed; boundary=changesetresponse_1"
    whole = f"--batchresponse_1\r\n{head}\r\n\r\n{inner}--batchresponse_1--\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}
    return web.Response(status=202, headers=headers, body=whole[:cut].encode())
