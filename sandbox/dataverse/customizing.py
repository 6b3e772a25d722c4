"""Tables, columns and relationships made, changed and dropped through the Web API; kept with the organisation.

What comes in as EntityMetadata, AttributeMetadata and RelationshipMetadata is turned into the form of metadata.json and
read as the standard tables are. After Microsoft Learn, 'Create and update table definitions using the Web API', 'Create
and update column definitions using the Web API' and 'Create and update table relationships using the Web API'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.dataverse import errors
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import Column, Kind, Model, Table, load_model, read_column, read_table, with_columns
from sandbox.dataverse.store import Store
from sandbox.disk import Disk

CRM = "Microsoft.Dynamics.CRM."
FIRST_CUSTOM_CODE = 10_000
LONGEST_STRING, LONGEST_MEMO = 4000, 1_048_576
ENGLISH = 1033
REQUIRED = ("None", "Recommended", "ApplicationRequired")
_SCHEMA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z]\w{0,90}")
_CHOICE_TYPES = ("Picklist", "Boolean")
Described = dict[str, Any]


@dataclass(frozen=True)
class ManyToMany:
    """A many-to-many relationship. Rows cannot be associated through it."""

    schema_name: str
    first: str
    second: str
    intersect: str


class Customizations:
    """Changes the model; `store` makes room for rows. Everything is on disk and comes back after a restart.

    `untracked` are standard tables that begin without change tracking. Switched on, it takes effect once the table is
    published.
    """

    def __init__(self, model: Model, disk: Disk, untracked: Collection[str] = ()) -> None:
        self._model = model
        self._disk = disk
        self._untracked = untracked
        self.many_to_many: dict[str, ManyToMany] = {}
        self._unpublished: set[str] = set()
        self._begin_untracked()
        self._load()

    def _begin_untracked(self) -> None:
        for name in self._untracked:
            self._model.put(replace(self._model.tables[name], tracked=False))

    def _load(self) -> None:
        for name, about in self._disk.load("table").items():
            self._model.put(read_table(name, about))
        for place, about in self._disk.load("column").items():
            table, _, name = place.partition(".")
            self._put_column(self._model.tables[table], read_column(name, about))
        for name, about in self._disk.load("many-to-many").items():
            self.many_to_many[name] = ManyToMany(**about)
        for name, published in self._disk.load("tracking").items():
            if published:
                self._model.put(replace(self._model.tables[name], tracked=True))
            else:
                self._unpublished.add(name)

    def reset(self) -> None:
        """Return to the tables every organisation begins with; the file is somebody else's to clear."""
        standard = load_model()
        for name in set(self._model.tables) - set(standard.tables):
            self._model.drop(name)
        for table in standard.tables.values():
            self._model.put(table)
        self.many_to_many.clear()
        self._unpublished.clear()
        self._begin_untracked()

    # Tables

    def create_table(self, store: Store, body: Any, prefix: str = "") -> Table:
        """Make a table from EntityMetadata; `prefix` is `Complex` for the complex types of CreateEntities."""
        if (
            not isinstance(body, dict)
            or body.get("@odata.type", "").removeprefix("#") != f"{CRM}{prefix}EntityMetadata"
        ):
            raise errors.payload_error(
                "EntityDefinitions", f"A table must be of the type '{CRM}{prefix}EntityMetadata'."
            )
        schema = _schema_name(body)
        name = schema.lower()
        if name in self._model.tables:
            raise errors.invalid_argument(f"An entity with the specified name {name} already exists.")
        if body.get("IsActivity") or body.get("OwnershipType") != "UserOwned":
            raise NotImitated("activity tables, and tables that are not owned by users")
        about = self._table_description(schema, body)
        columns = dict(_described_column(one, prefix) for one in body.get("Attributes") or [])
        about["primary_name"] = _primary_name(body.get("Attributes") or [])
        table = read_table(name, {**about, "columns": columns})
        self._model.put(table)
        store.open_table(name)
        self._disk.put("table", name, {**about, "columns": columns})
        return table

    def _table_description(self, schema: str, body: Mapping[str, Any]) -> Described:
        name = schema.lower()
        codes = [table.type_code for table in self._model.tables.values()]
        return {
            "set": _plural(name),
            "schema": schema,
            "display": _label(body.get("DisplayName"), "DisplayName"),
            "collection": _label(body.get("DisplayCollectionName"), "DisplayCollectionName"),
            "primary_id": f"{name}id",
            "common": ["created", "user_owned", "state"],
            "type_code": max(FIRST_CUSTOM_CODE, *codes) + 1,
            "tracked": bool(body.get("ChangeTrackingEnabled")),
            "has_notes": bool(body.get("HasNotes")),
            "versioned": True,
            "notices": True,
            "custom": True,
        }

    def change_table(self, table: Table, body: Any) -> None:
        """Take the PUT of a whole definition: labels and change tracking may differ, names may not."""
        if not isinstance(body, dict):
            raise errors.payload_error("EntityDefinitions", "The request body must be a JSON object.")
        for name, own in (("SchemaName", table.schema_name), ("LogicalName", table.name)):
            if body.get(name, own) != own:
                raise errors.invalid_argument(f"The {name} of a table cannot be changed.")
        tracked = body.get("ChangeTrackingEnabled", table.tracked)
        if table.tracked and not tracked:
            raise errors.invalid_argument("Change tracking cannot be switched off again.")
        if tracked and not table.tracked:
            self._unpublished.add(table.name)
            self._disk.put("tracking", table.name, False)
        changed = replace(
            table,
            display_name=_label(body.get("DisplayName"), "DisplayName", table.display_name),
            collection_display=_label(
                body.get("DisplayCollectionName"),
                "DisplayCollectionName",
                table.collection_display or f"{table.display_name}s",
            ),
        )
        if not table.custom:
            if changed.display_name != table.display_name or not _same_plural(changed, table):
                raise NotImitated("other labels for a standard table")
            return
        self._model.put(changed)
        about = self._disk.load("table").get(table.name)
        if about is not None:
            labels_kept = {"display": changed.display_name, "collection": changed.collection_display}
            self._disk.put("table", table.name, {**about, **labels_kept})

    def publish(self, names: Iterable[str] | None = None) -> None:
        """Let changes of these tables take effect, or of all; raises DataverseError for an unknown table."""
        for name in list(self._unpublished) if names is None else names:
            if name not in self._model.tables:
                raise errors.invalid_argument(f"The entity '{name}' to be published does not exist.")
            if name in self._unpublished:
                self._unpublished.remove(name)
                self._model.put(replace(self._model.tables[name], tracked=True))
                self._disk.put("tracking", name, True)

    def drop_table(self, store: Store, table: Table) -> None:
        """Drop a table with its rows; raises DataverseError while others refer to it."""
        if not table.custom:
            raise errors.invalid_argument("A standard table cannot be deleted.")
        others = {relation.referencing_table for relation in self._model.referencing(table.name)} - {table.name}
        if others - {"annotation"}:
            raise in_use("Entity", table.name)
        for column in table.columns:
            self._disk.delete("column", f"{table.name}.{column}")
        store.close_table(table.name)
        self._model.drop(table.name)
        self._unpublished.discard(table.name)
        self._disk.delete("table", table.name)
        self._disk.delete("tracking", table.name)

    # Columns

    def create_column(self, table: Table, body: Any) -> Column:
        """Make a column from AttributeMetadata; lookups come with their relationship."""
        name, about = _described_column(body, "")
        return self._add_column(table, name, about)

    def _add_column(self, table: Table, name: str, about: Described) -> Column:
        if name in table.columns:
            raise DataverseError(
                400, "0x80047013", f"An attribute with the specified name {name} already exists in {table.name}."
            )
        column = read_column(name, about)
        if column.kind is Kind.MONEY and not table.has_currency:
            raise NotImitated("amounts in a table without a currency")
        self._put_column(table, column)
        self._disk.put("column", f"{table.name}.{name}", about)
        return column

    def change_column(self, table: Table, column: Column, body: Any) -> None:
        """Take the PUT of a whole definition; type and name stay, choices that are not in it stay too."""
        if not column.custom:
            raise NotImitated("changes of a standard column")
        if (
            isinstance(body, dict)
            and "OptionSet" not in body
            and body.get("@odata.type", "").endswith(("PicklistAttributeMetadata", "BooleanAttributeMetadata"))
        ):
            body = {**body, "OptionSet": _option_set(column)}
        name, about = _described_column(body, "")
        changed = read_column(name, about)
        if (changed.name, changed.kind) != (column.name, column.kind):
            raise errors.invalid_argument("The type and the name of a column cannot be changed.")
        self._put_column(table, changed)
        self._disk.put("column", f"{table.name}.{name}", about)

    def drop_column(self, store: Store, table: Table, column: Column) -> None:
        """Drop a column with its values; raises DataverseError for one that something needs."""
        if not column.custom or column.name in (table.primary_id, table.primary_name):
            raise errors.invalid_argument(f"The column {column.name} cannot be deleted.")
        if column.relationship is not None or any(column.name in key.columns for key in store.keys(table.name)):
            raise in_use("Attribute", column.name)
        self._remove_column(store, table, column)

    def _put_column(self, table: Table, column: Column) -> None:
        self._model.put(with_columns(table, {**table.columns, column.name: column}))

    def _remove_column(self, store: Store, table: Table, column: Column) -> None:
        kept = {name: one for name, one in table.columns.items() if name != column.name}
        changed = with_columns(table, kept)
        self._model.put(changed)
        store.empty_column(table.name, set(table.columns) - set(changed.columns))
        self._disk.delete("column", f"{table.name}.{column.name}")
        about = self._disk.load("table").get(table.name)
        if about is not None and column.name in about["columns"]:
            columns = {name: one for name, one in about["columns"].items() if name != column.name}
            self._disk.put("table", table.name, {**about, "columns": columns})

    # Relationships

    def create_relationship(self, body: Any) -> str:
        """Make a relationship from its metadata, one-to-many with its lookup; returns its schema name."""
        kinds: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
            f"{CRM}OneToManyRelationshipMetadata": self._create_one_to_many,
            f"{CRM}ManyToManyRelationshipMetadata": self._create_many_to_many,
        }
        kind = body.get("@odata.type", "").removeprefix("#") if isinstance(body, dict) else ""
        if kind not in kinds:
            raise errors.payload_error("RelationshipDefinitions", "The type of the relationship is missing or wrong.")
        name = _schema_name(body)
        if name in {relation.schema_name for relation in self._model.relationships} | set(self.many_to_many):
            raise errors.invalid_argument(f"A relationship with the name {name} already exists.")
        return kinds[kind](body)

    def _create_one_to_many(self, body: Mapping[str, Any]) -> str:
        referenced, referencing = self._table(body, "ReferencedEntity"), self._table(body, "ReferencingEntity")
        lookup = body.get("Lookup")
        if (
            not isinstance(lookup, dict)
            or body.get("ReferencedAttribute", referenced.primary_id) != referenced.primary_id
        ):
            raise errors.payload_error("RelationshipDefinitions", "A one-to-many relationship needs its Lookup.")
        cascade = body.get("CascadeConfiguration") or {}
        about = {
            **_common(lookup),
            "type": "lookup",
            "targets": [referenced.name],
            "on_delete": cascade.get("Delete", "RemoveLink"),
            "on_merge": cascade.get("Merge", "NoCascade"),
            "relationship": body["SchemaName"],
        }
        self._add_column(referencing, _schema_name(lookup).lower(), about)
        return str(body["SchemaName"])

    def _create_many_to_many(self, body: Mapping[str, Any]) -> str:
        first, second = self._table(body, "Entity1LogicalName"), self._table(body, "Entity2LogicalName")
        name = str(body["SchemaName"])
        made = ManyToMany(name, first.name, second.name, str(body.get("IntersectEntityName") or name).lower())
        self.many_to_many[name] = made
        self._disk.put("many-to-many", name, vars(made))
        return name

    def _table(self, body: Mapping[str, Any], name: str) -> Table:
        table = self._model.tables.get(body.get(name, ""))
        if table is None:
            raise errors.invalid_argument(f"The entity '{body.get(name)}' of {name} does not exist.")
        return table

    def drop_relationship(self, store: Store, name: str) -> None:
        """Drop a relationship, one-to-many with its lookup and all values of it."""
        if self.many_to_many.pop(name, None) is not None:
            self._disk.delete("many-to-many", name)
            return
        relation = next(one for one in self._model.relationships if one.schema_name == name)
        if relation.column.relationship is None:
            raise errors.invalid_argument("A standard relationship cannot be deleted.")
        self._remove_column(store, self._model.tables[relation.referencing_table], relation.column)


