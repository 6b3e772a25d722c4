"""Each kind of data is exchanged or not, by a decision about it alone."""

from __future__ import annotations

from datetime import date

from shared.sync.ports import Switch
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both


@both
@virtually
async def test_nothing_moves_until_somebody_decides_so_and_then_only_that(dialect: Dialect) -> None:
    """R-236, R-228: every transfer is off by default; each is switched on by itself, also the two directions of one
    kind, and off again. What came meanwhile is not forgotten by a transfer that was on before."""
    async with FieldWorld(dialect, "service_job", "stock", on=False) as world:
        states = [(await world.stores.modes.get(name)).switch for name in world.queues]
        assert set(states) == {Switch.OFF}
        account = await world.new_account(name="Aurora Milling", customertypecode=3)
        world.enter("stock", location_id="VAN-3", part_id="BELT", quantity=2)
        await world.next_walk()
        assert world.there("place") == world.kept("cdock_servicestock") == {}

        await world.switch(world.named("account"), Switch.ON)
        await world.next_walk()
        await world.edit_account(account, telephone1="+39 0471 000001")
        await world.next_walk()
        (place,) = world.there("place")
        assert world.kept("cdock_servicestock") == {}

        await world.switch(world.named("service_job", to_crm=True), Switch.ON)
        await world.next_walk()
        world.enter("task", place_id=place, task_type="REPAIR", description="Of the field")
        await world.crm.create(
            "cdock_servicejob", {"cdock_name": "Of the CRM", "cdock_accountid": account, "cdock_type": 100000001}
        )
        await world.next_walk()
        assert [row["description"] for row in world.there("task").values()] == ["Of the field"]
        assert {row["cdock_name"] for row in world.kept("cdock_servicejob").values()} == {"Of the field", "Of the CRM"}

        await world.switch(world.named("account"), Switch.OFF)
        await world.edit_account(account, name="Aurora Mills")
        (task,) = world.there("task")
        world.change("task", task, plan_start_dttm=None, person_id="ADA")
        await world.next_walk()
        assert world.row("place", place)["name"] == "Aurora Milling"
        assert "ADA" in {row["cdock_technician"] for row in world.kept("cdock_servicejob").values()}
        await world.switch(world.named("account"), Switch.ON)
        await world.next_walk()
        assert world.row("place", place)["name"] == "Aurora Mills"


@both
@virtually
async def test_what_is_shipped_fits_what_is_there(dialect: Dialect) -> None:
    """R-222: every table, column and choice that a definition names is held against both systems; nothing is amiss."""
    async with FieldWorld(dialect, hooks=True) as world:
        said = await typed(world, "check", "--json", **world.environment)
        assert (said.code, said.json["findings"]) == (0, [])


@both
@virtually
async def test_all_twelve_kinds_can_run_together(dialect: Dialect) -> None:
    """R-214 … R-219, R-236: with all of them on, a sale, a task and stock arrive, and no definition stands in the way
    of another one."""
    async with FieldWorld(dialect) as world:
        assert len(world.index.definitions) == 12
        _, place = await world.a_customer()
        world.enter("sales_history", place_id=place, sale_kind="GOODS", sold_date=date(2026, 1, 2))
        world.enter("task", place_id=place, task_type="VISIT", description="Visit")
        world.enter("stock", location_id="MAIN", part_id="BELT", quantity=2)
        await world.next_walk()
        for table in ("cdock_sale", "cdock_servicejob", "cdock_servicestock"):
            assert len(world.kept(table)) == 1
        engine = await world.apps[0].engine()
        assert engine.pipeline.refused == {}
        assert await world.all_parked() == []
