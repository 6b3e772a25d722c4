"""Before the field service registers a transaction it asks: is the price right, are the parts there, may the customer
owe that much. It gets a yes only from the system whose data count, and an answer in time whatever happens."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions.timers import _sweep
from sandbox.faults import FaultKind, FaultRule
from shared.checks import build
from shared.field_service.errors import CustomerUnknown
from shared.sync.confirming import Confirming
from shared.sync.definition import Index, TableName
from tests.scenarios.account_customer.world import COMPANY, virtually
from tests.scenarios.field_service.checks_world import FSM_SECRET, PLACE, ChecksWorld, Setup, shipped, told

FROM_CRM = Setup(
    environment={f"CROSSDOCK_CHECKS_{name}_FROM": "dataverse" for name in ("PRICE", "STOCK", "CREDIT")}, warm=False
)


def reasons(answer: Any) -> list[str]:
    """The codes of why something is not confirmed."""
    return [one["code"] for one in told(answer)["reasons"]]


def not_confirmed(answer: Any) -> tuple[int, str, str]:
    """Status, code and reason of an answer that is no yes."""
    body = told(answer)
    assert body["confirmed"] is False
    return answer.status_code, body["code"], body.get("reason", body["error"])


# --- credit -----------------------------------------------------------------------------------------


@virtually
async def test_a_customer_within_his_limit_may_owe_more() -> None:
    """R-233: limit and open items are the ERP's, as they are in this moment; exactly the limit is within it."""
    async with ChecksWorld() as world:
        await world.limit(1000)
        await world.owes(400)
        answer = await world.credit(600)
        assert answer.status_code == 200
        assert told(answer) == {
            "confirmed": True, "limit": 1000, "used": 400, "overdue": 0, "blocked": False, "reasons": [],
        }  # fmt: skip
        over = told(await world.credit(600.01))
        assert (over["confirmed"], over["reasons"]) == (
            False,
            [{"code": "over_limit", "sentence": "The amount goes beyond the credit limit."}],
        )
        await world.limit(2000)
        assert told(await world.credit(600.01))["confirmed"] is True


@virtually
async def test_overdue_payments_and_a_block_stand_in_the_way_each_with_its_reason() -> None:
    """R-233: payment history counts as well as the limit; all reasons are told at once."""
    async with ChecksWorld() as world:
        await world.limit(100)
        await world.owes(150, overdue=True)
        assert reasons(await world.credit(1)) == ["overdue", "over_limit"]
        await world.erp.edit(COMPANY, "customers", world.customer, {"blocked": "Ship"})
        answer = told(await world.credit(1))
        assert (answer["overdue"], answer["blocked"]) == (150, True)
        assert [one["code"] for one in answer["reasons"]] == ["blocked", "overdue", "over_limit"]


@virtually
async def test_a_limit_of_nothing_is_no_limit_to_the_erp() -> None:
    """R-233: as Business Central itself checks it; the answer does not say 0, which would look like a limit."""
    async with ChecksWorld() as world:
        await world.owes(5000)
        answer = told(await world.credit(1_000_000))
        assert (answer["confirmed"], answer["limit"], answer["used"]) == (True, None, 5000)


@virtually
async def test_an_amount_in_another_currency_is_not_compared() -> None:
    """R-233: 409 CurrencyMismatch, and the currency that there is."""
    async with ChecksWorld() as world:
        answer = await world.credit(1, currency="USD")
        assert (answer.status_code, told(answer)["error"], told(answer)["field"]) == (
            409,
            "CurrencyMismatch",
            "currency",
        )
        assert told(answer)["sentence"] == "business_central keeps these amounts in EUR."


@virtually
async def test_a_customer_who_is_not_linked_is_unknown_and_nobody_is_asked_for_him() -> None:
    """R-229: not even by his name; nor is one who has been deleted in the ERP."""
    async with ChecksWorld() as world:
        assert not_confirmed(await world.credit(1, "P-2000")) == (503, "CD-8102", "customer_unknown")
        assert not_confirmed(await world.price(25, place="P-2000")) == (503, "CD-8102", "customer_unknown")
        assert world.erp_calls() == []
        await world.erp.delete(COMPANY, "customers", world.customer)
        assert not_confirmed(await world.credit(1)) == (503, "CD-8102", "customer_unknown")


@virtually
async def test_ifs_cloud_asks_as_fsm_does() -> None:
    """R-231, R-232, R-233: by its own customer numbers, whichever kind of field service runs."""
    async with ChecksWorld(Setup(asker="ifs_cloud")) as world:
        await world.limit(1000)
        assert told(await world.credit(1000))["confirmed"] is True
        assert reasons(await world.credit(1000.01)) == ["over_limit"]
        assert told(await world.price(25))["confirmed"] is True
        assert told(await world.stock(10))["confirmed"] is True
        assert not_confirmed(await world.credit(1, place="P-1001"))[0] == 503


