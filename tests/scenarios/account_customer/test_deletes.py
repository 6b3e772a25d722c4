"""A deleted record leaves its partner alone, and nothing brings it back."""

from __future__ import annotations

from dataclasses import replace

from shared.operations import Operations
from shared.sync.ports import LinkState, Side, Switch
from tests.scenarios.account_customer.world import (
    COMPANY,
    COMPANY_VALUES,
    TO_CRM,
    TO_ERP,
    RealWorld,
    Setup,
    definition_text,
    virtually,
)


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
        await world.erp.delete(COMPANY, "customers", customer)
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
        first = await world.new_account(name="Birch Sawmill", cdock_stage="qualified")
        second = await world.new_account(name="Cedar Sawmill", cdock_stage="qualified")
        await world.settle(quiet_seconds=700)
        gone = await world.partner_of(second)
        await world.crm.delete("account", first)
        await world.erp.delete(COMPANY, "customers", gone)
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


def with_policies(to_erp: str = "", to_crm: str = "") -> Setup:
    """The shipped definition with other policies for deletes, by direction."""
    text = definition_text()
    for name, policy in ((TO_ERP, to_erp), (TO_CRM, to_crm)):
        text = text.replace(f"  {name}:\n", f"  {name}:\n    on_delete: {policy}\n" if policy else f"  {name}:\n")
    return Setup(text=text)


@virtually
async def test_a_deleted_account_blocks_its_customer_if_the_definition_says_so() -> None:
    """R-041: one write, then the tombstone; the journal of both records tells of it."""
    async with RealWorld(with_policies(to_erp="{set: {blocked: All}}")) as world:
        account, customer = await world.pair_made()
        await world.crm.delete("account", account)
        await world.settle()
        assert world.customer(customer)["blocked"] == "All"
        assert world.erp_sent("PATCH") == 1
        assert (await world.link_of_account(account)).state is LinkState.UNLINKED
        (entry,) = [one for one in await world.journal(Side.LEFT, account) if one.outcome == "updated"][:1]
        assert [(one.right, one.action, one.reason) for one in entry.fields] == [
            ("blocked", "write", "its partner was deleted")
        ]
        assert await world.parked() == []


@virtually
async def test_a_deleted_customer_deactivates_its_account_if_the_definition_says_so() -> None:
    """R-041: state and its reason go together; a later edit of the account makes no new customer."""
    async with RealWorld(with_policies(to_crm="{set: {statecode: 1, statuscode: 2}}")) as world:
        account, customer = await world.pair_made()
        await world.erp.delete(COMPANY, "customers", customer)
        await world.settle()
        told = world.account(account)
        assert (told["statecode"], told["statuscode"]) == (1, 2)
        await world.edit_account(account, telephone1="+390471444444")
        await world.settle(quiet_seconds=700)
        assert world.customers == {}


@virtually
async def test_a_delete_found_by_a_write_follows_the_policy_of_the_other_direction() -> None:
    """R-041: nobody told of the deleted customer; the account's edit finds it, and the account is deactivated."""
    setup = with_policies(to_crm="{set: {statecode: 1, statuscode: 2}}")
    async with RealWorld(replace(setup, hooks=False)) as world:
        account = await world.new_account(name="Cedar Sawmill", cdock_stage="qualified")
        await world.settle(quiet_seconds=700)
        await world.erp.delete(COMPANY, "customers", await world.partner_of(account))
        await world.edit_account(account, telephone1="+390471555555")
        await world.settle(quiet_seconds=700)
        assert world.account(account)["statecode"] == 1
        assert await world.links() == {}


@virtually
async def test_while_the_other_direction_is_off_the_link_is_undone_and_nothing_is_set() -> None:
    """R-041: a transfer that is off moves nothing, also after a delete."""
    async with RealWorld(with_policies(to_crm="{set: {statecode: 1, statuscode: 2}}")) as world:
        account, customer = await world.pair_made()
        await world.switch(TO_CRM, Switch.OFF)
        await world.erp.delete(COMPANY, "customers", customer)
        await world.settle()
        assert world.account(account)["statecode"] == 0
        assert (await world.link_of_account(account)).state is LinkState.UNLINKED


