"""Contact persons of PostOffice's customers and cost centres: the CRM decides who stands there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.sync.outcome import Why
from shared.sync.ports import Side, Switch
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import PARTIES, POOR, WHOLE, PostWorld, Sites, shipped

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])
PERSON: Mapping[str, Any] = {
    "firstname": "Ada",
    "lastname": "Muster",
    "salutation": "Dr.",
    "jobtitle": "Head of mail",
    "telephone1": "+41 44 1",
    "mobilephone": "+41 79 1",
    "emailaddress1": "ada@muster.example",
}


def world_of(site: Sites, **setup: Any) -> PostWorld:
    """A world with customers, cost centres and their contacts."""
    return PostWorld(site, shipped(*PARTIES, "customer_contact", "cost_centre_contact"), **setup)


async def company(world: PostWorld, name: str) -> tuple[str, str]:
    """An account with its customer."""
    account = await world.new_account(name=name)
    await world.next_walk()
    return account, next(key for key, row in world.customers_there.items() if row["crmId"] == account)


async def contact(world: PostWorld, account: str | None, **values: Any) -> str:
    """A person of an account, as somebody enters it in the CRM."""
    of = {"parentcustomerid": ("account", account)} if account else {}
    return await world.crm.create("contact", {**PERSON, **of, **values})


def persons(world: PostWorld, customer: str) -> list[str]:
    """The last names of a customer's contact persons."""
    return sorted(one["lastName"] for one in world.customers_there[customer]["contacts"])


async def moves(world: PostWorld, key: str, account: str | None) -> None:
    """Somebody gives a contact another account, or none."""
    await world.crm.edit("contact", key, {"parentcustomerid": ("account", account) if account else None})


async def told(world: PostWorld, key: str, transfer: str = "contact_to_postoffice") -> list[str]:
    """Outcome and reason of what the journal says of a contact, the newest first."""
    pair = world.pair_of_transfer(transfer)
    entries = await world.stores.journal.of_record(pair, Side.LEFT, key)
    return [f"{one.outcome}: {one.reason}" for one in entries]


@both
@virtually
async def test_a_contact_goes_over_follows_and_goes(site: Sites) -> None:
    """R-110: with all that is known of it; changed, emptied and deleted as in the CRM."""
    async with world_of(site) as world:
        account, customer = await company(world, "Aurora Milling")
        ada = await contact(world, account)
        await world.next_walk()
        (there,) = world.customers_there[customer]["contacts"]
        assert {name: value for name, value in there.items() if name != "key"} == {
            "salutation": "Dr.",
            "firstName": "Ada",
            "lastName": "Muster",
            "function": "Head of mail",
            "telephone": "+41 44 1",
            "mobile": "+41 79 1",
            "email": "ada@muster.example",
        }
        await world.crm.edit("contact", ada, {"lastname": "Meister", "mobilephone": None})
        await world.next_walk()
        (there,) = world.customers_there[customer]["contacts"]
        assert (there["lastName"], there["mobile"], there["firstName"]) == ("Meister", None, "Ada")
        await world.crm.delete("contact", ada)
        await world.next_walk()
        assert persons(world, customer) == []


