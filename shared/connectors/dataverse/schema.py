"""Tables and columns as the organisation's own metadata describes them.

Set names, primary ids and the case of navigation properties follow no rule, so they are read (Microsoft Learn, 'Query
table definitions using the Web API').
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from shared.connectors.cache import Cache
from shared.connectors.dataverse.client import DataverseClient
from shared.connectors.dataverse.errors import SYSTEM, Doing
from shared.connectors.related import split_column
from shared.errors import Answer, BadAnswer, NotAllowed, UnknownColumn
from shared.strict_json import Json, JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import Clock, ColumnMetadata, ColumnType, TableLabel

_TABLE = re.compile(r"[a-z][a-z0-9_]*")
FRESH_SECONDS = 60.0
MOST_RESOLVED = 500
"""Lists of columns that are kept resolved: a definition asks for the same few again and again."""
TYPES = {
    "String": ColumnType.TEXT,
    "Memo": ColumnType.TEXT,
    "EntityName": ColumnType.TEXT,
    "Integer": ColumnType.INTEGER,
    "BigInt": ColumnType.INTEGER,
    "Decimal": ColumnType.DECIMAL,
    "Double": ColumnType.DECIMAL,
    "Money": ColumnType.DECIMAL,
    "Boolean": ColumnType.BOOLEAN,
    "DateTime": ColumnType.DATETIME,
    "Picklist": ColumnType.CHOICE,
    "State": ColumnType.CHOICE,
    "Status": ColumnType.CHOICE,
    "Uniqueidentifier": ColumnType.KEY,
    "Lookup": ColumnType.REFERENCE,
    "Customer": ColumnType.REFERENCE,
    "Owner": ColumnType.REFERENCE,
}
"""Attribute types that a definition may name; the others (party lists, managed properties) are left out."""
VIRTUAL_TYPES = {"MultiSelectPicklistType": ColumnType.TEXT}
"""Of the type `Virtual` by its more exact name: several choices travel as one text of their numbers. Files and images
travel on ways of their own, and the labels beside choices and references are in no record."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A reference: the column that holds it, the navigation property that writes it, the table it points to."""

    column: str
    navigation: str
    target: str


MERGED, MERGED_INTO = "merged", "masterid"


@dataclass(frozen=True, slots=True)
class Table:
    """What the connector needs to know of a table."""

    name: str
    set_name: str
    primary_id: str
    tracked: bool
    columns: Mapping[str, ColumnMetadata]
    lookups: Sequence[Lookup]
    has_notes: bool = False

    @property
    def merges(self) -> bool:
        """Whether its records can be merged, and name the one that they were merged into."""
        return {MERGED, MERGED_INTO} <= self.columns.keys()


@dataclass(frozen=True, slots=True)
class Field:
    """A column as a definition names it. lookup: for references and dotted names; far: the name behind the dot.
    shared: its column may point to other tables than the one that the name means."""

    name: str
    type: ColumnType
    lookup: Lookup | None = None
    far: str = ""
    shared: bool = False

    @property
    def json_name(self) -> str:
        """The property that carries it in a row; a dotted name's is that of its reference."""
        return f"_{self.lookup.column}_value" if self.lookup else self.name


