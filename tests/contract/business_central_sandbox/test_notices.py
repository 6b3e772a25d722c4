"""Notices: when, how many, in which form, and what happens when the receiver does not want them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from sandbox.business_central.notices import LADDER_SECONDS
from tests.contract.business_central_sandbox.conftest import MakeRig
from tests.contract.business_central_sandbox.rig import COMPANY, HOOK, RESOURCE, ROOT, Rig

OTHER_HOOK = "https://hooks.example/notices/two"


async def after(rig: Rig, seconds: float) -> int:
    """Move the clock and send what is due then."""
    await rig.clock.advance(seconds)
    return await rig.sandbox.deliver_due()


async def test_a_notice_leaves_thirty_seconds_after_the_first_change(rig: Rig) -> None:
    """Its form is the documented one: which record, which kind of change, never a value."""
    subscription = await rig.subscribe()
    row = await rig.create()
    assert await after(rig, 29) == 0
    assert rig.sandbox.waiting_notices() == 1
    assert await after(rig, 1) == 1
    assert rig.receiver.bodies == [
        {
            "value": [
                {
                    "subscriptionId": subscription["subscriptionId"],
                    "clientState": "state one",
                    "expirationDateTime": "2026-03-08T19:19:22.37Z",
                    "resource": f"api/v2.0/companies({COMPANY})/customers({row['id']})",
                    "changeType": "created",
                    "lastModifiedDateTime": "2026-03-05T19:19:22.37Z",
                }
            ]
        }
    ]
    headers = rig.receiver.headers[0]
    assert headers["content-type"].startswith("application/json")
    assert {"clientrequestid", "x-ms-correlation-id"} <= set(headers)
    assert rig.sandbox.waiting_notices() == 0


async def test_updates_of_one_record_merge_and_creations_and_deletions_do_not(rig: Rig) -> None:
    """Created, three updates, deleted: three notices, in one request."""
    await rig.subscribe()
    row = await rig.create()
    for city in ("Merano", "Lana", "Bolzano"):
        row = await rig.change(row, city=city)
    await rig.sandbox.delete(COMPANY, "customers", row["id"])
    await after(rig, 30)
    assert rig.receiver.kinds() == ["created", "updated", "deleted"]
    assert len(rig.receiver.bodies) == 1


async def test_a_change_that_changes_nothing_is_not_told(rig: Rig) -> None:
    """The etag moves, but no notice is raised."""
    row = await rig.create(city="Merano")
    await rig.subscribe()
    changed = await rig.change(row, city="Merano")
    assert changed["@odata.etag"] != row["@odata.etag"]
    assert rig.sandbox.waiting_notices() == 0


async def test_a_rename_and_a_cascade_are_updates(rig: Rig) -> None:
    """A company contact's change reaches subscribers as an update of the customer."""
    row = await rig.create()
    await rig.subscribe()
    await rig.change(row, number="CRM-1")
    await after(rig, 30)
    contact = next(iter(rig.sandbox.rows(COMPANY, "contacts").values()))
    await rig.sandbox.edit(COMPANY, "contacts", contact["id"], {"city": "Merano"})
    await after(rig, 30)
    assert rig.receiver.kinds() == ["updated", "updated"]


async def test_a_template_makes_a_second_save_and_so_a_second_notice(make: MakeRig) -> None:
    """The record is inserted, filled in and saved again."""
    rig = make(template={"city": "Bolzano"})
    await rig.subscribe()
    await rig.create()
    await after(rig, 30)
    assert rig.receiver.kinds() == ["created", "updated"]


async def test_subscriptions_with_one_address_share_their_requests(rig: Rig) -> None:
    """Rows of two subscriptions travel together; another address gets its own request."""
    await rig.subscribe()
    await rig.subscribe(resource=f"/api/v2.0/companies({COMPANY})/paymentTerms")
    await rig.subscribe(OTHER_HOOK)
    await rig.create()
    await rig.sandbox.create(COMPANY, "paymentTerms", {"code": "90T"})
    await after(rig, 30)
    assert sorted(len(body["value"]) for body in rig.receiver.bodies) == [1, 2]


@pytest.mark.parametrize("with_delete", [False, True])
async def test_many_changes_become_one_collection(make: MakeRig, with_delete: bool) -> None:
    """Above the limit one row stands for all; with a deletion among them it has no filter."""
    rig = make(collection_above=3)
    await rig.subscribe()
    rows = []
    for _ in range(4):
        rows.append(await rig.create())
        await rig.clock.advance(1)
    if with_delete:
        await rig.sandbox.delete(COMPANY, "customers", rows[0]["id"])
    await after(rig, 30)
    assert rig.receiver.kinds() == ["collection"]
    query = "" if with_delete else "?$filter=lastModifiedDateTime%20gt%202026-03-05T19:19:22.32Z"
    assert rig.receiver.rows[0]["resource"] == RESOURCE + query


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_failures_climb_the_ladder_and_then_end_the_subscription(rig: Rig, status: int) -> None:
    """60, 60, 600, 6000 and 60,000 seconds; after the sixth failure the subscription is deleted."""
    await rig.subscribe()
    await rig.create()
    rig.receiver.status = status
    await after(rig, 30)
    for step, pause in enumerate(LADDER_SECONDS):
        assert len(rig.receiver.bodies) == step + 1
        assert await after(rig, pause - 1) == 0
        assert await after(rig, 1) == 1
    assert rig.sandbox.subscriptions() == []
    assert rig.sandbox.waiting_notices() == 0


