"""Faults on demand: what is executed, what the client sees, in process and over a real port."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from sandbox.dataverse import DataverseOptions, DataverseSandbox
from sandbox.faults import FaultKind, FaultRule
from sandbox.server import serve
from sandbox.tokens import TokenIssuer
from tests.contract.dataverse_sandbox.conftest import BASE_URL, CLIENT_ID, ORGANIZATION_ID, Organisation, code_of

EXECUTED = {FaultKind.LOST_ANSWER, FaultKind.HALF_BODY, FaultKind.GATEWAY_TIMEOUT}
BROKEN: dict[FaultKind, type[httpx.TransportError]] = {
    FaultKind.LOST_ANSWER: httpx.RemoteProtocolError,
    FaultKind.HALF_BODY: httpx.RemoteProtocolError,
    FaultKind.REFUSED_CONNECTION: httpx.ConnectError,
}
ANSWERED = {
    FaultKind.THROTTLED: 429,
    FaultKind.UNAVAILABLE: 503,
    FaultKind.GATEWAY_TIMEOUT: 504,
    FaultKind.SERVER_ERROR: 500,
    FaultKind.GARBAGE: 200,
}


def names(org: Organisation) -> list[str]:
    """Return the names of all accounts."""
    return [row["name"] for row in org.sandbox.rows("account").values()]


@pytest.mark.parametrize(("kind", "error"), BROKEN.items())
async def test_a_broken_connection_looks_like_one(
    org: Organisation, kind: FaultKind, error: type[httpx.TransportError]
) -> None:
    """The client sees httpx's own exception; whether the row is there depends on the kind."""
    org.sandbox.faults.add(FaultRule(kind, method="POST", path="/accounts", times=1))
    with pytest.raises(error):
        await org.client.post("/accounts", json={"name": "Rossi"}, headers={"Prefer": "return=representation"})
    assert names(org) == (["Rossi"] if kind in EXECUTED else [])
    assert org.sandbox.requests.count("POST", "accounts") == 1
    await org.create(name="next")


@pytest.mark.parametrize(("kind", "status"), ANSWERED.items())
async def test_a_failure_answers_in_the_systems_words(org: Organisation, kind: FaultKind, status: int) -> None:
    """429 and 500 have Dataverse's body, the front end's 503 and 504 have none, a sign-in page is HTML."""
    org.sandbox.faults.add(FaultRule(kind, times=1, retry_after_seconds=7))
    answer = await org.client.post("/accounts", json={"name": "Rossi"})
    assert answer.status_code == status
    assert names(org) == (["Rossi"] if kind in EXECUTED else [])
    if kind is FaultKind.THROTTLED:
        assert (code_of(answer), answer.headers["Retry-After"]) == ("0x80072322", "7")
    if kind is FaultKind.SERVER_ERROR:
        assert code_of(answer) == "0x80044150"
    if kind is FaultKind.GARBAGE:
        assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_stall_ends_with_the_clients_patience(org: Organisation) -> None:
    """The read timeout counts on the sandbox's clock; the request may have been executed."""
    org.sandbox.faults.add(FaultRule(FaultKind.STALL, method="POST", seconds=600))
    request = asyncio.create_task(org.client.post("/accounts", json={"name": "Rossi"}, timeout=30))
    await org.clock.asleep(30)
    await org.clock.advance(29)
    assert not request.done()
    await org.clock.advance(1)
    with pytest.raises(httpx.ReadTimeout):
        await request
    assert names(org) == ["Rossi"]


async def test_rules_choose_their_requests(org: Organisation) -> None:
    """By method and address, after some, a number of times, until removed."""
    rule_id = org.sandbox.faults.add(FaultRule(FaultKind.UNAVAILABLE, method="GET", path="WhoAmI", after=1, times=2))
    statuses = [(await org.client.get("/WhoAmI")).status_code for _ in range(5)]
    assert statuses == [200, 503, 503, 200, 200]
    assert (await org.client.get("/accounts")).status_code == 200
    org.sandbox.faults.remove(rule_id)
    org.sandbox.faults.add(FaultRule(FaultKind.UNAVAILABLE, probability=0.5))
    statuses = [(await org.client.get("/WhoAmI")).status_code for _ in range(40)]
    assert 5 < statuses.count(503) < 35


