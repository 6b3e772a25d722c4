"""Links and match claims: what happens when two want the same record, and when answers get lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.stores.stores import Stores
from shared.sync.ports import Claim, LinkRow, LinkState, MatchClaim, NeverMatch, PendingItem, RowTaken, Side
from tests.contract.domain_stores.fakes import START, WatchedRows

PAIR = "dataverse https://nordwind.crm4.dynamics.com account = business_central production/Nordwind & Co. customers"
KEY = "3f2b8c1e-0000-4000-8000-00000000a001"


def claimed(owner: str = "run-1", attempt: str = "attempt-1", key: str = KEY) -> LinkRow:
    claim = Claim(attempt=attempt, owner=owner, lease_until=START + timedelta(minutes=2), chosen="K10017")
    return LinkRow(pair=PAIR, side=Side.LEFT, key=key, state=LinkState.CREATING, claim=claim, generation=2)


def linked(row: LinkRow) -> LinkRow:
    return replace(
        row,
        state=LinkState.LINKED,
        other="b77e0000-0000-4000-8000-00000000b001",
        claim=None,
        left_version="",
        right_version='W/"JzQ0Ow=="',
        base="k1.3:Zm9v",
        linked_at=START,
        linked_by="match number",
    )


async def test_a_link_comes_back_as_it_was_written(stores: Stores) -> None:
    """From claim to link to tombstone: each state is read as it was written; an empty version is not an absent one."""
    claim = await stores.links.insert(claimed())
    assert await stores.links.get(PAIR, Side.LEFT, KEY) == claim

    link = await stores.links.replace(linked(claim))
    assert await stores.links.get(PAIR, Side.LEFT, KEY) == link
    assert (link.left_version, link.claim) == ("", None)

    tombstone = await stores.links.replace(
        replace(
            link, state=LinkState.UNLINKED, other="", left_version=None, generation=3, reason="unlinked by a person"
        )
    )
    assert await stores.links.get(PAIR, Side.LEFT, KEY) == tombstone
    assert len({claim.etag, link.etag, tombstone.etag}) == 3


async def test_nobody_has_a_row_before_the_first_claim(stores: Stores) -> None:
    """Neither the other side nor another pair nor another spelling of a key sees the row."""
    await stores.links.insert(claimed())
    assert await stores.links.get(PAIR, Side.RIGHT, KEY) is None
    assert await stores.links.get(PAIR + " ", Side.LEFT, KEY) is None
    assert await stores.links.get(PAIR, Side.LEFT, KEY.upper()) is None


async def test_of_many_who_claim_a_record_exactly_one_wins(stores: Stores) -> None:
    """Ten runs insert a claim at once: one gets it, nine are told to read again, and the row is the winner's."""
    runs = [stores.links.insert(claimed(owner=f"run-{number}", attempt=f"attempt-{number}")) for number in range(10)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    winners = [result for result in results if isinstance(result, LinkRow)]
    assert len(winners) == 1
    assert sum(isinstance(result, RowTaken) for result in results) == 9
    assert await stores.links.get(PAIR, Side.LEFT, KEY) == winners[0]


async def test_of_many_who_take_over_a_claim_exactly_one_wins(stores: Stores) -> None:
    """The lease has run out and ten runs take over the same attempt: the owner tells them apart."""
    old = await stores.links.insert(claimed())
    runs = [stores.links.replace(replace(claimed(owner=f"run-{number}"), etag=old.etag)) for number in range(2, 12)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert sum(isinstance(result, LinkRow) for result in results) == 1
    assert sum(isinstance(result, RowTaken) for result in results) == 9


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_a_claim_whose_answer_was_lost_is_ones_own(stores: Stores, rows: WatchedRows, way: str) -> None:
    """Whether the run repeats the insert or something on the way does: the run gets its claim, and may replace it."""
    claim = await _insisting(stores, rows, way, claimed())
    assert await stores.links.get(PAIR, Side.LEFT, KEY) == claim
    link = await _insisting(stores, rows, way, linked(claim))
    assert await stores.links.get(PAIR, Side.LEFT, KEY) == link


async def _insisting(stores: Stores, rows: WatchedRows, way: str, row: LinkRow) -> LinkRow:
    write = stores.links.replace if row.etag else stores.links.insert
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await write(row)
    return await write(row)


async def test_a_claim_that_another_took_over_after_the_lost_answer_is_not_ones_own(
    stores: Stores, rows: WatchedRows
) -> None:
    """The insert was done, its answer lost, the lease ran out: the first owner must learn that it is too late."""
    rows.lose = 1
    with pytest.raises(StoreUnavailable):
        await stores.links.insert(claimed())
    there = await stores.links.get(PAIR, Side.LEFT, KEY)
    assert there is not None
    await stores.links.replace(replace(claimed(owner="run-2"), etag=there.etag))
    with pytest.raises(RowTaken):
        await stores.links.insert(claimed())


async def test_a_replace_of_a_row_that_changed_or_went_is_refused(stores: Stores) -> None:
    """An etag from before the change, and one from before the delete, win nothing."""
    first = await stores.links.insert(claimed())
    second = await stores.links.replace(linked(first))
    with pytest.raises(RowTaken):
        await stores.links.replace(replace(first, write_back=True))
    with pytest.raises(RowTaken):
        await stores.links.delete(first)
    await stores.links.delete(second)
    await stores.links.delete(second)
    with pytest.raises(RowTaken):
        await stores.links.replace(second)


async def test_a_replace_without_an_etag_is_a_fault_of_the_caller(stores: Stores) -> None:
    """A row made by hand has nothing to compare; the text says what to do."""
    with pytest.raises(ValueError, match="etag is empty"):
        await stores.links.replace(claimed())


async def test_links_are_paged_in_a_fixed_order(stores: Stores) -> None:
    """Every row comes once, page by page, whatever characters the keys have."""
    keys = ["10000", "10000A", "K 17", "Ö/3", "#?%", "a|b", "~"]
    for key in keys:
        await stores.links.insert(claimed(key=key))
    seen: list[str] = []
    while page := await stores.links.page(PAIR, Side.LEFT, seen[-1] if seen else None, limit=3):
        seen += [row.key for row in page]
    assert sorted(seen) == sorted(keys)
    assert await stores.links.page(PAIR, Side.RIGHT) == []


def match(attempt: str, side: Side = Side.LEFT, key: str = KEY) -> MatchClaim:
    return MatchClaim(PAIR, "vat_number", "9f86d081884c7d65", side, key, attempt)


async def test_the_same_company_born_on_both_sides_meets_itself(stores: Stores) -> None:
    """Both sides claim the match key at once: one wins, the other is told, and sees who it is."""
    claims = [match("attempt-left"), match("attempt-right", Side.RIGHT, "10017")]
    results = await asyncio.gather(*map(stores.match_claims.insert, claims), return_exceptions=True)
    winners = [result for result in results if isinstance(result, MatchClaim)]
    assert len(winners) == 1
    assert any(isinstance(result, RowTaken) for result in results)
    assert await stores.match_claims.get(PAIR, "vat_number", "9f86d081884c7d65") == winners[0]


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_a_match_claim_whose_answer_was_lost_is_ones_own(stores: Stores, rows: WatchedRows, way: str) -> None:
    """Insert and take-over may both be repeated."""
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.match_claims.insert(match("attempt-1"))
    first = await stores.match_claims.insert(match("attempt-1"))
    taken = replace(match("attempt-2"), etag=first.etag)
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.match_claims.replace(taken)
    second = await stores.match_claims.replace(taken)
    assert await stores.match_claims.get(PAIR, "vat_number", "9f86d081884c7d65") == second


async def test_a_match_claim_taken_over_is_not_removed_by_its_former_owner(stores: Stores) -> None:
    """Removing is for the owner; for everybody else, and the second time, nothing happens."""
    first = await stores.match_claims.insert(match("attempt-1"))
    second = await stores.match_claims.replace(replace(match("attempt-2"), etag=first.etag))
    await stores.match_claims.delete(first)
    assert await stores.match_claims.get(PAIR, "vat_number", "9f86d081884c7d65") == second
    await stores.match_claims.delete(second)
    await stores.match_claims.delete(second)
    assert await stores.match_claims.get(PAIR, "vat_number", "9f86d081884c7d65") is None


async def test_a_store_that_does_not_answer_is_called_so(stores: Stores, rows: WatchedRows) -> None:
    """The engine sees the error of the port, never one of the row store."""
    rows.down = True
    with pytest.raises(StoreUnavailable):
        await stores.links.get(PAIR, Side.LEFT, KEY)
    with pytest.raises(StoreUnavailable):
        await stores.match_claims.insert(match("attempt-1"))


async def test_two_records_are_kept_apart_until_somebody_allows_them_again(stores: Stores) -> None:
    """Only these two: neither another record of either side nor the same keys in another pair."""
    apart = NeverMatch(PAIR, KEY, "10000", START, "ticket-7", "another branch of the company")
    await stores.never_match.put(apart)
    await stores.never_match.put(replace(apart, reason="said again"))
    assert await stores.never_match.has(PAIR, KEY, "10000")
    assert not await stores.never_match.has(PAIR, KEY, "10001")
    assert not await stores.never_match.has("another pair", KEY, "10000")
    assert await stores.never_match.of(PAIR, KEY) == [replace(apart, reason="said again")]
    assert await stores.never_match.remove(PAIR, KEY, "10000")
    assert not await stores.never_match.remove(PAIR, KEY, "10000")
    assert await stores.never_match.of(PAIR, KEY) == []


async def test_a_related_record_waits_beside_one_of_the_pair_with_the_same_key(stores: Stores) -> None:
    """The table belongs to the key: an opportunity's and an account's key may be spelled alike."""
    own = PendingItem("transfer", Side.LEFT, "4711", START, "a system is down", "c")
    related = replace(own, table="opportunity")
    for item in (own, related):
        await stores.pending.put(item)
    found = await stores.pending.page("transfer")
    assert sorted((item.table, item.key) for item in found) == [("", "4711"), ("opportunity", "4711")]
    kept = await stores.pending.get("transfer", Side.LEFT, "4711", "opportunity")
    assert kept is not None
    assert await stores.pending.remove(kept)
    assert await stores.pending.get("transfer", Side.LEFT, "4711", "opportunity") is None
    assert await stores.pending.get("transfer", Side.LEFT, "4711") is not None
