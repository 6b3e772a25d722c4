"""An account that reaches its stage becomes a customer, once."""

from __future__ import annotations

from sandbox.faults import FaultKind, FaultRule
from shared.sync.ports import Side
from tests.scenarios.account_customer.world import COMPANY_VALUES, TO_ERP, RealWorld, Setup, differing, virtually


@virtually
async def test_an_account_that_reaches_its_stage_becomes_a_customer_once() -> None:
    """R-041, R-050, R-053, R-054: a prospect stays in the CRM; at its stage it becomes one customer, numbered by us."""
    async with RealWorld() as world:
        account = await world.new_account(**(COMPANY_VALUES | {"cdock_stage": "prospect"}))
        await world.settle()
        assert world.customers == {}

        await world.edit_account(account, cdock_stage="qualified")
        await world.settle(quiet_seconds=700)

        (customer,) = world.customers.values()
        assert customer["number"] == "CD-000001"
        assert world.account(account)["accountnumber"] == "CD-000001"
        assert await world.links() == {account: customer["id"]}
        assert list(differing(world.account(account), customer)) == []
        assert world.erp_writes() == 1
        assert world.crm_sent("PATCH") <= 2, "the number, and what the ERP filled in"


@virtually
async def test_what_is_told_while_the_create_is_under_way_waits_for_seconds_only() -> None:
    """R-042, R-054: a slow create holds its claim for as long as it takes; nobody waits for the end of its lease."""
    async with RealWorld() as world:
        world.erp.faults.add(FaultRule(FaultKind.STALL, "POST", r"/customers$", times=1, seconds=6))
        account = await world.new_account(**COMPANY_VALUES)
        await world.pass_time(seconds=3)
        await world.edit_account(account, telephone1="+390471000004")
        await world.pass_time(seconds=4)
        assert world.queue.counts(TO_ERP).scheduled == 1, "it has met the claim"
        await world.pass_time(seconds=20)
        (customer,) = world.customers.values()
        assert customer["phoneNumber"] == "+390471000004"
        waiting = world.queue.counts(TO_ERP)
        assert (waiting.ready, waiting.scheduled, waiting.locked) == (0, 0, 0)


@virtually
async def test_where_the_series_gives_the_numbers_the_number_is_written_back() -> None:
    """R-054: the ERP's own series numbers the customer, and the account learns the number."""
    async with RealWorld(Setup(own_numbers=False)) as world:
        account = await world.new_account(**COMPANY_VALUES)
        await world.settle(quiet_seconds=700)
        (customer,) = world.customers.values()
        assert customer["number"] == "K00010"
        assert world.account(account)["accountnumber"] == "K00010"
        assert await world.links() == {account: customer["id"]}
        assert world.erp_writes() == 1


@virtually
async def test_an_opportunity_makes_its_account_go() -> None:
    """R-053, R-054: a change of a related record concerns the account, also where nobody told of the account itself."""
    async with RealWorld(Setup(hooks=False)) as world:
        account = await world.new_account(**COMPANY_VALUES)
        await world.listen("opportunity")
        await world.crm.create("opportunity", {"name": "Twelve pallets", "parentaccountid": account})
        await world.settle()
        assert await world.links() == {account: await world.partner_of(account)}
        assert world.erp_writes() == 1


@virtually
async def test_a_second_run_over_everything_writes_nothing() -> None:
    """R-041: walks that find every record again read, and write nowhere."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        before = world.account(account), world.customer(customer)
        for key, side in ((account, Side.LEFT), (customer, Side.RIGHT)):
            await world.announce(side, key)
        await world.settle(quiet_seconds=700)
        assert (world.account(account), world.customer(customer)) == before
        assert world.erp_writes() == 0
        assert world.crm_sent("PATCH") == 0
