"""Webhooks: registration by rows, when steps fire, what failure means, system jobs, mishaps of notices."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.dataverse_sandbox.conftest import Build, Organisation, code_of, settle

URL = "https://functions.example/api/webhooks/dataverse"
SECRET = ("x-crossdock-secret", "first")
ENDPOINT: dict[str, Any] = {
    "name": "crossdock",
    "url": URL,
    "contract": 8,
    "authtype": 5,
    "authvalue": '<settings><setting name="x-crossdock-secret" value="first" /></settings>',
}


async def value_of(org: Organisation, query: str, column: str) -> str:
    """Return one column of the only row a query gives."""
    rows = (await org.client.get(query)).json()["value"]
    assert len(rows) == 1
    return str(rows[0][column])


async def register_by_rows(org: Organisation, message: str = "Update", **more: Any) -> str:
    """Register a step as a provisioning tool does, by the Web API alone, and return its id."""
    message_id = await value_of(org, f"/sdkmessages?$select=sdkmessageid&$filter=name eq '{message}'", "sdkmessageid")
    condition = f"primaryobjecttypecode eq 'account' and sdkmessageid/name eq '{message}'"
    filters = f"/sdkmessagefilters?$select=sdkmessagefilterid&$filter={condition}"
    filter_id = await value_of(org, filters, "sdkmessagefilterid")
    endpoint = await org.create("serviceendpoints", **ENDPOINT)
    return await org.create(
        "sdkmessageprocessingsteps",
        **{
            "name": f"crossdock: {message} of account",
            "stage": 40,
            "mode": 1,
            "rank": 1,
            "supporteddeployment": 0,
            "asyncautodelete": True,
            "eventhandler_serviceendpoint@odata.bind": f"/serviceendpoints({endpoint})",
            "sdkmessageid@odata.bind": f"/sdkmessages({message_id})",
            "sdkmessagefilterid@odata.bind": f"/sdkmessagefilters({filter_id})",
            **more,
        },
    )


async def jobs(org: Organisation, step_id: str) -> list[dict[str, Any]]:
    """Read the system jobs of a step by the query of the repair job."""
    query = f"$filter=_owningextensionid_value eq {step_id}&$orderby=createdon desc"
    columns = "$select=statuscode,statecode,errorcode,message,completedon,retrycount,_regardingobjectid_value"
    answer = await org.client.get(f"/asyncoperations?{query}&{columns}")
    rows: list[dict[str, Any]] = answer.json()["value"]
    return rows


# Registration


async def test_a_step_registered_by_rows_fires(org: Organisation) -> None:
    """Steps 1 to 4 of the documented sequence; the secret arrives in its header."""
    step_id = await register_by_rows(org)
    row_id = await org.create(name="Rossi")
    await org.client.patch(f"/accounts({row_id})", json={"telephone1": "1"})
    assert (org.sandbox.waiting_notices(), await org.sandbox.deliver_due()) == (1, 1)
    request = org.receiver.received[0]
    assert request.headers["x-crossdock-secret"] == "first"
    assert request.headers["x-ms-dynamics-organization"] == "crossdock.crm4.example"
    assert request.headers["x-ms-dynamics-entity-name"] == "account"
    assert request.headers["x-ms-dynamics-request-name"] == "Update"
    body = org.receiver.bodies[0]
    assert request.headers["x-ms-correlation-request-id"] == body["CorrelationId"]
    assert body["OwningExtension"]["Id"] == step_id


async def test_the_secret_is_write_only_and_can_be_rotated(org: Organisation) -> None:
    """Only isauthvalueset can be read; a PATCH takes effect with the next call."""
    await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    endpoint = next(iter(org.sandbox.rows("serviceendpoint")))
    body = (await org.client.get(f"/serviceendpoints({endpoint})")).json()
    assert ("authvalue" in body, body["isauthvalueset"]) == (False, True)
    assert "authvalue" not in org.sandbox.rows("serviceendpoint")[endpoint]
    assert (await org.client.get("/serviceendpoints?$select=authvalue")).status_code == 400
    second = ENDPOINT["authvalue"].replace("first", "second")
    await org.client.patch(f"/serviceendpoints({endpoint})", json={"authvalue": second})
    await org.create(name="Rossi")
    await org.sandbox.flush()
    assert org.receiver.received[0].headers["x-crossdock-secret"] == "second"


async def test_the_registration_can_be_read_back(org: Organisation) -> None:
    """By the endpoint's collection, or by _eventhandler_value."""
    step_id = await register_by_rows(org)
    endpoint = next(iter(org.sandbox.rows("serviceendpoint")))
    for query in (
        f"/serviceendpoints({endpoint})/serviceendpoint_sdkmessageprocessingstep?$select=name",
        f"/sdkmessageprocessingsteps?$filter=_eventhandler_value eq {endpoint}&$select=name",
    ):
        assert await value_of(org, query, "sdkmessageprocessingstepid") == step_id
    assert (await org.client.get("/sdkmessageprocessingsteps?$select=primaryobjecttypecode")).status_code == 400


