"""B5: links in Azure Tables, against Microsoft's package doing the same on the same Azurite in the same run.

`python -m tests.bench.tables --links 100000` is the large one; `--only B5` of the benchmarks keeps fewer links. Azurite
runs in another process, so that only the client's processor time counts. It answers a search over a whole table as
quickly as a single row, which real storage does not; so what a transfer asks for is looked at, request by request.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
from azure.core import MatchConditions
from azure.data.tables import EntityProperty, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient

from shared.stores.azure_rows import AzureRows
from shared.stores.journal import TABLE as JOURNAL
from shared.stores.links import TABLE, LinksStore
from shared.stores.rows import MAX_OPERATIONS, Properties, Upsert, encode_key
from shared.stores.stores import TABLES
from shared.stores.table import pack, unpack
from shared.sync.ports import LinkRow, Side
from tests.azurite.door import Asked, Sent, door_before
from tests.azurite.server import shared_azurite
from tests.bench import transfer
from tests.bench.figures import Figure, Work, compared, in_turn, table
from tests.bench.place import IN_FLIGHT, TO_ERP, Place, at_once, open_place

FEW: Final = 1000
MANY: Final = 10_000
SINGLES: Final = 200
"""Single operations of each contestant in a round."""
Operation = Callable[[transfer.LinkMemory, int], Coroutine[object, object, None]]
_KEYS: Final = ("pair", "side", "key", "claim", "etag")
"""Fields of a link that are no properties of its row."""


class PackageLinks:
    """Links in the same rows, by Microsoft's package, as one would write it first."""

    def __init__(self, client: TableClient) -> None:
        self._client = client

    async def get(self, pair: str, side: Side, key: str) -> LinkRow | None:
        """Read one link."""
        found = await self._client.get_entity(encode_key(pair, side), encode_key(key))
        plain = {name: value.value if isinstance(value, EntityProperty) else value for name, value in found.items()}
        return unpack(LinkRow, plain, pair=pair, side=side, key=key, claim=None, etag=found.metadata["etag"])

    async def replace(self, row: LinkRow) -> LinkRow:
        """Write one link by its etag."""
        same = MatchConditions.IfNotModified
        done = await self._client.update_entity(entity(row), UpdateMode.REPLACE, etag=row.etag, match_condition=same)
        return replace(row, etag=done["etag"])


def properties(row: LinkRow) -> Properties:
    """A link without a claim as its row has it."""
    return pack(row, without=_KEYS)


def entity(row: LinkRow) -> dict[str, Any]:
    """A link in the form of Microsoft's package."""
    return {"PartitionKey": encode_key(row.pair, row.side), "RowKey": encode_key(row.key), **properties(row)}


@dataclass(frozen=True)
class Sides:
    """Both contestants over the same tables."""

    rows: AzureRows
    package: TableClient

    @property
    def links(self) -> LinksStore:
        """The product's links."""
        return LinksStore(self.rows)


@asynccontextmanager
async def both(azurite: str) -> AsyncIterator[Sides]:
    """Tables of their own in Azurite."""
    prefix = f"bench{uuid.uuid4().hex[:12]}"
    rows = AzureRows.from_connection_string(azurite, TABLES, prefix=prefix)
    await rows.prepare()
    async with TableServiceClient.from_connection_string(azurite) as service:
        yield Sides(rows, service.get_table_client(prefix + TABLE))
    await rows.aclose()


# --- what an operation costs ----------------------------------------------------------------------


async def _operations(sides: Sides, links: Sequence[LinkRow], rounds: int, times: int) -> list[Figure]:
    """Ten at a time. Each write knows the etag of the one before, so there are as many in a round as links."""
    latest, count = list(links), min(times, len(links))

    async def read(memory: transfer.LinkMemory, number: int) -> None:
        link = links[number % len(links)]
        await memory.get(link.pair, link.side, link.key)

    async def write(memory: transfer.LinkMemory, number: int) -> None:
        latest[number] = await memory.replace(latest[number])

    def work(one: Operation, memory: transfer.LinkMemory, times: int) -> Work:
        async def run() -> int:
            await at_once([one(memory, number) for number in range(times)])
            return times

        return run

    package = PackageLinks(sides.package)
    seconds = await in_turn(
        {
            "read": work(read, sides.links, times),
            "read by package": work(read, package, times),
            "write": work(write, sides.links, count),
            "write by package": work(write, package, count),
        },
        rounds,
    )
    return [
        _compared("a link read", seconds["read"], seconds["read by package"], "at most 0.3"),
        _compared("a link written by its etag", seconds["write"], seconds["write by package"], "at most 0.3"),
    ]


