"""What people do in a CRM and in a field service while the engine runs; each story at every site."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from shared.routes import Overtaken, Unknown
from shared.stores.rows import RowStore
from shared.sync.full_compare import FullCompares
from tests.simulation.field_service import SITES, FieldWorld
from tests.simulation.site_sweep import SiteStory, at_each
from tests.simulation.world import Faults

ACCOUNT: Mapping[str, Any] = {"name": "Alfa", "customertypecode": 3, "address1_city": "Zug"}
JOB, SALE, REQUEST, CONTRACT = "cdock_servicejob", "cdock_sale", "cdock_invoicerequest", "cdock_servicecontract"
FIRST, SECOND = 100000000, 100000001
"""Of the choices of a column of ours."""
LAUNCHED: Final = 2
NINE, TEN = datetime(2026, 1, 12, 9, tzinfo=UTC), datetime(2026, 1, 12, 10, 30, tzinfo=UTC)
NEW_YEAR, NEXT_YEAR = date(2026, 1, 1), date(2027, 1, 1)


@dataclass(frozen=True)
class FieldStory(SiteStory[FieldWorld]):
    """A story at an installation of field service."""

    def world(self, faults: Faults, rows: RowStore | None) -> FieldWorld:
        return FieldWorld(self.site, self.definitions, faults, rows, by_requests=self.by_requests)


def _here(world: FieldWorld, table: str) -> str:
    """The key of the CRM's first record of a table."""
    return next(iter(world.dataverse.rows(table)))


def _there(world: FieldWorld, table: str) -> str:
    """The key of the field service's first record of a table."""
    return next(iter(world.there(table)))


async def _night(world: FieldWorld) -> None:
    """The nightly compare: a site that tells nobody of its deletes has no feed of them either."""
    await FullCompares(world.untroubled()).begin_all()


# --- customers ---


async def _account(world: FieldWorld) -> None:
    await world.typed("account", ACCOUNT)


async def _place_is_there(world: FieldWorld) -> None:
    await world.entered("place", name="ALFA", place_type="CUSTOMER")


async def _account_of_that_number(world: FieldWorld) -> None:
    await world.typed("account", {**ACCOUNT, "cdock_fsmid": _there(world, "place")})


async def _edited_on_both_sides(world: FieldWorld) -> None:
    """In the CRM what it masters, in the field in vain."""
    await world.changed("place", _there(world, "place"), name="Typed in vain")
    await world.typed("account", {"creditonhold": True, "address1_city": None}, _here(world, "account"))


async def _account_deleted(world: FieldWorld) -> None:
    await world.removed("account", _here(world, "account"))


async def _place_is_over(world: FieldWorld) -> None:
    (place,) = world.there("place").values()
    assert (place["active"], place["crm_id"]) == (False, None), "deleted: its place goes on"


# --- service jobs ---


async def _job(world: FieldWorld) -> None:
    wanted = {"cdock_name": "Belt slips", "cdock_type": SECOND, "cdock_customerwish": "In the morning"}
    await world.typed(JOB, {**wanted, "cdock_accountid": _here(world, "account")})


async def _account_and_job(world: FieldWorld) -> None:
    """The job is told of first."""
    account = await world.dataverse.create("account", ACCOUNT)
    await world.typed(JOB, {"cdock_name": "Belt slips", "cdock_type": SECOND, "cdock_accountid": account})
    world.hear("account", account)


async def _account_with_job(world: FieldWorld) -> None:
    await _account(world)
    await world.settled()
    await _job(world)


async def _task(world: FieldWorld) -> None:
    place = _there(world, "place")
    await world.entered("task", place_id=place, task_type="REPAIR", description="Belt slips", task_status="OPEN")


async def _account_with_task(world: FieldWorld) -> None:
    await _account(world)
    await world.settled()
    await _task(world)


async def _task_completed(world: FieldWorld) -> None:
    """On site first, and a moment later done."""
    task = _there(world, "task")
    await world.changed("task", task, task_status="ON SITE", person_id="ADA", started_dttm=NINE)
    done = {"completed_dttm": TEN, "resolution": "Belt replaced", "amount": Decimal("180.5"), "currency": "EUR"}
    await world.changed("task", task, task_status="COMPLETED", payment_kind="PAYABLE", **done)


