"""How much a site exchanges with a partner: nothing, what a person selects, or all that the definitions allow.

The mode stands beside the switches of the transfers and concerns every pair of the two systems. In mode none all of
them count as switched off. In mode manual, records of a pair with `selection` get a partner only when a person says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from shared.sync.context import Ports
from shared.sync.definition import Definition, IfUnlinked, Transfer
from shared.sync.ports import Side, SiteMode, SiteModeRow

SELECTED = "take over by "
"""How the cause of a message about records begins that a person has selected."""
_BY_A_PERSON = (SELECTED, "retry by ")
"""Nothing but a take-over parks a record without a partner of the side that is offered, so its retry is one, too."""
_APPROVED_FOR = timedelta(days=1)
"""How long creates that were acknowledged with mode automatic are not held up by a brake."""


def is_selected(cause: str) -> bool:
    """Whether a message is about records that a person has selected."""
    return cause.startswith(SELECTED)


def site_of(definition: Definition, moded: frozenset[str]) -> tuple[str, str] | None:
    """The system of a definition that has a mode, and its partner; None where neither has one."""
    for side in Side:
        system = definition.table(side).system
        if system in moded:
            return system, definition.table(side.other).system
    return None


@dataclass
class KnownModes:
    """The modes of the sites, each at most `switch_age` old."""

    ports: Ports
    _seen: dict[tuple[str, str], tuple[float, SiteModeRow]] = field(default_factory=dict)

    async def row(self, definition: Definition) -> SiteModeRow | None:
        """The mode that concerns a pair; None for a pair of systems without modes."""
        site = site_of(definition, self.ports.moded)
        if site is None:
            return None
        now = self.ports.clock.monotonic()
        seen_at, row = self._seen.get(site, (float("-inf"), SiteModeRow(*site, SiteMode.NONE)))
        if now - seen_at >= self.ports.timing.switch_age.total_seconds():
            row = await self.ports.stores.site_modes.get(*site)
            self._seen[site] = (now, row)
        return row

    async def of(self, definition: Definition) -> SiteMode:
        """The mode of a pair; automatic where its systems have none, for then its definition alone decides."""
        row = await self.row(definition)
        return row.mode if row is not None else SiteMode.AUTOMATIC

    async def is_none(self, definition: Definition) -> bool:
        """Whether nothing is exchanged between a pair's systems."""
        return await self.of(definition) is SiteMode.NONE

    async def if_unlinked(self, definition: Definition, transfer: Transfer, cause: str = "") -> IfUnlinked:
        """What a transfer may do for a record without a partner; more for one that a person has selected."""
        selected = definition.selection is not None
        if selected and cause.startswith(_BY_A_PERSON) and transfer.source is definition.offered:
            return IfUnlinked.MATCH_OR_CREATE
        if selected and await self.of(definition) is SiteMode.MANUAL:
            return IfUnlinked.SKIP
        return transfer.if_unlinked

    async def approved_creates(self, definition: Definition) -> int:
        """How many creates a person has acknowledged lately, with the number before his eyes."""
        row = await self.row(definition) if definition.selection is not None else None
        if row is None or row.mode is not SiteMode.AUTOMATIC or row.since is None:
            return 0
        return row.acknowledged if self.ports.clock.now() - row.since < _APPROVED_FOR else 0

    def forget(self) -> None:
        """Read the modes again at the next question; called by the process that moved one."""
        self._seen.clear()
