"""Paid service is handed over to be invoiced, and the answer comes back to the field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both

TABLE = "cdock_invoicerequest"
REQUESTED, INVOICED, PAID = 100000000, 100000001, 100000002


@both
@virtually
async def test_a_request_for_an_invoice_goes_over_and_the_erps_answer_comes_back(dialect: Dialect) -> None:
    """R-211: with customer, job and amount; state, invoice and dates as the ERP has written them into the CRM. Neither
    side writes over what is the other's."""
    async with FieldWorld(dialect, "invoice_request") as world:
        account, place = await world.a_customer()
        task = world.enter("task", place_id=place, task_type="REPAIR", description="Belt slips")
        request = world.enter(
            "invoice_request",
            place_id=place,
            task_id=task,
            requested_dttm=datetime(2026, 1, 5, 12, tzinfo=UTC),
            description="Belt and two hours",
            amount=Decimal("180.50"),
            currency="EUR",
        )
        await world.next_walk()
        await world.next_walk()
        found = world.here(TABLE)
        assert (found["cdock_accountid"], found["cdock_amount"], found["cdock_currency"]) == (
            account,
            Decimal("180.5"),
            "EUR",
        )
        assert (found["cdock_fsmid"], found["cdock_state"]) == (request, REQUESTED)
        assert found["cdock_servicejobid"] == world.here("cdock_servicejob")["cdock_servicejobid"]
        key = found["cdock_invoicerequestid"]
        answer = {"cdock_state": INVOICED, "cdock_invoicenumber": "2026-17", "cdock_invoicedon": date(2026, 1, 6)}
        await world.crm.edit(TABLE, key, {**answer, "cdock_amount": Decimal(1)})
        await world.next_walk()
        row = world.row("invoice_request", request)
        assert (row["request_status"], row["invoice_no"], row["invoiced_date"]) == (
            "INVOICED",
            "2026-17",
            date(2026, 1, 6),
        )
        assert (row["amount"], world.here(TABLE)["cdock_amount"]) == (Decimal("180.5"), Decimal("180.5"))
        world.change("invoice_request", request, request_status="REFUSED", invoice_no="no")
        await world.crm.edit(TABLE, key, {"cdock_state": PAID, "cdock_paidon": date(2026, 1, 20)})
        await world.next_walk()
        row = world.row("invoice_request", request)
        assert (row["request_status"], row["invoice_no"], row["paid_date"]) == ("PAID", "2026-17", date(2026, 1, 20))


@both
@virtually
async def test_a_request_that_somebody_enters_in_the_crm_stays_there(dialect: Dialect) -> None:
    """R-211: requests are born in the field."""
    async with FieldWorld(dialect, "invoice_request") as world:
        account, _ = await world.a_customer()
        await world.crm.create(TABLE, {"cdock_name": "By hand", "cdock_accountid": account, "cdock_amount": Decimal(5)})
        await world.next_walk()
        assert world.there("invoice_request") == {}
        assert await world.all_parked() == []
