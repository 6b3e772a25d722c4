"""Notices in: what Dataverse, Business Central and IFS field service post when a record changed.

Answers: docs/systems/webhooks.md.
"""

from __future__ import annotations

import azure.functions as func

from functions.door import HEADERS, Call, answered, door, empty, new_blueprint, status_of
from shared.connectors.business_central.webhook import plain_token
from shared.errors import CrossdockError
from shared.routes import error_body

blueprint = new_blueprint()


@door(blueprint, "dataverse_webhook")
async def dataverse_webhook(call: Call) -> func.HttpResponse:
    """202 when messages are queued, 200 for a notice that concerns nobody here."""
    queued = await call.app.notices.from_dataverse(call.request.get_body(), call.caller.systems)
    return empty(202 if queued else 200)


def _not_confirmed(_: func.HttpRequest, error: CrossdockError) -> func.HttpResponse:
    """Anything but 2xx keeps the record from being registered."""
    return answered({"confirmed": False, **error_body(error)}, status_of(error))


@door(blueprint, "dataverse_confirm", refusal=_not_confirmed)
async def dataverse_confirm(call: Call) -> func.HttpResponse:
    """200 where a record may be registered. 409, not 503, where it may not: the platform asks once more after a 503."""
    from shared.checks import confirm  # with the engine: what takes notices starts without it

    verdict = await confirm(call.app, call.caller.systems, call.request.get_body())
    for reason in verdict.reasons:
        call.app.notices.refused("dataverse_confirm", reason)
    return answered(verdict.body(), 200 if verdict.confirmed else 409)


@door(blueprint, "business_central_webhook")
async def business_central_webhook(call: Call) -> func.HttpResponse:
    """Always 200. A handshake gets its token back; everything else is a body of notices."""
    token = call.query("validationToken")
    if token:
        return func.HttpResponse(plain_token(token) or "", headers=HEADERS, mimetype="text/plain")
    await call.app.notices.from_business_central(call.request.get_body(), call.caller.systems)
    return empty(200)


@door(blueprint, "fsm_outbound")
async def fsm_outbound(call: Call) -> func.HttpResponse:
    """202 when messages are queued, 200 for a message that concerns no definition."""
    queued = await call.app.notices.from_field_service(call.request.get_body(), call.caller.systems)
    return empty(202 if queued else 200)
