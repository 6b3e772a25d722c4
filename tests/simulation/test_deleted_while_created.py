"""A record goes away while its partner is being created, and the process has died before the system was asked."""

from __future__ import annotations

import asyncio

import pytest

from shared.sync.ports import Side
from tests.simulation.loop import run_virtually
from tests.simulation.stories import ACCOUNT
from tests.simulation.world import Faults, How, Setup, World

AT = "business_central create"


async def _told(faults: Faults, own_numbers: bool) -> World:
    """An account is made, and deleted as soon as a process has died."""
    world = World(Setup(workers=1, own_numbers=own_numbers), faults)
    await world.prepare()
    account = world.crm.type_in(ACCOUNT)
    deleting = asyncio.create_task(_deletes(world, account))
    await world.run()
    deleting.cancel()
    return world


async def _deletes(world: World, account: str) -> None:
    while not world.crashes:
        await world.clock.sleep(0.1)
    world.crm.remove(account)


@pytest.mark.parametrize("own_numbers", [True, False])
def test_nothing_is_created_for_a_record_that_is_gone(own_numbers: bool) -> None:
    """R-042: what an earlier try may have made is looked for; when it is not there, no empty record is made."""

    async def run() -> None:
        faults = Faults()
        assert len((await _told(faults, own_numbers)).erp.records) == 1
        at = faults.names.index(AT) + 1
        world = await _told(Faults(at=(at, How.BEFORE)), own_numbers)
        assert world.crashes == 1
        assert world.erp.records == {}
        assert await world.stores.links.page(world.pair, Side.LEFT, None, 10) == []

    run_virtually(run())
