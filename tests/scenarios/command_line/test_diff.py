"""A consultant tries an edited definition beside the present one before it goes live."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.scenarios.account_customer.world import RealWorld, definition_text, virtually
from tests.scenarios.command_line.terminal import Said, typed


async def tried(world: RealWorld, text: str, *words: str) -> Said:
    """Compare with a folder that holds this one definition."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "account.yaml").write_text(text, "utf-8")
        return await typed(world, "diff", "--with", folder, *words)


@virtually
async def test_the_same_definition_makes_no_difference() -> None:
    """R-046, R-055: exit code 0 lets a pipeline go on."""
    async with RealWorld() as world:
        await world.pair_made()
        said = await tried(world, definition_text())
        assert (said.code, "1 linked pairs compared, 0 fields" in said.out) == (0, True)


@virtually
async def test_an_edited_line_shows_which_records_it_would_touch_and_writes_nothing() -> None:
    """R-046, R-055, R-058: a new field, another master, a rule that no value fits; by column and record."""
    async with RealWorld() as world:
        account, customer = await world.pair_made(address1_line3="Back door")
        quiet, _ = await world.pair_made(name="Quiet", cdock_vatnumber=None, telephone1="+390471000007")
        world.forget_requests()
        text = definition_text().replace(
            "  # commercial\n",
            "  # commercial\n  - {dataverse: address1_line3, business_central: addressLine2, master: dataverse}\n",
        )
        text = "\n".join(line for line in text.splitlines() if "dataverse: address1_line2," not in line) + "\n"
        said = await tried(world, text, "--json")
        assert said.code == 1
        rows = said.json["rows"]
        assert [(row["key"], row["column"], row["now"]) for row in rows] == [(customer, "addressLine2", "nothing")]
        assert rows[0]["then"].startswith("written: first agreement")
        assert said.json["compared"] == 2
        assert "Back door" not in said.out
        assert world.erp_writes() == world.crm_sent("PATCH") == 0
        assert {account, quiet} == set(await world.links())


@virtually
async def test_a_folder_with_a_mistake_is_named_with_its_line() -> None:
    """R-047: nothing is compared then."""
    async with RealWorld() as world:
        await world.pair_made()
        said = await tried(world, definition_text().replace("master: dataverse, check: email", "check: email"))
        assert said.code == 1
        assert "has no master" in said.out + said.err
