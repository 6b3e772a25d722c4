"""People at customers: contacts cross with their company, follow it, move with their job, and keep the CRM's values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from local.definitions import compile_folder
from shared.sync.context import pair_name
from shared.sync.ports import LinkState, Side
from tests.scenarios.account_customer.world import COMPANY, RealWorld, Setup, vat_number, virtually

TRANSFERS = Path(__file__).parents[3] / "transfers"


class PeopleWorld(RealWorld):
    """The world with all shipped definitions, listening to contacts too."""

    def __init__(self, setup: Setup | None = None) -> None:
        super().__init__(replace(setup or Setup(), index=compile_folder(TRANSFERS)))

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.listen("contact")
        return self

    async def person(self, account: str, first: str, last: str, **more: Any) -> str:
        """A person of an account, as somebody types it in."""
        mail = f"{first}.{last}@example.com".lower()
        values = {"firstname": first, "lastname": last, "emailaddress1": mail, "parentcustomerid": ("account", account)}
        return await self.crm.create("contact", values | more)

    @property
    def people_in_crm(self) -> Mapping[str, Mapping[str, Any]]:
        return self.crm.rows("contact")

    @property
    def people_in_erp(self) -> dict[str, Mapping[str, Any]]:
        """Persons only: companies are contacts of the ERP too."""
        rows = self.erp.rows(COMPANY, "contacts")
        return {key: row for key, row in rows.items() if row["type"] == "Person"}

    async def links_of_people(self) -> dict[str, str]:
        pair = pair_name(self.index.definitions[1], self._connectors)
        rows = await self.stores.links.page(pair, Side.LEFT, None, 1000)
        return {row.key: row.other for row in rows if row.state is LinkState.LINKED}

    async def partner_of_person(self, key: str) -> Mapping[str, Any]:
        return self.people_in_erp[(await self.links_of_people())[key]]

    def company_number(self, customer: str) -> str:
        """The number of a customer's company contact."""
        name = self.customer(customer)["displayName"]
        rows = self.erp.rows(COMPANY, "contacts").values()
        return next(str(row["number"]) for row in rows if row["type"] == "Company" and row["displayName"] == name)


@virtually
async def test_the_contacts_of_a_prospect_come_along_when_it_becomes_a_customer() -> None:
    """R-053, R-054, R-056, R-057: before that nobody goes over; afterwards everybody, under the right company."""
    async with PeopleWorld() as world:
        account = await world.new_account(name="Aurora Milling", cdock_stage="prospect")
        ada = await world.person(account, "Ada", "Lovelace", jobtitle="Head of purchasing", mobilephone="333 1234567")
        ben = await world.person(account, "Ben", "Nevis")
        await world.settle()
        assert world.people_in_erp == {}
        await world.edit_account(account, cdock_stage="qualified")
        await world.settle()
        assert set(await world.links_of_people()) == {ada, ben}
        partner = await world.partner_of_person(ada)
        assert (partner["displayName"], partner["email"]) == ("Ada Lovelace", "ada.lovelace@example.com")
        assert (partner["jobTitle"], partner["mobilePhoneNumber"]) == ("Head of purchasing", "+393331234567")
        assert partner["companyNumber"] == world.company_number(await world.partner_of(account))


@virtually
async def test_a_contact_of_a_customer_goes_over_at_once_and_its_edits_follow() -> None:
    """R-041, R-056, R-057, R-059: a change costs one write; an edit in the ERP is put back, the CRM being master."""
    async with PeopleWorld() as world:
        account, _ = await world.pair_made()
        ada = await world.person(account, "Ada", "Lovelace")
        await world.settle()
        world.forget_requests()
        await world.crm.edit("contact", ada, {"jobtitle": "Director"})
        await world.settle()
        assert (await world.partner_of_person(ada))["jobTitle"] == "Director"
        assert world.erp.requests.count("PATCH", r"/contacts\(") == 1
        await world.erp.edit(COMPANY, "contacts", (await world.links_of_people())[ada], {"jobTitle": "Typed in vain"})
        await world.pass_time(minutes=6)
        await world.settle()
        assert (await world.partner_of_person(ada))["jobTitle"] == "Director"


@virtually
async def test_a_person_of_the_erp_arrives_in_the_crm_under_its_account() -> None:
    """R-052, R-056: with first and last name; the company contact itself is no person."""
    async with PeopleWorld() as world:
        account, customer = await world.pair_made()
        values = {"type": "Person", "displayName": "Carl Benz", "companyNumber": world.company_number(customer)}
        await world.erp.create(COMPANY, "contacts", values | {"email": "carl@example.com"})
        await world.pass_time(minutes=6)
        await world.settle()
        (person,) = world.people_in_crm.values()
        assert (person["firstname"], person["lastname"], person["emailaddress1"]) == (
            "Carl",
            "Benz",
            "carl@example.com",
        )
        assert person["parentcustomerid"] == account
        assert len(world.people_in_erp) == 1


@virtually
async def test_the_same_person_on_both_sides_is_linked_and_not_doubled() -> None:
    """R-056: by e-mail address and company."""
    async with PeopleWorld() as world:
        account, customer = await world.pair_made()
        number = world.company_number(customer)
        values = {"type": "Person", "displayName": "A. Lovelace", "companyNumber": number}
        await world.erp.create(COMPANY, "contacts", values | {"email": "Ada.Lovelace@example.com"})
        ada = await world.person(account, "Ada", "Lovelace")
        await world.settle()
        await world.pass_time(minutes=6)
        await world.settle()
        assert len(world.people_in_erp) == len(world.people_in_crm) == 1
        assert (await world.partner_of_person(ada))["displayName"] == "Ada Lovelace"


@virtually
async def test_a_contact_that_changes_its_company_changes_it_in_the_erp() -> None:
    """R-056, R-057: to a customer at once; to a prospect when that becomes one."""
    async with PeopleWorld() as world:
        first, _ = await world.pair_made()
        second, other = await world.pair_made(name="Borealis", cdock_vatnumber=vat_number(2))
        third = await world.new_account(name="Cirrus", cdock_stage="prospect")
        ada = await world.person(first, "Ada", "Lovelace")
        await world.settle()
        await world.crm.edit("contact", ada, {"parentcustomerid": ("account", second)})
        await world.settle()
        assert (await world.partner_of_person(ada))["companyNumber"] == world.company_number(other)
        await world.crm.edit("contact", ada, {"parentcustomerid": ("account", third)})
        await world.settle()
        assert (await world.partner_of_person(ada))["companyNumber"] == world.company_number(other)
        await world.edit_account(third, cdock_stage="qualified")
        await world.settle()
        assert (await world.partner_of_person(ada))["companyNumber"] == world.company_number(
            await world.partner_of(third)
        )


@virtually
async def test_what_only_the_extension_has_is_left_out_and_named() -> None:
    """R-055, R-057: without the extension the transfers run, and health says which columns are missing."""
    async with PeopleWorld() as world:
        await world.pair_made()
        left_out = (await world.apps[0].engine()).pipeline.left_out()
        named = {name.rpartition(".")[2] for columns in left_out.values() for name in columns}
        assert {"fiscalCode", "paCode", "pecEmail", "primaryContactId"} <= named
