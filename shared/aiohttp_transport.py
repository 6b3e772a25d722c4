"""httpx over aiohttp, with exceptions that say truly whether a request can have been sent.

httpx-aiohttp 0.2 turns every `aiohttp.ClientConnectionError` into `httpx.ConnectTimeout`, also "server disconnected"
after the whole request went out. For us that is the difference between "certainly not executed" and "unknown", so
the original exception decides. Cookies are not kept either: Dataverse's affinity cookie would bind all requests to one
server (Microsoft Learn, 'Service protection API limits').
"""

from __future__ import annotations

import ssl

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

BEFORE_SENDING = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_READS = frozenset({"GET", "HEAD"})


class WriteBroken(aiohttp.ClientError):
    """The connection broke under a write, which may have been executed."""


def new_session(
    verified: ssl.SSLContext,
    connections: int,
    keep_alive_seconds: float | None,
    timeout: aiohttp.ClientTimeout = aiohttp.client.DEFAULT_TIMEOUT,
) -> aiohttp.ClientSession:
    """aiohttp's session without cookies, proxies of the environment and unseen repetitions of writes.

    To be made within the running loop.
    """
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=keep_alive_seconds, ssl=verified)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        timeout=timeout,
        middlewares=(_writes_once,),
    )


async def _writes_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp 3.14 sends PUT and DELETE again when a kept connection breaks under them, which hides a lost answer."""
    try:
        return await send(request)
    except BEFORE_SENDING:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method in _READS:
            raise
        raise WriteBroken(type(error).__name__) from error


class HonestAiohttpTransport(AiohttpTransport):
    """aiohttp's connections under httpx's interface; the session is made with the first request."""

    def __init__(self, verified: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(verify=verified, limits=limits, trust_env=False, client=self._new_session)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises httpx's transport errors only."""
        try:
            return await super().handle_async_request(request)
        except httpx.ConnectTimeout as error:
            if isinstance(error.__cause__, BEFORE_SENDING):
                raise
            raise httpx.RemoteProtocolError("the server disconnected", request=request) from error.__cause__
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise httpx.RemoteProtocolError("no usable answer", request=request) from error

    def _new_session(self) -> aiohttp.ClientSession:
        return new_session(self.ssl_context, self.limits.max_connections or 0, self.limits.keepalive_expiry)
