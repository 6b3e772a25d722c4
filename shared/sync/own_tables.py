"""Tables and columns of a system that are ours: what a file with `tables:` declares, as the compiled index holds it.

`manage.py register` makes what is missing of them and `manage.py check` tells what differs. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator, model_validator

from shared.sync.compiled import Part
from shared.sync.ports import ColumnMetadata, ColumnType

MADE_IN: Final = "dataverse"
"""The system whose tables can be declared: it lets tables and columns be made from outside."""
CUSTOM: Final = re.compile(r"[a-z][a-z0-9]{1,7}_[a-z0-9_]{1,90}")
"""A name that a table or column of an organisation's own can have: a publisher's prefix has two to eight characters."""
TABLE: Final = re.compile(r"[a-z][a-z0-9_]{0,99}")
LONGEST_STRING: Final = 4000
LONGEST_MEMO: Final = 1_048_576
USUAL_LENGTH: Final = 100
MOST_DECIMALS: Final = 10
MOST_KEY_COLUMNS: Final = 16
LARGEST_CHOICE: Final = 2_147_483_647

MEMO: Final = "memo"
TYPES: Final[Mapping[str, ColumnType]] = {
    "text": ColumnType.TEXT,
    MEMO: ColumnType.TEXT,
    "integer": ColumnType.INTEGER,
    "decimal": ColumnType.DECIMAL,
    "boolean": ColumnType.BOOLEAN,
    "date": ColumnType.DATE,
    "datetime": ColumnType.DATETIME,
    "choice": ColumnType.CHOICE,
    "reference": ColumnType.REFERENCE,
}
"""Types of declared columns. memo: a text of several lines. choice, reference: by choices:, refers_to:."""
EVERY_TABLE_HAS: Final[Mapping[str, str]] = {
    "createdon": "datetime",
    "modifiedon": "datetime",
    "ownerid": "reference",
    "statecode": "integer",
    "statuscode": "integer",
}
"""Columns that come with every table, and may be shown and looked at in a view."""
MOMENTS: Final = ("date", "datetime")
_SPAN: Final = re.compile(r"(next|last) ([1-9]\d{0,2}) (days|weeks|months|years)")


class OwnColumn(Part):
    """A column: its type follows from choices and refers_to, where it has them. length in characters."""

    name: str
    label: str
    type: str = "text"
    length: int | None = None
    decimals: int | None = None
    choices: dict[str, str] = Field(default_factory=dict)
    refers_to: str = ""
    line: int = 0

    @field_validator("name")
    @classmethod
    def _can_be_ours(cls, name: str) -> str:
        if not CUSTOM.fullmatch(name):
            raise ValueError(f"'{name}' is no name of a column of your own; begin it with your prefix: cdock_…")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> OwnColumn:
        for text in _misfits(self):
            raise ValueError(f"line {self.line}: {self.name}: {text}")
        return self

    @property
    def longest(self) -> int | None:
        """How many characters it holds; None for what is no text."""
        if self.type not in ("text", MEMO):
            return None
        return self.length or USUAL_LENGTH

    @property
    def as_made(self) -> ColumnMetadata:
        """What the system will tell of it once it is made."""
        return ColumnMetadata(
            name=self.name,
            type=TYPES[self.type],
            max_length=self.longest,
            choices=self.choices,
            target=self.refers_to,
            decimals=self.decimals,
        )


def _misfits(column: OwnColumn) -> Iterator[str]:
    if column.type not in TYPES:
        yield f"type: '{column.type}' is not known; there are: {', '.join(TYPES)}"
    if bool(column.choices) != (column.type == "choice"):
        yield "type: choice needs choices:; write the values with their labels"
    if bool(column.refers_to) != (column.type == "reference"):
        yield "type: reference needs refers_to:; name the table"
    if column.refers_to and not TABLE.fullmatch(column.refers_to):
        yield f"refers_to: '{column.refers_to}' is no name of a table; correct it"
    most = {"text": LONGEST_STRING, MEMO: LONGEST_MEMO}.get(column.type)
    if column.length is not None and most is None:
        yield "length: belongs to texts; take it out"
    elif most is not None and column.length is not None and not 1 <= column.length <= most:
        yield f"length: is 1 to {most}; a longer text is of type: {MEMO}"
    if column.decimals is not None and column.type != "decimal":
        yield "decimals: belongs to type: decimal; take it out"
    elif not 0 <= (column.decimals or 0) <= MOST_DECIMALS:
        yield f"decimals: is 0 to {MOST_DECIMALS}; correct it"
    for value, label in column.choices.items():
        if not (value.isascii() and value.isdecimal()) or int(value) > LARGEST_CHOICE:
            yield f"choices: '{value}' is no whole number; a choice is known by its number"
        if not label:
            yield f"choices: {value} has no label, which people see; add it"


class Way(StrEnum):
    """How rows of a view are sorted by a column."""

    UP = "up"
    DOWN = "down"


class OwnView(Part):
    """A list of records with a name, for everybody: which columns it shows, what holds for its records, how it is
    sorted.

    where: columns with the values that each may hold; nothing is "", a span of time as `span` reads it.
    """

    name: Annotated[str, Field(max_length=200)]
    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    order: dict[str, Way] = Field(default_factory=dict)
    line: int = 0


def span(value: str) -> tuple[str, int, str] | None:
    """A value that means a span of time from now on or before, "next 90 days", in its parts."""
    found = _SPAN.fullmatch(value)
    return (found[1], int(found[2]), found[3]) if found else None


class OwnTable(Part):
    """A table of ours with its primary name column, or columns of ours in a standard table.

    needed_for: systems or kinds of systems, one of which an installation must have for the table to be made; none: any.
    keys: each the columns that together are unique.
    """

    file: str
    system: str
    table: str
    label: str = ""
    plural: str = ""
    name: OwnColumn | None = None
    columns: tuple[OwnColumn, ...] = ()
    keys: tuple[Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_KEY_COLUMNS)], ...] = ()
    views: tuple[OwnView, ...] = ()
    needed_for: tuple[str, ...] = ()
    line: int = 0

    @model_validator(mode="after")
    def _fits_together(self) -> OwnTable:
        for text in _table_misfits(self):
            raise ValueError(f"line {self.line}: {self.table}: {text}")
        for view in self.views:
            for text in _view_misfits(self, view):
                raise ValueError(f"line {view.line}: {view.name}: {text}")
        return self

    @property
    def is_ours(self) -> bool:
        """Whether the whole table is, not only columns of it."""
        return self.name is not None

    @property
    def every_column(self) -> Sequence[OwnColumn]:
        """The primary name column, if the table is ours, and the others."""
        return (*((self.name,) if self.name else ()), *self.columns)

    @property
    def targets(self) -> Sequence[str]:
        """The tables that its columns refer to."""
        return list(dict.fromkeys(one.refers_to for one in self.columns if one.refers_to))

    def column(self, name: str) -> OwnColumn | None:
        """A declared column by its name."""
        return next((one for one in self.every_column if one.name == name), None)

    def type_of(self, name: str) -> str | None:
        """The type of a column that is declared here, or that every table has; None for another one."""
        column = self.column(name)
        return column.type if column else EVERY_TABLE_HAS.get(name)

    def needed_with(self, systems: Collection[str]) -> bool:
        """Whether an installation with these systems and kinds of systems needs it."""
        return not self.needed_for or bool(set(self.needed_for) & set(systems))


def _table_misfits(table: OwnTable) -> Iterator[str]:
    said = {"label": table.label, "plural": table.plural, "name": table.name}
    missing = [f"{name}:" for name, value in said.items() if not value]
    if 0 < len(missing) < len(said):
        yield f"a table of your own has label:, plural: and name:; add {', '.join(missing)}"
    if table.name and not CUSTOM.fullmatch(table.table):
        yield "is no name of a table of your own; begin it with your prefix: cdock_…"
    if not TABLE.fullmatch(table.table):
        yield "is no name of a table; correct it"
    if table.name and table.name.type != "text":
        yield "name: is a text; take the rest out"
    names = [one.name for one in table.every_column]
    for name in names:
        if names.count(name) > 1:
            yield f"{name} is declared twice; keep one"
    for key in table.keys:
        for name in key:
            column = table.column(name)
            if column is None:
                yield f"keys: {name} is no column that is declared here; correct it"
            elif column.type in (MEMO, "boolean"):
                yield f"keys: {name} is of a type that cannot be unique; name another column"
        if len(set(key)) < len(key):
            yield f"keys: {', '.join(key)} names a column twice; keep one"
    if not table.every_column:
        yield "declares no column; add columns:, or take the table out"


def _view_misfits(table: OwnTable, view: OwnView) -> Iterator[str]:
    for name in (*view.columns, *view.where, *view.order):
        if table.type_of(name) is None:
            known = ", ".join(EVERY_TABLE_HAS)
            yield f"{name} is no column that is declared here, nor one that every table has ({known}); correct it"
            return
    for name, values in view.where.items():
        column, kind = table.column(name), table.type_of(name)
        for value in values:
            if kind in MOMENTS and value and span(value) is None:
                yield f"where: {name} is a time; say 'next 90 days', 'last 12 months' and the like"
            elif kind == "boolean" and value not in ("", "true", "false"):
                yield f"where: {name} is true or false"
            elif column and column.choices and value not in ("", *column.choices):
                yield f"where: {name} has no choice '{value}'; name one by its number"


def declared(tables: Iterable[OwnTable], system: str) -> Mapping[str, OwnTable]:
    """What is declared of a system's tables, each table once: what several files say of one is put together."""
    found: dict[str, OwnTable] = {}
    for one in tables:
        if one.system == system:
            found[one.table] = _together(found[one.table], one) if one.table in found else one
    return found


def _together(one: OwnTable, other: OwnTable) -> OwnTable:
    whole = one if one.is_ours else other
    columns, keys = (*one.columns, *other.columns), tuple(dict.fromkeys((*one.keys, *other.keys)))
    return whole.model_copy(update={"columns": columns, "keys": keys, "views": (*one.views, *other.views)})
