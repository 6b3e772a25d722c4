"""What goes wrong between the CRM and the field service loses nothing and doubles nothing."""

from __future__ import annotations

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both, everywhere

JOB = "cdock_servicejob"
REPAIR = 100000001


@both
@virtually
async def test_the_crm_goes_on_while_the_field_service_is_away(dialect: Dialect) -> None:
    """R-230, R-234: customers and jobs are entered and changed without waiting for anybody; when it is back everything
    arrives, each record once and as it is by then."""
    async with FieldWorld(dialect, "service_job") as world:
        account, place = await world.a_customer()
        fault = world.goes_away()
        for number in range(12):
            await world.new_account(name=f"Company {number}", customertypecode=3)
        await world.crm.create(JOB, {"cdock_name": "Belt", "cdock_accountid": account, "cdock_type": REPAIR})
        for name in ("Aurora", "Aurora Mills"):
            await world.edit_account(account, name=name)
            await world.pass_time(minutes=40)
        assert len(world.there("place")) == 1
        asked = len(world.field.requests.entries())
        await world.pass_time(minutes=60)
        assert len(world.field.requests.entries()) - asked < 400
        world.field.faults.remove(fault)
        await world.next_walk()
        assert len(world.there("place")) == 13
        assert world.row("place", place)["name"] == "Aurora Mills"
        assert [row["description"] for row in world.there("task").values()] == ["Belt"]
        assert await world.all_parked() == []


@both
@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.GATEWAY_TIMEOUT, FaultKind.HALF_BODY])
@virtually
async def test_a_create_whose_answer_is_lost_is_found_again(dialect: Dialect, kind: FaultKind) -> None:
    """R-234, R-205: a field service would make a second one if asked again; by the CRM's id it is the same one."""
    async with FieldWorld(dialect, "service_job") as world:
        for table in ("place", "task"):
            path = dialect.table(table).replace(".", ".svc/")
            world.field.faults.add(FaultRule(kind, "POST", rf"/{path}$", times=1))
        account = await world.new_account(name="Aurora Milling", customertypecode=3)
        await world.crm.create(JOB, {"cdock_name": "Belt", "cdock_accountid": account, "cdock_type": REPAIR})
        await world.pass_time(minutes=40)
        await world.next_walk()
        assert [row["crm_id"] for row in world.there("place").values()] == [account]
        assert [row["description"] for row in world.there("task").values()] == ["Belt"]
        assert len(world.kept(JOB)) == 1
        assert await world.all_parked() == []


@both
@virtually
async def test_a_create_in_the_crm_whose_answer_is_lost_is_found_again(dialect: Dialect) -> None:
    """R-214: a job of the field is one job in the CRM."""
    async with FieldWorld(dialect, "service_job") as world:
        _, place = await world.a_customer()
        world.crm.faults.add(FaultRule(FaultKind.LOST_ANSWER, "PATCH", f"/{JOB}s", times=1))
        task = world.enter("task", place_id=place, task_type="REPAIR", description="Belt")
        await world.pass_time(minutes=40)
        await world.next_walk()
        assert world.here(JOB)["cdock_servicejobid"] == world.row("task", task)["crm_id"]


@both
@virtually
async def test_a_job_that_both_sides_enter_for_each_other_is_one(dialect: Dialect) -> None:
    """R-214: the one who knows the other's number has entered it, and both directions meet; no third one is made."""
    async with FieldWorld(dialect, "service_job") as world:
        account, place = await world.a_customer()
        task = world.enter("task", place_id=place, task_type="REPAIR", description="Belt")
        job = await world.crm.create(
            JOB, {"cdock_name": "Belt", "cdock_accountid": account, "cdock_type": REPAIR, "cdock_fsmid": task}
        )
        other = await world.crm.create(JOB, {"cdock_name": "Hoist", "cdock_accountid": account, "cdock_type": REPAIR})
        known = world.enter("task", place_id=place, task_type="REPAIR", description="Hoist", crm_id=other)
        await world.next_walk()
        assert {key: row["crm_id"] for key, row in world.there("task").items()} == {task: job, known: other}
        assert {key: row["cdock_fsmid"] for key, row in world.kept(JOB).items()} == {job: task, other: known}


