"""Claim before create, confirm after: the rows that keep two records from getting two partners.

A claim is the link row of the source record in state creating. The same claim stands on the target's row as soon as
its key is known (the reverse row), and under every match key of the record, so that the same company born on both
sides at once meets itself. Where several pairs create in one table the keys count in that table, too, so that the same
company born in two companies of the ERP at once becomes one account. Who loses a match key gives his claim back and
comes again later: match keys are taken in the definition's order, so nobody waits for somebody who waits for him.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.sync.context import Ports, Prepared
from shared.sync.fingerprint import Base
from shared.sync.ports import Claim, LinkRow, LinkState, MatchClaim, RowTaken, Side

RESERVED = "reserved for the record that creates it"
"""The reason of a reverse row: the claim on it belongs to the other side's record."""


BY_HAND = "linked by hand"
"""The reason of a claim whose partner a person has chosen."""


MERGED = "takes over the link of a record that was merged into it"
"""The reason of a claim whose partner is that of a merged record."""


class Taken(Exception):
    """Somebody else is at it; come again after `delay`."""

    def __init__(self, delay: timedelta = timedelta(seconds=2)) -> None:
        self.delay = delay


class Undone(Exception):
    """A tombstone stands where a row was to be written: a person or a delete has undone the link."""


class Doubled(Exception):
    """The chosen partner is linked to another record; `others` names both."""

    def __init__(self, others: Sequence[str]) -> None:
        self.others = tuple(others)


async def _written(write: Awaitable[LinkRow]) -> LinkRow:
    try:
        return await write
    except RowTaken:
        raise Taken from None


@dataclass(frozen=True)
class MatchKey:
    """A match key of one record: the rule's name and the keyed hash of its normalised value.

    place: the table that it counts in, whatever pair the record belongs to; empty: in its pair.
    """

    rule: str
    value: str
    place: str = ""


