"""The first load at the command line: plan, approve, load, and go on after a kill."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from shared.sync.ports import Side, Switch
from tests.scenarios.account_customer.world import TO_CRM, TO_ERP, RealWorld, Setup, vat_number, virtually
from tests.scenarios.command_line.terminal import typed

MANY, THERE, PROSPECTS = 230, 20, 10
CUSTOMERS, ACCOUNTS = 150, 40


async def filled(world: RealWorld) -> None:
    """Accounts from before, some of them customers already, some prospects, one with a bad number."""
    for name in world.names:
        await world.switch(name, Switch.OFF)
    for number in range(MANY):
        stage = "prospect" if number >= MANY - PROSPECTS else "qualified"
        vat = vat_number(number + 1)
        await world.new_account(name=f"Company {number}", cdock_stage=stage, cdock_vatnumber=vat)
    for number in range(THERE):
        values = {"displayName": f"Company {number} Ltd", "taxRegistrationNumber": vat_number(number + 1)}
        await world.new_customer(**values)
    await world.new_account(name="Bad", cdock_stage="qualified", telephone1="ask at the mill")
    await world.pass_time(minutes=1)
    world.forget_requests()


@virtually
async def test_a_plan_counts_and_lists_and_writes_nothing() -> None:
    """R-050, R-054, R-055: for people, for programs, as a file of rows and as a page; without any value."""
    async with RealWorld(Setup(hooks=False)) as world:
        await filled(world)
        with TemporaryDirectory() as folder:
            rows, page = Path(folder) / "plan.csv", Path(folder) / "plan.html"
            said = await typed(world, "plan", TO_ERP, "--rows", str(rows), "--html", str(page), "--json")
            assert said.code == 1
            steps = said.json["steps"]
            assert (steps["create"], steps["link"]) == (MANY - THERE - PROSPECTS, THERE)
            assert (steps["needs a person"], steps["not concerned"]) == (1, PROSPECTS)
            assert said.json["problems"] == {"CD-4003": 1}
            assert len(rows.read_text("utf-8").splitlines()) == MANY + 2
            html = page.read_text("utf-8")
            assert "CD-4003" in html
            assert "Company 1" not in html + rows.read_text("utf-8") + said.out
        assert world.erp_writes() == world.crm_sent("PATCH") == 0
        shown = await typed(world, "load", TO_ERP)
        assert (shown.code, "--apply loads them" in shown.out) == (1, True)
        assert await world.links() == {}


@virtually
async def test_a_load_brings_everything_over_once_and_can_be_repeated() -> None:
    """R-041, R-050, R-054, R-056: refused without a yes; linked where the company is there; both directions agree."""
    async with RealWorld(Setup(hooks=False)) as world:
        await filled(world)
        assert (await typed(world, "load", TO_ERP, "--apply", answer="n")).code == 5
        said = await typed(world, "load", TO_ERP, "--apply", "--yes", "--json")
        assert said.code == 1, said.err
        outcomes = said.json["outcomes"]
        assert (outcomes["created"], outcomes["updated"]) == (MANY - THERE - PROSPECTS, THERE)
        assert (outcomes["parked"], said.json["problems"]) == (1, {"CD-4003": 1})
        assert len(await world.links()) == MANY - PROSPECTS == len(world.customers)
        back = await typed(world, "load", TO_CRM, "--apply", "--yes", "--json")
        assert (back.json["outcomes"]["created"], back.json["outcomes"]["parked"]) == (0, 0)
        again = await typed(world, "load", TO_ERP, "--apply", "--yes", "--json")
        assert again.json["had_nothing_to_do"] == MANY - PROSPECTS
        assert len(world.customers) == MANY - PROSPECTS
        for account, customer in (await world.links()).items():
            assert world.account(account)["accountnumber"] == world.customer(customer)["number"]
        assert (await world.link(Side.LEFT, next(iter(await world.links())))) is not None


@virtually
async def test_customers_that_are_accounts_already_are_linked_and_changed_in_few_calls() -> None:
    """R-041, R-050, R-052: a load into the CRM makes accounts of those it does not have, and none twice."""
    async with RealWorld(Setup(hooks=False)) as world:
        for name in world.names:
            await world.switch(name, Switch.OFF)
        for number in range(1, CUSTOMERS + 1):
            vat = vat_number(number)
            await world.new_customer(displayName=f"Company {number}", taxRegistrationNumber=vat, city="Milltown")
        for number in range(1, ACCOUNTS + 1):
            vat = vat_number(number)
            await world.new_account(name=f"Company {number} Ltd", cdock_vatnumber=vat, cdock_stage="qualified")
        await world.pass_time(minutes=1)
        world.forget_requests()
        said = await typed(world, "load", TO_CRM, "--apply", "--yes", "--json", "--from-start")
        assert said.code == 0, said.err
        outcomes = said.json["outcomes"]
        assert (outcomes["created"], outcomes["updated"]) == (CUSTOMERS - ACCOUNTS, ACCOUNTS)
        assert (said.json["gone_over_before"], said.json["seen"], said.json["waiting"]) == (0, CUSTOMERS, 0)
        assert len(world.accounts) == CUSTOMERS == len(await world.links())
        posts = world.crm.requests.count("POST", r"/\$batch$") + world.crm.requests.count("POST", "CreateMultiple$")
        assert posts <= 6
        assert world.crm_sent("PATCH") == world.crm_sent("POST") == 0
        for account, customer in (await world.links()).items():
            assert world.account(account)["accountnumber"] == world.customer(customer)["number"]
