"""Lists that come as files: what is wrong with a file or a row of it is told, and nothing is lost by it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from shared.sync.context import pair_name
from shared.sync.ports import CompareRow, Switch
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.postoffice.world import FILES, PostWorld, shipped, with_windows_walked

LISTS = ("article", "service")
ARTICLES = "cdock_postarticle"
TRANSFER = "post_article_to_dataverse"


def names(world: PostWorld) -> list[str]:
    return [row["cdock_name"] for row in world.listed(ARTICLES)]


def articles(world: PostWorld, count: int) -> list[str]:
    """Articles by number, each named after it."""
    made = (world.site.create("articles", {"number": f"{n:02d}", "name": f"A{n}"}) for n in range(count))
    return [one["id"] for one in made]


def file(world: PostWorld) -> Path:
    return world.folder / "articles.csv"


async def compare(world: PostWorld) -> None:
    """The nightly compare of all pairs, to its end."""
    await (await world.apps[0].engine()).compares.begin_all()
    await world.settle()


async def compares(world: PostWorld) -> list[CompareRow]:
    """The compares that are held up."""
    connectors = (await world.apps[0].engine()).pipeline.ports.connectors
    rows = [await world.stores.compares.get(pair_name(one, connectors)) for one in world.index.definitions]
    return [row for row in rows if row.code]


@virtually
async def test_what_is_booked_arrives_from_files_on_the_account_of_its_customer() -> None:
    """R-103, R-104, R-105, R-106, R-117: orders, invoices, a cost centre's complaint and statistics; customers by the
    interface. What comes before its customer is linked waits for it."""
    parties = ("customer", "cost_centre", "customer_group", "price_group", "invoicing_client")
    index = shipped(*parties, "service", "article", "order", "invoice", "complaint", "shipment_statistics")
    async with PostWorld(FILES, with_windows_walked(index, 400)) as world:
        account = await world.new_account(name="Aurora Milling")
        centre = await world.crm.create("cdock_costcentre", {"cdock_name": "Mill 2", "cdock_accountid": account})
        service = world.site.create("services", {"number": "1", "name": "Courier"})["id"]
        world.export()
        await world.pass_time(minutes=15)
        (customer,), (there,) = world.customers_there, world.cost_centres_there
        own = world.site.create("customers", {"name": "Eigen AG", "number": "77"})["id"]
        booked = {"currency": "EUR", "amount": "12.3456"}
        for number, whose in (("1", customer), ("2", own)):
            order = {"number": number, "customerId": whose, "orderedOn": "2026-03-02", "state": "open"}
            world.site.create("orders", {**booked, **order})
        world.site.create("invoices", {**booked, "number": "R1", "customerId": customer, "invoicedOn": "2026-03-02"})
        told = {"number": "B1", "subject": "Letter\nlost", "reportedAt": "2026-03-02T09:30:00+01:00"}
        world.site.create("complaints", {**told, "costCentreId": there})
        world.site.ship(customer, service, world.clock.now().date(), items=7, grams=50, amount=Decimal("1.5"))
        world.export()
        await world.pass_time(minutes=20)
        (shown,), (invoice,) = world.listed("cdock_postorder"), world.listed("cdock_postinvoice")
        assert (shown["cdock_accountid"], shown["cdock_amount"]) == (account, Decimal("12.3456"))
        assert (invoice["cdock_accountid"], invoice["cdock_invoicedon"].isoformat()) == (account, "2026-03-02")
        (case,) = world.crm.rows("incident").values()
        assert (case["customerid"], case["cdock_costcentreid"], case["title"]) == (account, centre, "Letter\nlost")
        (sums,) = world.crm.rows("cdock_shipmentstatistic").values()
        assert (sums["cdock_accountid"], sums["cdock_items"], sums["cdock_amount"]) == (account, 7, Decimal("1.5"))


@virtually
async def test_a_half_written_file_stops_its_own_list_until_the_next_one_is_whole() -> None:
    """R-102, R-101: the other lists and the site's interface go on, and then everything arrives."""
    async with PostWorld(FILES, shipped(*LISTS)) as world:
        ids = articles(world, 3)
        await world.next_walk()
        world.site.edit("articles", ids[0], {"name": "New"})
        world.site.create("services", {"number": "1", "name": "Courier"})
        world.export()
        file(world).write_bytes(file(world).read_bytes()[:-5])
        world.keep_time(file(world))
        await world.pass_time(minutes=20)
        assert names(world) == ["A0", "A1", "A2"]
        assert [row["cdock_name"] for row in world.listed("cdock_postservice")] == ["Courier"]
        engine = await world.apps[0].engine()
        assert not await engine.pipeline.panel.is_open(engine.pipeline.ports.connectors["postoffice"])
        (failed,) = [one for one in await engine.walks.now("postoffice", "articles") if one.code]
        assert failed.code == "CD-1021"
        await world.next_walk()
        assert names(world) == ["New", "A1", "A2"]
        assert await world.parked(TRANSFER) == []


