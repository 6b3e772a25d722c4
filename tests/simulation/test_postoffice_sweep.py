"""PostOffice's transfers under crashes, lost answers and people: nothing lost, doubled, stale or brought back.

A few points of each story, so that all checks stay short; `python -m tests.simulation.postoffice_sweep` has them all.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.postoffice_stories import STORIES, PostStory
from tests.simulation.postoffice_sweep import sweep

POINTS = 2


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_effect_of_postoffices_transfers_may_fail(story: PostStory) -> None:
    """R-092, R-107, R-108, R-098, R-102: with the real connectors, on a site that offers everything and on one that
    offers the least; an unlink in the middle of a running transfer resurrects nothing."""

    async def points() -> list[str]:
        return [wrong async for wrong in sweep(story, POINTS)]

    assert asyncio.run(points()) == []
