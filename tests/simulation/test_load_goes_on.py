"""A first load is killed, or loses a system in between: the next one, or the same, goes on where it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import SystemDown
from shared.stores.match_index import TemporaryMatchIndex
from shared.sync.definition import Index
from shared.sync.loading import Loading, Progress, pipeline_for_load
from shared.sync.outcome import Kind
from shared.sync.ports import Side
from tests.simulation.loop import run_virtually
from tests.simulation.stories import vat_number
from tests.simulation.world import Answer, Crash, Faults, How, Setup, World

BATCH, THERE, PARTS = 8, 3, 4
PAGES, PAGE = 6, 50


@dataclass
class Killed(Faults):
    """Faults after which nothing of the process happens any more, whatever it still tries: kill -9."""

    dead: bool = False

    async def effect(
        self, name: str, lost: Exception, refused: Exception, do: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        if self.dead:
            raise Crash
        try:
            return await super().effect(name, lost, refused, do)
        except Crash:
            self.dead = True
            raise

    def rise(self) -> None:
        """The next process runs undisturbed."""
        self.dead = self.active = False


async def world_before(companies: int, there: int, faults: Faults | None = None) -> World:
    """So many customers, the first of them accounts already with another name and address; everything switched off."""
    world = World(Setup(own_numbers=False), faults)
    world.faults.active = False
    world.crm.listener = world.erp.listener = None
    await world.rows.prepare()
    for number in range(companies):
        values = {"displayName": f"Company {number}", "taxRegistrationNumber": vat_number(number)}
        world.erp.type_in(values | {"phoneNumber": "+390471000001", "postalCode": f"{number:05d}"})
    for number in range(there):
        values = {"name": f"Company {number} Ltd", "cdock_vatnumber": vat_number(number)}
        world.crm.type_in(values | {"cdock_stage": "qualified", "telephone1": f"+39047100{number:04d}"})
    world.faults.active = True
    return world


async def load(world: World, to_crm: bool, **how: Any) -> Progress:
    """Load all customers, or all accounts, in a new process."""
    index = TemporaryMatchIndex()
    definition, transfer = world.definition, world.definition.transfers[to_crm]
    pipeline = pipeline_for_load(world.process().ports, world.index, transfer.name, index, alone=True)
    try:
        return await Loading(pipeline, definition, transfer, index, lambda _: None, **how).run()
    finally:
        index.close()


async def killed(world: World, to_crm: bool, **how: Any) -> None:
    """Load until the process dies."""
    with suppress(Crash, BaseExceptionGroup):
        await load(world, to_crm, **how)
    assert isinstance(world.faults, Killed)
    world.faults.rise()


async def effects_of_a_load(companies: int, there: int, **how: Any) -> tuple[World, int]:
    """A world after an undisturbed load into the CRM, and how many effects it had."""
    world = await world_before(companies, there, Faults())
    await load(world, to_crm=True, **how)
    effects = world.faults.count
    world.faults.active = False
    return world, effects


@pytest.mark.parametrize("part", range(PARTS))
def test_a_load_killed_between_any_two_effects_of_a_batch_repeats_no_more_than_that_batch(part: int) -> None:
    """R-041, R-050, R-054: customers become accounts, those that are there are linked and changed; once, wherever the
    process died."""

    async def story() -> None:
        reference, effects = await effects_of_a_load(BATCH, THERE)
        assert (reference.crm.creates, reference.crm.bulk_creates) == (BATCH - THERE, 1)
        for effect in range(1 + part, effects + 1, PARTS):
            world = await world_before(BATCH, THERE, Killed(at=(effect, How.AFTER)))
            await killed(world, to_crm=True)
            await load(world, to_crm=True)
            assert len(world.crm.records) == BATCH, effect
            assert world.crm.creates == reference.crm.creates, effect
            assert world.crm.asked_creates <= reference.crm.asked_creates + BATCH - THERE, effect
            assert world.crm.updates <= reference.crm.updates + BATCH, effect
            await load(world, to_crm=False)
            assert await world.check() == [], effect

    run_virtually(story())


@pytest.mark.parametrize("tenths", [5, 8])
@pytest.mark.parametrize("to_crm", [True, False])
def test_the_next_load_goes_on_behind_what_was_through(tenths: int, to_crm: bool) -> None:
    """R-041: one page may be looked at again; no record that was through is read, and none is made twice."""

    async def story() -> None:
        how = {"page_size": PAGE, "chunks_at_once": 1}
        fresh = await world_before(PAGES * PAGE, PAGES * PAGE, Faults())
        await load(fresh, to_crm, **how)
        at = fresh.faults.count * tenths // 10
        world = await world_before(PAGES * PAGE, PAGES * PAGE, Killed(at=(at, How.BEFORE)))
        await killed(world, to_crm, **how)
        linked = len(await linked_accounts(world))
        assert 0 < linked < PAGES * PAGE
        went_on = await load(world, to_crm, **how)
        assert went_on.seen_before + went_on.seen == PAGES * PAGE
        assert went_on.seen_before % PAGE == 0
        assert linked - went_on.seen_before <= 3 * PAGE
        assert went_on.seen_before > 0
        assert len(world.crm.records) == len(world.erp.records) == PAGES * PAGE
        await load(world, not to_crm)
        again = await load(world, to_crm, **how)
        assert (again.seen_before, again.linked_before) == (0, PAGES * PAGE)

    run_virtually(story())


async def linked_accounts(world: World) -> list[str]:
    """Accounts with a whole link."""
    rows = await world.stores.links.page(world.pair, Side.LEFT, None, 1000)
    return [row.key for row in rows if row.state == "linked"]


@pytest.mark.parametrize("changed", ["asked", "gone", "definition"])
def test_a_load_begins_at_the_start_when_asked_or_when_its_place_counts_for_nothing(changed: str) -> None:
    """R-041: a person asks for it; the record that the place names was deleted; the definition is another one."""

    async def story() -> None:
        how = {"page_size": PAGE, "chunks_at_once": 1}
        fresh = await world_before(PAGES * PAGE, 0, Faults())
        await load(fresh, True, **how)
        world = await world_before(PAGES * PAGE, 0, Killed(at=(fresh.faults.count * 7 // 10, How.BEFORE)))
        await killed(world, True, **how)
        if changed == "gone":
            for key in sorted(world.erp.records)[PAGE - 1 :: PAGE]:
                world.erp.remove(key)
        if changed == "definition":
            world.definition = world.definition.model_copy(update={"fields": world.definition.fields[::-1]})
            world.index = Index(definitions=(world.definition,))
        left = len(world.erp.records)
        went_on = await load(world, True, **how, from_start=changed == "asked")
        assert (went_on.seen_before, went_on.seen) == (0, left)
        assert world.crm.creates <= PAGES * PAGE
        links = await linked_accounts(world)
        assert len(set(links)) == len(links) >= left

    run_virtually(story())


@pytest.mark.parametrize("away", ["dataverse", "business_central"])
def test_a_load_waits_for_a_system_that_goes_away_and_then_brings_everything_over(away: str) -> None:
    """R-041: ten minutes without an answer cost ten minutes; nothing is left over for later, nothing is parked."""

    async def story() -> None:
        world = await world_before(PAGES * PAGE, PAGE, Faults())
        world.faults.active = False
        system = world.crm if away == "dataverse" else world.erp
        inner, asked = system.gate, 0
        assert inner is not None
        back_at = None

        async def gate(name: str, do: Callable[[], Awaitable[object]]) -> object:
            nonlocal asked, back_at
            asked += 1
            if asked == 3:
                back_at = world.clock.now() + timedelta(minutes=10)
            if back_at and world.clock.now() < back_at:
                raise SystemDown(system.system)
            return await inner(name, do)

        system.gate = gate
        progress = await load(world, to_crm=True, page_size=PAGE)
        assert back_at is not None
        assert back_at <= world.clock.now()
        assert (progress.outcomes[Kind.PARKED], progress.waiting) == (0, 0)
        assert len(await linked_accounts(world)) == len(world.crm.records) == PAGES * PAGE
        assert await world.stores.pending.page(world.names[1]) == []
        await load(world, to_crm=False)
        assert await world.check() == []

    run_virtually(story())
