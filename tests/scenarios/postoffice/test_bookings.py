"""What PostOffice books on customers and cost centres, in the CRM: orders, invoices, and complaints as cases."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from sandbox.dataverse.errors import DataverseError
from shared.sync.context import pair_name
from shared.sync.outcome import Why
from shared.sync.ports import LinkState, Side, Switch
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import FILES, PARTIES, POOR, WHOLE, PostWorld, Sites, shipped

every = pytest.mark.parametrize("site", [WHOLE, POOR, FILES], ids=["whole", "poor", "files"])
BOOKED = shipped(*PARTIES, "order", "invoice", "complaint")
ORDER, INVOICE, COMPLAINT = "order_to_dataverse", "invoice_to_dataverse", "complaint_to_dataverse"


async def customer_made(world: PostWorld, name: str = "Aurora Milling") -> tuple[str, str]:
    """An account and its customer."""
    before = set(world.customers_there)
    account = await world.new_account(name=name)
    await world.next_walk()
    (customer,) = set(world.customers_there) - before
    return account, customer


async def centre_made(world: PostWorld, account: str) -> tuple[str, str]:
    """A cost centre of the CRM and PostOffice's."""
    before = set(world.cost_centres_there)
    here = await world.crm.create("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account})
    await world.next_walk()
    (there,) = set(world.cost_centres_there) - before
    return here, there


def order(world: PostWorld, customer: str, number: str = "4711", **values: Any) -> str:
    """An order of PostOffice."""
    told = {"customerId": customer, "orderedOn": "2026-03-02", "amount": "12.3456", "currency": "EUR"}
    return str(world.site.create("orders", {"number": number, "state": "open", **told, **values})["id"])


def invoice(world: PostWorld, customer: str, number: str = "R-1", **values: Any) -> str:
    """An invoice of PostOffice."""
    told = {"customerId": customer, "invoicedOn": "2026-03-02", "dueOn": "2026-04-01", "amount": "99.5000"}
    return str(world.site.create("invoices", {"number": number, "currency": "EUR", **told, **values})["id"])


def complaint(world: PostWorld, number: str = "B-1", **values: Any) -> str:
    """A complaint of PostOffice."""
    told = {"subject": "Letter lost", "text": "Since Monday", "reportedAt": "2026-03-02T09:30:00+01:00", "state": "new"}
    return str(world.site.create("complaints", {"number": number, **told, **values})["id"])


def cases(world: PostWorld) -> list[Mapping[str, Any]]:
    """The CRM's cases."""
    return list(world.crm.rows("incident").values())


@every
@virtually
async def test_orders_arrive_on_their_customer_and_follow(site: Sites) -> None:
    """R-105: each order once, with its cost centre, and its later changes."""
    async with PostWorld(site, BOOKED) as world:
        account, customer = await customer_made(world)
        centre, centre_there = await centre_made(world, account)
        placed = order(world, customer, costCentreId=centre_there)
        await world.next_walk()
        (row,) = world.listed("cdock_postorder")
        assert (row["cdock_number"], row["cdock_accountid"], row["cdock_costcentreid"]) == ("4711", account, centre)
        assert (row["cdock_orderedon"], row["cdock_amount"]) == (date(2026, 3, 2), Decimal("12.3456"))
        world.site.edit("orders", placed, {"state": "delivered", "amount": "13"})
        await world.next_walk()
        (row,) = world.listed("cdock_postorder")
        assert (row["cdock_poststate"], row["cdock_amount"]) == ("delivered", Decimal(13))
        assert await world.parked(ORDER) == []


@every
@virtually
async def test_invoices_arrive_on_their_customer_and_follow(site: Sites) -> None:
    """R-104: each invoice once, and that it was paid."""
    async with PostWorld(site, BOOKED) as world:
        account, customer = await customer_made(world)
        sent = invoice(world, customer)
        await world.next_walk()
        (row,) = world.listed("cdock_postinvoice")
        assert (row["cdock_number"], row["cdock_accountid"], row["cdock_paid"]) == ("R-1", account, False)
        assert (row["cdock_invoicedon"], row["cdock_dueon"]) == (date(2026, 3, 2), date(2026, 4, 1))
        assert (row["cdock_amount"], row["cdock_currency"]) == (Decimal("99.5"), "EUR")
        world.site.edit("invoices", sent, {"paid": True})
        await world.next_walk()
        assert [row["cdock_paid"] for row in world.listed("cdock_postinvoice")] == [True]


@every
@virtually
async def test_orders_and_invoices_have_a_switch_each(site: Sites) -> None:
    """R-116: off in a new installation; nothing of the one is in the CRM while the other arrives. What was booked
    meanwhile comes when the switch is moved."""
    made = PostWorld(site, BOOKED)
    await made.rows.prepare()
    assert [(await made.stores.modes.get(name)).switch for name in (ORDER, INVOICE)] == [Switch.OFF, Switch.OFF]
    async with made as world:
        await world.switch(ORDER, Switch.OFF)
        _, customer = await customer_made(world)
        order(world, customer), invoice(world, customer)
        await world.next_walk()
        assert (len(world.listed("cdock_postorder")), len(world.listed("cdock_postinvoice"))) == (0, 1)
        await world.switch(ORDER, Switch.ON)
        await world.switch(INVOICE, Switch.OFF)
        order(world, customer, "4712"), invoice(world, customer, "R-2")
        await world.next_walk()
        assert [row["cdock_number"] for row in world.listed("cdock_postorder")] == ["4711", "4712"]
        assert [row["cdock_number"] for row in world.listed("cdock_postinvoice")] == ["R-1"]


@every
@virtually
async def test_what_is_booked_on_an_unlinked_customer_waits_for_the_link(site: Sites) -> None:
    """R-104, R-105, R-106: nothing goes astray in the CRM, and all arrives by itself when the customer is linked."""
    async with PostWorld(site, BOOKED) as world:
        there = world.site.create("customers", {"name": "Aurora Milling", "number": "77"})["id"]
        order(world, there), invoice(world, there), complaint(world, customerId=there)
        await world.next_walk()
        tables = ("cdock_postorder", "cdock_postinvoice", "incident")
        assert [len(world.crm.rows(table)) for table in tables] == [0, 0, 0]
        assert world.outcomes[f"skipped: {Why.NO_PARTNER.value}"] >= 3
        assert [await world.parked(name) for name in (ORDER, INVOICE, COMPLAINT)] == [[], [], []]
        account = await world.new_account(name="Aurora Milling", cdock_postnumber="77")
        await world.next_walk()
        rows = [next(iter(world.crm.rows(table).values())) for table in tables]
        assert [row.get("cdock_accountid", row.get("customerid")) for row in rows] == [account] * 3


@every
@virtually
async def test_a_customers_complaint_becomes_a_case(site: Sites) -> None:
    """R-106: with what it says, and PostOffice's state beside the case's own, which is the CRM's."""
    async with PostWorld(site, BOOKED) as world:
        account, customer = await customer_made(world)
        reported = complaint(world, customerId=customer)
        await world.next_walk()
        ((key, case),) = world.crm.rows("incident").items()
        assert (case["customerid"], case["customerid@table"], case.get("cdock_costcentreid")) == (
            account,
            "account",
            None,
        )
        assert (case["title"], case["description"]) == ("Letter lost", "Since Monday")
        assert (case["cdock_postnumber"], case["cdock_poststate"], case["casetypecode"]) == ("B-1", "new", 2)
        assert case["cdock_reportedat"] == datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
        await world.crm.edit("incident", key, {"statuscode": 3})
        world.site.edit("complaints", reported, {"state": "answered", "text": "x" * 2500})
        await world.next_walk()
        ((_, case),) = world.crm.rows("incident").items()
        assert (case["cdock_poststate"], case["statuscode"], case["description"]) == ("answered", 3, "x" * 2000)


@every
@virtually
async def test_a_cost_centres_complaint_becomes_a_case_of_its_customer(site: Sites) -> None:
    """R-117: the case's customer is the one that the cost centre belongs to, with a look-up to the cost centre; also
    when PostOffice names the cost centre only."""
    async with PostWorld(site, BOOKED) as world:
        account, customer = await customer_made(world)
        centre, centre_there = await centre_made(world, account)
        complaint(world, "B-1", customerId=customer, costCentreId=centre_there)
        complaint(world, "B-2", costCentreId=centre_there)
        await world.next_walk()
        assert sorted(
            (one["cdock_postnumber"], one["customerid"], one["cdock_costcentreid"]) for one in cases(world)
        ) == [
            ("B-1", account, centre),
            ("B-2", account, centre),
        ]


@every
@virtually
async def test_a_complaint_that_names_a_cost_centre_only_waits_for_its_customer(site: Sites) -> None:
    """R-117: it comes when the customer is linked, though the cost centre is not; the look-up follows with that."""
    async with PostWorld(site, BOOKED) as world:
        there = world.site.create("customers", {"name": "Aurora Milling", "number": "77"})["id"]
        of_it = world.site.create("cost-centres", {"name": "Mill 2", "number": "78", "customerId": there})["id"]
        complaint(world, costCentreId=of_it)
        await world.next_walk()
        assert cases(world) == []
        account = await world.new_account(name="Aurora Milling", cdock_postnumber="77")
        await world.next_walk()
        (case,) = cases(world)
        assert (case["customerid"], case.get("cdock_costcentreid")) == (account, None)
        centre = await world.crm.create(
            "cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account, "cdock_number": "78"}
        )
        await world.next_walk()
        (case,) = cases(world)
        assert case["cdock_costcentreid"] == centre


@every
@virtually
async def test_a_complaint_that_is_gone_leaves_its_case(site: Sites) -> None:
    """R-106: the case is the CRM's; only the link goes."""
    async with PostWorld(site, BOOKED) as world:
        _, customer = await customer_made(world)
        reported = complaint(world, customerId=customer)
        await world.next_walk()
        world.site.delete("complaints", reported)
        complaints = next(one for one in world.index.definitions if one.right.table == "complaints")
        await world.announce(Side.RIGHT, reported, complaints)
        await world.next_walk()
        assert len(cases(world)) == 1
        row = await world.stores.links.get(pair_name(complaints, world._connectors), Side.RIGHT, reported)
        assert row is None or row.state is LinkState.UNLINKED


@virtually
async def test_a_case_needs_a_customer() -> None:
    """The sandbox refuses what Dataverse refuses."""
    async with PostWorld(WHOLE, BOOKED) as world:
        with pytest.raises(DataverseError, match="parent contact or account"):
            await world.crm.create("incident", {"title": "Nobody's"})


@virtually
async def test_what_is_asked_of_a_whole_site_for_one_row_is_one_row() -> None:
    """R-105: an order among many costs no reading of all of them."""
    async with PostWorld(WHOLE, BOOKED) as world:
        _, customer = await customer_made(world)
        placed = [order(world, customer, str(number)) for number in range(30)]
        await world.next_walk()
        world.site.requests.clear()
        world.site.edit("orders", placed[7], {"state": "delivered"})
        await world.next_walk()
        read = [entry for entry in world.site.requests.entries() if entry.path.endswith("/orders")]
        assert read != []
        assert {entry.query_names for entry in read} == {("ids", "limit")}
