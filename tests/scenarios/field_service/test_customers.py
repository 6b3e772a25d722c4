"""The field service holds every customer of the CRM, with what is seen in the field of his credit and payments."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from shared.sync.ports import Side, Switch
from tests.scenarios.account_customer.world import COMPANY, virtually
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both

CUSTOMERS, OTHERS = 250, 10


@both
@virtually
async def test_every_customer_of_the_crm_is_in_the_field_service(dialect: Dialect) -> None:
    """R-234, R-201: those from before by a load, and nobody else; then a new one and a new name by webhook alone; what
    is edited in the field service is put back as soon as it tells of it. The ERP is not asked."""
    async with FieldWorld(dialect, "account", hooks=True, on=False) as world:
        for number in range(CUSTOMERS):
            await world.new_account(name=f"Company {number}", customertypecode=3)
        for number in range(OTHERS):
            await world.new_account(name=f"Prospect {number}", customertypecode=8)
        gone = await world.new_account(name="Closed Mill", customertypecode=3)
        await world.edit_account(gone, statecode=1, statuscode=2)
        await world.settle()
        assert world.there("place") == {}
        transfer = world.named("account")
        said = await typed(world, "load", transfer, "--apply", "--yes", "--json", **world.environment)
        assert (said.code, said.json["outcomes"]["created"]) == (0, CUSTOMERS), said.err
        wanted = {row["name"] for row in world.accounts.values() if row["name"].startswith("Company")}
        assert sorted(row["name"] for row in world.there("place").values()) == sorted(wanted)

        await world.switch_all(Switch.ON)
        new = await world.new_account(name="Aurora Milling", customertypecode=3, address1_city="Brixen")
        await world.settle()
        ((key, _),) = ((key, row) for key, row in world.there("place").items() if row["crm_id"] == new)
        assert world.account(new)["cdock_fsmid"] == key
        await world.edit_account(new, name="Aurora Mills")
        await world.settle()
        assert world.row("place", key)["name"] == "Aurora Mills"
        world.change("place", key, name="Somebody else", city="Meran")
        await world.settle()
        row = world.row("place", key)
        assert (row["name"], row["city"], row["active"]) == ("Aurora Mills", "Brixen", True)
        assert world.account(new)["name"] == "Aurora Mills"
        assert len(world.there("place")) == CUSTOMERS + 1
        assert world.erp.requests.entries() == []


@both
@virtually
async def test_a_customer_whom_the_erp_has_made_is_in_the_field_service_too(dialect: Dialect) -> None:
    """R-234: as an account of the CRM, and with the name that the ERP gives him later."""
    async with FieldWorld(dialect, "account", erp=True) as world:
        customer = await world.new_customer(displayName="Ginkgo Works", city="Milltown")
        await world.next_walk()
        await world.next_walk()
        row = world.row("place")
        ((account, _),) = world.accounts.items()
        assert (row["name"], row["city"], row["crm_id"]) == ("Ginkgo Works", "Milltown", account)
        await world.edit_customer(customer, displayName="Ginkgo Mills", creditLimit=500)
        await world.next_walk()
        await world.next_walk()
        assert (world.row("place")["name"], world.row("place")["credit_limit"]) == ("Ginkgo Mills", 500)
        assert await world.all_parked() == []


@both
@virtually
async def test_credit_and_payments_are_seen_in_the_field(dialect: Dialect) -> None:
    """R-211: limit, balance, what is overdue, whether he is on hold, when he paid last; each as the CRM has it now."""
    async with FieldWorld(dialect, "account") as world:
        account, key = await world.a_customer(
            creditlimit=Decimal(5000),
            cdock_balance=Decimal("1250.50"),
            cdock_overdue=Decimal(200),
            cdock_lastpaidon=date(2025, 12, 30),
        )
        row = world.row("place", key)
        assert (row["credit_limit"], row["balance_due"], row["overdue"]) == (5000, Decimal("1250.5"), 200)
        assert (row["credit_hold"], row["last_payment_date"]) == (False, date(2025, 12, 30))
        await world.edit_account(account, creditonhold=True, cdock_overdue=Decimal(1250), cdock_lastpaidon=None)
        await world.next_walk()
        row = world.row("place", key)
        assert (row["credit_hold"], row["overdue"], row["last_payment_date"]) == (True, 1250, None)


@both
@virtually
async def test_what_is_overdue_in_the_erp_is_seen_in_the_field(dialect: Dialect) -> None:
    """R-211: booked in the ERP, found by its nightly comparison, and carried on by the CRM to the field service."""
    async with FieldWorld(dialect, "account", erp=True) as world:
        account, key = await world.a_customer(cdock_stage="qualified")
        (customer,) = world.erp.rows(COMPANY, "customers")
        await world.erp.edit(COMPANY, "customers", customer, {"creditLimit": 5000})
        await world.erp.book(COMPANY, customer, Decimal("184.50"), world.clock.now().date() - timedelta(days=1))
        await world.night()
        await world.next_walk()
        assert world.crm.rows("account")[account]["cdock_overdue"] == Decimal("184.5")
        assert (world.row("place", key)["credit_limit"], world.row("place", key)["overdue"]) == (5000, Decimal("184.5"))


@both
@virtually
async def test_who_becomes_a_customer_goes_over_and_who_ends_stays_as_inactive(dialect: Dialect) -> None:
    """R-234: a prospect waits until he is one; a customer that is deactivated or deleted is no longer active there, and
    a new one never takes the place over."""
    async with FieldWorld(dialect, "account") as world:
        prospect = await world.new_account(name="Aurora Milling", customertypecode=8)
        await world.next_walk()
        assert world.there("place") == {}
        await world.edit_account(prospect, customertypecode=3)
        await world.next_walk()
        other, _ = await world.a_customer("Beech Works")
        await world.edit_account(prospect, statecode=1, statuscode=2)
        await world.crm.delete("account", other)
        await world.next_walk()
        found = {row["name"]: (row["active"], row["crm_id"]) for row in world.there("place").values()}
        assert found == {"Aurora Milling": (False, prospect), "Beech Works": (False, None)}
        await world.edit_account(prospect, statecode=0, statuscode=1)
        await world.next_walk()
        assert {row["name"]: row["active"] for row in world.there("place").values()} == {
            "Aurora Milling": True,
            "Beech Works": False,
        }


@both
@virtually
async def test_a_customer_who_is_there_already_is_linked_by_his_number_and_one_who_may_be_is_asked_about(
    dialect: Dialect,
) -> None:
    """R-234: nobody is there twice; of the same name and post code a person says whether they are the same."""
    async with FieldWorld(dialect, "account") as world:
        known = world.enter("place", name="Aurora", place_type="CUSTOMER")
        alike = world.enter("place", name="BEECH WORKS", zippost="39042", place_type="CUSTOMER")
        account = await world.new_account(name="Aurora Milling", customertypecode=3, cdock_fsmid=known)
        unsure = await world.new_account(name="Beech Works", customertypecode=3, address1_postalcode="39042")
        await world.next_walk()
        assert len(world.there("place")) == 2
        assert (world.row("place", known)["name"], world.row("place", known)["crm_id"]) == ("Aurora Milling", account)
        (parked,) = await world.all_parked()
        assert (parked.code, parked.side, parked.key) == ("CD-4303", Side.LEFT, unsure)
        assert alike in parked.others
        assert world.row("place", alike)["crm_id"] is None


@both
@virtually
async def test_the_place_of_a_merged_account_goes_over_to_the_account_that_is_left(dialect: Dialect) -> None:
    """R-234: one customer before and after, with the id of the account that is left."""
    async with FieldWorld(dialect, "account") as world:
        loser, key = await world.a_customer()
        winner = await world.new_account(name="Aurora Mills", telephone1="+39 0471 000002", customertypecode=8)
        await world.crm.merge("account", loser, into=winner, values={})
        await world.next_walk()
        row = world.row("place")
        assert (row["place_id"], row["crm_id"], row["name"], row["phone"]) == (
            key,
            winner,
            "Aurora Mills",
            "+39 0471 000002",
        )
        await world.edit_account(winner, name="Aurora")
        await world.next_walk()
        assert world.row("place")["name"] == "Aurora"
        assert await world.all_parked() == []


@both
@virtually
async def test_a_name_that_is_too_long_is_for_a_person_and_its_mending_goes_over(dialect: Dialect) -> None:
    """R-234: a name cut short would be another name."""
    async with FieldWorld(dialect, "account") as world:
        account = await world.new_account(name="M" * 101, customertypecode=3)
        await world.next_walk()
        assert world.there("place") == {}
        assert [one.field for one in await world.all_parked()] == ["name"]
        await world.edit_account(account, name="Mill")
        await world.next_walk()
        assert world.row("place")["name"] == "Mill"
