"""Derived rows under faults: whatever is struck, the CRM shows every sum once, with its last value, and no other."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.simulation.loop import run_virtually
from tests.simulation.sums import TRANSFER, SumsWorld
from tests.simulation.world import Faults, How, Setup

ONE = Setup(workers=1, quiet_seconds=11)
TWO = Setup(workers=2, quiet_seconds=11)


async def _begun(world: SumsWorld) -> list[str]:
    """Two linked customers with five sums, all of them in the CRM; without faults so far."""
    world.faults.active = False
    await world.prepare()
    first, second = await world.companies(2)
    for back in range(3):
        world.count(first, "letter", 5 + back, back)
    world.count(second, "letter", 7)
    world.count(second, "parcel", 8, back=1)
    await world.run_window()
    assert await world.check() == []
    assert len(world.crm_sums.records) == 5
    world.faults.active = True
    return [first, second]


async def _corrected(world: SumsWorld, customers: list[str]) -> None:
    """On one day a row is new, one changes, one vanishes; another day is left as it is."""
    first, second = customers
    world.count(first, "letter", 50)
    world.count(first, "parcel", 9)
    world.count(second, "letter", 0)
    await world.queue_window()


async def _twice(world: SumsWorld, customers: list[str]) -> None:
    await _corrected(world, customers)
    await world.queue_window()


async def _by_the_clock(world: SumsWorld, customers: list[str]) -> None:
    await _corrected(world, customers)
    await world.walk_again()


@dataclass(frozen=True)
class Story:
    name: str
    setup: Setup
    begin: Callable[[SumsWorld, list[str]], Awaitable[None]]


STORIES = (
    Story("corrections", ONE, _corrected),
    Story("two runs of each day", TWO, _twice),
    Story("a window by the clock", ONE, _by_the_clock),
)


async def _told(story: Story, faults: Faults) -> SumsWorld:
    world = SumsWorld(story.setup, faults)
    customers = await _begun(world)
    await story.begin(world, customers)
    await world.run()
    return world


def _ended(story: Story, faults: Faults) -> list[str]:
    """What is wrong at the end of a story, told in a time of its own."""
    found: list[str] = []

    async def tell() -> None:
        found.extend(await _wrong(await _told(story, faults)))

    run_virtually(tell())
    return found


async def _wrong(world: SumsWorld) -> list[str]:
    parked = await world.stores.parked.page(TRANSFER)
    needless = world.crm_sums.creates - 6, world.crm_sums.deletes - 1
    return [
        *await world.check(),
        *(f"parked: {one.code}" for one in parked),
        *([f"needless: {needless}"] if max(needless) > 0 else []),
    ]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_effect_may_fail(story: Story) -> None:
    """R-103: a crash before or after any effect, a lost or a refused one, in turn; nothing lost, doubled, stale or left
    over, and no row created or deleted twice."""
    faults = Faults()
    assert _ended(story, faults) == []
    turns = [list(How)[(effect + STORIES.index(story)) % len(How)] for effect in range(len(faults.names))]
    found = [
        f"{how} effect {effect} ({faults.names[effect - 1]}): {one}"
        for effect, how in enumerate(turns, start=1)
        for one in _ended(story, Faults(at=(effect, how)))
    ]
    assert found == []


@pytest.mark.parametrize("seed", range(8))
def test_random_corrections_under_random_faults(seed: int) -> None:
    """R-103, R-121: sums change, vanish and come back while three workers run and one effect in fifty fails."""

    async def tell() -> None:
        world = SumsWorld(Setup(seed=seed, workers=3, quiet_seconds=11), Faults(rng=random.Random(seed)))
        customers = await _begun(world)
        world.faults.chance, rng = 0.02, random.Random(seed)
        for _ in range(4):
            for _ in range(6):
                customer, service = rng.choice(customers), rng.choice(["letter", "parcel", "freight"])
                world.count(customer, service, rng.randrange(4), back=rng.randrange(3))
            await world.queue_window(times=rng.randrange(1, 3))
            await world.run()
        world.faults.active = False
        await world.walk_again()
        await world.run()
        assert await world.check() == []
        assert await world.stores.parked.page(TRANSFER) == []

    run_virtually(tell())


@pytest.mark.parametrize("effect", range(1, 60, 3))
def test_an_unlink_at_any_moment_of_a_run_resurrects_nothing(effect: int) -> None:
    """R-103: the other customer's rows arrive; the unlinked one's are neither deleted nor written any more."""

    async def tell() -> None:
        faults = Faults(at=(effect, How.LOST))
        world = SumsWorld(ONE, faults)
        first, second = await _begun(world)

        async def unlink() -> None:
            faults.active = False
            await world.unlink(first)
            faults.active = True

        faults.on_strike = unlink
        world.count(first, "letter", 50)
        world.count(second, "letter", 70)
        await world.queue_window()
        await world.run()
        if not faults.struck:
            return
        kept = {key: one.version for key, one in world.crm_sums.records.items()}
        world.count(first, "letter", 500)
        world.count(first, "parcel", 0, back=1)
        world.count(second, "letter", 7)
        await world.queue_window()
        await world.run()
        changed = [key for key, one in world.crm_sums.records.items() if one.version != kept.get(key)]
        assert len(changed) == 1
        assert len(world.crm_sums.records) == 5
        assert list(await world.accounts()) == [second]

    run_virtually(tell())
