"""Brakes stop a transfer for all processes and ask a person; nothing that waits is lost."""

from __future__ import annotations

from dataclasses import replace

from shared.operations import Operations
from shared.sync.definition import Brakes
from shared.sync.ports import Side, Switch
from tests.scenarios.account_customer.world import (
    TO_ERP,
    WIDE,
    RealWorld,
    Setup,
    definition_text,
    vat_number,
    virtually,
)


def limited(**limits: int) -> Setup:
    """A world where nothing is limited but this."""
    return Setup(brakes=Brakes(**{**WIDE.model_dump(), **limits}))


async def operations(world: RealWorld) -> Operations:
    """What the operations API stands on, in the first process."""
    return Operations(world.apps[0], await world.apps[0].engine())


async def until_stopped(world: RealWorld, transfer: str) -> None:
    """Let time pass until a brake has stopped the transfer and what is queued has come to rest as waiting."""
    for _ in range(200):
        await world.pass_time(seconds=10)
        if (await world.stores.modes.get(transfer)).switch is Switch.STOPPED:
            return await world.pass_time(seconds=60)
    raise AssertionError(f"{transfer} was not stopped: {world.describe()}")


async def switch_on(world: RealWorld, transfer: str) -> None:
    """A person has looked and switches on, through the operations."""
    api = await operations(world)
    seen = await api.transfer(transfer)
    await api.switch(transfer, Switch.ON, "ticket-17", "they were duplicates", str(seen["etag"]))


async def pairs(world: RealWorld, count: int) -> list[str]:
    """Linked accounts."""
    told = ({"name": f"Mill {one}", "cdock_vatnumber": vat_number(one + 1)} for one in range(count))
    made = [await world.new_account(cdock_stage="qualified", **values) for values in told]
    await world.settle()
    return made


@virtually
async def test_many_deletes_stop_the_transfer_and_wait_for_a_person() -> None:
    """R-041: nine accounts vanish where three an hour may; what waits goes on when a person lets it, and an account
    that is back by then keeps its customer."""
    async with RealWorld(limited(deletes_per_hour=3)) as world:
        accounts = await pairs(world, 9)
        kept = dict(world.accounts[accounts[-1]])
        for account in accounts:
            await world.crm.delete("account", account)
        await until_stopped(world, TO_ERP)
        assert len(await world.links()) == 6
        told = await (await operations(world)).transfer(TO_ERP)
        assert (told["switch"], told["by"], told["code"]) == ("stopped", "brake", "CD-4414")
        assert told["reason"] == "more than 3 deletes within an hour"
        assert "deleted" in str(told["sentence"])
        assert "switch the transfer on" in str(told["remedy"])
        waiting = await world.stores.pending.page(TO_ERP, None, 100)
        assert {one.key for one in waiting} == set(await world.links())

        back = next(iter(await world.links()))
        columns = ("name", "cdock_stage", "cdock_vatnumber")
        await world.crm.create("account", {"accountid": back, **{name: kept[name] for name in columns}})
        await switch_on(world, TO_ERP)
        await until_stopped(world, TO_ERP)
        assert len(await world.links()) == 3
        await switch_on(world, TO_ERP)
        await world.settle()
        assert set(await world.links()) == {back}
        assert len(world.customers) == 9


@virtually
async def test_switching_on_begins_the_count_anew() -> None:
    """R-041: three creates an hour; the person who switches on after the brake gets three more, at once."""
    async with RealWorld(limited(creates_per_hour=3)) as world:
        for number in range(6):
            vat = vat_number(number + 1)
            await world.new_account(name=f"Mill {number}", cdock_stage="qualified", cdock_vatnumber=vat)
        await until_stopped(world, TO_ERP)
        assert len(world.customers) == 3
        assert (await world.stores.modes.get(TO_ERP)).code == "CD-4411"
        await switch_on(world, TO_ERP)
        await world.settle()
        assert len(world.customers) == 6
        assert (await world.stores.modes.get(TO_ERP)).switch is Switch.ON


@virtually
async def test_a_bulk_delete_that_nobody_told_of_pulls_the_brake_as_well() -> None:
    """R-041: the full compare finds the records gone; that is counted like any other delete."""
    text = definition_text().replace("    walk: every 5 minutes\n", "")
    async with RealWorld(replace(limited(deletes_per_hour=2), hooks=False, text=text)) as world:
        compares = (await world.apps[0].engine()).compares
        told = ({"name": f"Mill {one}", "cdock_vatnumber": vat_number(one + 1)} for one in range(6))
        accounts = [await world.new_account(cdock_stage="qualified", **values) for values in told]
        await compares.begin_all()
        await world.settle()
        assert len(await world.links()) == 6
        for account in accounts:
            await world.crm.delete("account", account)
        await compares.begin_all()
        await until_stopped(world, TO_ERP)
        assert len(await world.links()) == 4
        assert (await world.stores.modes.get(TO_ERP)).code == "CD-4414"
        waiting = await world.stores.pending.page(TO_ERP, None, 100)
        assert set(await world.links()) <= {one.key for one in waiting if one.side is Side.LEFT}
