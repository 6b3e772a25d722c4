"""Operators at the command line: switches, parked records, retries, links; nothing changes without --apply."""

from __future__ import annotations

from shared.errors import StoreUnavailable
from shared.stores.rows import RowStoreUnavailable
from shared.sync.ports import Mode, Side, Switch
from tests.scenarios.account_customer.world import COMPANY_VALUES, TO_CRM, TO_ERP, RealWorld, virtually
from tests.scenarios.command_line.terminal import typed

LETTERS = COMPANY_VALUES | {"telephone1": "ask at the mill"}
MANY = 101


@virtually
async def test_every_switch_is_shown_with_who_moved_it_and_why() -> None:
    """As a table with tabs where there is no terminal, and as JSON."""
    async with RealWorld() as world:
        said = await typed(world, "mode")
        assert said.code == 0
        assert [row[:2] for row in said.rows] == [["transfer", "switch"], [TO_ERP, "on"], [TO_CRM, "on"]]
        assert "Working on the world" in said.err
        told = await typed(world, "mode", "--json")
        assert [item["by"] for item in told.json["items"]] == ["test", "test"]


@virtually
async def test_a_switch_moves_only_with_apply_and_says_who_and_why() -> None:
    """Without it the command says what would move and ends with 1; moved once, there is nothing left to do."""
    async with RealWorld() as world:
        words = ["mode", "stopped", TO_ERP, "--reason", "the ERP moves house", "--by", "ticket 17"]
        shown = await typed(world, *words)
        assert (shown.code, f"{TO_ERP} would be moved from on to stopped" in shown.out) == (1, True)
        assert (await world.stores.modes.get(TO_ERP)).switch is Switch.ON
        assert (await typed(world, *words, "--apply")).code == 0
        mode = await world.stores.modes.get(TO_ERP)
        assert (mode.switch, mode.by, mode.reason) == (Switch.STOPPED, "ticket-17", "the ERP moves house")
        assert (await world.stores.modes.get(TO_CRM)).switch is Switch.ON
        assert "there already" in (await typed(world, *words)).out


@virtually
async def test_all_switches_move_together() -> None:
    """What is there already is left as it is, with who moved it."""
    async with RealWorld() as world:
        await world.switch(TO_ERP, Switch.OFF)
        assert (await typed(world, "mode", "off", "--all", "--reason", "the end", "--by", "me", "--apply")).code == 0
        modes = [await world.stores.modes.get(name) for name in (TO_ERP, TO_CRM)]
        assert [(mode.switch, mode.by) for mode in modes] == [(Switch.OFF, "test"), (Switch.OFF, "me")]


@virtually
async def test_what_cannot_be_understood_ends_with_2_and_says_what_there_is() -> None:
    """A switch without a name or a reason, an unknown transfer, an unknown option, a cause beside a record."""
    async with RealWorld() as world:
        for words, told in (
            (["mode", "on", "--reason", "go live"], "--all"),
            (["mode", "on", TO_ERP], "--reason"),
            (["mode", "on", "nowhere_to_be_found", "--reason", "go live"], TO_ERP),
            (["mode", "--nonsense"], "--nonsense"),
            (["mode", "on", TO_ERP, "--reason", "x"], "3 to 200"),
            (["retry", TO_ERP], "--all"),
            (["retry", TO_ERP, "left", "key", "--code", "CD-4003"], "--code"),
            (["links", TO_ERP, "account"], "system, table and key"),
            (["parked", "nowhere_to_be_found"], "CD-5004"),
            (["unlink", "dataverse", "account", "key"], "--reason"),
            (["compile", "--transfers", "no/such/folder"], "no/such/folder"),
        ):
            said = await typed(world, *words)
            assert (said.code, told in said.err) == (2, True), (words, said.err)


@virtually
async def test_a_parked_record_is_told_with_its_cause_mended_and_put_back() -> None:
    """Grouped by cause with who can mend it; retry reads the record anew, and the success closes the item."""
    async with RealWorld() as world:
        account = await world.new_account(**LETTERS)
        await world.settle()
        said = await typed(world, "parked", TO_ERP)
        assert said.code == 1
        assert [TO_ERP, "CD-4003", "1"] in [row[:3] for row in said.rows]
        assert ["left", account, "CD-4003", "telephone1"] in [row[:4] for row in said.rows]
        assert "ask at the mill" not in said.out
        await world.crm.edit("account", account, {"telephone1": "+390471000002"})
        shown = await typed(world, "retry", TO_ERP, "left", account)
        assert (shown.code, "1 records would be put back" in shown.out) == (1, True)
        assert (await typed(world, "retry", TO_ERP, "left", account, "--apply")).code == 0
        await world.settle()
        assert (await typed(world, "parked")).code == 0


