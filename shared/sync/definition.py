"""What corresponds to what and who is master: the definitions, as they stand in the compiled index.

People write YAML (one file per pair of tables under `transfers/`); `local/definitions.py` reads it, checks it and
compiles it into `transfers/index.json`, the only thing read at a cold start. The models here describe the compiled
form: the two systems' names are already resolved into left and right, and every field rule remembers its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from shared.sync.arguments import Argument, wrong_argument
from shared.sync.checks import CHECKS
from shared.sync.compiled import Part
from shared.sync.confirming import Confirming
from shared.sync.converters import CONVERTERS, Given
from shared.sync.joined import is_joined, parts_of
from shared.sync.normalisers import NORMALISERS, Normaliser
from shared.sync.own_tables import OwnTable
from shared.sync.ports import Profile, Side, Value
from shared.sync.values import canonical


class Master(StrEnum):
    """Who owns a field: one side, both (with a conflict rule), or nobody while the records are unlinked."""

    LEFT = "left"
    RIGHT = "right"
    BOTH = "both"
    NOBODY = "nobody"

    def is_side(self, side: Side) -> bool:
        return self.value == side.value


class OnCreate(StrEnum):
    """What a create does with a field.

    carry: send it if the source is its master before or after (the default). fill: also send it once to a new or
    blank target although the target is master. leave: never send it with a create. after: send it in a write of its
    own right after the create, so that the create does not depend on it.
    """

    CARRY = "carry"
    FILL = "fill"
    LEAVE = "leave"
    AFTER = "after"


class TooLong(StrEnum):
    """What happens to a text that does not fit the target: park the field, or cut it (and say so in the journal).

    A rule that says neither parks, too; but it is told apart, since nobody may have thought of it.
    """

    PARK = "park"
    CUT = "cut"


class Conflict(StrEnum):
    """Who wins when a field of `master: both` was changed on both sides: one side, or a person decides (park)."""

    PARK = "park"
    LEFT = "left"
    RIGHT = "right"


class ForeignEdit(StrEnum):
    """What happens to an edit where the field is not mastered: put the master's value back, or only report it."""

    RESTORE = "restore"
    REPORT = "report"


class IfMissing(StrEnum):
    """What happens when a system has no such column: the transfer is refused, or the rule is left out and named."""

    REFUSE = "refuse"
    LEAVE_OUT = "leave_out"


class TableName(Part):
    system: str
    table: str


class Reference(Part):
    """The pair whose links translate the field's key, by its tables on both sides.

    needed: a record is not created before the record it refers to has a partner.
    """

    left: str
    right: str
    needed: bool = False

    def table(self, side: Side) -> str:
        return self.left if side is Side.LEFT else self.right


class Arguments(Part):
    """What a converter or check of a rule is told: settings, and columns of the same record (left and right)."""

    settings: dict[str, str] = Field(default_factory=dict)
    columns: dict[str, tuple[str, str]] = Field(default_factory=dict)

    def told(self, side: Side, record: Mapping[str, Value]) -> dict[str, str]:
        """The arguments for a record of one side.

        A blank column leaves its setting, or an empty text; a column that was not read, since the system lacks it,
        says nothing.
        """
        read = [name for name in self.columns if self.column(name, side) in record]
        beside = {name: canonical(record[self.column(name, side)]) or self.settings.get(name, "") for name in read}
        return {**self.settings, **beside}

    def column(self, name: str, side: Side) -> str:
        left, right = self.columns[name]
        return left if side is Side.LEFT else right

    def refuse_strangers(self, what: str, takes: Mapping[str, Argument]) -> None:
        """Raise ValueError for what it does not take, or needs and is not told."""
        if wrong := wrong_argument(what, takes, self.settings, self.columns):
            raise ValueError(wrong)


class DefaultWhen(StrEnum):
    """When a default is written: with a create only, or whenever the other side has no value."""

    CREATE = "create"
    ALWAYS = "always"


class Default(Part):
    """What a system's column gets where the other side has no value. A value that goes over always goes before it."""

    left: str | None = None
    right: str | None = None
    when: DefaultWhen = DefaultWhen.CREATE

    def of(self, side: Side) -> str | None:
        return self.left if side is Side.LEFT else self.right


