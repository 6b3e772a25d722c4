"""The way of a record without a partner: claim, look up, create or link, catch up, confirm, write back.

The order is the one that an exhaustive exploration of all interleavings found free of duplicates (docs/decisions):
claim first, look up before anything that may repeat a create, never a blind second create, confirm after the target
has answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.errors import AlreadyExists, ConnectorError, CrossdockError, UnknownResult, WrongEnvironment
from shared.sync.brakes import Brake
from shared.sync.claims import BY_HAND, MERGED, Claims, Doubled, MatchKey, Taken, Undone
from shared.sync.context import Ports, Prepared
from shared.sync.definition import FieldRule, IfUnlinked
from shared.sync.fingerprint import Base, Fingerprints, Sent
from shared.sync.matching import Ambiguous, find_partner, hits_of, match_keys, note_match_keys
from shared.sync.outcome import Kind, Outcome, Tell, Why
from shared.sync.planner import Decision, Plan, agree, alike, is_as_before, plan_behind, plan_caught_up, plan_create
from shared.sync.ports import LinkRow, LinkState, Record, Side, Value
from shared.sync.problems import PROBLEMS
from shared.sync.scoring import scored
from shared.sync.values import is_blank
from shared.sync.vouching import vouched

_SIMILAR_LOOKED_AT = 2000
"""How many records of the target's feed are compared with what we sent before a person is asked."""

_CANDIDATES_SHOWN = 20
"""More than these nobody compares by hand."""


class NumbersTaken(Exception):
    """Every number we chose belongs to another record."""


@dataclass(frozen=True)
class Linked:
    """A link that was just made: its home row, and both records as last seen (the target's version is the older
    reading). source: None if it was deleted meanwhile."""

    home: LinkRow
    source: Record | None
    target: Record


@dataclass(frozen=True)
class Creating:
    """Creates or links the partner of one source record.

    announce: tells the other direction's transfers of a new link. tell_dependents: tells the transfers of records that
    refer to this one. tell: journals the outcome. if_unlinked: what may be done for the record.
    """

    ports: Ports
    prepared: Prepared
    run: str
    brake: Brake
    announce: Callable[[Side, str], Awaitable[None]]
    tell_dependents: Callable[[Mapping[Side, str]], Awaitable[None]]
    tell: Tell
    if_unlinked: IfUnlinked = IfUnlinked.MATCH_OR_CREATE

    @property
    def claims(self) -> Claims:
        return Claims(self.ports, self.prepared, self.run)

    async def partner(self, source: Record, row: LinkRow | None) -> tuple[Outcome, Linked | None]:
        """Give the record a partner; answers the outcome and, once linked, the link."""
        plan = plan_create(self.prepared.side, self.prepared.rules, source.values, self.prepared.lengths)
        unsent = row is None or row.claim is None or not row.claim.sent
        if unsent and (held_up := self.held_up(plan, source)):
            return held_up, None
        chosen = row.claim.chosen if row and row.claim else ""
        held, repeated = await self.claims.claim(source.key, row, chosen or await self.choose())
        return await _Claimed(self, source, held, plan, repeated, repeated).finish()

    def held_up(self, plan: Plan, source: Record) -> Outcome | None:
        """What keeps the record from being created: a value, a missing one, or one it refers to that has no partner."""
        if plan.problems:
            return problem_outcome(plan, None, None)
        missing = [name for name in self.prepared.transfer.require if is_blank(source.values.get(name))]
        if missing:
            outcome = parked("CD-4020", field=missing[0])
            return replace(outcome, remedy=f"{outcome.remedy} (missing: {', '.join(missing)})")
        if any(one.rule.reference and one.rule.reference.needed for one in plan.waits) or self.lacks_owner(plan):
            return Outcome(Kind.SKIPPED, Why.NO_PARTNER, fields=plan.told(None, None))
        return None

    def lacks_owner(self, plan: Plan) -> bool:
        """Whether the target's records are parts of others, and the source names none that has a partner."""
        owner = self.prepared.capabilities.owner
        return bool(owner) and is_blank(plan.writes.get(owner))

    async def choose(self) -> str:
        """A number of our own series for the target's enforced column; empty where the target gives its own."""
        choose = self.prepared.transfer.choose_key
        if choose is None:
            return ""
        number = await self.ports.stores.numbers.next(f"{self.prepared.pair}|{choose.column}|{choose.prefix}")
        return f"{choose.prefix}{number:0{choose.digits}d}"

    def will_send(self, plan: Plan, key: str, prints: Fingerprints) -> Sent:
        """What a create of this plan sends, by which our own create is recognised later."""
        return Sent.of(key, {column: value for column, value in plan.writes.items() if not is_blank(value)}, prints)


