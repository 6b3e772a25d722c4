"""The pieces every sandbox is made of: queries, outbox, disk, transport, faults of notices, log."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from sandbox.disk import Disk, decode, encode
from sandbox.faults import FaultKind, FaultRule, Faults, NoticeFaults
from sandbox.odata import BadQuery, UnsupportedQuery, compile_filter, equalities, parse_moment
from sandbox.outbox import Outbox
from sandbox.request_log import RequestLog, path_template
from sandbox.server import serve
from sandbox.tokens import InvalidToken, TokenIssuer
from sandbox.transport import HostRouter
from tests.contract.dataverse_sandbox.conftest import ManualClock

TYPES = {"allocation": "Edm.Int32", "nullable": "Edm.String", "anyname": "Edm.String", "trueup": "Edm.Boolean"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("allocation eq 3", True),
        ("nullable eq 'all x'", True),
        ("anyname ne null", False),
        ("trueup and allocation gt 2", True),
        ("allocation in (1,3)", True),
    ],
)
def test_names_may_begin_like_keywords(text: str, expected: bool) -> None:
    """`allocation` is a property, not the operator `all`."""
    row = {"allocation": 3, "nullable": "All X", "anyname": None, "trueup": True}
    assert compile_filter(text, types=TYPES.get)(row) is expected


def test_a_system_chooses_how_text_is_compared() -> None:
    """Case counts for one database and not for the other."""
    row = {"nullable": "ABC"}
    assert compile_filter("nullable eq 'abc'", types=TYPES.get)(row)
    assert not compile_filter("nullable eq 'abc'", types=TYPES.get, case_sensitive=True)(row)


def test_wrong_and_unknown_queries_are_told_apart() -> None:
    """A system refuses the one and answers 501 to the other."""
    with pytest.raises(BadQuery) as caught:
        compile_filter("nix eq 1", types=TYPES.get)
    assert caught.value.prop == "nix"
    with pytest.raises(UnsupportedQuery):
        compile_filter("allocation add 1 eq 2", types=TYPES.get)
    with pytest.raises(UnsupportedQuery):
        compile_filter(
            "Microsoft.Dynamics.CRM.Today(PropertyName='nullable')", types=TYPES.get, dynamics_functions=True
        )


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_is_found_by_its_own_literal(text: str) -> None:
    """Quotes are doubled and nothing in a text is taken for syntax."""
    literal = "'" + text.replace("'", "''") + "'"
    assert compile_filter(f"nullable eq {literal}", types=TYPES.get, case_sensitive=True)({"nullable": text})
    found = equalities(f"nullable eq {literal} and allocation eq 1")
    assert [(one.path, one.value) for one in found] == [("nullable", text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.1234567Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05.37+02:00", datetime(2026, 1, 2, 1, 4, 5, 370000, tzinfo=UTC)),
        ("2026-01-02T03:04:05-01:00", datetime(2026, 1, 2, 4, 4, 5, tzinfo=UTC)),
    ],
)
def test_moments_are_read_in_any_precision_and_zone(text: str, expected: datetime) -> None:
    """The result is aware and UTC."""
    assert parse_moment(text) == expected


async def test_an_earlier_item_wakes_the_outbox_earlier() -> None:
    """The background task does not sleep past what came in meanwhile."""
    clock, sent = ManualClock(), list[str]()

    async def send(item: str) -> None:
        sent.append(item)

    outbox: Outbox[str] = Outbox(clock, send)
    running = asyncio.create_task(outbox.run())
    outbox.put("late", clock.now() + timedelta(seconds=60))
    await asyncio.sleep(0)
    outbox.put("early", clock.now() + timedelta(seconds=5))
    await clock.advance(5)
    assert (sent, outbox.waiting()) == (["early"], 1)
    await clock.advance(55)
    assert sent == ["early", "late"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_values_keep_their_type_on_disk(tmp_path: Path) -> None:
    """What was committed is there after a restart, what was not is not."""
    value = {"a": Decimal("1.50"), "b": datetime(2026, 1, 2, tzinfo=UTC), "c": date(2026, 1, 2), "d": [None, True]}
    assert decode(encode(value)) == value
    disk = Disk(tmp_path / "kept.sqlite")
    disk.put("space", "one", value)
    disk.commit()
    disk.put("space", "two", 2)
    other = Disk(tmp_path / "kept.sqlite")
    assert other.load("space") == {"one": value}
    other.close()
    disk.close()
    disk.close()


async def test_one_client_reaches_several_sandboxes() -> None:
    """By host; a host nobody serves refuses the connection."""
    router = HostRouter({"one.example": PlainTextResponse("1"), "two.example:8080": PlainTextResponse("2")})
    async with httpx.AsyncClient(transport=router) as client:
        assert (await client.get("https://one.example/x")).text == "1"
        assert (await client.get("http://two.example:8080/x")).text == "2"
        with pytest.raises(httpx.ConnectError):
            await client.get("https://three.example/")


def test_faults_repeat_with_their_seed() -> None:
    """Two generators with one seed draw the same."""
    draws = []
    for _ in range(2):
        faults, notices = Faults(seed=7), NoticeFaults(duplicate=0.3, drop=0.3, delay_seconds=(0, 9), seed=7)
        faults.add(FaultRule(FaultKind.UNAVAILABLE, probability=0.4))
        struck = [faults.pick("GET", "/") is not None for _ in range(30)]
        draws.append((struck, [notices.delays() for _ in range(30)]))
    assert draws[0] == draws[1]


def test_a_stale_read_only_strikes_reads() -> None:
    """A write cannot be stale."""
    faults = Faults()
    faults.add(FaultRule(FaultKind.STALE_READ))
    assert faults.pick("PATCH", "/x") is None
    assert faults.pick("GET", "/x") is not None


def test_the_log_is_bounded_and_counts() -> None:
    """Old requests go, totals by kind of request stay."""
    log, at = RequestLog("test", kept=2), datetime(2026, 1, 2, tzinfo=UTC)
    for number in range(3):
        path = f"/accounts(00000000-0000-4000-8000-00000000000{number})"
        log.add(at=at, method="GET", path=path, status=200)
    assert (len(log.entries()), log.count("GET", "accounts", 200)) == (2, 2)
    assert log.totals == {("GET", "/accounts({id})", 200): 3}
    assert path_template("/accounts(accountnumber='O''Neil')") == "/accounts(accountnumber='..')"


def test_a_token_of_another_issuer_is_not_accepted() -> None:
    """Issuers of different seeds have different keys."""
    token = TokenIssuer(seed=1).issue("app", "https://a.example")
    with pytest.raises(InvalidToken) as caught:
        TokenIssuer(seed=2).verify(token, "https://a.example")
    assert caught.value.reason == "signature"


async def test_a_taken_port_is_an_error() -> None:
    """Not a silent second server."""
    served = await serve(PlainTextResponse("here"))
    async with httpx.AsyncClient() as client:
        assert (await client.get(served.url)).text == "here"
    with pytest.raises(OSError, match=r".+"):
        await serve(PlainTextResponse("there"), served.port)
    await served.stop()
    await served.stop()
