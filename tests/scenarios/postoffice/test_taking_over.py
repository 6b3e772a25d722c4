"""Mode manual: people look through PostOffice's customers and cost centres, and take some over into the CRM."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.faults import FaultKind, FaultRule
from shared.sync.ports import Side, SiteMode
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.command_line.terminal import typed
from tests.scenarios.postoffice.world import (
    PARTIES,
    POOR,
    TAKES_COST_CENTRES,
    TAKES_CUSTOMERS,
    WHOLE,
    PostWorld,
    Sites,
    shipped,
)
from tests.simulation.loop import run_virtually

both = pytest.mark.parametrize("site", [WHOLE, POOR], ids=["whole", "poor"])
LOCKED = {"name", "customerGroupId", "priceGroupId", "invoicingClientId", "addresses"}
"""What PostOffice itself locks of a linked record, as far as it is no part with a definition of its own."""


def manual(site: Sites, **more: Any) -> PostWorld:
    return PostWorld(site, mode=SiteMode.MANUAL, **more)


def customer(world: PostWorld, number: str, **values: Any) -> str:
    """A customer as a person keeps it in PostOffice."""
    return str(world.site.create("customers", {"number": number, "name": f"Customer {number}", **values})["id"])


@both
@virtually
async def test_what_was_in_postoffice_first_is_taken_over(site: Sites) -> None:
    """R-079, R-083, R-084: selected customers and cost centres appear in the CRM, PostOffice keeps the CRM's id; what
    was not selected stays where it is."""
    async with manual(site) as world:
        address = {"main": {"street": "Mill Lane 1", "city": "Bonn", "country": "DE"}, "invoice": {"city": "Köln"}}
        mill = customer(world, "7", telephone="+49 228 1", remark="rings twice", addresses=address)
        customer(world, "8")
        centre = world.site.create("cost-centres", {"number": "7", "name": "Gate", "customerId": mill})["id"]
        await world.next_walk()
        assert world.accounts == {}
        (early,) = await world.take_over(TAKES_COST_CENTRES, centre)
        assert (early["result"], early["why"]) == ("refused", "a record that it refers to has no partner yet")
        (taken,) = await world.take_over(TAKES_CUSTOMERS, mill)
        (placed,) = await world.take_over(TAKES_COST_CENTRES, centre)
        assert (taken["result"], placed["result"]) == ("created", "created")
        await world.next_walk()
        ((account, row),) = world.accounts.items()
        assert (account, row["name"], row["cdock_postnumber"]) == (taken["partner"], "Customer 7", "7")
        assert (row["telephone1"], row["cdock_postremark"]) == ("+49 228 1", "rings twice")
        assert (row["address1_line1"], row["address1_city"], row["address2_city"]) == ("Mill Lane 1", "Bonn", "Köln")
        there = world.customers_there[mill]
        assert (there["crmId"], there["master"], there["addresses"]["main"]) == (
            account,
            "CRM",
            {**dict.fromkeys(("name", "name2", "postcode")), **address["main"]},
        )
        ((key, gate),) = world.crm.rows("cdock_costcentre").items()
        assert (gate["cdock_name"], gate["cdock_accountid"]) == ("Gate", account)
        assert world.cost_centres_there[centre]["crmId"] == key


@both
@virtually
async def test_records_that_both_have_are_linked_by_either_number(site: Sites) -> None:
    """R-080, R-082: by the customer's number or by its external number; nothing is made, blanks are filled once, and
    from then on the CRM's values hold."""
    async with manual(site) as world:
        by_number = await world.new_account(name="Aurora", cdock_postnumber="7", telephone1="+49 1")
        by_external = await world.new_account(name="Borealis", accountnumber="EXT-8")
        seven, eight = customer(world, "7", email="seven@post.example"), customer(world, "8", externalNumber="EXT-8")
        taken = await world.take_over(TAKES_CUSTOMERS, seven, eight)
        assert [(one["result"], one["partner"]) for one in taken] == [("linked", by_number), ("linked", by_external)]
        await world.next_walk()
        assert len(world.accounts) == len(world.customers_there) == 2
        assert world.account(by_number)["emailaddress1"] == "seven@post.example"
        assert (world.customers_there[seven]["name"], world.customers_there[seven]["telephone"]) == ("Aurora", "+49 1")
        assert world.account(by_external)["cdock_postnumber"] == "8"


