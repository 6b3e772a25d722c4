"""A deleted record leaves its partner alone, and nothing brings it back."""

from __future__ import annotations

from shared.operations import Operations
from shared.sync.ports import LinkState, Side
from tests.scenarios.account_customer.world import RealWorld, Setup, virtually


@virtually
async def test_a_deleted_account_leaves_its_customer_and_a_tombstone() -> None:
    """R-041: the customer stays as it is; a later change of it makes no new account."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        before = world.customer(customer)
        await world.crm.delete("account", account)
        await world.settle()
        assert world.customer(customer) == before
        await world.edit_customer(customer, displayName="Aurora Works")
        await world.settle(quiet_seconds=700)
        assert world.accounts == {}
        for side, key in ((Side.LEFT, account), (Side.RIGHT, customer)):
            row = await world.link(side, key)
            assert row is not None
            assert row.state is LinkState.UNLINKED
        assert await world.parked() == []


@virtually
async def test_a_deleted_customer_leaves_its_account_and_a_tombstone() -> None:
    """R-041: the account stays as it is; a later change of it makes no new customer."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        before = world.account(account)
        await world.erp.delete("5d115c9c-44e3-ea11-bb43-000d3a2feca1", "customers", customer)
        await world.settle()
        assert world.account(account) == before
        await world.edit_account(account, telephone1="+390471444444")
        await world.settle(quiet_seconds=700)
        assert world.customers == {}
        assert (await world.link_of_account(account)).state is LinkState.UNLINKED


@virtually
async def test_a_delete_that_nobody_told_of_is_found_when_the_partner_changes() -> None:
    """R-041: without notices the change feed finds a deleted account; a deleted customer shows at the next write."""
    async with RealWorld(Setup(hooks=False)) as world:
        first = await world.new_account(name="Birch Sawmill", crossdock_stage="qualified")
        second = await world.new_account(name="Cedar Sawmill", crossdock_stage="qualified")
        await world.settle(quiet_seconds=700)
        gone = await world.partner_of(second)
        await world.crm.delete("account", first)
        await world.erp.delete("5d115c9c-44e3-ea11-bb43-000d3a2feca1", "customers", gone)
        await world.edit_account(second, telephone1="+390471555555")
        await world.settle(quiet_seconds=700)
        assert await world.links() == {}
        assert len(world.accounts) == 1
        assert len(world.customers) == 1


@virtually
async def test_a_link_undone_by_a_person_stays_undone() -> None:
    """R-041: both records go on by themselves, whatever changes on either side."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        operations = Operations(world.apps[0], await world.apps[0].engine())
        await operations.unlink(("dataverse", "account", account), "", "a tester", "not the same company")
        await world.edit_account(account, telephone1="+390471666666")
        await world.edit_customer(customer, displayName="Aurora Works")
        await world.settle(quiet_seconds=700)
        assert await world.links() == {}
        assert len(world.accounts) == len(world.customers) == 1
        assert world.customer(customer)["phoneNumber"] != "+390471666666"
        assert world.account(account)["name"] != "Aurora Works"
