"""How a story of the demo is told: every sentence is checked before it is printed."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from local.host import HostRefused
from local.quiet_logs import quiet_logs
from local.run import switch_all_on
from local.run_world import CannotRun, LocalRun, Wish
from local.servicebus import StoreError

PATIENCE_SECONDS = 120.0
"""A busy machine needs a multiple of the few seconds that everything takes on an idle one."""


class NotAsTold(Exception):
    """Something the demo says did not happen; the text says what was seen."""


def told(story: Callable[[Path], Coroutine[None, None, None]], arguments: Sequence[str]) -> int:
    """Tell a story in a folder of its own; answers the exit code."""
    quiet_logs(logging.DEBUG if "--verbose" in arguments else logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="crossdock-demo-", ignore_cleanup_errors=True) as folder:
        try:
            asyncio.run(story(Path(folder)))
        except NotAsTold as different:
            say(f"\nNOT AS TOLD: {different}")
            return 1
        except (CannotRun, HostRefused, StoreError) as error:
            say(f"It cannot start: {error}")
            return 2
    return 0


@asynccontextmanager
async def playing(wish: Wish) -> AsyncIterator[LocalRun]:
    """A local run with every transfer switched on; stopped at the end."""
    run = LocalRun(wish)
    try:
        await run.start()
        await switch_all_on(run, "the demo begins")
        yield run
    finally:
        await run.stop()


async def until(what: str, look: Callable[[], Awaitable[bool]], patience: float = PATIENCE_SECONDS) -> None:
    """Look again and again until it is so; raises NotAsTold when patience ends."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    while not await look():
        if loop.time() > end:
            raise NotAsTold(f"after {patience:.0f} seconds this was still not so: {what}")
        await asyncio.sleep(0.1)


async def handled(run: LocalRun) -> None:
    """Wait until for half a second nothing lies in a queue or waits to be told."""

    async def idle() -> bool:
        for _ in range(5):
            if not run.is_idle():
                return False
            await asyncio.sleep(0.1)
        return True

    await until("all notices are handled", idle)


def hold(what: str, so: bool) -> None:
    """Raise NotAsTold unless it is so."""
    if not so:
        raise NotAsTold(f"this is not so: {what}")


def chapter(title: str) -> None:
    """Begin a chapter."""
    say(f"\n{title}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
