"""What follows when one record of a link is gone, or counts as gone: the policy of the transfer whose source it was.

It makes no difference who told of it: a notice, a feed, the full compare, or a write that found nothing. The record
is asked for once more by its key, then counted at the brake, then the policy is followed. Only one transfer acts, that
whose source is gone; the other direction leaves it to that one, so that nothing is done or counted twice. Every step
finds out what an earlier try has done already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from shared.errors import RecordMissing
from shared.sync.brakes import Brake
from shared.sync.claims import Taken, undo_link
from shared.sync.context import Ports, Prepared
from shared.sync.creating import parked
from shared.sync.definition import OnDelete, Transfer
from shared.sync.moving import delete_part_or_record, hold
from shared.sync.other_direction import OtherDirection
from shared.sync.outcome import Kind, Outcome, Tell, Why
from shared.sync.planner import Action
from shared.sync.ports import FieldDecision, LinkRow, Side
from shared.sync.values import same_value

REPORTED = "CD-4306"
DELETED = "deleted"
"""The cause of a message about a record that a write of the other direction found gone."""


@dataclass(frozen=True)
class Deleting:
    """Follows the delete of one record of a link. `home` is the newest version of the link's home row."""

    ports: Ports
    prepared: Prepared
    run: str
    brake: Brake
    home: LinkRow
    tell: Tell

    async def source_gone(self) -> Outcome:
        """Do what the transfer's policy says; the source was just asked for by its key."""
        return await self._follow(Why.SOURCE_GONE, self._policy(self.prepared.transfer))

    async def source_ended(self) -> Outcome:
        """The same, of a source that is there and counts as deleted."""
        return await self._follow(Why.SOURCE_ENDED, self._policy(self.prepared.transfer))

    async def target_gone(self, *, told: bool) -> Outcome:
        """Leave it to the other direction, if that moves; else nobody would ever follow. told: it has heard of it."""
        others = OtherDirection(self.ports, self.prepared.definition, self.prepared.side.other)
        acting = await others.acting()
        if not acting:
            policy = self._policy(others.transfers[0]) if others.transfers else self.prepared.definition.on_delete
            await self._verify_target()
            follows = OnDelete.REPORT if policy is OnDelete.REPORT else OnDelete.UNLINK
            return await self._follow(Why.TARGET_GONE, follows)
        if not told:
            await self._verify_target()
            await others.tell(acting, self.home.key_on(self.prepared.side.other), DELETED, self.run)
        return Outcome(Kind.SKIPPED, Why.TARGET_GONE, other=self.home.key_on(self.prepared.side.other))

    def _policy(self, transfer: Transfer) -> OnDelete:
        return transfer.on_delete or self.prepared.definition.on_delete

    async def _verify_target(self) -> None:
        """Raise Taken if the record is there after all: a list or a notice was wrong, or it has just come back."""
        key = self.home.key_on(self.prepared.side.other)
        if key in await self.prepared.target.read(self.prepared.target_table, [key], ()):
            raise Taken(timedelta(seconds=5))

    async def _follow(self, why: Why, policy: OnDelete) -> Outcome:
        if policy is OnDelete.REPORT:
            return await self._reported()
        await self.brake.one_delete()
        home, key = self.home, self.home.key_on(self.prepared.side.other)
        fields = await self._set(self.prepared.transfer.set_on_delete) if policy is OnDelete.SET else []
        deleted = False
        if policy is OnDelete.DELETE:
            home = await hold(self.ports, home, self.run, why.value)
            deleted = await delete_part_or_record(self.prepared, key)
        outcome = Outcome(Kind.UPDATED if fields or deleted else Kind.SKIPPED, why, other=key, fields=fields)
        await self.tell(outcome)
        await undo_link(self.ports, home, why.value)
        await self._close_parked()
        return outcome

    # --- set: the partner gets values ---

    async def _set(self, values: Mapping[str, str]) -> Sequence[FieldDecision]:
        """Give the partner those of the values that it does not have; a partner that is gone as well needs none."""
        prepared, key = self.prepared, self.home.key_on(self.prepared.side.other)
        target = (await prepared.target.read(prepared.target_table, [key], list(values))).get(key)
        if target is None:
            return []
        wanted = {name: text or None for name, text in values.items() if not same_value(target.values.get(name), text)}
        if wanted:
            with suppress(RecordMissing):
                await prepared.target.update(prepared.target_table, key, wanted, list(wanted), version=target.version)
        return [self._told(name) for name in wanted]

    def _told(self, column: str) -> FieldDecision:
        left, right = (column, "") if self.prepared.side is Side.RIGHT else ("", column)
        return FieldDecision(left, right, Action.WRITE.value, "its partner was deleted")

    # --- report: nothing is done ---

    async def _reported(self) -> Outcome:
        """Park the source's record for a person; the link stays. Counted once, however often it is met again."""
        side = self.prepared.side
        known = await self.ports.stores.parked.get(self.prepared.transfer.name, side, self.home.key_on(side))
        if known is None or known.code != REPORTED:
            await self.brake.one_delete()
        return parked(REPORTED, others=(self.home.key_on(side.other),))

    async def _close_parked(self) -> None:
        """What waited for a person is about a link that is no more."""
        for name in filter(None, self.home.parked.split(",")):
            for side in Side:
                await self.ports.stores.parked.remove(name, side, self.home.key_on(side))
