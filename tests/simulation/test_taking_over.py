"""Customers that people take over: the process dies at any effect, or two people take the same one at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pytest

from shared.errors import CrossdockError
from shared.sync.context import pair_name
from shared.sync.outcome import Why
from shared.sync.ports import JournalEntry, LinkState, Side, SiteMode
from shared.sync.taking_over import Result, TakenOver, TakingOver
from tests.simulation.interleaving import TO_THE_END, WHO, Turns
from tests.simulation.postoffice import PostWorld
from tests.simulation.sweep import FAULTS
from tests.simulation.world import Crash, Faults

ACCOUNT = {"name": "Alfa", "telephone1": "+41 44 1"}
NUMBER = "77"


async def _alone(world: PostWorld) -> None:
    """A customer that the CRM does not have."""
    world.site.create("customers", {"number": NUMBER, "name": "ALFA", "email": "post@alfa.example"})


async def _on_both_sides(world: PostWorld) -> None:
    await _alone(world)
    await world.typed("account", {**ACCOUNT, "cdock_postnumber": NUMBER})


async def _undone(world: PostWorld) -> None:
    """Linked once, and a person has undone it."""
    await _on_both_sides(world)
    assert (await taken(world))[0].result is Result.LINKED
    await world.settled()
    account = next(iter(world.dataverse.rows("account")))
    await world.operations().unlink(("dataverse", "account", account), "account_to_postoffice", "ann", "by mistake")


async def _widowed(world: PostWorld) -> None:
    """And the account was deleted since."""
    await _undone(world)
    await world.removed("account", next(iter(world.dataverse.rows("account"))))


DONE = frozenset({Result.LINKED, Result.CREATED, Result.ALREADY})
Before = Callable[[PostWorld], Awaitable[None]]
Take = Callable[[PostWorld], Awaitable[list[TakenOver]]]
BEGINNINGS: tuple[Before, ...] = (_alone, _on_both_sides, _undone, _widowed)


async def taken(world: PostWorld, by: str = "ann") -> list[TakenOver]:
    """Somebody takes the customer over, in a process of its own."""
    (key,) = world.site.rows("customers")
    return await TakingOver(world.process(), world.index.definitions[0]).take_over([key], by, "first lot")


@dataclass
class Told:
    """How a story has ended."""

    world: PostWorld
    answers: list[TakenOver]
    wrong: list[str]


async def story(
    site: str,
    before: Callable[[PostWorld], Awaitable[None]],
    faults: Faults,
    take: Callable[[PostWorld], Awaitable[list[TakenOver]]],
) -> Told:
    """What was there before, the taking over, and everything until it is quiet. Nobody tries again."""
    faults.active = False
    world = PostWorld(site, ("customer",), faults)
    await world.prepare()
    await world.choose_mode(SiteMode.MANUAL)
    await before(world)
    await world.settled()
    faults.active, began = True, world.clock.now()
    answers = await take(world)
    faults.active = False
    await world.settled()
    wrong = await _wrong(world, began)
    await world.aclose()
    return Told(world, answers, wrong)


async def _wrong(world: PostWorld, began: datetime) -> list[str]:
    """Half a link, anything doubled, and a customer that was selected and is not linked, though nobody is told why."""
    (key,), accounts = world.site.rows("customers"), world.dataverse.rows("account")
    pipeline = world.untroubled()
    definition = world.index.definitions[0]
    pair = pair_name(definition, pipeline.ports.connectors)
    told = await world.stores.journal.of_record(pair, Side.RIGHT, key, 1000)
    entries = [one for one in told if one.at >= began]
    row = await world.stores.links.get(pair, Side.RIGHT, key)
    linked = row is not None and row.state is LinkState.LINKED
    wrong = await world.half_links(pipeline, definition)
    if len(accounts) > 1:
        wrong.append(f"{len(accounts)} accounts of one customer")
    if linked:
        wrong += await world.check()
    if _was_selected(entries) and not linked and not _met_its_tombstone(entries):
        wrong.append(f"forgotten: {[(one.outcome, one.reason) for one in entries]}")
    crm_id = world.site.rows("customers")[key]["crmId"]
    if crm_id != (row.other if row is not None and linked else None):
        wrong.append(f"PostOffice has the id {crm_id}")
    return wrong


def _was_selected(entries: Sequence[JournalEntry]) -> bool:
    return any(one.outcome == "selected" for one in entries)


def _met_its_tombstone(entries: Sequence[JournalEntry]) -> bool:
    """Whether the journal says that what was selected is still undone: the person's word came no further."""
    return any(one.cause == "take over by ann" and one.reason == Why.TOMBSTONE for one in entries)


async def _dying(world: PostWorld) -> list[TakenOver]:
    try:
        return await taken(world)
    except (Crash, CrossdockError):
        return []


SITE_OF = dict(zip(BEGINNINGS, ["whole", "poor", "poor", "whole"], strict=True))
EVERY = 23
named = pytest.mark.parametrize("before", BEGINNINGS, ids=lambda one: one.__name__.strip("_"))


@named
def test_what_a_person_has_selected_is_taken_over_wherever_the_process_dies(before: Before) -> None:
    """R-079, R-080, R-084: once it is noted that somebody has selected a customer, it is linked in the end, once,
    though nobody tries again; before that nothing has happened to it."""

    async def points() -> dict[str, list[str]]:
        faults, found, site = Faults(), dict[str, list[str]](), SITE_OF[before]
        whole = await story(site, before, faults, _dying)
        assert whole.wrong == []
        names = list(faults.names)
        assert len(names) > 20
        every = [(effect, how) for effect in range(1, len(names) + 1) for how in FAULTS]
        for effect, how in every[BEGINNINGS.index(before) :: EVERY]:
            if wrong := (await story(site, before, Faults(at=(effect, how)), _dying)).wrong:
                found[f"{how} effect {effect} ({names[effect - 1]})"] = wrong
        return found

    assert asyncio.run(points()) == {}


def two_people(turns: Turns, effects: int) -> Take:
    """The first one comes so far, then the second one to the end, then the first one."""

    async def take(world: PostWorld) -> list[TakenOver]:
        workers = [asyncio.create_task(_one_of_two(world, who)) for who in (0, 1)]
        for who, most in ((0, effects), (1, TO_THE_END), (0, TO_THE_END)):
            passed = 0
            while passed < most and not workers[who].done():
                if turns.waiting[who]:
                    turns.waiting[who].popleft().set_result(None)
                    passed += 1
                await asyncio.sleep(0)
        return [one for worker in workers for one in await worker]

    return take


async def _one_of_two(world: PostWorld, who: int) -> list[TakenOver]:
    WHO.set(who)
    return await taken(world, f"person {who}")


@named
def test_two_people_who_take_the_same_customer_over_at_once_make_one_link(before: Before) -> None:
    """R-079, R-080, R-082: in two processes, the second one at any moment of the first one: each is told how it goes,
    and there is one account."""

    async def orders() -> None:
        site, alone = SITE_OF[before], Turns(active=False)
        await story(site, before, alone, two_people(alone, TO_THE_END))
        for effects in range(1 + BEGINNINGS.index(before), alone.passed[0], 9):
            turns = Turns(active=False)
            told = await story(site, before, turns, two_people(turns, effects))
            assert told.wrong == [], effects
            assert {one.result for one in told.answers} <= {*DONE, Result.LATER}, effects
            assert {one.result for one in told.answers} & DONE, effects

    asyncio.run(orders())
