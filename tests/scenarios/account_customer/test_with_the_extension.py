"""With the optional extension of Business Central: the primary contact both ways, the fields of Italian invoicing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.business_central import BusinessCentralOptions
from shared.sync.planner import Reason
from shared.sync.ports import ParkedItem, Side
from tests.scenarios.account_customer.test_contacts import PeopleWorld
from tests.scenarios.account_customer.world import COMPANY, COMPANY_VALUES, TO_CRM, TO_ERP, Setup, vat_number, virtually

API = "crmlink/sync/v1.0"
FISCAL_CODE, OTHER_FISCAL_CODE, WRONG_FISCAL_CODE = "RSSMRA85T10A562S", vat_number(7), "RSSMRA85T10A562X"


class ExtendedWorld(PeopleWorld):
    """Companies and their people, in an ERP that has the extension."""

    def __init__(self) -> None:
        environment = {"CROSSDOCK_BUSINESS_CENTRAL_EXTENSION": API}
        super().__init__(Setup(erp=BusinessCentralOptions(extension=API), environment=environment))

    async def in_erp(self, customer: str, **values: Any) -> None:
        """A person edits a customer on the extension's page."""
        await self.erp.edit(COMPANY, "crmCustomers", customer, values)

    def customer(self, key: str) -> Mapping[str, Any]:
        """A customer as the extension's page shows it."""
        return self.erp.rows(COMPANY, "crmCustomers")[key]

    async def prefers(self, account: str, person: str | None) -> None:
        """Somebody chooses an account's primary contact."""
        await self.edit_account(account, primarycontactid=person and ("contact", person))
        await self.settle()

    def chosen(self, account: str, customer: str) -> tuple[str | None, str | None]:
        """The primary contacts of a pair, in the CRM and in the ERP."""
        told = str(self.customer(customer)["primaryContactId"])
        return self.account(account)["primarycontactid"], None if set(told) <= set("0-") else told

    async def parked_field(self, transfer: str, field: str) -> ParkedItem:
        """The one parked item, which is about that field."""
        (item,) = await self.parked(transfer)
        assert item.field == field
        return item


def invoicing(fiscal: str = FISCAL_CODE) -> dict[str, str]:
    return {"cdock_fiscalcode": fiscal, "cdock_sdicode": "ABC1234", "cdock_pec": "invoices@pec.example.it"}


# --- the primary contact ---


@virtually
async def test_the_primary_contact_of_a_prospect_arrives_once_it_is_linked() -> None:
    """R-053, R-056, R-057: the customer is made without it, the contact comes along, then the customer names it."""
    async with ExtendedWorld() as world:
        account = await world.new_account(**COMPANY_VALUES | {"cdock_stage": "prospect"})
        ada = await world.person(account, "Ada", "Lovelace")
        await world.prefers(account, ada)
        await world.edit_account(account, cdock_stage="qualified")
        await world.settle()
        people = await world.links_of_people()
        assert world.chosen(account, await world.partner_of(account)) == (ada, people[ada])
        assert await world.parked() == []


@virtually
async def test_the_primary_contact_is_chosen_and_cleared_on_either_side() -> None:
    """R-042, R-056, R-057: whichever side chose last; nothing goes back and forth."""
    async with ExtendedWorld() as world:
        account, customer = await world.pair_made()
        ada, ben = await world.person(account, "Ada", "Lovelace"), await world.person(account, "Ben", "Nevis")
        await world.settle()
        people = await world.links_of_people()
        await world.prefers(account, ada)
        assert world.chosen(account, customer) == (ada, people[ada])
        await world.in_erp(customer, primaryContactId=people[ben])
        await world.settle()
        assert world.chosen(account, customer) == (ben, people[ben])
        await world.prefers(account, None)
        assert world.chosen(account, customer) == (None, None)
        await world.prefers(account, ben)
        await world.in_erp(customer, primaryContactId="00000000-0000-0000-0000-000000000000")
        await world.settle()
        assert world.chosen(account, customer) == (None, None)


@virtually
async def test_a_contact_that_moved_becomes_the_primary_one_of_its_new_account() -> None:
    """R-056, R-057: it changes company on both sides first, since the ERP takes no stranger."""
    async with ExtendedWorld() as world:
        first, _ = await world.pair_made()
        second = await world.new_account(name="Borealis Milling", cdock_stage="qualified")
        ada = await world.person(first, "Ada", "Lovelace")
        await world.prefers(first, ada)
        await world.prefers(first, None)
        await world.crm.edit("contact", ada, {"parentcustomerid": ("account", second)})
        await world.settle()
        await world.prefers(second, ada)
        people = await world.links_of_people()
        assert world.chosen(second, await world.partner_of(second)) == (ada, people[ada])


