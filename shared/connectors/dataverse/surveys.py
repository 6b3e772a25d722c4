"""All that an organisation tells of a table: columns, keys, change tracking, webhooks, and our identities' rights.

Sources: Microsoft Learn, 'EntityMetadata EntityType', 'RetrieveUserPrivileges Function',
'RetrievePrincipalAttributePrivileges Function', 'sdkmessagefilter table/entity reference'. Privileges that come from a
team are told with the lowest depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from shared.connectors.cache import Cache
from shared.connectors.dataverse.client import DataverseClient
from shared.connectors.dataverse.errors import SYSTEM, Doing
from shared.connectors.dataverse.schema import Schema, label_of
from shared.errors import BadAnswer, NotAllowed
from shared.strict_json import JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import Clock, ColumnMetadata, KeyMetadata, Reach, Right, TableMetadata

RIGHTS: Final[Mapping[str, Right]] = {
    "Read": Right.READ,
    "Create": Right.CREATE,
    "Write": Right.UPDATE,
    "Append": Right.REFER,
    "AppendTo": Right.BE_REFERRED,
}
COLUMN_RIGHTS: Final = {"CanRead": Right.READ, "CanCreate": Right.CREATE, "CanUpdate": Right.UPDATE}
ALLOWED: Final = 4
WHOLE: Final = "Global"
"""The depth that covers the whole organisation."""
FILLED_BY_ITSELF: Final = frozenset({"Owner", "State", "Status", "Uniqueidentifier", "EntityName"})
"""Types of required columns that a create may leave out."""
MESSAGES: Final = ("Create", "Update", "Delete")
FRESH_SECONDS: Final = 60.0

_ATTRIBUTES: Final = "LogicalName,MetadataId,AttributeType,IsSecured,IsValidForCreate,RequiredLevel,DisplayName"
_KEYS: Final = "LogicalName,KeyAttributes,EntityKeyIndexStatus"
_TABLE: Final = [
    ("$select", "LogicalName,ChangeTrackingEnabled,Privileges"),
    ("$expand", f"Attributes($select={_ATTRIBUTES}),Keys($select={_KEYS})"),
]


@dataclass(frozen=True, slots=True)
class _Own:
    """What an identity may do. depths: by privilege name; columns: by the metadata id of a secured column."""

    depths: Mapping[str, frozenset[str]]
    columns: Mapping[str, frozenset[Right]]


class Surveys:
    """Reads everything about tables anew."""

    def __init__(self, client: DataverseClient, schema: Schema, clock: Clock) -> None:
        self._client = client
        self._schema = schema
        self._own = Cache(clock, self._load_own, FRESH_SECONDS)

    async def survey(self, table: str) -> TableMetadata:
        """Raises UnknownColumn for a table that does not exist."""
        columns = await self._schema.reread(table)
        path, template = f"EntityDefinitions(LogicalName='{table}')", "EntityDefinitions(..)"
        told = await self._client.get(path, _TABLE, template, Doing.METADATA)
        own = await self._own.get("")
        try:
            secured = _attributes(told)
            return TableMetadata(
                name=table,
                columns={name: _surveyed(column, secured, own) for name, column in columns.items()},
                key=((await self._schema.table(table)).primary_id,),
                tracked=told.get("ChangeTrackingEnabled") is True,
                announced=await self._is_announced(table),
                keys=[_key(as_object(row, "a key")) for row in as_list(told.get("Keys"), "Keys")],
                rights=_rights(told, own),
            )
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: metadata of {table}: {error}") from None

    async def _is_announced(self, table: str) -> bool | None:
        """Whether steps can be registered for all three messages; None where we may not look."""
        named = " or ".join(f"sdkmessageid/name eq '{message}'" for message in MESSAGES)
        query = [("$select", "_sdkmessageid_value"), ("$filter", f"primaryobjecttypecode eq '{table}' and ({named})")]
        try:
            page = await self._client.get("sdkmessagefilters", query, "sdkmessagefilters")
        except NotAllowed:
            return None
        rows = [as_object(row, "a filter") for row in as_list(page.get("value"), "value")]
        return len({row.get("_sdkmessageid_value") for row in rows}) == len(MESSAGES)

    async def _load_own(self, _: str) -> _Own | None:
        """What every one of our identities may do, since each does a part of the work; None where none may look."""
        found = [await self._own_of(client) for client in self._client.each_identity()]
        told = [own for own in found if own is not None]
        return reduce(_in_common, told) if told else None

    async def _own_of(self, client: DataverseClient) -> _Own | None:
        try:
            user = as_text((await client.get("WhoAmI", [], "WhoAmI")).get("UserId"), "UserId")
            roles = await _function(client, user, "RetrieveUserPrivileges", "RolePrivileges")
            columns = await _function(client, user, "RetrievePrincipalAttributePrivileges", "AttributePrivileges")
            return _Own(_depths(roles), {str(row.get("AttributeId")): _allowed(row) for row in columns})
        except NotAllowed:
            return None
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: our privileges: {error}") from None


async def _function(client: DataverseClient, user: str, name: str, part: str) -> list[JsonObject]:
    path = f"systemusers({user})/Microsoft.Dynamics.CRM.{name}"
    answer = await client.get(path, [], f"systemusers(..)/{name}")
    return [as_object(row, "a privilege") for row in as_list(answer.get(part), part)]


def _in_common(one: _Own, other: _Own) -> _Own:
    """What both may do. Of two depths that differ none covers the whole organisation."""
    nothing: frozenset[Right] = frozenset()
    return _Own(
        {name: _shallower(depths, other.depths[name]) for name, depths in one.depths.items() if name in other.depths},
        {name: rights & other.columns.get(name, nothing) for name, rights in one.columns.items()},
    )


def _shallower(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    return one if WHOLE not in one else other


def _depths(rows: list[JsonObject]) -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        name = as_text(row.get("PrivilegeName"), "PrivilegeName")
        found[name] = found.get(name, frozenset()) | {str(row.get("Depth"))}
    return found


def _allowed(row: JsonObject) -> frozenset[Right]:
    return frozenset(right for name, right in COLUMN_RIGHTS.items() if row.get(name) == ALLOWED)


def _attributes(told: JsonObject) -> Mapping[str, JsonObject]:
    rows = [as_object(row, "a column") for row in as_list(told.get("Attributes"), "Attributes")]
    return {as_text(row.get("LogicalName"), "LogicalName"): row for row in rows}


def _surveyed(column: ColumnMetadata, told: Mapping[str, JsonObject], own: _Own | None) -> ColumnMetadata:
    """The column with what only a survey says; a reference's other names have no attribute of their own."""
    row = told.get(column.name)
    if row is None:
        return column
    denied: frozenset[Right] = frozenset()
    if row.get("IsSecured") is True and own is not None:
        denied = frozenset(COLUMN_RIGHTS.values()) - own.columns.get(str(row.get("MetadataId")), frozenset())
    return replace(column, required=_is_required(row), denied=denied, label=label_of(row, "DisplayName"))


