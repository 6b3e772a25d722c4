"""The CRM asks before an order or a quote is registered, and the salesperson is told why not."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from local.command_line.diagnosis.patient import Patient
from local.command_line.diagnosis.whole import registrations as examined
from sandbox.dataverse.errors import DataverseError
from sandbox.faults import FaultKind, FaultRule
from shared.field_service.bodies import MOST_LINES
from shared.registrations import Registrations
from shared.sync.checking import check
from shared.sync.definition import Index
from shared.sync.registering import Standing
from shared.sync.surveying import survey
from tests.scenarios.account_customer.world import (
    APP_URL,
    COMPANY,
    CRM_CLIENT,
    HOOK_SECRET,
    ORGANIZATION,
    virtually,
)
from tests.scenarios.field_service.checks_world import ChecksWorld, Setup, shipped

CONFIRM = Setup(environment={"CROSSDOCK_CHECKS_CONFIRM": "salesorder,quote"})
ANNA = "0b4f9d7e-2a66-4f0b-9f5c-6a1c0e5d7a01"
SUBMIT = {"statecode": 1}


class Sales:
    """A salesperson at work in the CRM of a world, where Crossdock has been set up."""

    def __init__(self, world: ChecksWorld) -> None:
        self.world = world
        self.anna = world.crm.add_user("Anna", object_id=ANNA)
        self.unit = self.product = ""

    async def set_up(self) -> None:
        """manage.py register, and a product that the CRM and the ERP have."""
        await self.register()
        self.unit = await self.world.crm.create("uom", {"name": "Piece"})
        self.product = await self.world.crm.create(
            "product", {"name": "Filter", "productnumber": "FILTER-1", "statecode": 0}
        )

    async def register(self, remove: bool = False) -> list[str]:
        """Settle what is missing or differs; answers its names."""
        done: list[str] = []
        app = self.world.apps[0]
        registrations = Registrations(app, await app.engine())
        look = await registrations.look()
        assert [one for one in look.failures if one.system == "dataverse"] == []
        kinds = ("webhook", "step")
        wanted = (Standing.MISSING, Standing.DIFFERS, *((Standing.SURPLUS,) if remove else ()))
        failures = await registrations.settle(
            look,
            lambda part: part.kind in kinds and part.standing in wanted,
            lambda _, part: done.append(f"{part.kind} {part.name}: {part.standing.value}"),
        )
        assert failures == []
        return done

    async def doctor(self) -> list[str]:
        """What manage.py doctor finds of the CRM's steps."""
        found = await examined(Patient(self.world.apps[0], is_built_here=True))
        return [one.told for one in found if one.needs_somebody and one.told.startswith("dataverse: step")]

    async def order(self, quantity: float = 1, price: float = 25, total: float | None = None, **values: Any) -> str:
        """Anna enters an order of one line."""
        amount = quantity * price if total is None else total
        order = await self.world.crm.create(
            "salesorder",
            {
                "name": "Filters",
                "ordernumber": "SO-1001",
                "customerid": ("account", self.world.account),
                "totalamount": Decimal(str(amount)),
                **values,
            },
            self.anna,
        )
        await self.line(order, quantity, price)
        return order

    async def line(self, order: str, quantity: float, price: float, **values: Any) -> None:
        """Anna adds a line."""
        row = {"productid": self.product, "uomid": self.unit, "quantity": Decimal(str(quantity))}
        row |= {"salesorderid": order, "priceperunit": Decimal(str(price))}
        await self.world.crm.create("salesorderdetail", row | values, self.anna)

    async def submit(self, order: str, table: str = "salesorder", **more: Any) -> str:
        """Anna submits it; answers the code that Dataverse shows her, empty where it was taken."""
        try:
            await self.world.crm.edit(table, order, SUBMIT | more, self.anna)
        except DataverseError as error:
            return error.code
        return ""

    def state(self, order: str, table: str = "salesorder") -> int:
        """In which state it is."""
        return int(self.world.crm.rows(table)[order]["statecode"])

    def told(self) -> list[tuple[str, str]]:
        """Title and text of the notifications that Anna sees."""
        rows = self.world.crm.rows("appnotification").values()
        return [(row["title"], row["body"]) for row in rows if row["ownerid"] == self.anna]


class AtWork:
    """A world with a salesperson, as an async context."""

    def __init__(self, setup: Setup = CONFIRM) -> None:
        self.world = ChecksWorld(setup)

    async def __aenter__(self) -> tuple[ChecksWorld, Sales]:
        await self.world.__aenter__()
        sales = Sales(self.world)
        await sales.set_up()
        return self.world, sales

    async def __aexit__(self, *about: object) -> None:
        await self.world.__aexit__(*about)


