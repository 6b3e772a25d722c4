"""The Cockpit's evaluations: the door that takes them, the queue of those that wait, and the hourly look.

Queue function and timer are there only where the installation has a Sales Cockpit.
"""

from __future__ import annotations

import azure.functions as func

from functions.door import Call, answered, door, new_blueprint
from functions.queue import CONNECTION, handled
from functions.timers import add_timer
from shared.app import App, has_system_of
from shared.settings import SALES_COCKPIT

blueprint = new_blueprint()


@door(blueprint, "cockpit_evaluations")
async def cockpit_evaluations(call: Call) -> func.HttpResponse:
    """Take an evaluation, and write it into its opportunity as the signed-in user before the answer goes out."""
    body = call.json_body()
    assert call.caller.user is not None  # its guard admits nobody else
    evaluations = (await call.app.cockpit()).evaluations
    return answered(*await evaluations.receiving.take(call.caller.user, body))


async def _look(app: App) -> None:
    await (await app.cockpit()).evaluations.tick()


def register(target: func.Blueprint) -> None:
    """Add the queue function and the timer."""
    from shared.sales_cockpit.messages import QUEUE, EvaluationMessage

    async def evaluation(message: func.ServiceBusMessage) -> None:
        async def work(app: App) -> None:
            waiting = EvaluationMessage.from_json(message.get_body())
            await (await app.cockpit()).evaluations.queued.run(waiting)

        await handled(QUEUE, message.delivery_count or 1, work)

    evaluation.__doc__ = "Write an evaluation that could not be written at once."
    trigger = target.service_bus_queue_trigger(arg_name="message", queue_name=QUEUE, connection=CONNECTION)
    target.function_name(QUEUE)(trigger(evaluation))
    add_timer(target, "evaluations", _look)


if has_system_of(SALES_COCKPIT):
    register(blueprint)
