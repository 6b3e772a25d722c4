"""Linking at the command line: look first, then link, one or many; keep apart; explain afterwards."""

from __future__ import annotations

from pathlib import Path

from shared.sync.ports import Side, Switch
from tests.scenarios.account_customer.world import TO_ERP, RealWorld, virtually
from tests.scenarios.command_line.terminal import TemporaryFile, typed


async def strangers(world: RealWorld, number: int) -> tuple[str, str]:
    """An account and a customer that no rule brings together, with all transfers off."""
    for name in world.names:
        await world.switch(name, Switch.OFF)
    account = await world.new_account(name=f"Alfa {number}", telephone1="+390471000001")
    return account, await world.new_customer(displayName=f"Alfa {number} (old)", phoneNumber="+390471000002")


@virtually
async def test_a_link_is_shown_field_by_field_before_it_is_made() -> None:
    """R-080, R-055: what each side holds, who masters it afterwards, what would be written; nothing is."""
    async with RealWorld() as world:
        account, customer = await strangers(world, 1)
        shown = await typed(world, "link", TO_ERP, account, customer)
        assert (shown.code, "can be linked" in shown.out) == (1, True)
        fields = {row[0]: row for row in shown.rows}
        assert fields["name"][1:] == ["Alfa 1", "displayName", "Alfa 1 (old)", "right", fields["name"][5], "left"]
        assert await world.links() == {}
        made = await typed(world, "link", TO_ERP, account, customer, "--reason", "ticket 7", "--apply", "--json")
        assert (made.code, made.json["linked"][0]["other"]) == (0, customer)
        assert await world.links() == {account: customer}
        refused = await typed(world, "link", TO_ERP, account, account, "--reason", "ticket 7", "--apply")
        assert (refused.code, "CD-5009" in refused.out) == (5, True)


@virtually
async def test_many_links_come_from_a_file_and_are_asked_for() -> None:
    """R-080: in bulk; a bad line is named and nothing is linked before the file is right."""
    async with RealWorld() as world:
        pairs = [await strangers(world, number) for number in range(20)]
        file = Path("pairs.csv")
        text = "".join(f"{account},{customer}\n" for account, customer in pairs)
        with TemporaryFile(file, text + "only one key\n") as path:
            bad = await typed(world, "link", TO_ERP, "--file", str(path), "--reason", "old list", "--apply")
            assert (bad.code, "line 21" in bad.err) == (2, True)
        with TemporaryFile(file, text) as path:
            words = ["link", TO_ERP, "--file", str(path), "--reason", "old list", "--apply"]
            assert (await typed(world, *words, answer="no")).code == 5
            assert await world.links() == {}
            said = await typed(world, *words, answer="y")
            assert (said.code, "20 linked, 0 refused" in said.out) == (0, True)
        assert await world.links() == dict(pairs)


@virtually
async def test_two_records_are_kept_apart_and_that_is_taken_back() -> None:
    """R-080: remembered with who and why."""
    async with RealWorld() as world:
        account, customer = await strangers(world, 1)
        words = ["apart", TO_ERP, account, customer, "--reason", "two branches"]
        assert (await typed(world, *words)).code == 1
        assert (await typed(world, *words, "--apply", "--by", "ticket-8")).code == 0
        (apart,) = await world.stores.never_match.of(world.pair, account)
        assert (apart.right, apart.by, apart.reason) == (customer, "ticket-8", "two branches")
        assert (await typed(world, *words, "--undo", "--apply")).code == 0
        assert (await typed(world, *words, "--undo", "--apply")).code == 2


@virtually
async def test_a_field_explains_its_value() -> None:
    """R-060: both sides, owner, last write and whether it still stands, and the edit that was put back."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        said = await typed(world, "explain", "dataverse", "account", account)
        assert (said.code, "linked" in said.out) == (0, True)
        await world.edit_account(account, name="Typed in vain")
        await world.settle()
        told = await typed(world, "explain", "business_central", "customers", customer, "displayName", "--json")
        (field,) = told.json["items"][0]["fields"]
        assert (field["left"], field["right"], field["master"]) == ("Aurora Milling", "Aurora Milling", "right")
        assert field["last_write"]["reason"] == "edited where it is not mastered, put back"
        assert (field["last_write"]["on"], field["still_as_written"]) == ("left", True)
        assert any(one["reason"] == "the source is not its master" for one in field["others"])
        await world.switch("customer_to_dataverse", Switch.OFF)
        await world.edit_account(account, name="And again")
        later = await typed(world, "explain", "dataverse", "account", account, "name")
        assert (later.code, "does not stand any more" in later.out) == (1, True)
        wrong = await typed(world, "explain", "dataverse", "account", account, "nonsense")
        assert (wrong.code, "CD-5004" in wrong.err) == (2, True)
        assert (await world.link(Side.LEFT, account)) is not None
        mistyped = await typed(world, "explain", "dataverse", "acount", account)
        assert (mistyped.code, "did you mean account?" in mistyped.err) == (2, True)
        nowhere = await typed(world, "explain", "dataverse", "account", "0" * 8 + account[8:])
        assert (nowhere.code, "there is no such record" in nowhere.out) == (0, True)


@virtually
async def test_many_links_are_undone_from_a_file() -> None:
    """R-041: in bulk, after a question; what has no link is named, and the others are undone all the same."""
    async with RealWorld() as world:
        pairs = [await strangers(world, number) for number in range(3)]
        for account, customer in pairs:
            await typed(world, "link", TO_ERP, account, customer, "--reason", "old list", "--apply")
        never = await world.new_account(name="Never linked")
        with TemporaryFile(Path("keys.csv"), "".join(f"{key}\n" for key in (pairs[0][0], never, pairs[2][0]))) as path:
            words = ["unlink", "dataverse", "account", "--file", str(path), "--reason", "the wrong list"]
            shown = await typed(world, *words)
            assert (shown.code, "1 records are not linked" in shown.out) == (1, True)
            assert len(await world.links()) == 3
            said = await typed(world, *words, "--apply", "--json")
        assert said.code == 5
        assert [one["key"] for one in said.json["unlinked"]] == [pairs[0][0], pairs[2][0]]
        assert [(one["key"], one["code"]) for one in said.json["refused"]] == [(never, "CD-5004")]
        assert await world.links() == dict([pairs[1]])
        await world.settle()
        assert await world.links() == dict([pairs[1]])
        assert (await typed(world, "unlink", "dataverse", "account", "--reason", "which one")).code == 2
