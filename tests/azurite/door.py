"""A door before Azurite, which notes every request, and can lose or spoil answers or turn requests away.

Azurite forgives requests that real storage answers by reading the whole table, and it loses no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from yarl import URL

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ROW = re.compile(r"/\w+\(PartitionKey='[^']+',RowKey='[^']+'\)$")
_PARTITION = re.compile(r"PartitionKey eq '[^']+'( and RowKey (gt|ge) '[^']+')?( and RowKey lt '[^']+')?$")


class Asked(StrEnum):
    """What real storage has to look at to answer: one row, a range of one partition, all of a table."""

    ROW = "row"
    PARTITION = "partition"
    TABLE = "table"


@dataclass(frozen=True)
class Sent:
    """One request, or one part of a transaction, as it arrived. request: its number; the parts of a transaction share
    it."""

    request: int
    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def table(self) -> str:
        """The table that the request is about."""
        return self.path.rpartition("/")[2].partition("(")[0]

    @property
    def asks_for(self) -> Asked:
        """How much of the table is concerned."""
        if _ROW.search(self.path) or (self.method == "POST" and {"PartitionKey", "RowKey"} <= self.body.keys()):
            return Asked.ROW
        return Asked.PARTITION if _PARTITION.match(self.query.get("$filter", "")) else Asked.TABLE


@dataclass
class Door:
    """lose: so many answers get lost after the request was executed; spoil: are replaced by a proxy's page; turn_away:
    so many requests are not even executed."""

    azurite: URL
    sent: list[Sent] = field(default_factory=list)
    lose: int = 0
    spoil: int = 0
    turn_away: int = 0
    _numbers: Iterator[int] = field(default_factory=count)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, or not."""
        body = await request.read()
        self.sent += _taken_apart(next(self._numbers), request.method, request.raw_path, body)
        if self.turn_away:
            self.turn_away -= 1
            return refusal(503, "ServerBusy")
        answer = await self._passed_on(request, body)
        if self.lose:
            self.lose -= 1
            assert request.transport is not None, "it was just read from"
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


def _taken_apart(number: int, method: str, address: str, content: bytes) -> list[Sent]:
    """A request, or the operations of a transaction."""
    parts = urlsplit(address)
    if not parts.path.endswith("/$batch"):
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return [Sent(number, method, unquote(parts.path), query, json.loads(content) if content else {})]
    inner = re.findall(r"(POST|PUT|DELETE|GET) (http\S+) HTTP/1.1\r\n(.*?)\r\n--changeset", content.decode(), re.S)
    return [
        sent
        for inner_method, inner_address, rest in inner
        for sent in _taken_apart(number, inner_method, inner_address, rest.partition("\r\n\r\n")[2].encode())
    ]


@asynccontextmanager
async def door_before(azurite: str) -> AsyncIterator[tuple[str, Door]]:
    """A connection string that leads through a door, and the door."""
    named = re.search(r"TableEndpoint=([^;]+);", azurite)
    assert named is not None, "ours has one"
    door = Door(URL(named[1]).origin())
    async with served(door.handle) as server:
        yield azurite.replace(str(door.azurite), str(server.make_url("")).rstrip("/")), door


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[BaseTestServer]:
    """A server that answers every request with the handler."""
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app) as server:
        yield server


def refusal(status: int, code: str, text: str = "Said by the service.") -> web.Response:
    """An error answer in the service's form."""
    return web.json_response(error(code, text), status=status, headers={"x-ms-error-code": code})


def error(code: str, text: str) -> dict[str, object]:
    """The body of an error answer."""
    return {"odata.error": {"code": code, "message": {"lang": "en-US", "value": text}}}
