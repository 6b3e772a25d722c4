"""What was there before is loaded kind by kind; afterwards both sides agree, and nobody writes anything more."""

from __future__ import annotations

from datetime import UTC, date, datetime

from shared.sync.ports import Switch
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both

CUSTOMERS = 5
DAY, TIME = date(2025, 5, 2), datetime(2025, 5, 2, 12, tzinfo=UTC)
ORDER = (
    ("account", False, CUSTOMERS),
    ("customer_product", True, CUSTOMERS),
    ("service_contract", True, CUSTOMERS),
    ("service_contract", False, 1),
    ("service_job", True, 2 * CUSTOMERS),
    ("service_job", False, 1),
    ("warranty", True, CUSTOMERS),
    ("sla_result", True, CUSTOMERS),
    ("quotation", True, 1),
    ("sale", True, CUSTOMERS),
    ("sale", False, 1),
    ("invoice_request", True, 1),
    ("promotion", False, 1),
    ("stock", True, CUSTOMERS),
    ("part_return", True, 1),
)
"""The order of the page: a kind, whether it is loaded into the CRM, and how many are made there."""


async def filled(world: FieldWorld) -> None:
    """Customers of the CRM, whom the field service knows by their ids, and what was done for them."""
    accounts = [await world.new_account(name=f"Mill {n}", customertypecode=3) for n in range(CUSTOMERS)]
    for number, account in enumerate(accounts):
        place = world.enter("place", name=f"Mill {number}", place_type="CUSTOMER", crm_id=account)
        product = world.enter("product", place_id=place, part_id="MILL-7", serial_no=f"{number}", description="Mill")
        contract = world.enter("contract", place_id=place, contract_type="FULL", start_date=DAY)
        for kind in ("REPAIR", "VISIT"):
            task = world.enter("task", place_id=place, product_id=product, task_type=kind, description=kind)
        world.enter(
            "product_warranty",
            product_id=product,
            warranty_type="EXTENDED",
            start_date=DAY,
            end_date=DAY,
            place_id=place,
        )
        world.enter("sla_result", contract_id=contract, task_id=task, measure="Response", due_dttm=TIME, met=True)
        world.enter("sales_history", place_id=place, sale_kind="GOODS", sold_date=DAY, amount=number)
        world.enter("stock", location_id=f"VAN-{number}", part_id="BELT", quantity=number)
    world.enter("quote", place_id=place, description="Belt")
    world.enter("part_return", place_id=place, task_id=task, part_id="BELT", quantity=1)
    world.enter("invoice_request", place_id=place, task_id=task, requested_dttm=TIME, amount=5, currency="EUR")
    of = {"cdock_accountid": accounts[0]}
    await world.crm.create("cdock_servicejob", {"cdock_name": "Hoist", "cdock_type": 100000001, **of})
    await world.crm.create("cdock_servicecontract", {"cdock_type": 100000001, "cdock_startson": DAY, **of})
    await world.crm.create("cdock_sale", {"cdock_kind": 100000001, "cdock_soldon": DAY, **of})
    await world.crm.create("campaign", {"name": "Belts for two", "statuscode": 2})


def written(world: FieldWorld) -> list[str]:
    """The requests by which something was changed in either system."""
    entries = [*world.crm.requests.entries(), *world.field.requests.entries()]
    reads = ("/query", "/token")
    return [f"{one.method} {one.path}" for one in entries if one.method != "GET" and not one.path.endswith(reads)]


@both
@virtually
async def test_everything_from_before_is_loaded_once_and_then_both_sides_agree(dialect: Dialect) -> None:
    """R-234, R-235, R-214 … R-218: nothing waits for a person, nothing is there twice; with all transfers on, neither a
    walk nor the nightly comparison has anything left to write."""
    async with FieldWorld(dialect, on=False) as world:
        await filled(world)
        for what, to_crm, made in ORDER:
            words = ("load", world.named(what, to_crm=to_crm), "--apply", "--yes", "--json")
            said = await typed(world, *words, **world.environment)
            outcomes = said.json["outcomes"]
            linked = outcomes["updated"] if what == "account" else outcomes["created"]
            assert (said.code, linked, outcomes["parked"]) == (0, made, 0), (what, said.out)
        assert len(world.there("place")) == CUSTOMERS
        jobs = world.kept("cdock_servicejob").values()
        assert len(jobs) == len(world.there("task")) == 2 * CUSTOMERS + 1
        assert sum(row["cdock_customerproductid"] is not None for row in jobs) == 2 * CUSTOMERS
        await world.switch_all(Switch.ON)
        await world.next_walk()
        world.crm.requests.clear()
        world.field.requests.clear()
        await world.next_walk()
        await world.night()
        assert (written(world), world.field.requests.entries() == []) == ([], False)
        assert await world.all_parked() == []