async def test_known_ids_are_those_of_every_organisation(org: Organisation) -> None:
    """The message Create and its filter for account have the same ids everywhere."""
    known = "9ebdbb1b-ea3e-db11-86a7-000a3a5473e8"
    assert await value_of(org, "/sdkmessages?$filter=name eq 'Create'", "sdkmessageid") == known
    filters = f"/sdkmessagefilters?$filter=primaryobjecttypecode eq 'account' and _sdkmessageid_value eq {known}"
    assert await value_of(org, filters, "sdkmessagefilterid") == "c2c5bb1b-ea3e-db11-86a7-000a3a5473e8"


@pytest.mark.parametrize(
    "wrong", [{"url": "not an address"}, {"url": "http://functions.example:7071/api"}, {"authtype": 2}, {"name": None}]
)
async def test_an_impossible_endpoint_is_refused(org: Organisation, wrong: dict[str, Any]) -> None:
    """Only full addresses on the standard ports, only the three kinds of secret."""
    assert (await org.client.post("/serviceendpoints", json={**ENDPOINT, **wrong})).status_code == 400


async def test_other_ports_can_be_allowed_for_one_machine(build: Build) -> None:
    """An option of the sandbox, not of the real system."""
    org = build(any_port=True)
    await org.create("serviceendpoints", **{**ENDPOINT, "url": "http://127.0.0.1:7071/api"})


async def test_an_impossible_step_is_refused(org: Organisation) -> None:
    """Unknown filtering attributes, filtering of Create, asynchronous early stages, PascalCase names."""
    cases: list[tuple[str, dict[str, Any]]] = [
        ("Update", {"filteringattributes": "name,nix"}),
        ("Create", {"filteringattributes": "name"}),
        ("Update", {"stage": 20, "mode": 1}),
        ("Update", {"SdkMessageId@odata.bind": "/sdkmessages(9ebdbb1b-ea3e-db11-86a7-000a3a5473e8)"}),
    ]
    for message, wrong in cases:
        with pytest.raises(AssertionError, match=r"0x80040203|0x80048d19"):
            await register_by_rows(org, message, **wrong)
    assert org.sandbox.rows("sdkmessageprocessingstep") == {}


async def test_the_webhook_key_travels_in_the_query(org: Organisation) -> None:
    """authtype 4 adds ?code=, as Azure Functions expects; authtype 6 adds its pairs."""
    await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    endpoint = next(iter(org.sandbox.rows("serviceendpoint")))
    await org.client.patch(f"/serviceendpoints({endpoint})", json={"authtype": 4, "authvalue": "k&y"})
    await org.create(name="one")
    await org.client.patch(f"/serviceendpoints({endpoint})", json={"authtype": 6, "authvalue": ENDPOINT["authvalue"]})
    await org.create(name="two")
    await org.sandbox.deliver_due()
    queries = [request.url.query.decode() for request in org.receiver.received]
    assert queries == ["x-crossdock-secret=first"] * 2
    await org.client.patch(f"/serviceendpoints({endpoint})", json={"authtype": 4, "authvalue": "k&y"})
    await org.create(name="three")
    await org.sandbox.deliver_due()
    assert org.receiver.received[-1].url.params["code"] == "k&y"


# When steps fire


async def test_filtering_tests_presence_not_change(org: Organisation) -> None:
    """Sending an unchanged column fires; other columns do not; no filter means every touch."""
    await org.sandbox.register_webhook("account", ["Update"], URL, header=SECRET, filtering_attributes=["name"])
    row_id = await org.create(name="Rossi")
    for values in ({"telephone1": "1"}, {"name": "Rossi"}, {"name": "Bianchi", "fax": "2"}):
        await org.client.patch(f"/accounts({row_id})", json=values)
    await org.sandbox.flush()
    assert len(org.receiver.received) == 2