# --- prices -----------------------------------------------------------------------------------------


@virtually
async def test_a_price_holds_when_it_is_the_erps_price() -> None:
    """R-231: with a price it is compared, without one it is told; case of item and name of unit do not count."""
    async with ChecksWorld() as world:
        answer = await world.price(25, None, item="filter-1")
        assert answer.status_code == 200
        line = {"unitPrice": 25, "discount": None, "priceSource": "business_central", "validUntil": None}
        assert told(answer) == {
            "confirmed": True, "lines": [{"lineId": "1"} | line, {"lineId": "2"} | line], "reasons": [],
        }  # fmt: skip
        await world.erp.edit(COMPANY, "items", world.item, {"unitPrice": Decimal("25.5")})
        later = told(await world.price(25))
        assert (later["confirmed"], later["lines"][0]["unitPrice"]) == (False, Decimal("25.5"))
        assert later["reasons"] == [{"code": "other_price", "sentence": "The price is another one.", "lineId": "1"}]


@virtually
async def test_no_price_another_unit_and_an_item_that_is_not_sold_are_told_line_by_line() -> None:
    """R-231: a price of 0 is none; 25 for a piece says nothing of an hour."""
    async with ChecksWorld() as world:
        await world.sells("FREE-1", 0)
        await world.sells("OLD-1", 5, blocked=True)
        lines = [
            {"lineId": "a", "itemId": "FREE-1", "quantity": 1, "uom": "PCS"},
            {"lineId": "b", "itemId": "FILTER-1", "quantity": 2, "uom": "HOUR", "unitPrice": 25},
            {"lineId": "c", "itemId": "OLD-1", "quantity": 1, "uom": "EA"},
            {"lineId": "d", "itemId": "FILTER-1", "quantity": 1, "uom": "EA"},
        ]
        answer = told(await world.price(lines=lines))
        assert [(one["lineId"], one["code"]) for one in answer["reasons"]] == [
            ("a", "no_price"), ("b", "other_unit"), ("c", "item_blocked"),
        ]  # fmt: skip
        assert (answer["confirmed"], answer["lines"][0]["unitPrice"]) == (False, None)


@virtually
async def test_items_that_the_erp_does_not_have_are_named_by_their_lines() -> None:
    """R-231, R-232: 422 with the lines, and a number that is none of an item's beginning."""
    async with ChecksWorld() as world:
        lines = [
            {"lineId": "1", "itemId": "FILTER-1", "quantity": 1, "uom": "EA"},
            {"lineId": "2", "itemId": "FILTER", "quantity": 1, "uom": "EA"},
            {"lineId": "3", "itemId": "it's' or 1 eq 1", "quantity": 1, "uom": "EA"},
        ]
        for answer in (await world.price(lines=lines), await world.ask("stock", {"requestId": "s", "lines": lines})):
            assert (answer.status_code, told(answer)["error"]) == (422, "UnknownItems")
            assert told(answer)["lineIds"] == ["2", "3"]


@virtually
async def test_a_customer_who_is_invoiced_in_another_currency_gets_no_price_in_this_one() -> None:
    """R-231: the ERP's list is in its own currency; what he will pay is not."""
    async with ChecksWorld() as world:
        await world.company("P-USD", currencyCode="USD")
        answer = await world.price(25, place="P-USD")
        assert (answer.status_code, told(answer)["error"]) == (409, "CurrencyMismatch")


# --- stock ------------------------------------------------------------------------------------------


@virtually
async def test_there_is_enough_or_there_is_not() -> None:
    """R-232: of the ERP's stock in this moment; lines with the same item share it."""
    async with ChecksWorld() as world:
        assert told(await world.stock(10)) == {"confirmed": True, "lines": [{"lineId": "1", "available": 10}]}
        assert told(await world.stock(10.5))["confirmed"] is False
        assert told(await world.stock(6, 5))["confirmed"] is False
        assert told(await world.stock(6, 4))["confirmed"] is True
        await world.erp.stock(COMPANY, world.item, Decimal(-3))
        assert told(await world.stock(8)) == {"confirmed": False, "lines": [{"lineId": "1", "available": 7}]}
        await world.erp.edit(COMPANY, "items", world.item, {"blocked": True})
        assert told(await world.stock(1)) == {"confirmed": False, "lines": [{"lineId": "1", "available": 0}]}


@virtually
async def test_what_all_locations_have_together_is_not_taken_for_what_one_has() -> None:
    """R-232: the ERP's interface does not tell locations apart, so a question about one gets no yes."""
    async with ChecksWorld() as world:
        answer = await world.stock(1, locationId="VAN-3")
        assert not_confirmed(answer) == (503, "CD-8106", "value_missing")
        assert told(answer)["sentence"] == "business_central does not tell what there is at each location."


