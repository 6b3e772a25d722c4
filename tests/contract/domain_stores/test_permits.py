"""Permits: what processes hold of an identity's limits, written by condition, so that nobody takes what is taken."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.stores.permits import MOST_HOLDS
from shared.stores.rows import encode_key
from shared.stores.stores import Stores
from shared.sync.ports import Hold, PermitRow, RowTaken
from tests.contract.domain_stores.fakes import START, WatchedRows

IDENTITY = "business_central/api.businesscentral.dynamics.com/Production/11111111-1111-4111-8111-111111111111"


def hold(holder: str, permits: int = 2) -> Hold:
    return Hold(holder, permits, 5, 594, 1188, START + timedelta(seconds=45))


async def test_holds_come_back_as_they_were_written(stores: Stores) -> None:
    """Nobody holds anything at first; then everything comes back, with and without a closed gate."""
    assert await stores.permits.get(IDENTITY) == PermitRow(IDENTITY)
    holds = (hold("process-1"), replace(hold("process-2"), closed_until=START + timedelta(minutes=3)))
    written = await stores.permits.put(PermitRow(IDENTITY, holds))
    assert await stores.permits.get(IDENTITY) == written
    assert written.holds == holds
    emptied = await stores.permits.put(replace(written, holds=()))
    assert await stores.permits.get(IDENTITY) == emptied


async def test_of_many_who_take_at_once_one_does(stores: Stores) -> None:
    """The others are told to read again, before and after there is a row."""
    for etag in ("", (await stores.permits.put(PermitRow("another"))).etag):
        name = "another" if etag else IDENTITY
        rows = [PermitRow(name, (hold(f"process-{number}"),), etag) for number in range(8)]
        results = await asyncio.gather(*map(stores.permits.put, rows), return_exceptions=True)
        assert sum(isinstance(result, PermitRow) for result in results) == 1
        assert sum(isinstance(result, RowTaken) for result in results) == 7


async def test_identities_do_not_disturb_each_other(stores: Stores) -> None:
    """Each has a row of its own."""
    await stores.permits.put(PermitRow("one", (hold("process-1"),)))
    assert (await stores.permits.get("another")).holds == ()


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_holds_whose_answer_was_lost_may_be_put_again(stores: Stores, rows: WatchedRows, way: str) -> None:
    """The process finds its own hold there."""
    row = await stores.permits.put(PermitRow(IDENTITY, (hold("process-1"),)))
    setattr(rows, way, 1)
    mine = replace(row, holds=(hold("process-1", 3),))
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.permits.put(mine)
    assert await stores.permits.put(mine) == await stores.permits.get(IDENTITY)


async def test_a_full_row_and_a_damaged_one_are_told(stores: Stores, rows: WatchedRows) -> None:
    """The row keeps a size that Azure Tables take; what cannot be read is not guessed."""
    await stores.permits.put(PermitRow(IDENTITY, tuple(hold(f"{number:032d}") for number in range(MOST_HOLDS))))
    with pytest.raises(StoreUnavailable, match="More than"):
        await stores.permits.put(PermitRow("full", tuple(hold(str(number)) for number in range(MOST_HOLDS + 1))))
    for text in ("[[1]]", "none", '[["a",1,1,1,1,"yesterday",null]]'):
        await rows.upsert("permits", encode_key(IDENTITY), "holds", {"holds": text})
        with pytest.raises(StoreUnavailable, match="damaged"):
            await stores.permits.get(IDENTITY)


async def test_a_hold_of_a_newer_version_is_read_as_far_as_it_is_known(stores: Stores, rows: WatchedRows) -> None:
    """During a deployment two versions share the row."""
    text = '[["process-1",2,5,594,1188,"2026-03-02T08:30:45.250000+00:00",null,"more"]]'
    await rows.upsert("permits", encode_key(IDENTITY), "holds", {"holds": text})
    assert (await stores.permits.get(IDENTITY)).holds == (hold("process-1"),)
