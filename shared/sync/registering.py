"""What an installation needs to have set up in a system before records move: what is wanted, and what is found of it.

What the definitions want is the same for every system; what it means there (steps, keys, switches of a table) is its
connector's, which looks and answers parts. A part that fits is left alone, one that is missing or differs can be
settled, one that is ours and no longer wanted is removed only when somebody says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Protocol, runtime_checkable

from shared.errors import Who
from shared.sync.checking import travels, wanted_keys
from shared.sync.correspondence import KEYS
from shared.sync.definition import Definition, FieldRule, IfMissing, Index
from shared.sync.joined import parts_of
from shared.sync.own_tables import (
    CUSTOM,
    LONGEST_MEMO,
    LONGEST_STRING,
    MEMO,
    USUAL_LENGTH,
    OwnColumn,
    OwnTable,
    declared,
)
from shared.sync.ports import ColumnMetadata, ColumnType, Side
from shared.sync.problems import Catalogued
from shared.sync.surveying import Survey
from shared.sync.walking import feeds

MADE_FIRST: Final = ("table", "column")
"""Kinds of parts that the others are about: only when they are there can be seen how these stand."""
GUESSED_DECIMALS: Final = 5
"""Of a column that only a definition names: what its partner holds is not told."""


class Standing(StrEnum):
    """How a part stands. building: it was made and the system is still at it. surplus: ours, and no longer wanted.
    failed: the system gave it up; it is tried again once a person has mended the cause. impossible: the system does not
    offer it."""

    FITS = "fits"
    MISSING = "missing"
    DIFFERS = "differs"
    BUILDING = "building"
    FAILED = "failed"
    SURPLUS = "surplus"
    IMPOSSIBLE = "impossible"

    @property
    def can_be_settled(self) -> bool:
        """Whether something can be done about it; a surplus one is removed."""
        return self in (Standing.MISSING, Standing.DIFFERS, Standing.FAILED, Standing.SURPLUS)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that an installation has or should have in a system.

    kind: what it is ("webhook", "step", "alternate key"). told: what differs, in a sentence without secrets. code: of
    an entry of the catalogue, where somebody has to do something. needs: tables that have to be there before. guessed:
    nobody has said what it is to be like. work: what the connector does about it.
    """

    kind: str
    name: str
    standing: Standing
    told: str = ""
    code: str = ""
    id: str = ""
    needs: frozenset[str] = frozenset()
    guessed: bool = False
    work: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ColumnWish:
    """A column that is missing. column: what it is to be like, as it is declared or, if guessed, as its partner is.
    why_not: why there can be none."""

    name: str
    column: OwnColumn | None = None
    guessed: bool = False
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class TableWish:
    """What one table needs. columns: those whose change concerns a transfer; none: every change does. heard: whether
    any change does. asks: the column before whose change we are asked; empty: none. walked: its change feed is read.
    keys: columns that have to be unique, alone or together. missing: columns that are declared or that the definitions
    name and that the table does not have. declared: what is to be made where the whole table is missing."""

    table: str
    columns: tuple[str, ...] = ()
    heard: bool = True
    asks: str = ""
    walked: bool = False
    keys: tuple[tuple[str, ...], ...] = ()
    missing: tuple[ColumnWish, ...] = ()
    declared: OwnTable | None = None


@dataclass(frozen=True, slots=True)
class NoticeWish:
    """Where a system is to send its notices and its questions, and the header that lets them in. known_on: the ids of
    what the present secret was set on, since no system shows it."""

    address: str
    header: str
    secret: str = field(repr=False)
    known_on: frozenset[str] = frozenset()
    questions: str = ""


@runtime_checkable
class Registering(Protocol):
    """What a connector offers beside `Connector` where its system has to be set up. Raises like `Connector`."""

    async def parts(self, wishes: Sequence[TableWish], notices: NoticeWish | None) -> Sequence[Part]:
        """How everything stands; without `notices` what concerns them is left out."""
        ...

    async def settle(self, part: Part) -> None:
        """Make, change or remove a part; harmless to repeat."""
        ...


def wishes(index: Index, survey: Survey, system: str) -> Sequence[TableWish]:
    """What is declared of a system's tables, and what the definitions want of each that concerns a transfer."""
    found = {name: _of_declared(one, survey) for name, one in declared(index.tables, system).items()}
    for feed in feeds(index):
        if feed.system == system:
            one = TableWish(feed.table) if feed.is_related else _of_pair(feed.definition, feed.side, survey)
            one = replace(one, walked=feed.every is not None)
            found[feed.table] = _together(found[feed.table], one) if feed.table in found else one
    for rule in index.confirming.asked_by(system) if index.confirming else ():
        one = TableWish(rule.table, heard=False, asks=rule.column)
        found[rule.table] = _together(found[rule.table], one) if rule.table in found else one
    return list(found.values())


def _of_declared(table: OwnTable, survey: Survey) -> TableWish:
    place = (table.system, table.table)
    lacks = [one for one in table.every_column if survey.column(place, one.name) is None]
    missing = tuple(ColumnWish(one.name, one) for one in lacks)
    return TableWish(table.table, heard=False, keys=table.keys, missing=missing, declared=table)