# --- from the CRM -----------------------------------------------------------------------------------


async def sells_in_crm(world: ChecksWorld, price: float, **row: Any) -> tuple[str, str]:
    """The CRM has a product in a price list that is the account's; answers the product and the list."""
    unit = await world.crm.create("uom", {"name": "Each"})
    prices = await world.crm.create("pricelevel", {"name": "Usual"} | row)
    stocked = {"name": "Filter", "productnumber": "FILTER-1", "quantityonhand": Decimal(4), "statecode": 0}
    product = await world.crm.create("product", {**stocked, "defaultuomid": unit})
    entry = {"productid": product, "pricelevelid": prices, "uomid": unit, "amount": Decimal(str(price))}
    await world.crm.create("productpricelevel", entry)
    await world.crm.edit("account", world.account, {"defaultpricelevelid": prices})
    return product, prices


@virtually
async def test_a_setting_says_that_the_crms_data_count() -> None:
    """R-231, R-232, R-233: the same questions, from the CRM's price list, stock and credit limit."""
    async with ChecksWorld(FROM_CRM) as world:
        product, _ = await sells_in_crm(world, 30, enddate=date(2026, 12, 31))
        balance = {"creditlimit": Decimal(500), "cdock_balance": Decimal(100), "cdock_overdue": Decimal(0)}
        await world.crm.edit("account", world.account, balance)
        line = told(await world.price(30))["lines"][0]
        assert (line["unitPrice"], line["priceSource"], line["validUntil"]) == (30, "dataverse", "2026-12-31")
        assert told(await world.stock(4))["confirmed"] is True
        assert told(await world.stock(5))["confirmed"] is False
        assert told(await world.credit(400))["confirmed"] is True
        assert reasons(await world.credit(401)) == ["over_limit"]
        await world.crm.edit("account", world.account, {"creditonhold": True})
        assert reasons(await world.credit(1)) == ["blocked"]
        await world.crm.edit("product", product, {"statecode": 1})
        assert reasons(await world.price(30)) == ["item_blocked"]
        assert world.erp_calls() == []


@virtually
async def test_a_retired_product_does_not_stand_in_the_way_of_the_one_that_has_its_number_now() -> None:
    """R-231, R-232: in whatever order the CRM tells them."""
    async with ChecksWorld(FROM_CRM) as world:
        retired = {"name": "Filter", "productnumber": "FILTER-1", "quantityonhand": Decimal(9), "statecode": 1}
        for _ in range(3):
            await world.crm.create("product", retired)
        await sells_in_crm(world, 30)
        for _ in range(3):
            await world.crm.create("product", retired)
        assert told(await world.price(30))["confirmed"] is True
        assert told(await world.stock(4))["lines"][0]["available"] == 4


@virtually
async def test_the_price_list_is_the_customers_own_and_ends_on_its_day() -> None:
    """R-231: a price in somebody else's list, or in one that has ended, does not count."""
    async with ChecksWorld(FROM_CRM) as world:
        today = world.clock.now().date()
        _, prices = await sells_in_crm(world, 30, enddate=today - timedelta(days=1))
        assert reasons(await world.price(30)) == ["price_expired"]
        ((entry, row),) = world.crm.rows("productpricelevel").items()
        last = await world.crm.create("pricelevel", {"name": "Until today", "enddate": today})
        also = {name: row[name] for name in ("productid", "uomid", "amount")} | {"pricelevelid": last}
        await world.crm.create("productpricelevel", also)
        await world.crm.edit("account", world.account, {"defaultpricelevelid": last})
        assert reasons(await world.price(30)) == []
        other = await world.crm.create("pricelevel", {"name": "Others"})
        await world.crm.edit("account", world.account, {"defaultpricelevelid": other})
        assert reasons(await world.price(30)) == ["no_price"]
        await world.crm.edit("account", world.account, {"defaultpricelevelid": None})
        assert reasons(await world.price(30)) == ["no_price"]
        await world.crm.edit("account", world.account, {"defaultpricelevelid": prices})
        await world.crm.edit("productpricelevel", entry, {"pricingmethodcode": 2, "percentage": Decimal(90)})
        assert reasons(await world.price(30)) == ["no_price"], "a share of another price is no price in money"


@virtually
async def test_a_value_that_the_system_does_not_tell_is_no_yes() -> None:
    """R-229: an account without a limit, a balance or what is overdue may not simply owe more."""
    async with ChecksWorld(FROM_CRM) as world:
        answer = await world.credit(1)
        assert not_confirmed(answer) == (503, "CD-8106", "value_missing")
        assert told(answer)["sentence"] == "dataverse account.creditlimit is empty."
        await world.crm.edit("account", world.account, {"creditlimit": Decimal(500)})
        assert told(await world.credit(1))["field"] == "cdock_balance"
        await world.crm.create("product", {"name": "Filter", "productnumber": "FILTER-1", "statecode": 0})
        assert not_confirmed(await world.stock(1)) == (503, "CD-8106", "value_missing")