@virtually
async def test_a_good_order_is_registered_after_the_erp_has_said_yes() -> None:
    """R-229, R-231, R-232, R-233: price, stock and credit are asked; nobody is told anything."""
    async with AtWork() as (world, sales):
        order = await sales.order(quantity=2)
        world.forget_requests()
        assert await sales.submit(order) == ""
        assert (sales.state(order), sales.told()) == (1, [])
        asked = {one.path.rpartition("/")[2].partition("(")[0] for one in world.erp_calls()}
        assert {"items", "customers", "customerFinancialDetails"} <= asked


@virtually
async def test_an_order_over_the_credit_limit_stays_unregistered_and_the_salesperson_reads_why() -> None:
    """R-229, R-233: the platform shows only that a webhook failed; the notification says it in plain words."""
    async with AtWork() as (world, sales):
        await world.limit(1000)
        await world.owes(900)
        order = await sales.order(quantity=5)
        assert await sales.submit(order) == "0x80050201"
        assert sales.state(order) == 0
        ((title, text),) = sales.told()
        assert title == "SO-1001 was not confirmed"
        assert text == (
            "With this the customer would owe 1,025.00 EUR; the credit limit is 1,000.00 EUR. Nothing has been "
            "registered; try again once this is settled."
        )
        ((row),) = world.crm.rows("appnotification").values()
        assert (row["icontype"], row["priority"]) == (100000002, 200000001)
        await world.limit(2000)
        assert await sales.submit(order) == ""
        assert sales.state(order) == 1
        assert len(sales.told()) == 1


@virtually
async def test_every_reason_stands_in_the_one_notification() -> None:
    """R-229: another price, too few parts and an overdue payment, in one message."""
    async with AtWork() as (world, sales):
        await world.owes(150, overdue=True)
        order = await sales.order(quantity=12, price=20)
        await sales.submit(order)
        ((_, text),) = sales.told()
        assert text == (
            "FILTER-1: the price is 25.00 EUR, not 20.00 EUR. FILTER-1: 12 are needed, 10 are there. The customer is "
            "late with payments of 150.00 EUR. Nothing has been registered; try again once this is settled."
        )


@pytest.mark.parametrize("kind", [FaultKind.STALL, FaultKind.UNAVAILABLE, FaultKind.REFUSED_CONNECTION])
@virtually
async def test_without_the_erp_nothing_is_registered_and_the_message_says_what_to_do(kind: FaultKind) -> None:
    """R-229: within the budget, asked once, told once."""
    async with AtWork() as (world, sales):
        order = await sales.order()
        world.erp.faults.add(FaultRule(kind, seconds=3600))
        began = world.clock.monotonic()
        assert await sales.submit(order) == "0x80050201"
        assert world.clock.monotonic() - began < 5
        assert sales.state(order) == 0
        ((title, text),) = sales.told()
        assert title == "SO-1001 was not confirmed"
        assert text.startswith("The prices could not be checked, because Business Central does not answer. Wait a few")
        assert "CD-810" in text
        world.erp.faults.clear()
        await asyncio.sleep(60)
        assert await sales.submit(order) == ""


@virtually
async def test_a_customer_whom_the_erp_does_not_know_gets_no_order_registered() -> None:
    """R-229: nor one that is a person of the CRM and no account."""
    async with AtWork() as (world, sales):
        stranger = await world.crm.create("account", {"name": "Stranger"})
        contact = await world.crm.create("contact", {"lastname": "Person"})
        for customer in (("account", stranger), ("contact", contact)):
            order = await sales.order(customerid=customer)
            assert await sales.submit(order) == "0x80050201"
        assert sales.state(order) == 0
        assert sales.told()[0][1].startswith("Business Central does not know this customer yet; ask whoever")
        assert len(sales.told()) == 2


@virtually
async def test_items_that_are_written_in_by_hand_are_left_out_and_unknown_ones_are_named() -> None:
    """R-231, R-232: what has no number cannot be asked for; its amount counts for the credit all the same."""
    async with AtWork() as (world, sales):
        await world.limit(500)
        order = await sales.order(total=100)
        await sales.line(order, 1, 75, productid=None, productdescription="Cleaning", isproductoverridden=True)
        assert await sales.submit(order) == ""
        other = await world.crm.create("product", {"name": "New", "productnumber": "NEW-1", "statecode": 0})
        order = await sales.order()
        await sales.line(order, 1, 5, productid=other)
        assert await sales.submit(order) == "0x80050201"
        assert sales.told()[0][1].startswith("Business Central does not know: NEW-1.")