class FieldRule(Part):
    """One line of a pair: a column on each side, who is master, and how the value is converted.

    last_editor: the master's column names who changed the record last, and we do not count; here its column that says
    when.
    """

    left: str
    right: str
    master_unlinked: Master
    master_linked: Master
    convert: str = "same"
    convert_with: Arguments = Arguments()
    values: dict[str, str] = Field(default_factory=dict)
    check: str | None = None
    check_with: Arguments = Arguments()
    too_long: TooLong | None = None
    default: Default = Default()
    on_create: OnCreate = OnCreate.CARRY
    conflict: Conflict = Conflict.PARK
    reference: Reference | None = None
    last_editor: str = ""
    if_missing: IfMissing = IfMissing.REFUSE
    line: int = 0

    @field_validator("convert")
    @classmethod
    def _known_converter(cls, name: str) -> str:
        if name not in CONVERTERS:
            raise ValueError(f"there is no converter '{name}'; there are: {', '.join(sorted(CONVERTERS))}")
        return name

    @field_validator("check")
    @classmethod
    def _known_check(cls, name: str | None) -> str | None:
        if name is not None and name not in CHECKS:
            raise ValueError(f"there is no check '{name}'; there are: {', '.join(sorted(CHECKS))}")
        return name

    @model_validator(mode="after")
    def _masters_make_sense(self) -> FieldRule:
        if self.master_linked is Master.NOBODY:
            raise ValueError("a field without a master; say master: and name one of the two systems")
        if CONVERTERS[self.convert].table != bool(self.values):
            with_table = " or ".join(name for name, one in CONVERTERS.items() if one.table)
            raise ValueError(f"convert: {with_table} and a table values: belong together; give both or neither")
        if self.convert == "replace" and "" in {*self.values, *self.values.values()}:
            raise ValueError("values: an empty text cannot be replaced or put in; leave the entry out")
        if len(set(self.values.values())) != len(self.values):
            raise ValueError("values: two entries lead to the same value, so there is no way back; make them differ")
        if self.conflict is not Conflict.PARK and self.master_linked is not Master.BOTH:
            raise ValueError("conflict: is for master: both only; a field with one master has its rule already")
        if self.default != Default() and self.on_create in (OnCreate.LEAVE, OnCreate.AFTER):
            text = f"default: is written with a create and on_create: {self.on_create} never sends the field; keep one"
            raise ValueError(text)
        if self.reference and self.convert != "same":
            raise ValueError("reference: translates the key by its links; leave convert: out")
        return self

    @model_validator(mode="after")
    def _editors_have_one_master(self) -> FieldRule:
        if not self.last_editor:
            return self
        masters = {self.master_unlinked, self.master_linked} - {Master.NOBODY}
        if not self.reference or len(masters) > 1 or Master.BOTH in masters:
            raise ValueError("last_editor: needs one system as master, and reference: the pair that the users are in")
        return self

    @model_validator(mode="after")
    def _arguments_are_known(self) -> FieldRule:
        self.convert_with.refuse_strangers(f"convert: {self.convert}", CONVERTERS[self.convert].takes)
        self.check_with.refuse_strangers(f"check: {self.check}", CHECKS[self.check].takes if self.check else {})
        return self

    def column(self, side: Side) -> str:
        return self.left if side is Side.LEFT else self.right

    def default_for(self, side: Side, *, creating: bool) -> str | None:
        """What a side's column gets where the other side has no value; None where a blank goes over as a blank."""
        return self.default.of(side) if creating or self.default.when is DefaultWhen.ALWAYS else None

    def given(self, side: Side, record: Mapping[str, Value]) -> Given:
        """What the converter is given for a record of one side."""
        return Given(self.values, self.convert_with.told(side, record))

    def travels_from(self, side: Side) -> bool:
        """Whether a transfer from this side ever writes the field."""
        masters = {self.master_unlinked, self.master_linked}
        mastered = Master.BOTH in masters or any(master.is_side(side) for master in masters)
        return mastered or self.on_create is OnCreate.FILL

    def master(self, *, linked: bool) -> Master:
        return self.master_linked if linked else self.master_unlinked

    @cached_property
    def id(self) -> bytes:
        """Four bytes that name the rule within its pair: the two columns."""
        return blake2b(f"{self.left}\0{self.right}".encode(), digest_size=4).digest()

    @cached_property
    def version(self) -> bytes:
        """Two bytes that change when the rule's way of converting changes: a base of another version is no base."""
        how = f"{self.convert}\0{sorted(self.values.items())}\0{self.check}\0{self.too_long or TooLong.PARK}"
        if self.default.when is DefaultWhen.ALWAYS:
            how += f"\0{self.default.left}\0{self.default.right}"
        for told in (self.convert_with, self.check_with):
            if told != Arguments():
                how += f"\0{sorted(told.settings.items())}\0{sorted(told.columns.items())}"
        return blake2b(how.encode(), digest_size=2).digest()


