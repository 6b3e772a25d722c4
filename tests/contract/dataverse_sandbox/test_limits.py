"""Service protection: three limits, per user and web server, on a clock the test moves."""

from __future__ import annotations

import asyncio

import httpx

from sandbox.transport import SandboxTransport
from tests.contract.dataverse_sandbox.conftest import BASE_URL, CLIENT_ID, ROOT, Build, Organisation, code_of


async def ask(org: Organisation, times: int) -> httpx.Response:
    """Ask several times and return the last answer."""
    for _ in range(times - 1):
        await org.client.get("/WhoAmI")
    return await org.client.get("/WhoAmI")


async def test_the_real_limits_are_the_default(org: Organisation) -> None:
    """6000 requests, 1200 seconds, 52 at a time, within 300 seconds."""
    options = org.sandbox.options
    numbers = (options.max_requests, options.max_execution_seconds, options.max_concurrent, options.window_seconds)
    assert (options.limits, numbers) == (True, (6000, 1200, 52, 300))


async def test_too_many_requests_wait_until_the_window_has_moved(build: Build) -> None:
    """429 says how long; afterwards all is well again."""
    org = build(max_requests=3)
    assert (await ask(org, 3)).status_code == 200
    await org.clock.advance(100)
    answer = await org.client.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (429, "0x80072322")
    assert answer.headers["Retry-After"] == "200"
    assert "limit of 3 over time window of 300 seconds" in answer.json()["error"]["message"]
    await org.clock.advance(200)
    assert (await org.client.get("/WhoAmI")).status_code == 200


async def test_going_on_while_limited_lengthens_the_wait(build: Build) -> None:
    """Refused requests count too."""
    org = build(max_requests=3)
    await ask(org, 3)
    await org.clock.advance(100)
    answer = await ask(org, 5)
    assert answer.headers["Retry-After"] == "300"


async def test_execution_time_is_limited(build: Build) -> None:
    """Slow requests use up the twenty minutes (here five seconds)."""
    org = build(max_execution_seconds=5, latency_seconds=3, web_servers=1)
    for _ in range(2):
        slow = asyncio.create_task(org.client.get("/WhoAmI"))
        await org.clock.asleep(3)
        await org.clock.advance(3)
        assert (await slow).status_code == 200
    answer = await org.client.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (429, "0x80072321")
    assert answer.headers["x-ms-service-request-id"]
    assert answer.headers["Retry-After"] == "297"


async def test_concurrency_is_limited_at_once(build: Build) -> None:
    """The limit counts requests under way; when they have ended the next is let in."""
    org = build(max_concurrent=2, latency_seconds=1, web_servers=1)
    under_way = [asyncio.create_task(org.client.get("/WhoAmI")) for _ in range(2)]
    await org.clock.asleep(1, count=2)
    answer = await org.client.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (429, "0x80072326")
    assert int(answer.headers["Retry-After"]) >= 1
    await org.clock.advance(1)
    assert {(await task).status_code for task in under_way} == {200}


async def test_limits_are_per_user(build: Build) -> None:
    """A second application user has a quota of its own."""
    org, other_id = build(max_requests=2), "11111111-2222-4333-8444-555555555555"
    org.sandbox.add_application_user(other_id)
    assert (await ask(org, 3)).status_code == 429
    other = org.new_client(org.issuer.issue(other_id, BASE_URL))
    assert (await other.get("/WhoAmI")).status_code == 200


async def test_keeping_the_affinity_cookie_has_a_cost(build: Build) -> None:
    """With the cookie all requests meet one server's limit; without it they spread over the servers."""
    org = build(max_requests=10)
    token = org.issuer.issue(CLIENT_ID, BASE_URL)
    first = await org.client.get("/WhoAmI")
    assert first.headers["Set-Cookie"].startswith("ARRAffinity=")
    cookie = first.headers["Set-Cookie"].partition(";")[0]

    async def refused(headers: dict[str, str]) -> int:
        transport = SandboxTransport(org.sandbox.app)
        headers = {"Authorization": f"Bearer {token}", **headers}
        statuses = []
        for _ in range(15):
            async with httpx.AsyncClient(transport=transport, base_url=ROOT, headers=headers) as client:
                statuses.append((await client.get("/WhoAmI")).status_code)
        return statuses.count(429)

    kept = await refused({"Cookie": cookie})
    await org.clock.advance(300)
    assert (kept > 0, await refused({})) == (True, 0)


async def test_limits_can_be_switched_off(build: Build) -> None:
    """For tests that are about something else."""
    org = build(limits=False, max_requests=1)
    assert (await ask(org, 5)).status_code == 200
