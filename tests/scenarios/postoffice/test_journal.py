"""The journal: completed activities and notes of the CRM become entries of the customer's or cost centre's, once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.sync.outcome import Why
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import PARTIES, POOR, WHOLE, PostWorld, Sites, shipped

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])
KINDS = ("phone_call", "task", "appointment", "note")
DONE: Mapping[str, Mapping[str, Any]] = {
    "phonecall": {"statecode": 1, "statuscode": 2},
    "task": {"statecode": 1, "statuscode": 5},
    "appointment": {"statecode": 1, "statuscode": 3},
}


def world_of(site: Sites) -> PostWorld:
    """A world with customers, cost centres and their journals."""
    return PostWorld(
        site, shipped(*PARTIES, *(f"{owner}_{kind}" for owner in ("customer", "cost_centre") for kind in KINDS))
    )


async def parties(world: PostWorld) -> tuple[str, str]:
    """An account with a cost centre, both in PostOffice."""
    account = await world.new_account(name="Aurora Milling")
    centre = await world.crm.create("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account})
    await world.next_walk()
    return account, centre


async def activity(world: PostWorld, table: str, regarding: tuple[str, str], **values: Any) -> str:
    """An activity about a record, open at first and then completed."""
    about = {"subject": f"The {table}", "description": "About prices", "regardingobjectid": regarding}
    key = await world.crm.create(table, {**about, **values})
    await world.crm.edit(table, key, DONE[table])
    return key


async def note(world: PostWorld, regarding: tuple[str, str], **values: Any) -> str:
    """A note on a record."""
    return await world.crm.create("annotation", {"notetext": "About prices", "objectid": regarding, **values})


def entries(world: PostWorld, table: str = "customers") -> list[Mapping[str, Any]]:
    """All entries in the journals of a list's records, by subject."""
    found = [one for place, one in world.site.rows("journal").items() if place.startswith(f"{table}/")]
    return sorted(found, key=lambda one: str(one["subject"]))


@both
@virtually
async def test_completed_activities_and_notes_become_entries(site: Sites) -> None:
    """R-113: of accounts and of cost centres, with time, text and author; what is still open is not told yet."""
    async with world_of(site) as world:
        account, centre = await parties(world)
        at = datetime(2026, 3, 4, 9, tzinfo=UTC)
        for table in DONE:
            started = {"scheduledstart": at} if table == "appointment" else {}
            await activity(world, table, ("account", account), **started)
        await activity(world, "phonecall", ("cdock_costcentre", centre), subject=None)
        await note(world, ("account", account), subject="The note", notetext="<div>About <b>prices</b></div>")
        await note(world, ("cdock_costcentre", centre))
        await world.crm.create("task", {"subject": "Open", "regardingobjectid": ("account", account)})
        await world.next_walk()
        told = entries(world)
        subjects = ["The appointment", "The note", "The phonecall", "The task"]
        assert [(one["subject"], one["text"]) for one in told] == [(one, "About prices") for one in subjects]
        assert datetime.fromisoformat(told[0]["at"]) == at
        authors = {one["author"] for one in told}
        names = {row["fullname"] for row in world.crm.rows("systemuser").values()}
        assert len(authors) == 1
        assert authors <= names
        assert [(one["subject"], one["text"]) for one in entries(world, "cost-centres")] == [
            ("Note", "About prices"),
            ("Phone call", "About prices"),
        ]


@both
@virtually
async def test_an_entry_stays_as_it_was_written(site: Sites) -> None:
    """R-113: a later edit, another account and a delete in the CRM change nothing; the record's history says why."""
    async with world_of(site) as world:
        account, _ = await parties(world)
        other = await world.new_account(name="Borealis")
        await world.next_walk()
        key = await note(world, ("account", account), subject="The note")
        await world.next_walk()
        written = entries(world)
        await world.crm.edit("annotation", key, {"subject": "Other", "notetext": None})
        await world.next_walk()
        pair = world.pair_of_transfer("note_to_postoffice")
        newest = (await world.stores.journal.of_record(pair, Side.LEFT, key))[0]
        assert (newest.outcome, newest.reason) == ("unchanged", Why.IMMUTABLE.value)
        assert [(one.left, one.action) for one in newest.fields] == [("subject", "keep"), ("notetext", "keep")]
        world.forget_requests()
        await world.crm.edit("annotation", key, {"objectid": ("account", other)})
        await world.next_walk()
        await world.crm.delete("annotation", key)
        await world.next_walk()
        assert entries(world) == written
        assert [one["subject"] for one in written] == ["The note"]
        assert await world.parked("note_to_postoffice") == []


@both
@virtually
async def test_a_text_that_is_too_long_is_cut(site: Sites) -> None:
    """R-113: to what an entry holds; the record's history says so."""
    async with world_of(site) as world:
        account, _ = await parties(world)
        key = await note(world, ("account", account), subject="S" * 300, notetext="T" * 5000)
        await world.next_walk()
        (entry,) = entries(world)
        assert (len(entry["subject"]), len(entry["text"])) == (200, 4000)
        pair = world.pair_of_transfer("note_to_postoffice")
        (made,) = await world.stores.journal.of_record(pair, Side.LEFT, key)
        assert {one.left for one in made.fields if "cut to fit" in one.reason} == {"subject", "notetext"}


@both
@virtually
async def test_a_lost_answer_makes_no_second_entry(site: Sites) -> None:
    """R-113: where the site keeps no keys of repetition it is looked for, and "not there" counts only when the first
    one can no longer arrive."""
    async with world_of(site) as world:
        account, _ = await parties(world)
        for kind in (FaultKind.LOST_ANSWER, FaultKind.GATEWAY_TIMEOUT):
            world.site.faults.add(FaultRule(kind, "POST", "/journal", times=1))
            await note(world, ("account", account), subject=kind.value)
            await world.pass_time(minutes=30)
        assert [one["subject"] for one in entries(world)] == sorted(["gateway_timeout", "lost_answer"])


@both
@virtually
async def test_entries_wait_for_their_customer(site: Sites) -> None:
    """R-113: what was noted before the account became a customer comes along with it; of other records nothing goes."""
    async with world_of(site) as world:
        account = await world.new_account(name="Aurora Milling", cdock_nopostoffice=True)
        person = await world.crm.create("contact", {"lastname": "Muster"})
        await note(world, ("account", account), subject="Before")
        await note(world, ("contact", person), subject="Private")
        await world.next_walk()
        assert entries(world) == []
        await world.edit_account(account, cdock_nopostoffice=False)
        await world.next_walk()
        assert [one["subject"] for one in entries(world)] == ["Before"]