class MatchRule(Part):
    """Natural keys that say two records are the same thing.

    One or more columns on each side; the first is searched, the rest are compared. certainty sure: exactly one hit
    links; possible: a hit is put before a person.
    """

    left: Annotated[tuple[str, ...], Field(min_length=1)]
    right: Annotated[tuple[str, ...], Field(min_length=1)]
    normalise: tuple[str, ...] = ("text",)
    normalise_with: tuple[Arguments, ...] = (Arguments(),)
    certainty: Literal["sure", "possible"] = "sure"
    if_missing: IfMissing = IfMissing.REFUSE
    line: int = 0

    @field_validator("normalise")
    @classmethod
    def _known_normalisers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in NORMALISERS:
                raise ValueError(f"there is no normaliser '{name}'; there are: {', '.join(sorted(NORMALISERS))}")
        return names

    @model_validator(mode="after")
    def _as_many_on_both_sides(self) -> MatchRule:
        if len(self.left) != len(self.right):
            raise ValueError("a match rule needs as many columns on one side as on the other")
        if len(self.normalise) not in {1, len(self.left)} or len(self.normalise_with) != len(self.normalise):
            raise ValueError("normalise: names one form for all columns, or one for each")
        for name, told in zip(self.normalise, self.normalise_with, strict=True):
            told.refuse_strangers(f"normalise: {name}", NORMALISERS[name].takes)
        if NORMALISERS[self.normalise[0]].spellings is None:
            raise ValueError(f"normalise: {self.normalise[0]} cannot be searched; put another column first")
        if is_joined(self.left[0]) or is_joined(self.right[0]):
            raise ValueError("columns that are written as one cannot be searched; put another column first")
        return self

    def form(self, place: int) -> tuple[Normaliser, Arguments]:
        """How the column at this place is compared, and what its normaliser is told."""
        at = place if len(self.normalise) > 1 else 0
        return NORMALISERS[self.normalise[at]], self.normalise_with[at]

    def columns(self, side: Side) -> tuple[str, ...]:
        return self.left if side is Side.LEFT else self.right

    @property
    def name(self) -> str:
        return "+".join(self.right)


class ChooseKey(Part):
    """The target's enforced column is filled by us: `<prefix><number>`, the number padded to `digits`."""

    column: str
    prefix: str
    digits: Annotated[int, Field(ge=1, le=12)] = 6

    @field_validator("prefix")
    @classmethod
    def _prefix_fits_a_code(cls, prefix: str) -> str:
        if not re.fullmatch(r"[A-Z0-9-]{1,8}", prefix):
            raise ValueError("prefix: has 1 to 8 capital letters, digits or -; choose one that no other number has")
        return prefix


class Related(Part):
    """Records of another table of the source's system that name the record in their column `by`."""

    table: str
    by: str


class Condition(Part):
    """Columns that must hold one of the named values; of the record itself, or of any one related record."""

    columns: Annotated[dict[str, tuple[str, ...]], Field(min_length=1)]
    related: Related | None = None


class IfUnlinked(StrEnum):
    """What a transfer may do with a record that has no partner."""

    MATCH_OR_CREATE = "match_or_create"
    MATCH = "match"
    SKIP = "skip"


class OnDelete(StrEnum):
    """What follows when one record of a link is deleted. unlink: the link is undone, the partner stays as it is. set:
    the partner gets values before that. delete: the partner is deleted before that. report: the link stays and a person
    decides."""

    UNLINK = "unlink"
    SET = "set"
    DELETE = "delete"
    REPORT = "report"


class Selection(Part):
    """Which records of a pair people select while the mode is manual, and what they see of them.

    of: the side whose records are offered. name: its column with what people call a record. within: its column that
    refers to the record which it is a part of. show: its columns that are shown as well.
    """

    of: Side
    name: str
    within: str = ""
    show: tuple[str, ...] = ()


class Identity(StrEnum):
    """How a record of one side finds its partner. linked: by a link. derived: the partner's key follows from columns of
    the source, so nothing is remembered; for rows that nobody edits and that are computed anew again and again."""

    LINKED = "linked"
    DERIVED = "derived"


