"""The HTTP layer says truly what happened to a request, and goes nowhere else than to its system."""

from __future__ import annotations

import asyncio
import gzip
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta

import httpx
import pytest

from shared.errors import (
    BadAnswer,
    ConnectorError,
    SettingsError,
    SignInFailed,
    SystemDown,
    Throttled,
    UnknownResult,
)
from shared.http_client import SURELY_SENT_NOTHING, Call, HttpClient, Limits, Reply
from shared.identity import TokenRefused, TokenServiceDown
from shared.strict_json import JsonObject
from tests.unit.connectors.fakes import ORIGIN, CountedTokens, JumpingClock, Script, client

READ = Call("GET", "/things?$select=id", "things")
WRITE = Call("POST", "/things", "things", body={"name": "Aurora Milling"})
CALLS = pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
BOMB = gzip.compress(b"[" + b" " * 900_000 + b"]")
HTML = httpx.Response(200, html="<html><title>Sign in</title></html>")


def answer(
    body: JsonObject | None = None, status: int = 200, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    return httpx.Response(status, json={} if body is None else body, headers=headers)


def limited(seconds: int) -> httpx.Response:
    return httpx.Response(429, headers={"Retry-After": str(seconds)})


async def outcome(http: HttpClient, call: Call, within_seconds: float | None = None) -> Reply | ConnectorError:
    try:
        return await http.send(call, within_seconds)
    except ConnectorError as error:
        return error
    finally:
        await http.aclose()


def all_exchange_errors() -> list[type[httpx.RequestError]]:
    classes = [item for _, item in inspect.getmembers(httpx, inspect.isclass)]
    return [item for item in classes if issubclass(item, httpx.RequestError)]


@pytest.mark.parametrize("kind", all_exchange_errors(), ids=lambda kind: kind.__name__)
async def test_every_error_of_httpx_has_been_judged(kind: type[httpx.RequestError]) -> None:
    """A new or unjudged exception of httpx fails here, before it is taken for "certainly not sent"."""
    assert kind in SURELY_SENT_NOTHING
    read = await outcome(client(Script(kind("broken"))), READ)
    write = await outcome(client(Script(kind("broken"))), WRITE)
    assert isinstance(read, SystemDown)
    assert type(write) is (SystemDown if SURELY_SENT_NOTHING[kind] else UnknownResult)


@CALLS
async def test_a_connection_that_was_never_made_is_a_system_down_even_for_writes(call: Call) -> None:
    """Nothing was sent, so nothing can have been written."""
    assert type(await outcome(client(Script(httpx.ConnectError("refused"))), call)) is SystemDown


class BrokenBody(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"id":'
        raise httpx.RemoteProtocolError("closed in the middle")


@pytest.mark.parametrize(("call", "expected"), [(READ, BadAnswer), (WRITE, UnknownResult)])
@pytest.mark.parametrize(
    "given",
    [
        lambda: HTML,
        lambda: httpx.Response(200, text='{"id": 1', headers={"Content-Type": "application/json"}),
        lambda: httpx.Response(200, text='{"id": NaN}', headers={"Content-Type": "application/json"}),
        lambda: httpx.Response(200, text="[" * 40 + "]" * 40, headers={"Content-Type": "application/json"}),
        lambda: httpx.Response(200, text="[" * 9000 + "]" * 9000, headers={"Content-Type": "application/json"}),
        lambda: httpx.Response(200, content=b"\xff\xfe", headers={"Content-Type": "application/json"}),
        lambda: httpx.Response(200, stream=httpx.ByteStream(b"not gzip"), headers={"Content-Encoding": "gzip"}),
        lambda: httpx.Response(200, content=b"{}" + b" " * 5000, headers={"Content-Type": "application/json"}),
        lambda: httpx.Response(200, stream=httpx.ByteStream(BOMB), headers={"Content-Encoding": "gzip"}),
        lambda: httpx.Response(200, stream=BrokenBody(), headers={"Content-Type": "application/json"}),
        lambda: httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
    ],
    ids=[
        "a sign-in page",
        "half",
        "NaN",
        "deep",
        "very deep",
        "no text",
        "bad gzip",
        "large",
        "a bomb",
        "cut",
        "moved",
    ],
)
async def test_an_answer_that_cannot_be_understood_leaves_a_write_unknown(
    given: Callable[[], httpx.Response], call: Call, expected: type[ConnectorError]
) -> None:
    """Whatever came back, the write may have been executed; a read has just not been answered."""
    http = client(Script(given()), limits=Limits(body_bytes=4000))
    assert type(await outcome(http, call)) is expected


async def test_a_read_without_a_body_is_no_answer() -> None:
    """An empty 200 to a read is not taken for "no records"."""
    assert type(await outcome(client(Script(httpx.Response(200))), READ)) is BadAnswer


async def test_numbers_are_read_and_written_digit_by_digit() -> None:
    """Money never passes through a binary float, in either direction."""
    raw = b'{"price": 0.1000000000000000055511151231257827, "count": 3, "none": null}'
    script = Script(httpx.Response(200, content=raw, headers={"Content-Type": "application/json"}))
    http = client(script)
    read = await http.send(READ)
    assert isinstance(read.content, dict)
    script.answers.append(httpx.Response(204))
    await outcome(http, Call("POST", "/things", "things", body=read.content))
    assert script.requests[1].content == raw.replace(b": ", b":").replace(b", ", b",")


async def test_a_refused_token_is_replaced_once() -> None:
    """The first 401 may be an expired token; it was not executed, so even a write goes out again."""
    script = Script(answer(status=401), answer({"id": "1"}))
    reply = await outcome(client(script), WRITE)
    assert isinstance(reply, Reply)
    assert [request.headers["Authorization"] for request in script.requests] == ["Bearer token-1", "Bearer token-2"]


async def test_a_second_refusal_is_a_failed_sign_in() -> None:
    """After one fresh token the sign-in itself is wrong, and the system counts as down."""
    script = Script(answer(status=401), answer(status=401))
    assert type(await outcome(client(script), READ)) is SignInFailed
    assert len(script.requests) == 2


async def test_fifty_refused_calls_cost_one_new_token() -> None:
    """A token that expires under load is renewed once, not fifty times."""
    tokens = CountedTokens()

    def system(request: httpx.Request) -> httpx.Response:
        return answer(status=200 if request.headers["Authorization"] == "Bearer token-2" else 401)

    http = client(system, tokens=tokens, at_once=50)
    await asyncio.gather(*(http.send(READ) for _ in range(50)))
    await http.aclose()
    assert tokens.current == 2


@pytest.mark.parametrize(
    ("failure", "expected"), [(TokenRefused("AADSTS7000215"), SignInFailed), (TokenServiceDown(), SystemDown)]
)
async def test_without_a_token_nothing_is_sent(failure: Exception, expected: type[ConnectorError]) -> None:
    """The class says whether to wait or to mend the credentials."""

    class NoTokens(CountedTokens):
        async def token(self, scope: str, *, refused: str | None = None) -> str:
            raise failure

    error = await outcome(client(Script(), tokens=NoTokens()), WRITE)
    assert type(error) is expected


@CALLS
async def test_a_throttled_call_waits_as_long_as_asked_and_is_repeated(call: Call) -> None:
    """429 was not executed, so the same request goes out again once the wait is over."""
    clock = JumpingClock()
    script = Script(limited(17), answer())
    assert isinstance(await outcome(client(script, clock=clock), call), Reply)
    assert clock.slept == [17]


async def test_one_throttled_call_makes_all_calls_of_the_client_wait() -> None:
    """Going on while limited lengthens the limit: five calls after a 429 cost five requests, not ten."""
    clock = JumpingClock()
    seen: list[float] = []

    def system(request: httpx.Request) -> httpx.Response:
        seen.append(clock.elapsed)
        return limited(30) if len(seen) == 1 else answer()

    http = client(system, clock=clock, at_once=1)
    await asyncio.gather(*(http.send(READ) for _ in range(5)))
    await http.aclose()
    assert seen == [0, 30, 30, 30, 30, 30]


async def test_a_wait_longer_than_the_call_may_take_is_handed_up() -> None:
    """The caller learns the system's wish and gives its place to others; the next call does not even try."""
    http = client(Script(limited(100)))
    with pytest.raises(Throttled) as first:
        await http.send(READ, within_seconds=60)
    with pytest.raises(Throttled) as second:
        await http.send(READ, within_seconds=60)
    await http.aclose()
    assert first.value.retry_after == second.value.retry_after == timedelta(seconds=100)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "Mon, 02 Mar 2026 08:00:45 GMT"}, 45),
        ({"Retry-After": "Mon, 02 Mar 2026 09:00:45 GMT", "Date": "Mon, 02 Mar 2026 09:00:00 GMT"}, 45),
        ({"Retry-After": "Mon, 02 Mar 2026 07:00:00 GMT"}, 1),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "-5"}, 10),
        ({"Retry-After": "soon"}, 10),
        ({"Retry-After": "\u0665"}, 10),
        ({}, 10),
        ({"Retry-After": "99999999999999999999"}, 600),
    ],
)
async def test_the_wait_asked_for_is_read_in_both_forms_and_never_believed_blindly(
    headers: dict[str, str], seconds: float
) -> None:
    """Numbers, dates, nothing and nonsense: the wait is between one second and the cap."""
    clock = JumpingClock()
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    script = Script(httpx.Response(429, headers=encoded), answer())
    assert isinstance(await outcome(client(script, clock=clock), READ, 3600), Reply)
    assert clock.elapsed == seconds


