"""What follows when a person merges two records of one system: the link of the one that was given up goes over.

The winner is claimed for the partner first, then the partner is reserved for it and released from the loser, then the
loser gets a tombstone, and the link is confirmed last. Whatever interrupts this goes on with the loser's next run, or,
once its link is undone, with the winner's, which was queued before. Where both have a partner nothing is done: a person
decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from shared.sync.claims import MERGED, RESERVED, Claims, Doubled, Taken, Undone
from shared.sync.context import Ports, Prepared
from shared.sync.creating import parked
from shared.sync.fingerprint import Base
from shared.sync.outcome import Kind, Outcome, Tell, Why
from shared.sync.planner import agree
from shared.sync.ports import Claim, JournalEntry, LinkRow, LinkState, Record, RowTaken, Side
from shared.sync.releasing import Releasing

_LONGEST_CHAIN = 10
BOTH_LINKED, NO_HEIR = "CD-4307", "CD-4308"
MERGE = "merged"
"""The cause of what follows from a merge, and of a message about a merged record that the other direction found."""


class Merged(Exception):
    """A record turned out to be merged into another one. side: of the pair that it is on."""

    def __init__(self, side: Side, loser: Record) -> None:
        self.side = side
        self.loser = loser


@dataclass(frozen=True)
class Merging:
    """Follows the merge of a linked source record. announce, tell_dependents, tell: see `Creating`."""

    ports: Ports
    prepared: Prepared
    run: str
    announce: Callable[[Mapping[Side, str]], Awaitable[None]]
    tell_dependents: Callable[[Mapping[Side, str]], Awaitable[None]]
    tell: Tell

    async def follow(self, home: LinkRow, loser: Record) -> Outcome:
        """Bring the link over to the record that is left. Raises Taken while somebody else is at one of the rows."""
        side = self.prepared.side
        partner = home.key_on(side.other)
        winner = await self._winner(loser)
        if winner is None:
            return parked(NO_HEIR, others=(partner,))
        row = await self.ports.stores.links.get(self.prepared.pair, side, winner.key)
        if row is not None and row.state is LinkState.LINKED and row.other != partner:
            return parked(BOTH_LINKED, others=(winner.key, partner, row.other))
        if row is not None and row.state is LinkState.CREATING and (row.other, row.reason) != (partner, MERGED):
            raise Taken  # before anybody is told: messages to the winner would keep its row busy for ever
        if await self._kept_apart(winner.key, partner, row):
            return parked(NO_HEIR, others=(winner.key, partner))
        return await self._moved(home, loser.key, winner, partner, row)

    async def _winner(self, loser: Record) -> Record | None:
        """The record at the end of the chain of merges; None if there is none."""
        prepared, seen = self.prepared, {loser.key}
        one: Record | None = loser
        while one is not None and one.merged_into is not None and len(seen) < _LONGEST_CHAIN:
            seen.add(one.merged_into)
            found = await prepared.source.read(prepared.source_table, [one.merged_into], prepared.source_columns)
            one = found.get(one.merged_into)
        return one if one is not None and one.merged_into is None else None

    async def _kept_apart(self, winner: str, partner: str, row: LinkRow | None) -> bool:
        """Whether a person has undone the very link, or found the two to be different things."""
        if row is not None and row.state is LinkState.UNLINKED and row.other == partner:
            return True
        left, right = (winner, partner) if self.prepared.side is Side.LEFT else (partner, winner)
        return await self.ports.stores.never_match.has(self.prepared.pair, left, right)

    async def _moved(self, home: LinkRow, loser: str, winner: Record, partner: str, row: LinkRow | None) -> Outcome:
        prepared = self.prepared
        found = await prepared.target.read(prepared.target_table, [partner], prepared.target_columns)
        if partner not in found:
            return Outcome(Kind.SKIPPED, Why.TARGET_GONE, other=partner)
        keys = {prepared.side: winner.key, prepared.side.other: partner}
        await self.announce(keys)
        await self.tell_dependents(keys)
        held = await self._claimed(winner.key, partner, row)
        if held.state is LinkState.CREATING:
            await self._reserve(held, loser)
        fields = await Releasing(self.ports, prepared).former(home)
        outcome = Outcome(Kind.UPDATED, Why.MERGED, other=winner.key, fields=fields)
        await self.tell(outcome)
        await self._bury(loser)
        if held.state is LinkState.CREATING:
            await self._journal(held)
            await self._confirm(held, winner, found[partner])
        await self._close_parked(loser, winner.key, partner)
        return outcome

    async def _claimed(self, winner: str, partner: str, row: LinkRow | None) -> LinkRow:
        """The winner's row, which names the partner; one that an earlier try has written, or confirmed, as it is."""
        if row is not None and row.state is not LinkState.UNLINKED:
            if row.other == partner and (row.state is LinkState.LINKED or row.reason == MERGED):
                return row
            raise Taken
        now, attempt = self.ports.clock.now(), self.ports.ids.new()
        claim = Claim(attempt, self.run, now + self.ports.timing.lease, sent=True, sent_at=now)
        fresh = LinkRow(
            self.prepared.pair,
            self.prepared.side,
            winner,
            LinkState.CREATING,
            other=partner,
            generation=row.generation if row else 0,
            claim=claim,
            reason=MERGED,
        )
        return await self._put(row, fresh)

    async def _reserve(self, held: LinkRow, loser: str) -> None:
        """Take the partner's row from the loser's link."""
        reverse = await self.ports.stores.links.get(held.pair, held.side.other, held.other)
        if reverse is None or reverse.other not in (loser, held.key):
            raise Taken
        if reverse.other == loser:
            reserved = replace(held, side=reverse.side, key=reverse.key, other=held.key, reason=RESERVED)
            await self._put(reverse, replace(reserved, generation=reverse.generation))

    async def _bury(self, loser: str) -> None:
        """A tombstone for the loser, which nobody links any more."""
        row = await self.ports.stores.links.get(self.prepared.pair, self.prepared.side, loser)
        if row is None or row.state is LinkState.UNLINKED:
            return
        tomb = replace(row, state=LinkState.UNLINKED, generation=row.generation + 1, reason=Why.MERGED.value)
        await self._put(row, replace(tomb, claim=None, base="", left_version=None, right_version=None))

    async def _confirm(self, held: LinkRow, winner: Record, partner: Record) -> None:
        left, right = (winner, partner) if self.prepared.side is Side.LEFT else (partner, winner)
        equal = agree(self.prepared.rules, left.values, right.values)
        base = Base(left.key, self.ports.prints, {}).with_values(
            (rule, left.values.get(rule.left), right.values.get(rule.right)) for rule in equal
        )
        claims = Claims(self.ports, self.prepared, self.run)
        try:
            await claims.confirm(held, held.other, base, (None, None))
        except (Doubled, Undone):
            raise Taken from None

    async def _journal(self, held: LinkRow) -> None:
        """Tell at the winner and at the partner how their link came about; the loser's run tells of the loser."""
        entry = JournalEntry(
            run=self.run,
            at=self.ports.clock.now(),
            transfer=self.prepared.transfer.name,
            pair=held.pair,
            side=held.side,
            key=held.key,
            other=held.other,
            outcome=Kind.UPDATED.value,
            reason=Why.INHERITED.value,
            cause=MERGE,
        )
        reverse = replace(entry, side=held.side.other, key=held.other, other=held.key)
        await self.ports.stores.journal.write([entry, reverse])

    async def _put(self, present: LinkRow | None, row: LinkRow) -> LinkRow:
        links = self.ports.stores.links
        try:
            return await (links.replace(replace(row, etag=present.etag)) if present else links.insert(row))
        except RowTaken:
            raise Taken from None

    async def _close_parked(self, loser: str, winner: str, partner: str) -> None:
        """What waited for a person was about two records for one thing."""
        for transfer in self.prepared.definition.transfers:
            for key in (loser, winner):
                await self.ports.stores.parked.remove(transfer.name, self.prepared.side, key)
            await self.ports.stores.parked.remove(transfer.name, self.prepared.side.other, partner)
