"""Numbers and counters: nothing is handed out twice and nothing is lost when several count at once."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import StoreUnavailable
from shared.stores.numbers import NumbersStore
from shared.stores.stores import Stores, open_stores
from tests.contract.domain_stores.fakes import HandClock, WatchedRows


async def test_a_series_begins_with_one_and_stands_for_itself(stores: Stores) -> None:
    """Two series do not know each other."""
    assert [await stores.numbers.next("customers") for _ in range(3)] == [1, 2, 3]
    assert await stores.numbers.next("items / spare parts") == 1


async def test_processes_that_share_a_series_never_get_the_same_number(rows: WatchedRows, clock: HandClock) -> None:
    """Four processes take four numbers each at the same time, one of them in blocks of five."""
    processes = [open_stores(rows, clock).numbers for _ in range(3)] + [NumbersStore(rows, clock, block=5)]
    numbers = await asyncio.gather(*(numbers.next("customers") for numbers in processes * 4))
    assert len(set(numbers)) == 16


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_a_lost_answer_leaves_a_gap_and_never_a_double(stores: Stores, rows: WatchedRows, way: str) -> None:
    """The number whose answer was lost may have been taken: the next one is greater."""
    first = await stores.numbers.next("customers")
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.numbers.next("customers")
    second = await stores.numbers.next("customers")
    assert second > first


async def test_a_block_of_less_than_one_is_refused(rows: WatchedRows, clock: HandClock) -> None:
    """The text names the field."""
    with pytest.raises(ValueError, match="block is 0"):
        NumbersStore(rows, clock, block=0)


async def test_counts_of_several_runs_add_up(rows: WatchedRows, clock: HandClock) -> None:
    """Twenty additions at once from four processes are all in the sum; other windows and names are untouched."""
    processes = [open_stores(rows, clock).counters for _ in range(4)]
    sums = await asyncio.gather(*(counters.add("creates", "2026-03-02T08", 2) for counters in processes * 5))
    assert sorted(sums) == list(range(2, 42, 2))
    assert await processes[0].read("creates", "2026-03-02T08") == 40
    assert await processes[0].read("creates", "2026-03-02T09") == 0
    assert await processes[0].read("changes", "2026-03-02T08") == 0


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_a_lost_answer_counts_at_least_once(stores: Stores, rows: WatchedRows, way: str) -> None:
    """A brake may come too early, never too late."""
    await stores.counters.add("creates", "hour", 1)
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.counters.add("creates", "hour", 1)
    tries = 3 if way == "lose" else 2
    assert await stores.counters.add("creates", "hour", 1) >= tries
