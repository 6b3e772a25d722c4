"""How requests leave the process: a factory for httpx transports, and for aiohttp's bare session.

Why there are two transports, and how much processor time each takes: docs/decisions/0001-http-transport.md. Who uses
the bare session, and why: docs/decisions/0012-tables-by-hand.md.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl

    import aiohttp

KEEP_ALIVE_SECONDS = 30.0
"""Idle connections are closed before the other side does it, so that a write rarely meets a dying connection."""


class TransportKind(StrEnum):
    """stock: httpx's own; aiohttp: the same httpx interface over aiohttp."""

    STOCK = "stock"
    AIOHTTP = "aiohttp"


def transport(kind: TransportKind, connections: int) -> httpx.AsyncBaseTransport:
    """A transport with at most `connections` connections. Certificates are always verified, there is no switch.

    A private authority is added by the environment variable SSL_CERT_FILE (httpx's documentation, 'SSL').
    """
    limits = httpx.Limits(
        max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE_SECONDS
    )
    if kind is TransportKind.STOCK:
        return httpx.AsyncHTTPTransport(verify=_verified(), limits=limits, retries=0)
    from shared.aiohttp_transport import HonestAiohttpTransport

    return HonestAiohttpTransport(_verified(), limits)


def session(connections: int, seconds: float, connect_seconds: float) -> aiohttp.ClientSession:
    """The session under the aiohttp transport, for what does not speak httpx; to be made within the running loop.

    seconds: for a whole request; connect_seconds: of these, for the connection.
    """
    from aiohttp import ClientTimeout

    from shared.aiohttp_transport import new_session

    timeout = ClientTimeout(total=seconds, sock_connect=connect_seconds)
    return new_session(_verified(), connections, KEEP_ALIVE_SECONDS, timeout)


@cache
def _verified() -> ssl.SSLContext:
    """Made once: reading all the authorities takes some 20 ms of processor time."""
    return httpx.create_ssl_context()
