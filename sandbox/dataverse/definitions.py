"""EntityDefinitions: what the organisation says about its tables, and alternate keys made through it.

After Microsoft Learn, 'Query table definitions using the Web API' and 'Define alternate keys using the Web API'.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

from sandbox.clock import Clock
from sandbox.dataverse import errors
from sandbox.dataverse.customizing import ManyToMany
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import CHOICES, Column, Kind, Model, Relationship, Table
from sandbox.dataverse.security import ACTIONS, DEPTHS, Security, privilege_id, privilege_name
from sandbox.dataverse.store import AlternateKey, Store
from sandbox.odata import BadQuery, UnsupportedQuery, compile_filter

CRM = "Microsoft.Dynamics.CRM"
KEY_TYPES = frozenset(
    {Kind.STRING, Kind.INT, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.CHOICE, Kind.LOOKUP, Kind.CUSTOMER}
)
MAX_KEYS, MAX_KEY_COLUMNS, MAX_KEY_BYTES = 10, 16, 900
_TYPES: Mapping[Kind, tuple[str, str]] = {
    Kind.GUID: ("Uniqueidentifier", "AttributeMetadata"),
    Kind.STRING: ("String", "StringAttributeMetadata"),
    Kind.MEMO: ("Memo", "MemoAttributeMetadata"),
    Kind.INT: ("Integer", "IntegerAttributeMetadata"),
    Kind.BIGINT: ("BigInt", "BigIntAttributeMetadata"),
    Kind.DECIMAL: ("Decimal", "DecimalAttributeMetadata"),
    Kind.DOUBLE: ("Double", "DoubleAttributeMetadata"),
    Kind.MONEY: ("Money", "MoneyAttributeMetadata"),
    Kind.BOOL: ("Boolean", "BooleanAttributeMetadata"),
    Kind.DATETIME: ("DateTime", "DateTimeAttributeMetadata"),
    Kind.DATE: ("DateTime", "DateTimeAttributeMetadata"),
    Kind.CHOICE: ("Picklist", "PicklistAttributeMetadata"),
    Kind.STATE: ("State", "StateAttributeMetadata"),
    Kind.STATUS: ("Status", "StatusAttributeMetadata"),
    Kind.LOOKUP: ("Lookup", "LookupAttributeMetadata"),
    Kind.OWNER: ("Owner", "LookupAttributeMetadata"),
    Kind.CUSTOMER: ("Customer", "LookupAttributeMetadata"),
    Kind.FILE: ("Virtual", "FileAttributeMetadata"),
}
_CAST = re.compile(r"Microsoft\.Dynamics\.CRM\.(\w+AttributeMetadata)")
_BY_NAME = re.compile(r"(\w+)\(LogicalName='(\w+)'\)")
_BY_ID = re.compile(r"(\w+)\(([0-9a-fA-F-]{36})\)")
_EXPAND = re.compile(r"\s*(\w+)(?:\(([^()]*)\))?\s*(?:,|$)")

Described = dict[str, Any]


@cache
def metadata_id(*names: str) -> str:
    """Return the MetadataId of a table, column or key; the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "dataverse metadata " + " ".join(names)))


def label(text: str) -> Described:
    """Write a label with one language."""
    localized = {"Label": text, "LanguageCode": 1033, "IsManaged": True, "MetadataId": None, "HasChanged": None}
    return {"LocalizedLabels": [localized], "UserLocalizedLabel": localized}


