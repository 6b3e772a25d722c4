"""The same sandbox over a real port, with real sockets and the machine's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox.business_central import AUDIENCE, BusinessCentralOptions, BusinessCentralSandbox, Company
from sandbox.clock import SystemClock
from sandbox.faults import FaultKind, FaultRule
from sandbox.server import Served, serve
from sandbox.tokens import TENANT_ID, TokenIssuer
from tests.contract.business_central_sandbox.rig import COMPANY, Receiver

ROOT = f"/v2.0/{TENANT_ID}/Production/api/v2.0"
CUSTOMERS = f"{ROOT}/companies({COMPANY})/customers"


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, Served]]:
    """A receiver of notices behind a port of its own."""
    receiver = Receiver()
    served = await serve(receiver.app)
    yield receiver, served
    await served.stop()


@pytest.fixture
def issuer() -> TokenIssuer:
    """Issues tokens by the machine's clock."""
    return TokenIssuer(SystemClock())


@pytest.fixture
async def sandbox(issuer: TokenIssuer) -> AsyncIterator[BusinessCentralSandbox]:
    """A sandbox on the machine's clock; notices need not wait."""
    sandbox = BusinessCentralSandbox(
        base_url="http://127.0.0.1",
        tenant=TENANT_ID,
        environment="Production",
        companies=[Company(COMPANY, "ALPENHOLZ")],
        clock=issuer.clock,
        issuer=issuer,
        options=BusinessCentralOptions(subscription_delay_seconds=0),
    )
    yield sandbox
    await sandbox.aclose()


@pytest.fixture
async def http(sandbox: BusinessCentralSandbox, issuer: TokenIssuer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the served sandbox, signed in."""
    served = await serve(sandbox.app)
    token = issuer.issue("connector", AUDIENCE)
    async with httpx.AsyncClient(base_url=served.url, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client
    await served.stop()


async def test_a_customer_lives_and_dies_over_a_real_port(http: httpx.AsyncClient) -> None:
    """Create, read, change, delete through sockets."""
    made = await http.post(CUSTOMERS, json={"displayName": "Ferramenta Rossa S.r.l."})
    assert made.status_code == 201
    url = f"{CUSTOMERS}({made.json()['id']})"
    etag = made.json()["@odata.etag"]
    assert (await http.patch(url, json={"city": "Merano"}, headers={"If-Match": etag})).status_code == 200
    assert (await http.get(f"{CUSTOMERS}?$filter=city eq 'Merano'&$select=number")).json()["value"][0]["number"]
    assert (await http.delete(url)).status_code == 204
    assert (await http.get(url)).status_code == 404


async def test_a_lost_answer_closes_the_real_connection(
    http: httpx.AsyncClient, sandbox: BusinessCentralSandbox
) -> None:
    """The client sees the server hang up; the customer is there."""
    sandbox.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", times=1))
    with pytest.raises(httpx.TransportError):
        await http.post(CUSTOMERS, json={"displayName": "X"})
    assert len((await http.get(CUSTOMERS)).json()["value"]) == 1


async def test_notices_arrive_over_a_real_port(
    http: httpx.AsyncClient, sandbox: BusinessCentralSandbox, receiver: tuple[Receiver, Served]
) -> None:
    """Handshake and notice through the sandbox's own client; plain http is allowed on this machine only."""
    heard, served = receiver
    resource = f"/api/v2.0/companies({COMPANY})/customers"
    body = {"notificationUrl": f"{served.url}/hook", "resource": resource, "clientState": "x"}
    assert (await http.post(f"{ROOT}/subscriptions", json=body)).status_code == 201
    await http.post(CUSTOMERS, json={"displayName": "X"})
    assert await sandbox.deliver_due() == 1
    assert heard.kinds() == ["created"]
