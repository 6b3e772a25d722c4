"""The queue function of the feeds: walks that a notice asks for, and full compares step by step."""

from __future__ import annotations

import azure.functions as func

from functions.door import new_blueprint
from functions.queue import CONNECTION, handled
from shared.app import App
from shared.sync.feed_tasks import QUEUE, FeedTask

blueprint = new_blueprint()


async def feeds(message: func.ServiceBusMessage) -> None:
    """Do a task of the feeds."""

    async def work(app: App) -> None:
        task = FeedTask.from_json(message.get_body())
        await (await app.engine()).feed_work.run(task)

    await handled(QUEUE, message.delivery_count or 1, work)


blueprint.function_name(QUEUE)(
    blueprint.service_bus_queue_trigger(arg_name="message", queue_name=QUEUE, connection=CONNECTION)(feeds)
)
