"""The full compare on many records and under faults: what it finds, how far ahead it goes, where it goes on."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from shared.sync.feed_tasks import QUEUE
from shared.sync.feed_work import FeedWork
from shared.sync.fingerprint import Base
from shared.sync.full_compare import FullCompares
from shared.sync.pipeline import Pipeline
from shared.sync.planner import agree
from shared.sync.ports import CompareRow, LinkRow, LinkState, Side
from shared.sync.walking import Walks
from tests.simulation.loop import run_virtually
from tests.simulation.stories import People
from tests.simulation.world import PRINTS, Crash, Faults, How, Setup, World


class SparedJournal(Faults):
    """Faults at every port but the journal's, by which the world tells a blank that was kept from one that was lost."""

    def _fault(self, name: str) -> How | None:
        return None if name.endswith(" journal") else super()._fault(name)


async def many(count: int) -> World:
    """A world with so many linked pairs in agreement, and nobody at work."""
    world = World(Setup())
    await world.prepare()
    world.crm.listener = world.erp.listener = None
    world.erp.template = {}
    world.faults.active = False
    for number in range(count):
        name = f"Company {number:06d}"
        left = world.crm.type_in({"name": name, "cdock_stage": "qualified", "accountnumber": f"N{number}"})
        right = world.erp.type_in({"displayName": name, "number": f"N{number}"})
        await _link(world, left, right)
    return world


async def _link(world: World, left: str, right: str) -> None:
    """Both rows of a link whose records agree as they are."""
    one, other = world.crm._record(left), world.erp._record(right)
    rules = agree(world.definition.fields, one.values, other.values)
    base = Base(left, PRINTS, {}).with_values((r, one.values.get(r.left), other.values.get(r.right)) for r in rules)
    home = LinkRow(world.pair, Side.LEFT, left, LinkState.LINKED, right, base=base.pack())
    for row in (home, LinkRow(world.pair, Side.RIGHT, right, LinkState.LINKED, left)):
        await world.stores.links.insert(row)


async def row_of(world: World) -> CompareRow:
    """How far the compare is."""
    return await world.stores.compares.get(world.pair)


async def one_step(world: World, pipeline: Pipeline | None = None) -> bool:
    """Do one task of the feeds; False when there is none that is due."""
    delivery = await world.queue.receive(QUEUE)
    if delivery is None:
        return False
    await world._run_message(pipeline or world.process(), delivery)
    await world.queue.complete(delivery)
    return True


def test_it_is_never_more_than_a_few_chunks_ahead() -> None:
    """R-042: a thousand records differ and nobody works on the queue: a handful of messages lies there, and when some
    are handled as many follow; after ten minutes without any it takes them for lost."""

    async def story() -> None:
        world = await many(1000)
        for key in list(world.crm.records):
            world.crm.type_in({"telephone1": "1"}, key)
        await FullCompares(world.process()).begin_all()
        most = world.process().ports.timing.compare_ahead + 4
        for _ in range(5):
            assert await one_step(world)
            await world.clock.sleep(6)
        waiting = sum(world.queue.counts(name).ready for name in world.names)
        assert 0 < waiting <= most
        for name in world.names:
            delivery = await world.queue.receive(name)
            assert delivery is not None
            await world.handle(world.process(), delivery)
        sent = (await row_of(world)).sent
        while await one_step(world):
            await world.clock.sleep(1)
        assert sent < (await row_of(world)).sent <= sent + most
        await world.clock.sleep(700)
        assert await one_step(world)
        assert (await row_of(world)).code == ""

    run_virtually(story())


@pytest.mark.parametrize("how", [How.BEFORE, How.AFTER])
def test_another_process_goes_on_where_a_killed_one_stood(how: How) -> None:
    """R-042: killed at one effect after the other, the compare still looks at every link, and counts each once."""

    async def story() -> None:
        world = await many(450)
        for key in list(world.crm.records)[::50]:
            world.crm.type_in({"telephone1": "1"}, key)
        await FullCompares(world.process()).begin_all()
        kills = 0
        for effect in range(1, 400):
            world.faults = Faults(at=(effect, how))
            try:
                await one_step(world)
            except Crash:
                kills += 1
            world.faults = Faults(active=False)
            pipeline = world.process()
            await FeedWork(pipeline, Walks(pipeline), FullCompares(pipeline)).sweep()
            await world.clock.sleep(601)
            if not (await row_of(world)).run:
                break
        row = await row_of(world)
        assert (row.run, row.looked, row.differing) == ("", 450, 9)
        assert kills > 20

    run_virtually(story())


@pytest.mark.parametrize("first", range(0, 80, 40))
def test_with_every_notice_lost_and_no_walk_compares_bring_both_systems_together(first: int) -> None:
    """R-041, R-042: people on both sides, faults at every port, crashes; only the compare ever finds anything."""

    async def story(seed: int) -> list[str]:
        rng = random.Random(seed)
        faults = SparedJournal(chance=rng.choice([0, 0.01, 0.03]), rng=random.Random(seed + 1))
        setup = Setup(seed=seed, own_numbers=seed % 2 == 0, walks=False, drop=1.0, quiet_seconds=30)
        world = World(setup, faults)
        await world.prepare()
        await People(world, rng).work()
        for night in range(4):
            faults.active = False
            await FullCompares(world.process()).begin_all()
            faults.active = night < 2
            await world.run(hours=80)
        return await world.check()

    wrong = {seed: found for seed in range(first, first + 40) if (found := run_virtually(story(seed)))}
    assert wrong == {}


def test_memory_does_not_grow_with_the_tables() -> None:
    """R-042: ten times the records, the same memory beyond what the systems in memory hold themselves."""

    async def peak(count: int) -> int:
        world = await many(count)
        pipeline = world.process()
        await FullCompares(pipeline).begin_all()
        tracemalloc.start()
        while (await row_of(world)).run:
            if not await one_step(world, pipeline):
                await world.clock.sleep(6)
        found: int = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = run_virtually(peak(300)), run_virtually(peak(3000))
    assert large < small * 1.5 + 300_000
