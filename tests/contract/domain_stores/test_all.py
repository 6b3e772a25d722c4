"""What holds for all domain stores: the way of a transfer never lists, and every row survives the round trip."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import StoreUnavailable
from shared.stores.rows import Properties, encode_key
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, Stores, open_stores
from shared.sync.ports import (
    Candidate,
    Claim,
    EnvironmentRow,
    FieldDecision,
    Hold,
    JournalEntry,
    LinkRow,
    LinkState,
    MatchClaim,
    ParkedItem,
    PendingItem,
    PermitRow,
    Side,
    Watermark,
)
from tests.contract.domain_stores.fakes import START, HandClock, WatchedRows


async def test_the_way_of_a_transfer_never_lists(stores: Stores, rows: WatchedRows) -> None:
    """Azure Table storage answers a list by reading a partition; a transfer asks by partition and key only."""
    await _transfer(stores)
    assert rows.asked
    assert set(rows.asked) <= {"get", "insert", "replace", "upsert", "delete"}


_hold = Hold("process-1", 3, 5, 594, 1188, START)


async def _transfer(stores: Stores) -> None:
    """Everything that a transfer may ask of the stores, once."""
    mode = await stores.modes.get("account_to_business_central")
    await stores.modes.put(mode)
    await stores.site_modes.put(await stores.site_modes.get("postoffice", "dataverse"))
    await stores.environments.put(EnvironmentRow("dataverse", "nordwind"))
    await stores.environments.get("dataverse")
    breaker = await stores.breakers.get("dataverse", "nordwind")
    await stores.breakers.put(breaker)
    claim = Claim("attempt", "run", START)
    row = await stores.links.insert(LinkRow("pair", Side.LEFT, "A-1", LinkState.CREATING, claim=claim))
    await stores.links.get("pair", Side.RIGHT, "10017")
    match = await stores.match_claims.insert(MatchClaim("pair", "rule", "hash", Side.LEFT, "A-1", "attempt"))
    await stores.match_claims.get("pair", "rule", "hash")
    await stores.numbers.next("customers")
    await stores.counters.add("creates", "hour", 1)
    await stores.counters.read("creates", "hour")
    row = await stores.links.replace(dataclasses.replace(row, state=LinkState.LINKED, claim=None))
    await stores.match_claims.replace(match)
    await stores.match_claims.delete(match)
    await stores.pending.put(PendingItem("transfer", Side.LEFT, "A-1", START, "breaker", "c"))
    item = await stores.pending.get("transfer", Side.LEFT, "A-1")
    assert item is not None
    await stores.pending.remove(item)
    await stores.parked.put(_parked(()))
    await stores.parked.get("transfer", Side.LEFT, "A-1")
    await stores.parked.remove("transfer", Side.LEFT, "A-1")
    await stores.journal.write([_entry(())])
    mark = await stores.watermarks.put("account", Watermark("1"))
    await stores.watermarks.put("account", mark)
    held = await stores.permits.put(PermitRow("business_central/one", (_hold,)))
    await stores.permits.put(held)
    await stores.permits.get("business_central/one")
    await stores.links.delete(row)


async def test_a_damaged_row_is_named_and_not_guessed(stores: Stores, rows: WatchedRows) -> None:
    """A property of a wrong type, an unknown word and a missing one: each is an error that names it."""
    place = "links", encode_key("pair", "left"), encode_key("A-1")
    damaged: list[tuple[Properties, str]] = [
        ({"state": "linked", "generation": "2"}, "generation"),
        ({"state": "linked", "generation": True}, "generation"),
        ({"state": "married"}, "state"),
        ({"generation": 1}, "state"),
        ({"state": "creating", "claim_attempt": "1", "claim_owner": "run"}, "claim_lease_until"),
    ]
    for properties, name in damaged:
        await rows.upsert(*place, properties)
        with pytest.raises(StoreUnavailable, match=name):
            await stores.links.get("pair", Side.LEFT, "A-1")


async def test_properties_of_a_newer_version_are_ignored(stores: Stores, rows: WatchedRows) -> None:
    """During a deployment two versions share the tables."""
    await rows.upsert("links", encode_key("pair", "left"), encode_key("A-1"), {"state": "linked", "colour": "blue"})
    row = await stores.links.get("pair", Side.LEFT, "A-1")
    assert row is not None
    assert row.state is LinkState.LINKED


def test_every_store_has_its_own_table() -> None:
    """As many names that a row store takes as there are stores."""
    assert len(set(TABLES)) == len(TABLES) == len(dataclasses.fields(Stores))


# --- round trips

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis takes naive bounds
_maybe_moments = st.none() | _moments
_sides = st.sampled_from(Side)
_claims = st.builds(Claim, _texts, _texts, _moments, st.booleans(), _maybe_moments, _texts, _texts)
_versions = st.none() | _texts
_links = st.builds(
    LinkRow,
    pair=_texts,
    side=_sides,
    key=_keys,
    state=st.sampled_from(LinkState),
    other=_texts,
    generation=st.integers(0, 2**40),
    claim=st.none() | _claims,
    left_version=_versions,
    right_version=_versions,
    base=_texts,
    write_back=st.booleans(),
    parked=st.text(),
    linked_at=_maybe_moments,
    linked_by=_texts,
    reason=_texts,
)
_decisions = st.builds(FieldDecision, _texts, _texts, _texts, _texts, _texts, _texts)


def _entry(fields: tuple[FieldDecision, ...], at: datetime = START, key: str = "A-1") -> JournalEntry:
    return JournalEntry("run", at, "transfer", "pair", Side.LEFT, key, "", "created", "", fields=fields)


_CANDIDATES = (Candidate("10017", 92, ("displayName 88", "postalCode 100")), Candidate("10018", 0))


def _parked(others: tuple[str, ...], key: str = "A-1") -> ParkedItem:
    return ParkedItem(
        "transfer", Side.LEFT, key, "CD-1008", "s", "w", "r", "f", START, START, 1, "c", "run", others, _CANDIDATES
    )


@asynccontextmanager
async def _fresh() -> AsyncIterator[Stores]:
    rows = SqliteRows(":memory:", TABLES, environment={})
    await rows.prepare()
    yield open_stores(rows, HandClock())
    await rows.aclose()


@settings(max_examples=60, deadline=None)
@given(row=_links)
async def test_any_link_survives_the_round_trip(row: LinkRow) -> None:
    """Whatever the texts hold, absent or empty; the page decodes the same row from its keys."""
    async with _fresh() as stores:
        written = await stores.links.insert(row)
        assert await stores.links.get(row.pair, row.side, row.key) == written
        assert list(await stores.links.page(row.pair, row.side)) == [written]
        assert dataclasses.replace(written, etag="") == row


@settings(max_examples=40, deadline=None)
@given(fields=st.lists(_decisions, max_size=5), at=_moments, key=_keys, others=st.lists(_keys, max_size=3))
async def test_any_journal_entry_and_parked_item_survives_the_round_trip(
    fields: list[FieldDecision], at: datetime, key: str, others: list[str]
) -> None:
    """Lists come back as tuples of the same parts."""
    entry, item = _entry(tuple(fields), at, key), _parked(tuple(others), key)
    async with _fresh() as stores:
        await stores.journal.write([entry])
        await stores.parked.put(item)
        assert list(await stores.journal.of_record("pair", Side.LEFT, key)) == [entry]
        assert list(await stores.parked.page("transfer")) == [item]


@settings(max_examples=40, deadline=None)
@given(times=st.lists(_moments, min_size=2, max_size=6, unique=True))
async def test_the_journal_is_ordered_for_any_times(times: list[datetime]) -> None:
    """The newest first, from 1970 to 2200."""
    async with _fresh() as stores:
        entries = [dataclasses.replace(_entry((), at), run=f"run-{number}") for number, at in enumerate(times)]
        await stores.journal.write(entries)
        found = [entry.at for entry in await stores.journal.of_record("pair", Side.LEFT, "A-1")]
    assert found == sorted(times, reverse=True)
