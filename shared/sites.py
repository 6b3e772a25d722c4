"""What operators see and do of a site's exchange: its mode, the records that it offers, taking over, locks.

As in `operations`, answers are plain data for JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from shared.errors import FeedExpired
from shared.routes import ModeForbids, Overtaken, RequestError, SwitchedOff, Unknown
from shared.stores.match_index import TemporaryMatchIndex
from shared.sync.census import Census, count
from shared.sync.closest import unused_table
from shared.sync.context import pair_name
from shared.sync.definition import Definition, Transfer
from shared.sync.homes import is_linked
from shared.sync.locking import TableLocks, locks_of
from shared.sync.offering import Offered, Offering
from shared.sync.ports import RowTaken, Side, SiteMode, SiteModeRow, Switch
from shared.sync.site_modes import site_of
from shared.sync.taking_over import TakenOver, TakingOver

if TYPE_CHECKING:
    from shared.app import App
    from shared.engine import Engine

Json = dict[str, Any]

MOST_TAKEN_OVER: Final = 100
"""Records that one call takes over; each is done when it answers."""
WARNING: Final = (
    "As soon as automatic mode runs, every record counted under create gets a new partner. "
    "Linking those records with others is then no longer possible. Link first what belongs together."
)


@dataclass(frozen=True)
class SiteOperations:
    """The operations on one engine."""

    app: App
    engine: Engine

    # --- modes ---

    async def modes(self) -> Json:
        """Every site with its mode."""
        sites = dict.fromkeys(filter(None, map(self._site, self.engine.index.definitions)))
        return {"items": [_mode(await self.engine.stores.site_modes.get(*site)) for site in sites], "next": None}

    async def mode(self, system: str, partner: str) -> Json:
        """One of them; raises Unknown."""
        self._of_site(system, partner)
        return _mode(await self.engine.stores.site_modes.get(system, partner))

    async def choose_mode(
        self, system: str, partner: str, to: SiteMode, by: str, reason: str, etag: str, acknowledge: int | None
    ) -> Json:
        """Move a site's mode. Automatic answers first how many partners it makes, and moves once that many are
        acknowledged. `moved` says what was done.

        etag: of the mode as it was read. Raises Unknown and Overtaken.
        """
        definitions = self._of_site(system, partner)
        now = await self.engine.stores.site_modes.get(system, partner)
        if now.etag != etag:
            raise Overtaken("The mode was moved since you looked.", "etag")
        if now.mode is to:
            return {**_mode(now), "moved": False}
        counted = await self._census(definitions) if to is SiteMode.AUTOMATIC else []
        creates = sum(one.create for one in counted)
        if counted and (acknowledge is None or acknowledge < creates):
            return {**_mode(now), "moved": False, **self._warning(counted, creates)}
        at = self.app.outside.clock.now()
        row = replace(now, mode=to, since=at, by=by, reason=reason, acknowledged=creates)
        try:
            moved = await self.engine.stores.site_modes.put(row)
        except RowTaken:
            raise Overtaken("The mode was moved since you looked.", "etag") from None
        await self._begin(definitions, to)
        return {**_mode(moved), "moved": True}

    async def warning(self, system: str, partner: str) -> Json:
        """What has to be acknowledged before automatic mode: the warning, the numbers, and the one to name."""
        counted = await self._census(self._of_site(system, partner))
        return self._warning(counted, sum(one.create for one in counted))

    async def _begin(self, definitions: Sequence[Definition], to: SiteMode) -> None:
        """Find what changed while less was exchanged, and in automatic mode what has no partner yet."""
        self.engine.pipeline.forget_switches()
        timing = self.engine.pipeline.ports.timing
        for definition in definitions if to is not SiteMode.NONE else ():
            await self.engine.compares.of_pair(definition, f"mode {to.value}", 2 * timing.switch_age)
            for transfer in definition.transfers:
                await self.engine.draining.drain_soon(transfer.name)

    async def _census(self, definitions: Sequence[Definition]) -> list[Census]:
        found = []
        for definition in definitions:
            if definition.selection is not None:
                index = TemporaryMatchIndex()
                try:
                    found.append(await count(self.engine.pipeline, definition, index))
                finally:
                    index.close()
        return [one for one in found if one is not None]

    def _warning(self, counted: Sequence[Census], creates: int) -> Json:
        limits = {transfer.name: one.brakes for one, transfer in self.engine.index.transfers()}
        numbers = [{**asdict(one), "creates_per_hour": limits[one.transfer].creates_per_hour} for one in counted]
        return {"warning": WARNING, "numbers": numbers, "acknowledge": creates}

    def _site(self, definition: Definition) -> tuple[str, str] | None:
        return site_of(definition, self.engine.pipeline.ports.moded)

    def _of_site(self, system: str, partner: str) -> list[Definition]:
        found = [one for one in self.engine.index.definitions if self._site(one) == (system, partner)]
        if not found:
            raise Unknown("These two systems have no mode.", "system")
        return found

    # --- offered records ---

    async def offered(self, name: str, after: str | None, limit: int) -> Json:
        """The records that a transfer may take over, as its source lists them, with what matching finds.

        Holds names of records: a person has to know them.
        """
        offering = Offering(self.engine.pipeline, await self._selected(name))
        try:
            page = await offering.page(after, limit)
        except FeedExpired:
            raise RequestError("This place is gone; begin anew.", "after") from None
        return {"items": [_offered(one) for one in page.items], "next": page.place}

    async def looked_up(self, name: str, keys: Sequence[str]) -> Json:
        """Some of them, by key; those that there are."""
        definition = await self._selected(name)
        wanted = [self._canonical(definition, key) for key in dict.fromkeys(keys)]
        found = await Offering(self.engine.pipeline, definition).some(wanted)
        return {"items": [_offered(one) for one in found], "next": None}

    async def take_over(self, name: str, keys: Sequence[str], by: str, reason: str) -> Json:
        """Link the named records by matching, or make their partners; answers how it went with each.

        Raises Unknown, RequestError, ModeForbids, and SwitchedOff while the transfer is off.
        """
        definition = await self._selected(name)
        if await self.engine.pipeline.switch(name) is Switch.OFF:
            raise SwitchedOff("The transfer is switched off.", "transfer")
        wanted = [self._canonical(definition, key) for key in dict.fromkeys(keys)]
        taken = await TakingOver(self.engine.pipeline, definition).take_over(wanted, by, reason)
        return {"items": [_taken(one) for one in taken], "next": None}

    async def _selected(self, name: str) -> Definition:
        """The pair of a transfer that takes records over; raises Unknown, RequestError and ModeForbids."""
        definition, transfer = self._find(name)
        if transfer.source is not definition.offered:
            raise RequestError("Nothing is offered for this transfer; its definition has no selection.", "transfer")
        await require_exchange(self.engine, definition)
        return definition

    def _find(self, name: str) -> tuple[Definition, Transfer]:
        for definition, transfer in self.engine.index.transfers():
            if transfer.name == name:
                return definition, transfer
        raise Unknown("There is no transfer of this name.", "transfer")

    def _canonical(self, definition: Definition, key: str) -> str:
        table = definition.table(definition.offered or Side.RIGHT)
        try:
            return self.engine.pipeline.ports.connectors[table.system].canonical_key(table.table, key)
        except ValueError:
            raise RequestError("The key is none of this table.", "keys") from None

    # --- locks ---

    async def locks(self, system: str, table: str, key: str) -> Json:
        """What people must not edit of a record as it stands, in its own table and in those of its parts.

        Raises Unknown and RequestError.
        """
        connector = self.engine.pipeline.ports.connectors.get(system)
        pairs = [(one, side) for one in self.engine.index.definitions if (side := one.side_of(system, table))]
        if connector is None or not pairs:
            raise Unknown(unused_table(self.engine.index.definitions, system, table), "table")
        try:
            canonical = connector.canonical_key(table, key)
        except ValueError:
            raise RequestError("The key is none of this table.", "key") from None
        linked = [one for one, side in pairs if await self._is_linked(one, side, canonical)]
        apart = [one for one, _ in pairs if one not in linked]
        columns = dict.fromkeys(name for one in linked for name in _columns([one], system, table, linked=True))
        columns |= dict.fromkeys(name for one in apart for name in _columns([one], system, table, linked=False))
        parts = [_part(locks) for one in linked for locks in self._parts(one, system)]
        return {"system": system, "table": table, "key": canonical, "linked": bool(linked),
                "columns": list(columns), "parts": parts}  # fmt: skip

    async def _is_linked(self, definition: Definition, side: Side, key: str) -> bool:
        pair = pair_name(definition, self.engine.pipeline.ports.connectors)
        return is_linked(await self.engine.stores.links.get(pair, side, key))

    def _parts(self, pair: Definition, system: str) -> list[TableLocks]:
        """The locks of tables whose records belong to one of the pair and have no choice of their own."""
        belonging = [
            one
            for one in self.engine.index.definitions
            if one.selection is None and any(rule.reference and rule.reference.needed for rule in one.refers_to(pair))
        ]
        return [locks for locks in locks_of(belonging, system) if locks.columns(linked=True)]


async def require_exchange(engine: Engine, definition: Definition) -> None:
    """Raise ModeForbids where nothing is exchanged between a pair's systems."""
    if await engine.pipeline.site_modes.is_none(definition):
        raise ModeForbids("The mode is none: nothing is exchanged between the two systems.")


def _columns(definitions: Sequence[Definition], system: str, table: str, *, linked: bool) -> list[str]:
    return [name for one in locks_of(definitions, system) if one.table == table for name in one.columns(linked=linked)]


def _part(locks: TableLocks) -> Json:
    return {"table": locks.table, "columns": locks.columns(linked=True)}


def _mode(row: SiteModeRow) -> Json:
    facts = asdict(row)
    return {**facts, "mode": row.mode.value, "since": row.since.isoformat() if row.since else None}


def _offered(one: Offered) -> Json:
    facts = {"key": one.key, "kind": one.kind, "name": one.name, "state": one.state, "partner": one.partner}
    return {**facts, "shown": dict(one.shown), "hit": asdict(one.hit) if one.hit else None}


def _taken(one: TakenOver) -> Json:
    facts: Mapping[str, Any] = asdict(one)
    return {**facts, "result": one.result.value, "others": list(one.others)}
