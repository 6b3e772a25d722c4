"""Undoing a link with PostOffice: the CRM keeps its record, PostOffice is master again, and nothing brings it back."""

from __future__ import annotations

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.sync.definition import Index
from shared.sync.ports import Side, SiteMode, Switch
from tests.scenarios.account_customer.world import Row, virtually
from tests.scenarios.postoffice.world import (
    POOR,
    TAKES_CUSTOMERS,
    TO_POSTOFFICE,
    WHOLE,
    PostWorld,
    Sites,
    shipped,
)
from tests.simulation.loop import run_virtually

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])


async def pair_of(world: PostWorld) -> tuple[str, str]:
    """An account with its customer."""
    account = await world.new_account(name="Aurora", telephone1="+49 1")
    await world.next_walk()
    ((customer, _),) = world.customers_there.items()
    return account, customer


def untouched(before: Row, after: Row) -> bool:
    """Whether a row of the CRM is as it was, down to its version."""
    return dict(before) == dict(after)


@both
@virtually
async def test_an_undone_link_leaves_both_records_and_gives_postoffice_its_own_back(site: Sites) -> None:
    """R-089, R-090, R-091: the CRM's record is untouched; PostOffice's id and lock are gone, and it can be edited."""
    async with PostWorld(site) as world:
        account, customer = await pair_of(world)
        before = dict(world.account(account))
        undone = await world.unlink(account, reason="two companies")
        assert (undone["state"], undone["reason"], undone["let_go"]) == ("unlinked", "ticket-17: two companies", True)
        there = world.customers_there[customer]
        assert (there["crmId"], there["master"], there["name"]) == (None, "PO", "Aurora")
        world.site.edit("customers", customer, {"name": "Kept in PostOffice"})
        await world.next_walk()
        assert untouched(before, world.account(account))
        assert world.customers_there[customer]["name"] == "Kept in PostOffice"
        locks = await world.asked("GET", f"locks/postoffice/customers/{customer}")
        assert (locks["linked"], locks["columns"]) == (False, [])
        (offered,) = (await world.asked("GET", f"transfers/{TAKES_CUSTOMERS}/offered"))["items"]
        assert (offered["state"], offered["shown"]["crmId"]) == ("unlinked", None)


@both
@virtually
async def test_nothing_brings_an_undone_link_back(site: Sites) -> None:
    """R-092: no later change of either record, no full compare, no other mode, no retry and no message queued before;
    a person can link the two again."""
    async with PostWorld(site) as world:
        account, customer = await pair_of(world)
        pair = world.definition_of("customers")
        await world.switch(TO_POSTOFFICE, Switch.STOPPED)
        await world.announce(Side.LEFT, account, pair)
        await world.settle()
        await world.unlink(account)
        await world.switch(TO_POSTOFFICE, Switch.ON)
        await (await world.apps[0].engine()).draining.drain_soon(TO_POSTOFFICE)
        await world.edit_account(account, name="Changed later", cdock_postnumber="")
        world.site.edit("customers", customer, {"name": "Changed there"})
        await world.next_walk()
        for side, key in ((Side.LEFT, account), (Side.RIGHT, customer)):
            await world.announce(side, key, pair)
        await (await world.apps[0].engine()).compares.begin_all()
        await world.next_walk()
        await world.wish_mode("manual")
        await world.wish_mode("automatic", acknowledge=100)
        await world.next_walk()
        ((key, there),) = world.customers_there.items()
        assert (key, there["name"], there["crmId"], there["master"]) == (customer, "Changed there", None, "PO")
        assert world.account(account)["name"] == "Changed later"
        (taken,) = await world.take_over(TAKES_CUSTOMERS, customer)
        assert (taken["result"], taken["partner"]) == ("linked", account)
        await world.next_walk()
        assert world.customers_there[customer]["name"] == "Changed later"
        assert world.customers_there[customer]["crmId"] == account


@both
@virtually
async def test_a_customer_whose_former_account_is_gone_gets_a_new_one_from_a_person(site: Sites) -> None:
    """R-092: only when a person takes it over again."""
    async with PostWorld(site, mode=SiteMode.MANUAL) as world:
        customer = str(world.site.create("customers", {"number": "7", "name": "Mill"})["id"])
        (first,) = await world.take_over(TAKES_CUSTOMERS, customer)
        await world.unlink(first["partner"])
        await world.crm.delete("account", first["partner"])
        await world.next_walk()
        assert world.accounts == {}
        (again,) = await world.take_over(TAKES_CUSTOMERS, customer)
        assert again["result"] == "created"
        assert again["partner"] != first["partner"]
        assert world.customers_there[customer]["crmId"] == again["partner"]