def _same_plural(one: Table, other: Table) -> bool:
    return one.collection_display == (other.collection_display or f"{other.display_name}s")


def in_use(kind: str, name: str) -> DataverseError:
    """Refuse to drop what other components need."""
    text = f"The {kind}({name}) component cannot be deleted because it is referenced by 1 other components."
    return DataverseError(400, "0x8004f01f", text)


# What comes in, in the form of metadata.json


def _described_column(body: Any, prefix: str) -> tuple[str, Described]:
    """Turn AttributeMetadata into a name and a description."""
    if not isinstance(body, dict):
        raise errors.payload_error("Attributes", "A column must be a JSON object.")
    kind = str(body.get("@odata.type", "")).removeprefix("#").removeprefix(f"{CRM}{prefix}")
    reader = _COLUMNS.get(kind)
    if reader is None:
        if not kind.endswith("AttributeMetadata") or kind.startswith(("Complex", CRM)):
            raise errors.payload_error("Attributes", f"A column must be of a type '{CRM}{prefix}...AttributeMetadata'.")
        raise NotImitated(f"columns of the type {kind}")
    return _schema_name(body).lower(), {**_common(body), **reader(body)}


def _common(body: Mapping[str, Any]) -> Described:
    required = (body.get("RequiredLevel") or {}).get("Value", "None")
    if required not in REQUIRED:
        raise errors.payload_error("Attributes", f"'{required}' is not a required level.")
    schema = _schema_name(body)
    return {
        "schema": schema,
        "custom": True,
        "required": required,
        "display": _label(body.get("DisplayName"), "DisplayName", schema),
    }


