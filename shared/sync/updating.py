"""The way of a linked record: the target's version first, then the source, three-way plan, conditional write, remember.

In the steady state that is one read of the source and one write to the target; an echo is one read and no write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.errors import NotAllowed, NotSetUp, RecordMissing, Refused, UnknownResult, VersionConflict
from shared.sync.brakes import Brake
from shared.sync.claims import Taken
from shared.sync.context import Ports, Prepared
from shared.sync.creating import Linked, problem_outcome
from shared.sync.definition import FieldRule, Master
from shared.sync.deleting import Deleting
from shared.sync.editors import with_editor
from shared.sync.edits import who_of
from shared.sync.fingerprint import Base
from shared.sync.merging import Merged
from shared.sync.moving import MOVING, Moved, Moving, OwnerUnlinked, has_moved, owner_rule
from shared.sync.other_direction import OtherDirection
from shared.sync.outcome import Kind, Outcome, Tell, Why
from shared.sync.planner import Action, Decision, NeedsTarget, Plan, Reason, agree, converted, plan_update
from shared.sync.ports import (
    Claim,
    FieldDecision,
    LinkRow,
    LinkState,
    Record,
    RowTaken,
    Side,
    Untold,
    Value,
    VersionKind,
)
from shared.sync.qualifying import counts_as_gone
from shared.sync.references import Referring
from shared.sync.values import Unfit, canonical, is_blank, same_value
from shared.sync.vouching import vouched

_ROUNDS = 4
MOVED = "moved"
"""The cause of a message about a record whose part is on its way to another owner."""


class SourceGone(Exception):
    """The source's record does not exist any more."""


class SourceEnded(Exception):
    """The source's record is there and counts as deleted."""


class TargetGone(Exception):
    """The target's record does not exist any more."""


