"""The full compare: what neither a notice nor a feed has told is found by looking at everything, page by page."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sandbox.business_central import BusinessCentralOptions
from shared.sync.feed_tasks import FeedTask, Task
from shared.sync.ports import CompareRow, LinkState, Side, Switch
from tests.scenarios.account_customer.world import (
    COMPANY,
    TO_CRM,
    TO_ERP,
    RealWorld,
    Setup,
    definition_text,
    virtually,
)


def deaf(hooks: bool = False, **options: int) -> Setup:
    """Nobody tells us anything, or only notices do; no walk by the clock."""
    text = definition_text().replace("    walk: every 5 minutes\n", "")
    return Setup(hooks=hooks, text=text, erp=BusinessCentralOptions(**options))  # type: ignore[arg-type]  # whole numbers only


async def compare(world: RealWorld) -> CompareRow:
    """The nightly compare, to its end."""
    await (await world.apps[0].engine()).compares.begin_all()
    await world.settle()
    row = await world.stores.compares.get(world.pair)
    assert (row.run, row.code) == ("", "")
    return row


async def linked_pairs(world: RealWorld, *names: str) -> dict[str, tuple[str, str]]:
    """Qualified accounts with their customers, brought together by compares alone."""
    made = {name: await world.new_account(name=name, cdock_stage="qualified") for name in names}
    await compare(world)
    await compare(world)
    return {name: (account, await world.partner_of(account)) for name, account in made.items()}


@virtually
async def test_a_night_brings_together_what_nobody_told_of() -> None:
    """R-041, R-042, R-052: edits of both masters, births on both sides, deletes on both sides; a second night finds
    nothing and sends nothing."""
    async with RealWorld(deaf()) as world:
        pairs = await linked_pairs(world, "Alder", "Birch", "Cedar", "Daphne")
        await world.edit_account(pairs["Alder"][0], telephone1="+390471111111")
        await world.edit_customer(pairs["Birch"][1], displayName="Birch Works")
        await world.crm.delete("account", pairs["Cedar"][0])
        await world.erp.delete(COMPANY, "customers", pairs["Daphne"][1])
        young = await world.new_account(name="Elm", cdock_stage="qualified")
        prospect = await world.new_account(name="Fir")
        born = await world.new_customer(displayName="Ginkgo", city="Milltown")
        await world.settle(quiet_seconds=700)
        assert world.customer(pairs["Alder"][1])["phoneNumber"] != "+390471111111"

        row = await compare(world)
        assert (row.looked, row.missing, row.unlinked) == (4, 2, 2)
        assert world.customer(pairs["Alder"][1])["phoneNumber"] == "+390471111111"
        assert world.account(pairs["Birch"][0])["name"] == "Birch Works"
        links = await world.links()
        assert young in links
        assert born in links.values()
        assert prospect not in links
        for side, key in ((Side.LEFT, pairs["Cedar"][0]), (Side.RIGHT, pairs["Daphne"][1])):
            tombstone = await world.link(side, key)
            assert tombstone is not None
            assert tombstone.state is LinkState.UNLINKED
        assert pairs["Cedar"][1] in world.customers
        assert pairs["Daphne"][0] in world.accounts

        await compare(world)
        world.forget_requests()
        quiet = await compare(world)
        assert (quiet.sent, quiet.differing, quiet.missing, quiet.unlinked) == (0, 0, 0, 0)
        assert quiet.looked == 4
        assert world.crm_sent("PATCH") + world.erp_sent("PATCH") + world.erp_sent("POST") == 0


@virtually
async def test_a_feed_that_has_expired_loses_nothing_not_even_deletes() -> None:
    """R-041, R-042: eight days asleep, and Dataverse has forgotten our token; a compare finds edits, births and
    deletes, and the next walk goes on from a new token."""
    async with RealWorld(Setup(hooks=False)) as world:
        made = {n: await world.new_account(name=n, cdock_stage="qualified") for n in ("Alder", "Birch", "Cedar")}
        await world.settle(quiet_seconds=700)
        customers = {name: await world.partner_of(account) for name, account in made.items()}
        await world.stand_still(days=8)
        await world.edit_account(made["Alder"], telephone1="+390471111111")
        await world.crm.delete("account", made["Birch"])
        young = await world.new_account(name="Elm", cdock_stage="qualified")
        await world.settle(quiet_seconds=700)
        assert world.customer(customers["Alder"])["phoneNumber"] == "+390471111111"
        assert set(await world.links()) == {made["Alder"], made["Cedar"], young}
        assert customers["Birch"] in world.customers
        row = await world.stores.compares.get(world.pair)
        assert row.run == ""
        assert row.done_at is not None
        await world.edit_account(made["Cedar"], telephone1="+390471333333")
        await world.settle(quiet_seconds=700)
        assert world.customer(customers["Cedar"])["phoneNumber"] == "+390471333333"


@virtually
async def test_a_collection_with_deletes_is_compared_and_every_delete_is_found() -> None:
    """R-041, R-052: more changes at once than the ERP lists, deletes among them; its notice names nothing at all."""
    async with RealWorld(deaf(hooks=True, collection_above=3)) as world:
        made = {n: await world.new_account(name=n, cdock_stage="qualified") for n in ("Alder", "Birch", "Cedar")}
        await world.settle()
        customers = {name: await world.partner_of(account) for name, account in made.items()}
        await world.erp.delete(COMPANY, "customers", customers["Alder"])
        await world.edit_customer(customers["Birch"], displayName="Birch Works")
        await world.edit_customer(customers["Cedar"], city="Milltown")
        born = await world.new_customer(displayName="Ginkgo", city="Milltown")
        await world.settle()
        assert world.account(made["Birch"])["name"] == "Birch Works"
        assert world.account(made["Cedar"])["address1_city"] == "Milltown"
        links = await world.links()
        assert made["Alder"] not in links
        assert born in links.values()
        row = await world.stores.compares.get(world.pair)
        assert (row.cause, row.sides, row.missing) == ("collection", "right", 1)


@virtually
async def test_a_collection_without_deletes_is_walked_from_its_time() -> None:
    """R-052: no compare is needed, the feed has it all; even what a long transaction has committed late."""
    async with RealWorld(deaf(hooks=True, collection_above=3)) as world:
        made = [await world.new_account(name=n, cdock_stage="qualified") for n in ("Alder", "Birch", "Cedar", "Elm")]
        await world.settle()
        for account in made:
            await world.edit_customer(await world.partner_of(account), city="Milltown")
        await world.settle()
        assert {world.account(account)["address1_city"] for account in made} == {"Milltown"}
        assert (await world.stores.compares.get(world.pair)).started_at is None


@virtually
async def test_what_was_committed_late_is_found_by_stepping_back() -> None:
    """R-052: a change that appeared in the feed half an hour behind the watermark is passed by every ordinary walk; the
    time that a collection names is not."""
    async with RealWorld(Setup(hooks=False)) as world:
        account = await world.new_account(name="Alder", cdock_stage="qualified")
        await world.settle(quiet_seconds=700)
        customer, began = await world.partner_of(account), world.clock.now()
        engine, feed = await world.apps[0].engine(), f"{world.pair}|right"
        await world.edit_customer(customer, city="Milltown")
        mark = await world.stores.watermarks.get(feed)
        assert mark is not None
        later = (began + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
        await world.stores.watermarks.put(feed, replace(mark, value=later))
        await world.pass_time(minutes=35)
        await world.settle(quiet_seconds=700)
        assert world.account(account).get("address1_city") != "Milltown"
        task = FeedTask(Task.WALK, "collection", "test/1", "business_central", "customers", began)
        await engine.feed_work.run(task)
        await world.settle()
        assert world.account(account)["address1_city"] == "Milltown"


@virtually
async def test_a_compare_waits_for_an_erp_that_is_away_and_ends_with_its_pair() -> None:
    """R-042: during an outage it stands still; switched off it ends, and the next night begins a new one."""
    async with RealWorld(deaf()) as world:
        pairs = await linked_pairs(world, "Alder", "Birch")
        await world.edit_account(pairs["Alder"][0], telephone1="+390471111111")
        fault = world.erp_goes_away()
        compares = (await world.apps[0].engine()).compares
        await compares.begin_all()
        await world.pass_time(minutes=20)
        assert (await world.stores.compares.get(world.pair)).run != ""
        world.erp.faults.remove(fault)
        await world.settle()
        assert world.customer(pairs["Alder"][1])["phoneNumber"] == "+390471111111"
        await compares.begin_all()
        for name in (TO_ERP, TO_CRM):
            await world.switch(name, Switch.OFF)
        await world.settle()
        ended = await world.stores.compares.get(world.pair)
        assert ended.run == ""
        await compares.begin_all()
        assert (await world.stores.compares.get(world.pair)).run == ""
