"""Two accounts that a person merges are one customer: the link goes over, and nothing is overwritten where both are."""

from __future__ import annotations

from shared.operations import Operations
from shared.sync.ports import LinkState, Side, Switch
from tests.scenarios.account_customer.world import TO_CRM, TO_ERP, RealWorld, vat_number, virtually


async def merged(world: RealWorld, loser: str, winner: str, **values: object) -> None:
    """A person merges two accounts; the change feed tells of it."""
    await world.crm.merge("account", loser, into=winner, values=values)
    await world.settle(quiet_seconds=700)


@virtually
async def test_the_customer_of_a_merged_account_goes_over_to_the_account_that_is_left() -> None:
    """R-041, R-042: one customer before and after; from then on it follows the account that is left."""
    async with RealWorld() as world:
        loser, customer = await world.pair_made()
        winner = await world.new_account(name="Aurora Mills", telephone1="+390471000002")
        await merged(world, loser, winner)
        assert await world.links() == {winner: customer}
        tombstone = await world.link_of_account(loser)
        assert (tombstone.state, tombstone.reason) == (LinkState.UNLINKED, "the record was merged into another one")
        told = [one.reason for one in await world.journal(Side.RIGHT, customer) if one.cause == "merged"]
        assert told == ["the link of a record that was merged into it went over to it"]
        assert world.customer(customer)["phoneNumber"] == "+390471000002"
        assert world.account(winner)["name"] == "Aurora Milling"
        assert world.account(winner)["accountnumber"] == world.customer(customer)["number"]
        await world.edit_account(winner, telephone1="+390471000003")
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == "+390471000003"
        assert len(world.customers) == 1
        assert [*await world.parked(TO_ERP), *await world.parked(TO_CRM)] == []


@virtually
async def test_two_accounts_with_a_customer_each_are_put_before_a_person() -> None:
    """R-042: neither customer is changed, neither link undone; when the person has undone the loser's link, retry
    closes the item."""
    async with RealWorld() as world:
        loser, first = await world.pair_made()
        winner, second = await world.pair_made(name="Aurora Mills", cdock_vatnumber=vat_number(2))
        before = dict(world.customers)
        await merged(world, loser, winner)
        (item,) = await world.parked()
        assert (item.code, item.key, item.others) == ("CD-4307", loser, (winner, first, second))
        assert await world.links() == {loser: first, winner: second}
        assert dict(world.customers) == before

        account = world.account(loser)
        await world.edit_customer(first, displayName="Aurora Works")
        await world.settle(quiet_seconds=700)
        assert world.account(loser) == account
        operations = Operations(world.apps[0], await world.apps[0].engine())
        await operations.unlink(("dataverse", "account", loser), "", "a tester", "the customers were merged, too")
        await operations.retry(TO_ERP, Side.LEFT, loser, "a tester")
        await world.settle()
        assert await world.parked() == []
        assert await world.links() == {winner: second}


@virtually
async def test_a_merged_account_never_becomes_a_customer_and_is_never_found() -> None:
    """R-041, R-054: two qualified accounts are merged before they are customers; of the two with one VAT number only
    the one that is left is looked at."""
    async with RealWorld() as world:
        for name in (TO_ERP, TO_CRM):
            await world.switch(name, Switch.STOPPED)
        told = {"cdock_stage": "qualified", "cdock_vatnumber": vat_number(3)}
        loser = await world.new_account(name="Birch Sawmill", **told)
        winner = await world.new_account(name="Birch Sawmill", **told)
        await world.crm.merge("account", loser, into=winner, values={})
        customer = await world.new_customer(displayName="Birch Sawmill", taxRegistrationNumber=vat_number(3))
        await world.pass_time(minutes=10)
        for name in (TO_ERP, TO_CRM):
            await world.switch(name, Switch.ON)
        await world.settle(quiet_seconds=700)
        assert await world.links() == {winner: customer}
        assert len(world.customers) == 1
        assert [*await world.parked(TO_ERP), *await world.parked(TO_CRM)] == []


@virtually
async def test_an_account_merged_again_hands_its_customer_on_to_the_last() -> None:
    """R-042: the chain is followed to its end."""
    async with RealWorld() as world:
        first, customer = await world.pair_made()
        second = await world.new_account(name="Cedar")
        third = await world.new_account(name="Cedar Mills")
        await world.settle()
        await world.crm.merge("account", first, into=second, values={})
        await world.crm.merge("account", second, into=third, values={})
        await world.settle(quiet_seconds=700)
        assert await world.links() == {third: customer}


@virtually
async def test_a_merge_into_an_account_that_was_kept_apart_is_put_before_a_person() -> None:
    """R-041: a person's decision that two records are different things stands above a merge."""
    async with RealWorld() as world:
        loser, customer = await world.pair_made()
        winner = await world.new_account(name="Daphne")
        operations = Operations(world.apps[0], await world.apps[0].engine())
        await operations.keep_apart(TO_ERP, winner, customer, "a tester", "another company")
        await merged(world, loser, winner)
        (item,) = await world.parked()
        assert (item.code, item.others) == ("CD-4308", (winner, customer))
        assert await world.links() == {loser: customer}


@virtually
async def test_a_merge_that_no_feed_has_told_of_is_found_by_an_edit_of_the_customer() -> None:
    """R-042: the write into the merged account is not done; the other direction is told and moves the link."""
    async with RealWorld() as world:
        loser, customer = await world.pair_made()
        winner = await world.new_account(name="Elm")
        await world.settle()
        await world.crm.merge("account", loser, into=winner, values={})
        await world.edit_customer(customer, displayName="Elm Works")
        await world.pass_time(seconds=200)
        assert await world.links() == {winner: customer}
        await world.settle()
        assert world.account(winner)["name"] == "Elm Works"
        assert world.account(loser)["name"] == "Aurora Milling"
