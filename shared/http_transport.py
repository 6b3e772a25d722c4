"""How requests leave the process: a factory for httpx transports.

Why there are two, and how much processor time each takes: docs/decisions/0001-http-transport.md.
"""

from __future__ import annotations

from enum import StrEnum

import httpx

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
    verified = httpx.create_ssl_context()
    if kind is TransportKind.STOCK:
        return httpx.AsyncHTTPTransport(verify=verified, limits=limits, retries=0)
    from shared.aiohttp_transport import HonestAiohttpTransport

    return HonestAiohttpTransport(verified, limits)
