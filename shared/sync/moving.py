"""What follows when a part of another record gets another owner: it goes away there, and is made anew here.

A part's key begins with its owner's (a contact person of a customer), so it cannot be changed into the part of another
one. The link is marked and held first, then the part is deleted, then the link is forgotten: no tombstone, so that the
record goes on as one without a partner, now or when its new owner gets one. A run that dies in between leaves the
mark, and the next one finishes. The part is never there twice.

The owner may have lost its own link instead, because a person has undone it: then the part stays where it is and
belongs to the other system, as its owner does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.sync.brakes import Brake
from shared.sync.claims import Taken, forget_link
from shared.sync.context import Ports, Prepared
from shared.sync.definition import FieldRule
from shared.sync.outcome import Kind, Outcome, Tell, Why
from shared.sync.planner import Action
from shared.sync.ports import Claim, FieldDecision, LinkRow, Record, RowTaken, Unlinked, Value
from shared.sync.values import same_value

MOVING = "moving to another owner"
"""The reason of a link whose part is being deleted because the record belongs to another owner now."""
REMOVED = "it has another owner, removed at the former one"


class Moved(Exception):
    """The record has left its owner, and its link is forgotten; it goes on as one without a partner."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.why.value)
        self.outcome = outcome


class OwnerUnlinked(Exception):
    """The owner's own link was undone: nothing is written into its parts any more."""


def owner_rule(prepared: Prepared) -> FieldRule | None:
    """The line whose column of the target names the owner; None where the target's records are parts of none."""
    owner = prepared.capabilities.owner
    return next((rule for rule in prepared.rules if owner and rule.column(prepared.side.other) == owner), None)


def has_moved(rule: FieldRule, prepared: Prepared, source: Record, target: Record) -> bool:
    """Whether the source names another owner than the part has, or none; raises OwnerUnlinked."""
    here, there = source.values.get(rule.column(prepared.side)), target.values.get(rule.column(prepared.side.other))
    if not isinstance(here, Unlinked):
        return not same_value(here, there)
    if here.former and here.former == there:
        raise OwnerUnlinked
    return True


def is_elsewhere(prepared: Prepared, source: Record, target: Record) -> bool:
    """Whether a part that was just found or made belongs to another owner than the source names by now."""
    rule = owner_rule(prepared)
    try:
        return rule is not None and not prepared.capabilities.immutable and has_moved(rule, prepared, source, target)
    except OwnerUnlinked:
        return False


async def delete_part_or_record(prepared: Prepared, key: str) -> bool:
    """Delete a record of the target; answers whether it was there. A part of an owner that is not linked (any more)
    belongs to its system and stays."""
    owner = prepared.capabilities.owner
    found = (await prepared.target.read(prepared.target_table, [key], [owner] if owner else [])).get(key)
    if found is None or isinstance(found.values.get(owner), Unlinked):
        return False
    await prepared.target.delete(prepared.target_table, key)
    return True


async def hold(ports: Ports, home: LinkRow, run: str, reason: str) -> LinkRow:
    """Take the lease of a link before something that cannot be undone; raises Taken while another run has it, or when
    the link was changed or undone since it was read."""
    now, held = ports.clock.now(), home.claim
    if held and held.lease_until > now and held.owner != run:
        raise Taken(held.lease_until - now)
    claim = Claim(run, run, now + ports.timing.lease)
    try:
        return await ports.stores.links.replace(replace(home, claim=claim, reason=reason))
    except RowTaken:
        raise Taken from None


@dataclass(frozen=True)
class Moving:
    """Takes a part away from its former owner. `home` is the newest version of the link's home row."""

    ports: Ports
    prepared: Prepared
    run: str
    brake: Brake
    home: LinkRow
    tell: Tell

    async def away(self, rule: FieldRule, there: Value) -> Outcome:
        """Count it as a delete, mark the link, delete, forget; every step may be repeated."""
        if self.home.reason != MOVING and not isinstance(there, Unlinked):
            await self.brake.one_delete()
        return await self.finish(rule)

    async def finish(self, rule: FieldRule) -> Outcome:
        """Go on where a run has marked the link, this one or an earlier one."""
        home = await hold(self.ports, self.home, self.run, MOVING)
        key = home.key_on(self.prepared.side.other)
        await delete_part_or_record(self.prepared, key)
        told = FieldDecision(rule.left, rule.right, Action.WRITE.value, REMOVED)
        outcome = Outcome(Kind.UPDATED, Why.MOVED, other=key, fields=[told])
        await self.tell(outcome)
        await forget_link(self.ports, home)
        return outcome
