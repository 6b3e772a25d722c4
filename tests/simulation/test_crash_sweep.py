"""Whatever effect a crash or a lost answer strikes, both systems end as without it: nothing lost, doubled or stale."""

from __future__ import annotations

import asyncio

import pytest

from shared.stores.rows import RowStore
from tests.azurite.fixture import azurite
from tests.simulation.stories import STORIES, Story
from tests.simulation.sweep import on_azure_tables, sweep

__all__ = ["azurite"]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_effect_may_fail_on_the_embedded_store(story: Story) -> None:
    """R-054: the account becomes a customer once, wherever the process dies; the same for the way back and for
    edits."""

    async def memory() -> RowStore | None:
        return None

    async def points() -> list[str]:
        return [str(point) async for point in sweep(story, memory) if point.wrong]

    assert asyncio.run(points()) == []


@pytest.mark.timeout(1200)  # hundreds of worlds over HTTP; on a busy machine that takes minutes
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_every_effect_may_fail_on_azure_tables(story: Story, azurite: str) -> None:
    """R-054: the same on the store that production uses, at every third effect with one of the faults in turn;
    `python -m tests.simulation.sweep` tries all effects and all faults."""
    assert asyncio.run(on_azure_tables(story, azurite, sample=STORIES.index(story))) == []
