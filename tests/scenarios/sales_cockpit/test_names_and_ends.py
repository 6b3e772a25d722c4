"""A project bears its opportunity's name, and what becomes of it when the opportunity ends."""

from __future__ import annotations

import pytest

from sandbox.faults import FaultKind, FaultRule
from sandbox.sales_cockpit.options import SalesCockpitOptions
from shared.sync.ports import LinkState, Side
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.sales_cockpit.names_world import ANNA, TRANSFER, CockpitWorld, shipped


@virtually
async def test_a_rename_follows_with_one_write() -> None:
    """R-003, R-006: the CRM leads; nothing but the name goes over (R-024)."""
    async with CockpitWorld() as world:
        opportunity = await world.with_project()
        await world.crm.edit("opportunity", opportunity, {"name": "An old mill", "estimatedvalue": 1000})
        await world.settle()
        assert world.projects[opportunity]["name"] == "An old mill"
        assert world.cockpit.requests.count("PATCH") == 1
        assert await world.parked(TRANSFER) == []


@virtually
async def test_a_rename_that_nobody_told_of_is_found_by_the_walk() -> None:
    """R-003."""
    async with CockpitWorld(hooks=False) as world:
        opportunity = await world.with_project()
        await world.crm.edit("opportunity", opportunity, {"name": "An old mill"})
        await world.settle(quiet_seconds=700)
        assert world.projects[opportunity]["name"] == "An old mill"


@virtually
async def test_an_edit_in_the_cockpit_is_put_back_with_the_next_change() -> None:
    """R-006: the name is the opportunity's. The Cockpit tells of no changes, so it is found with the next rename."""
    async with CockpitWorld() as world:
        opportunity = await world.with_project()
        (project,) = world.cockpit.rows("projects")
        world.cockpit.edit(project, {"name": "Somebody's own name"})
        await world.crm.edit("opportunity", opportunity, {"name": "An old mill"})
        await world.settle()
        assert world.projects[opportunity]["name"] == "An old mill"


@virtually
async def test_a_name_that_is_too_long_is_cut_at_the_launch_and_later() -> None:
    """R-024: both ways cut alike, so that the first compare finds nothing to write."""
    async with CockpitWorld() as world:
        opportunity = await world.with_project("x" * 250)
        assert world.cockpit.requests.count("PATCH") == 0
        await world.crm.edit("opportunity", opportunity, {"name": "y" * 250})
        await world.settle()
        assert world.projects[opportunity]["name"] == "y" * 200


@virtually
async def test_an_opportunity_that_nobody_opened_gets_no_project() -> None:
    """R-009: the launch makes projects, the transfer none."""
    async with CockpitWorld() as world:
        opportunity = await world.new_opportunity()
        await world.settle()
        await world.crm.edit("opportunity", opportunity, {"name": "An old mill"})
        await world.settle(quiet_seconds=700)
        assert world.projects == {}
        assert world.cockpit.requests.count("POST") == 0


@virtually
async def test_a_rename_waits_while_the_cockpit_is_down() -> None:
    """R-003: it goes over by itself afterwards, as it is then."""
    async with CockpitWorld() as world:
        opportunity = await world.with_project()
        outage = world.cockpit.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        for name in ("An old mill", "An older mill"):
            await world.crm.edit("opportunity", opportunity, {"name": name})
            await world.pass_time(minutes=20)
        assert world.projects[opportunity]["name"] == "A new mill"
        world.cockpit.faults.remove(outage)
        await world.settle(quiet_seconds=700)
        assert world.projects[opportunity]["name"] == "An older mill"
        assert await world.parked(TRANSFER) == []


@virtually
@pytest.mark.parametrize("won", [True, False])
async def test_a_closed_opportunity_keeps_its_project(won: bool) -> None:
    """R-002: what was rated is still read; that is what is shipped."""
    async with CockpitWorld() as world:
        opportunity = await world.with_project()
        await world.crm.close_opportunity(opportunity, won=won)
        await world.settle()
        assert set(world.projects) == {opportunity}
        assert await world.links() == {opportunity: opportunity}
        await world.crm.edit("opportunity", opportunity, {"name": "Renamed when it was over"})
        await world.settle()
        assert world.projects[opportunity]["name"] == "Renamed when it was over"


@virtually
async def test_a_deleted_opportunity_leaves_its_project_and_a_tombstone() -> None:
    """R-025: nothing of the opportunity stays but the id and the name; nothing happens to the project any more."""
    async with CockpitWorld() as world:
        opportunity = await world.with_project()
        await world.crm.delete("opportunity", opportunity)
        await world.settle()
        assert world.projects[opportunity]["name"] == "A new mill"
        assert (await world.link_of_account(opportunity)).state is LinkState.UNLINKED
        assert world.cockpit.requests.count("DELETE") == 0


