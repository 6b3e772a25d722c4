"""What is offered and sold: quotations, the history of sales, promotions; each both ways."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from tests.scenarios.account_customer.world import virtually
from tests.scenarios.field_service.dialects import Dialect
from tests.scenarios.field_service.field_world import FieldWorld, both

SALE = "cdock_sale"
SENT, CONFIRMED = 100000001, 100000002
GOODS, SERVICE, OF_THE_FIELD, OF_THE_CRM = 100000000, 100000001, 100000000, 100000001
LAUNCHED = 2


@both
@virtually
async def test_an_offer_of_the_crm_is_quoted_and_confirmed_in_the_field(dialect: Dialect) -> None:
    """R-209, R-215: only an opportunity that says so goes over; the quotation's number, state and confirmation come
    back, and the CRM goes on deciding about value and date."""
    async with FieldWorld(dialect, "quotation") as world:
        account, place = await world.a_customer()
        offered = {"name": "Second mill", "parentaccountid": account, "estimatedvalue": Decimal(9000)}
        await world.crm.create("opportunity", offered)
        key = await world.crm.create(
            "opportunity",
            {**offered, "cdock_forservice": True, "closeprobability": 40, "estimatedclosedate": date(2026, 3, 1)},
        )
        await world.next_walk()
        ((quote, row),) = world.there("quote").items()
        assert (row["crm_id"], row["place_id"], row["description"]) == (key, place, "Second mill")
        assert (row["total_amount"], row["probability"], row["valid_until"]) == (9000, 40, date(2026, 3, 1))
        world.change("quote", quote, quote_status="SENT", total_amount=1)
        await world.next_walk()
        found = world.kept("opportunity")[key]
        assert (found["cdock_quotenumber"], found["cdock_quotestate"], found["estimatedvalue"]) == (quote, SENT, 9000)
        assert world.row("quote", quote)["total_amount"] == 9000
        await world.crm.edit("opportunity", key, {"estimatedvalue": Decimal(8500)})
        at = datetime(2026, 1, 6, 10, tzinfo=UTC)
        world.change("quote", quote, quote_status="CONFIRMED", confirmed_dttm=at)
        await world.next_walk()
        found = world.kept("opportunity")[key]
        assert (found["cdock_quotestate"], found["statecode"]) == (CONFIRMED, 0)
        assert found["cdock_quoteconfirmedat"] == at
        assert world.row("quote", quote)["total_amount"] == 8500


@both
@virtually
async def test_a_quotation_that_a_technician_makes_is_an_opportunity(dialect: Dialect) -> None:
    """R-209, R-215: at its customer, with what was quoted; from then on an edit of the CRM goes over."""
    async with FieldWorld(dialect, "quotation") as world:
        account, place = await world.a_customer()
        quote = world.enter(
            "quote", place_id=place, description="New belt", total_amount=Decimal("180.5"), currency="EUR"
        )
        await world.next_walk()
        found = world.here("opportunity")
        assert (found["name"], found["parentaccountid"], found["cdock_forservice"]) == ("New belt", account, True)
        assert (found["estimatedvalue"], found["cdock_quotenumber"]) == (Decimal("180.5"), quote)
        key = found["opportunityid"]
        assert world.row("quote", quote)["crm_id"] == key
        await world.crm.edit("opportunity", key, {"name": "New belt and check", "closeprobability": 80})
        await world.next_walk()
        assert (world.row("quote", quote)["description"], world.row("quote", quote)["probability"]) == (
            "New belt and check",
            80,
        )
        assert len(world.kept("opportunity")) == len(world.there("quote")) == 1


@both
@virtually
async def test_sales_of_either_side_are_seen_on_both(dialect: Dialect) -> None:
    """R-216: each with its origin; both may correct them. Of the same field the field service's value stays, and the
    CRM's is readable as a note. A sale that both have entered is one."""
    async with FieldWorld(dialect, "sale") as world:
        account, place = await world.a_customer()
        theirs = world.enter(
            "sales_history",
            place_id=place,
            sale_kind="SERVICE",
            description="Repair",
            sold_date=date(2026, 1, 2),
            amount=180,
        )
        ours = await world.crm.create(
            SALE,
            {"cdock_name": "Mill", "cdock_accountid": account, "cdock_kind": GOODS, "cdock_soldon": date(2026, 1, 3)},
        )
        same = {"document_no": "R-17", "sold_date": date(2026, 1, 4), "amount": Decimal("99.9")}
        twice = world.enter("sales_history", place_id=place, sale_kind="GOODS", **same)
        await world.crm.create(
            SALE,
            {
                "cdock_accountid": account,
                "cdock_kind": GOODS,
                "cdock_documentnumber": "R-17",
                "cdock_soldon": date(2026, 1, 4),
                "cdock_amount": Decimal("99.90"),
            },
        )
        await world.next_walk()
        assert len(world.kept(SALE)) == len(world.there("sales_history")) == 3
        here = {row["cdock_fsmid"]: row for row in world.kept(SALE).values()}
        there = {row["crm_id"]: key for key, row in world.there("sales_history").items()}
        assert (here[theirs]["cdock_kind"], here[theirs]["cdock_origin"]) == (SERVICE, OF_THE_FIELD)
        assert world.row("sales_history", there[ours])["origin"] == "CRM"
        assert here[twice]["cdock_documentnumber"] == "R-17"

        await world.crm.edit(SALE, ours, {"cdock_name": "Mill of the CRM", "cdock_currency": "EUR"})
        world.change("sales_history", there[ours], description="Mill of the field", amount=7)
        await world.next_walk()
        row, found = world.row("sales_history", there[ours]), world.kept(SALE)[ours]
        assert (row["description"], row["amount"], row["currency"]) == ("Mill of the field", 7, "EUR")
        assert (found["cdock_name"], found["cdock_amount"]) == ("Mill of the field", 7)
        notes = [one["notetext"] for one in world.kept("annotation").values() if one["objectid"] == ours]
        assert len(notes) == 1
        assert "Mill of the CRM" in notes[0]


@both
@virtually
async def test_the_technician_sees_what_is_promoted_and_the_crm_what_came_of_it(dialect: Dialect) -> None:
    """R-219: a campaign goes over once it is launched; how often it was offered and sold comes back; what somebody
    edits in the field service is put back; a campaign that is deactivated is over there."""
    async with FieldWorld(dialect, "promotion") as world:
        key = await world.crm.create("campaign", {"name": "Belts for two", "description": "Second one free"})
        await world.next_walk()
        assert world.there("promotion") == {}
        await world.crm.edit("campaign", key, {"statuscode": LAUNCHED, "cdock_fielduntil": date(2026, 2, 28)})
        await world.next_walk()
        ((promotion, row),) = world.there("promotion").items()
        assert (row["name"], row["description"], row["active"]) == ("Belts for two", "Second one free", True)
        assert (row["end_date"], row["crm_id"]) == (date(2026, 2, 28), key)
        world.change("promotion", promotion, offered_count=12, sold_count=3, name="Belts for three")
        await world.next_walk()
        found = world.here("campaign")
        assert (found["cdock_offeredcount"], found["cdock_soldcount"], found["name"]) == (12, 3, "Belts for two")
        assert world.row("promotion", promotion)["name"] == "Belts for two"
        await world.crm.edit("campaign", key, {"statecode": 1, "statuscode": 6})
        await world.next_walk()
        assert world.row("promotion", promotion)["active"] is False
        await world.crm.delete("campaign", key)
        await world.next_walk()
        assert world.row("promotion", promotion)["crm_id"] is None