def stocked(kind: str, **says: object) -> Index:
    """The product's own definitions, with more said of a system's stock."""
    rules = shipped().confirming
    assert rules is not None
    stock = rules.stock | {kind: rules.stock[kind].model_copy(update=says)}
    return shipped().model_copy(update={"confirming": Confirming(**dict(rules) | {"stock": stock})})


@virtually
async def test_where_locations_are_not_told_apart_all_lines_share_what_there_is() -> None:
    """R-232: naming two locations makes no second stock."""
    async with ChecksWorld(Setup(index=stocked("business_central", any_location=True))) as world:
        for first, second, confirmed in ((6, 6, False), (6, 4, True)):
            lines = [
                {"lineId": at, "itemId": "FILTER-1", "quantity": quantity, "locationId": at}
                for at, quantity in (("VAN-3", first), ("STORE", second))
            ]
            answer = told(await world.ask("stock", {"requestId": world.request_id(), "lines": lines}))
            assert answer["confirmed"] is confirmed


@virtually
async def test_each_location_has_its_own_and_all_of_them_what_they_have_together() -> None:
    """R-232: lines share what there is where they take it; one that names no location takes it anywhere."""
    async with ChecksWorld(replace(FROM_CRM, index=stocked("dataverse", location="name"))) as world:
        for item, place, available in (("FILTER-1", "VAN-3", 2), ("FILTER-1", "STORE", 5), ("PUMP-1", "VAN-3", 1)):
            row = {"productnumber": item, "name": place, "quantityonhand": Decimal(available), "statecode": 0}
            await world.crm.create("product", row)

        async def there(*wanted: tuple[float, str], item: str = "FILTER-1") -> bool:
            lines = [
                {"lineId": f"{number}", "itemId": item, "quantity": quantity} | ({"locationId": at} if at else {})
                for number, (quantity, at) in enumerate(wanted)
            ]
            lines.append({"lineId": "pump", "itemId": "PUMP-1", "locationId": "VAN-3", "quantity": 1})
            return bool(told(await world.ask("stock", {"requestId": world.request_id(), "lines": lines}))["confirmed"])

        answers = {
            "at one": (await there((2, "van-3")), await there((3, "VAN-3")), await there((1, "LOST"))),
            "anywhere": (await there((7, "")), await there((8, ""))),
            "at each": (await there((2, "VAN-3"), (5, "STORE")), await there((2, "VAN-3"), (6, "STORE"))),
            "at one and anywhere": (await there((2, "VAN-3"), (4, "")), await there((2, "VAN-3"), (6, ""))),
        }
        assert answers == {
            "at one": (True, False, False),
            "anywhere": (True, False),
            "at each": (True, False),
            "at one and anywhere": (True, False),
        }
        answer = told(await world.stock(1, locationId="VAN-3"))
        assert answer["lines"] == [{"lineId": "1", "available": 2}]


@virtually
async def test_what_comes_in_time_is_as_good_as_there() -> None:
    """R-232: neededBy against the day on which more comes; without neededBy only what is there counts."""
    async with ChecksWorld(
        replace(FROM_CRM, index=stocked("dataverse", expected_on="validtodate", expected="standardcost"))
    ) as world:
        product, _ = await sells_in_crm(world, 30)
        await world.crm.edit("product", product, {"validtodate": date(2026, 1, 20), "standardcost": Decimal(6)})
        answer = told(await world.stock(10, neededBy="2026-01-20"))
        assert answer == {
            "confirmed": True, "lines": [{"lineId": "1", "available": 4, "expectedOn": "2026-01-20"}],
        }  # fmt: skip
        assert told(await world.stock(10, neededBy="2026-01-19"))["confirmed"] is False
        assert told(await world.stock(11, neededBy="2026-01-20"))["confirmed"] is False
        assert told(await world.stock(10))["confirmed"] is False


# --- what is not clear is no yes ---


@virtually
async def test_two_customers_under_one_key_are_none() -> None:
    """R-229: a sender who speaks for two systems may name a key that both have."""
    async with ChecksWorld() as world:
        other, _ = await world.company()
        await world.link(("dataverse", "account", (await world.company())[0]), ("fsm", "place", other))
        engine = await world.apps[0].engine()
        both = [TableName(system="fsm", table="place"), TableName(system="dataverse", table="account")]
        goal = TableName(system="business_central", table="customers")
        customers = build(world.apps[0], engine).customers
        assert await customers.in_system(both[1:], other, goal)
        with pytest.raises(CustomerUnknown):
            await customers.in_system(both, other, goal)