@virtually
async def test_a_primary_contact_from_another_company_is_parked_alone() -> None:
    """R-056, R-060: the ERP refuses a stranger; the field is named, and the record's other changes go over."""
    async with ExtendedWorld() as world:
        account, customer = await world.pair_made()
        other = await world.new_account(name="Borealis Milling", cdock_stage="qualified")
        eve = await world.person(other, "Eve", "Stranger")
        await world.settle()
        await world.edit_account(account, telephone1="+390471000222", primarycontactid=("contact", eve))
        await world.settle()
        item = await world.parked_field(TO_ERP, "primarycontactid")
        assert (item.code, bool(item.remedy)) == ("CD-4008", True)
        assert world.customer(customer)["phoneNumber"] == "+390471000222"
        ada = await world.person(account, "Ada", "Lovelace")
        await world.prefers(account, ada)
        await world.settle()
        assert world.chosen(account, customer) == (ada, (await world.links_of_people())[ada])
        assert await world.parked() == []


# --- the fields of Italian invoicing ---


@virtually
async def test_the_fields_of_italian_invoicing_go_over_with_the_create_and_come_back_afterwards() -> None:
    """R-054, R-058, R-060: the prospect brings them; then the ERP is master, and an edit in the CRM is put back."""
    async with ExtendedWorld() as world:
        account, customer = await world.pair_made(**invoicing())
        row = world.customer(customer)
        assert (row["fiscalCode"], row["paCode"], row["pecEmail"]) == tuple(invoicing().values())
        await world.in_erp(customer, fiscalCode=OTHER_FISCAL_CODE, paCode="XYZ9876", pecEmail="other@pec.example.it")
        await world.settle()
        changed = world.account(account)
        told = [changed[name] for name in invoicing()]
        assert told == [OTHER_FISCAL_CODE, "XYZ9876", "other@pec.example.it"]
        await world.edit_account(account, cdock_pec="mine@pec.example.it")
        await world.settle()
        assert world.account(account)["cdock_pec"] == "other@pec.example.it"
        reasons = {one.reason for entry in await world.journal(Side.LEFT, account) for one in entry.fields}
        assert Reason.PUT_BACK.value in reasons


@virtually
async def test_a_wrong_value_of_italian_invoicing_is_parked_with_its_field() -> None:
    """R-055, R-058: a prospect with a wrong one becomes no customer before it is mended; the ERP takes wrong ones
    without a sign, and what is wrong there stays there while the others come over."""
    wrong = {"cdock_fiscalcode": WRONG_FISCAL_CODE, "cdock_sdicode": "AB", "cdock_pec": "at home"}
    async with ExtendedWorld() as world:
        for column, value in wrong.items():
            account = await world.new_account(**COMPANY_VALUES | invoicing() | {column: value})
            await world.settle()
            item = await world.parked_field(TO_ERP, column)
            assert item.remedy
            assert value not in item.sentence + item.remedy
            assert world.customers == {}
            await world.crm.delete("account", account)
            await world.stores.parked.remove(TO_ERP, Side.LEFT, account)
        account, customer = await world.pair_made(**invoicing())
        await world.in_erp(customer, fiscalCode=WRONG_FISCAL_CODE, paCode="XYZ9876")
        await world.settle()
        item = await world.parked_field(TO_CRM, "fiscalCode")
        assert item.remedy
        changed = world.account(account)
        assert (changed["cdock_fiscalcode"], changed["cdock_sdicode"]) == (FISCAL_CODE, "XYZ9876")
        await world.in_erp(customer, fiscalCode=OTHER_FISCAL_CODE)
        await world.settle()
        assert world.account(account)["cdock_fiscalcode"] == OTHER_FISCAL_CODE
        assert await world.parked(TO_CRM) == []


@virtually
async def test_without_the_extension_these_fields_stay_in_the_crm_and_are_named() -> None:
    """R-055, R-058: everything else works, even beside a wrong value; health names the columns that are missing."""
    async with PeopleWorld() as world:
        account, _ = await world.pair_made(**invoicing(WRONG_FISCAL_CODE))
        ada = await world.person(account, "Ada", "Lovelace")
        await world.edit_account(account, primarycontactid=("contact", ada))
        await world.settle()
        assert (await world.parked(), await world.parked(TO_CRM)) == ([], [])
        assert world.account(account)["cdock_fiscalcode"] == WRONG_FISCAL_CODE
        assert set(await world.links_of_people()) == {ada}
        left_out = (await world.apps[0].engine()).pipeline.left_out()
        named = {name.rpartition(".")[2] for columns in left_out.values() for name in columns}
        assert {"fiscalCode", "paCode", "pecEmail", "primaryContactId"} <= named
