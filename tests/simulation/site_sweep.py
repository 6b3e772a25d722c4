"""Stories of a CRM and one site, and the crash sweep over them: every effect of a story, killed before and after, and
with its answer lost; and every effect at which somebody undoes the link meanwhile."""

from __future__ import annotations

import asyncio
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from shared.stores.rows import RowStore
from tests.simulation.site_world import SiteWorld
from tests.simulation.world import Faults, How

AT_ONCE = 8
FAULTS = (How.BEFORE, How.AFTER, How.LOST)
W = TypeVar("W", bound=SiteWorld)


async def _nothing(world: SiteWorld) -> None:
    return


@dataclass(frozen=True)
class SiteStory(ABC, Generic[W]):
    """What happens before (without faults) and while the engine runs. definitions: those that it needs.

    rounds: 2 where a walk has to find what begins it. meanwhile: what a person does in the moment of the strike, in the
    place of a fault. after: what happens at the end, without faults. holds: how many records of each of the site's
    tables there are then. parks: by which codes records wait for a person then. by_requests: see `SiteWorld`.
    """

    name: str
    definitions: tuple[str, ...]
    begin: Callable[[W], Awaitable[None]]
    before: Callable[[W], Awaitable[None]] = _nothing
    after: Callable[[W], Awaitable[None]] = _nothing
    meanwhile: Callable[[W], Awaitable[None]] | None = None
    rounds: int = 1
    holds: Mapping[str, int] = field(default_factory=dict)
    parks: tuple[str, ...] = ()
    site: str = ""
    by_requests: bool = False

    @abstractmethod
    def world(self, faults: Faults, rows: RowStore | None) -> W:
        """A fresh world."""

    async def tell(self, faults: Faults, rows: RowStore | None = None) -> W:
        """Tell the story in a fresh world, one message at a time."""
        faults.active = False
        world = self.world(faults, rows)
        await world.prepare()
        await self.before(world)
        await world.settled()
        if self.meanwhile is not None:
            faults.on_strike = lambda: self._struck(world)
        world.begin_counting(self.rounds)
        await self.begin(world)
        await world.settled()
        faults.active = False
        await self.after(world)
        await world.settled()
        return world

    async def _struck(self, world: W) -> None:
        assert self.meanwhile is not None
        was, world.faults.active = world.faults.active, False
        await self.meanwhile(world)
        world.faults.active = was


S = TypeVar("S", bound=SiteStory[Any])


def at_each(sites: Iterable[str], *stories: S) -> list[S]:
    """Every story at every site, one after another."""
    return [replace(story, site=site, name=f"{story.name}, {site} site") for story in stories for site in sites]


def request_by_request(story: S) -> S:
    """The same story, in which faults strike between the requests of one write, too."""
    return replace(story, by_requests=True, name=f"{story.name}, request by request")


@dataclass(frozen=True)
class Ended:
    """How a world has ended: what is wrong in it, and what both systems hold."""

    wrong: list[str]
    contents: dict[str, list[str]]


@dataclass(frozen=True)
class Point:
    """One point of a sweep and what was wrong at its end."""

    what: str
    wrong: list[str]


async def sweep(story: SiteStory[Any], sample: int | None = None) -> AsyncIterator[Point]:
    """Every point of a story. sample: so many points only, spread over the story."""
    faults = Faults()
    reference = await story.tell(faults)
    expected = await _ended(story, reference)
    assert expected.wrong == [], f"{story.name}: {expected.wrong}"
    effects, names = reference.effects, list(faults.names)
    points = _points(story, names[:effects], sample)
    for some in (points[at : at + AT_ONCE] for at in range(0, len(points), AT_ONCE)):
        ends = await asyncio.gather(*(_struck(story, point) for point in some))
        for (effect, how), end in zip(some, ends, strict=True):
            what = f"{story.name}: {how} effect {effect} of {effects} ({names[effect - 1]})"
            yield Point(what, _wrong(story, end, expected))


async def wrong_in(story: SiteStory[Any], sample: int) -> list[str]:
    """What is wrong after so many points of a story."""
    return [f"{one.what}: {wrong}" async for one in sweep(story, sample) for wrong in one.wrong]


def _points(story: SiteStory[Any], names: Sequence[str], sample: int | None) -> Sequence[tuple[int, How]]:
    """Every effect with every fault; of a sample each effect with one of them in turn. Of requests those that write."""
    kinds = FAULTS if story.meanwhile is None else (How.MEANWHILE,)
    struck = [effect for effect, name in enumerate(names, start=1) if not (story.by_requests and "GET" in name)]
    every = [(effect, how) for effect in struck for how in kinds]
    if sample is None:
        return every
    step = max(1, len(every) // sample) | 1  # odd, so that the kinds of faults take turns
    shift = len(story.name) % step
    return every[shift::step]


async def _struck(story: SiteStory[Any], at: tuple[int, How]) -> Ended:
    try:
        return await _ended(story, await story.tell(Faults(at=at)))
    except AssertionError as error:
        return Ended([str(error)], {})


async def _ended(story: SiteStory[Any], world: SiteWorld) -> Ended:
    wrong, contents = await world.check(), await world.contents()
    held = {name: world.held(name) for name in story.holds}
    if held != story.holds:
        wrong.append(f"{world.kind} holds {held} and not {story.holds}")
    parked = await world.parked()
    if tuple(one.code for one in parked) != story.parks:
        wrong.append(f"parked: {[(one.transfer, one.code, one.field) for one in parked]}")
    if story.meanwhile is not None and (linked := await world.linked()):
        wrong.append(f"{linked} are linked again")
    await world.aclose()
    return Ended(wrong, contents)


def _wrong(story: SiteStory[Any], end: Ended, expected: Ended) -> list[str]:
    """What is wrong, and where the world is another one than after the story without faults."""
    if story.meanwhile is not None or end.wrong:
        return end.wrong
    return [
        f"{name} holds {found} and not {expected.contents.get(name)}"
        for name, found in end.contents.items()
        if found != expected.contents.get(name)
    ]


async def swept(stories: Sequence[SiteStory[Any]]) -> int:
    """Sweep the stories and tell what was wrong; answers how many points were."""
    count = points = 0
    for story in stories:
        ended = [one async for one in sweep(story)]
        found = [f"{one.what}: {wrong}" for one in ended for wrong in one.wrong]
        count, points = count + sum(bool(one.wrong) for one in ended), points + len(ended)
        print("\n".join([f"{story.name}: {len(ended)} points, {len(found)} wrong", *found]), flush=True)
    print(f"{points} points, {count} of them wrong", flush=True)
    return count


def run(stories: Sequence[SiteStory[Any]]) -> int:
    """The command: sweeps those with the part of a name that is given, or all; 2 where none has it."""
    logging.disable(logging.CRITICAL)
    chosen = [one for one in stories if all(part in one.name for part in sys.argv[1:])]
    if not chosen:
        print("\n".join(["No story has this in its name; there are:", *(one.name for one in stories)]))
        return 2
    return 1 if asyncio.run(swept(chosen)) else 0
