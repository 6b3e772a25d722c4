"""What all queue functions share: the pause before a failed message comes again, and what its error may say."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from functions.door import presentable
from shared.app import App, current
from shared.sync.message import MessageInvalid

log = logging.getLogger(__name__)

CONNECTION: Final = "ServiceBus"
LONGEST_PAUSE_SECONDS: Final = 60.0


async def handled(name: str, deliveries: int, work: Callable[[App], Awaitable[object]]) -> None:
    """Do the work of one message. Raises only when it must come again: store, queue or settings failed."""
    app = current()
    try:
        await work(app)
    except MessageInvalid:
        raise  # comes to the dead letters without delay
    except Exception as error:
        log.exception("a message comes again", extra={"action": "queue", "queue": name, "deliveries": deliveries})
        await app.outside.clock.sleep(_pause_seconds(deliveries))
        raise presentable(error) from None


def _pause_seconds(deliveries: int) -> float:
    """The queue delivers a failed message again at once; ten deliveries without a pause would outlast no outage."""
    return min(LONGEST_PAUSE_SECONDS, 2.0 ** min(deliveries, 10))
