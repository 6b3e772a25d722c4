"""Jobs of the field service: planned and done there, asked for and seen in the CRM."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from shared.sync.ports import Side
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both, everywhere

TABLE = "cdock_servicejob"
REPAIR, OPEN, SCHEDULED, COMPLETED = 100000001, 100000000, 100000001, 100000003
WARRANTY, PAYABLE = 100000000, 100000002
NINE, TEN = datetime(2026, 1, 12, 9, 0, tzinfo=UTC), datetime(2026, 1, 12, 10, 30, tzinfo=UTC)


async def asked_for(world: FieldWorld, account: str, **values: Any) -> str:
    """Somebody in the CRM asks for a repair, and it goes over."""
    usual = {"cdock_name": "Belt slips", "cdock_accountid": account, "cdock_type": REPAIR}
    job = await world.crm.create(TABLE, {**usual, **values})
    await world.next_walk()
    return job


@everywhere
@virtually
async def test_appointments_of_the_field_service_are_seen_in_the_crm(dialect: Dialect) -> None:
    """R-204, R-214, R-222: when, by whom, and in which state; also when the plan is changed, by hand or by its
    optimisation. A date that somebody moves in the CRM is put back: the schedule belongs to the field service."""
    async with FieldWorld(dialect, "service_job") as world:
        account, place = await world.a_customer()
        task = world.enter("task", place_id=place, task_type="MAINTENANCE", description="Yearly check")
        await world.next_walk()
        job = world.here(TABLE)
        assert (job["cdock_name"], job["cdock_accountid"], job["cdock_plannedstart"]) == ("Yearly check", account, None)
        world.change(
            "task", task, plan_start_dttm=NINE, plan_end_dttm=TEN, person_id="ADA", task_status="SCHEDULED", priority=2
        )
        await world.next_walk()
        job = world.here(TABLE)
        assert (job["cdock_plannedstart"], job["cdock_plannedend"]) == (NINE, TEN)
        assert (job["cdock_technician"], job["cdock_state"], job["cdock_priority"]) == ("ADA", SCHEDULED, 2)
        world.change("task", task, plan_start_dttm=TEN, person_id="BEN")
        await world.next_walk()
        assert (world.here(TABLE)["cdock_plannedstart"], world.here(TABLE)["cdock_technician"]) == (TEN, "BEN")
        await world.crm.edit(TABLE, job["cdock_servicejobid"], {"cdock_plannedstart": "2026-01-13T09:00:00Z"})
        await world.next_walk()
        assert world.here(TABLE)["cdock_plannedstart"] == TEN
        assert world.row("task", task)["plan_start_dttm"] == TEN


@everywhere
@virtually
async def test_work_that_the_crm_asks_for_is_ordered_done_and_reported(dialect: Dialect) -> None:
    """R-205, R-203, R-214, R-222: the task is made once, with the customer's wish; the work order's number and the
    completion come back; the customer's rating goes to the field service."""
    async with FieldWorld(dialect, "service_job") as world:
        account, place = await world.a_customer()
        job = await asked_for(world, account, cdock_customerwish="Not before noon", cdock_priority=1)
        ((task, row),) = world.there("task").items()
        assert (row["crm_id"], row["place_id"], row["task_type"]) == (job, place, "REPAIR")
        assert (row["description"], row["customer_wish"], row["priority"]) == ("Belt slips", "Not before noon", 1)
        assert world.here(TABLE)["cdock_fsmid"] == task
        order = 4711 if dialect.kind == "ifs_cloud" else "4711"
        world.change(
            "task",
            task,
            request_id=order,
            task_status="COMPLETED",
            started_dttm=NINE,
            completed_dttm=TEN,
            resolution="Belt replaced",
        )
        await world.next_walk()
        done = world.here(TABLE)
        assert (done["cdock_state"], done["cdock_resolution"], done["cdock_ordernumber"]) == (
            COMPLETED,
            "Belt replaced",
            "4711",
        )
        assert (done["cdock_startedat"], done["cdock_completedat"]) == (NINE, TEN)
        await world.crm.edit(TABLE, job, {"cdock_rating": 5, "cdock_customerwish": "Thanks"})
        await world.next_walk()
        row = world.row("task", task)
        assert (row["customer_rating"], row["customer_wish"], row["resolution"]) == (5, "Thanks", "Belt replaced")