async def test_no_other_status_is_repeated() -> None:
    """Retrying is decided in one place, and that is not here."""
    for status in (400, 404, 408, 409, 412, 500, 502, 503, 504):
        script = Script(answer({"error": {"code": "x"}}, status))
        reply = await outcome(client(script), WRITE)
        assert isinstance(reply, Reply)
        assert (reply.status, len(script.requests)) == (status, 1)


class Silence(httpx.AsyncBaseTransport):
    """Takes requests and never answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError("never")


@pytest.mark.parametrize(("call", "expected"), [(READ, SystemDown), (WRITE, UnknownResult)])
async def test_a_call_ends_by_its_deadline(call: Call, expected: type[ConnectorError]) -> None:
    """Silence ends in time, and a write that was sent stays unknown."""
    assert type(await outcome(client(Silence()), call, 0.02)) is expected


async def test_a_write_that_found_no_place_in_time_was_not_sent() -> None:
    """Waiting behind others is no unknown result, and no fault of the system: the write comes again later."""
    http = client(Silence(), at_once=1)
    first = asyncio.create_task(http.send(WRITE, 5))
    await asyncio.sleep(0)
    with pytest.raises(Throttled):
        await http.send(WRITE, 0.02)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await http.aclose()


async def test_never_more_requests_at_once_than_allowed() -> None:
    """The bound holds however many callers there are."""
    now = most = 0

    class Counting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal now, most
            now, most = now + 1, max(most, now + 1)
            await asyncio.sleep(0)
            now -= 1
            return answer()

    http = client(Counting(), at_once=3)
    await asyncio.gather(*(http.send(READ) for _ in range(20)))
    await http.aclose()
    assert most == 3


async def test_cookies_are_not_kept() -> None:
    """An affinity cookie would bind all requests to one of the system's servers."""
    script = Script(answer(headers={"Set-Cookie": "ARRAffinity=server7; Path=/"}), answer())
    http = client(script)
    await http.send(READ)
    await http.send(READ)
    await http.aclose()
    assert "Cookie" not in script.requests[1].headers


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/things?page=2",
        "http://system.example/things?page=2",
        "https://system.example:8443/things?page=2",
        "https://user:pw@system.example/things?page=2",
        "https://system.example.elsewhere.example/things",
        "https://system.example/other?page=2",
        "https://system.example/things/../other",
        "//elsewhere.example/things",
        "/things?page=2",
        "https://system.example\\@elsewhere.example/things",
        "javascript:alert(1)",
        "https://[",
        "",
    ],
)
async def test_links_are_followed_to_the_systems_own_address_only(link: str) -> None:
    """Nothing received chooses a host, a scheme or another part of the interface."""
    http = client(Script())
    with pytest.raises(BadAnswer):
        http.own_target(link, "/things")
    await http.aclose()


