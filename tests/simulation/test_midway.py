"""In the middle of a message somebody chooses another mode, or a database is marked as a test system."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.sync.message import Message
from shared.sync.outcome import Kind, Why
from shared.sync.pipeline import Done
from shared.sync.ports import SiteMode
from tests.simulation.postoffice import PostWorld
from tests.simulation.world import Faults, How, is_crash

COUNT = 4
TO_CRM, TO_POSTOFFICE = "post_article_to_dataverse", "account_to_postoffice"
Doing = Callable[[PostWorld], Awaitable[None]]


async def begun(site: str, definition: str, faults: Faults) -> PostWorld:
    """A world at rest in which one record at a time is handled, and the databases are asked before each write."""
    faults.active = False
    world = PostWorld(site, (definition,), faults)
    world.timing = replace(world.timing, at_once=1, profile_age=timedelta(), switch_age=timedelta())
    await world.prepare()
    return world


async def told_of(world: PostWorld, transfer: str, keys: Sequence[str], cause: str = "walk") -> list[Done]:
    """One message about several records of the transfer's source."""
    definition, found = next((one, two) for one, two in world.index.transfers() if two.name == transfer)
    message = Message(
        transfer=transfer,
        side=found.source,
        table=definition.table(found.source).table,
        keys=tuple(keys),
        cause=cause,
        occurred_at=world.clock.now(),
        attempt=0,
        correlation_id="midway",
        change_id="midway",
    )
    return list(await world.process().run(message))


def articles(world: PostWorld) -> list[str]:
    made = (world.site.create("articles", {"number": f"{n}", "name": f"A{n}", "price": "1.5"}) for n in range(COUNT))
    return [str(one["id"]) for one in made]


async def accounts(world: PostWorld) -> list[str]:
    """Of which nobody has told yet."""
    return [await world.dataverse.create("account", {"name": f"Mill {n}"}) for n in range(COUNT)]


def written(world: PostWorld) -> list[tuple[str, str]]:
    """Every request that has changed one of the two systems."""
    here = [("dataverse", one) for one in world.dataverse.requests.entries() if "$batch" not in one.path]
    there = [("postoffice", one) for one in world.site.requests.entries()]
    return [(system, f"{one.method} {one.path}") for system, one in [*here, *there] if one.method != "GET"]


async def marked(site: str, transfer: str, at: int) -> int:
    """PostOffice is marked as a test system right before one effect of a message, and later as productive again.

    Answers how many effects there were. What had been asked about already is written; nothing else is.
    """
    faults = Faults(at=(at, How.MEANWHILE))
    world = await begun(site, "article" if transfer == TO_CRM else "customer", faults)
    keys = articles(world) if transfer == TO_CRM else await accounts(world)
    before = len(written(world))

    async def mark() -> None:
        nonlocal before
        before = len(written(world))
        world.site.mark_as_test_system(True)

    faults.on_strike, faults.active, faults.count = mark, True, 0
    done = await told_of(world, transfer, keys)
    effects, faults.active = faults.count, False
    if at:
        late = written(world)[before:]
        assert len(late) <= 1, f"{at}: {late}"
        again = await told_of(world, transfer, keys)
        assert {one.outcome.why for one in again} == {Why.ENVIRONMENT}
        assert len(written(world)) == before + len(late)
        assert {one.outcome.kind for one in done} <= {Kind.CREATED, Kind.UPDATED, Kind.DEFERRED, Kind.UNCHANGED}
    world.site.mark_as_test_system(False)
    await world.settled()
    assert await world.check() == [], at
    here, there = ("cdock_postarticle", "articles") if transfer == TO_CRM else ("account", "customers")
    assert len(world.dataverse.rows(here)) == len(world.site.rows(there)) == len(await world.linked()) == COUNT
    await world.aclose()
    return effects


@pytest.mark.parametrize(("site", "transfer"), [("whole", TO_CRM), ("poor", TO_POSTOFFICE)])
def test_a_database_that_is_marked_as_a_test_system_in_the_middle_of_a_message_gets_nothing_more(
    site: str, transfer: str
) -> None:
    """R-071: nothing is written into the wrong CRM, nor from it; and nothing is lost by that, or doubled."""
    effects = asyncio.run(marked(site, transfer, 0))
    assert effects > 40
    for at in range(1, effects + 1, 17):
        asyncio.run(marked(site, transfer, at))


async def choose(world: PostWorld, mode: SiteMode) -> None:
    """A person moves the mode, and acknowledges what has to be."""
    doors = world.site_operations()
    etag = (await doors.mode("postoffice", "dataverse"))["etag"]
    moved = await doors.choose_mode("postoffice", "dataverse", mode, "ann", "a story", etag, 1000)
    assert moved["moved"]


async def moved(site: str, first: SiteMode, then: SiteMode, how: How, at: int) -> int:
    """The mode is moved right before an effect of a message about accounts without customers; or right after it, and
    then the process dies. In the end automatic mode is chosen once more.

    Answers how many effects there were. Once less is exchanged no more customers are made than the one under way.
    """
    faults = Faults(at=(at, how))
    world = await begun(site, "customer", faults)
    keys, made = await accounts(world), 0
    if first is not SiteMode.AUTOMATIC:
        await choose(world, first)

    async def move() -> None:
        nonlocal made
        was, faults.active = faults.active, False
        await choose(world, then)
        made, faults.active = len(world.site.rows("customers")), was

    faults.on_strike, faults.active, faults.count = move, True, 0
    try:
        await told_of(world, TO_POSTOFFICE, keys)
    except BaseException as death:
        if not is_crash(death):
            raise
    effects, faults.active = faults.count, False
    if at and then is not SiteMode.AUTOMATIC:
        await world.clock.sleep(600)  # the message comes again
        again = await told_of(world, TO_POSTOFFICE, keys)
        late = len(world.site.rows("customers")) - made
        assert late <= (how is How.MEANWHILE), f"{at}: {late} customers too many"
        assert then is SiteMode.MANUAL or {one.outcome.why for one in again} == {Why.MODE_NONE}
        await choose(world, SiteMode.AUTOMATIC)
    await world.settled()
    if at:
        assert await world.check() == [], at
        assert len(world.site.rows("customers")) == len(await world.linked()) == COUNT, at
        assert {row["crmId"] for row in world.site.rows("customers").values()} == set(keys), at
    await world.aclose()
    return effects


@pytest.mark.parametrize("how", [How.MEANWHILE, How.AFTER])
@pytest.mark.parametrize(
    ("site", "first", "then"),
    [
        ("whole", SiteMode.AUTOMATIC, SiteMode.NONE),
        ("poor", SiteMode.AUTOMATIC, SiteMode.MANUAL),
        ("whole", SiteMode.NONE, SiteMode.AUTOMATIC),
        ("poor", SiteMode.MANUAL, SiteMode.AUTOMATIC),
    ],
)
def test_a_mode_that_is_moved_in_the_middle_of_a_message_counts_for_its_other_records(
    site: str, first: SiteMode, then: SiteMode, how: How
) -> None:
    """R-077, R-087, R-094: what is under way is finished, nothing else is begun, also where the process dies in
    between; and automatic mode makes what is missing, each customer once."""
    effects = asyncio.run(moved(site, first, then, how, 0))
    assert effects > 1
    for at in range(min(2, effects), effects + 1, max(1, effects // 9)):
        asyncio.run(moved(site, first, then, how, at))