class OnVanish(StrEnum):
    """What follows when the source no longer has a derived row within the window: it stays, or it is deleted."""

    KEEP = "keep"
    DELETE = "delete"


class OnReturn(StrEnum):
    """What follows when there is a record again with the key of a source record that was deleted. leave: nothing, as
    with every link that was undone. new: it is another record, and is matched or created; for keys that people choose,
    such as a part at a place."""

    LEAVE = "leave"
    NEW = "new"


class Transfer(Part):
    """One direction of a pair: one function, one queue.

    only_if: alternatives, one of which an unlinked record must meet; empty: all records. gone_if: what a source record
    holds that counts as deleted although it is there. require: columns of the source without which nothing is created.
    create_with: columns of the target and what every new record gets there, unless a field rule sends a value.
    on_delete: what follows when a source record is deleted, where it differs from what the definition says;
    set_on_delete: the target's columns and what they get then; on_return: what follows when the record's key is there
    again. on_unlink: the target's columns and what they get when a person undoes the link. Of derived rows only:
    window_days: how many days back from today they are computed anew; on_vanish.
    """

    name: str
    source: Side
    only_if: tuple[Condition, ...] = ()
    gone_if: Condition | None = None
    require: tuple[str, ...] = ()
    also_on: dict[str, str] = Field(default_factory=dict)
    if_unlinked: IfUnlinked = IfUnlinked.MATCH_OR_CREATE
    choose_key: ChooseKey | None = None
    create_with: dict[str, str] = Field(default_factory=dict)
    on_delete: OnDelete | None = None
    set_on_delete: dict[str, str] = Field(default_factory=dict)
    on_return: OnReturn = OnReturn.LEAVE
    on_unlink: dict[str, str] = Field(default_factory=dict)
    write_back: tuple[str, ...] = ()
    walk_seconds: int | None = None
    window_days: Annotated[int, Field(ge=1, le=999)] | None = None
    on_vanish: OnVanish = OnVanish.KEEP
    line: int = 0

    @field_validator("name")
    @classmethod
    def _is_a_queue_name(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]{2,62}", name):
            raise ValueError("a transfer's name has 3 to 63 lower-case letters, digits and _; it names a queue")
        return name

    @property
    def target(self) -> Side:
        return self.source.other

    def without(self, side: Side, missing: AbstractSet[str]) -> Transfer:
        """The transfer without write-backs into columns that the source does not have."""
        if self.source is not side:
            return self
        kept = tuple(column for column in self.write_back if column not in missing)
        return self.model_copy(update={"write_back": kept})

    @property
    def own_columns(self) -> Sequence[str]:
        """Columns of the source's own table that decide whether a record may be created, or counts as gone."""
        conditions = [name for one in self.only_if if one.related is None for name in one.columns]
        return [*conditions, *(self.gone_if.columns if self.gone_if else ()), *self.require]


class Brakes(Part):
    """Limits that stop a transfer and ask a person: counts of records within an hour.

    put_backs_per_day: how often one field of one record is put back within a day before it is left to a person.
    vanished_percent: how many of a day's derived rows may vanish at once.
    """

    creates_per_hour: Annotated[int, Field(ge=0)] = 200
    changes_per_hour: Annotated[int, Field(ge=0)] = 2000
    blanks_per_hour: Annotated[int, Field(ge=0)] = 100
    deletes_per_hour: Annotated[int, Field(ge=0)] = 25
    put_backs_per_day: Annotated[int, Field(ge=0)] = 3
    vanished_percent: Annotated[int, Field(ge=0, le=100)] = 50