def _of_pair(definition: Definition, side: Side, survey: Survey) -> TableWish:
    place = (definition.table(side).system, definition.table(side).table)
    named = [part for name in definition.columns(side) for part in parts_of(name)]
    names = tuple(dict.fromkeys(survey.near(place, name) for name in named))
    optional = {rule.column(side) for rule in definition.fields if rule.if_missing is IfMissing.LEAVE_OUT}
    unknown = [name for name in names if survey.column(place, name) is None and name not in optional]
    missing = [_guessed(definition, side, name, survey) for name in unknown]
    keys = [(name,) for where, name, _ in wanted_keys(definition, survey) if where is side]
    return TableWish(place[1], names, keys=tuple(dict.fromkeys(keys)), missing=tuple(missing))


def _guessed(definition: Definition, side: Side, name: str, survey: Survey) -> ColumnWish:
    """A column that only a definition names: it becomes what its partner is."""
    if not CUSTOM.fullmatch(name):
        return ColumnWish(name, guessed=True, why_not="has a name that a column of your own cannot have")
    rule = _rule_of(definition, side, name)
    other = definition.table(side.other)
    like = survey.column((other.system, other.table), rule.column(side.other)) if rule else None
    choices = _choices(rule, side, like) if rule else {}
    if like is not None and like.type in KEYS:
        return ColumnWish(name, guessed=True, why_not="holds a reference")
    label = name.partition("_")[2].replace("_", " ")
    return ColumnWish(name, OwnColumn(name=name, label=label, **_like(like, choices)), guessed=True)


def _rule_of(definition: Definition, side: Side, name: str) -> FieldRule | None:
    """The line by which something goes into a column or comes out of it."""
    rules = [one for one in definition.fields if one.column(side) == name]
    return next((one for one in rules if any(travels(definition, one, source) for source in Side)), None)


def _like(like: ColumnMetadata | None, choices: Mapping[str, str]) -> Mapping[str, Any]:
    """What a column is to hold that holds what its partner does."""
    if choices and all(value.isdecimal() for value in choices):
        return {"type": "choice", "choices": dict(choices)}
    kind = like.type if like else ColumnType.TEXT
    if kind in (ColumnType.TEXT, ColumnType.CHOICE):
        length = min((like.max_length if like else None) or USUAL_LENGTH, LONGEST_MEMO)
        return {"type": MEMO if length > LONGEST_STRING else "text", "length": length}
    return {"type": kind.value, "decimals": GUESSED_DECIMALS if kind is ColumnType.DECIMAL else None}


def _choices(rule: FieldRule, side: Side, like: ColumnMetadata | None) -> Mapping[str, str]:
    """The values of one side in the table of values, with what they mean to the other."""
    labels = like.choices if like else {}
    pairs = rule.values.items() if rule.convert == "values" else ()
    told = dict(pairs) if side is Side.LEFT else {right: left for left, right in pairs}
    return {own: labels.get(other) or other for own, other in told.items()}


def _together(one: TableWish, other: TableWish) -> TableWish:
    """What is declared of a table and what a definition wants of it, or what two want of the same table."""
    every = any(wish.heard and not wish.columns for wish in (one, other))
    return TableWish(
        one.table,
        () if every else tuple(dict.fromkeys(one.columns + other.columns)),
        heard=one.heard or other.heard,
        asks=one.asks or other.asks,
        walked=one.walked or other.walked,
        keys=tuple(dict.fromkeys(one.keys + other.keys)),
        missing=tuple(_first_of_each(one.missing + other.missing)),
        declared=one.declared or other.declared,
    )


def _first_of_each(wanted: Sequence[ColumnWish]) -> Iterator[ColumnWish]:
    """What is declared stands first and so goes before what would be guessed."""
    seen: set[str] = set()
    for one in wanted:
        if one.name not in seen:
            seen.add(one.name)
            yield one


REGISTERING: Mapping[str, Catalogued] = {
    "CD-4701": Catalogued(
        "The index of an alternate key could not be built, because records hold the same value.",
        Who.RECORD_OWNER,
        "Merge or correct the records that share a value of the column, then run manage.py register --apply.",
    ),
    "CD-4702": Catalogued(
        "The index of an alternate key is being built.",
        Who.NOBODY,
        "Nothing: it takes minutes, on large tables longer; manage.py register says when it is ready.",
    ),
    "CD-4703": Catalogued(
        "Something that Crossdock needs in the system is missing, or is not as it should be.",
        Who.ADMINISTRATOR,
        "Look at what manage.py register would do, then run it with --apply.",
    ),
    "CD-4704": Catalogued(
        "Our identity may not set up the system.",
        Who.ADMINISTRATOR,
        "Give the application user the role System Customizer while manage.py register runs, or run it without "
        "identities in the settings, signed in as an administrator.",
    ),
    "CD-4705": Catalogued(
        "Something of ours is registered in the system that nothing needs any more.",
        Who.ADMINISTRATOR,
        "If no other installation of Crossdock uses it, run manage.py register --remove --apply.",
    ),
    "CD-4706": Catalogued(
        "A column that a definition names is missing and cannot be made by us.",
        Who.CONSULTANT,
        "Correct its name in the definition, or make the column by hand.",
    ),
    "CD-4707": Catalogued(
        "The system refuses a part of the registration.",
        Who.ADMINISTRATOR,
        "Look the system's code up in its documentation; the other parts have been set up.",
    ),
}
"""What setting an installation up can find and meet."""

_CODES: Mapping[Standing, str] = {
    Standing.MISSING: "CD-4703",
    Standing.DIFFERS: "CD-4703",
    Standing.SURPLUS: "CD-4705",
}


def code_of(part: Part) -> str:
    """The entry of the catalogue that says what to do about a part; none where nothing is to be done."""
    return part.code or _CODES.get(part.standing, "")
