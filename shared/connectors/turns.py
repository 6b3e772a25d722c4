"""Several identities at one system take turns, because the system's limits count per identity."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from shared.errors import BadAnswer, ConnectorError, SignInFailed, Throttled, UnknownResult
from shared.http_client import Call, HttpClient, Limits, Reply

log = logging.getLogger(__name__)


class InTurn:
    """The clients of all identities, used like one.

    An identity whose sign-in the system refuses is left out for a minute, one that is told to wait for as long as that.
    The request, which was not executed, goes out as another one.
    """

    def __init__(self, clients: Sequence[HttpClient]) -> None:
        if not clients:
            raise ValueError("at least one identity is needed")
        self._clients = list(clients)
        self._turn = 0

    @property
    def limits(self) -> Limits:
        """What each of them allows the other side."""
        return self._clients[0].limits

    def each(self) -> Sequence[InTurn]:
        """Each identity for itself."""
        return [InTurn([client]) for client in self._clients]

    def one(self) -> InTurn:
        """The identity whose turn it is, for requests that belong together."""
        return InTurn([self._next()])

    async def aclose(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.aclose()

    async def send(self, call: Call, within_seconds: float | None = None) -> Reply:
        """Send a request as the identity whose turn it is; see `HttpClient.send`."""
        client = self._next()
        ends_at = client.now() + (self.limits.timeout_seconds if within_seconds is None else within_seconds)
        while True:
            try:
                return await client.send(call, ends_at - client.now())
            except (SignInFailed, Throttled) as error:
                client = self._next()
                if client.was_refused_lately or client.allowance.gate_seconds > 0 or client.now() >= ends_at:
                    raise
                log.warning("another identity goes on", extra={"system": client.system, "code": error.code})

    def own_target(self, link: str, prefix: str) -> str:
        """Path and query of a link the system gave us; see `HttpClient.own_target`."""
        return self._clients[0].own_target(link, prefix)

    def unusable(self, call: Call) -> ConnectorError:
        """The error for an answer of no use."""
        return (UnknownResult if call.writes else BadAnswer)(self._clients[0].system)

    def _next(self) -> HttpClient:
        """The next in turn that is not refused, not told to wait and not busy."""
        self._turn = (self._turn + 1) % len(self._clients)
        in_turn = self._clients[self._turn :] + self._clients[: self._turn]
        return min(in_turn, key=_reluctance)


def _reluctance(client: HttpClient) -> tuple[bool, float, int]:
    return client.was_refused_lately, client.allowance.gate_seconds, client.allowance.waiting
