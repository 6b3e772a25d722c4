"""Journal, parked and pending items: what remains of runs, and comes back complete."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import StoreUnavailable
from shared.stores.journal import MAX_FIELDS_LENGTH, MORE
from shared.stores.pending import BUCKETS, bucket_of
from shared.stores.stores import Stores
from shared.sync.ports import FieldDecision, JournalEntry, ParkedItem, PendingItem, Side
from tests.contract.domain_stores.fakes import START, WatchedRows

TRANSFER = "account_to_business_central"
NAME = FieldDecision("name", "displayName", "write", "master dataverse", "k1:aaaa", "k1:bbbb")


def entry(run: str, minutes: float = 0, key: str = "A-1", **more: object) -> JournalEntry:
    made = JournalEntry(
        run=run,
        at=START + timedelta(minutes=minutes),
        transfer=TRANSFER,
        pair="account = customers",
        side=Side.LEFT,
        key=key,
        other="10017",
        outcome="updated",
        reason="changed",
        fields=(NAME,),
    )
    return replace(made, **more)  # type: ignore[arg-type]  # the names are those of the dataclass


async def test_the_journal_of_a_record_begins_with_the_newest_entry(stores: Stores) -> None:
    """Entries of several records are written in one call, in any order; microseconds count."""
    old, middle, new = entry("run-1"), entry("run-2", 1e-7), entry("run-3", 60 * 24)
    await stores.journal.write([middle, new, old, entry("run-4", key="A-2"), replace(entry("run-5"), side=Side.RIGHT)])
    assert list(await stores.journal.of_record("account = customers", Side.LEFT, "A-1")) == [new, middle, old]
    assert list(await stores.journal.of_record("account = customers", Side.LEFT, "A-1", limit=1)) == [new]
    assert len(await stores.journal.of_record("account = customers", Side.RIGHT, "A-1")) == 1


async def test_a_run_that_is_written_again_replaces_its_entry(stores: Stores) -> None:
    """At the same time or later: reading shows the run once, as it ended."""
    await stores.journal.write([entry("run-1"), entry("run-2", 1)])
    await stores.journal.write([entry("run-1", outcome="parked", code="CD-1008", field="name")])
    later = entry("run-1", 2, outcome="updated", cause="retry", attempt=1, correlation_id="c-1")
    await stores.journal.write([later])
    found = await stores.journal.of_record("account = customers", Side.LEFT, "A-1")
    assert list(found) == [later, entry("run-2", 1)]


async def test_the_counts_of_a_day_come_back_as_they_were(stores: Stores) -> None:
    """Their names are words of people, with blanks."""
    day = entry("run-1", key="2026-03-01", fields=(), counts={"created": 3, "customers not linked": 2})
    await stores.journal.write([day])
    assert list(await stores.journal.of_record("account = customers", Side.LEFT, "2026-03-01")) == [day]


async def test_entries_without_fields_have_none_when_read(stores: Stores) -> None:
    """Nothing decided about fields is an empty list."""
    await stores.journal.write([entry("run-1", fields=())])
    assert (await stores.journal.of_record("account = customers", Side.LEFT, "A-1"))[0].fields == ()
    await stores.journal.write([])


async def test_a_list_of_decisions_that_is_too_long_says_how_many_are_missing(stores: Stores) -> None:
    """The entry is kept, cut at a whole decision, and the last one counts the rest."""
    decisions = tuple(replace(NAME, left=f"col_{number}", reason="Grund: ä" * 5) for number in range(1000))
    await stores.journal.write([entry("run-1", fields=decisions)])
    kept = (await stores.journal.of_record("account = customers", Side.LEFT, "A-1"))[0].fields
    assert kept[-1].action == MORE
    assert tuple(kept[:-1]) == decisions[: len(kept) - 1]
    assert int(kept[-1].reason) == 1000 - (len(kept) - 1)
    assert len(kept) > MAX_FIELDS_LENGTH / 200


async def test_long_journals_are_read_page_by_page(stores: Stores) -> None:
    """More entries than one page of the row store."""
    await stores.journal.write([entry(f"run-{number}", number) for number in range(130)])
    found = await stores.journal.of_record("account = customers", Side.LEFT, "A-1", limit=120)
    assert [one.run for one in found] == [f"run-{number}" for number in range(129, 9, -1)]


async def test_a_journal_that_cannot_be_written_says_so_once(stores: Stores, rows: WatchedRows) -> None:
    """The caller gets the error of the port; writing all again completes it and doubles nothing."""
    rows.lose = 1
    entries = [entry("run-1", key=f"A-{number}") for number in range(20)]
    with pytest.raises(StoreUnavailable):
        await stores.journal.write(entries)
    await stores.journal.write(entries)
    for number in range(20):
        assert len(await stores.journal.of_record("account = customers", Side.LEFT, f"A-{number}")) == 1


async def test_the_entries_of_a_chunk_go_out_together(stores: Stores, rows: WatchedRows) -> None:
    """A request for each hundred of a side; one entry alone needs no transaction."""
    await stores.journal.write([entry("run-1", key=f"A-{number}") for number in range(101)])
    assert rows.asked == ["transact", "upsert"]
    rows.asked.clear()
    left = [entry("run-2", key=f"A-{number}") for number in range(2)]
    await stores.journal.write([*left, replace(entry("run-2", key="C-1"), side=Side.RIGHT)])
    assert rows.asked == ["transact", "upsert"]
    found = await stores.journal.of_record("account = customers", Side.LEFT, "A-1")
    assert [one.run for one in found] == ["run-1", "run-2"]
    assert len(await stores.journal.of_record("account = customers", Side.RIGHT, "C-1")) == 1


async def test_entries_that_are_too_long_for_one_transaction_go_out_in_several(
    stores: Stores, rows: WatchedRows
) -> None:
    """Each as long as an entry may be: a chunk of them has six megabytes, a transaction takes one."""
    decisions = tuple(replace(NAME, left=f"col_{number}", reason="why" * 5) for number in range(1000))
    await stores.journal.write([entry("run-1", key=f"A-{number}", fields=decisions) for number in range(100)])
    assert set(rows.asked) == {"transact"}
    assert 6 <= len(rows.asked) <= 10
    for number in (0, 50, 99):
        assert len(await stores.journal.of_record("account = customers", Side.LEFT, f"A-{number}")) == 1


async def test_records_whose_keys_begin_alike_have_journals_of_their_own(stores: Stores) -> None:
    """They stand next to each other in one partition."""
    keys = ["A", "A-1", "A-10", "A|1", "A~1", "A1", ""]
    await stores.journal.write([entry("run-1", key=key) for key in keys])
    for key in keys:
        assert [one.key for one in await stores.journal.of_record("account = customers", Side.LEFT, key)] == [key]


def parked(key: str, side: Side = Side.LEFT) -> ParkedItem:
    return ParkedItem(
        transfer=TRANSFER,
        side=side,
        key=key,
        code="CD-1008",
        sentence="The system refuses the record.",
        who="whoever keeps the record",
        remedy="Correct the named field in the source.",
        field="displayName",
        first_at=START,
        last_at=START,
        times=1,
        correlation_id="c-1",
        run="run-1",
    )


async def test_a_parked_record_waits_until_it_is_taken_off_the_list(stores: Stores) -> None:
    """Parking again updates the item; taking off works once."""
    await stores.parked.put(parked("A-1"))
    again = replace(parked("A-1"), times=2, last_at=START + timedelta(hours=1), others=("10017", "10018"))
    await stores.parked.put(again)
    assert await stores.parked.get(TRANSFER, Side.LEFT, "A-1") == again
    assert await stores.parked.get(TRANSFER, Side.RIGHT, "A-1") is None
    assert await stores.parked.remove(TRANSFER, Side.LEFT, "A-1")
    assert not await stores.parked.remove(TRANSFER, Side.LEFT, "A-1")
    assert await stores.parked.get(TRANSFER, Side.LEFT, "A-1") is None


async def test_the_work_list_is_paged(stores: Stores) -> None:
    """Every item once, both sides, and none of another transfer."""
    items = [parked(f"A/{number}", side) for number in range(5) for side in Side]
    for item in items:
        await stores.parked.put(item)
    await stores.parked.put(replace(parked("A-1"), transfer="customer_to_dataverse"))
    seen: list[ParkedItem] = []
    while page := await stores.parked.page(TRANSFER, f"{seen[-1].side}/{seen[-1].key}" if seen else None, limit=3):
        seen += page
    assert sorted(seen, key=repr) == sorted(items, key=repr)


@pytest.mark.parametrize("after", ["A-1", "left/", "middle/A-1"])
async def test_a_place_that_is_none_is_refused(stores: Stores, after: str) -> None:
    """The text says how a place looks."""
    with pytest.raises(ValueError, match="left/<key>"):
        await stores.parked.page(TRANSFER, after)
    with pytest.raises(ValueError, match="left/<key>"):
        await stores.pending.page(TRANSFER, after)


def waiting(key: str, side: Side = Side.LEFT, minutes: int = 0) -> PendingItem:
    return PendingItem(TRANSFER, side, key, START + timedelta(minutes=minutes), "breaker", f"c-{minutes}")


async def test_a_thousand_changes_of_a_record_wait_as_one(stores: Stores) -> None:
    """It waits since the first, names the last, and each one gives it a new etag, also when nothing else differs."""
    await stores.pending.put(waiting("A-1"))
    first = await stores.pending.get(TRANSFER, Side.LEFT, "A-1")
    await stores.pending.put(waiting("A-1", minutes=5))
    second = await stores.pending.get(TRANSFER, Side.LEFT, "A-1")
    await stores.pending.put(waiting("A-1", minutes=5))
    third = await stores.pending.get(TRANSFER, Side.LEFT, "A-1")
    assert first is not None
    assert second is not None
    assert third is not None
    assert (third.since, third.correlation_id) == (START, "c-5")
    assert len({first.etag, second.etag, third.etag}) == 3


async def test_the_last_editor_waits_with_the_change(stores: Stores) -> None:
    """In whatever order the notices come, one after another or at once; a change without one does not take him away."""
    edits = [f"2026-03-02T12:00:0{second}.000+00:00 user-{second}" for second in (1, 3, 2)]
    await stores.pending.put(replace(waiting("A-1"), editor=edits[0]))
    await asyncio.gather(*(stores.pending.put(replace(waiting("A-1"), editor=one)) for one in edits))
    await stores.pending.put(waiting("A-1"))
    item = await stores.pending.get(TRANSFER, Side.LEFT, "A-1")
    assert item is not None
    assert item.editor == max(edits)


async def test_a_persons_word_waits_with_the_record(stores: Stores) -> None:
    """Whatever else is told of the record before or after, also at once."""
    word = replace(waiting("A-1"), cause="take over by ann")
    await stores.pending.put(waiting("A-1"))
    await asyncio.gather(*(stores.pending.put(one) for one in (waiting("A-1"), word, waiting("A-1"))))
    await stores.pending.put(waiting("A-1"))
    item = await stores.pending.get(TRANSFER, Side.LEFT, "A-1")
    assert item is not None
    assert item.cause == "take over by ann"


async def test_a_drain_never_removes_news(stores: Stores) -> None:
    """A change that comes while the record is being drained stays; without one the item goes, also twice."""
    await stores.pending.put(waiting("A-1"))
    item = (await stores.pending.page(TRANSFER))[0]
    await stores.pending.put(waiting("A-1", minutes=1))
    assert not await stores.pending.remove(item)
    news = (await stores.pending.page(TRANSFER))[0]
    assert await stores.pending.remove(news)
    assert await stores.pending.remove(news)
    assert await stores.pending.page(TRANSFER) == []
    await stores.pending.put(waiting("A-1", minutes=2))
    assert not await stores.pending.remove(news)


async def test_changes_and_drains_at_the_same_time_lose_nothing(stores: Stores) -> None:
    """While a drain removes what it read, the same keys wait again: whatever was not read with its etag is there."""
    for number in range(8):
        await stores.pending.put(waiting(f"A-{number}"))
    page = await stores.pending.page(TRANSFER)
    puts = [stores.pending.put(waiting(f"A-{number}", minutes=1)) for number in range(8) for _ in range(3)]
    await asyncio.gather(*map(stores.pending.remove, page), *puts)
    left = await stores.pending.page(TRANSFER)
    assert len(left) == 8
    assert all(item.correlation_id == "c-1" for item in left)


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_a_change_whose_answer_was_lost_waits(stores: Stores, rows: WatchedRows, way: str) -> None:
    """New or waiting already: putting it again is harmless."""
    for minutes in (0, 1):
        setattr(rows, way, 1)
        if way == "lose":
            with pytest.raises(StoreUnavailable):
                await stores.pending.put(waiting("A-1", minutes=minutes))
        await stores.pending.put(waiting("A-1", minutes=minutes))
    item = await stores.pending.get(TRANSFER, Side.LEFT, "A-1")
    assert item is not None
    assert (item.since, item.correlation_id) == (START, "c-1")


async def test_the_pages_of_pending_items_go_through_all_buckets(stores: Stores) -> None:
    """Whatever the page's size, every item comes once, and an outage's items are spread."""
    items = [waiting(f"A-{number}", side) for number in range(30) for side in Side]
    for item in items:
        await stores.pending.put(item)
    assert len({bucket_of(item.side, item.key) for item in items}) > BUCKETS / 2
    for limit in (1, 7, 60, 100):
        seen: list[PendingItem] = []
        while page := await stores.pending.page(TRANSFER, f"{seen[-1].side}/{seen[-1].key}" if seen else None, limit):
            seen += page
        assert sorted(f"{item.side}/{item.key}" for item in seen) == sorted(f"{one.side}/{one.key}" for one in items)


async def test_a_record_is_found_in_the_bucket_of_earlier_versions() -> None:
    """The hash is part of what is stored: changing it would lose sight of waiting rows."""
    buckets = [bucket_of(side, key) for key in ("A-1", "10017", "Ö/3") for side in Side]
    assert buckets == [9, 5, 7, 9, 8, 3]


async def test_a_report_of_any_length_comes_back_whole_and_replaces_the_one_before(stores: Stores) -> None:
    """Packed into as many properties as it needs; one that is too long even so is refused, and the old one stays."""
    assert await stores.reports.get("schema") is None
    noise = _noise(8_000)
    for text in (noise, "short, with ü", ""):
        await stores.reports.put("schema", text)
        assert await stores.reports.get("schema") == text
    assert await stores.reports.get("other/name?") is None
    with pytest.raises(ValueError, match="shorter"):
        await stores.reports.put("schema", _noise(40_000))
    assert await stores.reports.get("schema") == ""


def _noise(parts: int) -> str:
    """A text that packing makes only half as long."""
    return "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(parts))