class Schema:
    """The tables of one organisation, kept for an hour; a name that seems unknown is looked up anew first."""

    def __init__(self, client: DataverseClient, clock: Clock) -> None:
        self._client = client
        self._tables = Cache(clock, self._load)
        self._details = Cache(clock, self._load_details)
        self._measured = Cache(clock, self._load_measured)
        self._resolved: dict[tuple[str, tuple[str, ...]], tuple[Table, list[Field]]] = {}
        self._messages = Cache(clock, self._load_message)
        self._with_notes: set[str] = set()

    async def table(self, name: str) -> Table:
        """A table by its logical name; raises UnknownColumn."""
        return await self._tables.get(_safe(name))

    def has_notes(self, name: str) -> bool:
        """Whether records of a table that has been looked at can have notes."""
        return name in self._with_notes

    async def detailed_columns(self, name: str) -> Mapping[str, ColumnMetadata]:
        """The columns with lengths and choices, for checks of definitions; costs several requests."""
        return await self._details.get(_safe(name))

    async def measured_columns(self, name: str) -> Mapping[str, ColumnMetadata]:
        """The detailed columns with what numbers may be; costs a few requests more."""
        return await self._measured.get(_safe(name))

    async def reread(self, name: str) -> Mapping[str, ColumnMetadata]:
        """The columns with lengths and choices as they are now."""
        await self._tables.get(_safe(name), at_most_seconds_old=-1)
        return await self._details.get(name, at_most_seconds_old=-1)

    async def tables(self) -> list[TableLabel]:
        """Every table that our identity may see the definition of, in no order."""
        query = [("$select", "LogicalName,DisplayName")]
        page = await self._client.get("EntityDefinitions", query, "EntityDefinitions", Doing.METADATA)
        try:
            rows = [as_object(row, "a table") for row in as_list(page.get("value"), "value")]
            return [
                TableLabel(as_text(row.get("LogicalName"), "LogicalName"), label_of(row, "DisplayName")) for row in rows
            ]
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: the list of tables: {error}") from None

    async def takes(self, message: str, table: str) -> bool:
        """Whether the organisation offers a bulk message for a table; not every standard table has one."""
        return await self._messages.get(f"{message} {_safe(table)}")

    async def _load_message(self, name: str) -> bool:
        message, table = name.split(" ")
        condition = f"sdkmessageid/name eq '{message}' and primaryobjecttypecode eq '{table}'"
        query = [("$select", "sdkmessagefilterid"), ("$filter", condition), ("$top", "1")]
        try:
            page = await self._client.get("sdkmessagefilters", query, "sdkmessagefilters", Doing.METADATA)
        except NotAllowed:
            return False
        return bool(page.get("value"))

    async def fields(self, table: str, names: Sequence[str]) -> list[Field]:
        """The columns a definition names; raises UnknownColumn for the first that does not exist."""
        shape, asked = await self.table(table), (table, tuple(names))
        of, known = self._resolved.get(asked, (None, []))
        if of is shape:
            return list(known)
        try:
            found = [await self._field(shape, name) for name in names]
        except UnknownColumn:
            shape = await self._tables.get(_safe(table), at_most_seconds_old=FRESH_SECONDS)
            found = [await self._field(shape, name) for name in names]
        if not any(one.far for one in found):  # those depend on other tables too
            if len(self._resolved) >= MOST_RESOLVED:
                self._resolved.clear()
            self._resolved[asked] = shape, found
        return list(found)

    async def _field(self, table: Table, name: str) -> Field:
        try:
            near, far = split_column(name)
        except ValueError:
            raise _unknown(name) from None
        lookup = _lookup(table, near)
        if far:
            if lookup is None:
                raise _unknown(name)
            column = (await self.table(lookup.target)).columns.get(far)
        else:
            column = table.columns.get(lookup.column if lookup else near)
        if column is None or (not far and column.type is ColumnType.REFERENCE and lookup is None):
            raise _unknown(name)
        return Field(name, column.type, lookup, far, lookup is not None and _is_shared(table, lookup))

    async def _load(self, name: str) -> Table:
        path, template = f"EntityDefinitions(LogicalName='{name}')", "EntityDefinitions(..)"
        definition = await self._client.get(path, _DEFINITION, template, Doing.METADATA)
        cast = "Attributes/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata"
        dates = await self._client.get(f"{path}/{cast}", [], f"{template}/{cast}", Doing.METADATA)
        try:
            table = _table(name, definition, _date_only(dates))
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: metadata of {name}: {error}") from None
        (self._with_notes.add if table.has_notes else self._with_notes.discard)(name)
        return table

    async def _load_details(self, name: str) -> Mapping[str, ColumnMetadata]:
        table = await self.table(name)
        columns = {**table.columns, **_references(table)}
        try:
            for cast, query in _DETAILS:
                for row in await self._attributes_of(name, cast, query):
                    column = as_text(row.get("LogicalName"), "LogicalName")
                    if column in columns:
                        columns[column] = _detailed(columns[column], row)
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: metadata of {name}: {error}") from None
        return columns

    async def _load_measured(self, name: str) -> Mapping[str, ColumnMetadata]:
        columns = dict(await self.detailed_columns(name))
        try:
            for cast, selected in _MEASURES:
                for row in await self._attributes_of(name, cast, [("$select", f"LogicalName,{selected}")]):
                    column = as_text(row.get("LogicalName"), "LogicalName")
                    if column in columns:
                        columns[column] = _measured(columns[column], row)
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: metadata of {name}: {error}") from None
        return columns

    async def _attributes_of(self, table: str, cast: str, query: list[tuple[str, str]]) -> list[JsonObject]:
        path = f"EntityDefinitions(LogicalName='{table}')/Attributes/Microsoft.Dynamics.CRM.{cast}"
        page = await self._client.get(path, query, f"EntityDefinitions(..)/Attributes/{cast}", Doing.METADATA)
        return [as_object(row, "an attribute") for row in as_list(page.get("value"), "value")]