@virtually
async def test_a_reported_delete_waits_for_a_person_who_undoes_the_link() -> None:
    """R-041: the link stays, the customer too; retry closes the item once the link is undone."""
    async with RealWorld(with_policies(to_erp="report")) as world:
        account, customer = await world.pair_made()
        await world.crm.delete("account", account)
        await world.settle()
        (item,) = await world.parked()
        assert (item.code, item.key, item.others) == ("CD-4306", account, (customer,))
        assert (await world.link_of_account(account)).state is LinkState.LINKED
        assert world.erp_sent("PATCH") == 0
        operations = Operations(world.apps[0], await world.apps[0].engine())
        await operations.unlink(("dataverse", "account", account), "", "a tester", "it is gone for good")
        await operations.retry(TO_ERP, Side.LEFT, account, "a tester")
        await world.settle()
        assert await world.parked() == []


@virtually
async def test_a_reported_delete_closes_itself_when_the_record_is_restored() -> None:
    """R-041: the link was never undone, so account and customer go on together."""
    async with RealWorld(with_policies(to_erp="report")) as world:
        account, customer = await world.pair_made()
        kept = {name: world.account(account)[name] for name in ("name", "cdock_stage", "cdock_vatnumber")}
        await world.crm.delete("account", account)
        await world.settle()
        assert len(await world.parked()) == 1
        await world.crm.create("account", {"accountid": account, **kept, "telephone1": "+390471777777"})
        await world.settle()
        assert await world.parked() == []
        assert world.customer(customer)["phoneNumber"] == "+390471777777"


@virtually
async def test_a_customer_that_cannot_be_blocked_keeps_its_link_until_a_person_has_helped() -> None:
    """R-041: the policy is followed before the link is undone, so a refusal loses neither."""
    async with RealWorld(with_policies(to_erp="{set: {salespersonCode: FORMER}}")) as world:
        account, customer = await world.pair_made()
        await world.crm.delete("account", account)
        await world.settle()
        (item,) = await world.parked()
        assert item.key == account
        assert (await world.link_of_account(account)).state is LinkState.LINKED
        await world.work_with(with_policies(to_erp="{set: {blocked: All}}").definition())
        operations = Operations(world.apps[0], await world.apps[0].engine())
        await operations.retry(TO_ERP, Side.LEFT, account, "a tester")
        await world.settle()
        assert world.customer(customer)["blocked"] == "All"
        assert (await world.link_of_account(account)).state is LinkState.UNLINKED
        assert await world.parked() == []


@virtually
async def test_a_deactivated_account_counts_as_deleted_if_the_definition_says_so() -> None:
    """R-041: the customer is blocked once and the link ends, in both directions; nothing is linked or created again."""
    blocked = with_policies(to_erp="{set: {blocked: All}}").text
    text = blocked.replace(f"  {TO_ERP}:\n", f"  {TO_ERP}:\n    gone_if: {{statecode: 1}}\n")
    async with RealWorld(Setup(text=text)) as world:
        account, customer = await world.pair_made()
        await world.edit_account(account, statecode=1, statuscode=2)
        await world.settle()
        assert world.customer(customer)["blocked"] == "All"
        assert (await world.link_of_account(account)).state is LinkState.UNLINKED
        await world.edit_customer(customer, displayName="Aurora Works")
        await world.edit_account(account, name="Aurora Mill", statecode=0, statuscode=1)
        await world.settle(quiet_seconds=700)
        assert (world.account(account)["name"], world.customer(customer)["displayName"]) == (
            "Aurora Mill",
            "Aurora Works",
        )
        assert (len(world.accounts), len(world.customers), world.erp_sent("POST")) == (1, 1, 0)


@virtually
async def test_an_account_that_counts_as_deleted_becomes_no_customer() -> None:
    """R-051: also where it meets only_if; active again it does."""
    text = definition_text().replace(f"  {TO_ERP}:\n", f"  {TO_ERP}:\n    gone_if: {{statecode: 1}}\n")
    async with RealWorld(Setup(text=text)) as world:
        account = await world.new_account(**(COMPANY_VALUES | {"statecode": 1, "statuscode": 2}))
        await world.settle()
        assert world.customers == {}
        await world.edit_account(account, statecode=0, statuscode=1)
        await world.settle()
        assert len(world.customers) == 1
