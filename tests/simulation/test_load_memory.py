"""A load holds what it has in hand, not what it has gone over: three times as many records, no more objects."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import takewhile

import pytest

from shared.errors import Throttled
from shared.stores.match_index import TemporaryMatchIndex
from shared.sync.load_place import Begun, LoadPlace
from shared.sync.loading import Loading, Progress, pipeline_for_load
from shared.sync.outcome import Kind
from shared.sync.ports import Claim, LinkRow, LinkState, Side
from tests.bench.accept import CountingQueue
from tests.simulation.loop import run_virtually
from tests.simulation.test_load_goes_on import world_before
from tests.simulation.world import World

FEW, MANY, PAGE = 300, 900, 50
CHUNK, LAST_CHUNKS = 100, 3


async def load(world: World, tell: Callable[[Progress], None]) -> Progress:
    """Load all customers in a new process, one chunk after another; what goes to other transfers is not kept."""
    index = TemporaryMatchIndex()
    definition, transfer = world.definition, world.definition.transfers[1]
    ports = replace(world.process().ports, queue=CountingQueue())
    pipeline = pipeline_for_load(ports, world.index, transfer.name, index, alone=True)
    try:
        return await Loading(pipeline, definition, transfer, index, tell, page_size=PAGE, chunks_at_once=1).run()
    finally:
        index.close()


async def claim_first(world: World) -> None:
    """Another process is creating the first customer's account, and will be for an hour."""
    first = min(world.erp.records)
    claim = Claim("attempt", "another", world.clock.now() + timedelta(hours=1))
    await world.stores.links.insert(LinkRow(world.pair, Side.RIGHT, first, LinkState.CREATING, claim=claim))


def alive() -> Counter[str]:
    """How many objects of each of the product's own classes there are."""
    gc.collect()
    return Counter(
        type(one).__qualname__ for one in gc.get_objects() if str(type(one).__module__).startswith("shared.")
    )


def most_alive(companies: int, *, claimed: bool) -> Counter[str]:
    """The most objects of each class after each third of a load."""
    most, told = Counter[str](), 0

    async def story() -> None:
        world = await world_before(companies, 0)
        if claimed:
            await claim_first(world)

        def tell(_: Progress) -> None:
            nonlocal most, told
            told += 1
            if told % (companies // FEW) == 0:
                most |= alive()

        progress = await load(world, tell)
        assert progress.outcomes[Kind.CREATED] >= companies - claimed

    run_virtually(story())
    return most


@pytest.mark.parametrize("claimed", [False, True])
def test_a_load_of_four_times_as_many_records_holds_no_more_objects(claimed: bool) -> None:
    """R-041: also while a record of the very first page has no outcome, so that its place waits there."""
    many, few = most_alive(MANY, claimed=claimed), most_alive(FEW, claimed=claimed)
    assert {name: (few[name], many[name]) for name in many if many[name] > few[name] + 3} == {}


@pytest.mark.parametrize("seed", range(20))
def test_the_kept_place_is_behind_the_last_page_before_which_all_is_through(seed: int) -> None:
    """R-041: in whatever order records get their outcomes, while pages still come."""
    rng = random.Random(seed)

    async def story() -> None:
        world = await world_before(1, 0)
        place = LoadPlace(world.stores.reports, await world.process().prepare(world.names[1]))
        pages = [{f"{page}/{key}" for key in range(rng.randrange(4))} for page in range(12)]
        begun, under_way, settled = 0, set[str](), set[str]()
        while begun < len(pages) or under_way:
            if begun < len(pages) and (not under_way or rng.random() < 0.3):
                await place.came(f"behind {begun}", begun + 1, pages[begun])
                under_way |= pages[begun]
                begun += 1
            else:
                done = set(rng.sample(sorted(under_way), rng.randint(1, len(under_way))))
                await place.settled(done)
                under_way, settled = under_way - done, settled | done
            through = len(list(takewhile(settled.issuperset, pages[:begun])))
            expected = Begun(f"behind {through - 1}", through) if through else Begun()
            assert await place.begun() == expected

    run_virtually(story())


def test_what_comes_again_in_a_load_does_so_when_it_is_due_and_not_after_the_source_is_through() -> None:
    """R-041: the CRM takes nothing of the first chunk; all of it is through before the last chunk is."""
    waiting: list[int] = []

    async def story() -> None:
        world = await world_before(MANY, 0)
        refusing = True

        async def gate(name: str, do: Callable[[], Awaitable[object]]) -> object:
            nonlocal refusing
            await world.clock.sleep(1)
            if name == "create" and refusing:
                refusing = False
                raise Throttled("dataverse", timedelta(seconds=1))
            return await do()

        world.crm.gate = gate
        progress = await load(world, lambda told: waiting.append(told.waiting))
        assert progress.outcomes[Kind.CREATED] == len(world.crm.records) == MANY

    run_virtually(story())
    assert max(waiting) == CHUNK
    assert waiting[-LAST_CHUNKS:] == [0] * LAST_CHUNKS