@both
@virtually
async def test_work_that_is_ordered_in_the_field_service_is_seen_in_the_crm(dialect: Dialect) -> None:
    """R-205, R-214: with its customer, product and contract, once those are there; the CRM's id stands in it
    afterwards. Work at a customer whom the CRM does not know waits for him."""
    async with FieldWorld(dialect, "service_job") as world:
        account, place = await world.a_customer()
        product = world.enter("product", place_id=place, part_id="MILL-7", serial_no="0815", description="Mill")
        contract = world.enter("contract", place_id=place, contract_type="FULL", start_date=NINE.date())
        foreign = world.enter("place", name="Eigen AG", place_type="CUSTOMER")
        world.enter("task", place_id=foreign, task_type="VISIT", description="Theirs")
        task = world.enter(
            "task",
            place_id=place,
            product_id=product,
            contract_id=contract,
            task_type="REPAIR",
            description="Belt slips",
            task_status="OPEN",
        )
        await world.next_walk()
        await world.next_walk()
        job = world.here(TABLE)
        assert (job["cdock_accountid"], job["cdock_type"], job["cdock_state"]) == (account, REPAIR, OPEN)
        assert job["cdock_customerproductid"] == world.here("cdock_customerproduct")["cdock_customerproductid"]
        assert job["cdock_servicecontractid"] == world.here("cdock_servicecontract")["cdock_servicecontractid"]
        assert world.row("task", task)["crm_id"] == job["cdock_servicejobid"]
        await world.new_account(name="Eigen AG", customertypecode=3, cdock_fsmid=foreign)
        await world.next_walk()
        assert {row["cdock_name"] for row in world.kept(TABLE).values()} == {"Belt slips", "Theirs"}


@both
@virtually
async def test_whether_work_is_under_warranty_or_has_to_be_paid_is_seen_on_the_job(dialect: Dialect) -> None:
    """R-208: as the technician has found it, with the amount; what somebody writes over it in the CRM is put back."""
    async with FieldWorld(dialect, "service_job") as world:
        account, _ = await world.a_customer()
        job = await asked_for(world, account)
        ((task, _),) = world.there("task").items()
        world.change("task", task, payment_kind="WARRANTY")
        await world.next_walk()
        assert (world.here(TABLE)["cdock_paymentkind"], world.here(TABLE)["cdock_amount"]) == (WARRANTY, None)
        world.change("task", task, payment_kind="PAYABLE", amount=Decimal("180.50"), currency="EUR")
        await world.next_walk()
        found = world.here(TABLE)
        assert (found["cdock_paymentkind"], found["cdock_amount"], found["cdock_currency"]) == (
            PAYABLE,
            Decimal("180.5"),
            "EUR",
        )
        await world.crm.edit(TABLE, job, {"cdock_paymentkind": WARRANTY})
        await world.next_walk()
        assert world.here(TABLE)["cdock_paymentkind"] == PAYABLE
        assert world.row("task", task)["payment_kind"] == "PAYABLE"


@both
@virtually
async def test_the_history_grows_without_anybody_waiting_for_it(dialect: Dialect) -> None:
    """R-235, R-230: what the field service posts is answered before anything is written, and the CRM has it by its
    queue; several changes of a job arrive as its last state."""
    async with FieldWorld(dialect, "service_job", hooks=True) as world:
        _, place = await world.a_customer()
        task = world.enter("task", place_id=place, task_type="REPAIR", description="Belt slips")
        await world.field.flush()
        assert world.kept(TABLE) == {}
        await world.settle()
        for status, text in (("ON SITE", None), ("COMPLETED", "Belt replaced")):
            world.change("task", task, task_status=status, resolution=text)
        await world.settle()
        job = world.here(TABLE)
        assert (job["cdock_state"], job["cdock_resolution"]) == (COMPLETED, "Belt replaced")


@both
@virtually
async def test_a_job_without_what_the_field_service_needs_is_for_a_person(dialect: Dialect) -> None:
    """R-205: its type is missing; filled in, it goes over by itself."""
    async with FieldWorld(dialect, "service_job") as world:
        account, _ = await world.a_customer()
        job = await asked_for(world, account, cdock_type=None)
        assert world.there("task") == {}
        (parked,) = await world.all_parked()
        assert (parked.code, parked.field, parked.side, parked.key) == ("CD-4020", "cdock_type", Side.LEFT, job)
        await world.crm.edit(TABLE, job, {"cdock_type": REPAIR})
        await world.next_walk()
        assert world.row("task")["crm_id"] == job
        assert await world.all_parked() == []
