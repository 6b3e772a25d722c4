"""Windows of derived rows: by the clock every day of a window is queued, each as a message of its own.

A day is computed anew each time, so late corrections of the source arrive, and a day whose message was lost comes again
with the next walk. Nothing is ever queued for a day outside the window.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shared.errors import ConnectorError, SettingsError, SystemDown, WrongEnvironment, WrongProfile
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Index, Transfer
from shared.sync.message import Message
from shared.sync.pipeline import Pipeline
from shared.sync.ports import RowTaken, Switch, Watermark

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """The window of one transfer."""

    definition: Definition
    transfer: Transfer
    days: int
    every: timedelta

    def of(self, today: date) -> list[date]:
        """Its days, today first."""
        return [today - timedelta(days=back) for back in range(self.days)]


@dataclass(frozen=True, slots=True)
class Queued:
    """What one walk over a window did. code: of the error that kept it from queueing."""

    name: str
    queued: int = 0
    code: str = ""


def windows(index: Index) -> list[Window]:
    """The windows of all definitions that derive their rows."""
    return [
        Window(definition, transfer, transfer.window_days, timedelta(seconds=transfer.walk_seconds))
        for definition in index.deriving
        for transfer in definition.transfers
        if transfer.window_days is not None and transfer.walk_seconds is not None
    ]


def window_name(pair: str) -> str:
    """The name of a window's watermark."""
    return f"{pair}|window"


@dataclass(frozen=True)
class Windows:
    """Queues the days of windows."""

    pipeline: Pipeline

    async def due(self) -> list[Queued]:
        """Queue every window whose time has come and whose transfer is on; two at the same moment queue it once."""
        done = [await self._walk(window, window.every) for window in windows(self.pipeline.index)]
        return [one for one in done if one is not None]

    async def now(self, transfer: str) -> Queued | None:
        """Queue the window of a transfer, whether or not it is due; None where it is off or has none."""
        found = [one for one in windows(self.pipeline.index) if one.transfer.name == transfer]
        return await self._walk(found[0], timedelta()) if found else None

    async def _walk(self, window: Window, every: timedelta) -> Queued | None:
        if await self.pipeline.switch(window.transfer.name) is not Switch.ON:
            return None
        ports = self.pipeline.ports
        name, now = window_name(pair_name(window.definition, ports.connectors)), ports.clock.now()
        mark = await ports.stores.watermarks.get(name) or Watermark(None)
        if mark.done_at is not None and now - mark.done_at < every:
            return None
        try:
            await self._require(window.definition)
            await self._queue(window, name, mark, now)
            await ports.stores.watermarks.put(name, replace(mark, done_at=now))
        except RowTaken:
            return None
        except WrongProfile as error:  # with a CRM for each profile one of the two always stands still
            return Queued(name, code=error.code)
        except (ConnectorError, SettingsError) as error:
            log.warning("window not queued", extra={"walk": name, "code": error.code})
            return Queued(name, code=error.code)
        return Queued(name, window.days)

    async def _require(self, definition: Definition) -> None:
        """Raise what stands in the way of any work on the pair."""
        for system in definition.systems:
            if self.pipeline.environments.is_wrong(system):
                raise WrongEnvironment
            if await self.pipeline.panel.is_open(self.pipeline.ports.connectors[system]):
                raise SystemDown(system)
        await self.pipeline.environments.require(definition.systems)
        await self.pipeline.environments.require_one_profile(definition.systems, definition.profile)

    async def _queue(self, window: Window, name: str, mark: Watermark, now: datetime) -> None:
        """The id names the walk before: a walk that is repeated after a crash is taken once."""
        before = mark.done_at.isoformat() if mark.done_at else "first"
        correlation_id = self.pipeline.ports.ids.new()
        messages = [
            Message(
                transfer=window.transfer.name,
                side=window.transfer.source,
                table=window.definition.table(window.transfer.source).table,
                keys=(day.isoformat(),),
                cause="walk",
                occurred_at=now,
                attempt=0,
                correlation_id=correlation_id,
                change_id=f"window/{name}/{day.isoformat()}/{before}",
            ).outgoing()
            for day in window.of(now.date())
        ]
        await self.pipeline.ports.queue.send(window.transfer.name, messages)