class Definition(Part):
    """A pair of tables with its transfers, match rules and field rules.

    profile: what both databases must be for; definitions of different profiles never run at the same time. instead_of:
    a system; where the installation has it, the definition does not run. selection: people say which records get a
    partner while the mode of the two systems is manual. Where the identity is derived: key: the source's columns that
    make a row what it is; day: that of them by which the window goes.
    """

    file: str
    left: TableName
    right: TableName
    transfers: tuple[Transfer, ...]
    match: tuple[MatchRule, ...] = ()
    fields: tuple[FieldRule, ...]
    on_delete: OnDelete = OnDelete.UNLINK
    foreign_edit: ForeignEdit = ForeignEdit.RESTORE
    brakes: Brakes = Brakes()
    profile: Profile | None = None
    instead_of: str = ""
    selection: Selection | None = None
    identity: Identity = Identity.LINKED
    key: tuple[str, ...] = ()
    day: str = ""

    @field_validator("on_delete")
    @classmethod
    def _concerns_both_directions(cls, policy: OnDelete) -> OnDelete:
        if policy is OnDelete.SET:
            raise ValueError("values are set on one side; say on_delete: {set: …} within the transfer")
        if policy is OnDelete.DELETE:
            raise ValueError("only one side decides about a record's life; say on_delete: delete within its transfer")
        return policy

    @model_validator(mode="after")
    def _every_column_has_one_rule(self) -> Definition:
        for side in Side:
            seen: dict[str, int] = {}
            columns = [(rule, column) for rule in self.fields for column in parts_of(rule.column(side))]
            for rule, column in columns:
                if column in seen:
                    raise ValueError(
                        f"line {rule.line}: {self.table(side).system}.{column} has two rules and so two masters "
                        f"(the other is in line {seen[column]}); keep one"
                    )
                seen[column] = rule.line
        return self

    @model_validator(mode="after")
    def _stands_in_for_another(self) -> Definition:
        if self.instead_of in self.systems:
            raise ValueError(
                f"instead_of: {self.instead_of} is one of the pair; name a system beside which it never runs"
            )
        return self

    @model_validator(mode="after")
    def _identity_fits(self) -> Definition:
        for text in misfits(self):
            raise ValueError(text)
        return self

    @property
    def is_derived(self) -> bool:
        """Whether its rows have no links."""
        return self.identity is Identity.DERIVED

    def table(self, side: Side) -> TableName:
        return self.left if side is Side.LEFT else self.right

    def side_of(self, system: str, table: str) -> Side | None:
        for side in Side:
            if self.table(side) == TableName(system=system, table=table):
                return side
        return None

    @property
    def offered(self) -> Side | None:
        """The side whose records people select; None where none are offered."""
        return self.selection.of if self.selection is not None else None

    def creates_by(self, transfer: Transfer) -> bool:
        """Whether a transfer of the pair ever creates records: by itself, or of those that people select."""
        return transfer.if_unlinked is IfUnlinked.MATCH_OR_CREATE or transfer.source is self.offered

    @property
    def systems(self) -> tuple[str, str]:
        """Both systems, the left one first."""
        return self.left.system, self.right.system

    def runs_among(self, systems: Collection[str]) -> bool:
        """Whether an installation with these systems runs it."""
        return set(self.systems) <= set(systems) and self.instead_of not in systems

    def without(self, side: Side, missing: AbstractSet[str]) -> Definition:
        """The definition without the rules that name columns which one side does not have."""
        fields = tuple(rule for rule in self.fields if rule.column(side) not in missing)
        match = tuple(rule for rule in self.match if not missing & set(rule.columns(side)))
        transfers = tuple(one.without(side, missing) for one in self.transfers)
        return self.model_copy(update={"fields": fields, "match": match, "transfers": transfers})

    def editor_rule(self, side: Side) -> FieldRule | None:
        """The rule whose column on this side names the records' last editor."""
        return next((rule for rule in self.fields if rule.last_editor and rule.master_linked.is_side(side)), None)

    def refers_to(self, pair: Definition) -> Sequence[FieldRule]:
        """The rules whose keys the links of another pair translate."""
        if self.systems != pair.systems:
            return []
        tables = (pair.left.table, pair.right.table)
        return [
            rule for rule in self.fields if rule.reference and (rule.reference.left, rule.reference.right) == tables
        ]

    def columns(self, side: Side) -> tuple[str, ...]:
        """Every column of one side that a transfer reads: fields, match columns and conditions."""
        wanted = [rule.column(side) for rule in self.fields]
        wanted += [rule.last_editor for rule in self.fields if rule.last_editor and rule.master_linked.is_side(side)]
        wanted += [column for rule in self.match for column in rule.columns(side)]
        for transfer in self.transfers:
            wanted += list(transfer.own_columns) if transfer.source is side else []
            wanted += [transfer.choose_key.column] if transfer.choose_key and transfer.target is side else []
            given = (*transfer.create_with, *transfer.set_on_delete, *transfer.on_unlink)
            wanted += given if transfer.target is side else ()
        return tuple(dict.fromkeys(wanted))


