"""What an installation needs to have set up in a system before records move: what is wanted, and what is found of it.

What the definitions want is the same for every system; what it means there (steps, keys, switches of a table) is its
connector's, which looks and answers parts. A part that fits is left alone, one that is missing or differs can be
settled, one that is ours and no longer wanted is removed only when somebody says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from shared.errors import Who
from shared.sync.checking import travels, wanted_keys
from shared.sync.definition import Definition, FieldRule, IfMissing, Index
from shared.sync.joined import parts_of
from shared.sync.ports import ColumnMetadata, Side
from shared.sync.problems import Catalogued
from shared.sync.surveying import Survey
from shared.sync.walking import feeds


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
    an entry of the catalogue, where somebody has to do something. work: what the connector does about it.
    """

    kind: str
    name: str
    standing: Standing
    told: str = ""
    code: str = ""
    id: str = ""
    work: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class ColumnWish:
    """A column that a definition names and the table does not have. like: what its partner holds, if it has one.
    choices: its own values with their labels, where the definition has a table of values."""

    name: str
    like: ColumnMetadata | None = None
    choices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableWish:
    """What one table needs. columns: those whose change concerns a transfer; none: every change does. walked: its
    change feed is read. keys: columns that have to be unique. missing: columns that the definitions name and that the
    table does not have."""

    table: str
    columns: tuple[str, ...] = ()
    walked: bool = False
    keys: tuple[str, ...] = ()
    missing: tuple[ColumnWish, ...] = ()


@dataclass(frozen=True, slots=True)
class NoticeWish:
    """Where a system is to send its notices, and the header that lets them in. known_on: the id of what the present
    secret was last set on, since no system shows it."""

    address: str
    header: str
    secret: str = field(repr=False)
    known_on: str = ""


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
    """What the definitions want of each table of a system that concerns a transfer."""
    found: dict[str, TableWish] = {}
    for feed in feeds(index):
        if feed.system == system:
            one = _of_related(feed.table) if feed.is_related else _of_pair(feed.definition, feed.side, survey)
            one = TableWish(one.table, one.columns, feed.every is not None, one.keys, one.missing)
            found[feed.table] = _together(found[feed.table], one) if feed.table in found else one
    return list(found.values())


def _of_related(table: str) -> TableWish:
    """Whatever changes in a related record may change what holds for the record it names."""
    return TableWish(table)


def _of_pair(definition: Definition, side: Side, survey: Survey) -> TableWish:
    place = (definition.table(side).system, definition.table(side).table)
    named = [part for name in definition.columns(side) for part in parts_of(name)]
    names = tuple(dict.fromkeys(survey.near(place, name) for name in named))
    optional = {rule.column(side) for rule in definition.fields if rule.if_missing is IfMissing.LEAVE_OUT}
    unknown = [name for name in names if survey.column(place, name) is None and name not in optional]
    missing = [_column(definition, side, name, survey) for name in unknown]
    keys = [name for where, name, _ in wanted_keys(definition, survey) if where is side]
    return TableWish(place[1], names, keys=tuple(dict.fromkeys(keys)), missing=tuple(missing))


def _column(definition: Definition, side: Side, name: str, survey: Survey) -> ColumnWish:
    other = definition.table(side.other)
    for rule in definition.fields:
        if rule.column(side) == name and any(travels(definition, rule, source) for source in Side):
            like = survey.column((other.system, other.table), rule.column(side.other))
            return ColumnWish(name, like, _choices(rule, side, like))
    return ColumnWish(name)


def _choices(rule: FieldRule, side: Side, like: ColumnMetadata | None) -> Mapping[str, str]:
    """The values of one side in the table of values, with what they mean to the other."""
    labels = like.choices if like else {}
    pairs = rule.values.items() if rule.convert == "values" else ()
    told = dict(pairs) if side is Side.LEFT else {right: left for left, right in pairs}
    return {own: labels.get(other) or other for own, other in told.items()}


def _together(one: TableWish, other: TableWish) -> TableWish:
    """What two definitions want of the same table."""
    every = not one.columns or not other.columns
    return TableWish(
        one.table,
        () if every else tuple(dict.fromkeys(one.columns + other.columns)),
        one.walked or other.walked,
        tuple(dict.fromkeys(one.keys + other.keys)),
        tuple(_first_of_each(one.missing + other.missing)),
    )


def _first_of_each(wanted: Sequence[ColumnWish]) -> Iterator[ColumnWish]:
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