@both
@virtually
async def test_a_contact_of_a_cost_centre_stands_there_too(site: Sites) -> None:
    """R-110: a contact that names a cost centre."""
    async with world_of(site) as world:
        account, customer = await company(world, "Aurora Milling")
        centre = await world.crm.create("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account})
        await world.next_walk()
        ada = await contact(world, account, cdock_costcentreid=centre)
        await world.next_walk()
        (there,) = world.cost_centres_there.values()
        assert [one["lastName"] for one in there["contacts"]] == persons(world, customer) == ["Muster"]
        await world.crm.edit("contact", ada, {"cdock_costcentreid": None})
        await world.next_walk()
        (there,) = world.cost_centres_there.values()
        assert there["contacts"] == []
        assert persons(world, customer) == ["Muster"]


@both
@virtually
async def test_contacts_wait_for_their_customer_and_come_along_with_it(site: Sites) -> None:
    """R-110: nobody goes over before the account has its customer; a contact of no account goes nowhere."""
    async with world_of(site) as world:
        account = await world.new_account(name="Aurora Milling", cdock_nopostoffice=True)
        ada, homeless = await contact(world, account), await contact(world, None, lastname="Homeless")
        await world.next_walk()
        assert world.customers_there == {}
        assert await told(world, ada) == [f"skipped: {Why.NO_PARTNER.value}"]
        assert await told(world, homeless) == [f"skipped: {Why.NO_PARTNER.value}"]
        await world.edit_account(account, cdock_nopostoffice=False)
        await world.next_walk()
        (customer,) = world.customers_there
        assert persons(world, customer) == ["Muster"]


@both
@virtually
async def test_who_stands_there_already_is_taken_over(site: Sites) -> None:
    """R-110: by the address or by the name at the same customer, not doubled; others stay."""
    async with world_of(site) as world:
        customer = world.site.create("customers", {"name": "Aurora", "number": "7"})["id"]
        for key, row in (
            ("a", {"lastName": "Old", "email": "ADA@muster.example", "mobile": "079"}),
            ("b", {"lastName": "Byron", "firstName": "George"}),
            ("c", {"lastName": "Own"}),
        ):
            world.site.put_part("customers", customer, "contacts", key, row)
        account = await world.new_account(name="Aurora Milling", cdock_postnumber="7")
        await contact(world, account, mobilephone=None)
        await contact(world, account, firstname="George", lastname="Byron", emailaddress1="g@byron.example")
        await world.next_walk()
        rows = {one["key"]: one for one in world.customers_there[customer]["contacts"]}
        assert {key: one["lastName"] for key, one in rows.items()} == {"a": "Muster", "b": "Byron", "c": "Own"}
        assert (rows["a"]["mobile"], rows["b"]["email"]) == ("079", "g@byron.example")


@both
@virtually
async def test_a_contact_that_moves_leaves_one_customer_and_stands_at_the_other(site: Sites) -> None:
    """R-110: to another customer and back; never at both."""
    async with world_of(site) as world:
        (first, one), (second, two) = await company(world, "Aurora Milling"), await company(world, "Borealis")
        ada = await contact(world, first)
        await world.next_walk()
        for account, here, there in ((second, two, one), (first, one, two)):
            await moves(world, ada, account)
            await world.next_walk()
            assert (persons(world, here), persons(world, there)) == (["Muster"], [])
        assert (await told(world, ada))[0] == f"created: {Why.NEW.value}"
        await world.crm.edit("contact", ada, {"lastname": "Meister"})
        await world.next_walk()
        assert persons(world, one) == ["Meister"]


@both
@virtually
async def test_a_contact_that_moves_to_an_account_without_a_customer_waits_for_it(site: Sites) -> None:
    """R-110: it stands at the former customer no longer; it comes along when the new account gets its customer."""
    async with world_of(site) as world:
        account, customer = await company(world, "Aurora Milling")
        other = await world.new_account(name="Borealis", cdock_nopostoffice=True)
        ada = await contact(world, account)
        await world.next_walk()
        await moves(world, ada, other)
        await world.next_walk()
        assert persons(world, customer) == []
        assert (await told(world, ada))[0] == f"updated: {Why.MOVED.value}"
        await world.edit_account(other, cdock_nopostoffice=False)
        await world.next_walk()
        assert [row["contacts"][0]["lastName"] for row in world.customers_there.values() if row["crmId"] == other] == [
            "Muster"
        ]
        await moves(world, ada, None)
        await world.next_walk()
        assert [row["contacts"] for row in world.customers_there.values()] == [[], []]


@both
@pytest.mark.parametrize("lost", ["PUT", "DELETE"])
@virtually
async def test_lost_answers_make_nobody_twice(site: Sites, lost: str) -> None:
    """R-110: neither when a contact is made nor when it moves or goes."""
    async with world_of(site) as world:
        (first, one), (second, two) = await company(world, "Aurora Milling"), await company(world, "Borealis")
        for _ in range(2):
            world.site.faults.add(FaultRule(FaultKind.LOST_ANSWER, lost, "/contacts/", times=1))
        ada, byron = await contact(world, first), await contact(world, first, lastname="Byron", emailaddress1=None)
        await world.next_walk()
        assert persons(world, one) == ["Byron", "Muster"]
        await moves(world, ada, second)
        await world.next_walk()
        assert (persons(world, one), persons(world, two)) == (["Byron"], ["Muster"])
        await world.crm.delete("contact", byron)
        await world.next_walk()
        assert (persons(world, one), persons(world, two)) == ([], ["Muster"])
        assert await world.parked("contact_to_postoffice") == []


@both
@virtually
async def test_undoing_a_link_deletes_nobody(site: Sites) -> None:
    """R-090, R-110: neither the contact's link nor its customer's; afterwards nothing goes over, and a delete in the
    CRM leaves what belongs to PostOffice again."""
    async with world_of(site) as world:
        account, customer = await company(world, "Aurora Milling")
        ada, byron = await contact(world, account), await contact(world, account, lastname="Byron", emailaddress1=None)
        await world.next_walk()
        person = f"links/dataverse/contact/{ada}/unlink"
        await world.asked("POST", person, transfer="contact_to_postoffice", reason="left to the post")
        await world.unlink(account, reason="two companies")
        await world.crm.edit("contact", ada, {"lastname": "Meister"})
        await world.crm.edit("contact", byron, {"lastname": "Gordon"})
        await world.next_walk()
        assert persons(world, customer) == ["Byron", "Muster"]
        assert (await told(world, byron))[0] == f"skipped: {Why.NO_PARTNER.value}"
        for key in (ada, byron):
            await world.crm.delete("contact", key)
        await world.next_walk()
        assert persons(world, customer) == ["Byron", "Muster"]


@virtually
async def test_many_deletes_stop_the_transfer_before_they_have_followed() -> None:
    """R-110: the brake counts what a delete or a move would take away; what waits goes on when a person says so."""
    index = shipped(*PARTIES, "customer_contact")
    definitions = [
        one.model_copy(update={"brakes": one.brakes.model_copy(update={"deletes_per_hour": 3})})
        for one in index.definitions
    ]
    async with PostWorld(WHOLE, index.model_copy(update={"definitions": tuple(definitions)})) as world:
        account, customer = await company(world, "Aurora Milling")
        keys = [await contact(world, account, lastname=f"P{number}", emailaddress1=None) for number in range(6)]
        await world.next_walk()
        for key in keys[:4]:
            await world.crm.delete("contact", key)
        await moves(world, keys[4], None)
        await world.pass_time(minutes=12)
        assert len(persons(world, customer)) == 3
        assert (await world.stores.modes.get("contact_to_postoffice")).code == "CD-4414"
        await world.switch("contact_to_postoffice", Switch.ON)
        await world.next_walk()
        assert persons(world, customer) == ["P5"]


@both
@virtually
async def test_an_edit_past_the_lock_is_put_back(site: Sites) -> None:
    """R-110: the CRM is master; whoever edits in PostOffice's database finds the CRM's value after the next change."""
    async with world_of(site) as world:
        account, customer = await company(world, "Aurora Milling")
        ada = await contact(world, account)
        await world.next_walk()
        (row,) = world.customers_there[customer]["contacts"]
        body = {name: value for name, value in row.items() if name != "key"} | {"lastName": "Typed"}
        world.site.put_part("customers", customer, "contacts", row["key"], body, past_the_lock=True)
        await world.crm.edit("contact", ada, {"mobilephone": "+41 79 2"})
        await world.next_walk()
        (row,) = world.customers_there[customer]["contacts"]
        assert (row["lastName"], row["mobile"]) == ("Muster", "+41 79 2")
