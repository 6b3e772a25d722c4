"""When a prospect is passed on: by its own stage, by an opportunity, and only when it is complete."""

from __future__ import annotations

from tests.scenarios.account_customer.world import TO_ERP, RealWorld, Setup, definition_text, vat_number, virtually

STAGE = "    only_if: {cdock_stage: qualified}\n"
BY_ORDER = """\
    only_if:
      any:
        - {cdock_stage: [qualified, ordered]}
        - {opportunity: {by: parentaccountid, stepname: order requested}}
"""


def with_stage(text: str) -> Setup:
    """The shipped definition with another condition."""
    changed = definition_text().replace(STAGE, text)
    assert changed != definition_text()
    return Setup(text=changed)


@virtually
async def test_an_order_requested_on_an_opportunity_qualifies_its_account_once() -> None:
    """R-053, R-054: the stage is a setting, on the account or its opportunity; crossing it creates one customer."""
    async with RealWorld(with_stage(BY_ORDER)) as world:
        account = await world.new_account(name="Nurtured")
        opportunity = await world.crm.create("opportunity", {"name": "First order", "parentaccountid": account})
        await world.settle()
        assert world.customers == {}
        for stage in ("order requested", "proposed", "order requested"):
            await world.crm.edit("opportunity", opportunity, {"stepname": stage})
            await world.settle()
        assert list(await world.links()) == [account]
        assert len(world.customers) == 1


@virtually
async def test_any_of_the_named_values_will_do() -> None:
    """R-054: alternatives and several values of one column."""
    async with RealWorld(with_stage(BY_ORDER)) as world:
        qualified = await world.new_account(name="Qualified", cdock_stage="qualified")
        ordered = await world.new_account(name="Ordered", cdock_stage="ordered")
        await world.new_account(name="Prospect", cdock_stage="prospect")
        await world.settle()
        assert set(await world.links()) == {qualified, ordered}


@virtually
async def test_an_opportunity_that_qualifies_its_account_during_an_outage_is_not_forgotten() -> None:
    """R-042, R-054: what waits for the ERP remembers that it is an opportunity's key, not an account's."""
    async with RealWorld(with_stage(BY_ORDER)) as world:
        account = await world.new_account(name="Waits for its opportunity")
        opportunity = await world.crm.create("opportunity", {"name": "Order", "parentaccountid": account})
        await world.settle()
        away = world.erp_goes_away()
        await world.new_account(name="Opens the breaker", cdock_stage="qualified")
        await world.pass_time(minutes=2)
        await world.crm.edit("opportunity", opportunity, {"stepname": "order requested"})
        await world.pass_time(minutes=2)
        world.erp.faults.remove(away)
        await world.settle()
        assert account in await world.links()


@virtually
async def test_a_prospect_waits_with_a_list_of_what_is_missing_and_goes_by_itself_once_complete() -> None:
    """R-054, R-055: the record is on the work list with the names of the missing fields, until they are filled in."""
    require = STAGE + "    require: [cdock_vatnumber, address1_city]\n"
    async with RealWorld(with_stage(require)) as world:
        account = await world.new_account(name="Incomplete", cdock_stage="qualified")
        await world.settle()
        (item,) = await world.parked(TO_ERP)
        assert (item.code, item.field) == ("CD-4020", "cdock_vatnumber")
        assert "cdock_vatnumber, address1_city" in item.remedy
        await world.edit_account(account, cdock_vatnumber=vat_number(3), address1_city="Bolzano")
        await world.settle()
        assert list(await world.links()) == [account]
        assert await world.parked(TO_ERP) == []
