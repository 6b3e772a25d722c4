"""Faults on demand on the vendor's routes."""

from __future__ import annotations

import json

import httpx
import pytest

from sandbox.faults import FaultKind, FaultRule
from tests.contract.business_central_sandbox.rig import BASE_URL, COMPANY, CUSTOMERS, ROOT, Rig, error_of


async def test_a_lost_answer_leaves_the_customer_behind(rig: Rig) -> None:
    """The create is carried out, the caller only sees the connection break; repeating it is refused."""
    rig.sandbox.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", "/customers$", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        await rig.create(number="CRM-1")
    assert [row["number"] for row in await rig.values(CUSTOMERS)] == ["CRM-1"]
    again = await rig.http.post(CUSTOMERS, json={"displayName": "Ferramenta Rossa S.r.l.", "number": "CRM-1"})
    assert error_of(again, 400)[0] == "Internal_EntityWithSameKeyExists"


@pytest.mark.parametrize(
    ("kind", "status", "executed"),
    [
        (FaultKind.THROTTLED, 429, False),
        (FaultKind.UNAVAILABLE, 503, False),
        (FaultKind.SERVER_ERROR, 500, False),
        (FaultKind.GARBAGE, 200, False),
        (FaultKind.GATEWAY_TIMEOUT, 504, True),
    ],
)
async def test_answers_on_demand_and_what_was_executed(rig: Rig, kind: FaultKind, status: int, executed: bool) -> None:
    """Only the gateway's timeout comes after the work was done."""
    rig.sandbox.faults.add(FaultRule(kind, "POST", times=1, retry_after_seconds=7))
    answer = await rig.http.post(CUSTOMERS, json={"displayName": "X"})
    assert answer.status_code == status
    assert len(await rig.values(CUSTOMERS)) == int(executed)
    if kind is FaultKind.THROTTLED:
        assert answer.headers["retry-after"] == "7"
        assert error_of(answer, 429)[0] == "Application_TooManyRequests"
    if kind in (FaultKind.GARBAGE, FaultKind.GATEWAY_TIMEOUT):
        assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("kind", "error", "executed"),
    [
        (FaultKind.REFUSED_CONNECTION, httpx.ConnectError, False),
        (FaultKind.HALF_BODY, httpx.RemoteProtocolError, True),
        (FaultKind.STALL, httpx.ReadTimeout, True),
    ],
)
async def test_connections_break_on_demand(rig: Rig, kind: FaultKind, error: type[Exception], executed: bool) -> None:
    """Each break is the exception a real client would see."""
    rig.sandbox.faults.add(FaultRule(kind, "POST", times=1))
    with pytest.raises(error):
        await rig.http.post(CUSTOMERS, json={"displayName": "X"})
    assert len(await rig.values(CUSTOMERS)) == int(executed)


async def test_a_stale_read_shows_the_previous_version_or_an_earlier_state(rig: Rig) -> None:
    """A record read right after its change may still look as before."""
    row = await rig.create(city="Bolzano")
    await rig.clock.advance(10)
    await rig.change(row, city="Merano")
    url = f"{CUSTOMERS}({row['id']})"
    rig.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, times=1))
    assert (await rig.get(url))["city"] == "Bolzano"
    rig.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, seconds=5, times=1))
    assert (await rig.get(url))["city"] == "Bolzano"
    rig.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, seconds=20, times=1))
    assert await rig.values(CUSTOMERS) == []
    assert (await rig.get(url))["city"] == "Merano"


async def test_faults_strike_batches_and_subscriptions_too(rig: Rig) -> None:
    """Every route of the vendor can fail; the path says which."""
    rig.sandbox.faults.add(FaultRule(FaultKind.LOST_ANSWER, path=r"\$batch$", times=1))
    requests = [
        {
            "id": "1",
            "method": "POST",
            "url": f"companies({COMPANY})/customers",
            "headers": {"Content-Type": "application/json"},
            "body": {"displayName": "X"},
        }
    ]
    with pytest.raises(httpx.RemoteProtocolError):
        await rig.http.post(f"{ROOT}/$batch", json={"requests": requests})
    assert len(await rig.values(CUSTOMERS)) == 1
    rig.sandbox.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", "/subscriptions$", times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        await rig.subscribe()
    assert len(rig.sandbox.subscriptions()) == 1


async def test_people_can_look_and_inject_over_http(rig: Rig) -> None:
    """The admin routes need no token and show tables, requests and faults."""
    row = await rig.create()
    admin = rig.stranger()
    tables = (await admin.get(f"{BASE_URL}/_sandbox/tables/customers")).json()
    assert [(one["id"], one["company"]) for one in tables] == [(row["id"], "ALPENHOLZ")]
    assert (await admin.get(f"{BASE_URL}/_sandbox/tables/numberSeries")).status_code == 200
    assert (await admin.get(f"{BASE_URL}/_sandbox/tables/subscriptions")).json() == []
    assert (await admin.get(f"{BASE_URL}/_sandbox/tables/nonsense")).status_code == 404
    rule = {"kind": "unavailable", "times": 1}
    assert (await admin.post(f"{BASE_URL}/_sandbox/faults", content=json.dumps(rule))).status_code == 201
    assert (await rig.http.get(CUSTOMERS)).status_code == 503
    assert (await admin.post(f"{BASE_URL}/_sandbox/reset")).status_code == 204
    assert await rig.values(CUSTOMERS) == []
    assert (await rig.create())["number"] == "K00010"
    assert (await admin.post(f"{BASE_URL}/_sandbox/flush")).json() == {"delivered": 0}
    assert rig.sandbox.requests.count("POST", r"/customers$", 201) == 2
    await admin.aclose()