@everywhere
@virtually
async def test_a_change_that_somebody_makes_at_the_same_moment_is_not_written_over(dialect: Dialect) -> None:
    """R-214: a write names the version that was read; the technician's word stays and the CRM's goes beside it."""
    async with FieldWorld(dialect, "service_job") as world:
        account, _ = await world.a_customer()
        job = await world.crm.create(JOB, {"cdock_name": "Belt", "cdock_accountid": account, "cdock_type": REPAIR})
        await world.next_walk()
        ((task, _),) = world.there("task").items()
        for round_ in range(3):
            await world.crm.edit(JOB, job, {"cdock_customerwish": f"Wish {round_}"})
            world.change("task", task, resolution=f"Resolution {round_}")
            await world.next_walk()
            row, found = world.row("task", task), world.here(JOB)
            assert (row["customer_wish"], row["resolution"]) == (f"Wish {round_}", f"Resolution {round_}")
            assert (found["cdock_customerwish"], found["cdock_resolution"]) == (
                f"Wish {round_}",
                f"Resolution {round_}",
            )


@everywhere
@virtually
async def test_two_changes_of_one_second_with_a_walk_in_between_both_arrive(dialect: Dialect) -> None:
    """R-214: also where nothing but the second tells one change from the next; and what has arrived is not asked for
    again and again."""
    async with FieldWorld(dialect, "service_job") as world:
        _, place = await world.a_customer()
        task = world.enter("task", place_id=place, task_type="REPAIR", description="Belt")
        await world.next_walk()
        await world.pass_time(seconds=1 - world.clock.monotonic() % 1)
        world.change("task", task, resolution="First")
        walks = (await world.apps[0].engine()).walks
        await walks.now(dialect.kind, dialect.table("task"))
        await world.pass_time(seconds=0.8)
        assert world.here(JOB)["cdock_resolution"] == "First"
        world.change("task", task, resolution="Second")
        await world.next_walk()
        assert world.here(JOB)["cdock_resolution"] == "Second"
        await world.next_walk()
        world.crm.requests.clear()
        await world.pass_time(hours=1)
        assert world.crm.requests.count("GET", rf"/{JOB}s\(") == 0


@both
@virtually
async def test_what_one_side_deletes_stays_on_the_other_and_is_not_made_again(dialect: Dialect) -> None:
    """R-214: found by the feed of the CRM, and at night in the field service; the other record is free again, and the
    history says what happened."""
    async with FieldWorld(dialect, "service_job") as world:
        account, _ = await world.a_customer()
        kept, gone = [
            await world.crm.create(JOB, {"cdock_name": name, "cdock_accountid": account, "cdock_type": REPAIR})
            for name in ("Belt", "Hoist")
        ]
        await world.next_walk()
        tasks = {row["crm_id"]: key for key, row in world.there("task").items()}
        await world.crm.delete(JOB, gone)
        world.remove("task", tasks[kept])
        await world.next_walk()
        await world.night()
        assert {key: row["crm_id"] for key, row in world.there("task").items()} == {tasks[gone]: None}
        assert list(world.kept(JOB)) == [kept]
        assert "was deleted" in (await world.told("service_job", Side.RIGHT, tasks[kept]))[0].reason


@both
@pytest.mark.parametrize("tells", [True, False], ids=["told", "not told"])
@virtually
async def test_stock_that_is_struck_off_is_shown_with_nothing_left(dialect: Dialect, tells: bool) -> None:
    """R-207: at once where the field service tells of it, whatever stands in its key, or as the night finds it. What
    comes to the same place again is the same row of the CRM."""
    async with FieldWorld(dialect, "stock", hooks=tells) as world:
        key = world.enter("stock", location_id="VAN-3", part_id="BELT, 7%", quantity=2)
        await world.next_walk()
        world.remove("stock", key)
        await (world.settle() if tells else world.night())
        assert world.here("cdock_servicestock")["cdock_quantity"] == 0
        assert world.enter("stock", location_id="VAN-3", part_id="BELT, 7%", quantity=7) == key
        await world.next_walk()
        assert world.here("cdock_servicestock")["cdock_quantity"] == 7
        world.change("stock", key, quantity=8)
        await world.next_walk()
        assert world.here("cdock_servicestock")["cdock_quantity"] == 8
