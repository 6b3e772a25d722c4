"""One queue function for each transfer of the definitions, under the transfer's name, which is also its queue's."""

from __future__ import annotations

from collections.abc import Iterable

import azure.functions as func

from functions.door import new_blueprint
from functions.queue import CONNECTION, handled
from shared.app import App, transfer_names
from shared.sync.message import Message, MessageInvalid

blueprint = new_blueprint()


def register(target: func.Blueprint, names: Iterable[str]) -> None:
    """Add the function of every transfer."""
    for name in names:
        _register(target, name)


def _register(target: func.Blueprint, name: str) -> None:
    async def transfer(message: func.ServiceBusMessage) -> None:
        await handled(name, message.delivery_count or 1, lambda app: _run(app, name, message.get_body()))

    transfer.__doc__ = f"Run a message of the transfer {name}."
    trigger = target.service_bus_queue_trigger(arg_name="message", queue_name=name, connection=CONNECTION)
    target.function_name(name)(trigger(transfer))


async def _run(app: App, name: str, body: bytes) -> None:
    """Run a message to its end. One that cannot be read goes to the dead letters, and from there to the parked list."""
    message = Message.from_json(body)
    if message.transfer != name:
        raise MessageInvalid("transfer: is another one than the queue's; send it to its own queue")
    await (await app.engine()).pipeline.run(message)


register(blueprint, transfer_names())
