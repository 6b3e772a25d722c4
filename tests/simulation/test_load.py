"""First loads in a world of memory: everything arrives once, in bulk, whatever strikes, and again after a kill."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from shared.stores.match_index import TemporaryMatchIndex
from shared.sync.comparing import FieldState
from shared.sync.loading import PAGE, Loading, Progress, pipeline_for_load
from shared.sync.outcome import Kind
from shared.sync.planning import PlannedRecord, Planning, Step, Totals, index_target
from shared.sync.ports import Side
from tests.simulation.loop import run_virtually
from tests.simulation.stories import vat_number
from tests.simulation.world import Crash, Faults, Setup, World

ACCOUNTS, ALREADY_THERE = 600, 40


def fill(world: World) -> None:
    """Qualified accounts, some of which are customers already; a few that no customer may become."""
    for number in range(ACCOUNTS):
        stage = "prospect" if number % 50 == 49 else "qualified"
        place = f"{number:05d}"
        values = {"name": f"Company {number}", "cdock_stage": stage, "telephone1": "+390471000001"}
        world.crm.type_in(values | {"cdock_vatnumber": vat_number(number), "address1_postalcode": place})
    for number in range(ALREADY_THERE):
        place = f"{number:05d}"
        values = {"displayName": f"Company {number} Ltd", "taxRegistrationNumber": vat_number(number)}
        world.erp.type_in(values | {"postalCode": place})


async def world_of_accounts(setup: Setup, faults: Faults | None = None) -> World:
    """Both systems filled, before anything was switched on."""
    world = World(setup, faults)
    world.faults.active = False
    world.crm.listener = world.erp.listener = None
    await world.rows.prepare()
    fill(world)
    return world


async def load(world: World, to_crm: bool = False, page_size: int = PAGE) -> Progress:
    """Load all accounts (or all customers) in a new process."""
    index = TemporaryMatchIndex()
    definition, transfer = world.definition, world.definition.transfers[to_crm]
    pipeline = pipeline_for_load(world.process().ports, world.index, transfer.name, index, alone=True)
    try:
        return await Loading(pipeline, definition, transfer, index, lambda _: None, page_size=page_size).run()
    finally:
        index.close()


def qualified(world: World) -> int:
    return sum(1 for one in world.crm.records.values() if one.values["cdock_stage"] == "qualified")


async def all_is_well(world: World) -> None:
    """As many customers as qualified accounts, every link right both ways, nothing different."""
    assert await world.check() == []
    assert len(await world._links_of_thousands()) == qualified(world) == len(world.erp.records)


@pytest.mark.parametrize("own_numbers", [True, False])
def test_a_load_creates_and_links_everything_in_bulk(own_numbers: bool) -> None:
    """R-041, R-050, R-053, R-054: prospects stay; who is a customer already is linked; few calls for many records."""

    async def story() -> None:
        world = await world_of_accounts(Setup(own_numbers=own_numbers))
        progress = await load(world)
        assert progress.outcomes[Kind.CREATED] == qualified(world) - ALREADY_THERE
        assert progress.outcomes[Kind.UPDATED] + progress.outcomes[Kind.CREATED] == qualified(world)
        assert progress.outcomes[Kind.SKIPPED] == ACCOUNTS - qualified(world)
        assert world.erp.bulk_creates <= ACCOUNTS / 100 + 2
        back = await load(world, to_crm=True)
        assert (back.outcomes[Kind.CREATED], back.outcomes[Kind.PARKED]) == (0, 0)
        await all_is_well(world)
        writes, again = world.erp.updates + world.crm.updates, await load(world)
        assert (again.linked_before, again.outcomes[Kind.SKIPPED]) == (qualified(world), ACCOUNTS - qualified(world))
        assert (await load(world, to_crm=True)).linked_before == qualified(world)
        assert world.erp.updates + world.crm.updates == writes

    run_virtually(story())


@pytest.mark.parametrize("seed", range(3))
def test_a_load_that_is_killed_again_and_again_ends_with_everything_once(seed: int) -> None:
    """R-041, R-054: answers are lost, stores fail, the process dies; the next load goes on."""

    async def story() -> None:
        faults = Faults(chance=0.004, rng=random.Random(seed))
        world = await world_of_accounts(Setup(own_numbers=seed % 2 == 0, seed=seed), faults)
        faults.active = True
        for _ in range(40):
            try:
                await load(world)
                break
            except BaseException as death:
                if not _is_the_world(death):
                    raise
                await world.clock.sleep(700)
        faults.active = False
        await world.clock.sleep(3600)
        await load(world)
        await load(world, to_crm=True)
        assert world.faults.struck > 0
        await all_is_well(world)

    run_virtually(story())


def _is_the_world(error: BaseException) -> bool:
    """Whether a process ended by what the world did to it, and by nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_the_world(inner) for inner in error.exceptions)
    return isinstance(error, Crash) or type(error).__name__ in {"StoreUnavailable", "QueueUnavailable", "SystemDown"}


def test_the_plan_says_what_the_load_then_does() -> None:
    """R-054, R-055: counts and rows before anything is written; what needs a person is named with its code."""

    async def story() -> None:
        world = await world_of_accounts(Setup())
        twin = world.crm.type_in({"name": "Twin", "cdock_stage": "qualified", "cdock_vatnumber": vat_number(70)})
        bad = world.crm.type_in({"name": "Bad", "cdock_stage": "qualified", "telephone1": "call us"})
        pipeline = world.process()
        prepared = await pipeline.prepare(world.definition.transfers[0].name)
        index, created = TemporaryMatchIndex(), TemporaryMatchIndex()
        plans.callback(index.close)
        plans.callback(created.close)
        async for _ in index_target(prepared, index):
            pass
        planning = Planning(pipeline, prepared, index, created, await pipeline.lengths(world.definition))
        totals, rows = Totals(), dict[str, PlannedRecord]()
        async for page in planning.pages():
            totals.count(page)
            rows |= {row.key: row for row in page.records}
        assert totals.steps[Step.SKIP] == ACCOUNTS // 50
        assert totals.steps[Step.LINK] == ALREADY_THERE
        assert totals.steps[Step.PERSON] == 2
        assert (rows[twin].code, rows[bad].code, rows[bad].field) == ("CD-4302", "CD-4003", "telephone1")
        linked = next(row for row in rows.values() if row.step is Step.LINK)
        name = next(view for view in linked.fields if view.rule.left == "name")
        assert (name.state, name.writes) == (FieldState.PENDING, Side.LEFT)
        assert world.erp.creates == world.erp.updates == world.crm.updates == 0
        progress = await load(world)
        assert progress.outcomes[Kind.CREATED] == totals.steps[Step.CREATE]
        assert progress.outcomes[Kind.PARKED] == totals.steps[Step.PERSON]

    with ExitStack() as plans:
        run_virtually(story())