async def test_no_answer_counts_as_a_failure(rig: Rig) -> None:
    """The receiver breaks every connection: repeated like a 503."""
    await rig.subscribe()
    rig.receiver.hangs_up = True
    await rig.create()
    assert await after(rig, 30) == 1
    assert rig.sandbox.waiting_notices() == 1
    assert await after(rig, 60) == 1


async def test_what_failed_travels_with_what_is_newer(rig: Rig) -> None:
    """A retry takes the fresh notices along: order and number of rows are not to be relied on."""
    await rig.subscribe()
    await rig.create()
    rig.receiver.status = 503
    await after(rig, 30)
    rig.receiver.status = 200
    await rig.clock.advance(45)
    await rig.create()
    await after(rig, 15)
    assert [len(body["value"]) for body in rig.receiver.bodies] == [1, 2]
    assert await after(rig, 30) == 0


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 410])
async def test_any_other_answer_deletes_every_subscription_with_that_address(rig: Rig, status: int) -> None:
    """One wrong answer costs all subscriptions of the address, and none of another."""
    await rig.subscribe()
    await rig.subscribe(resource=f"/api/v2.0/companies({COMPANY})/paymentTerms")
    await rig.subscribe(OTHER_HOOK, f"/api/v2.0/companies({COMPANY})/currencies")
    await rig.create()
    rig.receiver.status = status
    await after(rig, 30)
    assert [row["notificationUrl"] for row in rig.sandbox.subscriptions()] == [OTHER_HOOK]


@pytest.mark.parametrize("status", [200, 202, 204])
async def test_any_2xx_is_accepted(rig: Rig, status: int) -> None:
    """The body of the answer does not matter."""
    await rig.subscribe()
    await rig.create()
    rig.receiver.status = status
    await after(rig, 30)
    assert (len(rig.sandbox.subscriptions()), rig.sandbox.waiting_notices()) == (1, 0)


async def test_without_the_right_to_schedule_there_is_silence_until_somebody_else_comes(make: MakeRig) -> None:
    """An application's changes wait until a person changes the same table."""
    rig = make(scheduling_right=False)
    await rig.subscribe()
    row = await rig.create()
    await rig.create()
    assert await after(rig, 3600) == 0
    assert rig.sandbox.waiting_notices() == 2
    await rig.sandbox.edit(COMPANY, "customers", row["id"], {"city": "Merano"})
    assert await after(rig, 30) == 1
    assert rig.receiver.kinds() == ["created", "created", "updated"]


async def test_the_background_task_delivers_by_itself(rig: Rig) -> None:
    """Nothing but the clock is needed."""
    await rig.subscribe()
    task = asyncio.ensure_future(rig.sandbox.run_deliveries())
    await rig.create()
    await rig.clock.advance(31)
    assert rig.receiver.kinds() == ["created"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_everything_can_be_flushed_at_once(rig: Rig) -> None:
    """For people who do not want to wait; a failure is not repeated by the same flush."""
    await rig.subscribe()
    await rig.create()
    rig.receiver.status = 503
    assert await rig.sandbox.flush() == 1
    assert rig.sandbox.waiting_notices() == 1
    rig.receiver.status = 200
    assert await rig.sandbox.flush() == 1
    assert rig.sandbox.waiting_notices() == 0


async def test_notices_can_be_lost_doubled_and_late(rig: Rig) -> None:
    """Faults of notices strike whole requests."""
    await rig.subscribe()
    rig.sandbox.notice_faults.set(drop=1.0)
    await rig.create()
    assert await after(rig, 30) == 0
    assert rig.sandbox.waiting_notices() == 0
    rig.sandbox.notice_faults.set(drop=0.0, duplicate=1.0)
    await rig.create()
    await after(rig, 30)
    assert len(rig.receiver.bodies) == 2
    assert rig.receiver.bodies[0] == rig.receiver.bodies[1]
    rig.sandbox.notice_faults.set(duplicate=0.0, delay_seconds=(10.0, 10.0))
    await rig.create()
    assert await after(rig, 30) == 0
    assert rig.sandbox.waiting_notices() == 1
    assert await after(rig, 10) == 1
    assert rig.sandbox.waiting_notices() == 0


async def test_an_update_during_a_delivery_is_not_swallowed(rig: Rig) -> None:
    """What is already on its way is not merged with what comes after it."""
    row = await rig.create()
    await rig.subscribe()
    rig.sandbox.notice_faults.set(delay_seconds=(10.0, 10.0))
    row = await rig.change(row, city="Merano")
    await after(rig, 30)
    await rig.change(row, city="Lana")
    rig.sandbox.notice_faults.clear()
    await after(rig, 60)
    assert rig.receiver.kinds() == ["updated", "updated"]


async def test_a_renewed_address_takes_over_what_waits(rig: Rig) -> None:
    """Notices go to the address the subscription has when they leave."""
    row = await rig.subscribe()
    await rig.create()
    answer = await rig.patch(f"{ROOT}/subscriptions('{row['subscriptionId']}')", "*", notificationUrl=OTHER_HOOK)
    assert answer.status_code == 200
    await after(rig, 30)
    assert rig.receiver.kinds() == ["created"]
    assert HOOK not in [one["notificationUrl"] for one in rig.sandbox.subscriptions()]
