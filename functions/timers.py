"""What runs by the clock: walks over the change feeds, drains of what waits, the sweep of dead letters and of answers
whose time is over, the nightly compare, the subscriptions that die when nobody renews them, and the nightly look at the
systems' metadata.

Every tick may be missed or come twice. None is made up for: the next one finds the same work.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import azure.functions as func

from functions.door import new_blueprint, presentable
from shared.app import current
from shared.settings import FIELD_SERVICES, schedule

if TYPE_CHECKING:
    from shared.app import App
    from shared.engine import Engine

log = logging.getLogger(__name__)

blueprint = new_blueprint()


Work = Callable[["App"], Awaitable[object]]


def _of_engine(work: Callable[[Engine], Awaitable[object]]) -> Work:
    async def run(app: App) -> object:
        return await work(await app.engine())

    return run


def add_timer(target: func.Blueprint, name: str, work: Work) -> None:
    """Register a timer; its schedule is the setting of its name."""

    async def tick(timer: func.TimerRequest) -> None:
        try:
            await work(current())
        except Exception as error:
            log.exception("a tick failed", extra={"action": name})
            raise presentable(error) from None

    tick.__doc__ = f"One tick of {name}."
    trigger = target.timer_trigger(
        arg_name="timer", schedule=schedule(name, os.environ), run_on_startup=False, use_monitor=False
    )
    target.function_name(name)(trigger(tick))


async def _walks(engine: Engine) -> None:
    await engine.walks.due()
    await engine.windows.due()


async def _sweep(app: App) -> None:
    engine = await app.engine()
    await engine.draining.sweep()
    await engine.feed_work.sweep()
    if {one.system for one in FIELD_SERVICES} & set(app.settings.kinds.values()):
        await engine.stores.answers.sweep(app.outside.clock.now())


async def _subscriptions(app: App) -> object:
    from shared.subscriptions import renew_subscriptions  # with the engine: what takes notices starts without it

    return await renew_subscriptions(app)


add_timer(blueprint, "walks", _of_engine(_walks))
add_timer(blueprint, "drain", _of_engine(lambda engine: engine.draining.tick()))
add_timer(blueprint, "sweep", _sweep)
add_timer(blueprint, "compare", _of_engine(lambda engine: engine.compares.begin_all()))
add_timer(blueprint, "subscriptions", _subscriptions)
add_timer(blueprint, "schema_drift", _of_engine(lambda engine: engine.schema_watch.look()))