@dataclass
class Updating:
    """Brings the target of one link up to date. `home` is the newest version of the link's home row.

    editor: the last edit of the source that the message tells of. from_afar: the message is about the target's record;
    what has to begin at the source is left to its own message. _sent: what this run has written, or may have written
    where an answer was lost, by the names of the fields.
    """

    ports: Ports
    prepared: Prepared
    run: str
    brake: Brake
    home: LinkRow
    tell: Tell
    editor: str = ""
    from_afar: bool = False
    _put_back: dict[bytes, int] = field(default_factory=dict)
    _sent: dict[tuple[str, str], FieldDecision] = field(default_factory=dict)

    @property
    def _owes_write_back(self) -> bool:
        """Whether this transfer made the link and has not written back yet."""
        return self.home.write_back and self.home.linked_by == self.prepared.transfer.name

    @property
    def _source_key(self) -> str:
        return self.home.key_on(self.prepared.side)

    @property
    def _target_key(self) -> str:
        return self.home.key_on(self.prepared.side.other)

    @property
    def _base(self) -> Base:
        return Base.unpack(self.home.base, self.home.key, self.ports.prints)

    async def from_source(self, source: Record | None) -> Outcome:
        """The source may have changed; it was read after the home row, and is asked for again if it was not found.

        Raises Moved once the record has left its owner.
        """
        return await self._kept(source, None)

    async def from_target(self, target: Record | None) -> Outcome:
        """The target may have changed: put back what it does not master. An echo costs the one read that was done."""
        if self.home.reason == MOVING:
            return await self._left_to_the_source()
        if target is None:
            return await self._deleting.target_gone(told=True)
        self._refuse_merged(None, target)
        known = target.version is not None and target.version == self._version_of(self.prepared.side.other)
        if not self._owes_write_back and self._is_untouched(target):
            return self._unchanged() if known else await self._seen(target)
        return await self._kept(None, target, both=True)

    async def from_linked(self, link: Linked) -> Outcome:
        """The link was just made: write back, and bring both records together; or the source has gone meanwhile."""
        return await self._kept(link.source, link.target, both=True)

    # --- parts that get another owner ---

    async def _stays(self, source: Record, target: Record | None) -> bool:
        """Whether the target's record is a part of the owner that the source names; raises Moved or OwnerUnlinked where
        it is not, and NeedsTarget while that cannot be told."""
        rule = owner_rule(self.prepared)
        if rule is None or self.prepared.capabilities.immutable:
            return True
        if self._base.is_same(rule, self.prepared.side, source.values.get(rule.column(self.prepared.side))):
            return True
        if target is None:
            raise NeedsTarget
        if not has_moved(rule, self.prepared, source, target):
            return True
        if self.from_afar:
            return False
        raise Moved(await self._away(target))

    async def _away(self, target: Record | None) -> Outcome:
        rule = owner_rule(self.prepared)
        assert rule is not None, "only parts get another owner"
        moving = Moving(self.ports, self.prepared, self.run, self.brake, self.home, self.tell)
        there = target.values.get(rule.column(self.prepared.side.other)) if target else None
        return await moving.away(rule, there)

    async def _left_to_the_source(self) -> Outcome:
        """The part is on its way to another owner: told of the source's record, this transfer goes on with it."""
        await self._release()
        others = OtherDirection(self.ports, self.prepared.definition, self.prepared.side)
        await others.tell([self.prepared.transfer], self._source_key, MOVED, self.run)
        return Outcome(Kind.SKIPPED, Why.MOVED, other=self._target_key)

    async def _seen(self, target: Record) -> Outcome:
        """Only what we do not watch has changed: remember the version, so that our next write names the right one.

        Where the other direction has yet to carry something it is not, for the walk would pass it over; and the row is
        left alone, because the other direction's run is about to write it.
        """
        versioned = self._with_version(self.home, self._base, self.prepared.side.other, target)
        if versioned == self.home or versioned.version_on(self.prepared.side.other) is None:
            return self._unchanged()
        try:
            await self.ports.stores.links.replace(versioned)
        except RowTaken:
            raise Taken from None
        return self._unchanged()

    def _is_untouched(self, target: Record) -> bool:
        side, base = self.prepared.side.other, self._base
        watched = [rule for rule in self.prepared.rules if rule.master_linked in {self._me, Master.BOTH}]
        return all(base.is_same(rule, side, target.values.get(rule.column(side))) for rule in watched)

    @property
    def _me(self) -> Master:
        return Master(self.prepared.side.value)

    def _unchanged(self) -> Outcome:
        return Outcome(Kind.UNCHANGED, Why.ECHO, other=self._target_key)

    async def _kept(self, source: Record | None, target: Record | None, *, both: bool = False) -> Outcome:
        """Write and remember, starting over as long as somebody else is faster; leased where the target has no
        versions."""
        try:
            leased = await self._lease()
            for _ in range(_ROUNDS):
                try:
                    if self.home.reason == MOVING:
                        raise Moved(await self._away(None))
                    unsure = self._version_of(self.prepared.side.other) is None
                    if target is None and (both or leased or unsure or self._owes_write_back or self._base.is_old):
                        target = await self._read(self.prepared.side.other)
                    if source is None:
                        source = await self._read(self.prepared.side)
                    return await self._once(source, target)
                except NeedsTarget:
                    both, source, target = True, None, None
                except (VersionConflict, UnknownResult, RowTaken):
                    both, source, target = True, None, None
                    await self._reload()
                except RecordMissing:
                    return await self._deleting.target_gone(told=False)
            return Outcome(Kind.DEFERRED, Why.BUSY, delay=timedelta(seconds=5), burns_attempt=False)
        except OwnerUnlinked:
            await self._release()
            return Outcome(Kind.SKIPPED, Why.NO_PARTNER, other=self._target_key)
        except SourceGone:
            return await self._deleting.source_gone()
        except SourceEnded:
            return await self._deleting.source_ended()
        except TargetGone:
            return await self._deleting.target_gone(told=False)

    async def _once(self, source: Record, target: Record | None) -> Outcome:
        self._refuse_stale(source)
        self._refuse_merged(source, target)
        if counts_as_gone(self.prepared, source):
            raise SourceEnded
        if not await self._stays(source, target):
            return await self._left_to_the_source()
        source = await self._with_editor(source)
        plan, base = self._plan(source, target), self._base
        values = target.values if target else None
        if plan.overruled and target is not None:
            plan = await self._overruling(plan, target)
        if plan.writes:
            await self.brake.one_change(plan.blanks)
            if plan.overruled:  # afterwards nothing may differ any more that tells of it
                fields = plan.told(base, values)
                await self.tell(Outcome(Kind.UNCHANGED, Why.REPLACING, other=self._target_key, fields=fields))
            plan, target = await self._written(plan, target)
        outcome = self._outcome(plan, plan.told(base, values))
        if self._has_news(plan, source, target):
            if outcome.fields:
                await self.tell(outcome)
            await self._remember(plan, source, target)
        if self._owes_write_back:
            return await self._write_back(source, target or await self._read(self.prepared.side.other), outcome)
        return outcome

    async def _with_editor(self, source: Record) -> Record:
        """The source with the last person who changed it, where a field is to hold that."""
        rule, connector = self.prepared.definition.editor_rule(self.prepared.side), self.prepared.source
        if rule is None or not isinstance(connector, Referring):
            return source
        source, self.editor = await with_editor(
            rule, self.prepared.side, source, self.home.editor, self.editor, connector
        )
        return source

    def _outcome(self, plan: Plan, told: Sequence[FieldDecision]) -> Outcome:
        """How the run ends, with all that it has written in this and in earlier rounds."""
        last = {(one.left, one.right): one for one in told}
        agrees = {name for name, one in last.items() if one.reason == Reason.AGREES.value}
        earlier = {name: one for name, one in self._sent.items() if name not in last.keys() - agrees}
        fields = list((last | earlier).values())
        if plan.problems:
            outcome = replace(problem_outcome(plan, None, None), fields=fields)
            missing = [who_of(self.editor)] if plan.problems[0].reason is Reason.NO_EDITOR else []
            return replace(outcome, others=missing)
        if self._sent:
            return Outcome(Kind.UPDATED, Why.CHANGED, other=self._target_key, fields=fields)
        why = Why.AGREED if agrees else Why.ECHO
        if any(one.reason == Reason.IMMUTABLE.value for one in last.values()):
            why = Why.IMMUTABLE
        return Outcome(Kind.UNCHANGED, why, other=self._target_key, fields=fields)

    async def _overruling(self, plan: Plan, target: Record) -> Plan:
        """Before somebody's edit is overwritten: stop where it never ends, and leave a note of what is replaced."""
        decisions = [await self._patient(one) if one in plan.overruled else one for one in plan.decisions]
        plan = Plan(plan.source, decisions)
        if self.prepared.capabilities.notes:
            await self._note(plan.overruled, target)
            return plan
        return Plan(plan.source, [_parked_if_won(one) for one in plan.decisions])

    async def _patient(self, decision: Decision) -> Decision:
        """Count a put-back, once per run; one too many a day parks the field."""
        if decision.reason is not Reason.PUT_BACK:
            return decision
        rule, limit = decision.rule, self.prepared.definition.brakes.put_backs_per_day
        name = f"put back|{self.home.pair}|{self.home.key}|{rule.id.hex()}"
        if rule.id not in self._put_back:
            day = f"{self.ports.clock.now():%Y%m%d}"
            self._put_back[rule.id] = await self.ports.stores.counters.add(name, day, 1)
        if self._put_back[rule.id] <= limit:
            return decision
        return replace(decision, action=Action.PARK, code="CD-4011", value=None)

    async def _note(self, overruled: Sequence[Decision], target: Record) -> None:
        """The replaced values stay readable on their own record; the same replacement is noted once."""
        side, base = self.prepared.side.other, self._base
        for decision in overruled:
            column = decision.rule.column(side)
            value = target.values.get(column)
            if is_blank(value):
                continue
            told = base.prints.of(base.salt, decision.rule, side, value).hex()
            subject = f"Crossdock replaced the value of {column}"
            text = f"{column} held: {canonical(value)}\n{decision.reason.value}: {self.prepared.source.system}"
            seed = f"{self.home.pair}|{self.home.key}|{column}|{told}"
            await self.prepared.target.note(self.prepared.target_table, self._target_key, seed, subject, text)

    async def _written(self, plan: Plan, target: Record | None) -> tuple[Plan, Record | None]:
        """Write the plan; if the system refuses it, write field by field, so that one bad value holds up no other."""
        try:
            return plan, await self._write(plan, target)
        except NotAllowed:
            raise
        except Refused as refused:
            if len(plan.writes) > 1 and (named := self._named(plan, refused)):
                return await self._written_without(named, plan, refused, target)
            decisions = []
            for decision in plan.decisions:
                if decision.action is Action.WRITE:
                    decision, target = await self._written_alone(decision, target)
                decisions.append(decision)
            return Plan(plan.source, decisions), target

    def _named(self, plan: Plan, refused: Refused) -> Decision | None:
        """The one write that the system names as the reason."""
        side = self.prepared.side.other
        writes = (one for one in plan.decisions if one.action is Action.WRITE)
        return next((one for one in writes if one.rule.column(side) == refused.answer.field), None)

    async def _written_without(
        self, named: Decision, plan: Plan, refused: Refused, target: Record | None
    ) -> tuple[Plan, Record | None]:
        """The others once more, together."""
        decisions = [_refused(one, refused) if one is named else one for one in plan.decisions]
        return await self._written(Plan(plan.source, decisions), target)

    async def _written_alone(self, decision: Decision, target: Record | None) -> tuple[Decision, Record | None]:
        try:
            return decision, await self._write(Plan(self.prepared.side, [decision]), target)
        except Refused as refused:
            return _refused(decision, refused), target

    def _plan(self, source: Record, target: Record | None) -> Plan:
        values = target.values if target else None
        plan = plan_update(
            self.prepared.side,
            self.prepared.rules,
            self._base,
            source.values,
            values,
            self.prepared.lengths,
            self.prepared.definition.foreign_edit,
        )
        if not self.prepared.capabilities.immutable or plan.is_quiet:
            return plan
        if target is None:
            raise NeedsTarget
        return plan.immutable()

    def _refuse_stale(self, source: Record) -> None:
        """A lagging replica must never bring an old value back."""
        known = self._version_of(self.prepared.side)
        kind = self.prepared.source.capabilities(self.prepared.source_table).version
        if kind is VersionKind.ORDERED and _order(source.version) < _order(known):
            raise Taken(timedelta(seconds=5))

    def _refuse_merged(self, source: Record | None, target: Record | None) -> None:
        """Nothing goes into or out of a record that was merged into another one; raises Merged."""
        if source is not None and source.merged_into is not None:
            raise Merged(self.prepared.side, source)
        if target is not None and target.merged_into is not None:
            raise Merged(self.prepared.side.other, target)

    def _version_of(self, side: Side) -> str | None:
        return self.home.version_on(side)

    async def _read(self, side: Side) -> Record:
        connector, key = self.prepared.connector(side), self.home.key_on(side)
        table = self.prepared.definition.table(side).table
        record = (await connector.read(table, [key], self.prepared.columns(side))).get(key)
        if record is None:
            raise SourceGone if side is self.prepared.side else TargetGone
        return record

    async def _write(self, plan: Plan, target: Record | None) -> Record:
        prepared, side = self.prepared, self.prepared.side.other
        version = target.version if target else self._version_of(side)
        told = plan.told(self._base, target.values if target else None)
        table, columns = prepared.target_table, prepared.target_columns
        try:
            written = await prepared.target.update(table, self._target_key, plan.writes, columns, version=version)
        except UnknownResult:
            self._note_sent(told)
            raise
        self._note_sent(told)
        return written

    def _note_sent(self, told: Sequence[FieldDecision]) -> None:
        self._sent |= {(one.left, one.right): one for one in told if one.action == Action.WRITE.value}

    # --- remembering ---

    def _has_news(self, plan: Plan, source: Record, target: Record | None) -> bool:
        """Whether there is something to remember: what was written or found to agree; nothing for a plain echo."""
        flag = bool(plan.problems) != self._is_parked
        moved = target is not None and self._with_versions(self.home, self._base, source, target) != self.home
        unsure = self._version_of(plan.source) is None
        settled = unsure and self._with_version(self.home, self._base, plan.source, source) != self.home
        edited = bool(self.editor) and self.editor != self.home.editor
        beside = flag or moved or settled or edited or self._base.is_old
        return bool(plan.writes) or plan.news or self._is_leased or beside

    async def _remember(self, plan: Plan, source: Record, target: Record | None) -> None:
        """Advance base and versions after the write; raises RowTaken if another run was faster, and all is read
        again."""
        if not plan.problems and self._is_parked:
            await self._close_parked()
        base = self._base.with_values(_agreed_values(plan, source, target)).only(self.prepared.rules)
        if target is not None:
            sides = {plan.source: source.values, plan.source.other: target.values}
            base = base.renewed(self.prepared.rules, sides)
        home = replace(self.home, base=base.pack(), claim=None, reason="", editor=self.editor or self.home.editor)
        home = with_parked(home, self.prepared.transfer.name, waits=bool(plan.problems))
        home = self._with_version(home, base, self.prepared.side, source)
        if target is not None:
            home = self._with_version(home, base, self.prepared.side.other, target)
        self.home = await self.ports.stores.links.replace(home)

    @property
    def _is_parked(self) -> bool:
        return self.prepared.transfer.name in self.home.parked.split(",")

    async def _close_parked(self) -> None:
        """The record has been transferred: what waited for a person is superseded."""
        parked, name, side = self.ports.stores.parked, self.prepared.transfer.name, self.prepared.side
        await parked.remove(name, side, self._source_key)
        await parked.remove(name, side.other, self._target_key)

    def _with_versions(self, home: LinkRow, base: Base, source: Record, target: Record) -> LinkRow:
        home = self._with_version(home, base, self.prepared.side, source)
        return self._with_version(home, base, self.prepared.side.other, target)

    def _with_version(self, home: LinkRow, base: Base, side: Side, record: Record) -> LinkRow:
        version = vouched(self.prepared.definition, base, side, record)
        return replace(home, left_version=version) if side is Side.LEFT else replace(home, right_version=version)

    async def _reload(self) -> None:
        fresh = await self.ports.stores.links.get(self.home.pair, Side.LEFT, self.home.key)
        if fresh is None or fresh.state is not LinkState.LINKED or fresh.other != self.home.other:
            raise Taken
        self.home = fresh

    # --- what the target created goes into the source ---

    async def _write_back(self, source: Record, target: Record, outcome: Outcome) -> Outcome:
        """Put the target's own values (its number, say) into the source at once; part of making the link."""
        side, rules = self.prepared.side, self._write_back_rules()
        held = {column: value for column, value in source.values.items() if not is_blank(value)}
        told = self._told_back([one for one in rules if self._base.agreed(one) is None], source, held)
        for _ in range(_ROUNDS):
            values = _differing(rules, side, source, target)
            try:
                if values:
                    told |= self._told_back(rules, source, values)
                    table, columns = self.prepared.source_table, self.prepared.source_columns
                    source = await self.prepared.source.update(
                        table, source.key, values, columns, version=source.version
                    )
                if told:
                    outcome = _wrote_too(outcome, list(told.values()))
                    await self.tell(outcome)
                await self._written_back(rules, source, target)
                return outcome
            except (VersionConflict, UnknownResult):
                target, source = await self._read(side.other), await self._read(side)
        raise Taken(timedelta(seconds=5))

    def _write_back_rules(self) -> Sequence[FieldRule]:
        wanted = set(self.prepared.transfer.write_back)
        return [rule for rule in self.prepared.rules if rule.column(self.prepared.side) in wanted]

    def _told_back(
        self, rules: Sequence[FieldRule], source: Record, values: Mapping[str, Value]
    ) -> dict[str, FieldDecision]:
        """What the journal says of values that go back, by their columns; and of those that an earlier run has brought
        back and could not tell of."""
        side, base, told = self.prepared.side, self._base, dict[str, FieldDecision]()
        for rule in (one for one in rules if one.column(side) in values):
            column, of = rule.column(side), base.prints.of
            before, after = (of(base.salt, rule, side, one.get(column)).hex() for one in (source.values, values))
            action, reason = (Action.KEEP, Reason.AGREES) if before == after else (Action.WRITE, Reason.WRITTEN_BACK)
            told[column] = FieldDecision(rule.left, rule.right, action.value, reason.value, before, after)
        return told

    async def _written_back(self, rules: Sequence[FieldRule], source: Record, target: Record) -> None:
        left, right = (source, target) if self.prepared.side is Side.LEFT else (target, source)
        agreed = {rule.id for rule in agree(rules, left.values, right.values)}
        values = ((r, left.values.get(r.left), right.values.get(r.right)) for r in rules if r.id in agreed)
        base = self._base.with_values(values)
        home = self._with_versions(replace(self.home, base=base.pack(), write_back=False), base, source, target)
        self.home = await self.ports.stores.links.replace(home)

    # --- leases, for targets without versions ---

    @property
    def _is_leased(self) -> bool:
        return self.home.claim is not None

    async def _lease(self) -> bool:
        """Hold the link while a target without versions is read and written; raises Taken while another run does."""
        if self.prepared.capabilities.version is not VersionKind.NONE:
            return False
        now = self.ports.clock.now()
        held = self.home.claim
        if held and held.lease_until > now and held.owner != self.run:
            raise Taken(min(held.lease_until - now, timedelta(seconds=10)))
        claim = Claim(self.run, self.run, now + self.ports.timing.lease)
        try:
            self.home = await self.ports.stores.links.replace(replace(self.home, claim=claim))
        except RowTaken:
            raise Taken from None
        return True

    async def _release(self) -> None:
        """Give the lease back where nothing is to be remembered."""
        if self._is_leased:
            with suppress(RowTaken):
                self.home = await self.ports.stores.links.replace(replace(self.home, claim=None))

    @property
    def _deleting(self) -> Deleting:
        return Deleting(self.ports, self.prepared, self.run, self.brake, self.home, self.tell)