async def test_an_upsert_is_a_create_or_an_update(org: Organisation) -> None:
    """Per record the message that happened; a refused write is none."""
    await org.sandbox.register_webhook("account", ["Create", "Update", "Delete"], URL, header=SECRET)
    row_id = "00000000-0000-4000-8000-00000000000a"
    for values in ({"name": "a"}, {"name": "b"}, {"name": "x" * 161}):
        await org.client.patch(f"/accounts({row_id})", json=values)
    await org.client.delete(f"/accounts({row_id})")
    await org.sandbox.flush()
    assert [body["MessageName"] for body in org.receiver.bodies] == ["Create", "Update", "Delete"]


async def test_people_and_cascades_raise_notices_too(org: Organisation) -> None:
    """The initiating user is the person; a contact that goes with its account is a Delete."""
    await org.sandbox.register_webhook("contact", ["Create", "Delete"], URL, header=SECRET)
    account = await org.sandbox.create("account", {"name": "Rossi"})
    await org.sandbox.create("contact", {"lastname": "Example", "parentcustomerid": ("account", account)})
    await org.sandbox.delete("account", account)
    await org.sandbox.flush()
    assert [body["MessageName"] for body in org.receiver.bodies] == ["Create", "Delete"]
    assert {body["InitiatingUserId"] for body in org.receiver.bodies} == {org.sandbox.person_id}


