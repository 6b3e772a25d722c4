"""The mode of a site: none, manual or automatic; chosen by a person, obeyed by everything that moves."""

from __future__ import annotations

import pytest

from shared.sync.ports import LinkState, Side, SiteMode, Switch
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.postoffice.world import POOR, TAKES_CUSTOMERS, TO_POSTOFFICE, WHOLE, PostWorld, Sites, shipped

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])
LATER = {"hours": 2}


@both
@virtually
async def test_a_fresh_installation_exchanges_nothing(site: Sites) -> None:
    """R-076, R-077: the mode is none until somebody chooses another one; walks stand still, and every message of every
    transfer ends as skipped with that reason, though the switches are on."""
    async with PostWorld(site, shipped(), mode=None) as world:
        (mode,) = (await world.asked("GET", "modes"))["items"]
        assert (mode["system"], mode["partner"], mode["mode"]) == ("postoffice", "dataverse", "none")
        account = await world.new_account(name="Aurora")
        group = world.site.create("customer-groups", {"number": "1", "name": "Mills"})["id"]
        world.site.requests.clear()
        await world.pass_time(**LATER)
        for definition in world.index.definitions:
            await world.announce(Side.RIGHT, group, definition)
        await world.announce(Side.LEFT, account, world.definition_of("customers"))
        await world.settle()
        assert world.customers_there == {}
        assert world.listed("cdock_customergroup") == []
        assert world.site.requests.entries() == []
        sent = sum(len(definition.transfers) for definition in world.index.definitions) + 2
        assert world.outcomes == {"skipped: mode none": sent}


@both
@virtually
async def test_what_was_queued_before_ends_as_skipped_too(site: Sites) -> None:
    """R-077: also a message that was sent while another mode held, a retry and a load; linked records stand still."""
    async with PostWorld(site) as world:
        account = await world.new_account(name="Aurora")
        await world.next_walk()
        (customer,) = world.customers_there
        await world.choose_mode(SiteMode.NONE)
        await world.edit_account(account, name="Changed")
        await world.announce(Side.LEFT, account, world.definition_of("customers"))
        await world.pass_time(**LATER)
        assert world.customers_there[customer]["name"] == "Aurora"
        assert world.outcomes["skipped: mode none"] == 2
        (entry, *_) = (await world.asked("GET", f"journal/dataverse/account/{account}"))["items"]
        assert (entry["outcome"], entry["reason"]) == ("skipped", "mode none")
        said = await typed(world, "load", TO_POSTOFFICE, "--apply", "--yes", **world.environment)
        assert (said.code, "mode is none" in said.err) == (5, True)
        refused = await world.asked("POST", f"transfers/{TAKES_CUSTOMERS}/take-over", status=409, keys=[customer])
        assert refused["code"] == "CD-5010"
        assert (await world.unlink(account, status=409))["code"] == "CD-5010"
        await world.wish_mode("manual")
        await world.next_walk()
        assert world.customers_there[customer]["name"] == "Changed"


@virtually
async def test_a_mode_says_who_chose_it_and_nobody_moves_it_unseen() -> None:
    """R-087: moving the mode is a deliberate act: by whom, when and why, on condition that it is as it was seen."""
    async with PostWorld(WHOLE, mode=None) as world:
        seen = await world.asked("GET", "modes/postoffice/dataverse")
        moved = await world.wish_mode("manual", reason="linking begins")
        assert (moved["moved"], moved["mode"], moved["by"], moved["reason"]) == (
            *(True, "manual", "ticket-17"),
            "linking begins",
        )
        place = "modes/postoffice/dataverse"
        late = await world.asked("PUT", place, status=409, mode="none", etag=seen["etag"])
        assert late["code"] == "CD-5005"
        await world.asked("PUT", "modes/dataverse/postoffice", status=404, mode="none", etag="")
        words = ["mode", "none", "postoffice", "--reason", "a pause", "--by", "t-18"]
        shown = await typed(world, *words, **world.environment)
        assert (shown.code, (await world.asked("GET", place))["mode"]) == (1, "manual")
        assert (await typed(world, *words, "--apply", **world.environment)).code == 0
        said = await typed(world, "mode", "--json", **world.environment)
        assert [(one["mode"], one["by"]) for one in said.json["modes"]] == [("none", "t-18")]
        assert (await typed(world, "mode", "none", "elsewhere", **world.environment)).code == 2


