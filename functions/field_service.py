"""The doors of the field service: checks that it waits for before it registers a transaction.

What keeps a check from being confirmed is never answered with 200: a caller that reads nothing but the status is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import azure.functions as func

from functions.door import Call, answered, door, new_blueprint, status_of
from shared.errors import CrossdockError, SettingsError
from shared.routes import error_body

if TYPE_CHECKING:
    from shared.field_service.bodies import Body

blueprint = new_blueprint()

UNFORESEEN: Final = "unforeseen"
"""The reason where we have failed ourselves, in a way that nobody has thought of."""


def _refused(_: func.HttpRequest, error: CrossdockError) -> func.HttpResponse:
    """An error as callers of the checks get it: with the name that the contract gives it, and never a yes."""
    from shared.field_service.errors import CheckRefused, NotConfirmed

    status = status_of(error)
    told: dict[str, Any] = {"confirmed": False, "error": CheckRefused.name, **error_body(error)}
    if status >= 500:
        told |= {"error": NotConfirmed.name, "reason": _reason(error)}
    if isinstance(error, CheckRefused):
        told |= {"error": error.name, "lineIds": list(error.lines)}
    return answered(told, status)


def _reason(error: CrossdockError) -> str:
    """Why there is no answer, in one word."""
    from shared.field_service.errors import ChecksNotSetUp, NotConfirmed

    if isinstance(error, SettingsError):
        return ChecksNotSetUp.reason
    return error.reason if isinstance(error, NotConfirmed) else UNFORESEEN


async def _answer(call: Call, kind: type[Body]) -> func.HttpResponse:
    """The answer to a check, from the system whose data count."""
    from shared.checks import check  # with the engine: what takes notices starts without it
    from shared.field_service.bodies import read_body

    return answered(await check(call.app, call.caller.systems, read_body(kind, call.json_body())))


@door(blueprint, "fsm_price_check", refusal=_refused)
async def fsm_price_check(call: Call) -> func.HttpResponse:
    """Whether the prices of some items hold."""
    from shared.field_service.bodies import PriceBody

    return await _answer(call, PriceBody)


@door(blueprint, "fsm_stock_check", refusal=_refused)
async def fsm_stock_check(call: Call) -> func.HttpResponse:
    """Whether items are there, or come in time."""
    from shared.field_service.bodies import StockBody

    return await _answer(call, StockBody)


@door(blueprint, "fsm_credit_check", refusal=_refused)
async def fsm_credit_check(call: Call) -> func.HttpResponse:
    """Whether a customer may owe an amount more."""
    from shared.field_service.bodies import CreditBody

    return await _answer(call, CreditBody)
