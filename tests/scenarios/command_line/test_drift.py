"""A comparison of both systems: what is equal, what differs on which side, what is gone; repaired only when asked."""

from __future__ import annotations

from shared.sync.ports import Side, Switch
from tests.scenarios.account_customer.world import COMPANY, RealWorld, Setup, vat_number, virtually
from tests.scenarios.command_line.terminal import typed


@virtually
async def test_drift_is_counted_by_how_it_stands_and_repaired_only_when_asked() -> None:
    """R-052, R-058, R-060: equal, edited elsewhere, on its way, gone; a repair is an ordinary transfer."""
    async with RealWorld(Setup(hooks=False)) as world:
        pairs = []
        for number in range(4):
            account = await world.new_account(
                name=f"Company {number}", crossdock_stage="qualified", crossdock_vatnumber=vat_number(number + 1)
            )
            await world.announce(Side.LEFT, account)
            await world.settle()
            pairs.append((account, await world.partner_of(account)))
        await world.pass_time(minutes=6)
        await world.settle()
        for name in world.names:
            await world.switch(name, Switch.STOPPED)
        await world.edit_account(pairs[1][0], name="Typed in vain")
        await world.edit_account(pairs[2][0], telephone1="0471 999999")
        await world.erp.delete(COMPANY, "customers", pairs[3][1])
        said = await typed(world, "drift", "--json")
        assert said.code == 1
        standing = {row["left"]: (row["standing"].partition(":")[0], row["columns"]) for row in said.json["rows"]}
        assert standing[pairs[1][0]] == ("differs", "name")
        assert standing[pairs[2][0]] == ("differs", "telephone1")
        assert standing[pairs[3][0]][0] == "a record does not exist any more"
        assert said.json["pairs"]["equal"] == 1
        assert "Typed in vain" not in said.out
        assert world.account(pairs[1][0])["name"] == "Typed in vain"
        for name in world.names:
            await world.switch(name, Switch.ON)
        repaired = await typed(world, "drift", world.names[0], "--apply")
        assert (repaired.code, "3 pairs are queued" in repaired.out) == (0, True)
        await world.settle()
        assert world.account(pairs[1][0])["name"] == "Company 1"
        assert world.customer(pairs[2][1])["phoneNumber"] == "+390471999999"
        again = await typed(world, "drift", "--json")
        assert (again.code, again.json["rows"]) == (0, [])
