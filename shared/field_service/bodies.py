"""The bodies of the checks as the contract has them. They come from outside: size, depth and members are checked."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from shared.routes import RequestError, TooLarge, checked
from shared.strict_json import NotJson, load

LARGEST_BYTES: Final = 256 * 1024
DEPTH: Final = 6
MOST_LINES: Final = 200
MOST_DIGITS: Final = 15
"""Before the point."""
MOST_PLACES: Final = 10
"""Behind it; so many that the sum of all lines is still exact in Python's 28 digits."""

BodyT = TypeVar("BodyT", bound="Body")


def read_body(kind: type[BodyT], body: bytes) -> BodyT:
    """A body; members that the contract does not name are ignored, as a newer caller may send some.

    Raises RequestError naming the first wrong member, and TooLarge.
    """
    if len(body) > LARGEST_BYTES:
        raise TooLarge
    try:
        return checked(kind.model_validate, load(body, DEPTH))
    except NotJson as error:
        raise RequestError(f"The body is not as agreed: {error}.") from None


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("this is no number")
    number = Decimal(value)
    if number.adjusted() >= MOST_DIGITS or int(number.as_tuple().exponent) < -MOST_PLACES:
        raise ValueError("this number has too many digits")
    return number


def _positive(number: Decimal) -> Decimal:
    if number <= 0:
        raise ValueError("this must be more than 0")
    return number


def _not_negative(number: Decimal) -> Decimal:
    if number < 0:
        raise ValueError("this must not be less than 0")
    return number


def _day(value: Any) -> date:
    if not isinstance(value, str) or len(value) != len("2026-01-31"):
        raise ValueError("this is no day such as 2026-01-31")
    return date.fromisoformat(value)


_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
_Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
_Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
_Amount = Annotated[Decimal, BeforeValidator(_number), AfterValidator(_not_negative)]
_Quantity = Annotated[Decimal, BeforeValidator(_number), AfterValidator(_positive)]
_Day = Annotated[date, BeforeValidator(_day)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True, defer_build=True)


class Body(_Part):
    """What every check has: the id under which a repeat is known."""

    request_id: Annotated[_Id, Field(alias="requestId")]


class PriceLine(_Part):
    """An item whose price is asked for. unit_price: what the caller reckons with; None where he wants to be told."""

    line_id: Annotated[_Id, Field(alias="lineId")]
    item_id: Annotated[_Text, Field(alias="itemId")]
    quantity: _Quantity
    unit: Annotated[_Text, Field(alias="uom")]
    unit_price: Annotated[_Amount | None, Field(alias="unitPrice")] = None


class StockLine(_Part):
    """An item that must be there. needed_by: missing is now."""

    line_id: Annotated[_Id, Field(alias="lineId")]
    item_id: Annotated[_Text, Field(alias="itemId")]
    location_id: Annotated[_Text | None, Field(alias="locationId")] = None
    quantity: _Quantity
    needed_by: Annotated[_Day | None, Field(alias="neededBy")] = None


LineT = TypeVar("LineT", PriceLine, StockLine)


def _each_once(lines: tuple[LineT, ...]) -> tuple[LineT, ...]:
    if len({one.line_id for one in lines}) < len(lines):
        raise ValueError("two lines have the same lineId")
    return lines


class PriceBody(Body):
    """What `price-check` is asked."""

    customer_id: Annotated[_Text, Field(alias="customerId")]
    currency: _Currency
    lines: Annotated[
        tuple[PriceLine, ...], Field(strict=False, min_length=1, max_length=MOST_LINES), AfterValidator(_each_once)
    ]


class StockBody(Body):
    """What `stock-check` is asked."""

    lines: Annotated[
        tuple[StockLine, ...], Field(strict=False, min_length=1, max_length=MOST_LINES), AfterValidator(_each_once)
    ]


class CreditBody(Body):
    """What `credit-check` is asked."""

    customer_id: Annotated[_Text, Field(alias="customerId")]
    amount: _Amount
    currency: _Currency