@virtually
async def test_what_comes_back_needs_not_be_there_and_too_many_lines_are_not_looked_at() -> None:
    """R-232, R-229: a return of more than there is in stock; and an order that no check could take."""
    async with AtWork() as (_, sales):
        assert await sales.submit(await sales.order(quantity=-30)) == ""
        order = await sales.order(quantity=0.01)
        for _ in range(MOST_LINES):
            await sales.line(order, 0.01, 25)
        assert await sales.submit(order) == "0x80050201"
        assert f"there are more than {MOST_LINES} lines" in sales.told()[-1][1]


@virtually
async def test_only_the_change_that_registers_is_asked_about() -> None:
    """R-229: any other change of an order costs no question, and a change of its own state back is none."""
    async with AtWork() as (world, sales):
        order = await sales.order()
        assert await sales.submit(order) == ""
        world.forget_requests()
        await world.crm.edit("salesorder", order, {"name": "Others"}, sales.anna)
        await world.crm.edit("salesorder", order, {"statecode": 0}, sales.anna)
        assert (world.erp_calls(), sales.state(order)) == ([], 0)


@virtually
async def test_what_is_changed_by_the_same_request_has_not_been_checked() -> None:
    """R-229: nobody submits an order together with another customer, or with what makes it dearer than it was."""
    async with AtWork() as (world, sales):
        order = await sales.order()
        other, _ = await world.company("P-3000")
        for change in (
            {"customerid": ("account", other)},
            {"freightamount": Decimal(100_000)},
            {"discountamount": Decimal(0)},
            {"discountpercentage": Decimal(0)},
        ):
            assert await sales.submit(order, **change) == "0x80050201"
            assert sales.told()[-1][1].startswith("Save the other changes first, then confirm.")
        assert await sales.submit(order, name="Renamed") == ""


def released() -> Index:
    """The product's own definitions, where an order is registered by a box that somebody ticks."""
    rules = shipped().confirming
    assert rules is not None
    order, quote = rules.confirm["dataverse"]
    ticked = order.model_copy(update={"when": {"cdock_released": ("true",)}})
    confirm = {"dataverse": (ticked, quote)}
    return shipped().model_copy(update={"confirming": rules.model_copy(update={"confirm": confirm})})


@virtually
async def test_a_box_that_registers_a_record_is_asked_about_like_a_state() -> None:
    """R-229: ticked, not unticked; and where the body does not tell, as if it were."""
    async with ChecksWorld(replace(CONFIRM, index=released())) as world:
        await world.limit(10)
        row = {"name": "Filters", "customerid": ("account", world.account), "totalamount": Decimal(25)}
        order = await world.crm.create("salesorder", row)
        sent = {"ticked": ("cdock_released", True), "unticked": ("cdock_released", False), "other": ("name", "Renamed")}
        statuses = {}
        for what, (column, value) in sent.items():
            target = {"Attributes": [{"key": column, "value": value}]}
            body = question(key=order, InputParameters=[{"key": "Target", "value": target}])
            statuses[what] = (await post(world, json.dumps(body).encode())).status_code
        assert statuses == {"ticked": 409, "unticked": 200, "other": 409}


@virtually
async def test_a_quote_is_checked_for_its_prices_only() -> None:
    """R-231: it becomes active when every price holds; stock and credit are not asked."""
    async with AtWork() as (world, sales):
        await world.erp.edit(COMPANY, "customers", world.customer, {"blocked": "All"})
        quote = await world.crm.create(
            "quote",
            {"name": "Offer", "quotenumber": "QU-7", "customerid": ("account", world.account)},
            sales.anna,
        )
        line = {"quoteid": quote, "productid": sales.product, "uomid": sales.unit, "quantity": Decimal(100)}
        detail = await world.crm.create("quotedetail", line | {"priceperunit": Decimal(24)}, sales.anna)
        assert await sales.submit(quote, "quote") == "0x80050201"
        ((title, text),) = sales.told()
        assert title == "QU-7 was not confirmed"
        assert text.startswith("FILTER-1: the price is 25.00 EUR, not 24.00 EUR. Nothing has been registered;")
        await world.crm.edit("quotedetail", detail, {"priceperunit": Decimal(25)}, sales.anna)
        assert await sales.submit(quote, "quote") == ""