async def _job_edited_on_both_sides(world: FieldWorld) -> None:
    """What each masters, and the description in vain."""
    await world.changed("task", _there(world, "task"), plan_start_dttm=NINE, plan_end_dttm=TEN, person_id="ADA")
    typed = {"cdock_customerwish": "In the evening", "cdock_rating": 5, "cdock_name": "Typed in vain"}
    await world.typed(JOB, typed, _here(world, JOB))


async def _job_deleted(world: FieldWorld) -> None:
    await world.removed(JOB, _here(world, JOB))


async def _task_is_free(world: FieldWorld) -> None:
    (task,) = world.there("task").values()
    assert task["crm_id"] is None, "deleted: its task still holds its id"
    assert world.dataverse.rows(JOB) == {}, "deleted: the job is back"


async def _task_deleted(world: FieldWorld) -> None:
    await world.struck_off("task", _there(world, "task"))
    await _night(world)


async def _job_is_there(world: FieldWorld) -> None:
    assert len(world.dataverse.rows(JOB)) == 1, "deleted: the job of the CRM is gone, or there twice"


# --- selling ---


async def _quote(world: FieldWorld) -> None:
    offered = {"total_amount": Decimal("180.5"), "currency": "EUR", "quote_status": "DRAFT"}
    await world.entered("quote", place_id=_there(world, "place"), description="New belt", **offered)


async def _account_with_quote(world: FieldWorld) -> None:
    await _account(world)
    await world.settled()
    await _quote(world)


async def _quote_confirmed(world: FieldWorld) -> None:
    """While the CRM lowers the price."""
    quote = _there(world, "quote")
    await world.changed("quote", quote, quote_status="CONFIRMED", confirmed_dttm=NINE, total_amount=Decimal(1))
    lowered = {"estimatedvalue": Decimal(150), "closeprobability": 90}
    await world.typed("opportunity", lowered, _here(world, "opportunity"))


async def _opportunity(world: FieldWorld) -> None:
    offered = {"name": "Second mill", "cdock_forservice": True, "estimatedvalue": Decimal(9000)}
    await world.typed("opportunity", {**offered, "parentaccountid": _here(world, "account")})


async def _sales(world: FieldWorld) -> None:
    """One of each side, and one that both have entered."""
    place, account = _there(world, "place"), _here(world, "account")
    await world.entered("sales_history", place_id=place, sale_kind="SERVICE", sold_date=NEW_YEAR, amount=Decimal(180))
    same = {"document_no": "R-17", "sold_date": NEW_YEAR, "amount": Decimal("99.9")}
    await world.entered("sales_history", place_id=place, sale_kind="GOODS", **same)
    sold = {"cdock_accountid": account, "cdock_kind": FIRST, "cdock_soldon": NEW_YEAR}
    await world.typed(SALE, {**sold, "cdock_name": "Mill"})
    await world.typed(SALE, {**sold, "cdock_documentnumber": "R-17", "cdock_amount": Decimal("99.9")})


async def _account_with_sale(world: FieldWorld) -> None:
    await _account(world)
    await world.settled()
    sold = {"cdock_accountid": _here(world, "account"), "cdock_kind": FIRST, "cdock_soldon": NEW_YEAR}
    await world.typed(SALE, {**sold, "cdock_name": "Mill"})


async def _sale_corrected_on_both_sides(world: FieldWorld) -> None:
    """One field on both sides, and one on each."""
    await world.changed("sales_history", _there(world, "sales_history"), description="Mill 7", amount=Decimal(7))
    await world.typed(SALE, {"cdock_name": "Mill 8", "cdock_currency": "EUR"}, _here(world, SALE))


async def _is_noted(world: FieldWorld) -> None:
    """What the CRM had typed stays readable, once."""
    notes = [note["notetext"] for note in world.dataverse.rows("annotation").values()]
    assert ["Mill 8" in note for note in notes] == [True], f"replaced: {len(notes)} notes"


async def _campaign(world: FieldWorld) -> None:
    values = {"name": "Belts for two", "statuscode": LAUNCHED, "cdock_fielduntil": NEXT_YEAR}
    await world.typed("campaign", values)


async def _promoted(world: FieldWorld) -> None:
    """Offered and sold in the field, while the campaign ends."""
    await world.changed("promotion", _there(world, "promotion"), offered_count=12, sold_count=3)
    await world.typed("campaign", {"statecode": 1, "statuscode": 6}, _here(world, "campaign"))


# --- contracts and what stands at customers' ---