@dataclass
class _Claimed:
    """One claimed record on its way to a link. `row` is the newest version of the claim.

    repeated: a create may have been executed already, by an earlier run or by this one; earlier: by an earlier run.
    found: the partner was looked up after a create and may have been edited since.
    """

    way: Creating
    source: Record
    row: LinkRow
    plan: Plan
    repeated: bool
    earlier: bool
    found: bool = False

    @property
    def _prepared(self) -> Prepared:
        return self.way.prepared

    @property
    def _claims(self) -> Claims:
        return self.way.claims

    @property
    def _keys(self) -> list[MatchKey]:
        assert self.row.claim is not None
        return match_keys(self._prepared, self.way.ports.prints, self.source.values, self.row.claim.chosen)

    async def finish(self) -> tuple[Outcome, Linked | None]:
        """Run the steps; whatever interrupts them leaves a claim from which the next run can go on."""
        try:
            await self._claims.take_keys(self.row, self._keys)
            return await self._linked()
        except Taken:
            await self._step_back()
            raise
        except UnknownResult:
            await self._claims.let_go(self.row, sent=True)
            return self._unsure(), None
        except Ambiguous as unclear:
            await self._step_back()
            return self._put_before_a_person(unclear), None
        except (Doubled, Undone) as clash:
            await self._step_back()
            others = clash.others if isinstance(clash, Doubled) else ()
            return parked("CD-4302" if others else "CD-4304", others=others), None
        except NumbersTaken:
            await self._step_back()
            return parked("CD-4202"), None
        except (ConnectorError, WrongEnvironment):
            await self._step_back()
            raise

    def _put_before_a_person(self, unclear: Ambiguous) -> Outcome:
        """Parked with the records in question, each with its score."""
        found = scored(self._prepared.definition, self.row.side, self.source, unclear.found)
        candidates = found[:_CANDIDATES_SHOWN]
        outcome = parked(unclear.code, others=[one.key for one in candidates])
        return replace(outcome, candidates=candidates)

    async def _step_back(self) -> None:
        """Nothing of ours can have been created unless an earlier try may have: then keep the claim, else give it
        back."""
        if self.repeated:
            await self._claims.let_go(self.row, sent=True)
        else:
            await self._claims.give_back(self.row, self._keys)

    async def _linked(self) -> tuple[Outcome, Linked | None]:
        ours = await self._ours() if self.repeated else None
        if ours:
            self.found = True
            return await self._confirmed(ours, Why.LINKED if self._is_by_hand else Why.FOUND_OURS)
        if self._is_by_hand:
            await self._claims.give_back(self.row, self._keys)
            return parked("CD-4305"), None
        if self.repeated and not await self._surely_not_created():
            await self._claims.let_go(self.row, sent=True)
            return self._unsure(), None
        if self.way.if_unlinked is IfUnlinked.SKIP:
            return await self._given_back()
        partner = await find_partner(self._prepared, self._claims, self.row, self.source)
        if partner:
            return await self._confirmed(partner, Why.LINKED)
        if self.way.if_unlinked is IfUnlinked.MATCH:
            return await self._given_back()
        if held_up := self.way.held_up(self.plan, self.source):  # since an earlier try had begun
            await self._claims.give_back(self.row, self._keys)
            return held_up, None
        return await self._created()

    async def _given_back(self) -> tuple[Outcome, Linked | None]:
        """Nothing was created, and this run may not make a partner (any more)."""
        await self._claims.give_back(self.row, self._keys)
        return Outcome(Kind.SKIPPED, Why.NOT_LINKED), None

    # --- finding again what may have been created ---

    async def _ours(self) -> Record | None:
        """The record that an earlier try of ours has created, if it can be found."""
        if self.row.other:
            return (await self._read_target([self.row.other])).get(self.row.other)
        if self._chosen:
            return await self._by_number()
        async for candidate in self._candidates():
            if self._is_ours(candidate) and await self._claims.free_target(candidate.key, self.row):
                return candidate
        return None

    @property
    def _is_by_hand(self) -> bool:
        """Whether a person has chosen the partner, directly or by merging."""
        return self.row.reason in (BY_HAND, MERGED)

    @property
    def _chosen(self) -> str:
        return self.row.claim.chosen if self.row.claim else ""

    def _chosen_key(self) -> str:
        seed = f"{self.row.pair}|{self.row.side}|{self.row.key}|{self.row.generation}"
        return self._prepared.target.derived_key(self._prepared.target_table, seed, self.plan.writes)

    async def _read_target(self, keys: Sequence[str]) -> Mapping[str, Record]:
        prepared = self._prepared
        return await prepared.target.read(prepared.target_table, keys, prepared.target_columns)

    async def _by_number(self) -> Record | None:
        """The target's record with the number we chose, if it is the one we sent and not somebody else's.

        Raises Ambiguous for a record of that number which nothing can tell apart: what was sent is not readable.
        """
        choose = self._prepared.transfer.choose_key
        assert choose is not None
        columns = self._prepared.target_columns
        table = self._prepared.target_table
        found = await self._prepared.target.find(table, choose.column, [self._chosen], columns, limit=2)
        ours = [record for record in found if self._resembles(record) or await self._is_named_ours(record.key)]
        if ours:
            return ours[0]
        unclear = [one for one in found if not await self._claims.are_kept_apart(one.key, self.row)]
        if unclear and self._sent.prints is None:
            raise Ambiguous("CD-4201", tuple(unclear))
        return None

    async def _is_named_ours(self, key: str) -> bool:
        """Whether an earlier try has come so far that the target's row names this record, whatever was edited since."""
        held = await self.way.ports.stores.links.get(self.row.pair, self.row.side.other, key)
        return held is not None and held.state is LinkState.LINKED and held.other == self.row.key

    async def _candidates(self) -> AsyncIterator[Record]:
        """Records that may be ours where the target enforces no key: by match rules, then by the time of the create."""
        for rule in self._prepared.definition.match:
            for hit in await hits_of(self._prepared, rule, self.source.values):
                yield hit
        async for record in self._changed_since():
            yield record

    async def _changed_since(self) -> AsyncIterator[Record]:
        claim, prepared = self.row.claim, self._prepared
        if claim is None or claim.sent_at is None:
            return
        since = prepared.target.watermark_at(prepared.target_table, claim.sent_at - timedelta(minutes=5))
        if since is None:
            return
        seen = 0
        async for page in prepared.target.changes(prepared.target_table, since, prepared.target_columns):
            for record in page.records:
                seen += 1
                if seen > _SIMILAR_LOOKED_AT:
                    raise Ambiguous("CD-4201")
                yield record

    @property
    def _sent(self) -> Sent:
        told = self.row.claim.sent_print if self.row.claim else ""
        return Sent.unpack(told, self.row.key, self.way.ports.prints)

    def _equal_columns(self, record: Record) -> tuple[set[str], set[str]]:
        """Columns that we sent, and those of them in which a record equals what we sent.

        Where that is not readable, because the key has changed, what we would send today stands in.
        """
        sent, today = self._sent, self.plan.writes
        if sent.prints is None:
            equal = {one for one in sent.columns if one in today and alike(today[one], record.values.get(one))}
        else:
            equal = {column for column in sent.columns if sent.is_equal(column, record.values.get(column))}
        return set(sent.columns), equal

    def _is_ours(self, record: Record) -> bool:
        sent, equal = self._equal_columns(record)
        return bool(sent) and sent == equal

    def _resembles(self, record: Record) -> bool:
        """Whether a record shares a match column, or at least half of what we sent, with our create."""
        sent, equal = self._equal_columns(record)
        naming = {rule.columns(self.row.side.other)[0] for rule in self._prepared.definition.match}
        return bool(equal & naming) or (bool(sent) and 2 * len(equal) >= len(sent))

    async def _surely_not_created(self) -> bool:
        """Whether "not found" counts: at once where a key is enforced, else after the target's longest run.

        A similar record that is free then is put before a person; a second create would be a guess.
        """
        claim = self.row.claim
        if self._is_enforced or claim is None or claim.sent_at is None:
            return True
        longest = self.way.ports.timing.lease + self._prepared.capabilities.longest_run
        if self.way.ports.clock.now() < claim.sent_at + longest:
            return False
        if self._prepared.capabilities.chooses_key or await self._has_sure_hits():
            return True
        similar = {record.key: record async for record in self._candidates() if self._resembles(record)}
        free = [record for key, record in similar.items() if await self._claims.free_target(key, self.row)]
        if free:
            raise Ambiguous("CD-4201", tuple(free))
        return True

    @property
    def _is_enforced(self) -> bool:
        """Whether the system itself keeps what was sent from being there twice. It does not where the record has got
        another owner since, for then it would be created under another key."""
        caps = self._prepared.capabilities
        if self._chosen or not caps.chooses_key:
            return bool(self._chosen)
        if caps.owner and (self.way.lacks_owner(self.plan) or self.row.other != self._chosen_key()):
            return False
        return caps.enforces_key

    async def _has_sure_hits(self) -> bool:
        """Whether a sure match rule finds anything: then the ordinary search decides (one links, several are
        parked)."""
        sure = [rule for rule in self._prepared.definition.match if rule.certainty == "sure"]
        return any([await hits_of(self._prepared, rule, self.source.values) for rule in sure])

    def _unsure(self) -> Outcome:
        return Outcome(Kind.DEFERRED, Why.UNSURE, delay=self._patience(), burns_attempt=False)

    def _patience(self) -> timedelta:
        """Until the next look: soon where a look decides, spread over the longest run where only time does."""
        if self._is_enforced:
            return timedelta(seconds=5)
        return max(timedelta(seconds=30), self._prepared.capabilities.longest_run / 8)

    # --- creating ---

    async def _created(self) -> tuple[Outcome, Linked | None]:
        await self.way.brake.one_create()
        self.row = await self._ready_to_send()
        self.repeated = True
        created = await self._send(tries=5)
        return await self._confirmed(created, Why.NEW)

    async def _ready_to_send(self) -> LinkRow:
        """Fix the target's key and say that the create is being sent; the whole create then fits into the lease."""
        assert self.row.claim is not None
        sent_print = self.way.will_send(self.plan, self.row.key, self.way.ports.prints).pack()
        claim = replace(self.row.claim, sent=True, sent_at=self.way.ports.clock.now(), sent_print=sent_print)
        if not self._prepared.capabilities.chooses_key:
            return await self._claims.renew(self.row, claim)
        key = self._chosen_key()
        if self.row.other and self.row.other != key:  # an earlier try was for another owner
            await self._claims.give_up_reserved(self.row)
        row = await self._claims.renew(replace(self.row, other=key), claim)
        await self._claims.reserve(row)
        return row

    async def _send(self, tries: int) -> Record:
        """Send the create; after a lost answer or a taken key look before anything else."""
        try:
            return await self._create()
        except UnknownResult:
            ours = await self._ours()
            if ours is None:
                raise
            self.found = True
            return ours
        except AlreadyExists:
            ours = await self._ours()
            if ours is not None:
                self.found = True
                return ours
            if not self._chosen:
                raise
            if tries <= 1:
                self.repeated = self.earlier
                raise NumbersTaken from None
            await self._choose_another()
            return await self._send(tries - 1)
        except (ConnectorError, WrongEnvironment):
            self.repeated = self.earlier
            raise

    async def _create(self) -> Record:
        prepared = self._prepared
        values = {**prepared.transfer.create_with, **self.plan.writes}
        if prepared.transfer.choose_key and self._chosen:
            values[prepared.transfer.choose_key.column] = self._chosen
        return await prepared.target.create(
            prepared.target_table,
            values,
            prepared.target_columns,
            key=self._chosen_key() if prepared.capabilities.chooses_key else None,
            within_seconds=self.way.ports.timing.create_deadline.total_seconds(),
        )

    async def _choose_another(self) -> None:
        """Our number belongs to a foreign record: take the next one, claim it, and remember it before it is sent."""
        assert self.row.claim is not None
        self.row = await self._claims.renew(self.row, replace(self.row.claim, chosen=await self.way.choose()))
        await self._claims.take_keys(self.row, self._keys)

    # --- confirming ---

    async def _confirmed(self, target: Record, why: Why) -> tuple[Outcome, Linked | None]:
        """Carry over what was edited meanwhile, then make it a link."""
        now = await self._source_now()
        caught_up = Plan(self.row.side, ())
        if why is not Why.LINKED and now is not None:
            caught_up = self._edited_meanwhile(target, now)
            target = await self._caught_up(target, caught_up)
        source = now or self.source
        base = self._base(source, target, [] if why is Why.LINKED else self._written(source, target, caught_up))
        if why is Why.LINKED:
            await self.way.announce(self.row.side.other, target.key)
        elif self.found:  # what was edited since, they could not see: the record had no link
            await self.way.announce(self.row.side, self.row.key)
        await self.way.tell_dependents({self.row.side: self.row.key, self.row.side.other: target.key})
        if self._prepared.match_index is not None:
            note_match_keys(self._prepared, self._prepared.match_index, target)
        told = [] if why is Why.LINKED else [*self.plan.told(base, None), *caught_up.told(base, None)]
        kind = Kind.UPDATED if why is Why.LINKED else Kind.CREATED
        outcome = Outcome(kind, why, other=target.key, fields=told)
        await self.way.tell(outcome)
        home = await self._claims.confirm(self.row, target.key, base, self._versions(base, source, target))
        await self._claims.release_keys(self.row, self._keys)
        if now is None:
            return Outcome(Kind.SKIPPED, Why.SOURCE_GONE, other=target.key), Linked(home, None, target)
        return outcome, Linked(home, now, target)

    async def _source_now(self) -> Record | None:
        """The source as it is now, so that an edit made during the create is carried over before mastership changes."""
        prepared = self._prepared
        found = await prepared.source.read(prepared.source_table, [self.row.key], prepared.source_columns)
        return found.get(self.row.key)

    def _edited_meanwhile(self, target: Record, now: Record) -> Plan:
        side, rules, lengths = self.row.side, self._prepared.rules, self._prepared.lengths
        sent = self._sent
        if sent.prints is None or sent != self.way.will_send(self.plan, self.row.key, sent.prints):
            behind = plan_behind(side, rules, now.values, target.values, sent.columns, lengths)
        else:
            behind = plan_caught_up(side, rules, self.source.values, now.values, lengths)
        owner = self._prepared.capabilities.owner  # another owner is another record; that is seen to afterwards
        return Plan(side, [one for one in behind.decisions if not owner or one.rule.column(side.other) != owner])

    async def _caught_up(self, target: Record, plan: Plan) -> Record:
        """Write the late edits. The target's key is remembered first, since the record no longer equals what was
        sent."""
        if not plan.writes:
            return target
        prepared, claim = self._prepared, self.row.claim
        assert claim is not None
        self.row = await self._claims.renew(replace(self.row, other=target.key), claim)
        return await prepared.target.update(
            prepared.target_table, target.key, plan.writes, prepared.target_columns, version=target.version
        )

    def _written(self, source: Record, target: Record, caught_up: Plan) -> list[FieldRule]:
        """The rules that the create has sent, as far as both sides agree on them: not what a found record holds
        otherwise, because it was edited there, and not what only fills and was edited at the source meanwhile."""
        sent = plan_create(self.row.side, self._prepared.rules, source.values, self._prepared.lengths)
        agreed = [one for one in sent.agreed if self._stands(one, source, target)]
        return [decision.rule for decision in [*agreed, *caught_up.agreed]]

    def _stands(self, sent: Decision, source: Record, target: Record) -> bool:
        if self.found:
            return alike(sent.value, target.values.get(sent.rule.column(self.row.side.other)))
        column = sent.rule.column(self.row.side)
        return is_as_before(self.source.values.get(column), source.values.get(column))

    def _base(self, source: Record, target: Record, written: Sequence[FieldRule]) -> Base:
        """What both sides now agree on: what was written (as the target answered it) and what is equal anyway."""
        left, right = (source, target) if self.row.side is Side.LEFT else (target, source)
        rules = {rule.id: rule for rule in [*agree(self._prepared.rules, left.values, right.values), *written]}
        values = ((rule, left.values.get(rule.left), right.values.get(rule.right)) for rule in rules.values())
        return Base(left.key, self.way.ports.prints, {}).with_values(values)

    def _versions(self, base: Base, source: Record, target: Record) -> tuple[str | None, str | None]:
        left, right = (source, target) if self.row.side is Side.LEFT else (target, source)
        definition = self._prepared.definition
        return vouched(definition, base, Side.LEFT, left), vouched(definition, base, Side.RIGHT, right)


