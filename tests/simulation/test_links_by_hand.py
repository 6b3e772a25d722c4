"""A link by hand, struck at every effect: whether the person tries again or not, it is whole or not there at all."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.errors import CrossdockError
from shared.sync.claims import Taken
from shared.sync.linking import CannotLink, Linking
from shared.sync.ports import Side
from tests.simulation.loop import SteppedClock
from tests.simulation.sweep import FAULTS
from tests.simulation.world import Crash, Faults, How, Setup, World


async def begun(faults: Faults) -> tuple[World, SteppedClock, str, str]:
    """A prospect and a customer of which nobody has told the transfers."""
    faults.active = False
    clock = SteppedClock()
    world = World(Setup(workers=1), faults, clock=clock)
    await world.prepare()
    world.crm.listener = world.erp.listener = None
    account = world.crm.type_in({"name": "Alfa", "cdock_stage": "prospect", "telephone1": "+390471000123"})
    customer = world.erp.type_in({"displayName": "Beta", "country": "IT"})
    world.crm.listener = world.erp.listener = world.notice
    return world, clock, account, customer


async def linked(world: World, account: str, customer: str) -> bool:
    """One try of the command, in a process of its own; whether it came to its end."""
    try:
        await Linking(world.process(), world.definition).link(account, customer, "ann", "the same company")
    except (Crash, Taken, CrossdockError):
        return False
    return True


async def told(at: tuple[int, How] | None, *, again: bool) -> tuple[World, bool]:
    """The story with one fault; the person tries again until it works, or leaves it at that."""
    faults = Faults(at=at)
    world, clock, account, customer = await begun(faults)
    faults.active = True
    done = await linked(world, account, customer)
    faults.active = False
    while again and not done:
        await clock.sleep(timedelta(minutes=1).total_seconds())
        done = await linked(world, account, customer)
    world.tell("dataverse", account, "the account afterwards")
    world.tell("business_central", customer, "the customer afterwards")
    await world.run_stepped(clock)
    return world, (await world._links()).get(account) == customer


async def wrong_with(world: World, is_linked: bool, *, must: bool) -> list[str]:
    wrong = await world.check()
    if must and not is_linked:
        wrong.append("not linked")
    entries = [*await world.stores.journal.of_record(world.pair, Side.LEFT, next(iter(world.crm.records)), 1000)]
    if must and not any(one.cause == "link by ann" for one in entries):
        wrong.append("nobody knows who linked them")
    return wrong


@pytest.mark.parametrize("again", [True, False])
def test_every_effect_of_a_link_by_hand_may_fail(again: bool) -> None:
    """R-054: tried again it ends as one link with its person's name; not tried again nothing is half done."""

    async def story() -> dict[str, list[str]]:
        faults, found = Faults(), dict[str, list[str]]()
        world, _, account, customer = await begun(faults)
        faults.active = True
        assert await linked(world, account, customer)
        for effect, name in enumerate(faults.names, start=1):
            for how in FAULTS:
                struck, is_linked = await told((effect, how), again=again)
                wrong = await wrong_with(struck, is_linked, must=again)
                if wrong:
                    found[f"{how} effect {effect} ({name})"] = wrong
        assert len(faults.names) > 10
        return found

    assert asyncio.run(story()) == {}


def test_two_people_who_link_at_once_make_one_link() -> None:
    """R-054: the second is told that somebody is at it, and finds it done when trying again."""

    async def story() -> None:
        faults = Faults()
        world, clock, account, customer = await begun(faults)
        ends = await asyncio.gather(linked(world, account, customer), linked(world, account, customer))
        assert any(ends)
        with suppress(CannotLink):
            assert await linked(world, account, customer)
        await world.run_stepped(clock)
        assert (await world._links()) == {account: customer}
        assert await world.check() == []

    asyncio.run(story())