@virtually
async def test_which_number_counts_first_is_what_the_definition_says() -> None:
    """R-082: the order is the order of the lines under `match`."""
    index = shipped(*PARTIES)
    turned = [
        one.model_copy(update={"match": one.match[::-1]}) if one.right.table == "customers" else one
        for one in index.definitions
    ]
    for order, wanted in ((index, "by number"), (index.model_copy(update={"definitions": tuple(turned)}), "external")):
        async with manual(WHOLE, index=order) as world:
            await world.new_account(name="by number", cdock_postnumber="7")
            await world.new_account(name="external", accountnumber="EXT-7")
            key = customer(world, "7", externalNumber="EXT-7")
            (taken,) = await world.take_over(TAKES_CUSTOMERS, key)
            assert world.account(taken["partner"])["name"] == wanted


@both
@virtually
async def test_the_list_shows_each_record_with_what_matching_finds(site: Sites) -> None:
    """R-081, R-085: number, external number, name (a cost centre with its customer), active, kind, the CRM's id and
    the master, and the best hit in the CRM; page by page."""
    async with manual(site) as world:
        account = await world.new_account(name="Aurora", accountnumber="EXT-7")
        mill = customer(world, "7", externalNumber="EXT-7")
        quiet = customer(world, "8", active=False)
        world.site.create("cost-centres", {"number": "1", "name": "Gate", "customerId": mill})
        first = await world.asked("GET", f"transfers/{TAKES_CUSTOMERS}/offered?limit=1")
        rest = await world.asked("GET", f"transfers/{TAKES_CUSTOMERS}/offered?after={first['next']}")
        seven, eight = {one["key"]: one for one in (*first["items"], *rest["items"])}.values()
        assert (seven["key"], seven["name"], seven["kind"], seven["state"]) == (mill, "Customer 7", "customers", "")
        shown = {"number": "7", "externalNumber": "EXT-7", "active": "true", "crmId": None, "master": "PO"}
        assert seven["shown"] == shown
        by = "externalNumber = accountnumber"
        assert seven["hit"] == {"key": account, "name": "Aurora", "rule": by, "found": 1, "linked": False}
        assert (eight["key"], eight["shown"]["active"], eight["hit"]) == (quiet, "false", None)
        (gate,) = (await world.asked("GET", f"transfers/{TAKES_COST_CENTRES}/offered"))["items"]
        assert (gate["name"], gate["kind"]) == ("Customer 7 [Gate]", "cost-centres")
        await world.take_over(TAKES_CUSTOMERS, mill)
        await world.next_walk()
        said = await typed(world, "offered", TAKES_CUSTOMERS, **world.environment)
        rows = {row[3]: dict(zip(said.rows[0], row, strict=True)) for row in said.rows[1:]}
        assert (rows["7"]["crmId"], rows["7"]["master"], rows["7"]["state"]) == (account, "CRM", "linked")
        left = await typed(world, "offered", TAKES_CUSTOMERS, "--unlinked", "--json", **world.environment)
        assert [one["key"] for one in left.json["items"]] == [quiet]


@both
@virtually
async def test_a_selection_is_linked_from_the_command_line_with_a_result_for_each(site: Sites) -> None:
    """R-081: one or many; what needs a person is told, the others go on; a repeat changes nothing."""
    async with manual(site) as world:
        for name in ("one", "other"):
            await world.new_account(name=name, cdock_postnumber="9")
        keys = [customer(world, number) for number in ("7", "8", "9")]
        words = ["take-over", TAKES_CUSTOMERS, *keys, "--reason", "first lot", "--by", "t-17"]
        looked = await typed(world, *words, **world.environment)
        assert (looked.code, len(world.accounts)) == (1, 2)
        done = await typed(world, *words, "--apply", "--json", **world.environment)
        assert [one["result"] for one in done.json["items"]] == ["created", "created", "waits for a person"]
        assert done.json["items"][2]["code"] == "CD-4301"
        assert done.code == 1
        again = await typed(world, *words, "--apply", "--json", **world.environment)
        assert [one["result"] for one in again.json["items"]] == [
            "linked already",
            "linked already",
            "waits for a person",
        ]
        assert len(world.accounts) == 4
        pair = world.definition_of("customers")
        entries = await world.asked("GET", f"journal/postoffice/customers/{keys[0]}")
        assert pair.right.table == "customers"
        told = [one["reason"] for one in entries["items"] if one["cause"] == "take over by t-17"]
        assert "a person has selected it: first lot" in told


