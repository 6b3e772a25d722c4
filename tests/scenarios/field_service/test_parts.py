"""Parts: what is in stock in vans and warehouses, what comes back, what stands at customers'."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both

STOCK, RETURN, PRODUCT = "cdock_servicestock", "cdock_partreturn", "cdock_customerproduct"
WAREHOUSE, VAN, PART, TOOL = 100000000, 100000001, 100000000, 100000001
SCRAP, OF_THE_CUSTOMER, RECEIVED, REMOVED = 100000002, 100000000, 100000001, 100000001


@both
@virtually
async def test_stock_of_parts_and_tools_in_vans_and_the_warehouse_is_seen_in_the_crm(dialect: Dialect) -> None:
    """R-207: each part of each place once, whatever stands in its number; what is used up in the field changes there,
    what somebody counts in the CRM does not count."""
    async with FieldWorld(dialect, "stock", hooks=True) as world:
        belt = {"part_id": "BELT, 7%", "part_description": "Belt", "item_kind": "PART", "unit": "pcs"}
        for location, kind, quantity in (("MAIN", "WAREHOUSE", 40), ("VAN-3", "VAN", 2)):
            world.enter(
                "stock", location_id=location, location_type=kind, location_name=location, quantity=quantity, **belt
            )
        world.enter("stock", location_id="VAN-3", part_id="HOIST", location_type="VAN", item_kind="TOOL", quantity=1)
        await world.next_walk()
        rows = {(row["cdock_locationnumber"], row["cdock_partnumber"]): row for row in world.kept(STOCK).values()}
        assert {key: row["cdock_quantity"] for key, row in rows.items()} == {
            ("MAIN", "BELT, 7%"): 40,
            ("VAN-3", "BELT, 7%"): 2,
            ("VAN-3", "HOIST"): 1,
        }
        assert (rows["MAIN", "BELT, 7%"]["cdock_locationtype"], rows["VAN-3", "HOIST"]["cdock_locationtype"]) == (
            WAREHOUSE,
            VAN,
        )
        assert (rows["MAIN", "BELT, 7%"]["cdock_kind"], rows["VAN-3", "HOIST"]["cdock_kind"]) == (PART, TOOL)
        in_van = next(key for key in world.there("stock") if key.startswith("VAN-3,BELT"))
        world.change("stock", in_van, quantity=Decimal("0.5"))
        await world.crm.edit(STOCK, rows["MAIN", "BELT, 7%"]["cdock_servicestockid"], {"cdock_quantity": Decimal(9)})
        await world.next_walk()
        left = {
            row["cdock_locationnumber"]: row["cdock_quantity"]
            for row in world.kept(STOCK).values()
            if row["cdock_name"]
        }
        assert left == {"MAIN": 40, "VAN-3": Decimal("0.5")}


@both
@virtually
async def test_a_part_that_comes_back_is_seen_with_what_becomes_of_it(dialect: Dialect) -> None:
    """R-210: of which customer and job, whose part it is, whether it is scrapped or repaired, and whether the customer
    gets another one."""
    async with FieldWorld(dialect, "part_return") as world:
        account, place = await world.a_customer()
        task = world.enter("task", place_id=place, task_type="REPAIR", description="Belt slips")
        back = world.enter(
            "part_return",
            place_id=place,
            task_id=task,
            part_id="BELT-7",
            serial_no="12",
            quantity=1,
            reason="Torn",
            return_status="ANNOUNCED",
        )
        await world.next_walk()
        await world.next_walk()
        found = world.here(RETURN)
        assert (found["cdock_accountid"], found["cdock_partnumber"], found["cdock_reason"]) == (
            account,
            "BELT-7",
            "Torn",
        )
        assert found["cdock_servicejobid"] == world.here("cdock_servicejob")["cdock_servicejobid"]
        at = datetime(2026, 1, 7, 14, tzinfo=UTC)
        world.change(
            "part_return",
            back,
            disposition="SCRAP",
            owner="CUSTOMER",
            replacement_due=True,
            returned_dttm=at,
            return_status="RECEIVED",
        )
        await world.next_walk()
        found = world.here(RETURN)
        assert (found["cdock_disposition"], found["cdock_owner"], found["cdock_state"]) == (
            SCRAP,
            OF_THE_CUSTOMER,
            RECEIVED,
        )
        assert (found["cdock_replacementdue"], found["cdock_returnedat"]) == (True, at)


@both
@virtually
async def test_what_stands_at_a_customers_is_seen_in_the_crm(dialect: Dialect) -> None:
    """R-217, R-208: every single product, with its serial number; also when it is taken away."""
    async with FieldWorld(dialect, "customer_product") as world:
        account, place = await world.a_customer()
        product = world.enter(
            "product",
            place_id=place,
            part_id="MILL-7",
            serial_no="0815",
            description="Mill",
            installed_date=date(2025, 6, 1),
            status="ACTIVE",
        )
        await world.next_walk()
        found = world.here(PRODUCT)
        assert (found["cdock_accountid"], found["cdock_partnumber"], found["cdock_serialnumber"]) == (
            account,
            "MILL-7",
            "0815",
        )
        assert (found["cdock_name"], str(found["cdock_installedon"])) == ("Mill", "2025-06-01")
        assert world.row("product", product)["crm_id"] == found["cdock_customerproductid"]
        world.change("product", product, status="REMOVED")
        await world.next_walk()
        assert world.here(PRODUCT)["cdock_state"] == REMOVED