def parked(code: str, field: str = "", others: Sequence[str] = ()) -> Outcome:
    """Parked for a person, with the catalogue's words."""
    known = PROBLEMS[code]
    return Outcome(
        Kind.PARKED,
        Why.PROBLEM,
        code=code,
        field=field,
        sentence=known.sentence,
        who=known.who.value,
        remedy=known.remedy,
        others=others,
    )


def parked_for(error: Exception, code: str) -> Outcome:
    """Parked with the words of the error where the code is its own, else with the catalogue's."""
    if isinstance(error, CrossdockError) and error.code == code:
        field = error.answer.field if isinstance(error, ConnectorError) else ""
        return Outcome(
            Kind.PARKED,
            Why.PROBLEM,
            code=code,
            field=field,
            sentence=error.sentence,
            who=error.who.value,
            remedy=error.remedy,
        )
    return parked(code)


def problem_outcome(plan: Plan, base: Base | None, target: Mapping[str, Value] | None) -> Outcome:
    """Parked because of a value: the first problem speaks, the journal has them all."""
    first = plan.problems[0]
    outcome = parked(first.code, field=first.rule.column(plan.source))
    hint = f"{outcome.remedy} ({first.hint})" if first.hint else outcome.remedy
    return replace(outcome, remedy=hint, fields=plan.told(base, target))
