"""One queue function for each transfer of the definitions, under the transfer's name, which is also its queue's."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import azure.functions as func

from functions.door import new_blueprint, presentable
from shared.app import current, transfer_names
from shared.sync.message import Message, MessageInvalid

log = logging.getLogger(__name__)

CONNECTION: Final = "ServiceBus"
LONGEST_PAUSE_SECONDS: Final = 60.0

blueprint = new_blueprint()


def register(target: func.Blueprint, names: Iterable[str]) -> None:
    """Add the function of every transfer."""
    for name in names:
        _register(target, name)


def _register(target: func.Blueprint, name: str) -> None:
    async def transfer(message: func.ServiceBusMessage) -> None:
        await _run(name, message.get_body(), message.delivery_count or 1)

    transfer.__doc__ = f"Run a message of the transfer {name}."
    trigger = target.service_bus_queue_trigger(arg_name="message", queue_name=name, connection=CONNECTION)
    target.function_name(name)(trigger(transfer))


async def _run(name: str, body: bytes, deliveries: int) -> None:
    """Run a message to its end. Raises only when the message must come again: store, queue or settings failed."""
    app = current()
    try:
        message = Message.from_json(body)
        if message.transfer != name:
            raise MessageInvalid("transfer: is another one than the queue's; send it to its own queue")
        await (await app.engine()).pipeline.run(message)
    except MessageInvalid:
        raise  # comes to the dead letters without delay, and from there to the parked list
    except Exception as error:
        log.exception("a message comes again", extra={"action": "transfer", "transfer": name, "deliveries": deliveries})
        await app.outside.clock.sleep(_pause_seconds(deliveries))
        raise presentable(error) from None


def _pause_seconds(deliveries: int) -> float:
    """The queue delivers a failed message again at once; ten deliveries without a pause would outlast no outage."""
    return min(LONGEST_PAUSE_SECONDS, 2.0 ** min(deliveries, 10))


register(blueprint, transfer_names())
