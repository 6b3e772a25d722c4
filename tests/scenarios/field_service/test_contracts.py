"""Service contracts, how far they are met, and warranties: kept in the field service, seen and extended in the CRM."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both, everywhere

CONTRACT, RESULT, WARRANTY = "cdock_servicecontract", "cdock_slaresult", "cdock_warranty"
FULL, OFFERED, ACTIVE, MANUFACTURER, MISSED = 100000000, 100000000, 100000001, 100000000, 100000001
NEW_YEAR, NEXT_YEAR = date(2026, 1, 1), date(2027, 1, 1)


@both
@virtually
async def test_a_contract_that_the_crm_concludes_is_kept_by_the_field_service(dialect: Dialect) -> None:
    """R-206, R-218: it starts there with the terms of the CRM; from then on the field service says them, and an edit of
    the CRM is put back."""
    async with FieldWorld(dialect, "service_contract") as world:
        account, place = await world.a_customer()
        key = await world.crm.create(
            CONTRACT,
            {
                "cdock_name": "All mills",
                "cdock_accountid": account,
                "cdock_type": FULL,
                "cdock_startson": NEW_YEAR,
                "cdock_annualvalue": Decimal(1200),
                "cdock_currency": "EUR",
                "cdock_responsehours": 4,
                "cdock_state": OFFERED,
            },
        )
        await world.next_walk()
        ((contract, row),) = world.there("contract").items()
        assert (row["crm_id"], row["place_id"], row["contract_type"]) == (key, place, "FULL")
        assert (row["description"], row["start_date"], row["annual_value"]) == ("All mills", NEW_YEAR, 1200)
        assert (row["response_hours"], row["status"]) == (4, "OFFERED")
        assert world.here(CONTRACT)["cdock_fsmid"] == contract
        world.change("contract", contract, status="ACTIVE", response_hours=8, end_date=NEXT_YEAR)
        await world.next_walk()
        found = world.here(CONTRACT)
        assert (found["cdock_state"], found["cdock_responsehours"]) == (ACTIVE, 8)
        assert str(found["cdock_endson"]) == "2027-01-01"
        await world.crm.edit(CONTRACT, key, {"cdock_annualvalue": Decimal(1), "cdock_responsehours": 72})
        await world.next_walk()
        assert (world.here(CONTRACT)["cdock_annualvalue"], world.here(CONTRACT)["cdock_responsehours"]) == (1200, 8)
        assert world.row("contract", contract)["annual_value"] == 1200


@both
@virtually
async def test_how_far_work_met_its_contract_is_seen_in_the_crm(dialect: Dialect) -> None:
    """R-218, R-206: of each job, with contract and customer; what is measured later arrives too. A contract that was
    concluded in the field is in the CRM first."""
    async with FieldWorld(dialect, "sla_result") as world:
        account, place = await world.a_customer()
        contract = world.enter("contract", place_id=place, contract_type="FULL", start_date=NEW_YEAR, response_hours=4)
        task = world.enter("task", place_id=place, contract_id=contract, task_type="REPAIR", description="Belt slips")
        due, done = (datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (13, 15))
        result = world.enter(
            "sla_result", contract_id=contract, task_id=task, place_id=place, measure="Response", due_dttm=due
        )
        await world.next_walk()
        await world.next_walk()
        found = world.here(RESULT)
        assert (found["cdock_name"], found["cdock_met"], found["cdock_accountid"]) == ("Response", None, account)
        assert found["cdock_servicecontractid"] == world.here(CONTRACT)["cdock_servicecontractid"]
        assert found["cdock_servicejobid"] == world.here("cdock_servicejob")["cdock_servicejobid"]
        world.change("sla_result", result, done_dttm=done, met=False)
        await world.next_walk()
        assert (world.here(RESULT)["cdock_met"], world.here(RESULT)["cdock_doneat"]) == (MISSED, done)


@everywhere
@virtually
async def test_the_crm_sees_whose_warranty_can_be_extended_and_the_field_what_was_offered(dialect: Dialect) -> None:
    """R-217, R-208, R-222: with product and customer; offer and extension go back, what the warranty covers cannot be
    written over, and none is made from the CRM."""
    async with FieldWorld(dialect, "warranty") as world:
        account, place = await world.a_customer()
        product = world.enter("product", place_id=place, part_id="MILL-7", serial_no="0815", description="Mill")
        warranty = world.enter(
            "product_warranty",
            product_id=product,
            place_id=place,
            warranty_type="MANUFACTURER",
            start_date=NEW_YEAR,
            end_date=NEXT_YEAR,
            covers_parts=True,
            covers_labor=False,
        )
        await world.next_walk()
        await world.next_walk()
        found = world.here(WARRANTY)
        assert (found["cdock_type"], found["cdock_accountid"]) == (MANUFACTURER, account)
        assert found["cdock_customerproductid"] == world.here("cdock_customerproduct")["cdock_customerproductid"]
        assert (str(found["cdock_endson"]), found["cdock_coversparts"]) == ("2027-01-01", True)
        assert not found["cdock_coverslabour"]
        key = found["cdock_warrantyid"]
        offered = {"cdock_extensionoffered": True, "cdock_extendeduntil": date(2028, 1, 1)}
        await world.crm.edit(WARRANTY, key, {**offered, "cdock_coversparts": False})
        await world.crm.create(WARRANTY, {"cdock_fsmid": "of the CRM"})
        await world.next_walk()
        row = world.row("product_warranty")
        assert (row["extension_offered"], row["extended_until"]) == (True, date(2028, 1, 1))
        assert (row["covers_parts"], row["crm_id"]) == (True, key)
        assert world.kept(WARRANTY)[key]["cdock_coversparts"] is True
        assert warranty in {one["cdock_fsmid"] for one in world.kept(WARRANTY).values()}
