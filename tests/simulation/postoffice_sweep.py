"""The crash sweep over PostOffice's transfers: every effect of a story, killed before and after, and with its answer
lost; and every effect at which somebody undoes the link meanwhile.

    python -m tests.simulation.postoffice_sweep [part of a story's name]

`python -m tests.simulation.sweep` runs it, too. Exit code 0: every point ended right; 1: the points named did not.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from tests.simulation.postoffice import PostWorld
from tests.simulation.postoffice_stories import STORIES, PostStory, request_by_request
from tests.simulation.world import Faults, How

AT_ONCE = 8
FAULTS = (How.BEFORE, How.AFTER, How.LOST)


@dataclass(frozen=True)
class Ended:
    """How a world has ended: what is wrong in it, and what both systems hold."""

    wrong: list[str]
    contents: dict[str, list[str]]


async def sweep(story: PostStory, sample: int | None = None) -> AsyncIterator[str]:
    """What is wrong after every point of a story. sample: so many points only, spread over the story."""
    faults = Faults()
    reference = await story.tell(faults)
    expected = await _ended(story, reference)
    assert expected.wrong == [], f"{story.name}: {expected.wrong}"
    effects, names = reference.effects, list(faults.names)
    points = _points(story, names[:effects], sample)
    for some in (points[at : at + AT_ONCE] for at in range(0, len(points), AT_ONCE)):
        ends = await asyncio.gather(*(_struck(story, point) for point in some))
        for (effect, how), end in zip(some, ends, strict=True):
            for wrong in _wrong(story, end, expected):
                yield f"{story.name}: {how} effect {effect} of {effects} ({names[effect - 1]}): {wrong}"


def _points(story: PostStory, names: Sequence[str], sample: int | None) -> Sequence[tuple[int, How]]:
    """Every effect with every fault; of a sample each effect with one of them in turn. Of requests those that write."""
    kinds = FAULTS if story.meanwhile is None else (How.MEANWHILE,)
    struck = [effect for effect, name in enumerate(names, start=1) if not (story.by_requests and "GET" in name)]
    every = [(effect, how) for effect in struck for how in kinds]
    if sample is None:
        return every
    step = max(1, len(every) // sample) | 1  # odd, so that the kinds of faults take turns
    shift = len(story.name) % step
    return every[shift::step]


async def _struck(story: PostStory, at: tuple[int, How]) -> Ended:
    try:
        return await _ended(story, await story.tell(Faults(at=at)))
    except AssertionError as error:
        return Ended([str(error)], {})


async def _ended(story: PostStory, world: PostWorld) -> Ended:
    wrong, contents = await world.check(), await world.contents()
    held = {name: len(world.site.rows(name)) for name in story.holds}
    if held != story.holds:
        wrong.append(f"PostOffice holds {held} and not {story.holds}")
    if story.meanwhile is not None and (linked := await world.linked()):
        wrong.append(f"{linked} are linked again")
    await world.aclose()
    return Ended(wrong, contents)


def _wrong(story: PostStory, end: Ended, expected: Ended) -> list[str]:
    """What is wrong, and where the world is another one than after the story without faults."""
    if story.meanwhile is not None or end.wrong:
        return end.wrong
    return [
        f"{name} holds {found} and not {expected.contents.get(name)}"
        for name, found in end.contents.items()
        if found != expected.contents.get(name)
    ]


async def swept(part: str = "") -> int:
    """Sweep the stories with this part in their name and tell what was wrong; answers how many points were."""
    count = 0
    for story in (one for one in [*STORIES, *map(request_by_request, STORIES)] if part in one.name):
        found = [wrong async for wrong in sweep(story)]
        count += len(found)
        print("\n".join([f"{story.name}: {len(found)} wrong", *found]), flush=True)
    return count


def main() -> int:
    """The command."""
    logging.disable(logging.CRITICAL)
    return 1 if asyncio.run(swept(*sys.argv[1:2])) else 0


if __name__ == "__main__":
    sys.exit(main())