def _is_required(row: JsonObject) -> bool:
    """What the platform insists on; what only forms insist on (ApplicationRequired) does not concern the API."""
    level = row.get("RequiredLevel")
    insists = isinstance(level, dict) and level.get("Value") == "SystemRequired"
    return insists and row.get("IsValidForCreate") is not False and row.get("AttributeType") not in FILLED_BY_ITSELF


def _key(row: JsonObject) -> KeyMetadata:
    columns = [as_text(name, "a column") for name in as_list(row.get("KeyAttributes"), "KeyAttributes")]
    name = as_text(row.get("LogicalName"), "LogicalName")
    return KeyMetadata(name, tuple(columns), row.get("EntityKeyIndexStatus") == "Active")


def _rights(told: JsonObject, own: _Own | None) -> Mapping[Right, Reach] | None:
    if own is None:
        return None
    found: dict[Right, Reach] = {}
    for row in [as_object(one, "a privilege") for one in as_list(told.get("Privileges"), "Privileges")]:
        right = RIGHTS.get(str(row.get("PrivilegeType")))
        if right is not None:
            found[right] = _reach(own.depths.get(str(row.get("Name")), frozenset()))
    return found


def _reach(depths: frozenset[str]) -> Reach:
    if WHOLE in depths:
        return Reach.ALL
    return Reach.SOME if depths else Reach.NONE
