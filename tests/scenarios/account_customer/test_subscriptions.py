"""The ERP tells us of changes for three days at a time: renewed, made again when it is gone, and nothing is missed."""

from __future__ import annotations

from typing import Any

from sandbox.faults import FaultKind, FaultRule
from shared.feeds import subscriptions_health
from tests.scenarios.account_customer.world import (
    APP_URL,
    CLIENT_STATE,
    OTHER_URL,
    PATH_SECRET,
    RealWorld,
    Setup,
    definition_text,
    virtually,
)

HOOK = f"{APP_URL}/api/webhooks/business-central"


def without_walks() -> Setup:
    """No walk by the clock, so that only notices and catch-ups find anything."""
    return Setup(text=definition_text().replace("    walk: every 5 minutes\n", ""))


async def did(world: RealWorld) -> list[tuple[str, str, str]]:
    """What one look at the subscriptions did: table, deed, error."""
    return [(one.table, one.did, one.code) for one in (await world.renew_subscriptions()).items]


async def expiries(world: RealWorld) -> list[dict[str, Any]]:
    """What health shows."""
    return await subscriptions_health(await world.apps[0].engine())


@virtually
async def test_a_subscription_is_renewed_for_weeks_and_tells_at_the_end() -> None:
    """R-052: looked at every hour, renewed at half of its life, never made anew; health shows until when it lives."""
    async with RealWorld(without_walks()) as world:
        _, customer = await world.pair_made()
        (first,) = world.erp.subscriptions()
        deeds = []
        for _ in range(10 * 24):
            await world.stand_still(hours=1)
            deeds += [deed for _, deed, code in await did(world) if not code]
        assert (deeds.count("kept"), deeds.count("renewed")) == (234, 6)
        (last,) = world.erp.subscriptions()
        assert first["id"] == last["id"]
        (shown,) = await expiries(world)
        assert (shown["lives"], shown["bad"], shown["code"]) == (True, False, "")
        assert shown["expires_at"] == last["expirationDateTime"].isoformat()
        await world.edit_customer(customer, displayName="Aurora Works")
        await world.settle()
        (account,) = world.accounts
        assert world.account(account)["name"] == "Aurora Works"


@virtually
async def test_a_lost_subscription_is_made_again_and_what_was_missed_is_caught_up_on() -> None:
    """R-052: while there was none a customer changed and one was born; the walk that follows finds both."""
    async with RealWorld(without_walks()) as world:
        account, customer = await world.pair_made()
        world.erp.forget_subscriptions()
        await world.edit_customer(customer, displayName="Aurora Works")
        born = await world.new_customer(displayName="Birch Sawmill", city="Milltown")
        await world.settle()
        assert world.account(account)["name"] == "Aurora Milling"
        assert await did(world) == [("customers", "made", "")]
        await world.settle()
        assert world.account(account)["name"] == "Aurora Works"
        assert born in (await world.links()).values()
        assert await did(world) == [("customers", "kept", "")]


@virtually
async def test_a_catch_up_that_fails_is_done_at_the_next_look() -> None:
    """R-052: the subscription is there, but the ERP went away before the walk was through."""
    async with RealWorld(without_walks()) as world:
        account, customer = await world.pair_made()
        world.erp.forget_subscriptions()
        await world.edit_customer(customer, displayName="Aurora Works")
        fault = world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE, "GET", "/customers"))
        assert await did(world) == [("customers", "made", "")]
        world.erp.faults.remove(fault)
        assert await did(world) == [("customers", "kept", "")]
        await world.settle()
        assert world.account(account)["name"] == "Aurora Works"


@virtually
async def test_four_days_asleep_cost_a_subscription_and_no_change() -> None:
    """R-052: the app was down, the subscription expired; the next look makes another one and catches up."""
    async with RealWorld(without_walks()) as world:
        account, customer = await world.pair_made()
        await world.stand_still(days=4)
        await world.edit_customer(customer, displayName="Aurora Works")
        (shown,) = await expiries(world)
        assert (shown["lives"], shown["bad"]) == (False, True)
        assert await did(world) == [("customers", "made", "")]
        await world.settle()
        assert world.account(account)["name"] == "Aurora Works"


@virtually
async def test_secrets_are_changed_without_a_gap() -> None:
    """R-052: with the old ones kept as previous, notices under way are taken; then the subscription shows the new."""
    async with RealWorld(without_walks()) as world:
        account, customer = await world.pair_made()
        await world.edit_customer(customer, displayName="Aurora Works")
        secret, state = "another-path-secret-of-32-characters", "another-client-state-of-32-characters"
        await world.restart(
            CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET=secret,
            CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET_PREVIOUS=PATH_SECRET,
            CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE=state,
            CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE_PREVIOUS=CLIENT_STATE,
        )
        await world.settle()
        assert world.account(account)["name"] == "Aurora Works"
        assert await did(world) == [("customers", "renewed", "")]
        (row,) = world.erp.subscriptions()
        assert (row["notificationUrl"], row["clientState"]) == (f"{HOOK}/{secret}/customers", state)
        await world.restart(
            CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET_PREVIOUS="", CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE_PREVIOUS=""
        )
        await world.edit_customer(customer, displayName="Aurora Group")
        await world.settle()
        assert world.account(account)["name"] == "Aurora Group"


