"""Whatever effect a crash or a lost answer strikes, both systems end as without it: nothing lost, doubled or stale."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from shared.stores.azure_rows import AzureRows
from shared.stores.rows import RowStore
from shared.stores.stores import TABLES
from tests.azurite.fixture import azurite
from tests.simulation.stories import STORIES, Story
from tests.simulation.sweep import OwnPartitions, sweep

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


@pytest.mark.parametrize("name", ["both at once, our number", "account without VAT number, the ERP's series"])
def test_every_effect_may_fail_on_azure_tables(name: str, azurite: str) -> None:
    """The two stories with the most claims, on the store that production uses."""
    story = next(story for story in STORIES if story.name == name)

    async def points() -> list[str]:
        rows = AzureRows.from_connection_string(azurite, TABLES, prefix="sweep")
        await rows.prepare()
        runs = count()

        async def fresh() -> RowStore | None:
            return OwnPartitions(rows, f"{name.partition(',')[0]}{next(runs)}")

        try:
            return [str(point) async for point in sweep(story, fresh) if point.wrong]
        finally:
            await rows.aclose()

    assert asyncio.run(points()) == []
