"""The crash sweep: every effect of a story, killed before and after, and with its answer lost.

    python -m tests.simulation.sweep      every point of every story on Azure Tables (Azurite), and every one of
                                          PostOffice's and field service's transfers on the embedded store

Exit code 0: every point ended right; 1: the points named did not.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

from shared.stores.azure_rows import AzureRows
from shared.stores.rows import Operation, Page, Properties, Row, RowStore, encode_key
from shared.stores.stores import TABLES
from tests.azurite.server import shared_azurite
from tests.simulation import field_service_stories, postoffice_sweep
from tests.simulation.site_sweep import swept
from tests.simulation.stories import STORIES, Story, tell
from tests.simulation.systems import Stored
from tests.simulation.world import Faults, How, World

AT_ONCE = 8
FAULTS = (How.BEFORE, How.AFTER, How.LOST)
Rows = Callable[[], Awaitable[RowStore | None]]


class OwnPartitions:
    """A row store of one run's own within shared tables: making tables anew for each of a thousand runs would
    take hours."""

    def __init__(self, inner: RowStore, run: str) -> None:
        self._inner = inner
        self._run = encode_key(run)

    def _mine(self, partition: str) -> str:
        return f"{self._run}|{partition}"

    async def prepare(self) -> None:
        return

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        return await self._inner.get(table, self._mine(partition), key)

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        return await self._inner.insert(table, self._mine(partition), key, properties)

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        return await self._inner.replace(table, self._mine(partition), key, properties, etag)

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        return await self._inner.upsert(table, self._mine(partition), key, properties)

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        return await self._inner.delete(table, self._mine(partition), key, etag)

    async def list(
        self, table: str, partition: str, *, after: str | None = None, key_prefix: str = "", limit: int = 1000
    ) -> Page:
        return await self._inner.list(table, self._mine(partition), after=after, key_prefix=key_prefix, limit=limit)

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        return await self._inner.transact(table, self._mine(partition), operations)

    async def aclose(self) -> None:
        return


@dataclass(frozen=True)
class Point:
    """One point of a sweep and what was wrong at its end."""

    story: str
    effect: int
    name: str
    how: How
    wrong: list[str]

    def __str__(self) -> str:
        return f"{self.story}: {self.how} effect {self.effect} ({self.name}): {'; '.join(self.wrong)}"


async def sweep(story: Story, rows: Rows, *, sample: int | None = None) -> AsyncIterator[Point]:
    """Every point of a story, a few worlds at once. The run without faults says how many effects there are and
    how it ends. sample: only every third effect, with one of the faults in turn; which third, says the number."""
    faults = Faults()
    reference = await tell(story, faults, await rows())
    assert await reference.check() == []
    assert (len(reference.crm.records), len(reference.erp.records)) == story.records
    assert bool(reference.crm.notes) is story.setup.notes
    names = list(faults.names)
    effects = next((n for n, name in enumerate(names) if name == "store get watermarks"), len(names))
    points = [(effect, how) for effect in range(1, effects + 1) for how in _faults_of(effect, sample)]
    for some in (points[at : at + AT_ONCE] for at in range(0, len(points), AT_ONCE)):
        worlds = await asyncio.gather(*(_struck(story, rows, point) for point in some))
        for (effect, how), world in zip(some, worlds, strict=True):
            yield Point(story.name, effect, names[effect - 1], how, await _wrong(world, reference))


def _faults_of(effect: int, sample: int | None) -> Sequence[How]:
    if sample is None:
        return FAULTS
    turn, rest = divmod(effect + sample, 3)
    return () if rest else (FAULTS[turn % len(FAULTS)],)


async def on_azure_tables(story: Story, connection: str, sample: int | None = None) -> list[str]:
    """What is wrong after a story's points on a table service."""
    rows = AzureRows.from_connection_string(connection, TABLES, prefix="sweep")
    await rows.prepare()
    runs = count()

    async def fresh() -> RowStore | None:
        return OwnPartitions(rows, f"{STORIES.index(story)}.{next(runs)}")

    try:
        return [str(point) async for point in sweep(story, fresh, sample=sample) if point.wrong]
    finally:
        await rows.aclose()


async def _struck(story: Story, rows: Rows, at: tuple[int, How]) -> World:
    return await tell(story, Faults(at=at), await rows())


async def _wrong(world: World, reference: World) -> list[str]:
    wrong = await world.check()
    for system, same in ((world.crm, reference.crm), (world.erp, reference.erp)):
        mine, theirs = _contents(system.records), _contents(same.records)
        if mine != theirs:
            wrong.append(f"{system.system} holds other records than after the run without faults")
        if sorted(system.notes.values()) != sorted(same.notes.values()):
            wrong.append(f"{system.system} has other notes than after the run without faults")
    return wrong


def _contents(records: dict[str, Stored]) -> list[str]:
    """What a system holds, but for keys and numbers, which may have gaps after a fault."""
    numbers = {"number", "accountnumber"}
    return sorted(str(sorted((k, str(v)) for k, v in r.values.items() if k not in numbers)) for r in records.values())


def main() -> int:
    """Sweep every story on Azurite and tell what was wrong."""
    logging.disable(logging.CRITICAL)
    connection, wrong = shared_azurite(), 0
    for story in STORIES:
        found = asyncio.run(on_azure_tables(story, connection))
        wrong += len(found)
        print("\n".join([f"{story.name}: {len(found)} wrong", *found]), flush=True)
    wrong += asyncio.run(swept([*postoffice_sweep.EVERY, *field_service_stories.STORIES]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