@both
@virtually
async def test_automatic_mode_begins_after_its_warning_was_acknowledged_and_makes_everybody(site: Sites) -> None:
    """R-087, R-094, R-095: the numbers first; then every unlinked account that is not opted out gets a customer, also
    those that were there long before, and a later one; a match is linked, not doubled."""
    async with PostWorld(site, mode=SiteMode.MANUAL) as world:
        names = [f"Mill {number}" for number in range(5)]
        for name in names:
            await world.new_account(name=name)
        await world.new_account(name="Opted out", cdock_nopostoffice=True)
        known = await world.new_account(name="Known", cdock_postnumber="7")
        world.site.create("customers", {"number": "7", "name": "Known in PostOffice"})
        undone = await world.new_account(name="Undone", cdock_postnumber="8")
        eight = world.site.create("customers", {"number": "8", "name": "Undone"})["id"]
        await world.take_over(TAKES_CUSTOMERS, eight)
        await world.unlink(undone)
        await world.next_walk()
        told = await world.wish_mode("automatic")
        customers = next(one for one in told["numbers"] if one["transfer"] == TO_POSTOFFICE)
        assert (told["moved"], told["mode"], told["acknowledge"]) == (False, "manual", 5)
        assert customers == {
            "transfer": TO_POSTOFFICE,
            "create": 5,
            "link": 1,
            "opted_out": 1,
            "undone": 1,
            "linked": 0,
            "creates_per_hour": 1000,
        }
        assert "no longer possible" in told["warning"]
        assert not (await world.wish_mode("automatic", acknowledge=4))["moved"]
        assert (await world.wish_mode("automatic", acknowledge=5))["moved"]
        await world.next_walk()
        made = {row["name"]: row for row in world.customers_there.values()}
        assert made.keys() == {*names, "Known", "Undone"}
        assert (made["Known"]["crmId"], made["Undone"]["crmId"]) == (known, None)
        assert {row["master"] for name, row in made.items() if name != "Undone"} == {"CRM"}
        await world.new_account(name="Born later")
        await world.next_walk()
        assert "Born later" in {row["name"] for row in world.customers_there.values()}


@both
@virtually
async def test_what_automatic_mode_makes_cannot_be_linked_any_more(site: Sites) -> None:
    """R-096: neither an account that has its customer, nor one that will get it; an opted-out one can be linked."""
    async with PostWorld(site) as world:
        made = await world.new_account(name="Made")
        await world.next_walk()
        await world.switch(TO_POSTOFFICE, Switch.STOPPED)
        coming = await world.new_account(name="Coming", cdock_postnumber="7")
        apart = await world.new_account(name="Apart", cdock_nopostoffice=True)
        free = world.site.create("customers", {"number": "7", "name": "Free"})["id"]
        for account, why in ((made, "is linked to"), (coming, "makes a partner of this record in postoffice")):
            looked = await world.asked("POST", f"transfers/{TO_POSTOFFICE}/links/preview", left=account, right=free)
            refused = await world.asked(
                "POST", f"transfers/{TO_POSTOFFICE}/links", status=409, left=account, right=free
            )
            assert refused["code"] == "CD-5009"
            assert why in refused["sentence"]
            assert why in looked["stands_in_the_way"]
        (taken,) = await world.take_over(TAKES_CUSTOMERS, free)
        assert (taken["result"], taken["partner"]) == ("refused", coming)
        await world.asked("POST", f"transfers/{TO_POSTOFFICE}/links", left=apart, right=free)
        row = await world.stores.links.get(world.pair_of("customers"), Side.LEFT, apart)
        assert row is not None
        assert row.state is LinkState.LINKED


@virtually
async def test_the_warning_stands_at_the_command_line_too() -> None:
    """R-095, R-096: without the number that was told nothing is moved; --apply alone is not enough."""
    async with PostWorld(WHOLE, mode=SiteMode.MANUAL) as world:
        for name in ("one", "other"):
            await world.new_account(name=name)
        words = ["mode", "automatic", "postoffice", "--reason", "linking is done"]
        for more in ([], ["--apply", "--yes"], ["--apply", "--acknowledge", "1"]):
            told = await typed(world, *words, *more, **world.environment)
            assert (told.code, "--acknowledge 2 --apply" in told.out, "no longer possible" in told.out) == (
                1,
                True,
                True,
            )
            assert (await world.asked("GET", "modes/postoffice/dataverse"))["mode"] == "manual"
        done = await typed(world, *words, "--acknowledge", "2", "--apply", **world.environment)
        assert done.code == 0
        await world.next_walk()
        assert len(world.customers_there) == 2


@virtually
async def test_what_was_acknowledged_pulls_no_brake() -> None:
    """R-095: a backlog beyond creates_per_hour is made in one go; one more than was told, and the brake asks."""
    async with PostWorld(WHOLE, mode=SiteMode.MANUAL) as world:
        world.brakes(creates_per_hour=2)
        await world.restart()
        for number in range(6):
            await world.new_account(name=f"Mill {number}")
        told = await world.wish_mode("automatic")
        await world.wish_mode("automatic", acknowledge=told["acknowledge"])
        await world.next_walk()
        assert len(world.customers_there) == 6
        for number in range(3):
            await world.new_account(name=f"Late {number}")
        await world.pass_time(minutes=20)
        assert len(world.customers_there) == 8
        assert (await world.stores.modes.get(TO_POSTOFFICE)).code == "CD-4411"
