"""Both transports over real sockets: what they say about a broken connection decides whether a write is repeated."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import unquote

import httpx
import pytest

from shared.errors import BadAnswer, ConnectorError, SystemDown, UnknownResult
from shared.http_client import Call, HttpClient
from shared.http_transport import TransportKind, transport
from tests.unit.connectors.fakes import CountedTokens, CountingIds, JumpingClock

READ = Call("GET", "/things", "things")
WRITE = Call("PATCH", "/things(1)", "things(..)", body={"name": "Aurora Milling"})
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=list(TransportKind))
def kind(request: pytest.FixtureRequest) -> TransportKind:
    chosen: TransportKind = request.param
    return chosen


async def request_head(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().splitlines():
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.partition(b":")[2]))
    return head


@asynccontextmanager
async def served(talk: Talk, kind: TransportKind) -> AsyncIterator[HttpClient]:
    """A client of a server that talks as told, connection by connection."""

    talks: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.append(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    http = connect(server.sockets[0].getsockname()[1], kind)
    try:
        yield http
    finally:
        await http.aclose()
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


def connect(port: int, kind: TransportKind) -> HttpClient:
    return HttpClient(
        system="dataverse",
        base_url=f"http://127.0.0.1:{port}",
        scope="",
        tokens=CountedTokens(),
        clock=JumpingClock(),
        ids=CountingIds(),
        http=transport(kind, 2),
    )


async def failure(http: HttpClient, call: Call, within_seconds: float = 5) -> type[ConnectorError]:
    with pytest.raises(ConnectorError) as error:
        await http.send(call, within_seconds)
    return type(error.value)


async def test_a_port_nobody_listens_on_is_certainly_not_reached(kind: TransportKind) -> None:
    """Even for a write: there is nothing to look up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    http = connect(port, kind)
    assert await failure(http, WRITE) is SystemDown
    await http.aclose()


async def test_a_connection_closed_after_the_request_leaves_a_write_unknown(kind: TransportKind) -> None:
    """The server read everything and hung up: it may have executed the write."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)

    async with served(hang_up, kind) as http:
        assert await failure(http, WRITE) is UnknownResult
        assert issubclass(await failure(http, READ), SystemDown)


async def test_a_connection_reset_after_the_request_leaves_a_write_unknown(kind: TransportKind) -> None:
    """The same with a reset instead of a clean end."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.transport.abort()

    async with served(reset, kind) as http:
        assert await failure(http, WRITE) is UnknownResult
        assert issubclass(await failure(http, READ), SystemDown)


@pytest.mark.parametrize("method", ["PATCH", "POST", "PUT", "DELETE"])
async def test_a_write_on_a_kept_connection_that_breaks_is_sent_once(kind: TransportKind, method: str) -> None:
    """aiohttp would send PUT and DELETE again by itself; the second may find what the first has done."""
    heads: list[bytes] = []

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request_head(reader))
        writer.write(OK)
        await writer.drain()
        heads.append(await request_head(reader))

    async with served(answer_once, kind) as http:
        await http.send(READ)
        assert await failure(http, Call(method, "/things(1)", "things(..)", body={})) is UnknownResult
    assert len(heads) == 2


@pytest.mark.parametrize(
    "sent",
    [OK[:20], OK[:-1], b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"],
    ids=["half a head", "half a body", "no HTTP", "a wrong head"],
)
async def test_half_an_answer_leaves_a_write_unknown(kind: TransportKind, sent: bytes) -> None:
    """However far the answer came, it cannot be used."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(sent)
        await writer.drain()

    async with served(half, kind) as http:
        assert await failure(http, WRITE) is UnknownResult
        assert issubclass(await failure(http, READ), SystemDown | BadAnswer)


async def test_silence_ends_by_the_deadline(kind: TransportKind) -> None:
    """A server that never answers does not hold us for ever."""
    done = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        await done.wait()

    async with served(silent, kind) as http:
        assert await failure(http, WRITE, 0.1) is UnknownResult
        assert await failure(http, READ, 0.1) is SystemDown
        done.set()


async def test_connections_are_used_again_and_cookies_are_not(kind: TransportKind) -> None:
    """One connection serves many requests, none of which carries a cookie."""
    heads: list[bytes] = []
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            heads.append(await request_head(reader))
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: ARRAffinity=server7; Path=/\r\n\r\n"))
            await writer.drain()

    async with served(answer, kind) as http:
        for _ in range(5):
            await http.send(READ)
    assert (connections, len(heads)) == (1, 5)
    assert not any(b"cookie" in head.lower() for head in heads)


async def test_a_paging_link_arrives_as_it_was_given(kind: TransportKind) -> None:
    """Escapes that protect something stay; the address decodes to the same text."""
    link = "/things?$filter=a%20eq%20%27O%27%27N%20%2B1%26%27"
    link += "&$skiptoken=%3Cc%20p=%222%22%20q=%22%253cx%2520y%253d%22%20/%3E"
    lines: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await request_head(reader)).splitlines()[0])
        writer.write(OK)
        await writer.drain()

    async with served(answer, kind) as http:
        await http.send(Call("GET", link, "things"))
    arrived = lines[0].split(b" ")[1].decode()
    assert unquote(arrived) == unquote(link)
    for kept in ("%2B", "%26", "%253c", "%2520"):
        assert kept in arrived


def test_certificates_are_always_verified(kind: TransportKind) -> None:
    """There is no switch: the factory takes none, and the client takes none."""
    made = transport(kind, 1)
    context = getattr(made, "ssl_context", None) or made._pool._ssl_context  # type: ignore[attr-defined]  # no public door
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"
    assert isinstance(made, httpx.AsyncBaseTransport)