async def _contract(world: FieldWorld) -> None:
    terms = {"cdock_type": FIRST, "cdock_startson": NEW_YEAR, "cdock_annualvalue": Decimal(1200)}
    kept = {"cdock_state": FIRST, "cdock_responsehours": 4}
    await world.typed(CONTRACT, {**terms, **kept, "cdock_accountid": _here(world, "account")})


async def _account_with_contract(world: FieldWorld) -> None:
    await _account(world)
    await world.settled()
    await _contract(world)


async def _contract_kept(world: FieldWorld) -> None:
    """The field service starts it; the CRM types in vain."""
    await world.changed("contract", _there(world, "contract"), status="ACTIVE", response_hours=8, end_date=NEXT_YEAR)
    await world.typed(CONTRACT, {"cdock_annualvalue": Decimal(1)}, _here(world, CONTRACT))


async def _measured(world: FieldWorld) -> None:
    """A contract of the field, a job of it, and how far that met it."""
    place = _there(world, "place")
    terms = {"contract_type": "FULL", "start_date": NEW_YEAR, "response_hours": 4}
    contract = await world.entered("contract", place_id=place, **terms)
    of = {"contract_id": contract, "place_id": place}
    task = await world.entered("task", **of, task_type="REPAIR", description="Belt slips")
    await world.entered("sla_result", **of, task_id=task, measure="Response", due_dttm=TEN, met=False)


async def _warranty_of_a_stranger(world: FieldWorld) -> None:
    """It waits for its product, and that for its customer."""
    await _place_is_there(world)
    place = _there(world, "place")
    part = {"part_id": "MILL-7", "serial_no": "0815", "description": "Mill"}
    product = await world.entered("product", place_id=place, status="ACTIVE", **part)
    covers = {"warranty_type": "MANUFACTURER", "start_date": NEW_YEAR, "end_date": NEXT_YEAR, "covers_parts": True}
    await world.entered("product_warranty", product_id=product, place_id=place, **covers)


async def _account_with_warranty(world: FieldWorld) -> None:
    await _warranty_of_a_stranger(world)
    await _account_of_that_number(world)


async def _extension_offered(world: FieldWorld) -> None:
    """While the field service corrects its end."""
    await world.changed("product_warranty", _there(world, "product_warranty"), end_date=date(2027, 6, 1))
    await world.typed("cdock_warranty", {"cdock_extensionoffered": True}, _here(world, "cdock_warranty"))


# --- stock, returns, invoices ---


async def _stock_row(world: FieldWorld) -> None:
    belt = {"part_id": "BELT, 7%", "part_description": "Belt", "item_kind": "PART", "location_type": "VAN"}
    await world.entered("stock", location_id="VAN-3", quantity=Decimal(2), **belt)


async def _stock_changes(world: FieldWorld) -> None:
    """What is there is used up, something else comes; what somebody counts in the CRM does not count."""
    await world.changed("stock", _there(world, "stock"), quantity=Decimal("0.5"))
    await world.entered("stock", location_id="VAN-3", part_id="HOIST", item_kind="TOOL", quantity=Decimal(1))
    await world.typed("cdock_servicestock", {"cdock_quantity": Decimal(9)}, _here(world, "cdock_servicestock"))


async def _stock_struck_off(world: FieldWorld) -> None:
    await world.struck_off("stock", _there(world, "stock"))
    await _night(world)


async def _nothing_is_left(world: FieldWorld) -> None:
    (row,) = world.dataverse.rows("cdock_servicestock").values()
    assert row["cdock_quantity"] == 0, f"struck off: {row['cdock_quantity']} left"


async def _stock_that_was_struck_off(world: FieldWorld) -> None:
    await _stock_row(world)
    await world.settled()
    await _stock_struck_off(world)


async def _stock_is_one_row(world: FieldWorld) -> None:
    """What came to the place of what was struck off is shown where that was shown."""
    (row,) = world.dataverse.rows("cdock_servicestock").values()
    assert row["cdock_quantity"] == 2, f"back again: {row['cdock_quantity']}"


async def _part_comes_back(world: FieldWorld) -> None:
    """Of a job that is entered in the same moment."""
    await _task(world)
    of = {"place_id": _there(world, "place"), "task_id": _there(world, "task")}
    part = {"part_id": "BELT-7", "serial_no": "12", "quantity": Decimal(1), "return_status": "ANNOUNCED"}
    await world.entered("part_return", **of, **part)


