"""Taking over: a person says which records get a partner, while the mode of two systems is manual.

A record that is taken over goes the way of every other one (claim, match, create, confirm, write back), only that a
person has said so: the cause of its message says it, also in copies that come again later. Before anything else the
record waits as pending with that cause, so that the person's word outlives this process. A tombstone gives way to a
person only here and where he links two records himself, never to a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from shared.sync.claims import Taken
from shared.sync.context import Prepared
from shared.sync.definition import Definition, IfUnlinked, Transfer
from shared.sync.homes import is_linked
from shared.sync.linking import CannotLink, Linking
from shared.sync.message import Message
from shared.sync.offering import Offering, is_undone, rows_of
from shared.sync.outcome import Kind, Why
from shared.sync.pipeline import Done, Pipeline
from shared.sync.ports import Claim, JournalEntry, LinkRow, LinkState, PendingItem, RowTaken, Side, SiteMode
from shared.sync.qualifying import those_in_scope
from shared.sync.site_modes import SELECTED

_BUSY = "It is being used in this moment."
_SELECTED = "a person has selected it"


class Result(StrEnum):
    """How it went with one record that was to be taken over."""

    LINKED = "linked"
    CREATED = "created"
    ALREADY = "linked already"
    LATER = "comes again by itself"
    PERSON = "waits for a person"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TakenOver:
    """One record's result. why: the sentence that explains it; code: where it has one."""

    key: str
    result: Result
    partner: str = ""
    why: str = ""
    code: str = ""
    others: Sequence[str] = ()