@virtually
async def test_the_salesperson_is_told_in_his_language() -> None:
    """R-229: that of his browser, which Dataverse passes on; English where we do not speak it."""
    async with AtWork() as (world, sales):
        await world.limit(1000)
        order = await sales.order(quantity=1, price=25, total=1234.5)
        bodies: list[bytes] = []
        original = world.http.send

        async def noting(request: httpx.Request, **options: Any) -> httpx.Response:
            bodies.append(request.content)
            return await original(request, **options)

        world.http.send = noting  # type: ignore[method-assign] # what the platform posts is looked at on its way
        await sales.submit(order)
        world.http.send = original  # type: ignore[method-assign]
        texts = {}
        for accepted in ("de-CH,de;q=0.9", "it", "fr-FR", "ja,en;q=0.5"):
            body = bodies[0].replace(b"en-US,en;q=0.9", accepted.encode())
            answer = await post(world, body)
            assert answer.status_code == 409
            texts[accepted[:2]] = answer.json()["sentence"]
        assert texts["de"].startswith(
            "SO-1001 wurde nicht bestätigt. Damit würde der Kunde 1.234,50 EUR schulden; das Kreditlimit ist "
            "1.000,00 EUR."
        )
        assert "1.234,50 EUR; il fido è di 1.000,00 EUR." in texts["it"]
        assert "1\u202f234,50 EUR ; l'encours" in texts["fr"]
        assert "1,234.50 EUR; the credit limit" in texts["ja"]


async def post(world: ChecksWorld, body: bytes, secret: str = HOOK_SECRET) -> httpx.Response:
    """Post to the door of questions."""
    headers = {"content-type": "application/json", "x-crossdock-secret": secret}
    return await world.http.post("/api/webhooks/dataverse/confirm", content=body, headers=headers)


def question(table: str = "salesorder", key: str = ANNA, **members: Any) -> dict[str, Any]:
    """A body as Dataverse posts it, shortened."""
    return {
        "OrganizationId": ORGANIZATION,
        "MessageName": "Update",
        "PrimaryEntityName": table,
        "PrimaryEntityId": key,
        "OperationCreatedOn": "/Date(1767600000000)/",
        "InitiatingUserId": ANNA,
    } | members


@virtually
async def test_whoever_is_not_dataverse_gets_no_yes() -> None:
    """R-229: a wrong secret, another organisation, a body that is none, a table that nobody speaks of: all of them
    block."""
    async with AtWork() as (world, _):
        good = json.dumps(question()).encode()
        statuses = {
            "secret": (await post(world, good, "wrong")).status_code,
            "organisation": (await post(world, json.dumps(question(OrganizationId=ANNA)).encode())).status_code,
            "no json": (await post(world, b"{")).status_code,
            "create": (await post(world, json.dumps(question(MessageName="Create")).encode())).status_code,
            "large": (await post(world, b" " * 300_000)).status_code,
            "table": (await post(world, json.dumps(question("lead")).encode())).status_code,
            "gone": (await post(world, good)).status_code,
        }
        assert statuses == {
            "secret": 401, "organisation": 401, "no json": 400, "create": 400, "large": 413, "table": 409, "gone": 409,
        }  # fmt: skip


@virtually
async def test_a_body_that_was_too_large_to_tell_the_change_is_checked() -> None:
    """R-229: without the parameters nobody knows that it registers nothing."""
    async with AtWork() as (world, sales):
        order = await sales.order(quantity=50)
        answer = await post(world, json.dumps(question(key=order, InitiatingUserId=sales.anna)).encode())
        assert (answer.status_code, answer.json()["reasons"]) == (409, ["stock"])
        assert len(sales.told()) == 1


@virtually
async def test_a_notification_that_cannot_be_sent_changes_nothing() -> None:
    """R-229: the record stays unregistered, and the answer comes in time."""
    async with AtWork() as (world, sales):
        world.crm.limit_privilege(CRM_CLIENT, "appnotification", "Create")
        order = await sales.order(quantity=50)
        assert await sales.submit(order) == "0x80050201"
        assert (sales.state(order), sales.told()) == (0, [])
        world.crm.faults.add(FaultRule(FaultKind.STALL, path="SendAppNotification", seconds=3600))
        began = world.clock.monotonic()
        assert await sales.submit(order) == "0x80050201"
        assert world.clock.monotonic() - began <= 5


