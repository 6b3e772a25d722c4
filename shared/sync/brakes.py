"""Limits that stop a transfer and ask a person: too many creates, changes, sudden blanks or deletes within an hour; or
most of a day's derived rows have vanished at once.

Creates and deletes are counted one by one in the shared store, before anything is done. Changes and blanks are gathered
in the process and added in steps of a twentieth of the limit (at most 25), so that counting costs next to nothing; each
process can overshoot by one step. The count begins anew when a person switches the transfer on: who has looked and lets
it go on is not stopped again by what he has looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.sync.context import Ports, Prepared
from shared.sync.ports import Mode, RowTaken, Switch

FEW_ROWS = 10
"""So many rows of a day, or fewer, may all vanish."""
LOOKED = timedelta(hours=1)
"""How long days may be emptied after a person has looked."""


class Counted(StrEnum):
    """What brakes count."""

    CREATES = "creates"
    CHANGES = "changes"
    BLANKS = "blanks"
    DELETES = "deletes"
    VANISHED = "vanished"

    @property
    def code(self) -> str:
        """The code of the stop, as the catalogue has it."""
        return _CODES[self]


_CODES = {
    Counted.CREATES: "CD-4411",
    Counted.CHANGES: "CD-4412",
    Counted.BLANKS: "CD-4413",
    Counted.DELETES: "CD-4414",
    Counted.VANISHED: "CD-4415",
}


class BrakePulled(Exception):
    """The limit is reached; the transfer is stopped and the change waits."""

    def __init__(self, what: Counted) -> None:
        super().__init__(what.value)
        self.code = what.code


@dataclass(frozen=True)
class Brake:
    """The brakes of one transfer. Counts are kept in the store and shared by all instances.

    mode: the transfer's switch, as old as this process knows it. approved: creates beyond the limit that a person has
    acknowledged.
    """

    ports: Ports
    prepared: Prepared
    mode: Callable[[], Awaitable[Mode]]
    approved: Callable[[], Awaitable[int]]
    gathered: dict[Counted, int] = field(default_factory=dict)

    async def one_create(self) -> None:
        """Count a create before it is sent; raises BrakePulled if it is one too many."""
        limit = self.prepared.definition.brakes.creates_per_hour
        await self._count(Counted.CREATES, 1, limit + await self.approved())

    async def one_delete(self) -> None:
        """Count a record that was found deleted before anything follows from it; raises BrakePulled."""
        await self._count(Counted.DELETES, 1, self.prepared.definition.brakes.deletes_per_hour)

    async def one_change(self, blanks: int) -> None:
        """Count a changed record, and the fields that it blanks, before it is written; raises BrakePulled."""
        brakes = self.prepared.definition.brakes
        await self._gather(Counted.CHANGES, 1, brakes.changes_per_hour)
        if blanks:
            await self._gather(Counted.BLANKS, blanks, brakes.blanks_per_hour)

    async def rows(self, what: Counted, amount: int) -> None:
        """Count derived rows before they are created, changed or deleted together; raises BrakePulled."""
        brakes = self.prepared.definition.brakes
        limits = {
            Counted.CREATES: brakes.creates_per_hour,
            Counted.CHANGES: brakes.changes_per_hour,
            Counted.DELETES: brakes.deletes_per_hour,
        }
        await self._count(what, amount, limits[what])

    async def vanished(self, gone: int, of: int) -> None:
        """Stop before most rows of a day are deleted at once; raises BrakePulled. Whoever has looked and switched the
        transfer on lets such days pass for an hour."""
        if of <= FEW_ROWS or gone * 100 <= of * self.prepared.definition.brakes.vanished_percent:
            return
        name, now = self.prepared.transfer.name, self.ports.clock.now()
        mode, asked = await self.ports.stores.modes.get(name), await self.ports.stores.reports.get(_asked(name))
        on_since = mode.since if mode.switch is Switch.ON else None
        if asked and on_since and datetime.fromisoformat(asked) < on_since and now - on_since < LOOKED:
            return
        await self.ports.stores.reports.put(_asked(name), now.isoformat())
        await self._stop(mode, Counted.VANISHED, f"{gone} of {of} rows of a day have vanished at once")
        raise BrakePulled(Counted.VANISHED)

    async def _gather(self, what: Counted, amount: int, limit: int) -> None:
        waiting = self.gathered.get(what, 0) + amount
        self.gathered[what] = waiting
        if waiting >= max(1, min(25, limit // 20)):
            self.gathered[what] = 0
            await self._count(what, waiting, limit)

    async def _count(self, what: Counted, amount: int, limit: int) -> None:
        known = await self.mode()
        if known.switch is Switch.STOPPED:  # since this run began
            raise BrakePulled(what)
        if await self._total(what, known, amount) <= limit:
            return
        mode = await self.ports.stores.modes.get(self.prepared.transfer.name)
        switched_on_since = mode.switch is Switch.ON and mode.since != known.since
        if switched_on_since and await self._total(what, mode, amount) <= limit:
            return
        await self._stop(mode, what, f"more than {limit} {what} within an hour")
        raise BrakePulled(what)

    async def _total(self, what: Counted, mode: Mode, amount: int) -> int:
        name = f"{self.prepared.transfer.name}|{what}"
        return await self.ports.stores.counters.add(name, _window(self.ports.clock.now(), mode.since), amount)

    async def _stop(self, mode: Mode, what: Counted, reason: str) -> None:
        if mode.switch is not Switch.ON:
            return
        now = self.ports.clock.now()
        stopped = replace(mode, switch=Switch.STOPPED, since=now, by="brake", reason=reason, code=what.code)
        try:
            await self.ports.stores.modes.put(stopped)
        except RowTaken:
            return


def _asked(transfer: str) -> str:
    """The report that says when a person was last asked whether rows may vanish."""
    return f"vanished/{transfer}"


def _window(now: datetime, since: datetime | None) -> str:
    """The clock hour, or what is left of it since the switch was moved."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return f"{since:%Y%m%d%H%M%S%f}" if since is not None and since > hour else f"{hour:%Y%m%d%H}"