_COLUMN = "LogicalName,AttributeType,AttributeTypeName,IsValidForCreate,IsValidForUpdate"
_RELATION = "ReferencingAttribute,ReferencingEntityNavigationPropertyName,ReferencedEntity"
_DEFINITION = [
    ("$select", "LogicalName,EntitySetName,PrimaryIdAttribute,ChangeTrackingEnabled,HasNotes"),
    ("$expand", f"Attributes($select={_COLUMN}),ManyToOneRelationships($select={_RELATION})"),
]
_OPTIONS = [("$select", "LogicalName"), ("$expand", "OptionSet($select=Options)")]
_DETAILS: Sequence[tuple[str, list[tuple[str, str]]]] = (
    ("StringAttributeMetadata", [("$select", "LogicalName,MaxLength")]),
    ("MemoAttributeMetadata", [("$select", "LogicalName,MaxLength")]),
    ("PicklistAttributeMetadata", _OPTIONS),
    ("StateAttributeMetadata", _OPTIONS),
    ("StatusAttributeMetadata", _OPTIONS),
)

_MEASURES = (
    ("IntegerAttributeMetadata", "MinValue,MaxValue"),
    ("DecimalAttributeMetadata", "MinValue,MaxValue,Precision"),
    ("DoubleAttributeMetadata", "MinValue,MaxValue,Precision"),
    ("MoneyAttributeMetadata", "MinValue,MaxValue"),
)
"""How many places an amount has depends on its currency, too (`PrecisionSource`)."""


def _safe(name: str) -> str:
    if not _TABLE.fullmatch(name):
        raise _unknown(name)
    return name


def _unknown(name: str) -> UnknownColumn:
    return UnknownColumn(SYSTEM, Answer(field=name))


def _lookup(table: Table, near: str) -> Lookup | None:
    """A reference by its column, if that points to one table only, or by its navigation property."""
    exact = [lookup for lookup in table.lookups if lookup.navigation == near]
    if exact:
        return exact[0]
    by_column = [lookup for lookup in table.lookups if lookup.column == near]
    return by_column[0] if len(by_column) == 1 else None


def _is_shared(table: Table, lookup: Lookup) -> bool:
    return any(one.column == lookup.column and one.target != lookup.target for one in table.lookups)