@virtually
async def test_several_prices_in_one_list_and_a_price_without_a_unit_are_none() -> None:
    """R-231: nobody says which of them holds, or for how much of the item."""
    async with ChecksWorld(FROM_CRM) as world:
        product, prices = await sells_in_crm(world, 30)
        box = await world.crm.create("uom", {"name": "Box"})
        entry = {"productid": product, "pricelevelid": prices, "uomid": box, "amount": Decimal(300)}
        await world.crm.create("productpricelevel", entry)
        assert not_confirmed(await world.price(30)) == (503, "CD-8106", "value_missing")
    async with ChecksWorld() as world:
        await world.sells("LOOSE-1", 5, baseUnitOfMeasureCode="")
        assert not_confirmed(await world.price(5, item="LOOSE-1")) == (503, "CD-8106", "value_missing")


@virtually
async def test_a_column_without_numbers_tells_nothing() -> None:
    """R-233: it is not taken for a limit that cannot be exceeded."""
    rules = shipped().confirming
    assert rules is not None
    columns = rules.credit["dataverse"].tables["account"].model_copy(update={"limit": "name"})
    named = rules.credit["dataverse"].model_copy(update={"tables": {"account": columns}})
    wrong = Confirming(**dict(rules) | {"credit": rules.credit | {"dataverse": named}})
    async with ChecksWorld(replace(FROM_CRM, index=shipped().model_copy(update={"confirming": wrong}))) as world:
        answer = await world.credit(1)
        assert not_confirmed(answer) == (503, "CD-8106", "value_missing")
        assert told(answer)["field"] == "name"


@virtually
async def test_who_was_taken_for_gone_gives_no_answer_of_his_own() -> None:
    """R-229: whoever asks again would get another one."""
    async with ChecksWorld() as world:
        body = {"requestId": "r-1", "customerId": PLACE, "amount": 5, "currency": "EUR"}
        asking = asyncio.ensure_future(world.ask("credit", body))
        await asyncio.sleep(0.01)
        row = await world.stores.answers.get("fsm", "credit", "r-1")
        assert row is not None
        await world.stores.answers.put(replace(row, holder="another", answer='{"confirmed":false}'))
        assert not_confirmed(await asking) == (503, "CD-8107", "store_down")
        assert told(await world.ask("credit", body)) == {"confirmed": False}


# --- in time, whatever happens ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.STALE_READ])
@virtually
async def test_a_system_that_fails_is_no_yes_and_the_answer_comes_in_time(kind: FaultKind) -> None:
    """R-229: whatever goes wrong with the ERP; and as soon as it is back, the same question gets its answer."""
    async with ChecksWorld() as world:
        await world.limit(1000)
        rule = world.erp.faults.add(FaultRule(kind, seconds=3600, retry_after_seconds=60, path="customers"))
        body = {"requestId": "again", "customerId": PLACE, "amount": 5, "currency": "EUR"}
        began = world.clock.monotonic()
        answer = await world.ask("credit", body)
        assert world.clock.monotonic() - began <= 2.1
        status, code, reason = not_confirmed(answer)
        assert (status, told(answer)["error"]) == (503, "NotConfirmed")
        assert (code, reason) in {("CD-8103", "time_out"), ("CD-8104", "system_error")}
        world.erp.faults.remove(rule)
        await asyncio.sleep(61)  # the time for which a 429 closes the gate
        assert told(await world.ask("credit", body))["confirmed"] is True


@virtually
async def test_the_whole_takes_no_longer_than_its_budget_even_where_each_part_keeps_its_own() -> None:
    """R-229: a system that answers slowly, and a budget that is smaller than the system's."""
    setup = Setup(
        environment={"CROSSDOCK_CHECKS_BUDGET_SECONDS": "1.5", "CROSSDOCK_CHECKS_BACKEND_SECONDS": "30"}, warm=True
    )
    async with ChecksWorld(setup) as world:
        world.erp.faults.add(FaultRule(FaultKind.STALL, seconds=3600))
        began = world.clock.monotonic()
        assert not_confirmed(await world.credit(1)) == (503, "CD-8103", "time_out")
        assert world.clock.monotonic() - began == pytest.approx(1.5)


@virtually
async def test_a_system_that_is_down_is_not_asked() -> None:
    """R-229: the breaker that transfers have opened holds for checks, too, and opens by them."""
    async with ChecksWorld() as world:
        world.erp.faults.add(FaultRule(FaultKind.UNAVAILABLE))
        for _ in range(5):
            assert not_confirmed(await world.stock(1))[1] == "CD-8104"
        world.forget_requests()
        assert not_confirmed(await world.stock(1)) == (503, "CD-8105", "system_down")
        assert world.erp_calls() == []


