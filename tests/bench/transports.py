"""Processor time per request of the two transports, against the same local server in the same run.

    python tests/bench/transports.py [requests]

The server runs in a process of its own, so that only the client's processor time is counted. Each figure is the least
of three rounds; between rounds the transports take turns, so that other work on the machine hits both alike.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from shared.http_transport import TransportKind, transport

IN_FLIGHT = (5, 10, 50)
ROUNDS = 3
BODY = b'{"name":"' + b"x" * 280 + b'"}'
HEADERS = {"Authorization": "Bearer " + "t" * 1200, "Content-Type": "application/json"}
Message = MutableMapping[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Read the whole body and answer with 300 bytes of JSON, as a PATCH with return=representation is answered."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def serve(port: int) -> None:
    """Be the server."""
    import uvicorn

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, lifespan="off")


async def microseconds(kind: TransportKind, url: str, in_flight: int, requests: int) -> float:
    """Client processor time per request, in microseconds, once connections are made."""
    async with httpx.AsyncClient(transport=transport(kind, in_flight), headers=HEADERS) as client:
        await spend(client, url, in_flight, in_flight * 2)
        before = time.process_time()
        await spend(client, url, in_flight, requests)
        return (time.process_time() - before) / requests * 1e6


async def spend(client: httpx.AsyncClient, url: str, in_flight: int, requests: int) -> None:
    """Send the requests, so many at a time."""
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            (await client.patch(url, content=BODY)).raise_for_status()

    await asyncio.gather(*(worker() for _ in range(in_flight)))


async def measure(url: str, requests: int) -> dict[tuple[TransportKind, int], float]:
    """The least processor time of each transport at each number in flight."""
    best: dict[tuple[TransportKind, int], float] = {}
    for _ in range(ROUNDS):
        for in_flight in IN_FLIGHT:
            for kind in TransportKind:
                spent = await microseconds(kind, url, in_flight, requests)
                best[kind, in_flight] = min(spent, best.get((kind, in_flight), spent))
    return best


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_up(url: str) -> None:
    """Wait for the server to answer."""
    async with httpx.AsyncClient() as client:
        for _ in range(100):
            try:
                await client.patch(url)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
    raise SystemExit("the server did not start")


async def run(requests: int, port: int) -> None:
    """Measure and print a table."""
    url = f"http://127.0.0.1:{port}/accounts"
    await until_up(url)
    best = await measure(url, requests)
    print("in flight | stock us | aiohttp us | stock / aiohttp")
    for in_flight in IN_FLIGHT:
        stock, other = best[TransportKind.STOCK, in_flight], best[TransportKind.AIOHTTP, in_flight]
        print(f"{in_flight:9} | {stock:8.0f} | {other:10.0f} | {stock / other:.1f}")


def main() -> None:
    """Start the server, measure, stop the server."""
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
        return
    port = free_port()
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    server = subprocess.Popen([sys.executable, __file__, "serve", str(port)])  # noqa: S603  # this very file
    try:
        asyncio.run(run(requests, port))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
