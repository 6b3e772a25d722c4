"""The tables the imitation knows, read from metadata.json: columns, types, lookups, navigation names.

Everything else asks here: what a table is called in URLs, what may be written, how a property is typed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any


class Kind(StrEnum):
    """The type of a column, in the words of metadata.json."""

    GUID = "guid"
    STRING = "string"
    MEMO = "memo"
    INT = "int"
    BIGINT = "bigint"
    DECIMAL = "decimal"
    DOUBLE = "double"
    MONEY = "money"
    BOOL = "bool"
    DATETIME = "datetime"
    DATE = "date"
    CHOICE = "choice"
    STATE = "state"
    STATUS = "status"
    LOOKUP = "lookup"
    OWNER = "owner"
    CUSTOMER = "customer"
    FILE = "file"


LOOKUPS = frozenset({Kind.LOOKUP, Kind.OWNER, Kind.CUSTOMER})
CHOICES = frozenset({Kind.CHOICE, Kind.STATE, Kind.STATUS})
EDM: Mapping[Kind, str] = {
    Kind.GUID: "Edm.Guid",
    Kind.STRING: "Edm.String",
    Kind.MEMO: "Edm.String",
    Kind.INT: "Edm.Int32",
    Kind.BIGINT: "Edm.Int64",
    Kind.DECIMAL: "Edm.Decimal",
    Kind.DOUBLE: "Edm.Double",
    Kind.MONEY: "Edm.Decimal",
    Kind.BOOL: "Edm.Boolean",
    Kind.DATETIME: "Edm.DateTimeOffset",
    Kind.DATE: "Edm.Date",
    Kind.CHOICE: "Edm.Int32",
    Kind.STATE: "Edm.Int32",
    Kind.STATUS: "Edm.Int32",
    Kind.LOOKUP: "Edm.Guid",
    Kind.OWNER: "Edm.Guid",
    Kind.CUSTOMER: "Edm.Guid",
    Kind.FILE: "Edm.Guid",
}
"""Edm types after Microsoft Learn, 'Web API properties', section 'Types and properties'."""


@dataclass(frozen=True)
class Column:
    """One column. `write`: both, create or none. `length` counts characters; `options` are values to labels."""

    name: str
    kind: Kind
    schema_name: str
    length: int | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    precision: int = 0
    options: Mapping[int, str] = field(default_factory=dict)
    states: Mapping[int, int] = field(default_factory=dict)
    """For a status column: the state each status belongs to."""
    labels: tuple[str, str] = ("No", "Yes")
    default: Any = None
    targets: tuple[str, ...] = ()
    polymorphic: bool = False
    suffix: str = ""
    """What follows the target's name in the navigation properties of a polymorphic lookup: activities have one."""
    on_delete: str = "RemoveLink"
    on_merge: str = "Cascade"
    write: str = "both"
    readable: bool = True
    custom: bool = False
    format_name: str | None = None
    computed: bool = False
    """A column that follows another one: the `_base` of an amount, the name of a file."""
    display: str | None = None
    required: str = "None"
    relationship: str | None = None
    """The schema name of a lookup's relationship, where it was given one."""

    @property
    def is_lookup(self) -> bool:
        """Say whether the column holds another row's id."""
        return self.kind in LOOKUPS

    @property
    def property_name(self) -> str:
        """Return the name of the readable property: lookups are `_name_value`."""
        return f"_{self.name}_value" if self.is_lookup else self.name

    def navigation_names(self) -> dict[str, str]:
        """Return the navigation properties of a lookup, each with the table it points to."""
        if self.kind is Kind.OWNER:
            return {self.name: self.targets[0]}
        if self.kind is Kind.CUSTOMER or self.polymorphic:
            return {f"{self.name}_{target}{self.suffix}": target for target in self.targets}
        if not self.is_lookup:
            return {}
        return {(self.schema_name if self.custom else self.name): self.targets[0]}


@dataclass(frozen=True)
class Relationship:
    """A lookup seen from both ends (many to one)."""

    schema_name: str
    referencing_table: str
    column: Column
    referenced_table: str
    navigation_name: str
    collection_name: str