@dataclass(frozen=True)
class TakingOver:
    """Takes records of one pair over."""

    pipeline: Pipeline
    definition: Definition

    @property
    def offering(self) -> Offering:
        """What the pair offers."""
        return Offering(self.pipeline, self.definition)

    @property
    def back(self) -> Transfer | None:
        """The transfer from the other side, which makes partners in automatic mode."""
        return next((one for one in self.definition.transfers if one.target is self.offering.side), None)

    async def take_over(self, keys: Sequence[str], by: str, reason: str) -> list[TakenOver]:
        """Link or make the partner of each of these records; answers how it went, in their order.

        As many as one message takes. Repeating it is harmless. Raises what the store and the queue raise.
        """
        prepared = await self.pipeline.prepare(self.offering.transfer.name)
        done: dict[str, TakenOver] = {}
        rows = await rows_of(self.pipeline, prepared, self.offering.side, keys)
        done |= {key: TakenOver(key, Result.ALREADY, row.other) for key, row in rows.items() if is_linked(row)}
        done |= await self._refused(prepared, [key for key in keys if key not in done])
        selected = [key for key in keys if key not in done]
        for key in selected:
            await self._let_wait(key, by)
        await self._note(prepared, selected, by, reason)
        for row in [row for key in selected if (row := rows[key]) is not None and is_undone(row)]:
            if (result := await self._linked_again(row, by, reason)) is not None:
                done[row.key] = result
        rest = [key for key in selected if key not in done]
        if rest:
            done |= {one.key: _result(one) for one in await self.pipeline.run(self._message(rest, by))}
        return [done[key] for key in keys]

    async def _let_wait(self, key: str, by: str) -> None:
        """Should this process die, the record is taken over by whoever drains it; what is done by then needs nothing
        more."""
        ports = self.pipeline.ports
        item = PendingItem(
            transfer=self.offering.transfer.name,
            side=self.offering.side,
            key=key,
            since=ports.clock.now(),
            reason=_SELECTED,
            correlation_id=ports.ids.new(),
            cause=f"{SELECTED}{by}",
        )
        await ports.stores.pending.put(item)

    async def _refused(self, prepared: Prepared, keys: Sequence[str]) -> Mapping[str, TakenOver]:
        """Those whose partner automatic mode makes by itself."""
        if not keys or await self.pipeline.site_modes.of(self.definition) is not SiteMode.AUTOMATIC:
            return {}
        columns = self.offering.columns(prepared)
        records = await prepared.source.read(prepared.source_table, keys, columns)
        hits = await self.offering.hits(prepared, list(records.values()))
        refused: dict[str, TakenOver] = {}
        for key, hit in hits.items():
            if why := await self.made_by_itself(hit.key, key):
                refused[key] = TakenOver(key, Result.REFUSED, hit.key, why)
        return refused

    async def made_by_itself(self, key: str, with_key: str) -> str:
        """Why a record of the other side cannot be linked with an offered one any more: automatic mode has made its
        partner, or will. Empty where a person may link it, or has."""
        back = self.back
        if back is None or await self.pipeline.site_modes.of(self.definition) is not SiteMode.AUTOMATIC:
            return ""
        prepared, system = await self.pipeline.prepare(back.name), self.definition.table(self.offering.side).system
        row = await self.pipeline.ports.stores.links.get(prepared.pair, self.offering.side.other, key)
        if row is not None and is_linked(row) and row.other != with_key:
            return f"Automatic mode is on, and this record is linked to {row.other} in {system} already."
        if is_linked(row) or is_undone(row):
            return ""
        found = await prepared.source.read(prepared.source_table, [key], back.own_columns)
        if back.if_unlinked is not IfUnlinked.MATCH_OR_CREATE or not await those_in_scope(prepared, [*found.values()]):
            return ""
        return f"Automatic mode is on and makes a partner of this record in {system} by itself; it cannot be linked."

    async def _linked_again(self, row: LinkRow, by: str, reason: str) -> TakenOver | None:
        """A link that was undone is made again where both records are free; else the record is free from now on."""
        if await self._can_be_linked_again(row):
            left, right = (row.key, row.other) if self.offering.side is Side.LEFT else (row.other, row.key)
            try:
                await Linking(self.pipeline, self.definition).link(left, right, by, reason)
                return TakenOver(row.key, Result.LINKED, row.other)
            except CannotLink:
                pass  # its former partner is gone
            except Taken:
                return TakenOver(row.key, Result.LATER, row.other, _BUSY)
        now, ids = self.pipeline.ports.clock.now(), self.pipeline.ports.ids
        claim = Claim(ids.new(), "", now)
        fresh = replace(row, state=LinkState.CREATING, claim=claim, other="", reason="", linked_at=None, linked_by="")
        try:
            await self.pipeline.ports.stores.links.replace(fresh)
        except RowTaken:
            return TakenOver(row.key, Result.LATER, why=_BUSY)
        return None

    async def _can_be_linked_again(self, row: LinkRow) -> bool:
        """Whether the former partner has had no other one since."""
        other = (
            await self.pipeline.ports.stores.links.get(row.pair, self.offering.side.other, row.other)
            if row.other
            else None
        )
        return other is not None and other.state is LinkState.UNLINKED and other.other == row.key

    def _message(self, keys: Sequence[str], by: str) -> Message:
        ids = self.pipeline.ports.ids
        return Message(
            transfer=self.offering.transfer.name,
            side=self.offering.side,
            table=self.definition.table(self.offering.side).table,
            keys=tuple(keys),
            cause=f"{SELECTED}{by}",
            occurred_at=self.pipeline.ports.clock.now(),
            attempt=0,
            correlation_id=ids.new(),
            change_id=f"take-over/{ids.new()}",
        )

    async def _note(self, prepared: Prepared, keys: Sequence[str], by: str, reason: str) -> None:
        """Say who has selected the records and why; the run that follows knows neither."""
        ports = self.pipeline.ports
        entries = [
            JournalEntry(
                run=ports.ids.new(),
                at=ports.clock.now(),
                transfer=self.offering.transfer.name,
                pair=prepared.pair,
                side=self.offering.side,
                key=key,
                other="",
                outcome="selected",
                reason=f"{_SELECTED}: {reason}",
                cause=f"{SELECTED}{by}",
            )
            for key in keys
        ]
        await ports.stores.journal.write(entries)


_WAITING = (Why.MODE_NONE, Why.SWITCHED_OFF)
"""What has not been looked at yet, since somebody has just stopped the exchange; its row still waits."""


def _result(done: Done) -> TakenOver:
    """An outcome in the words of taking over."""
    outcome = done.outcome
    told = replace(
        TakenOver(done.key, Result.REFUSED, outcome.other, outcome.sentence or outcome.why.value, outcome.code),
        others=outcome.others,
    )
    match outcome.kind:
        case Kind.CREATED:
            return replace(told, result=Result.CREATED)
        case Kind.DEFERRED:
            return replace(told, result=Result.LATER)
        case Kind.PARKED:
            return replace(told, result=Result.PERSON)
        case Kind.SKIPPED:
            return replace(told, result=Result.LATER) if outcome.why in _WAITING else told
        case _:
            return replace(told, result=Result.LINKED if outcome.why is Why.LINKED else Result.ALREADY)