@both
@virtually
async def test_a_site_that_is_away_is_told_as_soon_as_it_answers(site: Sites) -> None:
    """R-091: the link is undone at once, and PostOffice gets its own back later, by itself."""
    async with PostWorld(site) as world:
        account, customer = await pair_of(world)
        fault = world.site.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        undone = await world.unlink(account)
        assert (undone["state"], undone["let_go"]) == ("unlinked", False)
        await world.pass_time(minutes=2)
        world.site.faults.remove(fault)
        await world.pass_time(minutes=20)
        there = world.customers_there[customer]
        assert (there["crmId"], there["master"]) == (None, "PO")


@both
@virtually
async def test_a_deleted_account_leaves_no_locked_customer(site: Sites) -> None:
    """R-091: what nobody in the CRM can edit any more belongs to PostOffice again."""
    async with PostWorld(site) as world:
        account, customer = await pair_of(world)
        await world.crm.delete("account", account)
        await world.next_walk()
        there = world.customers_there[customer]
        assert (there["crmId"], there["master"]) == (None, "PO")


@both
@virtually
async def test_a_customer_goes_over_to_the_account_that_its_own_was_merged_into(site: Sites) -> None:
    """R-084, R-086: PostOffice gets the id of the account that is left and goes on following it; nothing is parked."""
    async with PostWorld(site) as world:
        merged, customer = await pair_of(world)
        left = await world.new_account(name="Aurora AG", cdock_nopostoffice=True)
        await world.crm.merge("account", merged, left, {})
        await world.next_walk()
        await world.edit_account(left, telephone1="+49 9")
        await world.next_walk()
        ((key, there),) = world.customers_there.items()
        assert (key, there["crmId"], there["master"]) == (customer, left, "CRM")
        assert (there["name"], there["telephone"]) == ("Aurora AG", "+49 9")
        assert await world.parked(TO_POSTOFFICE) == []


def customers_only() -> Index:
    """Accounts and customers alone, so that a story takes few requests."""
    (pair,) = [one for one in shipped().definitions if one.right.table == "customers"]
    rules = tuple(rule for rule in pair.fields if rule.reference is None)
    return Index(definitions=(pair.model_copy(update={"fields": rules}),))


async def unlinked_before(site: Sites, number: int) -> tuple[int, bool]:
    """Take a customer over, edit its account, and undo the link just before one of the requests that follow.

    Answers how many requests there were, and whether the link was there to be undone.
    """
    async with PostWorld(site, customers_only(), mode=SiteMode.MANUAL) as world:
        account = await world.new_account(name="Aurora", cdock_postnumber="7", telephone1="+49 1")
        customer = world.site.create("customers", {"number": "7", "name": "Aurora there"})["id"]
        undone = False

        async def meanwhile(request: int) -> None:
            nonlocal undone
            if request == number:
                answer = await world.posted(f"links/dataverse/account/{account}/unlink", transfer=TO_POSTOFFICE)
                undone = answer.status_code == 200

        world.meanwhile = meanwhile
        await world.take_over(TAKES_CUSTOMERS, customer)
        await world.edit_account(account, telephone1="+49 2")
        await world.announce(Side.LEFT, account)
        await world.settle()
        requests = world.requests_seen
        world.meanwhile = None
        if undone:
            await world.edit_account(account, name="Changed later")
            await world.choose_mode(SiteMode.AUTOMATIC)
            await world.next_walk()
            ((key, there),) = world.customers_there.items()
            assert (key, there["crmId"], there["master"]) == (customer, None, "PO"), number
            assert there["name"] != "Changed later", number
            assert len(world.accounts) == 1
        return requests, undone


@both
def test_undoing_a_link_beside_a_running_transfer_resurrects_nothing(site: Sites) -> None:
    """R-091, R-092: at whatever moment of linking and editing it is undone, the customer ends as PostOffice's own."""
    requests, _ = run_virtually(unlinked_before(site, 0))
    undone = [run_virtually(unlinked_before(site, number))[1] for number in range(1, requests + 1)]
    assert sum(undone) >= 5
