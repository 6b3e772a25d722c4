"""A person links two records, keeps two apart, and takes either back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.operations import Operations
from shared.routes import NotLinkable
from shared.sync.comparing import FieldState
from shared.sync.ports import Claim, LinkRow, LinkState, Side, Switch
from tests.scenarios.account_customer.world import TO_CRM, TO_ERP, RealWorld, differing, vat_number, virtually

WHY = ("ticket-7", "the same company by its order")


async def operations(world: RealWorld) -> Operations:
    """What console and command line work with."""
    return Operations(world.apps[0], await world.apps[0].engine())


async def strangers(world: RealWorld) -> tuple[str, str]:
    """An account and a customer of one company that no match rule brings together; the customer is linked elsewhere
    by nobody, since its own transfer may only match."""
    account = await world.new_account(name="Alfa Works", telephone1="+390471000001", address1_city="Bolzano")
    customer = await world.new_customer(displayName="Alfa (old name)", phoneNumber="+390471000002", city="Trento")
    await world.settle()
    return account, await _unlinked(world, customer)


async def _unlinked(world: RealWorld, customer: str) -> str:
    """The customer has become an account of its own by then; a person undoes that."""
    row = await world.link(Side.RIGHT, customer)
    if row is not None and row.state is LinkState.LINKED:
        asked = await operations(world)
        await asked.unlink(("business_central", "customers", customer), "", "ticket-6", "wrong account")
    return customer


@virtually
async def test_the_preview_shows_every_field_its_master_and_what_would_be_written() -> None:
    """R-080, R-055: nothing is written by looking."""
    async with RealWorld() as world:
        account, customer = await strangers(world)
        world.forget_requests()
        preview = await (await operations(world)).preview_link(TO_ERP, account, customer)
        fields = {one["left_column"]: one for one in preview["fields"]}
        assert preview["stands_in_the_way"] == ""
        name, phone = fields["name"], fields["telephone1"]
        assert (name["left"], name["right"], name["master"]) == ("Alfa Works", "Alfa (old name)", "right")
        assert (name["writes"], name["becomes"]) == ("left", "Alfa (old name)")
        assert (phone["writes"], phone["becomes"], phone["state"]) == (
            "right",
            "+390471000001",
            FieldState.PENDING.value,
        )
        assert world.crm_sent("PATCH") == world.erp_writes() == 0


@virtually
async def test_a_link_by_hand_brings_both_records_together_by_their_masters() -> None:
    """R-080, R-042, R-058, R-059: over a tombstone too; the journal says who and why."""
    async with RealWorld() as world:
        account, customer = await strangers(world)
        made = await (await operations(world)).link_records(TO_ERP, account, customer, *WHY)
        assert (made["state"], made["other"]) == ("linked", customer)
        await world.settle()
        assert (await world.links())[account] == customer
        assert list(differing(world.account(account), world.customer(customer))) == []
        assert world.account(account)["name"] == "Alfa (old name)"
        assert world.customer(customer)["phoneNumber"] == "+390471000001"
        assert world.account(account)["accountnumber"] == world.customer(customer)["number"]
        told = await world.journal(Side.LEFT, account)
        assert any("the same company by its order" in entry.reason for entry in told)
        again = await (await operations(world)).link_records(TO_ERP, account, customer, *WHY)
        assert again["linked_at"] == made["linked_at"]


@virtually
async def test_a_record_that_is_linked_already_is_refused_with_its_partner() -> None:
    """R-096: the reason names who it is linked to, and nothing changes."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        other = await world.new_account(name="Another")
        with pytest.raises(NotLinkable, match=account):
            await (await operations(world)).link_records(TO_ERP, other, customer, *WHY)
        with pytest.raises(NotLinkable, match="there is no record"):
            await (await operations(world)).preview_link(TO_ERP, account, account)
        assert (await world.links()) == {account: customer}


@virtually
async def test_a_link_that_died_half_way_is_finished_by_the_next_message() -> None:
    """R-080: the claim names the partner, so no run looks for another one or makes one."""
    async with RealWorld() as world:
        account, customer = await strangers(world)
        stores = (await world.apps[0].engine()).stores
        right = await stores.links.get(world.pair, Side.RIGHT, customer)
        assert right is not None
        inner, stores_links = stores.links.replace, stores.links
        calls = 0

        async def dies(row: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise RuntimeError("the process dies here")
            return await inner(row)  # type: ignore[arg-type] # the signature of a method that is put back below

        stores_links.replace = dies  # type: ignore[method-assign,assignment] # a crash at a chosen point
        with pytest.raises(RuntimeError):
            await (await operations(world)).link_records(TO_ERP, account, customer, *WHY)
        stores_links.replace = inner  # type: ignore[method-assign] # the next process
        await world.pass_time(minutes=5)
        await world.edit_account(account, telephone1="+390471000005")
        await world.settle()
        assert (await world.links())[account] == customer
        assert len(world.customers) == 1


@virtually
async def test_two_records_that_are_kept_apart_are_never_matched_again() -> None:
    """R-080: "never match" is remembered; taken back, they match."""
    async with RealWorld() as world:
        await world.switch(TO_CRM, Switch.OFF)
        customer = await world.new_customer(displayName="Beta", taxRegistrationNumber=vat_number(5))
        account = await world.new_account(name="Beta", cdock_vatnumber=vat_number(5))
        asked = await operations(world)
        apart = await asked.keep_apart(TO_ERP, account, customer, *WHY)
        assert (apart["left"], apart["right"]) == (account, customer)
        await world.edit_account(account, cdock_stage="qualified")
        await world.settle()
        assert (await world.links())[account] != customer
        await asked.allow_again(TO_ERP, account, customer)
        with pytest.raises(Exception, match="not kept apart"):
            await asked.allow_again(TO_ERP, account, customer)


@virtually
async def test_nobody_links_a_record_whose_partner_is_being_created() -> None:
    """R-080, R-054: the create that is on its way comes first; a claim that has run out gives way to the person."""
    async with RealWorld() as world:
        account, customer = await strangers(world)
        for name in world.names:
            await world.switch(name, Switch.OFF)
        claim = Claim("attempt", "run", world.clock.now() + timedelta(minutes=3), sent=True)
        await world.stores.links.insert(LinkRow(world.pair, Side.LEFT, account, LinkState.CREATING, claim=claim))
        with pytest.raises(NotLinkable, match="being created"):
            await (await operations(world)).link_records(TO_ERP, account, customer, *WHY)
        await world.pass_time(minutes=4)
        await (await operations(world)).link_records(TO_ERP, account, customer, *WHY)
        assert (await world.links())[account] == customer