class Definitions:
    """Describes tables, columns, relationships and keys; makes and drops keys."""

    def __init__(
        self,
        model: Model,
        store: Store,
        clock: Clock,
        root: str,
        key_index_seconds: float,
        security: Security,
        many_to_many: Mapping[str, ManyToMany],
    ) -> None:
        self._model = model
        self._store = store
        self._clock = clock
        self._root = root
        self._key_index_seconds = key_index_seconds
        self._security = security
        self._many_to_many = many_to_many

    def get(self, segments: Sequence[str], options: Mapping[str, str]) -> Described:
        """Answer a GET; `segments` start with EntityDefinitions."""
        for option in options:
            if option not in ("$select", "$filter", "$expand"):
                raise NotImitated(f"the query option {option} on definitions")
        table = self.table(segments[0])
        if table is None:
            found = [self._describe_table(one) for one in self._model.tables.values()]
            return self._list("EntityDefinitions", found, options, self._expand_table)
        if len(segments) == 1:
            return self._single("EntityDefinitions", self._describe_table(table), options, self._expand_table)
        return self._part(table, segments[1:], options)

    def table(self, segment: str) -> Table | None:
        """Return the table a segment names, or None for the whole set."""
        if segment == "EntityDefinitions":
            return None
        by_name, by_id = _BY_NAME.fullmatch(segment), _BY_ID.fullmatch(segment)
        if by_name is None and by_id is None:
            raise errors.bad_query("Bad Request - Error in query syntax.")
        for table in self._model.tables.values():
            if by_name is not None and table.name == by_name[2]:
                return table
            if by_id is not None and metadata_id(table.name) == by_id[2].lower():
                return table
        named = by_name[2] if by_name is not None else segment
        text = f"The entity with a name = '{named}' was not found in the MetadataCache."
        raise DataverseError(404, "0x80060888", text)

    def _part(self, table: Table, segments: Sequence[str], options: Mapping[str, str]) -> Described:
        context = f"EntityDefinitions('{table.name}')/{segments[0].partition('(')[0]}"
        kind, _, _ = segments[0].partition("(")
        if kind == "Attributes":
            return self._attributes(table, segments, options, context)
        if kind == "Keys" and len(segments) == 1:
            if segments[0] == "Keys":
                return self._list(context, [_describe_key(k) for k in self._store.keys(table.name)], options)
            return self._single(context, _describe_key(self._key(table, segments[0])), options)
        if len(segments) == 1 and segments[0].endswith("Relationships"):
            return self._list(context, self._relationships_of(table, segments[0]), options)
        raise NotImitated(f"EntityDefinitions/{'/'.join(segments)}")

    def _relationships_of(self, table: Table, kind: str) -> list[Described]:
        if kind == "ManyToManyRelationships":
            found = [one for one in self._many_to_many.values() if table.name in (one.first, one.second)]
            return [_describe_many_to_many(one) for one in found]
        if kind == "ManyToOneRelationships":
            relations = [r for r in self._model.relationships if r.referencing_table == table.name]
        elif kind == "OneToManyRelationships":
            relations = self._model.referencing(table.name)
        else:
            raise NotImitated(f"EntityDefinitions/{kind}")
        return [_describe_relationship(self._model, relation) for relation in relations]

    def relationships(self, segments: Sequence[str], options: Mapping[str, str]) -> Described:
        """Answer a GET below RelationshipDefinitions: all of them, or one by its MetadataId."""
        found = [_describe_relationship(self._model, relation) for relation in self._model.relationships]
        found += [_describe_many_to_many(one) for one in self._many_to_many.values()]
        typed = [{"@odata.type": f"#{CRM}.{one['RelationshipType']}Metadata", **one} for one in found]
        if list(segments) == ["RelationshipDefinitions"]:
            return self._list("RelationshipDefinitions", typed, options)
        by_id = _BY_ID.fullmatch(segments[0]) if len(segments) == 1 else None
        for one in typed:
            if by_id is not None and one["MetadataId"] == by_id[2].lower():
                return self._single("RelationshipDefinitions", one, options)
        text = f"Could not find a relationship for '{'/'.join(segments)}'."
        raise DataverseError(404, "0x80040217", text)

    def changes(self, query: Mapping[str, Any]) -> list[Described]:
        """Answer RetrieveMetadataChanges: the one table that the criteria name, with the columns asked for."""
        table = self._model.tables.get(_named(query.get("Criteria")) or "")
        if table is None:
            return []
        asked = query.get("AttributeQuery") or {}
        only = _named(asked.get("Criteria"))
        described = [self._describe_column(table, one) for one in table.columns.values() if only in (None, one.name)]
        names = (asked.get("Properties") or {}).get("PropertyNames") or []
        attributes = [
            {
                "@odata.type": f"#{CRM}.Complex{one['@odata.type'].removeprefix(f'#{CRM}.')}",
                **{name: value for name, value in one.items() if name in names},
                "MetadataId": one["MetadataId"],
                "HasChanged": None,
            }
            for one in described
        ]
        about = {"LogicalName": table.name, "MetadataId": metadata_id(table.name), "HasChanged": None}
        return [{**about, "Attributes": attributes}]

    def column(self, table: Table, segment: str) -> Column:
        """Return the column a segment names, by logical name or MetadataId; raises DataverseError 404."""
        by_name, by_id = _BY_NAME.fullmatch(segment), _BY_ID.fullmatch(segment)
        for column in table.columns.values():
            if by_name is not None and by_name[1] == "Attributes" and column.name == by_name[2]:
                return column
            if by_id is not None and metadata_id(table.name, column.name) == by_id[2].lower():
                return column
        raise DataverseError(404, "0x80060888", f"Could not find an attribute of '{table.name}' for '{segment}'.")

    def _attributes(self, table: Table, segments: Sequence[str], options: Mapping[str, str], context: str) -> Described:
        cast = _CAST.fullmatch(segments[-1]) if len(segments) == 2 else None
        if len(segments) > 2 or (len(segments) == 2 and cast is None):
            raise NotImitated(f"EntityDefinitions/{'/'.join(segments)}")
        if cast is None:
            _refuse_parts_of_some(options)
        if segments[0] == "Attributes":
            described = [self._describe_column(table, column) for column in table.columns.values()]
            if cast is not None:
                described = [one for one in described if one["@odata.type"] == f"#{CRM}.{cast[1]}"]
            return self._list(context, described, options, self._expand_column)
        described_one = self._describe_column(table, self.column(table, segments[0]))
        if cast is not None and described_one["@odata.type"] != f"#{CRM}.{cast[1]}":
            raise DataverseError(404, "0x80060888", f"'{segments[0]}' is not of the type {cast[1]}.")
        return self._single(context, described_one, options, self._expand_column)

    # Writing

    def create_key(self, table: Table, body: Any) -> str:
        """Take the POST of an alternate key; returns its address. The index is Pending for a while."""
        key = self._checked_key(table, body)
        self._store.add_key(key)
        return f"EntityDefinitions({metadata_id(table.name)})/Keys({key.metadata_id})"

    def reactivate_key(self, body: Any) -> None:
        """Take ReactivateEntityKey: the index of a key is built once more."""
        if not isinstance(body, dict):
            raise errors.invalid_argument("ReactivateEntityKey needs EntityLogicalName and EntityKeyLogicalName.")
        table = self.table(f"EntityDefinitions(LogicalName='{body.get('EntityLogicalName')}')")
        assert table is not None, "it names one"
        key = self._key(table, f"Keys(LogicalName='{body.get('EntityKeyLogicalName')}')")
        ready = self._clock.now() + timedelta(seconds=self._key_index_seconds)
        self._store.add_key(replace(key, status="Pending", ready_at=ready))

    def drop_key(self, table: Table, segment: str) -> None:
        """Take the DELETE of an alternate key."""
        self._store.drop_key(table.name, self._key(table, segment).logical_name)

    def define_key(self, table: str, schema_name: str, columns: Sequence[str]) -> None:
        """Make an alternate key that is usable at once; for tests and local set-up."""
        body = {"SchemaName": schema_name, "KeyAttributes": list(columns)}
        key = self._checked_key(self._model.tables[table], body)
        self._store.add_key(replace(key, ready_at=self._clock.now()))

    def _checked_key(self, table: Table, body: Any) -> AlternateKey:
        if not isinstance(body, dict) or not isinstance(body.get("KeyAttributes"), list):
            raise errors.invalid_argument("A key needs SchemaName and KeyAttributes.")
        name, columns = body.get("SchemaName"), tuple(body["KeyAttributes"])
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*_\w+", name):
            raise errors.invalid_key_operation("the SchemaName needs a customization prefix")
        existing = self._store.keys(table.name)
        if name.lower() in {key.logical_name for key in existing}:
            raise errors.invalid_key_operation(f"a key named {name} already exists")
        if any(set(key.columns) == set(columns) for key in existing):
            raise errors.invalid_key_operation("a key with the same columns already exists")
        if len(existing) >= MAX_KEYS or not 1 <= len(columns) <= MAX_KEY_COLUMNS:
            raise errors.invalid_key_operation(f"at most {MAX_KEYS} keys of {MAX_KEY_COLUMNS} columns")
        self._check_columns(table, columns)
        ready = self._clock.now() + timedelta(seconds=self._key_index_seconds)
        return AlternateKey(name, table.name, columns, metadata_id(table.name, "key", name.lower()), ready)

    def _check_columns(self, table: Table, columns: Sequence[str]) -> None:
        found = [table.columns.get(column) for column in columns]
        for name, column in zip(columns, found, strict=True):
            if column is None or column.kind not in KEY_TYPES:
                raise errors.invalid_key_operation(f"the column {name} cannot be part of a key")
        size = sum((column.length or 4) * 2 if column is not None else 0 for column in found)
        if size > MAX_KEY_BYTES:
            raise errors.invalid_key_operation(f"the key is larger than {MAX_KEY_BYTES} bytes")

    def _key(self, table: Table, segment: str) -> AlternateKey:
        by_name, by_id = _BY_NAME.fullmatch(segment), _BY_ID.fullmatch(segment)
        for key in self._store.keys(table.name):
            if by_name is not None and key.logical_name == by_name[2]:
                return key
            if by_id is not None and key.metadata_id == by_id[2].lower():
                return key
        raise DataverseError(404, "0x80040217", f"The key '{segment}' of '{table.name}' does not exist.")

    # Describing

    def _describe_column(self, table: Table, column: Column) -> Described:
        return _describe_column(table, column, secured=self._security.is_secured(table.name, column.name))

    def _describe_table(self, table: Table) -> Described:
        return {
            "MetadataId": metadata_id(table.name),
            "LogicalName": table.name,
            "SchemaName": table.schema_name,
            "EntitySetName": table.set_name,
            "LogicalCollectionName": table.set_name,
            "PrimaryIdAttribute": table.primary_id,
            "PrimaryNameAttribute": table.primary_name,
            "ObjectTypeCode": table.type_code,
            "DisplayName": label(table.display_name),
            "DisplayCollectionName": label(table.collection_display or f"{table.display_name}s"),
            "ChangeTrackingEnabled": table.tracked,
            "IsOptimisticConcurrencyEnabled": table.versioned,
            "IsCustomEntity": table.custom,
            "HasNotes": table.has_notes,
            "IsPrivate": False,
            "IsIntersect": False,
            "OwnershipType": "UserOwned" if "ownerid" in table.columns else "OrganizationOwned",
            "TableType": "Standard",
            "Privileges": [_describe_privilege(table, action) for action in ACTIONS],
        }

    def _expand_table(self, described: Described, part: str, options: Mapping[str, str]) -> Any:
        table = self._model.tables[described["LogicalName"]]
        if part == "Attributes":
            _refuse_parts_of_some(options)
            found = [self._describe_column(table, column) for column in table.columns.values()]
        elif part == "Keys":
            found = [_describe_key(key) for key in self._store.keys(table.name)]
        elif part.endswith("Relationships"):
            found = self._relationships_of(table, part)
        else:
            raise NotImitated(f"$expand={part} on definitions")
        return [_select(one, options) for one in _filter(found, options)]

    def _expand_column(self, described: Described, part: str, options: Mapping[str, str]) -> Any:
        if part not in ("OptionSet", "GlobalOptionSet"):
            raise NotImitated(f"$expand={part} on columns")
        column = self._model.tables[described["EntityLogicalName"]].columns[described["LogicalName"]]
        if part == "GlobalOptionSet":
            return None
        if column.kind is Kind.BOOL:
            return _select(_two_options(column), options)
        if column.kind not in CHOICES:
            raise errors.bad_query(f"Could not find a property named 'OptionSet' on '{described['@odata.type']}'.")
        choices = {
            "MetadataId": metadata_id(described["EntityLogicalName"], column.name, "options"),
            "Name": f"{described['EntityLogicalName']}_{column.name}",
            "IsGlobal": False,
            "Options": [_option(column, value, text) for value, text in column.options.items()],
        }
        return _select(choices, options)

    def _list(
        self,
        context: str,
        found: list[Described],
        options: Mapping[str, str],
        expand: Callable[[Described, str, Mapping[str, str]], Any] | None = None,
    ) -> Described:
        shown = [_with_expands(one, options, expand) for one in _filter(found, options)]
        return {"@odata.context": f"{self._root}/$metadata#{context}", "value": shown}

    def _single(
        self,
        context: str,
        found: Described,
        options: Mapping[str, str],
        expand: Callable[[Described, str, Mapping[str, str]], Any] | None = None,
    ) -> Described:
        if "$filter" in options:
            raise errors.bad_query("The query parameter $filter is not supported for a single definition.")
        shown = _with_expands(found, options, expand)
        return {"@odata.context": f"{self._root}/$metadata#{context}/$entity", **shown}