async def _transactions(sides: Sides, link: LinkRow, rounds: int, batches: int) -> list[Figure]:
    many = [replace(link, key=f"batch-{number:04}", etag="") for number in range(MAX_OPERATIONS)]
    partition = encode_key(link.pair, link.side)

    async def ours() -> int:
        for _ in range(batches):
            await sides.rows.transact(TABLE, partition, [Upsert(encode_key(row.key), properties(row)) for row in many])
        return batches * len(many)

    async def packages() -> int:
        for _ in range(batches):
            sent = [("upsert", entity(row), {"mode": UpdateMode.REPLACE}) for row in many]
            await sides.package.submit_transaction(sent)
        return batches * len(many)

    seconds = await in_turn({"ours": ours, "package": packages}, rounds)
    what = f"a link in a transaction of {MAX_OPERATIONS}"
    return [_compared(what, seconds["ours"], seconds["package"], "at most 0.1")]


def _compared(what: str, ours: Sequence[float], package: Sequence[float], goal: str) -> Figure:
    return compared("B5", what, "us CPU", 1e6, ours, package, baseline_is="the same by Microsoft's package", goal=goal)


# --- what a transfer costs ------------------------------------------------------------------------


async def _transfers(sides: Sides, rounds: int, records: int) -> tuple[list[Figure], list[LinkRow]]:
    """A whole transfer over Azure Tables, and links that were made on the way."""
    async with open_place(rows=sides.rows) as place, httpx.AsyncClient() as stock:
        naive = await transfer.loop(place, stock, PackageLinks(sides.package))
        contestants: Mapping[str, transfer.Transfer] = {"engine": transfer.engine(place), "naive": naive.one}
        seconds = await transfer.in_rounds(place, contestants, rounds, records)
        links = await place.pairs(records)
    what, baseline = "one transfer, all safety on, its store in Azure Tables", "loop without safety, stock httpx and"
    ms = ("B5", what, "ms CPU", 1e3, seconds["engine"], seconds["naive"])
    return [compared(*ms, baseline_is=f"{baseline} Microsoft's package", goal="at most 0.25")], links


# --- growth ---------------------------------------------------------------------------------------


async def _fill(sides: Sides, like: LinkRow, first: int, after_last: int) -> None:
    """Put in links of the same pair and side, a hundred at a time."""
    partition, same = encode_key(like.pair, like.side), properties(like)
    for at in range(first, after_last, MAX_OPERATIONS):
        keys = [encode_key(f"filler-{number:07}") for number in range(at, min(at + MAX_OPERATIONS, after_last))]
        await sides.rows.transact(TABLE, partition, [Upsert(key, same) for key in keys])


async def _growth(azurite: str, many: int, rounds: int, records: int) -> list[Figure]:
    """The same transfers among few links and among many, request by request."""
    async with door_before(azurite) as (through, door), both(through) as sides, open_place(rows=sides.rows) as place:
        links = await place.pairs(records)
        few = min(FEW, many)
        async with both_on(azurite, sides) as direct:
            await _fill(direct, links[0], 0, few)
            asked_few = await _asked(place, links, door.sent)
            cost_few = await _reading(direct, links, rounds)
            await _fill(direct, links[0], few, many)
            asked_many = await _asked(place, links, door.sent)
            cost_many = await _reading(direct, links, rounds)
        together = await _asked_together(place, links, door.sent)
    among = f"among {many:,} links"
    wide = sum(one.asks_for is not Asked.ROW for one in (*asked_few, *asked_many, *together))
    chunk = f"a transfer in a chunk of {records}: requests for the journal"
    link_requests = len(_of(asked_few, TABLE)) / records
    return [
        _requests("a transfer: requests for links", _of(asked_few, TABLE), records, 2, "read and write", "at most 2"),
        _requests("a transfer: requests for the journal", _of(asked_few, JOURNAL), records, 1, "one entry"),
        _requests(chunk, _of(together, JOURNAL), records, 1, "one entry"),
        _requests(
            f"a transfer {among}: requests for links",
            _of(asked_many, TABLE),
            records,
            link_requests,
            f"among {few:,}",
            "ratio at most 1.1",
        ),
        Figure("B5", "lists and searches among all these", "store requests", wide, 0, "none", "0"),
        compared(
            "B5",
            f"a link read {among}",
            "us CPU",
            1e6,
            cost_many,
            cost_few,
            baseline_is=f"among {few:,}",
            goal="near 1",
        ),
    ]