@virtually
async def test_subscriptions_of_others_are_never_touched() -> None:
    """R-052: one that leads to another app stays as it is, whatever is done about ours; a second of ours is ended."""
    async with RealWorld() as world:
        ((_, subscriber),) = (await world.apps[0].engine()).subscriptions.subscribers()
        foreign = await subscriber.subscribe("customers", f"{OTHER_URL}/hook", "a state of theirs")
        await subscriber.subscribe("customers", f"{HOOK}/{PATH_SECRET}/again", CLIENT_STATE)
        assert sorted(await did(world)) == [("customers", "ended", ""), ("customers", "kept", "")]
        await world.stand_still(hours=40)
        assert await did(world) == [("customers", "renewed", "")]
        assert [one for one in await subscriber.subscriptions() if one.address.startswith(OTHER_URL)] == [foreign]
        assert len(world.erp.subscriptions()) == 2


@virtually
async def test_a_handshake_that_meets_a_cold_start_is_tried_again() -> None:
    """R-052: the first takes eight seconds and is too late, the second is answered by an app that is awake."""
    async with RealWorld() as world:
        world.erp.forget_subscriptions()
        world.cold_starts = 1
        assert await did(world) == [("customers", "made", "")]
        world.erp.forget_subscriptions()
        world.cold_starts = 100
        assert await did(world) == [("customers", "failed", "CD-1014")]
        (shown,) = await expiries(world)
        assert (shown["lives"], shown["bad"], shown["code"]) == (False, True, "CD-1014")
        world.cold_starts = 0
        assert await did(world) == [("customers", "made", "")]
        (shown,) = await expiries(world)
        assert (shown["lives"], shown["bad"], shown["code"]) == (True, False, "")


@virtually
async def test_a_full_environment_is_named_and_a_walk_finds_the_changes() -> None:
    """R-052: two hundred subscriptions of others leave no place; the next look takes the first that is free."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        ((_, subscriber),) = (await world.apps[0].engine()).subscriptions.subscribers()
        world.erp.forget_subscriptions()
        others = [await subscriber.subscribe("customers", f"{OTHER_URL}/{n}", "theirs") for n in range(200)]
        assert await did(world) == [("customers", "failed", "CD-1015")]
        await world.edit_customer(customer, displayName="Aurora Works")
        await world.settle(quiet_seconds=700)
        assert world.account(account)["name"] == "Aurora Works"
        await subscriber.unsubscribe(others[0])
        assert await did(world) == [("customers", "made", "")]


@virtually
async def test_a_lost_answer_makes_no_second_subscription() -> None:
    """R-052: the next try looks first and finds what the lost one has made."""
    async with RealWorld() as world:
        world.erp.forget_subscriptions()
        world.erp.faults.add(FaultRule(FaultKind.LOST_ANSWER, "POST", "/subscriptions$", times=1))
        assert await did(world) == [("customers", "kept", "")]
        assert len(world.erp.subscriptions()) == 1


@virtually
async def test_an_erp_that_is_away_keeps_what_is_known() -> None:
    """R-052: it cannot be looked at, so health says so; the subscription lives on and nothing is walked twice."""
    async with RealWorld() as world:
        await world.pair_made()
        before = await expiries(world)
        fault = world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        assert await did(world) == [("customers", "not looked at", "CD-1001")]
        (shown,) = await expiries(world)
        assert (shown["lives"], shown["bad"], shown["code"]) == (True, True, "CD-1001")
        world.erp.faults.remove(fault)
        await world.settle(quiet_seconds=300)
        assert await did(world) == [("customers", "kept", "")]
        assert [one["made_at"] for one in await expiries(world)] == [one["made_at"] for one in before]


@virtually
async def test_without_an_address_of_ours_nothing_is_subscribed() -> None:
    """R-052: walks alone are enough; the report names the setting, and a table that cannot notify says so."""
    async with RealWorld(Setup(hooks=False, environment={"CROSSDOCK_PUBLIC_URL": ""})) as world:
        report = await world.renew_subscriptions()
        assert [str(error) for error in report.errors] == ["CD-3001 CROSSDOCK_PUBLIC_URL: is missing; set it."]
        assert (report.is_good, report.items, world.erp.subscriptions()) == (False, [], [])
        named = "  customer_to_dataverse:\n"
        also = definition_text().replace(named, f"{named}    also_on: {{contacts: number}}\n")
        await world.work_with(Setup(text=also).definition())
        await world.restart(CROSSDOCK_PUBLIC_URL=APP_URL)
        assert sorted(await did(world)) == [
            ("contacts", "cannot be subscribed to, walks find its changes", ""),
            ("customers", "made", ""),
        ]
        await world.work_with(world.setup.definition())
        assert await did(world) == [("customers", "kept", "")]
        assert [shown["table"] for shown in await expiries(world)] == ["customers"]