@virtually
async def test_records_of_one_cause_are_put_back_together_and_many_only_after_a_yes() -> None:
    """Nobody there to ask, or a no: 5, and nothing is queued."""
    async with RealWorld() as world:
        for _ in range(MANY):
            await world.new_account(**LETTERS)
        await world.settle()
        words = ["retry", TO_ERP, "--code", "CD-4003", "--apply"]
        assert (await typed(world, "retry", "--code", "CD-4301", "--apply", "--json")).json == {"queued": 0}
        for answer in (None, "n", ""):
            said = await typed(world, *words, answer=answer)
            assert (said.code, "CD-6002" in said.err) == (5, True)
        assert world.queue.counts(TO_ERP).ready == 0
        assert (await typed(world, *words, "--json", answer="y")).json == {"queued": MANY}
        assert (await typed(world, *words, "--yes", "--json")).json == {"queued": MANY}


@virtually
async def test_a_retry_of_a_transfer_that_is_off_is_refused() -> None:
    """Its message would be done without doing anything; the error says who can mend it, also as JSON."""
    async with RealWorld() as world:
        await world.new_account(**LETTERS)
        await world.settle()
        await world.switch(TO_ERP, Switch.OFF)
        said = await typed(world, "retry", "--all", "--apply", "--json")
        assert said.code == 5
        assert said.json["error"]["code"] == "CD-5008"
        assert set(said.json["error"]) == {"code", "sentence", "who", "remedy"}


@virtually
async def test_nobody_switches_on_unseen_what_a_brake_has_just_stopped() -> None:
    """The switch that the command has read must still be there when it moves it."""
    async with RealWorld() as world:
        get = world.stores.modes.get
        await world.switch(TO_ERP, Switch.OFF)
        rows = world.apps[0].outside.rows
        assert rows is not None
        read = rows.get

        async def brake_after_reading(table: str, partition: str, key: str) -> object:
            found = await read(table, partition, key)
            rows.get = read  # type: ignore[method-assign] # once only
            mode = await get(TO_ERP)
            await world.stores.modes.put(Mode(TO_ERP, Switch.STOPPED, by="brake", etag=mode.etag))
            return found

        rows.get = brake_after_reading  # type: ignore[method-assign,assignment] # the moment between reading and writing
        said = await typed(world, "mode", "on", TO_ERP, "--reason", "go live", "--apply")
        assert (said.code, "CD-5005" in said.err) == (5, True)
        assert (await get(TO_ERP)).switch is Switch.STOPPED


@virtually
async def test_links_are_shown_by_transfer_by_side_and_by_record() -> None:
    """Keys only; page by page."""
    async with RealWorld() as world:
        made = [await world.pair_made(cdock_vatnumber=None, name=f"Company {n}") for n in range(3)]
        said = await typed(world, "links", TO_ERP, "--json")
        assert {(row["key"], row["other"]) for row in said.json["items"]} == set(made)
        first = await typed(world, "links", TO_ERP, "--limit", "2", "--json")
        rest = await typed(world, "links", TO_ERP, "--after", first.json["next"], "--json")
        assert [*first.json["items"], *rest.json["items"]] == said.json["items"]
        assert rest.json["next"] is None
        right = await typed(world, "links", TO_ERP, "--side", "right", "--json")
        assert {row["key"] for row in right.json["items"]} == {customer for _, customer in made}
        one = await typed(world, "links", "dataverse", "account", made[0][0].upper())
        assert [row[1:4] for row in one.rows[1:]] == [[made[0][0], "linked", made[0][1]]]
        none = await typed(world, "links", TO_ERP, "--link-state", "unlinked")
        assert (none.code, "There is no link." in none.out) == (0, True)


@virtually
async def test_a_link_is_undone_only_with_apply_and_leaves_both_records() -> None:
    """A tombstone with who and why."""
    async with RealWorld() as world:
        account, customer = await world.pair_made()
        words = ["unlink", "dataverse", "account", account, "--reason", "two companies", "--by", "me"]
        shown = await typed(world, *words)
        assert (shown.code, f"{account} and {customer} would" in shown.out) == (1, True)
        assert await world.links() == {account: customer}
        assert (await typed(world, *words, "--apply")).code == 0
        assert await world.links() == {}
        assert (await world.link_of_account(account)).reason == "me: two companies"
        assert {account, customer} <= {*world.accounts, *world.customers}
        again = await typed(world, *words)
        assert (again.code, "not linked" in again.out) == (0, True)
        assert await world.link(Side.RIGHT, customer) is not None


@virtually
async def test_missing_settings_end_with_3_and_a_store_that_does_not_answer_with_4() -> None:
    """With code, who can mend it and what to do first."""
    async with RealWorld() as world:
        said = await typed(world, "mode", CROSSDOCK_FINGERPRINT_KEY="")
        assert said.code == 3
        for text in ("CD-3001", "CROSSDOCK_FINGERPRINT_KEY", "Who can mend it", "First"):
            assert text in said.err
        rows = world.apps[0].outside.rows
        assert rows is not None

        async def down() -> None:
            raise RowStoreUnavailable("the account does not answer")

        rows.prepare = down  # type: ignore[method-assign] # the store goes away
        said = await typed(world, "mode", "--json")
        assert (said.code, said.json["error"]["code"]) == (4, StoreUnavailable.code)