def _string(body: Mapping[str, Any]) -> Described:
    name = (body.get("FormatName") or {}).get("Value", "Text")
    return {"type": "string", "length": _length(body, LONGEST_STRING), "format": name}


def _memo(body: Mapping[str, Any]) -> Described:
    return {"type": "memo", "length": _length(body, LONGEST_MEMO)}


def _length(body: Mapping[str, Any], most: int) -> int:
    length = body.get("MaxLength")
    if not isinstance(length, int) or not 1 <= length <= most:
        raise errors.invalid_argument(f"MaxLength must be a whole number from 1 to {most}.")
    return length


def _number(kind: str, low: float, high: float, most_precise: int) -> Callable[[Mapping[str, Any]], Described]:
    def read(body: Mapping[str, Any]) -> Described:
        least, most = body.get("MinValue", low), body.get("MaxValue", high)
        precision = body.get("Precision", min(2, most_precise))
        if not low <= least <= most <= high or not 0 <= precision <= most_precise:
            raise errors.invalid_argument(f"MinValue, MaxValue or Precision is outside what {kind} allows.")
        return {"type": kind, "min": str(least), "max": str(most), "precision": precision}

    return read


def _moment(body: Mapping[str, Any]) -> Described:
    form = body.get("Format", "DateOnly")
    if form not in ("DateOnly", "DateAndTime"):
        raise errors.payload_error("Attributes", f"'{form}' is not a format of dates.")
    return {"type": "date" if form == "DateOnly" else "datetime"}