async def test_a_stale_read_shows_what_was(org: Organisation) -> None:
    """The previous version, or the state of some seconds ago: changed, new and deleted rows alike."""
    row_id = await org.create(name="first")
    await org.clock.advance(10)
    await org.client.patch(f"/accounts({row_id})", json={"name": "second"})
    new = await org.create(name="new")
    url = f"/accounts({row_id})?$select=name"
    org.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, seconds=5, times=3))
    assert (await org.client.get(url)).json()["name"] == "first"
    assert (await org.client.get(f"/accounts({new})")).status_code == 404
    assert [row["name"] for row in (await org.client.get("/accounts")).json()["value"]] == ["first"]
    assert (await org.client.get(url)).json()["name"] == "second"
    org.sandbox.faults.add(FaultRule(FaultKind.STALE_READ, seconds=0, times=1))
    assert (await org.client.get(url)).json()["name"] == "first"


async def test_the_admin_routes_serve_people_and_tests(org: Organisation) -> None:
    """Requests, faults, tables, reset; never under the vendor's paths and never struck by a fault."""
    await org.create(name="Rossi", revenue=1.5)
    rule = {"kind": "unavailable", "method": "GET"}
    admin = f"{BASE_URL}/_sandbox"
    assert (await org.client.post(f"{admin}/faults", json=rule)).json() == {"id": 1}
    assert (await org.client.get("/WhoAmI")).status_code == 503
    assert (await org.client.get(f"{admin}/faults")).json()["1"]["kind"] == "unavailable"
    for wrong in ({"kind": "nix"}, {"kind": "stall", "nix": 1}, {"kind": "stall", "path": "("}):
        assert (await org.client.post(f"{admin}/faults", json=wrong)).status_code == 400
    assert (await org.client.delete(f"{admin}/faults")).status_code == 204
    await org.client.get("/$metadata")
    unforeseen = (await org.client.get(f"{admin}/requests?unforeseen=1")).json()
    assert [entry["path"] for entry in unforeseen] == ["/api/data/v9.2/$metadata"]
    assert (await org.client.get(f"{admin}/tables/account")).json()[0]["revenue"] == "1.50"
    assert (await org.client.get(f"{admin}/tables/nix")).status_code == 404
    changed = await org.client.post(f"{admin}/notice-faults", json={"drop": 0.5, "delay_seconds": [1, 2]})
    assert (changed.json()["drop"], changed.json()["delay_seconds"]) == (0.5, [1.0, 2.0])
    assert (await org.client.post(f"{admin}/flush")).json() == {"delivered": 0}
    assert (await org.client.post(f"{admin}/reset")).status_code == 204
    assert names(org) == []
    assert (await org.client.get("/WhoAmI")).status_code == 200


async def test_over_a_real_port_the_socket_really_closes() -> None:
    """Lost answer, half body and refusal end the connection; afterwards the server goes on."""
    issuer = TokenIssuer()
    sandbox = DataverseSandbox(
        base_url=BASE_URL,
        organization_id=ORGANIZATION_ID,
        clock=issuer.clock,
        issuer=issuer,
        options=DataverseOptions(application_users=(CLIENT_ID,)),
    )
    headers = {"Authorization": f"Bearer {issuer.issue(CLIENT_ID, BASE_URL)}", "Prefer": "return=representation"}
    served = await serve(sandbox.app)
    async with httpx.AsyncClient(base_url=f"{served.url}/api/data/v9.2", headers=headers) as client:
        for kind in (FaultKind.LOST_ANSWER, FaultKind.HALF_BODY, FaultKind.REFUSED_CONNECTION):
            sandbox.faults.add(FaultRule(kind, method="POST", times=1))
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post("/accounts", json={"name": str(kind)})
        assert (await client.get("/accounts/$count")).text == "2"
        assert (await client.post("/accounts", json={"name": "next"})).status_code == 201
    await served.stop()
    await sandbox.aclose()


async def test_bytes_on_the_wire_stop_in_the_middle() -> None:
    """A raw client sees an announced length and half of it, then the end of the stream."""
    issuer = TokenIssuer()
    sandbox = DataverseSandbox(
        base_url=BASE_URL,
        organization_id=ORGANIZATION_ID,
        clock=issuer.clock,
        issuer=issuer,
        options=DataverseOptions(application_users=(CLIENT_ID,)),
    )
    sandbox.faults.add(FaultRule(FaultKind.HALF_BODY))
    served = await serve(sandbox.app)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    token = issuer.issue(CLIENT_ID, BASE_URL)
    request = f"GET /api/data/v9.2/WhoAmI HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(request.encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    announced = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert len(body) == announced // 2
    writer.close()
    await writer.wait_closed()
    await served.stop()
    await sandbox.aclose()
