"""Requests to Azure Table storage: signed, bounded, and repeated only where that cannot do harm.

Over aiohttp's session alone, because httpx above it would cost more than the rest of a point operation
(docs/decisions/0012-tables-by-hand.md).

What is repeated here: everything that certainly was not executed, and what may be executed twice because it ends the
same (reads, upserts, transactions of upserts alone). A conditional write whose answer was lost is never repeated: it is
told as unknown. So an ordinary answer is always about the caller's one request.

Facts about the service are from Microsoft Learn, "Table service REST API", "Table service error codes" and "Status and
error codes".
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Final

import aiohttp
from yarl import URL

from shared.aiohttp_transport import BEFORE_SENDING
from shared.clock import SystemClock
from shared.http_transport import session
from shared.stores.azure_access import Account, Signable
from shared.stores.azure_wire import ACCEPT, JSON, error_code
from shared.stores.rows import RowStoreUnavailable
from shared.sync.ports import Clock

log = logging.getLogger(__name__)

_VERSION: Final = "2020-12-06"
"""The first version of the Table service that takes identities ("Authorize with Microsoft Entra ID")."""
_CONNECTIONS: Final = 64
_SECONDS: Final = 35.0
"""For one try. The service itself gives up after 30 ("Query timeout and pagination")."""
_CONNECT_SECONDS: Final = 5.0
_PAUSES: Final = (0.2, 0.8, 2.4)
_LONGEST_WAIT_SECONDS: Final = 5.0
"""A service that asks for more patience is unavailable: whoever asked tries again later."""
_LARGEST_ANSWER: Final = 64 * 1024 * 1024
_LARGE_BODY: Final = 512 * 1024
_BROKEN: Final = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Request:
    """One request. path: below the account, encoded, without the account's permission.

    repeatable: executing it twice ends as executing it once, so that it may be sent again after a lost answer.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = JSON
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that arrived whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def code(self) -> str:
        """The service's error code; empty when it names none."""
        told = self.headers.get("x-ms-error-code", "")
        return told if told.isascii() and told.isalpha() else error_code(self.body)

    @property
    def executed_nothing(self) -> bool:
        """Whether the service refused the request because of its load."""
        return self.status == 429 or (self.status == 503 and self.code == "ServerBusy")


@dataclass(frozen=True, slots=True)
class _Lost:
    """No answer. sent: the request may have been executed. kind: of the error."""

    sent: bool
    kind: str


class TableService:
    """The table service of one account. Raises RowStoreUnavailable without a usable answer, RowStoreRefused without
    sign-in."""

    def __init__(self, account: Account, clock: Clock | None = None) -> None:
        self.account = account
        self._clock = clock or SystemClock()
        self._made: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Answer:
        """The answer to a request, whatever its status."""
        for pause in (*_PAUSES, None):
            got = await self._once(request)
            wait = _wait(request, got)
            if pause is None or wait is None:
                break
            log.info("the store is asked again", extra={"action": "store", "reason": _reason(got)})
            await self._clock.sleep(max(pause, wait))
        if isinstance(got, Answer):
            return got
        raise RowStoreUnavailable(f"the store could not be reached, or its answer was lost ({got.kind})")

    async def aclose(self) -> None:
        """Close the connections. Repetition does nothing."""
        made, self._made = self._made, None
        if made is not None:
            await made.close()

    async def _once(self, request: Request) -> Answer | _Lost:
        """One try, and with a fresh token a second, since the service does nothing for a stale one."""
        path = self.account.path + request.path
        date = format_datetime(self._clock.now(), usegmt=True)
        signable = Signable(request.method, path, request.content_type if request.body else "", date)
        permission = await self.account.access.authorization(signable)
        got = await self._exchange(request, signable, permission)
        if isinstance(got, Answer) and got.status == 401:
            fresh = await self.account.access.authorization(signable, refused=permission)
            if fresh != permission:
                return await self._exchange(request, signable, fresh)
        return got

    async def _exchange(self, request: Request, signable: Signable, permission: str) -> Answer | _Lost:
        query = "&".join(part for part in (request.query, self.account.access.query) if part)
        address = URL(self.account.origin + signable.path + (f"?{query}" if query else ""), encoded=True)
        data = request.body if len(request.body) < _LARGE_BODY else io.BytesIO(request.body)
        try:
            async with self._session().request(
                request.method,
                address,
                data=data or None,
                headers=_headers(request, signable, permission),
                allow_redirects=False,
            ) as response:
                return Answer(response.status, response.headers, await _read(response))
        except BEFORE_SENDING as error:
            return _Lost(False, type(error).__name__)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return _Lost(True, type(error).__name__)

    def _session(self) -> aiohttp.ClientSession:
        if self._made is None:
            self._made = session(_CONNECTIONS, _SECONDS, _CONNECT_SECONDS)
        return self._made


def _headers(request: Request, signable: Signable, permission: str) -> dict[str, str]:
    headers = {
        "Accept": ACCEPT,
        "Accept-Encoding": "identity",
        "DataServiceVersion": "3.0",
        "User-Agent": "crossdock",
        "x-ms-date": signable.date,
        "x-ms-version": _VERSION,
        **request.headers,
    }
    if signable.content_type:
        headers["Content-Type"] = signable.content_type
    if permission:
        headers["Authorization"] = permission
    return headers


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, unless it is larger than any documented one; then the rest is not even received."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _LARGEST_ANSWER:
            raise aiohttp.ClientPayloadError("the answer is too large")
    return bytes(body)


def _wait(request: Request, got: Answer | _Lost) -> float | None:
    """Seconds to wait at least before the request is sent again; None for what is final."""
    if isinstance(got, _Lost):
        return 0.0 if request.repeatable or not got.sent else None
    if not got.executed_nothing and not (request.repeatable and got.status in _BROKEN):
        return None
    told = got.headers.get("Retry-After", "")
    seconds = float(told[:6]) if told.isascii() and told.isdigit() else 0.0
    return seconds if seconds <= _LONGEST_WAIT_SECONDS else None


def _reason(got: Answer | _Lost) -> str:
    return got.kind if isinstance(got, _Lost) else f"{got.status} {got.code}"