@virtually
async def test_without_the_store_there_is_no_answer() -> None:
    """R-229: neither is the customer's link known, nor would a repeat get the same."""
    async with ChecksWorld() as world:
        world.rows.down = True
        for answer in (await world.credit(1), await world.stock(1)):
            assert not_confirmed(answer) == (503, "CD-8107", "store_down")
        world.rows.down = False
        assert (await world.stock(1)).status_code == 200


@virtually
async def test_an_error_of_our_own_is_told_as_no_answer() -> None:
    """R-229: not as a mistake of the caller's, who would not ask again."""
    async with ChecksWorld() as world:

        async def broken(*_: object) -> None:
            raise LookupError("nobody has thought of this")

        original, world.rows.get = world.rows.get, broken  # type: ignore[method-assign, assignment] # no error of ours
        answer = await world.stock(1)
        world.rows.get = original  # type: ignore[method-assign]
        assert not_confirmed(answer) == (500, "CD-0000", "unforeseen")


@virtually
async def test_the_first_question_of_a_cold_process_may_be_too_early_the_next_is_not() -> None:
    """R-229: metadata that take longer than a question may wait go on being read, and are there for the next one."""
    async with ChecksWorld(Setup(warm=False)) as world:
        world.erp.faults.add(FaultRule(FaultKind.STALL, path=r"\$metadata", seconds=6, executes=False, times=1))
        assert not_confirmed(await world.stock(1)) == (503, "CD-8103", "time_out")
        await asyncio.sleep(10)
        assert told(await world.stock(1))["confirmed"] is True


@pytest.mark.parametrize(
    ("setup", "sentence"),
    [
        (Setup(index=shipped().model_copy(update={"confirming": None}), warm=False), "no stock check is confirmed"),
        (
            Setup(environment={"CROSSDOCK_CHECKS_STOCK_FROM": "elsewhere"}, warm=False),
            "CROSSDOCK_CHECKS_STOCK_FROM is elsewhere, which is no system here",
        ),
        (
            Setup(environment={"CROSSDOCK_CHECKS_STOCK_FROM": "fsm"}, warm=False),
            "is fsm, which has no part under stock:",
        ),
    ],
)
@virtually
async def test_without_anything_that_could_answer_there_is_no_yes(setup: Setup, sentence: str) -> None:
    """R-229: nothing defined, or a setting that names no system that could."""
    async with ChecksWorld(setup) as world:
        answer = await world.stock(1)
        assert not_confirmed(answer) == (503, "CD-8101", "not_set_up")
        assert sentence in told(answer)["sentence"]


# --- repeats ----------------------------------------------------------------------------------------


@virtually
async def test_a_repeat_gets_the_same_answer_from_every_instance_until_its_time_is_over() -> None:
    """R-229: although the ERP would answer otherwise by now; blanks and unknown members make no other question."""
    async with ChecksWorld(Setup(processes=2)) as world:
        body = {"requestId": "r-1", "customerId": PLACE, "amount": 5, "currency": "EUR"}
        first = await world.ask("credit", body)
        await world.erp.edit(COMPANY, "customers", world.customer, {"blocked": "All"})
        world.forget_requests()
        again = await world.ask("credit", json.dumps(body | {"newer": 1}, indent=2).encode(), app=1)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert world.erp_calls() == []
        other = {"requestId": "r-1", "lines": [{"lineId": "1", "itemId": "FILTER-1", "quantity": 1}]}
        assert (await world.ask("stock", other)).status_code == 200, "each check has its own ids"
        await asyncio.sleep(301)
        assert reasons(await world.ask("credit", body)) == ["blocked"]


@virtually
async def test_another_question_under_the_same_id_is_refused() -> None:
    """R-229: 409; and what could not be confirmed is not remembered, so the id is free for it."""
    async with ChecksWorld() as world:
        body = {"requestId": "r-1", "customerId": PLACE, "amount": 5, "currency": "EUR"}
        await world.ask("credit", body)
        other = await world.ask("credit", body | {"amount": 5.5})
        assert (other.status_code, told(other)["error"], told(other)["field"]) == (409, "RequestIdReused", "requestId")
        lost = body | {"requestId": "r-2", "customerId": "P-2000"}
        assert (await world.ask("credit", lost)).status_code == 503
        assert (await world.ask("credit", lost | {"customerId": PLACE})).status_code == 200


@virtually
async def test_two_at_once_under_one_id_ask_the_erp_once() -> None:
    """R-229: at two instances; both get the answer of the one that was first."""
    async with ChecksWorld(Setup(processes=2)) as world:
        body = {"requestId": "warm", "lines": [{"lineId": "1", "itemId": "FILTER-1", "quantity": 3}]}
        await world.ask("stock", body, app=1)
        world.forget_requests()
        body |= {"requestId": "r-1"}
        answers = await asyncio.gather(*(world.ask("stock", body, app=number % 2) for number in range(6)))
        assert {answer.content for answer in answers} == {answers[0].content}
        assert answers[0].status_code == 200
        assert len(world.erp_calls()) == 1