@both
@virtually
async def test_what_a_person_had_to_look_at_is_taken_over_by_its_retry(site: Sites) -> None:
    """R-081, R-083: two hits, of which a person renumbers one; and a CRM that failed: that one comes by itself."""
    async with manual(site) as world:
        await world.new_account(name="one", cdock_postnumber="9")
        other = await world.new_account(name="other", cdock_postnumber="9")
        nine, ten = customer(world, "9"), customer(world, "10")
        world.crm.faults.add(FaultRule(FaultKind.UNAVAILABLE, path="/accounts", times=1, after=2))
        taken = await world.take_over(TAKES_CUSTOMERS, nine, ten)
        assert [one["result"] for one in taken] == ["waits for a person", "comes again by itself"]
        await world.next_walk()
        assert world.customers_there[ten]["master"] == "CRM"
        await world.edit_account(other, cdock_postnumber="10017")
        await world.asked("POST", f"transfers/{TAKES_CUSTOMERS}/parked/right/{nine}/retry", status=202, reason=None)
        await world.next_walk()
        assert world.customers_there[nine]["crmId"] not in (None, other)
        assert await world.parked(TAKES_CUSTOMERS) == []


@both
@virtually
async def test_a_linked_record_is_locked_and_an_edit_in_postoffice_is_put_back(site: Sites) -> None:
    """R-086: the lock list has what the CRM owns now; a change past PostOffice's lock never reaches the CRM."""
    async with manual(site) as world:
        mill = customer(world, "7")
        path = f"locks/postoffice/customers/{mill}"
        free = await world.asked("GET", path)
        assert (free["linked"], free["columns"]) == (False, [])
        (taken,) = await world.take_over(TAKES_CUSTOMERS, mill)
        await world.next_walk()
        locked = await world.asked("GET", path)
        assert locked["linked"]
        assert {*locked["columns"]} >= LOCKED
        assert "number" not in locked["columns"]
        edited = {"name": "Changed past the lock", "addresses": {"invoice": {"city": "Elsewhere"}}}
        world.site.edit("customers", mill, edited, past_the_lock=True)
        await world.next_walk()
        row, there = world.account(taken["partner"]), world.customers_there[mill]
        assert (row["name"], row.get("address2_city")) == ("Customer 7", None)
        assert (there["name"], there["addresses"]["invoice"]["city"]) == ("Customer 7", None)
        entries = await world.asked("GET", f"journal/postoffice/customers/{mill}")
        reasons = {field["reason"] for one in entries["items"] for field in one["fields"]}
        assert "edited where it is not mastered, put back" in reasons
        said = await typed(world, "locks", "postoffice", "--json", **world.environment)
        (table,) = [one for one in said.json["tables"] if one["table"] == "customers"]
        assert (table["sign"], table["unlinked"]) == ("crmId", [])
        assert {*table["linked"]} >= LOCKED


@both
@virtually
async def test_nothing_is_linked_or_made_by_itself(site: Sites) -> None:
    """Mode manual: lists and linked records follow; others stay apart, though matching would find them, also after a
    full compare and a notice."""
    async with manual(site) as world:
        await world.new_account(name="Aurora", cdock_postnumber="7")
        alone = await world.new_account(name="Alone")
        mill = customer(world, "7")
        world.site.create("services", {"number": "1", "name": "Letter"})
        await world.next_walk()
        await (await world.apps[0].engine()).compares.begin_all()
        for table, side, key in (("customers", Side.LEFT, alone), ("customers", Side.RIGHT, mill)):
            await world.announce(side, key, world.definition_of(table))
        await world.next_walk()
        assert [row["cdock_name"] for row in world.listed("cdock_postservice")] == ["Letter"]
        assert (len(world.accounts), len(world.customers_there)) == (2, 1)
        assert world.customers_there[mill]["crmId"] is None


async def edited_before(site: Sites, number: int) -> int:
    """Take a customer over, and let somebody edit it just before one of the requests that follow.

    Answers how many requests there were. A value that only fills a new account is no different from the others: both
    sides agree once it is quiet.
    """
    async with manual(site) as world:
        mill = customer(world, "7", telephone="+49 228 1")

        async def meanwhile(request: int) -> None:
            if request == number:
                world.site.edit("customers", mill, {"telephone": "+49 228 2"}, past_the_lock=True)

        world.meanwhile = meanwhile
        await world.take_over(TAKES_CUSTOMERS, mill)
        requests = world.requests_seen
        world.meanwhile = None
        await world.next_walk()
        ((_, account),) = world.accounts.items()
        assert account["telephone1"] == world.customers_there[mill]["telephone"], number
        return requests


@both
def test_an_edit_beside_taking_over_leaves_both_sides_equal(site: Sites) -> None:
    """R-079, R-086: at whatever moment somebody edits what is being taken over."""
    requests = run_virtually(edited_before(site, 0))
    assert requests >= 5
    for number in range(1, requests + 1):
        run_virtually(edited_before(site, number))