def _two_options(body: Mapping[str, Any]) -> Described:
    options = body.get("OptionSet") or {}
    told = {name: (options.get(f"{name}Option") or {}).get("Label") for name in ("True", "False")}
    labels = {"true": _label(told["True"], "TrueOption"), "false": _label(told["False"], "FalseOption")}
    default = body.get("DefaultValue")
    if default is not None and not isinstance(default, bool):
        raise errors.payload_error("Attributes", "DefaultValue must be true or false.")
    return {"type": "bool", **labels, "default": default}


def _choice(body: Mapping[str, Any]) -> Described:
    options = body.get("OptionSet")
    if not isinstance(options, dict) or options.get("IsGlobal"):
        raise NotImitated("choices that refer to a global option set")
    listed = options.get("Options") or []
    if not listed or not all(isinstance(one.get("Value"), int) for one in listed):
        raise errors.payload_error("Attributes", "Every option needs a Value.")
    return {"type": "choice", "options": {str(one["Value"]): _label(one.get("Label"), "Label") for one in listed}}


def _file(body: Mapping[str, Any]) -> Described:
    return {"type": "file", "write": "none"}


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], Described]] = {
    "StringAttributeMetadata": _string,
    "MemoAttributeMetadata": _memo,
    "IntegerAttributeMetadata": _number("int", -2_147_483_648, 2_147_483_647, 0),
    "DecimalAttributeMetadata": _number("decimal", -100_000_000_000, 100_000_000_000, 10),
    "DoubleAttributeMetadata": _number("double", -100_000_000_000, 100_000_000_000, 5),
    "MoneyAttributeMetadata": _number("money", -922_337_203_685_477, 922_337_203_685_477, 4),
    "DateTimeAttributeMetadata": _moment,
    "BooleanAttributeMetadata": _two_options,
    "PicklistAttributeMetadata": _choice,
    "FileAttributeMetadata": _file,
}