def _refused(decision: Decision, refused: Refused) -> Decision:
    """The field that the system refuses, parked."""
    hint = f"it answered with its code {refused.answer.vendor_code}" if refused.answer.vendor_code else ""
    code = "CD-4008"
    if isinstance(refused, NotSetUp):
        code, hint = "CD-4022", refused.detail
    return replace(decision, action=Action.PARK, reason=Reason.UNFIT, code=code, hint=hint)


def _parked_if_won(decision: Decision) -> Decision:
    """A shared field's losing value is not overwritten where no note can keep it."""
    if decision.action is not Action.WRITE or decision.reason is not Reason.WON:
        return decision
    hint = "the losing system takes no notes that could keep the value; make both sides hold the same"
    return replace(decision, action=Action.PARK, reason=Reason.CONFLICT, code="CD-4010", hint=hint)


def with_parked(home: LinkRow, transfer: str, *, waits: bool) -> LinkRow:
    """The home row with or without the note that a transfer's item waits for a person."""
    names = {name for name in home.parked.split(",") if name and name != transfer}
    return replace(home, parked=",".join(sorted(names | {transfer} if waits else names)))


def _wrote_too(outcome: Outcome, fields: Sequence[FieldDecision]) -> Outcome:
    """The outcome of a run that has also written into its source."""
    if outcome.kind is Kind.UNCHANGED and any(one.action == Action.WRITE.value for one in fields):
        outcome = replace(outcome, kind=Kind.UPDATED, why=Why.CHANGED)
    return replace(outcome, fields=[*outcome.fields, *fields])


def _differing(rules: Sequence[FieldRule], side: Side, source: Record, target: Record) -> dict[str, Value]:
    """Source columns that lack the target's value; one that does not fit is left to the other direction, which
    parks it."""
    values: dict[str, Value] = {}
    for rule in rules:
        with suppress(Unfit):
            value = converted(rule, side.other, target.values)
            if not same_value(source.values.get(rule.column(side)), value):
                values[rule.column(side)] = value
    return values


def _agreed_values(plan: Plan, source: Record, target: Record | None) -> Iterator[tuple[FieldRule, Value, Value]]:
    """Left and right value of every field that agrees now: as the target answered, or as it was known to be."""
    for decision in plan.agreed:
        rule = decision.rule
        here = source.values.get(rule.column(plan.source))
        there = target.values.get(rule.column(plan.source.other)) if target else decision.value
        there = decision.value if isinstance(there, Untold) else there
        yield (rule, here, there) if plan.source is Side.LEFT else (rule, there, here)


def _order(version: str | None) -> int:
    """The number inside an ordered version (a Dataverse etag holds the row version); missing counts as oldest."""
    digits = "".join(character for character in version or "" if character.isdigit())
    return int(digits or 0)
