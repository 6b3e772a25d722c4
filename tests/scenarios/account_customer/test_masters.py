"""Each field travels away from its master, and only away from it."""

from __future__ import annotations

import pytest

from shared.sync.ports import Side
from tests.scenarios.account_customer.world import COMPANY_VALUES, TO_CRM, TO_ERP, RealWorld, differing, virtually


@virtually
async def test_a_commercial_field_goes_over_with_one_read_and_one_write() -> None:
    """R-041, R-042, R-059: the CRM is master; a change costs one read of the source and one write to the target."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        await world.edit_account(account, telephone1="+390471999999")
        await world.pass_time(seconds=5)
        assert world.customer(customer)["phoneNumber"] == "+390471999999"
        assert world.erp_sent("PATCH") == 1
        assert world.erp_sent("GET") == 0
        assert world.crm_sent("PATCH") == 0
        assert world.crm_sent("GET") == len(world.names), "one read in each transfer that heard of the change"


@virtually
async def test_the_echo_of_our_own_write_costs_a_read_and_no_write() -> None:
    """R-042: the ERP tells of our own write; each transfer reads once and finds nothing to do."""
    async with RealWorld() as world:
        account, _ = await world.pair_made()
        await world.edit_account(account, telephone1="+390471999999")
        await world.pass_time(seconds=5)
        world.forget_requests()
        await world.settle()
        assert world.erp_sent("GET") == len(world.names)
        assert world.erp_writes() == 0
        assert world.crm_sent("PATCH") == 0
        assert world.crm_sent("GET") == 0


@virtually
async def test_who_edited_a_record_is_kept_of_no_pair_that_has_no_field_for_it() -> None:
    """R-042, R-118: notices name who made a change; where no field is to hold that, neither a link nor a waiting change
    keeps it, and the echo of our own write into the CRM, whose notice names us, leaves the link as it is."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        await world.edit_account(account, telephone1="+390471999999")
        await world.settle()
        await world.edit_customer(customer, creditLimit=700)
        while world.account(account)["creditlimit"] != 700:
            await world.pass_time(seconds=1)
        await world.pass_time(seconds=1)  # the run that wrote it remembers
        before = await world.link_of_account(account)
        await world.settle()
        after = await world.link_of_account(account)
        assert (before.editor, after.editor) == ("", "")
        assert after.etag == before.etag
        away = world.erp_goes_away()
        await world.edit_account(account, telephone1="+390471888888")
        await world.pass_time(minutes=3)
        (waiting,) = await world.stores.pending.page(TO_ERP, None, 10)
        assert waiting.editor == ""
        world.erp.faults.remove(away)
        await world.settle()


@virtually
async def test_a_change_in_the_erp_comes_back_to_the_account() -> None:
    """R-042, R-052, R-058: the ERP is master of what is administrative."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        await world.edit_customer(customer, displayName="Aurora Milling Works", creditLimit=5000)
        await world.settle()
        assert world.account(account)["name"] == "Aurora Milling Works"
        assert world.account(account)["creditlimit"] == 5000
        assert world.crm_sent("PATCH") == 1
        assert world.erp_writes() == 0


@pytest.mark.parametrize("column", ["name", "address1_city", "cdock_vatnumber"])
@virtually
async def test_an_administrative_field_edited_in_the_crm_is_put_back_and_journalled(column: str) -> None:
    """R-052, R-058: the edit never reaches the ERP; the journal says why the field has its old value again."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        right = world.customer(customer)
        await world.edit_account(account, **{column: "Elsewhere"})
        await world.settle()
        assert world.account(account)[column] == COMPANY_VALUES[column]
        assert world.customer(customer) == right
        assert world.erp_writes() == 0
        told = [
            (entry.transfer, decision.left, decision.action)
            for entry in await world.journal(Side.LEFT, account)
            for decision in entry.fields
        ]
        assert (TO_CRM, column, "write") in told


@virtually
async def test_a_commercial_field_edited_in_the_erp_is_put_back() -> None:
    """R-059: a change in the ERP to a field of the CRM never reaches the CRM."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        before = world.account(account)
        await world.edit_customer(customer, phoneNumber="+390471111111")
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == COMPANY_VALUES["telephone1"]
        assert world.account(account) == before
        assert world.erp_writes() == 1


@virtually
async def test_a_customer_blocked_in_the_erp_shows_as_blocked_on_the_account() -> None:
    """R-052, R-055: choices go over by the rule's table, and so does the way back to none."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        for state, choice in (("Invoice", 100000001), ("All", 100000002), ("", None)):
            await world.edit_customer(customer, blocked=state or "_x0020_")
            await world.settle()
            assert world.account(account).get("cdock_blocked") == choice
        assert await world.parked(TO_CRM) == []


@virtually
async def test_changes_of_both_masters_at_once_both_arrive() -> None:
    """R-042, R-058, R-059: edits of different fields on both sides do not disturb each other."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        await world.edit_customer(customer, displayName="Aurora Works", phoneNumber="1")
        await world.edit_account(account, emailaddress1="sales@aurora-milling.example", name="Ignored")
        await world.settle()
        assert world.account(account)["name"] == "Aurora Works"
        assert world.customer(customer)["email"] == "sales@aurora-milling.example"
        assert world.customer(customer)["phoneNumber"] == COMPANY_VALUES["telephone1"]
        assert list(differing(world.account(account), world.customer(customer))) == []


@virtually
async def test_changes_during_an_outage_of_the_erp_become_one_write() -> None:
    """R-042: however often a record changed while the ERP was away, one write brings it up to date."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        away = world.erp_goes_away()
        for number in range(12):
            await world.edit_account(account, telephone1=f"+390471{number:06d}")
            await world.pass_time(seconds=20)
        world.erp.faults.remove(away)
        world.forget_requests()
        await world.settle()
        assert world.customer(customer)["phoneNumber"] == "+390471000011"
        assert world.erp_writes() == 1
        assert await world.parked() == []
