"""The one way requests go to a system: signed in, bounded, on one host, and honest about what happened.

One `HttpClient` serves one identity at one instance of a system, within that identity's allowance. It repeats a
request in two cases only, both of which the system answered without executing anything: 401 (once, with a fresh token)
and 429 (after the wait the system asks for). Everything else is told to the caller by the class of the error:
`SystemDown` when the request certainly never left or was a read, `UnknownResult` when a write may have been executed.
Statuses from 400 on are handed to the connector, which knows the system's codes.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol

import httpx

from shared.allotment import Allowed
from shared.allowance import Allowance
from shared.errors import Answer, BadAnswer, ConnectorError, SignInFailed, SystemDown, Throttled, UnknownResult
from shared.http_transport import TransportKind, transport
from shared.identity import TokenRefused, TokenServiceDown, TokenSource, require_safe
from shared.strict_json import Json, JsonObject, NotJson, dump, load
from shared.sync.ports import Clock, Ids

LOG = logging.getLogger("crossdock.http")

SURELY_SENT_NOTHING: Mapping[type[httpx.RequestError], bool] = {
    httpx.ConnectError: True,
    httpx.ConnectTimeout: True,
    httpx.PoolTimeout: True,
    httpx.ProxyError: True,
    httpx.UnsupportedProtocol: True,
    httpx.ReadError: False,
    httpx.ReadTimeout: False,
    httpx.WriteError: False,
    httpx.WriteTimeout: False,
    httpx.CloseError: False,
    httpx.RemoteProtocolError: False,
    httpx.LocalProtocolError: False,
    httpx.DecodingError: False,
    httpx.TooManyRedirects: False,
    httpx.NetworkError: False,
    httpx.ProtocolError: False,
    httpx.TimeoutException: False,
    httpx.TransportError: False,
    httpx.RequestError: False,
}
"""Every exception of httpx's exchange. True: raised before the first byte of the request left."""

UNREADABLE = (httpx.DecodingError, httpx.LocalProtocolError, httpx.RemoteProtocolError)
REQUEST_ID_HEADERS = ("x-ms-service-request-id", "request-id", "req_id", "x-ms-request-id")
SHORTEST_WAIT_SECONDS = 1.0
AT_ONCE = 4
"""Requests at the same time where nobody says how many the system allows."""
REFUSED_SECONDS = 60.0
NO_PLACE_PAUSE = timedelta(seconds=5)
"""When to come again after a call's time went by before one of the identity's permits was free."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client allows the other side.

    timeout_seconds: a whole call with all waiting, unless the call says otherwise. body_bytes and depth: of an
    answer, after decompression. usual_retry_after_seconds: the wait after a 429 that names none;
    longest_retry_after_seconds: what is believed at most.
    """

    timeout_seconds: float = 120.0
    connect_timeout_seconds: float = 10.0
    body_bytes: int = 64 * 1024 * 1024
    depth: int = 32
    usual_retry_after_seconds: float = 10.0
    longest_retry_after_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request. target: path and query on the client's host, already encoded. template: the path without ids.
    body: JSON, or bytes of the kind that the headers name. weight: how many requests the system counts it as. asks: it
    changes nothing, whatever its method."""

    method: str
    target: str
    template: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: JsonObject | bytes | None = None
    expects: str = "application/json"
    weight: int = 1
    asks: bool = False

    @property
    def writes(self) -> bool:
        """Whether executing it changes the system."""
        return not self.asks and self.method not in ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that arrived whole. content: its JSON, None where there is none. request_id: for the vendor."""

    status: int
    headers: httpx.Headers
    content: Json
    raw: bytes
    request_id: str


@dataclass(slots=True)
class _Exchange:
    """One attempt at a call, and how far it came."""

    call: Call
    deadline: float
    request_id: str
    token: str = ""
    admitted: bool = False
    sent: bool = False
    status: int | None = None

    @property
    def answered(self) -> bool:
        """Whether the head of an answer came."""
        return self.status is not None


class Sender(Protocol):
    """Sends requests, as one identity or as several in turn; see `HttpClient.send`."""

    async def send(self, call: Call, within_seconds: float | None = None) -> Reply: ...


Sign = Callable[[str], Mapping[str, str]]
"""The header that shows a credential."""


def bearer(token: str) -> Mapping[str, str]:
    """The header that shows a token of the sign-in service."""
    return {"Authorization": f"Bearer {token}"}


def in_header(name: str) -> Sign:
    """Shows a key in a header of this name."""
    return lambda key: {name: key}


def basic(credential: str) -> Mapping[str, str]:
    """The header that shows `<user>:<password>`."""
    return {"Authorization": f"Basic {base64.b64encode(credential.encode()).decode()}"}


