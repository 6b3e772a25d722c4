"""Whether a transaction may be registered: from what was asked and what a system told to the answer. Pure.

A value that is needed and was not told is an error, never a yes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from shared.field_service.bodies import CreditBody, PriceBody, PriceLine, StockBody, StockLine
from shared.field_service.errors import CurrencyMismatch, NotTold, UnknownItems
from shared.strict_json import Json, JsonObject


class Reason(StrEnum):
    """Why something is not confirmed; the codes of the contract."""

    NO_PRICE = "no_price"
    OTHER_PRICE = "other_price"
    PRICE_EXPIRED = "price_expired"
    OTHER_UNIT = "other_unit"
    ITEM_BLOCKED = "item_blocked"
    OVER_LIMIT = "over_limit"
    OVERDUE = "overdue"
    BLOCKED = "blocked"


SENTENCES: Mapping[Reason, str] = {
    Reason.NO_PRICE: "There is no price.",
    Reason.OTHER_PRICE: "The price is another one.",
    Reason.PRICE_EXPIRED: "The price does not hold any more.",
    Reason.OTHER_UNIT: "The price is for another unit.",
    Reason.ITEM_BLOCKED: "The item is not for sale.",
    Reason.OVER_LIMIT: "The amount goes beyond the credit limit.",
    Reason.OVERDUE: "Payments are overdue.",
    Reason.BLOCKED: "The customer is blocked.",
}


@dataclass(frozen=True, slots=True)
class ItemPrice:
    """What a system tells of one item's price; unit: in its one spelling, None where prices are for any."""

    price: Decimal | None
    unit: str | None = None
    discount: Decimal | None = None
    valid_until: date | None = None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Prices:
    """What a system tells of prices. by_item: by the item's number in small letters; an item that it does not have is
    not there. currencies: of the prices and the customer, all that there are."""

    source: str
    currencies: frozenset[str | None]
    by_item: Mapping[str, ItemPrice]


@dataclass(frozen=True, slots=True)
class ItemStock:
    """What there is of one item at one location."""

    available: Decimal | None
    location: str | None = None
    expected: Decimal | None = None
    expected_on: date | None = None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Stock:
    """What a system tells of items, as `Prices`. knows_locations: whether it tells them apart; ignores_locations:
    whether what all have together counts."""

    source: str
    knows_locations: bool
    ignores_locations: bool
    by_item: Mapping[str, Sequence[ItemStock]]


@dataclass(frozen=True, slots=True)
class Credit:
    """What a system tells of a customer. limit: None where there is none that could be exceeded."""

    currency: str
    limit: Decimal | None
    used: Decimal
    overdue: Decimal
    blocked: bool
    overdue_up_to: Decimal = Decimal(0)


# --- prices -----------------------------------------------------------------------------------------


def decide_prices(body: PriceBody, told: Prices, unit: Callable[[str], str], today: date) -> JsonObject:
    """Confirmed when every line has a price that holds, and none is asked for at another one.

    Raises UnknownItems, CurrencyMismatch, NotTold.
    """
    _refuse_unknown(body.lines, told.by_item)
    _refuse_currency(body.currency, told.currencies, told.source)
    found = [(line, told.by_item[line.item_id.casefold()]) for line in body.lines]
    reasons = [_reason(one, line.line_id) for line, item in found for one in _against_price(line, item, unit, today)]
    return {
        "confirmed": not reasons,
        "lines": [_price_line(line, item, told.source) for line, item in found],
        "reasons": list[Json](reasons),
    }


def _against_price(line: PriceLine, item: ItemPrice, unit: Callable[[str], str], today: date) -> Iterator[Reason]:
    if item.blocked:
        yield Reason.ITEM_BLOCKED
    if not item.price or item.price < 0:
        yield Reason.NO_PRICE
        return
    if item.valid_until is not None and item.valid_until < today:
        yield Reason.PRICE_EXPIRED
    if item.unit is not None and unit(line.unit) != item.unit:
        yield Reason.OTHER_UNIT
    elif line.unit_price is not None and line.unit_price != item.price:
        yield Reason.OTHER_PRICE


def _price_line(line: PriceLine, item: ItemPrice, source: str) -> JsonObject:
    return {
        "lineId": line.line_id,
        "unitPrice": item.price or None,
        "discount": item.discount,
        "priceSource": source,
        "validUntil": item.valid_until.isoformat() if item.valid_until else None,
    }


# --- stock ------------------------------------------------------------------------------------------


