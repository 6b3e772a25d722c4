"""The doors of the field service: checks that it waits for before it registers a transaction.

What keeps a check from being confirmed is never answered with 200: a caller that reads nothing but the status is safe.
"""

from __future__ import annotations

from typing import Any

import azure.functions as func

from functions.door import Call, answered, door, new_blueprint, status_of
from shared.errors import CrossdockError
from shared.routes import error_body

blueprint = new_blueprint()


def _refused(_: func.HttpRequest, error: CrossdockError) -> func.HttpResponse:
    """An error as callers of the checks get it: with the name that the contract gives it, and never a yes."""
    from shared.field_service.errors import CheckRefused, NotConfirmed

    told: dict[str, Any] = {"confirmed": False, **error_body(error)}
    if isinstance(error, CheckRefused):
        told |= {"error": error.name, "lineIds": list(error.lines)}
    if isinstance(error, NotConfirmed):
        told |= {"reason": error.reason}
    return answered(told, status_of(error))


@door(blueprint, "fsm_price_check", refusal=_refused)
async def fsm_price_check(call: Call) -> func.HttpResponse:
    """Whether the prices of some lines hold, from the system whose prices count."""
    from shared.field_service.bodies import PriceBody, read_body

    body = read_body(PriceBody, call.json_body())
    return answered(await (await call.app.checks()).answer(body))


@door(blueprint, "fsm_stock_check", refusal=_refused)
async def fsm_stock_check(call: Call) -> func.HttpResponse:
    """Whether items are there, from the system whose stock counts."""
    from shared.field_service.bodies import StockBody, read_body

    body = read_body(StockBody, call.json_body())
    return answered(await (await call.app.checks()).answer(body))


@door(blueprint, "fsm_credit_check", refusal=_refused)
async def fsm_credit_check(call: Call) -> func.HttpResponse:
    """Whether a customer may owe an amount more, from the system whose limits and open items count."""
    from shared.field_service.bodies import CreditBody, read_body

    body = read_body(CreditBody, call.json_body())
    return answered(await (await call.app.checks()).answer(body))