def _table(name: str, row: JsonObject, dates: Collection[str]) -> Table:
    columns = [_column(as_object(item, "a column"), dates) for item in as_list(row.get("Attributes"), "Attributes")]
    relations = as_list(row.get("ManyToOneRelationships"), "ManyToOneRelationships")
    lookups = [_relation(as_object(item, "a relationship")) for item in relations]
    return Table(
        name=name,
        set_name=as_text(row.get("EntitySetName"), "EntitySetName"),
        primary_id=as_text(row.get("PrimaryIdAttribute"), "PrimaryIdAttribute"),
        tracked=row.get("ChangeTrackingEnabled") is not False,
        columns={column.name: column for column in columns if column is not None},
        lookups=lookups,
        has_notes=row.get("HasNotes") is True,
    )


def _date_only(attributes: JsonObject) -> list[str]:
    """Columns that hold a day without time and zone; the others hold a moment (Microsoft Learn, 'Behavior and format
    of the date and time column')."""
    rows = [as_object(item, "an attribute") for item in as_list(attributes.get("value"), "value")]
    return [as_text(row.get("LogicalName"), "LogicalName") for row in rows if _behaviour(row) == "DateOnly"]


def _behaviour(row: JsonObject) -> Json:
    """The behaviour decides the form of the value; the format only where an answer leaves the behaviour out."""
    behaviour = row.get("DateTimeBehavior")
    return behaviour.get("Value") if isinstance(behaviour, dict) else row.get("Format")


def _column(row: JsonObject, dates: Collection[str]) -> ColumnMetadata | None:
    name = as_text(row.get("LogicalName"), "LogicalName")
    kind = _kind(row)
    if name in dates:
        kind = ColumnType.DATE
    updatable = row.get("IsValidForUpdate") is not False
    writable = updatable or row.get("IsValidForCreate") is not False
    return None if kind is None else ColumnMetadata(name, kind, writable=writable, updatable=updatable)


def _kind(row: JsonObject) -> ColumnType | None:
    kind = as_text(row.get("AttributeType"), "AttributeType")
    if kind != "Virtual":
        return TYPES.get(kind)
    exact = row.get("AttributeTypeName")
    return VIRTUAL_TYPES.get(str(exact.get("Value"))) if isinstance(exact, dict) else None


def _relation(row: JsonObject) -> Lookup:
    return Lookup(
        column=as_text(row.get("ReferencingAttribute"), "ReferencingAttribute"),
        navigation=as_text(row.get("ReferencingEntityNavigationPropertyName"), "the navigation property"),
        target=as_text(row.get("ReferencedEntity"), "ReferencedEntity"),
    )


def _references(table: Table) -> dict[str, ColumnMetadata]:
    """The references by every name that a definition may give them: the column where it points to one table only, and
    the navigation properties."""
    found = {}
    for name in dict.fromkeys(name for one in table.lookups for name in (one.column, one.navigation)):
        lookup = _lookup(table, name)
        column = table.columns.get(lookup.column) if lookup else None
        if lookup and column:
            found[name] = replace(column, name=name, target=lookup.target)
    return found


def _detailed(column: ColumnMetadata, row: JsonObject) -> ColumnMetadata:
    length = row.get("MaxLength")
    if isinstance(length, int):
        return replace(column, max_length=length)
    options = row.get("OptionSet")
    if isinstance(options, dict):
        return replace(column, choices=dict(_choice(option) for option in as_list(options.get("Options"), "Options")))
    return column


def _measured(column: ColumnMetadata, row: JsonObject) -> ColumnMetadata:
    places = row.get("Precision")
    return replace(
        column,
        least=_limit(row.get("MinValue")),
        most=_limit(row.get("MaxValue")),
        decimals=places if isinstance(places, int) else column.decimals,
    )


def _limit(value: Json) -> Decimal | None:
    return Decimal(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None


def _choice(option: Json) -> tuple[str, str]:
    row = as_object(option, "an option")
    return str(row.get("Value")), label_of(row, "Label")


def label_of(row: JsonObject, name: str) -> str:
    """A label in our user's language; empty where there is none."""
    label = row.get(name)
    localised = label.get("UserLocalizedLabel") if isinstance(label, dict) else None
    text = localised.get("Label") if isinstance(localised, dict) else None
    return text if isinstance(text, str) else ""