@virtually
async def test_what_is_queued_while_a_file_is_missing_waits_for_it() -> None:
    """R-102: no attempt is lost, and nobody is asked."""
    async with PostWorld(FILES, shipped(*LISTS)) as world:
        ids = articles(world, 2)
        await world.next_walk()
        await world.switch(TRANSFER, Switch.STOPPED)
        world.site.edit("articles", ids[1], {"name": "New"})
        world.export()
        await world.pass_time(minutes=10)
        file(world).unlink()
        await world.switch(TRANSFER, Switch.ON)
        await world.pass_time(minutes=20)
        assert (names(world), await world.parked(TRANSFER)) == (["A0", "A1"], [])
        await world.next_walk()
        assert names(world) == ["A0", "New"]


@virtually
async def test_a_row_that_cannot_be_read_waits_for_a_person_and_the_others_go_over() -> None:
    """R-102: told by line and column, without its value; with the next file it goes over by itself."""
    async with PostWorld(FILES, shipped(*LISTS)) as world:
        ids = articles(world, 3)
        await world.next_walk()
        for one in ids:
            world.site.edit("articles", one, {"name": f"New {one}", "price": "1.5"})
        world.export()
        lines = file(world).read_text("utf-8").splitlines()
        lines[2] = lines[2].replace("1.5000", "1,5000")
        file(world).write_bytes("".join(f"{line}\r\n" for line in lines).encode())
        world.keep_time(file(world))
        await world.pass_time(minutes=20)
        assert names(world) == [f"New {ids[0]}", "A1", f"New {ids[2]}"]
        (parked,) = await world.parked(TRANSFER)
        assert (parked.code, parked.field, parked.key) == ("CD-1022", "price", ids[1])
        assert parked.sentence == "articles.csv line 3: 'price' is no decimal."
        await compare(world)
        assert len(await world.parked(TRANSFER)) == 1
        await world.next_walk()
        assert names(world) == [f"New {one}" for one in ids]
        assert await world.parked(TRANSFER) == []


@virtually
async def test_a_row_that_is_gone_loses_its_link_at_night_and_stays_in_the_crm() -> None:
    """R-102: a file tells of no deletes, so the nightly compare finds them."""
    async with PostWorld(FILES, shipped(*LISTS)) as world:
        ids = articles(world, 3)
        await world.next_walk()
        world.site.delete("articles", ids[1])
        world.site.edit("articles", ids[2], {"name": "Follows"})
        await world.next_walk()
        await compare(world)
        assert names(world) == ["A0", "A1", "Follows"]
        links = await world.linked_keys("articles")
        assert links == {ids[0], ids[2]}


@virtually
async def test_a_file_that_has_lost_most_of_its_rows_unlinks_nothing() -> None:
    """R-102: neither the walk nor the compare of the night believes it."""
    async with PostWorld(FILES, shipped(*LISTS)) as world:
        ids = articles(world, 24)
        await world.next_walk()
        for one in ids[4:]:
            world.site.delete("articles", one)
        world.export()
        await world.pass_time(minutes=10)
        await (await world.apps[0].engine()).compares.begin_all()
        await world.pass_time(minutes=10)
        assert [row.code for row in await compares(world)] == ["CD-1021"]
        assert await world.linked_keys("articles") == set(ids)
        assert (await world.stores.modes.get(TRANSFER)).switch is Switch.ON