class HttpClient:
    """Speaks to one origin with one identity; `sign` says how its token is shown.

    Raises SystemDown, SignInFailed, Throttled, BadAnswer and, for writes, UnknownResult. `skew_seconds`: how far the
    system's clock was ahead of ours at its last answer. Closing it closes its
    token source too, unless several clients share one (`owns_tokens`).
    """

    def __init__(
        self,
        *,
        system: str,
        base_url: str,
        scope: str,
        tokens: TokenSource,
        clock: Clock,
        ids: Ids,
        limits: Limits | None = None,
        allowance: Allowance | None = None,
        request_id_header: str = "x-ms-client-request-id",
        http: httpx.AsyncBaseTransport | None = None,
        owns_tokens: bool = False,
        sign: Sign = bearer,
    ) -> None:
        require_safe(base_url, f"the address of {system}")
        _hush_httpx()
        self.system = system
        self.limits = limits or Limits()
        self._origin = httpx.URL(base_url).copy_with(path="/")
        self._scope = scope
        self._tokens = tokens
        self._owns_tokens = owns_tokens
        self._owns_connections = True
        self._sign = sign
        self._clock = clock
        self._ids = ids
        self._request_id_header = request_id_header
        self.allowance = allowance or Allowance(Allowed(at_once=AT_ONCE), clock)
        self._refused_at = float("-inf")
        self.skew_seconds: float | None = None
        self._http = httpx.AsyncClient(
            transport=http or transport(TransportKind.AIOHTTP, self.allowance.most),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            headers={"User-Agent": "crossdock"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._owns_connections:
            await self._http.aclose()
        if self._owns_tokens:
            await self._tokens.aclose()

    def as_another(self, tokens: TokenSource) -> HttpClient:
        """The same connections for another identity, within an allowance of its own: limits count per identity.

        Closing it closes nothing.
        """
        other = copy.copy(self)
        other._tokens = tokens
        other._owns_tokens = other._owns_connections = False
        other._refused_at = float("-inf")
        other.allowance = Allowance(Allowed(at_once=AT_ONCE), self._clock)
        return other

    def own_target(self, link: str, prefix: str) -> str:
        """Path and query of a link the system gave us, byte for byte, if it leads to our origin and below `prefix`.

        Raises BadAnswer otherwise: nothing received chooses a host.
        """
        try:
            url = httpx.URL(link)
        except httpx.InvalidURL:
            raise BadAnswer(self.system, detail=f"{self.system}: a next link is no address") from None
        same = url.is_absolute_url and _origin(url) == _origin(self._origin) and not url.userinfo
        if not same or not url.path.startswith(prefix) or "/../" in url.path:
            raise BadAnswer(self.system, detail=f"{self.system}: a next link leads away from the system")
        return url.raw_path.decode("ascii")

    async def send(self, call: Call, within_seconds: float | None = None) -> Reply:
        """Send a request and return the whole answer, whatever its status but 401 and 429.

        `within_seconds` bounds everything: waiting for a place, for the gate, for a token, and the exchange.
        """
        seconds = self.limits.timeout_seconds if within_seconds is None else within_seconds
        deadline = self._clock.monotonic() + seconds
        refused: str | None = None
        while True:
            exchange = _Exchange(call, deadline, self._ids.new())
            reply = await self._attempt(exchange, refused)
            if reply.status == 401:
                if refused is not None:
                    raise self._sign_in_failed(Answer(401, request_id=reply.request_id))
                refused = exchange.token
            elif reply.status == 429:
                self._close_gate(reply)
            else:
                return reply

    @property
    def was_refused_lately(self) -> bool:
        """Whether our sign-in failed within the last minute."""
        return self.now() - self._refused_at < REFUSED_SECONDS

    def now(self) -> float:
        """The moment, by the clock that deadlines are measured with."""
        return self._clock.monotonic()

    def _sign_in_failed(self, answer: Answer) -> SignInFailed:
        self._refused_at = self.now()
        return SignInFailed(self.system, answer)

    def unusable(self, call: Call, answer: Answer | None = None) -> ConnectorError:
        """The error for an answer of no use: to a read it is bad, to a write it leaves the result unknown."""
        return (UnknownResult if call.writes else BadAnswer)(self.system, answer)

    async def _attempt(self, exchange: _Exchange, refused: str | None) -> Reply:
        call = exchange.call
        left = self._left(exchange)
        self._check_gate(exchange)
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(left), self._admitted(exchange):
                await self._pass_gate(exchange)
                exchange.token = await self._token(refused)
                return await self._exchange(exchange)
        except TimeoutError:
            if not exchange.admitted:
                raise Throttled(self.system, NO_PLACE_PAUSE) from None
            raise self._broken(exchange, sent=exchange.sent) from None
        except httpx.RequestError as error:
            sent = exchange.answered or not SURELY_SENT_NOTHING.get(type(error), False)
            raise self._broken(exchange, sent=sent, unreadable=isinstance(error, UNREADABLE)) from error
        finally:
            seconds = self._clock.monotonic() - began
            LOG.debug("%s %s %s: %s, %.3f s", self.system, call.method, call.template, _how_far(exchange), seconds)

    @asynccontextmanager
    async def _admitted(self, exchange: _Exchange) -> AsyncIterator[None]:
        """Within it the request has one of the identity's permits."""
        await self.allowance.enter(exchange.call.weight)
        exchange.admitted = True
        try:
            yield
        finally:
            self.allowance.leave()

    def _left(self, exchange: _Exchange) -> float:
        left = exchange.deadline - self._clock.monotonic()
        if left <= 0:
            raise self._broken(exchange, sent=False)
        return left

    def _broken(self, exchange: _Exchange, *, sent: bool, unreadable: bool = False) -> ConnectorError:
        answer = Answer(request_id=exchange.request_id)
        if exchange.call.writes and sent:
            return UnknownResult(self.system, answer)
        return (BadAnswer if unreadable and exchange.answered else SystemDown)(self.system, answer)

    async def _token(self, refused: str | None) -> str:
        try:
            return await self._tokens.token(self._scope, refused=refused)
        except TokenRefused as error:
            raise self._sign_in_failed(Answer(vendor_code=error.code)) from None
        except TokenServiceDown:
            raise SystemDown(self.system, detail=f"{self.system}: the sign-in service does not answer") from None

    async def _exchange(self, exchange: _Exchange) -> Reply:
        request = self._request(exchange)
        exchange.sent = True
        response = await self._http.send(request, stream=True)
        try:
            exchange.status = response.status_code
            raw = await _read(response, self.limits.body_bytes)
        finally:
            await response.aclose()
        self._compare_clocks(response.headers)
        if response.status_code != 429:
            self.allowance.answered(response.headers)
        return self._reply(exchange, response, raw)

    def _compare_clocks(self, headers: httpx.Headers) -> None:
        """How far the system's clock is ahead of ours, by the Date of its last answer."""
        try:
            told = parsedate_to_datetime(headers.get("date", ""))
        except (ValueError, TypeError):
            return
        self.skew_seconds = (told.astimezone(UTC) - self._clock.now()).total_seconds()

    def _request(self, exchange: _Exchange) -> httpx.Request:
        call = exchange.call
        left = self._left(exchange)
        headers = {
            "Accept": call.expects,
            **call.headers,
            **self._sign(exchange.token),
            self._request_id_header: exchange.request_id,
        }
        content = call.body if call.body is None or isinstance(call.body, bytes) else dump(call.body)
        if content is not None:
            headers.setdefault("Content-Type", "application/json")
        timeout = httpx.Timeout(left, connect=min(left, self.limits.connect_timeout_seconds))
        url = self._origin.copy_with(raw_path=call.target.encode("ascii"))
        return self._http.build_request(call.method, url, headers=headers, content=content, timeout=timeout)

    def _reply(self, exchange: _Exchange, response: httpx.Response, raw: bytes | None) -> Reply:
        call, status = exchange.call, response.status_code
        request_id = _request_id(response.headers) or exchange.request_id
        unusable = self.unusable(call, Answer(status, request_id=request_id))
        if status < 400 and (raw is None or status >= 300 or not _documented(call, response, raw)):
            raise unusable
        content: Json = None
        if raw and "json" in response.headers.get("content-type", ""):
            try:
                content = load(raw, self.limits.depth)
            except NotJson:
                if status < 400:
                    raise unusable from None
        return Reply(status, response.headers, content, raw or b"", request_id)

    # --- the gate: what the system wants after a 429 ---

    def _close_gate(self, reply: Reply) -> None:
        wish = retry_after_seconds(reply.headers, self._clock.now())
        seconds = self.limits.usual_retry_after_seconds if wish is None else wish
        self.allowance.close_gate(min(max(seconds, SHORTEST_WAIT_SECONDS), self.limits.longest_retry_after_seconds))

    def _check_gate(self, exchange: _Exchange) -> None:
        gate_seconds = self.allowance.gate_seconds
        if self._clock.monotonic() + gate_seconds > exchange.deadline:
            raise Throttled(self.system, timedelta(seconds=gate_seconds), Answer(429))

    async def _pass_gate(self, exchange: _Exchange) -> None:
        while self.allowance.gate_seconds > 0:
            self._check_gate(exchange)
            await self._clock.sleep(self.allowance.gate_seconds)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme)


async def _read(response: httpx.Response, most: int) -> bytes | None:
    """The decompressed body, or None when it is larger than allowed; then the rest is not even received."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)


def _documented(call: Call, response: httpx.Response, raw: bytes) -> bool:
    """Whether a success has the kind of content that was asked for; only a write may be answered without any."""
    if not raw:
        return call.writes or response.status_code == 204
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return bool(kind == call.expects)


def _request_id(headers: httpx.Headers) -> str:
    given = next((headers[name] for name in REQUEST_ID_HEADERS if name in headers), "")
    return given if len(given) <= 64 and given.replace("-", "").isalnum() else ""


def retry_after_seconds(headers: httpx.Headers, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date (RFC 9110, 10.2.3); None when it is neither.

    A date is measured against the answer's own Date where there is one, so that clocks need not agree.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = _http_date(text)
    return None if until is None else (until - (_http_date(headers.get("date", "")) or now)).total_seconds()


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _how_far(exchange: _Exchange) -> str:
    return f"status {exchange.status}" if exchange.answered else "no answer" if exchange.sent else "not sent"


def _hush_httpx() -> None:
    """httpx and httpcore log whole addresses, which hold ids and searched values; only their warnings may pass."""
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
