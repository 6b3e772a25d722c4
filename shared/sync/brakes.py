"""Limits that stop a transfer and ask a person: too many creates, changes or sudden blanks within an hour.

Creates are counted one by one in the shared store, before they are sent. Changes and blanks are gathered in the
process and added in steps of a twentieth of the limit (at most 25), so that counting costs next to nothing; each
process can overshoot by one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from shared.sync.context import Ports, Prepared
from shared.sync.ports import RowTaken, Switch


class BrakePulled(Exception):
    """The limit is reached; the transfer is stopped and the change waits."""


@dataclass(frozen=True)
class Brake:
    """The brakes of one transfer. Counts are kept per hour in the store and shared by all instances."""

    ports: Ports
    prepared: Prepared
    gathered: dict[str, int] = field(default_factory=dict)

    async def one_create(self) -> None:
        """Count a create before it is sent; raises BrakePulled if it is one too many."""
        await self._count("creates", 1, self.prepared.definition.brakes.creates_per_hour)

    async def one_change(self, blanks: int) -> None:
        """Count a changed record, and the fields that it blanks, before it is written; raises BrakePulled."""
        brakes = self.prepared.definition.brakes
        await self._gather("changes", 1, brakes.changes_per_hour)
        if blanks:
            await self._gather("blanks", blanks, brakes.blanks_per_hour)

    async def _gather(self, what: str, amount: int, limit: int) -> None:
        waiting = self.gathered.get(what, 0) + amount
        self.gathered[what] = waiting
        if waiting >= max(1, min(25, limit // 20)):
            self.gathered[what] = 0
            await self._count(what, waiting, limit)

    async def _count(self, what: str, amount: int, limit: int) -> None:
        name = f"{self.prepared.transfer.name}|{what}"
        total = await self.ports.stores.counters.add(name, f"{self.ports.clock.now():%Y%m%d%H}", amount)
        if total > limit:
            await self._stop(f"more than {limit} {what} within an hour")
            raise BrakePulled

    async def _stop(self, reason: str) -> None:
        modes = self.ports.stores.modes
        mode = await modes.get(self.prepared.transfer.name)
        if mode.switch is Switch.ON:
            stopped = replace(mode, switch=Switch.STOPPED, since=self.ports.clock.now(), by="brake", reason=reason)
            try:
                await modes.put(stopped)
            except RowTaken:
                return