@dataclass(frozen=True)
class Table:
    """One table. `columns` includes the primary id; `properties` maps readable property names to columns."""

    name: str
    set_name: str
    schema_name: str
    display_name: str
    primary_id: str
    primary_name: str
    columns: Mapping[str, Column]
    type_code: int
    tracked: bool = False
    versioned: bool = False
    notices: bool = False
    read_only: bool = False
    delete_only: bool = False
    custom: bool = False
    has_notes: bool = False
    collection_display: str | None = None
    properties: Mapping[str, Column] = field(init=False)
    navigations: Mapping[str, tuple[Column, str]] = field(init=False)

    def __post_init__(self) -> None:
        readable = {c.property_name: c for c in self.columns.values() if c.readable}
        navigations = {
            name: (column, target)
            for column in self.columns.values()
            for name, target in column.navigation_names().items()
        }
        object.__setattr__(self, "properties", MappingProxyType(readable))
        object.__setattr__(self, "navigations", MappingProxyType(navigations))

    @property
    def has_currency(self) -> bool:
        """Say whether rows carry a currency and an exchange rate."""
        return "transactioncurrencyid" in self.columns and self.name != "transactioncurrency"


class Model:
    """All tables of one organisation, by logical name and by entity set name; they can be added and changed."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self.tables: Mapping[str, Table] = tables
        self._derive()

    def put(self, table: Table) -> None:
        """Add a table, or take its new definition."""
        self.tables = {**self.tables, table.name: table}
        self._derive()

    def drop(self, name: str) -> None:
        """Forget a table."""
        self.tables = {other: table for other, table in self.tables.items() if other != name}
        self._derive()

    def _derive(self) -> None:
        self.tables = _with_notes(self.tables)
        self.by_set = {table.set_name: table for table in self.tables.values()}
        self.relationships = [relation for table in self.tables.values() for relation in _relationships(table)]
        self._referencing: dict[str, list[Relationship]] = {}
        self.collections: dict[tuple[str, str], Relationship] = {}
        for relation in self.relationships:
            self._referencing.setdefault(relation.referenced_table, []).append(relation)
            self.collections[(relation.referenced_table, relation.collection_name)] = relation

    def referencing(self, table: str) -> list[Relationship]:
        """Return the relationships whose lookups point to a table."""
        return self._referencing.get(table, [])

    def edm_type(self, table: Table, path: str) -> str | None:
        """Return the Edm type of a property path such as `name` or `sdkmessageid/name`, or None if unknown."""
        first, _, rest = path.partition("/")
        if not rest:
            column = table.properties.get(first)
            return EDM[column.kind] if column is not None else None
        navigation = table.navigations.get(first)
        target = self.tables.get(navigation[1]) if navigation is not None else None
        return self.edm_type(target, rest) if target is not None else None


def _with_notes(tables: Mapping[str, Table]) -> Mapping[str, Table]:
    """The tables, notes regarding every one that has them."""
    notes = tables.get("annotation")
    if notes is None:
        return tables
    regarding = notes.columns["objectid"]
    targets = tuple(name for name, table in tables.items() if table.has_notes)
    if targets == regarding.targets:
        return tables
    columns = {**notes.columns, "objectid": replace(regarding, targets=targets)}
    return {**tables, "annotation": with_columns(notes, columns)}


def _relationships(table: Table) -> list[Relationship]:
    found = []
    for column in table.columns.values():
        for navigation, target in column.navigation_names().items():
            usual = f"{column.schema_name}_{target}" if column.custom else f"{target}_{table.name}_{column.name}"
            prefix = column.relationship or usual
            collection = KNOWN_COLLECTIONS.get((table.name, navigation), prefix)
            found.append(Relationship(prefix, table.name, column, target, navigation, collection))
    return found


KNOWN_COLLECTIONS = {
    ("sdkmessageprocessingstep", "eventhandler_serviceendpoint"): "serviceendpoint_sdkmessageprocessingstep",
    (
        "sdkmessageprocessingstepimage",
        "sdkmessageprocessingstepid",
    ): "sdkmessageprocessingstepid_sdkmessageprocessingstepimage",
    ("contact", "parentcustomerid_account"): "contact_customer_accounts",
    ("incident", "customerid_account"): "incident_customer_accounts",
    ("incident", "customerid_contact"): "incident_customer_contacts",
    ("opportunity", "customerid_account"): "opportunity_customer_accounts",
    ("opportunity", "parentaccountid"): "opportunity_parent_account",
    ("annotation", "objectid_account"): "Account_Annotation",
}
"""Collection-valued navigation names as the table reference gives them; the others follow a pattern."""


def load_model() -> Model:
    """Return the tables every organisation begins with, as a model of its own."""
    return Model(_standard_tables())


@cache
def _standard_tables() -> Mapping[str, Table]:
    return {name: read_table(name, about) for name, about in _described()["tables"].items()}


@cache
def _described() -> dict[str, Any]:
    text = (Path(__file__).parent / "metadata.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def read_table(name: str, about: Mapping[str, Any]) -> Table:
    """Read a table's description in the form of metadata.json."""
    common = _described()["common"]
    described: dict[str, Any] = {about["primary_id"]: {"type": "guid", "write": "create"}}
    for source in (about["columns"], *(common[group] for group in about["common"])):
        described.update({column: rest for column, rest in source.items() if column not in described})
    flags = ("tracked", "versioned", "notices", "read_only", "delete_only", "custom", "has_notes")
    return Table(
        name=name,
        set_name=about["set"],
        schema_name=about["schema"],
        display_name=about["display"],
        primary_id=about["primary_id"],
        primary_name=about["primary_name"],
        columns=MappingProxyType(_all_columns({one: read_column(one, rest) for one, rest in described.items()})),
        type_code=about["type_code"],
        collection_display=about.get("collection"),
        **{flag: about.get(flag, False) for flag in flags},
    )