@virtually
async def test_what_our_own_application_submits_is_checked_and_nobody_is_told() -> None:
    """R-229: an application reads no notifications."""
    async with AtWork() as (world, sales):
        order = await sales.order(quantity=50)
        ours = world.crm.add_application_user(CRM_CLIENT)
        with pytest.raises(DataverseError):
            await world.crm.edit("salesorder", order, SUBMIT, ours)
        assert len(world.crm.rows("appnotification")) == 0


# --- setting up -------------------------------------------------------------------------------------


@virtually
async def test_register_makes_the_steps_leaves_them_alone_and_takes_them_away() -> None:
    """R-229: synchronous, before the operation, for the one column; nothing where the setting names no table."""
    async with AtWork() as (world, sales):
        asked = [row for row in world.crm.rows("serviceendpoint").values() if row["url"].endswith("/confirm")]
        assert [row["url"] for row in asked] == [f"{APP_URL}/api/webhooks/dataverse/confirm"]
        steps = [
            row
            for row in world.crm.rows("sdkmessageprocessingstep").values()
            if row["eventhandler"] == asked[0]["serviceendpointid"]
        ]
        assert sorted((row["name"], row["stage"], row["mode"], row["filteringattributes"]) for row in steps) == [
            ("Crossdock: Update of quote, asked first", 10, 0, "statecode"),
            ("Crossdock: Update of salesorder, asked first", 10, 0, "statecode"),
        ]
        assert await sales.register() == []
        step = steps[0]["sdkmessageprocessingstepid"]
        await world.crm.edit("sdkmessageprocessingstep", step, {"statecode": 1})
        (told,) = await sales.doctor()
        assert told.startswith("dataverse: step differs: Update of ")
        assert told.endswith(", asked first.")
        (mended,) = await sales.register()
        assert mended.endswith("asked first: differs")
        assert world.crm.rows("sdkmessageprocessingstep")[step]["statecode"] == 0
        assert await sales.doctor() == []
        world.environment["CROSSDOCK_CHECKS_CONFIRM"] = ""
        await world.apps[0].aclose()
        world.restart()
        assert await sales.register(remove=True) == ["webhook app.example, asked first: surplus"]
        order = await sales.order(quantity=50)
        assert await sales.submit(order) == ""


@virtually
async def test_a_setting_that_was_lost_does_not_let_orders_through() -> None:
    """R-229: the step still asks, and the answer says that nobody has said what is to be checked."""
    async with AtWork() as (world, sales):
        order = await sales.order()
        world.environment["CROSSDOCK_CHECKS_CONFIRM"] = ""
        await world.apps[0].aclose()
        world.restart()
        assert await sales.submit(order) == "0x80050201"
        assert "CD-8101" in sales.told()[0][1]
        assert world.apps[0].notices.counts["dataverse_confirm: CD-8101"] > 0, "operators see it, too"


@virtually
async def test_check_holds_what_answers_against_both_systems() -> None:
    """R-229: nothing is found as shipped; a table or column that is not there is, with its line."""
    async with AtWork() as (world, _):
        engine = await world.apps[0].engine()
        connectors = engine.pipeline.ports.connectors
        assert engine.index.problems == ()
        told = [one for one in check(engine.index, await survey(connectors, engine.index)) if "checks" in one.file]
        assert told == []
        rules = engine.index.confirming
        assert rules is not None
        stock = rules.stock["business_central"].model_copy(update={"available": "inventoryy"})
        price = rules.price["business_central"]
        price = price.model_copy(update={"items": price.items.model_copy(update={"table": "itemz"})})
        changed = {"stock": {"business_central": stock}, "price": {"business_central": price}, "credit": {}}
        index = engine.index.model_copy(update={"confirming": rules.model_copy(update=changed)})
        told = [one for one in check(index, await survey(connectors, index)) if "checks" in one.file]
        assert [(one.code, one.line > 1) for one in told] == [("CD-4622", False), ("CD-4601", True), ("CD-4602", True)]


@pytest.mark.parametrize(
    ("tables", "index"),
    [("salesorder,quoote", shipped()), ("quoote", shipped().model_copy(update={"confirming": None}))],
)
@virtually
async def test_a_table_that_is_not_said_of_is_a_problem_with_its_name(tables: str, index: Index) -> None:
    """R-229: a spelling mistake in the setting is no silence, nor is a file that has been lost."""
    setup = Setup(environment={"CROSSDOCK_CHECKS_CONFIRM": tables}, index=index, warm=False)
    async with ChecksWorld(setup) as world:
        engine = await world.apps[0].engine()
        (problem,) = engine.index.problems
        assert "CROSSDOCK_CHECKS_CONFIRM: quoote does not stand under confirm:" in problem.text