def misfits(definition: Definition) -> Iterator[str]:
    """What does not go together with the definition's identity."""
    if definition.is_derived:
        yield from _misfits_of_derived(definition)
        return
    if definition.key or definition.day:
        yield "key: and day: belong to identity: derived; say it, or take them out"
    for transfer in definition.transfers:
        if transfer.window_days is not None or transfer.on_vanish is not OnVanish.KEEP:
            yield f"line {transfer.line}: window: and on_vanish: belong to identity: derived; say it, or take them out"


_OF_DERIVED = ("name", "source", "walk_seconds", "window_days", "on_vanish", "line")
"""What a transfer of derived rows may say; everything else concerns partners."""


def _misfits_of_derived(definition: Definition) -> Iterator[str]:
    if len(definition.transfers) != 1:
        yield "identity: derived goes one way; keep one transfer"
        return
    (transfer,) = definition.transfers
    for name, field in Transfer.model_fields.items():
        if name not in _OF_DERIVED and getattr(transfer, name) != field.get_default(call_default_factory=True):
            yield f"line {transfer.line}: {name}: is not for derived rows; take it out"
    if transfer.window_days is None or transfer.walk_seconds is None:
        yield f"line {transfer.line}: derived rows need window: and walk:; add what is missing"
    for name in ("match", "on_delete", "foreign_edit", "selection"):
        if getattr(definition, name) != Definition.model_fields[name].default:
            yield f"{name}: is not for derived rows; take it out"
    yield from _misfits_of_key(definition, transfer.source)
    for rule in definition.fields:
        yield from _misfits_of_rule(rule, transfer.source)


def _misfits_of_key(definition: Definition, source: Side) -> Iterator[str]:
    rules = {rule.column(source): rule for rule in definition.fields}
    if not definition.key or definition.day not in definition.key:
        yield "identity: derived needs key: (the source's columns that make a row what it is) and day: (one of them)"
    for column in definition.key:
        rule = rules.get(column)
        if rule is None:
            yield f"key: {column} has no field rule; add one to fields:"
        elif rule.if_missing is IfMissing.LEAVE_OUT:
            yield f"line {rule.line}: {column} is part of the key and cannot be left out; take if_missing: out"
        elif column == definition.day and (rule.reference or rule.convert != "same" or rule.default != Default()):
            yield f"line {rule.line}: the day goes over as it is; take reference:, convert: and default: out"


def _misfits_of_rule(rule: FieldRule, source: Side) -> Iterator[str]:
    if not (rule.master_unlinked.is_side(source) and rule.master_linked.is_side(source)):
        yield f"line {rule.line}: the source is master of derived rows; name it as master"
    if rule.on_create is not OnCreate.CARRY:
        yield f"line {rule.line}: on_create: is not for derived rows; take it out"
    if rule.reference and not rule.reference.needed:
        yield f"line {rule.line}: a derived row waits for the records it refers to; say needed: true"


class Problem(Part):
    """Why a definition was not loaded, where, and what to do."""

    file: str
    line: int
    text: str
    transfers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


class Index(Part):
    """The compiled definitions: the good ones, and the problems of those that were refused. tables: what is declared of
    tables and columns of our own; confirming: what answers checks."""

    format: Literal[1] = 1
    sources: dict[str, str] = Field(default_factory=dict)
    definitions: tuple[Definition, ...] = ()
    tables: tuple[OwnTable, ...] = ()
    confirming: Confirming | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def systems(self) -> list[str]:
        """Every system that a definition names, once."""
        return list(dict.fromkeys(name for definition in self.definitions for name in definition.systems))

    @property
    def linking(self) -> Sequence[Definition]:
        """The definitions whose records are linked; the others derive their rows."""
        return [definition for definition in self.definitions if not definition.is_derived]

    @property
    def deriving(self) -> Sequence[Definition]:
        """The definitions that derive their rows."""
        return [definition for definition in self.definitions if definition.is_derived]

    def transfers(self) -> Sequence[tuple[Definition, Transfer]]:
        return [(definition, transfer) for definition in self.definitions for transfer in definition.transfers]

    def creating_in(self, table: TableName) -> Sequence[tuple[Definition, Transfer]]:
        """The transfers that create records in a table, of whatever pair."""
        return [
            (definition, transfer)
            for definition, transfer in self.transfers()
            if definition.table(transfer.target) == table and definition.creates_by(transfer)
        ]

    def creates_elsewhere(self, definition: Definition, table: TableName) -> bool:
        """Whether other pairs than the definition's create records in a table."""
        pair = (definition.left, definition.right)
        return any((other.left, other.right) != pair for other, _ in self.creating_in(table))