def _with_expands(
    described: Described,
    options: Mapping[str, str],
    expand: Callable[[Described, str, Mapping[str, str]], Any] | None,
) -> Described:
    shown = _select(described, options)
    text, position = options.get("$expand", ""), 0
    while position < len(text):
        found = _EXPAND.match(text, position)
        if found is None or expand is None:
            raise NotImitated(f"$expand={text} on definitions")
        inner = dict(part.split("=", 1) for part in (found[2] or "").split(";") if "=" in part)
        shown[found[1]] = expand(described, found[1], inner)
        position = found.end()
    return shown


def _select(described: Described, options: Mapping[str, str]) -> Described:
    if "$select" not in options:
        return dict(described)
    names = [name.strip() for name in options["$select"].split(",")]
    for name in names:
        if name not in described and name not in _SOME_HAVE:
            raise errors.unknown_property(name, "EntityMetadata or AttributeMetadata")
    kept = ["@odata.type", *names, "MetadataId"]
    return {name: described[name] for name in kept if name in described}


_SOME_HAVE = frozenset({"MaxLength", "Precision", "MinValue", "MaxValue", "Targets", "Format", "FormatName"})
"""Properties that only some kinds of columns have; they can be selected only with a cast to such a kind."""


def _refuse_parts_of_some(options: Mapping[str, str]) -> None:
    """Refuse what needs a cast such as `/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata`."""
    names = [*options.get("$select", "").split(","), *(["OptionSet"] if "$expand" in options else [])]
    for name in names:
        if name.strip() in (*_SOME_HAVE, "OptionSet"):
            raise errors.unknown_property(name.strip(), "AttributeMetadata")