def _option_set(column: Column) -> Described:
    def told(text: str) -> Described:
        return {"Label": {"LocalizedLabels": [{"Label": text, "LanguageCode": ENGLISH}]}}

    if column.kind is Kind.BOOL:
        return {"TrueOption": told(column.labels[1]), "FalseOption": told(column.labels[0])}
    return {"IsGlobal": False, "Options": [{"Value": value, **told(text)} for value, text in column.options.items()]}


def _schema_name(body: Mapping[str, Any]) -> str:
    name = body.get("SchemaName")
    if not isinstance(name, str) or not _SCHEMA_NAME.fullmatch(name):
        raise errors.invalid_argument(f"'{name}' is not a SchemaName with a customization prefix.")
    return name


def _primary_name(columns: list[Any]) -> str:
    named = [one for one in columns if isinstance(one, dict) and one.get("IsPrimaryName")]
    if len(named) != 1 or not str(named[0].get("@odata.type")).endswith("StringAttributeMetadata"):
        raise errors.invalid_argument("A table needs exactly one primary name column, which must be text.")
    return _schema_name(named[0]).lower()


def _label(body: Any, place: str, usual: str | None = None) -> str:
    """Return the English text of a Label; other languages are not imitated."""
    if body is None and usual is not None:
        return usual
    labels = body.get("LocalizedLabels") if isinstance(body, dict) else None
    if not isinstance(labels, list) or not labels:
        raise errors.payload_error("", f"The label {place} has no LocalizedLabels.")
    if any(one.get("LanguageCode") != ENGLISH for one in labels):
        raise NotImitated("labels in other languages than English (1033)")
    return str(labels[0].get("Label", ""))


def _plural(name: str) -> str:
    """Return the name of a new table's set, as the platform makes it."""
    if name.endswith("y") and name[-2:-1] not in tuple("aeiou"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "z", "ch", "sh")) else f"{name}s"