def with_columns(table: Table, columns: Mapping[str, Column]) -> Table:
    """Return a table with these columns instead, and those that follow from them."""
    own = {name: column for name, column in columns.items() if not column.computed}
    return replace(table, columns=MappingProxyType(_all_columns(own)))


def _all_columns(columns: Mapping[str, Column]) -> dict[str, Column]:
    found: dict[str, Column] = {}
    for name, column in columns.items():
        found[name] = column
        if column.kind is Kind.MONEY:
            found[f"{name}_base"] = _base_column(column)
        if column.kind is Kind.FILE:
            found[f"{name}_name"] = _name_column(column)
    return found


def read_column(name: str, about: Mapping[str, Any]) -> Column:
    """Read a column's description in the form of metadata.json."""
    return Column(
        name=name,
        kind=Kind(about["type"]),
        schema_name=about.get("schema", name),
        length=about.get("length"),
        minimum=Decimal(str(about["min"])) if "min" in about else None,
        maximum=Decimal(str(about["max"])) if "max" in about else None,
        precision=about.get("precision", 0),
        options=MappingProxyType({int(value): label for value, label in about.get("options", {}).items()}),
        states=MappingProxyType({int(status): state for status, state in about.get("states", {}).items()}),
        labels=(about.get("false", "No"), about.get("true", "Yes")),
        default=about.get("default"),
        targets=tuple(about.get("targets", ())),
        polymorphic=about.get("polymorphic", False),
        suffix=about.get("suffix", ""),
        on_delete=about.get("on_delete", "RemoveLink"),
        on_merge=about.get("on_merge", "Cascade"),
        write=about.get("write", "both"),
        readable=about.get("read", True),
        custom=about.get("custom", False),
        format_name=about.get("format"),
        display=about.get("display"),
        required=about.get("required", "None"),
        relationship=about.get("relationship"),
    )


def _base_column(money: Column) -> Column:
    return Column(
        name=f"{money.name}_base",
        kind=Kind.MONEY,
        schema_name=f"{money.schema_name}_Base",
        precision=money.precision,
        write="none",
        custom=money.custom,
        computed=True,
    )


def _name_column(file: Column) -> Column:
    """The column that holds the name of a file."""
    return Column(
        name=f"{file.name}_name",
        kind=Kind.STRING,
        schema_name=f"{file.schema_name}_Name",
        length=255,
        write="none",
        custom=file.custom,
        computed=True,
    )
