"""Links that a person makes: by hand, with a look at every field first; and pairs that must never be linked.

A link by hand goes the safe way of every other link: claim, reverse row, confirm. Its claim names the chosen partner,
so whatever interrupts it, the next run of either transfer (or a second try) finishes the same link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared.sync.claims import BY_HAND, RESERVED, Claims, Doubled, Taken, Undone
from shared.sync.comparing import FieldView, compared
from shared.sync.context import Prepared
from shared.sync.definition import Definition, Transfer
from shared.sync.dependents import Dependents
from shared.sync.fingerprint import Base
from shared.sync.message import Message
from shared.sync.outcome import Kind
from shared.sync.pipeline import Pipeline
from shared.sync.planner import agree
from shared.sync.ports import Claim, JournalEntry, LinkRow, LinkState, NeverMatch, Record, RowTaken, Side


class CannotLink(Exception):
    """The two records cannot be linked; the text says why, without any value."""


@dataclass(frozen=True)
class Preview:
    """What a link by hand would mean: every field with both values, its master afterwards, and what would change."""

    left: Record
    right: Record
    fields: Sequence[FieldView]
    stands_in_the_way: str = ""


@dataclass(frozen=True)
class Linking:
    """Links by hand within one pair."""

    pipeline: Pipeline
    definition: Definition

    @property
    def _transfer(self) -> Transfer:
        return self.definition.transfers[0]

    async def preview(self, left_key: str, right_key: str) -> Preview:
        """Read both records and say what a link would change. Raises CannotLink for a record that is gone."""
        prepared = await self.pipeline.prepare(self._transfer.name)
        left, right = await self._read(prepared, left_key, right_key)
        rows = await self._rows(prepared, left_key, right_key)
        lengths = await self.pipeline.lengths(self.definition)
        base = Base(left_key, self.pipeline.ports.prints, {})
        fields = compared(prepared.definition, base, left.values, right.values, lengths)
        return Preview(left, right, fields, self._in_the_way(rows, left_key, right_key))

    async def link(self, left_key: str, right_key: str, by: str, reason: str) -> LinkRow:
        """Make the link; both transfers then bring the records together. Linking the same two again is harmless.

        Raises CannotLink where a record is gone or linked otherwise, Taken while somebody else is at either of them.
        """
        prepared = await self.pipeline.prepare(self._transfer.name)
        left, right = await self._read(prepared, left_key, right_key)
        rows = await self._rows(prepared, left_key, right_key)
        if in_the_way := self._in_the_way(rows, left_key, right_key):
            raise CannotLink(in_the_way)
        home = rows[Side.LEFT]
        if home is not None and home.state is LinkState.LINKED:
            return home
        keys, run = {Side.LEFT: left_key, Side.RIGHT: right_key}, self.pipeline.ports.ids.new()
        await self._tell(keys, run, by)
        held = await self._claimed(prepared, rows, keys, run)
        await self._journal(prepared.pair, keys, by, reason)
        await self._tell_dependents(prepared, keys, run, by)
        return await self._confirmed(prepared, held, left, right)

    async def _read(self, prepared: Prepared, left_key: str, right_key: str) -> tuple[Record, Record]:
        found: list[Record] = []
        for side, key in ((Side.LEFT, left_key), (Side.RIGHT, right_key)):
            table = prepared.definition.table(side)
            records = await prepared.connector(side).read(table.table, [key], prepared.columns(side))
            if key not in records:
                raise CannotLink(f"{table.system} {table.table}: there is no record {key}.")
            found.append(records[key])
        return found[0], found[1]

    async def _rows(self, prepared: Prepared, left_key: str, right_key: str) -> Mapping[Side, LinkRow | None]:
        links = self.pipeline.ports.stores.links
        return {
            Side.LEFT: await links.get(prepared.pair, Side.LEFT, left_key),
            Side.RIGHT: await links.get(prepared.pair, Side.RIGHT, right_key),
        }

    def _in_the_way(self, rows: Mapping[Side, LinkRow | None], left_key: str, right_key: str) -> str:
        """Why the two cannot be linked as the store stands; empty when they can, or are linked already.

        A claim whose lease has run out gives way: a person decides where the transfers could not.
        """
        wanted, now = {Side.LEFT: right_key, Side.RIGHT: left_key}, self.pipeline.ports.clock.now()
        for side, row in rows.items():
            if row is None or row.other == wanted[side]:
                continue
            if row.state is LinkState.LINKED:
                return f"The {side.value} record is linked to {row.other}."
            if row.state is LinkState.CREATING and row.claim and row.claim.lease_until > now:
                return f"A partner of the {side.value} record is being created."
        return ""

    async def _claimed(
        self, prepared: Prepared, rows: Mapping[Side, LinkRow | None], keys: Mapping[Side, str], run: str
    ) -> LinkRow:
        """The source's claim that names its partner, and the reverse row; both may replace tombstones."""
        now = self.pipeline.ports.clock.now()
        claim = Claim(run, run, now + self.pipeline.ports.timing.lease, sent=True, sent_at=now)
        generation = max((row.generation for row in rows.values() if row), default=0)
        side = prepared.side
        row = LinkRow(
            prepared.pair,
            side,
            keys[side],
            LinkState.CREATING,
            other=keys[side.other],
            generation=generation,
            claim=claim,
            reason=BY_HAND,
        )
        reverse = replace(row, side=side.other, key=keys[side.other], other=keys[side], reason=RESERVED)
        held = await self._put(rows[side], row)
        await self._put(rows[side.other], reverse)
        return held

    async def _put(self, present: LinkRow | None, row: LinkRow) -> LinkRow:
        links = self.pipeline.ports.stores.links
        try:
            return await (links.replace(replace(row, etag=present.etag)) if present else links.insert(row))
        except RowTaken:
            raise Taken from None

    async def _confirmed(self, prepared: Prepared, held: LinkRow, left: Record, right: Record) -> LinkRow:
        claims = Claims(self.pipeline.ports, prepared, held.claim.attempt if held.claim else "")
        equal = agree(prepared.rules, left.values, right.values)
        base = Base(left.key, self.pipeline.ports.prints, {}).with_values(
            (rule, left.values.get(rule.left), right.values.get(rule.right)) for rule in equal
        )
        try:
            return await claims.confirm(held, held.other, base, (None, None))
        except (Doubled, Undone):
            raise Taken from None

    async def _tell(self, keys: Mapping[Side, str], run: str, by: str) -> None:
        """Queue the pair to its transfers before anything is claimed: who finds the claim left alone finishes it."""
        ports = self.pipeline.ports
        for transfer in self.definition.transfers:
            message = self._message(transfer, keys[transfer.source], run, by)
            due = ports.clock.now() + ports.timing.link_settles
            await ports.queue.send(transfer.name, [message.outgoing(due)])

    async def _tell_dependents(self, prepared: Prepared, keys: Mapping[Side, str], run: str, by: str) -> None:
        """Queue what refers to the two, before the link is confirmed; whoever finishes it does so, too."""
        about = self._message(self._transfer, keys[self._transfer.source], run, by)
        dependents = Dependents(self.pipeline.ports, self.pipeline.index)
        await dependents.tell_of_link(prepared.definition, keys, about, run)

    def _message(self, transfer: Transfer, key: str, run: str, by: str) -> Message:
        return Message(
            transfer=transfer.name,
            side=transfer.source,
            table=self.definition.table(transfer.source).table,
            keys=(key,),
            cause=f"link by {by}",
            occurred_at=self.pipeline.ports.clock.now(),
            attempt=0,
            correlation_id=run,
            change_id=f"link/{run}/{transfer.name}",
        )

    async def _journal(self, pair: str, keys: Mapping[Side, str], by: str, reason: str) -> None:
        """Say who has linked the two and why, as soon as they are claimed: whoever confirms the link knows neither."""
        ports = self.pipeline.ports
        entry = JournalEntry(
            run=ports.ids.new(),
            at=ports.clock.now(),
            transfer=self._transfer.name,
            pair=pair,
            side=Side.LEFT,
            key=keys[Side.LEFT],
            other=keys[Side.RIGHT],
            outcome=Kind.UPDATED.value,
            reason=f"a person has linked the two: {reason}",
            cause=f"link by {by}",
        )
        reverse = replace(entry, side=Side.RIGHT, key=entry.other, other=entry.key)
        await ports.stores.journal.write([entry, reverse])

    # --- pairs that are never linked ---

    async def keep_apart(self, left_key: str, right_key: str, by: str, reason: str) -> NeverMatch:
        """Remember that the two are different things: matching passes them over from now on."""
        prepared = await self.pipeline.prepare(self._transfer.name)
        now = self.pipeline.ports.clock.now()
        apart = NeverMatch(prepared.pair, left_key, right_key, now, by, reason)
        await self.pipeline.ports.stores.never_match.put(apart)
        return apart

    async def allow_again(self, left_key: str, right_key: str) -> bool:
        """Forget that the two are different things; answers whether that was remembered."""
        prepared = await self.pipeline.prepare(self._transfer.name)
        return await self.pipeline.ports.stores.never_match.remove(prepared.pair, left_key, right_key)