@virtually
async def test_a_deleted_opportunity_takes_its_project_with_it_if_the_definition_says_so() -> None:
    """R-025: with all that was rated; also where the delete's answer is lost."""
    async with CockpitWorld(shipped(on_delete="delete")) as world:
        opportunity, other = await world.with_project(), await world.with_project("Another")
        project = next(key for key, row in world.cockpit.rows("projects").items() if row["externalId"] == opportunity)
        world.cockpit.rate(project, ANNA, {"need": 3})
        world.cockpit.faults.add(FaultRule(FaultKind.LOST_ANSWER, "DELETE", times=1))
        await world.crm.delete("opportunity", opportunity)
        await world.settle()
        assert set(world.projects) == {other}
        assert world.cockpit.rows("evaluations") == {}
        assert (await world.link_of_account(opportunity)).state is LinkState.UNLINKED


@virtually
@pytest.mark.parametrize("won", [True, False])
async def test_a_closed_opportunity_takes_its_project_with_it_if_the_definition_says_so(won: bool) -> None:
    """R-002: once, and nothing happens to the others; the journal says why."""
    async with CockpitWorld(shipped(gone_if="{statecode: [1, 2]}", on_delete="delete")) as world:
        opportunity, other = await world.with_project(), await world.with_project("Another")
        await world.crm.close_opportunity(opportunity, won=won)
        await world.settle()
        assert set(world.projects) == {other}
        await world.crm.edit("opportunity", opportunity, {"description": "after all"})
        await world.settle()
        assert world.cockpit.requests.count("DELETE") == 1
        told = [entry.reason for entry in await world.journal(Side.LEFT, opportunity)]
        assert "the source record meets gone_if, which counts as deleted" in told


@virtually
async def test_a_closed_opportunity_may_only_lose_its_link() -> None:
    """R-002: the project stays, its name follows no longer."""
    async with CockpitWorld(shipped(gone_if="{statecode: [1, 2]}")) as world:
        opportunity = await world.with_project()
        await world.crm.close_opportunity(opportunity, won=True)
        await world.settle()
        await world.crm.edit("opportunity", opportunity, {"name": "Renamed when it was over"})
        await world.settle()
        assert world.projects[opportunity]["name"] == "A new mill"
        assert await world.links() == {}


@virtually
async def test_a_reopened_opportunity_gets_a_project_again_when_it_is_opened() -> None:
    """R-009: the tombstone of the first one is no obstacle, and the name follows again."""
    async with CockpitWorld(shipped(gone_if="{statecode: [1, 2]}", on_delete="delete")) as world:
        opportunity = await world.with_project()
        await world.crm.close_opportunity(opportunity, won=False)
        await world.settle()
        await world.crm.edit("opportunity", opportunity, {"statecode": 0, "statuscode": 1})
        await world.settle()
        assert world.projects == {}
        await world.opened(opportunity)
        await world.settle()
        await world.crm.edit("opportunity", opportunity, {"name": "Once more"})
        await world.settle()
        assert world.projects[opportunity]["name"] == "Once more"


@virtually
async def test_the_end_of_many_at_once_asks_a_person_first() -> None:
    """R-002: the brake for deletes counts closed opportunities, too; what is left goes on when a person says so."""
    definition = shipped(gone_if="{statecode: [1, 2]}", on_delete="delete")
    limits = definition.brakes.model_copy(update={"deletes_per_hour": 2})
    async with CockpitWorld(definition.model_copy(update={"brakes": limits})) as world:
        opportunities = [await world.with_project(f"Mill {number}") for number in range(4)]
        for one in opportunities:
            await world.crm.close_opportunity(one, won=False)
        await world.pass_time(minutes=30)
        assert len(world.projects) == 2


@virtually
async def test_a_cockpit_that_deletes_nothing_is_told_to_a_person() -> None:
    """The project stays linked, and the parked record says what to take out of the definition."""
    async with CockpitWorld(shipped(on_delete="delete"), SalesCockpitOptions(deletes=False)) as world:
        opportunity = await world.with_project()
        await world.crm.delete("opportunity", opportunity)
        await world.settle()
        (item,) = await world.parked(TRANSFER)
        assert (item.key, item.code) == (opportunity, "CD-1023")
        assert "on_delete: delete" in item.remedy
        assert set(world.projects) == {opportunity}