def _filter(found: list[Described], options: Mapping[str, str]) -> list[Described]:
    if "$filter" not in options or not found:
        return found

    def types(path: str) -> str | None:
        values = [one[path] for one in found if path in one]
        if not values:
            return None
        return "Edm.Boolean" if isinstance(values[0], bool) else "Edm.String"

    try:
        matches = compile_filter(options["$filter"], types=types, case_sensitive=True)
    except BadQuery as error:
        raise errors.bad_query(error.reason) from error
    except UnsupportedQuery as error:
        raise NotImitated(error.what) from error
    return [one for one in found if matches(one)]


def _describe_privilege(table: Table, action: str) -> Described:
    name = privilege_name(table, action)
    depths = {f"CanBe{depth}": True for depth in DEPTHS}
    return {**depths, "Name": name, "PrivilegeId": privilege_id(name), "PrivilegeType": action}


def _describe_column(table: Table, column: Column, *, secured: bool) -> Described:
    type_name, class_name = _TYPES[column.kind]
    described: Described = {
        "@odata.type": f"#{CRM}.{class_name}",
        "MetadataId": metadata_id(table.name, column.name),
        "LogicalName": column.name,
        "SchemaName": column.schema_name,
        "EntityLogicalName": table.name,
        "AttributeType": type_name,
        "AttributeTypeName": {"Value": "FileType" if column.kind is Kind.FILE else f"{type_name}Type"},
        "IsCustomAttribute": column.custom,
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "IsValidForRead": column.readable,
        "IsValidForCreate": column.write in ("both", "create"),
        "IsValidForUpdate": column.write == "both",
        "IsSecured": secured,
        "DisplayName": label(column.display or column.schema_name),
        "RequiredLevel": {"Value": column.required, "CanBeChanged": True},
    }
    if column.length is not None:
        described["MaxLength"] = column.length
        described["FormatName"] = {"Value": column.format_name or "Text"}
    if column.kind in (Kind.DECIMAL, Kind.MONEY):
        described["Precision"] = column.precision
    if column.minimum is not None:
        described["MinValue"], described["MaxValue"] = column.minimum, column.maximum
    if column.kind in (Kind.DATE, Kind.DATETIME):
        described["Format"] = "DateOnly" if column.kind is Kind.DATE else "DateAndTime"
    if column.is_lookup:
        described["Targets"] = list(column.targets)
    return described