@virtually
async def test_who_waits_for_a_question_that_fails_asks_himself() -> None:
    """R-229: and one whose asker died waits no longer than that one could have asked."""
    async with ChecksWorld(Setup(processes=2)) as world:
        world.erp.faults.add(FaultRule(FaultKind.SERVER_ERROR, times=1))
        body = {"requestId": "r-1", "lines": [{"lineId": "1", "itemId": "FILTER-1", "quantity": 3}]}
        answers = await asyncio.gather(*(world.ask("stock", body, app=number) for number in range(2)))
        assert sorted(answer.status_code for answer in answers) == [200, 503]
        dead = asyncio.ensure_future(world.ask("stock", body | {"requestId": "r-2"}))
        await asyncio.sleep(0.01)
        claimed = await world.stores.answers.get("fsm", "stock", "r-2")
        assert claimed is not None
        dead.cancel()
        await asyncio.gather(dead, return_exceptions=True)
        await world.stores.answers.put(replace(claimed, etag="")) if await gone(world) else None
        began = world.clock.monotonic()
        while (await world.ask("stock", body | {"requestId": "r-2"}, app=1)).status_code != 200:
            assert world.clock.monotonic() - began < 11


@virtually
async def test_who_asks_again_after_a_failure_of_the_store_need_not_wait() -> None:
    """R-229: what the store has written without saying so is put away; nobody answers under it."""
    async with ChecksWorld(Setup(processes=2)) as world:
        body = {"requestId": "r-1", "customerId": PLACE, "amount": 5, "currency": "EUR"}
        world.rows.lose = 1
        assert not_confirmed(await world.ask("credit", body)) == (503, "CD-8107", "store_down")
        assert world.rows.lose == 0
        began = world.clock.monotonic()
        assert (await world.ask("credit", body, app=1)).status_code == 200
        assert world.clock.monotonic() - began < 1


async def gone(world: ChecksWorld) -> bool:
    """Whether the question r-2 has been put away; the process died before it could, so it is put back."""
    return await world.stores.answers.get("fsm", "stock", "r-2") is None


@virtually
async def test_answers_hold_no_names_and_go_away_when_their_time_is_over() -> None:
    """R-229: ids, numbers and the answer; the sweep takes them, also those that nobody asks for again."""
    async with ChecksWorld() as world:
        for _ in range(3):
            await world.credit(1)
        row = await world.stores.answers.get("fsm", "credit", "q-4")
        assert row is not None
        assert set(json.loads(row.answer)) == {"confirmed", "limit", "used", "overdue", "blocked", "reasons"}
        assert PLACE not in repr(row) + row.answer
        await asyncio.sleep(299)
        await _sweep(world.apps[0])
        assert await world.stores.answers.get("fsm", "credit", "q-4") is not None
        await asyncio.sleep(2)
        await _sweep(world.apps[0])
        assert await world.stores.answers.get("fsm", "credit", "q-4") is None


@virtually
async def test_neither_a_name_nor_a_secret_is_written_down_whatever_fails(caplog: pytest.LogCaptureFixture) -> None:
    """R-229: not those of the systems' records, and not what a caller puts where an id belongs."""
    name = "Rossi"
    async with ChecksWorld() as world:
        await world.erp.edit(COMPANY, "customers", world.customer, {"displayName": name, "email": "rossi@example.com"})
        with caplog.at_level(logging.DEBUG):
            for kind in (None, *FaultKind):
                if kind is not None:
                    world.erp.faults.add(FaultRule(kind, seconds=10, retry_after_seconds=2))
                await asyncio.gather(
                    world.credit(1),
                    world.credit(1, f"P-{name}"),
                    world.price(25, item=name),
                    world.stock(1, item=name),
                    world.stock(1, locationId=name),
                    world.ask("credit", json.dumps({"requestId": name, "customerId": {name: name}}).encode()),
                    world.ask("credit", f'{{"{name}":'.encode()),
                )
                world.erp.faults.clear()
                await asyncio.sleep(61)
        written = "\n".join(f"{one.getMessage()} {vars(one)}" for one in caplog.records)
        kept = [await world.stores.answers.get("fsm", "credit", f"q-{number}") for number in range(world.asked + 1)]
        assert any(kept)
        for secret in (name, "rossi", FSM_SECRET, "made-up"):
            assert secret not in written + repr(kept) + "".join(one.answer for one in kept if one)