async def _invoice_requested(world: FieldWorld) -> None:
    of = {"place_id": _there(world, "place"), "amount": Decimal("180.5"), "currency": "EUR"}
    await world.entered("invoice_request", **of, description="Belt", requested_dttm=NINE, request_status="REQUESTED")


async def _account_with_request(world: FieldWorld) -> None:
    await _account(world)
    await world.settled()
    await _invoice_requested(world)


async def _invoiced(world: FieldWorld) -> None:
    """The ERP's answer, in the CRM; in the field somebody corrects the amount."""
    await world.changed("invoice_request", _there(world, "invoice_request"), amount=Decimal(170))
    answer = {"cdock_state": SECOND, "cdock_invoicenumber": "2026-17", "cdock_invoicedon": date(2026, 1, 6)}
    await world.typed(REQUEST, answer, _here(world, REQUEST))


# --- unlinking ---


async def _unlinked(world: FieldWorld) -> None:
    """A person undoes the link of the last definition's record; one that is being used in this moment, or is not made
    yet, stays."""
    definition = world.index.definitions[-1]
    for key in world.dataverse.rows(definition.left.table):
        with suppress(Overtaken, Unknown):
            place = ("dataverse", definition.left.table, key)
            await world.operations().unlink(place, definition.transfers[0].name, "a person", "two different ones")


async def _edited_once_more(world: FieldWorld) -> None:
    """After the link is undone for certain, the place is free, and an edit of the CRM reaches nobody."""
    await _unlinked(world)
    await world.typed("account", {"telephone1": "+41 44 9"}, _here(world, "account"))
    await world.settled()
    (place,) = world.there("place").values()
    assert place["crm_id"] is None, "unlinked: its place still holds its id"
    assert place["phone"] != "+41 44 9", "unlinked: an edit went over"


async def _job_edited_once_more(world: FieldWorld) -> None:
    """After the link is undone for certain, the task is free, and an edit of either side reaches nobody."""
    await _unlinked(world)
    await world.typed(JOB, {"cdock_customerwish": "At night"}, _here(world, JOB))
    await world.changed("task", _there(world, "task"), person_id="BEN")
    await world.settled()
    (task,), (job,) = world.there("task").values(), world.dataverse.rows(JOB).values()
    assert task["crm_id"] is None, "unlinked: its task still holds its id"
    assert task["customer_wish"] != "At night", "unlinked: an edit went over"
    assert job.get("cdock_technician") != "BEN", "unlinked: an edit came back"


