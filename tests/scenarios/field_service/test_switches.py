"""Each kind of data is exchanged or not, by a decision about it alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from shared.sync.ports import Switch
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both

DAY, TIME = date(2026, 1, 2), datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Kind:
    """A kind of data of which both sides have one record: its tables, and what changes on each side, with what comes of
    it on the other. Nothing: that direction carries nothing of a record that is linked."""

    here: str
    there: str
    ours: tuple[str, Any, str, Any] | None = None
    theirs: tuple[str, Any, str, Any] | None = None


KINDS = {
    "account": Kind("account", "place", ours=("telephone1", "+39 0471 1", "phone", "+39 0471 1")),
    "customer_product": Kind(
        "cdock_customerproduct", "product", theirs=("description", "New mill", "cdock_name", "New mill")
    ),
    "invoice_request": Kind(
        "cdock_invoicerequest",
        "invoice_request",
        ours=("cdock_invoicenumber", "17", "invoice_no", "17"),
        theirs=("description", "New", "cdock_name", "New"),
    ),
    "part_return": Kind("cdock_partreturn", "part_return", theirs=("reason", "Torn", "cdock_reason", "Torn")),
    "promotion": Kind(
        "campaign",
        "promotion",
        ours=("description", "New", "description", "New"),
        theirs=("offered_count", 3, "cdock_offeredcount", 3),
    ),
    "quotation": Kind(
        "opportunity",
        "quote",
        ours=("closeprobability", 7, "probability", 7),
        theirs=("quote_status", "SENT", "cdock_quotestate", 100000001),
    ),
    "sale": Kind(
        "cdock_sale",
        "sales_history",
        ours=("cdock_currency", "CHF", "currency", "CHF"),
        theirs=("description", "New", "cdock_name", "New"),
    ),
    "service_contract": Kind(
        "cdock_servicecontract", "contract", theirs=("response_hours", 9, "cdock_responsehours", 9)
    ),
    "service_job": Kind(
        "cdock_servicejob",
        "task",
        ours=("cdock_customerwish", "New", "customer_wish", "New"),
        theirs=("resolution", "New", "cdock_resolution", "New"),
    ),
    "sla_result": Kind("cdock_slaresult", "sla_result", theirs=("measure", "Repair", "cdock_name", "Repair")),
    "stock": Kind("cdock_servicestock", "stock", theirs=("quantity", 9, "cdock_quantity", 9)),
    "warranty": Kind(
        "cdock_warranty",
        "product_warranty",
        ours=("cdock_extendeduntil", DAY, "extended_until", DAY),
        theirs=("covers_labor", True, "cdock_coverslabour", True),
    ),
}


async def filled(world: FieldWorld) -> None:
    """One record of each kind, on both sides."""
    _, place = await world.a_customer()
    await world.crm.create("campaign", {"name": "Belts for two", "statuscode": 2})
    product = world.enter("product", place_id=place, part_id="MILL-7", serial_no="0815")
    contract = world.enter("contract", place_id=place, contract_type="FULL", start_date=DAY)
    await world.next_walk()
    task = world.enter("task", place_id=place, task_type="VISIT", description="Visit")
    world.enter("quote", place_id=place, description="Belt")
    world.enter("sales_history", place_id=place, sale_kind="GOODS", sold_date=DAY)
    world.enter("product_warranty", product_id=product, warranty_type="MANUFACTURER", start_date=DAY, end_date=DAY)
    world.enter("sla_result", contract_id=contract, measure="Response", due_dttm=TIME)
    world.enter("stock", location_id="MAIN", part_id="BELT", quantity=2)
    world.enter("part_return", place_id=place, part_id="BELT", quantity=1)
    await world.next_walk()
    world.enter("invoice_request", place_id=place, task_id=task, requested_dttm=TIME, amount=Decimal(5), currency="EUR")
    await world.next_walk()


async def edited(world: FieldWorld) -> dict[str, Callable[[], bool]]:
    """Everybody edits what is his; answers for each transfer whether it has carried that over."""
    arrived: dict[str, Callable[[], bool]] = {}
    for what, kind in KINDS.items():
        ((here, _),), ((there, _),) = world.kept(kind.here).items(), world.there(kind.there).items()
        if kind.ours is not None:
            column, value, other, shown = kind.ours
            await world.crm.edit(kind.here, here, {column: value})
            arrived[world.named(what)] = _shows(lambda kind=kind: world.row(kind.there), other, shown)
        if kind.theirs is not None:
            column, value, other, shown = kind.theirs
            world.change(kind.there, there, **{column: value})
            arrived[world.named(what, to_crm=True)] = _shows(lambda kind=kind: world.here(kind.here), other, shown)
    return arrived


def _shows(row: Callable[..., Any], column: str, value: Any) -> Callable[[], bool]:
    return lambda: bool(row()[column] == value)


@both
@virtually
async def test_each_transfer_moves_its_own_kind_one_way_and_nothing_else(dialect: Dialect) -> None:
    """R-236, R-228, R-214 … R-219: all are off at first. While all are off nothing moves, whatever is edited; each that
    is switched on alone carries over what came meanwhile (the nightly comparison finds it), and no other kind and not
    the other way."""
    async with FieldWorld(dialect) as world:
        assert world.at_first == {Switch.OFF}
        await filled(world)
        await world.switch_all(Switch.OFF)
        arrived = await edited(world)
        creates_only = world.named("service_contract")
        assert set(arrived) == set(world.queues) - {creates_only}
        await world.next_walk()
        assert [name for name, has in arrived.items() if has()] == []
        done: list[str] = []
        for name in [creates_only, *arrived]:
            await world.switch(name, Switch.ON)
            await world.night()
            await world.switch(name, Switch.OFF)
            done += [] if name == creates_only else [name]
            assert [one for one, has in arrived.items() if has()] == done
        assert await world.all_parked() == []


@both
@virtually
async def test_what_is_new_is_made_only_by_a_transfer_that_is_on(dialect: Dialect) -> None:
    """R-236: the two directions of one kind apart."""
    async with FieldWorld(dialect, "service_contract", on=False) as world:
        await world.switch(world.named("account"), Switch.ON)
        await world.next_walk()
        account, place = await world.a_customer()
        await world.switch(world.named("service_contract", to_crm=True), Switch.ON)
        await world.next_walk()
        world.enter("contract", place_id=place, contract_type="FULL", start_date=DAY, description="Of the field")
        await world.crm.create(
            "cdock_servicecontract",
            {
                "cdock_name": "Of the CRM",
                "cdock_accountid": account,
                "cdock_type": 100000000,
                "cdock_startson": DAY,
            },
        )
        await world.next_walk()
        assert [row["description"] for row in world.there("contract").values()] == ["Of the field"]
        assert len(world.kept("cdock_servicecontract")) == 2
        await world.switch(world.named("service_contract", to_crm=True), Switch.OFF)
        world.enter("contract", place_id=place, contract_type="PARTS", start_date=DAY)
        await world.next_walk()
        assert len(world.kept("cdock_servicecontract")) == 2


@both
@virtually
async def test_what_is_shipped_fits_what_is_there(dialect: Dialect) -> None:
    """R-222: every table, column and choice that a definition names is held against both systems; nothing is amiss."""
    async with FieldWorld(dialect, hooks=True) as world:
        said = await typed(world, "check", "--json", **world.environment)
        assert (said.code, said.json["findings"]) == (0, [])