def _option(column: Column, value: int, text: str) -> Described:
    option: Described = {"Value": value, "Label": label(text)}
    if column.kind is Kind.STATUS:
        option["State"] = column.states[value]
    return option


def _two_options(column: Column) -> Described:
    return {
        "MetadataId": metadata_id(column.name, "options"),
        "TrueOption": {"Value": 1, "Label": label(column.labels[1])},
        "FalseOption": {"Value": 0, "Label": label(column.labels[0])},
    }


def _describe_key(key: AlternateKey) -> Described:
    return {
        "MetadataId": key.metadata_id,
        "LogicalName": key.logical_name,
        "SchemaName": key.schema_name,
        "EntityLogicalName": key.table,
        "KeyAttributes": list(key.columns),
        "EntityKeyIndexStatus": key.status,
        "DisplayName": label(key.schema_name),
        "IsSynchronous": False,
    }


def _describe_relationship(model: Model, relation: Relationship) -> Described:
    referenced = model.tables.get(relation.referenced_table)
    return {
        "MetadataId": metadata_id("relationship", relation.schema_name),
        "SchemaName": relation.schema_name,
        "ReferencingEntity": relation.referencing_table,
        "ReferencingAttribute": relation.column.name,
        "ReferencingEntityNavigationPropertyName": relation.navigation_name,
        "ReferencedEntity": relation.referenced_table,
        "ReferencedAttribute": referenced.primary_id if referenced is not None else f"{relation.referenced_table}id",
        "ReferencedEntityNavigationPropertyName": relation.collection_name,
        "RelationshipType": "OneToManyRelationship",
        "IsCustomRelationship": relation.column.custom,
    }


def _describe_many_to_many(one: ManyToMany) -> Described:
    return {
        "MetadataId": metadata_id("relationship", one.schema_name),
        "SchemaName": one.schema_name,
        "Entity1LogicalName": one.first,
        "Entity2LogicalName": one.second,
        "IntersectEntityName": one.intersect,
        "RelationshipType": "ManyToManyRelationship",
        "IsCustomRelationship": True,
    }


def _named(criteria: Any) -> str | None:
    """Return the LogicalName that criteria ask for; None for no criteria, others are not imitated."""
    if criteria is None:
        return None
    conditions = criteria.get("Conditions") or []
    if len(conditions) != 1 or set(criteria) - {"Conditions", "FilterOperator"}:
        raise NotImitated("metadata criteria other than one condition")
    (one,) = conditions
    if (one.get("PropertyName"), one.get("ConditionOperator")) != ("LogicalName", "Equals"):
        raise NotImitated("metadata criteria other than a LogicalName")
    return str((one.get("Value") or {}).get("Value"))