def decide_stock(body: StockBody, told: Stock) -> JsonObject:
    """Confirmed when of every line's item there is enough, now or by the day on which it is needed. Several lines with
    the same item share what there is: at their location, where locations are told apart, and of all together.

    Raises UnknownItems, NotTold.
    """
    _refuse_unknown(body.lines, told.by_item)
    if not told.knows_locations and not told.ignores_locations and any(one.location_id for one in body.lines):
        raise NotTold(f"{told.source} does not tell what there is at each location.")
    places = {line.line_id: _at(line, told) for line in body.lines}
    return {
        "confirmed": all(
            _is_enough(_sharing(line, body.lines, told.knows_locations), places[line.line_id]) for line in body.lines
        ),
        "lines": [_stock_line(line, places[line.line_id], told.source) for line in body.lines],
    }


def _at(line: StockLine, told: Stock) -> Sequence[ItemStock]:
    """What there is of a line's item where it is wanted."""
    everywhere = told.by_item[line.item_id.casefold()]
    if line.location_id is None or not told.knows_locations:
        return everywhere
    return [one for one in everywhere if (one.location or "").casefold() == line.location_id.casefold()]


def _is_enough(lines: Sequence[StockLine], there: Sequence[ItemStock]) -> bool:
    needed = sum((one.quantity for one in lines), Decimal(0))
    coming = sum((one.expected or Decimal(0) for one in there if _comes_in_time(one, lines)), Decimal(0))
    return _available(there) + coming >= needed


def _sharing(line: StockLine, lines: Sequence[StockLine], by_location: bool) -> Sequence[StockLine]:
    """The lines that take nothing but what this one could have: those with its item, at its location if it has one."""
    alike = [one for one in lines if one.item_id.casefold() == line.item_id.casefold()]
    if line.location_id is None or not by_location:
        return alike
    return [one for one in alike if (one.location_id or "").casefold() == line.location_id.casefold()]


def _comes_in_time(one: ItemStock, lines: Sequence[StockLine]) -> bool:
    return (
        one.expected_on is not None
        and not one.blocked
        and all(line.needed_by is not None and one.expected_on <= line.needed_by for line in lines)
    )


def _available(there: Sequence[ItemStock]) -> Decimal:
    """A blocked item is there, but not to be had."""
    return sum((one.available or Decimal(0) for one in there if not one.blocked), Decimal(0))


def _stock_line(line: StockLine, there: Sequence[ItemStock], source: str) -> JsonObject:
    if any(one.available is None for one in there):
        raise NotTold(f"{source} does not tell how many there are.", lines=[line.line_id])
    told: JsonObject = {"lineId": line.line_id, "available": _available(there)}
    days = [one.expected_on for one in there if one.expected_on is not None and not one.blocked]
    return told | ({"expectedOn": min(days).isoformat()} if days else {})


# --- credit -----------------------------------------------------------------------------------------


def decide_credit(body: CreditBody, told: Credit, source: str) -> JsonObject:
    """Confirmed when the customer is not blocked, owes nothing overdue, and stays within the limit with the amount.

    Raises CurrencyMismatch.
    """
    _refuse_currency(body.currency, {told.currency}, source)
    reasons = [_reason(one) for one in _against_credit(body.amount, told)]
    return {
        "confirmed": not reasons,
        "limit": told.limit,
        "used": told.used,
        "overdue": told.overdue,
        "blocked": told.blocked,
        "reasons": list[Json](reasons),
    }


def _against_credit(amount: Decimal, told: Credit) -> Iterator[Reason]:
    if told.blocked:
        yield Reason.BLOCKED
    if told.overdue > told.overdue_up_to:
        yield Reason.OVERDUE
    if told.limit is not None and told.used + amount > told.limit:
        yield Reason.OVER_LIMIT


# --- common -----------------------------------------------------------------------------------------


def _reason(reason: Reason, line: str = "") -> JsonObject:
    told: JsonObject = {"code": reason.value, "sentence": SENTENCES[reason]}
    return told | ({"lineId": line} if line else {})


def _refuse_unknown(lines: Sequence[PriceLine | StockLine], known: Mapping[str, object]) -> None:
    if unknown := [one.line_id for one in lines if one.item_id.casefold() not in known]:
        raise UnknownItems("", "lines", unknown)


def _refuse_currency(asked: str, kept: set[str | None] | frozenset[str | None] | set[str], source: str) -> None:
    """Everything must be in the currency that was asked in."""
    for one in sorted(kept, key=lambda one: one or ""):
        if not one:
            raise NotTold(f"{source} does not tell the currency.")
        if one.upper() != asked:
            raise CurrencyMismatch(f"{source} keeps these amounts in {one.upper()}.", "currency")