def _requests(what: str, asked: Collection[int], records: int, least: float, least_is: str, goal: str = "") -> Figure:
    return Figure("B5", what, "store requests", len(asked) / records, least, least_is, goal)


@asynccontextmanager
async def both_on(azurite: str, sides: Sides) -> AsyncIterator[Sides]:
    """The same tables without the door, which would cost time of this process."""
    prefix = sides.package.table_name.removesuffix(TABLE)
    rows = AzureRows.from_connection_string(azurite, TABLES, prefix=prefix)
    yield Sides(rows, sides.package)
    await rows.aclose()


def _of(asked: Sequence[Sent], table: str) -> set[int]:
    """The requests about one table; all operations of a transaction are one."""
    return {one.request for one in asked if one.table.endswith(table)}


async def _edited(place: Place, links: Sequence[LinkRow], sent: list[Sent]) -> None:
    """An edit of each record; the requests are noted from now on."""
    await place.run(TO_ERP, links[0].key)
    await at_once([place.edit(link.key) for link in links])
    sent.clear()


async def _asked(place: Place, links: Sequence[LinkRow], sent: list[Sent]) -> Sequence[Sent]:
    """What an edit of each record makes its transfer ask of the store."""
    await _edited(place, links, sent)
    for link in links:
        _must_be_updates([await place.run(TO_ERP, link.key)])
    return tuple(sent)


async def _asked_together(place: Place, links: Sequence[LinkRow], sent: list[Sent]) -> Sequence[Sent]:
    """The same with one message for all."""
    await _edited(place, links, sent)
    _must_be_updates(await place.run_chunk(TO_ERP, [link.key for link in links]))
    return tuple(sent)


def _must_be_updates(outcomes: Sequence[str]) -> None:
    if set(outcomes) != {"updated"}:
        raise SystemExit("a transfer was no update; nothing can be counted")


async def _reading(sides: Sides, links: Sequence[LinkRow], rounds: int) -> list[float]:
    async def work() -> int:
        jobs = [sides.links.get(link.pair, link.side, link.key) for link in links for _ in range(IN_FLIGHT)]
        await at_once(jobs)
        return len(jobs)

    await work()  # connections
    return (await in_turn({"read": work}, rounds))["read"]


# --- all of it ------------------------------------------------------------------------------------


async def _measure(rounds: int, many: int, records: int, times: int) -> list[Figure]:
    azurite = shared_azurite()
    async with both(azurite) as sides:
        transfers, links = await _transfers(sides, rounds, records)
        operations = await _operations(sides, links, rounds, times)
        transactions = await _transactions(sides, links[0], rounds, max(1, times // 40))
    return [*operations, *transactions, *transfers, *await _growth(azurite, many, rounds, records)]


def measure(rounds: int, many: int = MANY, records: int = 100, times: int = SINGLES) -> list[Figure]:
    """Processor time of operations and of transfers, and what transfers ask for among few and many links."""
    return asyncio.run(_measure(rounds, many, records, times))


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tables", description=__doc__)
    parser.add_argument("--links", type=int, default=MANY, help=f"how many links there are in the end ({MANY})")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the median counts (7)")
    wish = parser.parse_args(arguments)
    print(table(measure(wish.rounds, wish.links)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
