"""What health tells of a running whole that gets stuck without a loud failure, in virtual time."""

from __future__ import annotations

from typing import Any

from sandbox.faults import FaultKind, FaultRule
from shared.operations import health
from shared.sync.ports import Switch
from tests.scenarios.account_customer.world import COMPANY_VALUES, TO_ERP, RealWorld, Setup, virtually


async def told(world: RealWorld) -> list[tuple[str, str]]:
    """The alarms, and that health is degraded exactly when there are some."""
    answer = await health(world.apps[0])
    found = [(one["code"], one["about"]) for one in answer["alarms"]]
    errors = answer["errors"] or any(one["open"] for one in answer["systems"])
    assert (answer["status"] == "degraded") == bool(found or errors)
    assert all(one["remedy"] and one["who"] for one in answer["alarms"])
    return found


async def nobody_works(world: RealWorld, **duration: float) -> None:
    """Let days pass in which nothing happens but the walks, of which the last one is enough."""
    await world._stop()
    await world.pass_time(**duration)
    await (await world.apps[0].engine()).walks.due()


async def standing(world: RealWorld, name: str) -> dict[str, Any]:
    """How a transfer stands."""
    answer = await health(world.apps[0])
    (found,) = [one for one in answer["transfers"] if one["transfer"] == name]
    return dict(found)


@virtually
async def test_a_whole_that_works_raises_no_alarm_however_quiet_it_is() -> None:
    """Every feed has its last walk, every transfer its last success; days without a change are no fault."""
    async with RealWorld(Setup(environment={"ServiceBus": "unused"})) as world:
        await world.pair_made()
        await nobody_works(world, days=2)
        answer = await health(world.apps[0])
        assert (answer["status"], answer["alarms"]) == ("up", [])
        assert all(one["walked_at"] for one in answer["feeds"] if one["every_seconds"])
        assert (await standing(world, TO_ERP))["last_success"]


@virtually
async def test_a_walk_that_does_not_run_any_more_is_told_for_each_feed() -> None:
    """As when the function is disabled: notices still arrive, so nothing else would show it."""
    async with RealWorld() as world:
        await world._stop()
        await world.pass_time(minutes=29)
        assert await told(world) == []
        await world.pass_time(minutes=3)
        assert await told(world) == [
            ("CD-4801", "dataverse account"),
            ("CD-4801", "dataverse opportunity"),
            ("CD-4801", "business_central customers"),
        ]
        await (await world.apps[0].engine()).walks.due()
        assert await told(world) == []


@virtually
async def test_a_pair_that_is_stopped_for_days_tells_before_dataverse_forgets_its_place() -> None:
    """Only the feeds of Dataverse have such a place; the changes that wait are told as well."""
    async with RealWorld() as world:
        for name in world.names:
            await world.switch(name, Switch.STOPPED)
        await nobody_works(world, days=5, minutes=1)
        assert await told(world) == [("CD-4802", "dataverse account"), ("CD-4802", "dataverse opportunity")]


@virtually
async def test_a_transfer_that_only_fails_and_what_waits_for_the_system_are_told() -> None:
    """An outage of five hours; it ends by itself, and the alarms with it."""
    async with RealWorld(Setup(processes=1)) as world:
        await world.pair_made()
        fault = world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        await world.crm.create("account", {**COMPANY_VALUES, "name": "Borealis", "cdock_vatnumber": None})
        await world.pass_time(hours=3)
        assert [code for code, _ in await told(world) if code != "CD-4801"] == []
        await world.pass_time(hours=2)
        assert {("CD-4803", TO_ERP), ("CD-4805", TO_ERP)} <= set(await told(world))
        world.erp.faults.remove(fault)
        await world.settle()
        assert await told(world) == []


@virtually
async def test_messages_that_nobody_takes_out_of_their_queue_are_told() -> None:
    """As when a transfer's function is disabled; the limit is a setting."""
    async with RealWorld(Setup(environment={"CROSSDOCK_ALARM_QUEUE_MINUTES": "10"})) as world:
        await world._stop()
        await world.crm.create("account", COMPANY_VALUES)
        await world.crm.flush()
        await world.pass_time(minutes=11)
        assert ("CD-4806", TO_ERP) in await told(world)


@virtually
async def test_a_record_that_nobody_looks_after_is_told() -> None:
    """It waits for a person, and a week is long."""
    async with RealWorld() as world:
        await world.crm.create("account", {**COMPANY_VALUES, "cdock_vatnumber": "IT00000000001"})
        await world.settle()
        assert (await standing(world, TO_ERP))["oldest_parked"]
        assert await told(world) == []
        await nobody_works(world, days=7, minutes=1)
        assert await told(world) == [("CD-4804", TO_ERP)]