async def test_a_disabled_or_deleted_step_is_silent(org: Organisation) -> None:
    """Steps are switched off by state."""
    (step_id,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    await org.client.patch(f"/sdkmessageprocessingsteps({step_id})", json={"statecode": 1, "statuscode": 2})
    await org.create(name="a")
    assert org.sandbox.waiting_notices() == 0
    await org.client.patch(f"/sdkmessageprocessingsteps({step_id})", json={"statecode": 0, "statuscode": 1})
    await org.create(name="b")
    assert org.sandbox.waiting_notices() == 1
    await org.client.delete(f"/sdkmessageprocessingsteps({step_id})")
    await org.create(name="c")
    assert await org.sandbox.flush() == 1
    assert org.receiver.received == []


async def test_two_equal_steps_fire_twice(org: Organisation) -> None:
    """The platform does not notice the repetition."""
    for _ in range(2):
        await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    await org.create(name="a")
    assert await org.sandbox.flush() == 2


# Failure


async def test_a_success_leaves_no_job_when_asked(org: Organisation) -> None:
    """asyncautodelete removes the job of a success; otherwise it stays with status 30."""
    (tidy,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    (kept,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET, auto_delete=False)
    row_id = await org.create(name="a")
    assert [job["statuscode"] for job in await jobs(org, kept)] == [0]
    await org.sandbox.flush()
    assert await jobs(org, tidy) == []
    (job,) = await jobs(org, kept)
    assert (job["statuscode"], job["statecode"], job["_regardingobjectid_value"]) == (30, 3, row_id)
    assert job["completedon"] == "2026-03-02T08:00:00Z"


@pytest.mark.parametrize("status", [400, 401, 404, 408, 429, 500, 501])
async def test_most_failures_get_no_second_attempt(org: Organisation, status: int) -> None:
    """The job ends failed, and nothing more happens by itself."""
    (step_id,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    org.receiver.statuses = [status]
    await org.create(name="a")
    await org.sandbox.flush()
    (job,) = await jobs(org, step_id)
    assert (len(org.receiver.received), job["statuscode"], job["retrycount"]) == (1, 31, 0)
    assert job["errorcode"] == 0x80050201 - (1 << 32)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_some_failures_get_exactly_one_further_attempt(org: Organisation, status: int) -> None:
    """The same body again after a moment; a second failure is final."""
    (step_id,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    org.receiver.statuses = [status, 202, status, status]
    await org.create(name="a")
    assert await org.sandbox.deliver_due() == 1
    assert org.sandbox.waiting_notices() == 1
    await org.clock.advance(1)
    assert await org.sandbox.deliver_due() == 1
    first, second = org.receiver.received
    assert first.content == second.content
    assert await jobs(org, step_id) == []
    await org.create(name="b")
    await org.sandbox.flush()
    (job,) = await jobs(org, step_id)
    assert (len(org.receiver.received), job["statuscode"], job["retrycount"]) == (4, 31, 1)


async def test_silence_fails_after_sixty_seconds(org: Organisation) -> None:
    """On the sandbox's clock; a refused connection fails at once."""
    (step_id,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    org.receiver.stall = True
    await org.create(name="a")
    delivery = asyncio.create_task(org.sandbox.deliver_due())
    await org.clock.asleep(60)
    await org.clock.advance(59)
    assert not delivery.done()
    await org.clock.advance(1)
    assert await delivery == 1
    org.receiver.stall, org.receiver.refuse = False, True
    await org.create(name="b")
    await org.sandbox.flush()
    codes = {job["errorcode"] + (1 << 32) for job in await jobs(org, step_id)}
    assert codes == {0x80050202, 0x80050205}


async def test_a_broken_secret_fails_the_job(org: Organisation) -> None:
    """The XML form is required for headers and for query parameters."""
    (step_id,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    endpoint = next(iter(org.sandbox.rows("serviceendpoint")))
    for auth_type in (5, 6):
        await org.client.patch(f"/serviceendpoints({endpoint})", json={"authtype": auth_type, "authvalue": "secret"})
        await org.create(name="a")
        await org.sandbox.flush()
    assert {job["errorcode"] + (1 << 32) for job in await jobs(org, step_id)} == {0x80050203, 0x80050204}
    assert org.receiver.received == []


async def test_a_synchronous_failure_undoes_the_operation(org: Organisation) -> None:
    """The user sees the webhook's error and nothing has changed; 503 is tried once more."""
    await org.sandbox.register_webhook("account", ["Create", "Update", "Delete"], URL, header=SECRET, mode=0)
    org.receiver.statuses = [500]
    answer = await org.client.post("/accounts", json={"name": "a"})
    assert (answer.status_code, code_of(answer)) == (400, "0x80050201")
    assert org.sandbox.rows("account") == {}
    row_id = await org.create(name="a")
    version = org.sandbox.rows("account")[row_id]["versionnumber"]
    org.receiver.statuses = [500, 500]
    assert (await org.client.patch(f"/accounts({row_id})", json={"name": "b"})).status_code == 400
    assert (await org.client.delete(f"/accounts({row_id})")).status_code == 400
    assert org.sandbox.rows("account")[row_id]["versionnumber"] == version
    org.receiver.statuses = [503, 202]
    patch = asyncio.create_task(org.client.patch(f"/accounts({row_id})", json={"name": "b"}))
    await org.clock.asleep(1)
    await org.clock.advance(1)
    assert (await patch).status_code == 204


async def test_a_second_writer_waits_for_a_synchronous_step(org: Organisation) -> None:
    """The transaction is open while the webhook is answered; the second write sees the first one's result."""
    await org.sandbox.register_webhook("account", ["Update"], URL, header=SECRET, mode=0)
    row_id = await org.create(name="a")
    tag = (await org.client.get(f"/accounts({row_id})")).json()["@odata.etag"]
    org.receiver.statuses = [503, 202]
    first = asyncio.create_task(org.client.patch(f"/accounts({row_id})", json={"name": "b"}))
    await org.clock.asleep(1)
    condition = {"If-Match": tag}
    second = asyncio.create_task(org.client.patch(f"/accounts({row_id})", json={"fax": "1"}, headers=condition))
    await settle()
    assert org.sandbox.rows("account")[row_id]["name"] == "a"
    await org.clock.advance(1)
    assert ((await first).status_code, (await second).status_code) == (204, 412)


async def test_a_step_before_the_operation_sees_what_was_sent_and_keeps_it_from_beginning(org: Organisation) -> None:
    """Stage 10: outside the transaction, so that the row can be read meanwhile; nothing of the platform's own is in
    the target yet. Only of an update."""
    await register_by_rows(org, stage=10, mode=0, asyncautodelete=False, filteringattributes="statecode")
    row_id = await org.create(name="a")
    assert (await org.client.patch(f"/accounts({row_id})", json={"name": "b"})).status_code == 204
    assert org.receiver.received == []
    org.receiver.statuses = [409]
    answer = await org.client.patch(f"/accounts({row_id})", json={"statecode": 1})
    assert (answer.status_code, code_of(answer)) == (400, "0x80050201")
    assert org.sandbox.rows("account")[row_id]["statecode"] == 0
    (body,) = org.receiver.bodies
    assert (body["Stage"], body["Mode"], body["IsInTransaction"], body["ParentContext"]) == (10, 0, False, None)
    attributes = body["InputParameters"][0]["value"]["Attributes"]
    assert sorted(one["key"] for one in attributes) == ["accountid", "statecode"]
    assert (await org.client.patch(f"/accounts({row_id})", json={"statecode": 1})).status_code == 204
    with pytest.raises(AssertionError):
        await register_by_rows(org, "Create", stage=10, mode=0)


# Mishaps


async def test_notices_can_be_lost_doubled_and_late(org: Organisation) -> None:
    """Chances are drawn from a seeded generator; a lost notice leaves no job behind."""
    (step_id,) = await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    org.sandbox.notice_faults.set(drop=1)
    await org.create(name="lost")
    assert (org.sandbox.waiting_notices(), await jobs(org, step_id)) == (0, [])
    org.sandbox.notice_faults.set(drop=0, duplicate=1)
    await org.create(name="doubled")
    assert await org.sandbox.deliver_due() == 2
    assert len({request.content for request in org.receiver.received}) == 1
    org.sandbox.notice_faults.set(duplicate=0, delay_seconds=(10, 20))
    await org.create(name="late")
    assert await org.sandbox.deliver_due() == 0
    await org.clock.advance(20)
    assert await org.sandbox.deliver_due() == 1


async def test_notices_can_overtake_each_other(org: Organisation) -> None:
    """A reordered notice is held back while the next ones pass."""
    await org.sandbox.register_webhook("account", ["Update"], URL, header=SECRET)
    row_id = await org.create(name="a")
    org.sandbox.notice_faults.set(reorder=1)
    await org.client.patch(f"/accounts({row_id})", json={"name": "first"})
    org.sandbox.notice_faults.clear()
    await org.client.patch(f"/accounts({row_id})", json={"name": "second"})
    await org.sandbox.flush()
    names = [body["InputParameters"][0]["value"]["Attributes"][0]["value"] for body in org.receiver.bodies]
    assert names == ["second", "first"]


async def test_deliveries_run_in_the_background_on_the_clock(build: Build) -> None:
    """A task posts what falls due, until it is cancelled."""
    org = build(async_delay_seconds=2)
    await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    running = asyncio.create_task(org.sandbox.run_deliveries())
    await org.create(name="a")
    await org.clock.asleep(2)
    assert org.receiver.received == []
    await org.clock.advance(2)
    assert len(org.receiver.received) == 1
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_tag_of_a_write_travels_with_its_notice(org: Organisation) -> None:
    """As a shared variable, in both contexts."""
    await org.sandbox.register_webhook("account", ["Update"], URL, header=SECRET)
    row_id = await org.create(name="a")
    await org.client.patch(f"/accounts({row_id})?tag=crossdock%3Abc", json={"name": "b"})
    await org.sandbox.flush()
    (body,) = org.receiver.bodies
    for context in (body, body["ParentContext"]):
        assert {"key": "tag", "value": "crossdock:bc"} in context["SharedVariables"]


async def test_a_correlation_id_sent_along_comes_back(org: Organisation) -> None:
    """It ties the notice to the request that caused it."""
    await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    sent = "0b7c3f5e-1111-4222-8333-444455556666"
    await org.client.post("/accounts", json={"name": "a"}, headers={"x-ms-correlation-id": sent})
    await org.sandbox.flush()
    assert org.receiver.bodies[0]["CorrelationId"] == sent


@pytest.mark.parametrize("how", ["absent", "null"])
async def test_a_large_body_is_trimmed(build: Build, how: str) -> None:
    """Over 256 KB four members go and a header tells; what identifies the record stays."""
    org = build(trimmed_members=how)
    await org.sandbox.register_webhook("annotation", ["Create"], URL, header=SECRET)
    note = await org.create("annotations", subject="n", documentbody="A" * 300_000, filename="a.bin")
    await org.create("annotations", subject="small", documentbody="AAAA")
    await org.sandbox.flush()
    (large, small), (request, other) = org.receiver.bodies, org.receiver.received
    assert request.headers["x-ms-dynamics-msg-size-exceeded"] == "true"
    assert "x-ms-dynamics-msg-size-exceeded" not in other.headers
    for member in ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages"):
        assert small[member] is not None
        assert (member in large, large.get(member)) == (how == "null", None)
    assert (large["PrimaryEntityId"], large["MessageName"]) == (note, "Create")