@dataclass(frozen=True)
class Claims:
    """The claims of one run of one transfer."""

    ports: Ports
    prepared: Prepared
    run: str

    @property
    def _now(self) -> datetime:
        return self.ports.clock.now()

    def _lease(self) -> datetime:
        return self._now + self.ports.timing.lease

    async def claim(self, key: str, row: LinkRow | None, chosen: str) -> tuple[LinkRow, bool]:
        """Claim a source record; answers the row and whether an earlier create of it may have been sent.

        A claim becomes "sent" only after all match keys are held: until then it is given back to whoever was faster,
        so two records never wait for each other. Raises Taken while another run holds the lease.
        """
        if row is None:
            claim = Claim(self.ports.ids.new(), self.run, self._lease(), chosen=chosen)
            fresh = LinkRow(self.prepared.pair, self.prepared.side, key, LinkState.CREATING, claim=claim)
            return await _written(self.ports.stores.links.insert(fresh)), False
        if row.claim is None or row.reason == RESERVED or row.claim.lease_until > self._now:
            raise Taken(self._wait(row))
        claim = replace(row.claim, owner=self.run, lease_until=self._lease(), chosen=row.claim.chosen or chosen)
        return await _written(self.ports.stores.links.replace(replace(row, claim=claim))), row.claim.sent

    def _wait(self, row: LinkRow) -> timedelta:
        """Until the next look: most creates end within a second or two, long before their lease."""
        left = (row.claim.lease_until - self._now) if row.claim else timedelta()
        return max(timedelta(seconds=2), min(left, timedelta(seconds=4)))

    async def renew(self, row: LinkRow, claim: Claim) -> LinkRow:
        """Extend the lease with changed facts of the claim; raises Taken if the claim was lost."""
        return await _written(
            self.ports.stores.links.replace(replace(row, claim=replace(claim, lease_until=self._lease())))
        )

    async def let_go(self, row: LinkRow, *, sent: bool) -> None:
        """End the lease but keep the claim, for the next run of the same record. sent: a create may have been
        executed."""
        if row.claim is None:
            return
        claim = replace(row.claim, lease_until=self._now, sent=sent)
        try:
            await self.ports.stores.links.replace(replace(row, claim=claim))
        except RowTaken:
            return

    async def give_back(self, row: LinkRow, keys: Sequence[MatchKey]) -> None:
        """Remove a claim under which certainly nothing was created."""
        if row.other:
            await self.give_up_reserved(row)
        await self.release_keys(row, keys)
        await self._forget(row)

    async def give_up_reserved(self, row: LinkRow) -> None:
        """Remove the reverse row of the target key that the source row names, if it belongs to this claim."""
        reverse = await self.ports.stores.links.get(row.pair, row.side.other, row.other)
        if reverse and self._mine(reverse, row):
            await self._forget(reverse)

    async def _forget(self, row: LinkRow) -> None:
        try:
            await self.ports.stores.links.delete(row)
        except RowTaken:
            return

    def _mine(self, reverse: LinkRow, row: LinkRow) -> bool:
        return bool(reverse.claim and row.claim and reverse.claim.attempt == row.claim.attempt)

    # --- match keys ---

    async def take_keys(self, row: LinkRow, keys: Sequence[MatchKey]) -> None:
        """Claim every match key of the record in order; raises Taken at the first that an open create holds."""
        for key in keys:
            await self._take_key(row, key)

    async def _take_key(self, row: LinkRow, key: MatchKey) -> None:
        assert row.claim is not None
        claims = self.ports.stores.match_claims
        place, holder = key.place or row.pair, row.pair if key.place else ""
        mine = MatchClaim(place, key.rule, key.value, row.side, row.key, row.claim.attempt, holder)
        try:
            await claims.insert(mine)
        except RowTaken:
            held = await claims.get(place, key.rule, key.value)
            if held is None or (await self._is_open(held) and not self._is_same(held, mine)):
                raise Taken from None
            await self._replace_key(held, mine)

    def _is_same(self, held: MatchClaim, mine: MatchClaim) -> bool:
        return (held.holder, held.side, held.key) == (mine.holder, mine.side, mine.key)

    async def _replace_key(self, held: MatchClaim, mine: MatchClaim) -> None:
        try:
            await self.ports.stores.match_claims.replace(replace(mine, etag=held.etag))
        except RowTaken:
            raise Taken from None

    async def _is_open(self, held: MatchClaim) -> bool:
        """Whether the holder's create is still undecided (or too fresh for a system whose searches lag behind)."""
        row = await self.ports.stores.links.get(held.holder or held.pair, held.side, held.key)
        if row is None or row.state is LinkState.UNLINKED:
            return False
        if row.state is LinkState.CREATING:
            return row.claim is not None and row.claim.attempt == held.attempt
        caps = self.prepared.capabilities
        fresh = row.linked_at is not None and self._now - row.linked_at < caps.longest_run
        return fresh and not caps.read_after_write

    async def release_keys(self, row: LinkRow, keys: Sequence[MatchKey]) -> None:
        """Remove the match claims of the record; those taken over meanwhile stay."""
        claims = self.ports.stores.match_claims
        for key in keys:
            held = await claims.get(key.place or row.pair, key.rule, key.value)
            if held and (held.holder or row.pair, held.side, held.key) == (row.pair, row.side, row.key):
                await claims.delete(held)

    # --- the reverse row ---

    async def reserve(self, row: LinkRow) -> None:
        """Write the reverse row of the target key that the source row names, before the create."""
        reverse = replace(row, side=row.side.other, key=row.other, other=row.key, reason=RESERVED, etag="")
        await self._put_reverse(row, reverse)

    async def _put_reverse(self, row: LinkRow, reverse: LinkRow) -> LinkRow:
        """Insert or advance the target's row; idempotent for the same claim. A tombstone gives way to what a person has
        chosen since. Raises Taken, Undone or Doubled."""
        links = self.ports.stores.links
        try:
            return await links.insert(reverse)
        except RowTaken:
            held = await links.get(reverse.pair, reverse.side, reverse.key)
        if held is None:
            raise Taken
        if held.state is LinkState.UNLINKED and row.reason == BY_HAND:
            return await _written(links.replace(replace(reverse, etag=held.etag)))
        if held.state is LinkState.UNLINKED:
            raise Undone
        if held.state is LinkState.LINKED and held.other != row.key:
            raise Doubled((held.other, reverse.key))
        if held.state is LinkState.LINKED:
            return held
        if not self._mine(held, row):
            raise Taken(self._wait(held))
        if reverse.state is LinkState.CREATING:
            return held
        return await _written(links.replace(replace(reverse, etag=held.etag)))

    # --- confirm and unlink ---

    async def confirm(
        self, row: LinkRow, target_key: str, base: Base, versions: tuple[str | None, str | None]
    ) -> LinkRow:
        """Make both rows a link: the target's row first, the claim last. Answers the home row.

        versions: of left and right. Repeating it after a crash finds the target's row linked already and goes on.
        """
        linked = replace(
            row,
            state=LinkState.LINKED,
            other=target_key,
            claim=None,
            reason="",
            linked_at=self._now,
            linked_by=self.prepared.transfer.name,
        )
        reverse = replace(linked, side=row.side.other, key=target_key, other=row.key, etag="")
        if row.other not in ("", target_key):  # an earlier try was about another record
            await self.give_up_reserved(row)
        if row.side is Side.LEFT:
            await self._put_reverse(row, reverse)
            return await _written(self.ports.stores.links.replace(self._home(linked, base, versions)))
        home = await self._put_reverse(row, self._home(reverse, base, versions))
        await _written(self.ports.stores.links.replace(linked))
        return home

    def _home(self, row: LinkRow, base: Base, versions: tuple[str | None, str | None]) -> LinkRow:
        write_back = bool(self.prepared.transfer.write_back)
        return replace(
            row, base=base.pack(), left_version=versions[0], right_version=versions[1], write_back=write_back
        )

    async def are_kept_apart(self, target_key: str, row: LinkRow) -> bool:
        """Whether a person has found the two to be different things."""
        left, right = (row.key, target_key) if row.side is Side.LEFT else (target_key, row.key)
        return await self.ports.stores.never_match.has(row.pair, left, right)

    async def free_target(self, target_key: str, row: LinkRow) -> bool:
        """Whether a record of the target may become this record's partner (it has no row, or one of this claim)."""
        held = await self.ports.stores.links.get(row.pair, row.side.other, target_key)
        if held is None:
            return True
        if held.state is LinkState.UNLINKED:
            raise Undone
        return held.other == row.key or held.state is LinkState.CREATING