@virtually
async def test_no_repeats_where_the_setting_says_so() -> None:
    """R-229: with 0 seconds every question is asked anew and nothing is kept."""
    async with ChecksWorld(Setup(environment={"CROSSDOCK_CHECKS_REPEAT_SECONDS": "0"})) as world:
        body = {"requestId": "r-1", "customerId": PLACE, "amount": 5, "currency": "EUR"}
        await world.ask("credit", body)
        await world.erp.edit(COMPANY, "customers", world.customer, {"blocked": "All"})
        assert reasons(await world.ask("credit", body)) == ["blocked"]
        assert await world.stores.answers.get("fsm", "credit", "r-1") is None


# --- what it costs, and what is refused -------------------------------------------------------------


@virtually
async def test_each_check_asks_for_what_it_needs_and_no_more() -> None:
    """R-229: calls per check once the process is warm; nothing is asked of the CRM where the ERP answers."""
    async with ChecksWorld() as world:
        counts = {}
        for name, ask in (
            ("credit", world.credit(1)),
            ("price", world.price(25, 25, 25)),
            ("stock", world.stock(1, 1)),
        ):
            world.forget_requests()
            assert (await ask).status_code == 200
            counts[name] = len(world.erp_calls())
            assert world.crm_calls() == []
        assert counts == {"credit": 2, "price": 2, "stock": 1}


@virtually
async def test_each_check_of_the_crm_asks_for_what_it_needs_and_no_more() -> None:
    """R-229: as for the ERP; a price is product, list and account."""
    async with ChecksWorld(FROM_CRM) as world:
        await sells_in_crm(world, 30)
        balance = {"creditlimit": Decimal(500), "cdock_balance": Decimal(100), "cdock_overdue": Decimal(0)}
        await world.crm.edit("account", world.account, balance)
        for _ in range(3):  # metadata, and the small tables behind units, currencies and lists
            await asyncio.gather(world.credit(1), world.price(30), world.stock(1))
        counts = {}
        for name, ask in (("credit", world.credit(1)), ("price", world.price(30, 30)), ("stock", world.stock(1, 1))):
            world.forget_requests()
            assert (await ask).status_code == 200
            counts[name] = len(world.crm_calls())
        assert counts == {"credit": 1, "price": 3, "stock": 1}


@pytest.mark.parametrize(
    ("check", "members", "field"),
    [
        ("credit", {"requestId": ""}, "requestId"),
        ("credit", {"requestId": "a b"}, "requestId"),
        ("credit", {"customerId": None}, "customerId"),
        ("credit", {"customerId": "a\nb"}, "customerId"),
        ("credit", {"amount": "5"}, "amount"),
        ("credit", {"amount": -1}, "amount"),
        ("credit", {"amount": True}, "amount"),
        ("credit", {"amount": 1e30}, "amount"),
        ("credit", {"amount": 1e-11}, "amount"),
        ("credit", {"currency": "eur"}, "currency"),
        ("price", {"lines": []}, "lines"),
        ("price", {"lines": [{"lineId": "1", "itemId": "A", "quantity": 0, "uom": "EA"}]}, "lines.0.quantity"),
        ("price", {"lines": [{"lineId": "1", "itemId": "A", "quantity": 1}]}, "lines.0.uom"),
        ("price", {"lines": [{"lineId": "1", "itemId": "A", "quantity": 1, "uom": "EA"}] * 2}, "lines"),
        ("stock", {"lines": [{"lineId": "1", "itemId": "A", "quantity": 1, "neededBy": "soon"}]}, "lines.0.neededBy"),
        (
            "stock",
            {"lines": [{"lineId": "1", "itemId": "A", "quantity": 1, "neededBy": "2026-02-30"}]},
            "lines.0.neededBy",
        ),
    ],
)
@virtually
async def test_what_is_asked_wrongly_is_refused_with_the_members_name(check: str, members: Any, field: str) -> None:
    """R-229: 400, before any system is asked."""
    async with ChecksWorld(Setup(warm=False)) as world:
        usual = {"requestId": "r-1", "customerId": PLACE, "amount": 5, "currency": "EUR", "lines": []}
        answer = await world.ask(check, usual | members)
        assert (answer.status_code, told(answer)["error"], told(answer)["field"]) == (400, "BadRequest", field)
        assert told(answer)["confirmed"] is False
        assert world.erp_calls() == []


@virtually
async def test_a_body_that_is_no_json_or_too_large_is_refused() -> None:
    """R-229: 400, 415 and 413, each without a yes."""
    async with ChecksWorld(Setup(warm=False)) as world:
        statuses = [
            (await world.ask("credit", b"{")).status_code,
            (await world.ask("credit", b"[]")).status_code,
            (await world.ask("credit", b"{}", headers={"content-type": "text/plain"})).status_code,
            (await world.ask("credit", b" " * (256 * 1024 + 1))).status_code,
        ]
        assert statuses == [400, 400, 415, 413]