WITH_JOBS = ("account", "service_job")
STORIES = at_each(
    SITES,
    FieldStory("a customer becomes a place", ("account",), _account, holds={"place": 1}),
    FieldStory(
        "a customer finds its place by the number",
        ("account",),
        _account_of_that_number,
        before=_place_is_there,
        holds={"place": 1},
    ),
    FieldStory(
        "a customer changes on both sides", ("account",), _edited_on_both_sides, before=_account, holds={"place": 1}
    ),
    FieldStory(
        "a customer is deleted",
        ("account",),
        _account_deleted,
        before=_account,
        after=_place_is_over,
        holds={"place": 1},
    ),
    FieldStory("a job is asked for in the CRM", WITH_JOBS, _job, before=_account, holds={"task": 1}),
    FieldStory("a job comes with its customer", WITH_JOBS, _account_and_job, holds={"place": 1, "task": 1}),
    FieldStory("a job is made in the field", WITH_JOBS, _task, before=_account, rounds=2, holds={"task": 1}),
    FieldStory(
        "a job is completed in the field",
        WITH_JOBS,
        _task_completed,
        before=_account_with_task,
        rounds=2,
        holds={"task": 1},
    ),
    FieldStory(
        "both sides edit a job at once",
        WITH_JOBS,
        _job_edited_on_both_sides,
        before=_account_with_job,
        rounds=2,
        holds={"task": 1},
    ),
    FieldStory(
        "a job is deleted in the CRM",
        WITH_JOBS,
        _job_deleted,
        before=_account_with_job,
        after=_task_is_free,
        holds={"task": 1},
    ),
    FieldStory(
        "a job is deleted in the field",
        WITH_JOBS,
        _task_deleted,
        before=_account_with_job,
        after=_job_is_there,
        rounds=2,
        holds={"task": 0},
    ),
    FieldStory(
        "a quotation becomes an opportunity",
        ("account", "quotation"),
        _quote,
        before=_account,
        rounds=2,
        holds={"quote": 1},
    ),
    FieldStory(
        "a quotation is confirmed",
        ("account", "quotation"),
        _quote_confirmed,
        before=_account_with_quote,
        rounds=2,
        holds={"quote": 1},
    ),
    FieldStory(
        "an opportunity becomes a quotation",
        ("account", "quotation"),
        _opportunity,
        before=_account,
        holds={"quote": 1},
    ),
    FieldStory(
        "sales are entered on both sides",
        ("account", "sale"),
        _sales,
        before=_account,
        rounds=2,
        holds={"sales_history": 3},
    ),
    FieldStory(
        "both sides correct a sale",
        ("account", "sale"),
        _sale_corrected_on_both_sides,
        before=_account_with_sale,
        after=_is_noted,
        rounds=2,
        holds={"sales_history": 1},
    ),
    FieldStory("a campaign is promoted in the field", ("promotion",), _campaign, holds={"promotion": 1}),
    FieldStory("a promotion is over", ("promotion",), _promoted, before=_campaign, rounds=2, holds={"promotion": 1}),
    FieldStory(
        "a contract is concluded in the CRM",
        ("account", "service_contract"),
        _contract,
        before=_account,
        holds={"contract": 1},
    ),
    FieldStory(
        "a contract is kept in the field",
        ("account", "service_contract"),
        _contract_kept,
        before=_account_with_contract,
        rounds=2,
        holds={"contract": 1},
    ),
    FieldStory(
        "a job is measured by its contract",
        ("account", "service_contract", "service_job", "sla_result"),
        _measured,
        before=_account,
        rounds=2,
        holds={"contract": 1, "task": 1, "sla_result": 1},
    ),
    FieldStory(
        "a warranty waits for its product",
        ("account", "customer_product", "warranty"),
        _account_of_that_number,
        before=_warranty_of_a_stranger,
        holds={"place": 1, "product": 1, "product_warranty": 1},
    ),
    FieldStory(
        "an extension of a warranty is offered",
        ("account", "customer_product", "warranty"),
        _extension_offered,
        before=_account_with_warranty,
        rounds=2,
        holds={"product_warranty": 1},
    ),
    FieldStory("stock changes", ("stock",), _stock_changes, before=_stock_row, rounds=2, holds={"stock": 2}),
    FieldStory(
        "stock is struck off",
        ("stock",),
        _stock_struck_off,
        before=_stock_row,
        after=_nothing_is_left,
        rounds=2,
        holds={"stock": 0},
    ),
    FieldStory(
        "stock comes to the same place again",
        ("stock",),
        _stock_row,
        before=_stock_that_was_struck_off,
        after=_stock_is_one_row,
        rounds=2,
        holds={"stock": 1},
    ),
    FieldStory(
        "a part comes back with its job",
        ("account", "service_job", "part_return"),
        _part_comes_back,
        before=_account,
        rounds=2,
        holds={"task": 1, "part_return": 1},
    ),
    FieldStory(
        "an invoice is requested",
        ("account", "invoice_request"),
        _invoice_requested,
        before=_account,
        rounds=2,
        holds={"invoice_request": 1},
    ),
    FieldStory(
        "a request for an invoice is answered",
        ("account", "invoice_request"),
        _invoiced,
        before=_account_with_request,
        rounds=2,
        holds={"invoice_request": 1},
    ),
    FieldStory(
        "unlinked while an edit is carried",
        ("account",),
        _edited_on_both_sides,
        before=_account,
        meanwhile=_unlinked,
        after=_edited_once_more,
        holds={"place": 1},
    ),
    FieldStory(
        "unlinked while a job is edited on both sides",
        WITH_JOBS,
        _job_edited_on_both_sides,
        before=_account_with_job,
        meanwhile=_unlinked,
        after=_job_edited_once_more,
        rounds=2,
        holds={"task": 1},
    ),
    FieldStory(
        "unlinked while a job of the field is made",
        WITH_JOBS,
        _task,
        before=_account,
        meanwhile=_unlinked,
        after=_job_edited_once_more,
        rounds=2,
        holds={"task": 1},
    ),
    FieldStory(
        "unlinked while the place is made",
        ("account",),
        _account,
        meanwhile=_unlinked,
        after=_edited_once_more,
        holds={"place": 1},
    ),
)
"""Every story of field service's transfers."""