async def undo_link(ports: Ports, home: LinkRow, reason: str) -> None:
    """Leave a tombstone on both rows of a link, with the next generation. Harmless to repeat; raises Taken on a
    race."""
    links = ports.stores.links
    tomb = replace(home, state=LinkState.UNLINKED, generation=home.generation + 1, reason=reason)
    tomb = replace(tomb, claim=None, base="", left_version=None, right_version=None, write_back=False)
    try:
        await links.replace(tomb)
        other = await links.get(home.pair, home.side.other, home.other) if home.other else None
        if other and other.state is not LinkState.UNLINKED:
            await links.replace(replace(other, state=LinkState.UNLINKED, generation=tomb.generation, reason=reason))
    except RowTaken:
        raise Taken from None


async def forget_link(ports: Ports, home: LinkRow) -> None:
    """Remove both rows of a link, without a tombstone: its record goes on as one without a partner. Harmless to
    repeat; raises Taken on a race."""
    links = ports.stores.links
    try:
        other = await links.get(home.pair, home.side.other, home.other)
        if other is not None and other.state is LinkState.LINKED and other.other == home.key:
            await links.delete(other)
        await links.delete(home)
    except RowTaken:
        raise Taken from None


async def exhume(ports: Ports, tomb: LinkRow) -> None:
    """Remove both tombstones of a link: what is there again goes on as a record without a partner. Harmless to repeat;
    raises Taken on a race."""
    links = ports.stores.links
    try:
        other = await links.get(tomb.pair, tomb.side.other, tomb.other) if tomb.other else None
        if other is not None and other.state is LinkState.UNLINKED and other.other == tomb.key:
            await links.delete(other)
        await links.delete(tomb)
    except RowTaken:
        raise Taken from None


async def finish_undoing(ports: Ports, tomb: LinkRow) -> None:
    """Bury the right row of a link whose home is a tombstone already: whoever undid it died half-way."""
    links = ports.stores.links
    if tomb.side is not Side.LEFT or tomb.state is not LinkState.UNLINKED or not tomb.other:
        return
    other = await links.get(tomb.pair, Side.RIGHT, tomb.other)
    if other is None or other.state is not LinkState.LINKED or other.other != tomb.key:
        return
    with suppress(RowTaken):
        reason, generation = tomb.reason, tomb.generation
        await links.replace(replace(other, state=LinkState.UNLINKED, generation=generation, reason=reason))