async def test_a_link_goes_out_byte_for_byte() -> None:
    """A paging token is double-encoded inside; re-encoding would break it."""
    path = "/things?$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253ccookie%2520p%253d%22%20/%3E"
    script = Script(answer())
    http = client(script)
    await http.send(Call("GET", http.own_target(f"HTTPS://System.Example:443{path}", "/things"), "things"))
    await http.aclose()
    assert script.requests[0].url.raw_path == path.encode()


@pytest.mark.parametrize("url", ["http://system.example", "ftp://system.example", "https://a:b@system.example", ""])
def test_an_unsafe_address_is_refused_at_once(url: str) -> None:
    """Only this very machine may be spoken to without TLS."""
    with pytest.raises(SettingsError):
        HttpClient(
            system="dataverse",
            base_url=url,
            scope="",
            tokens=CountedTokens(),
            clock=JumpingClock(),
            ids=None,  # type: ignore[arg-type]  # never reached
        )


async def test_every_attempt_has_its_own_request_id_and_errors_keep_one() -> None:
    """The vendor's support finds a request by its id, ours where the system gave none."""
    script = Script(
        limited(1), answer(status=503, headers={"x-ms-service-request-id": "f00d-1"}), httpx.ReadError("gone")
    )
    http = client(script)
    reply = await http.send(READ)
    with pytest.raises(SystemDown) as lost:
        await http.send(READ)
    await http.aclose()
    ids = [request.headers["x-ms-client-request-id"] for request in script.requests]
    assert len(set(ids)) == 3
    assert (reply.request_id, lost.value.answer.request_id) == ("f00d-1", ids[2])


async def test_nothing_of_a_request_but_its_kind_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Addresses hold ids and searched values, bodies hold people; neither may reach a log, at any level."""
    caplog.set_level(logging.DEBUG)
    call = Call("PATCH", "/things(0a)?$filter=vat%20eq%20%27IT1%27", "things(..)", body={"name": "Aurora Milling"})
    await outcome(client(Script(answer({"name": "Aurora Milling"}))), call)
    ours = [record.getMessage() for record in caplog.records if record.name == "crossdock.http"]
    assert ours == ["dataverse PATCH things(..): status 200, 0.000 s"]
    for secret in ("Aurora", "0a", "IT1", "token-1", ORIGIN):
        assert secret not in caplog.text
