"""The body of a webhook: a RemoteExecutionContext as Dataverse posts it.

Members are in alphabetical order, `__type` comes first and only where the declared type is object (values of
parameters and attributes; not in images, not in OwningExtension). Synchronous steps give times in milliseconds,
asynchronous ones in whole seconds with an offset. After Microsoft Learn, 'Use Webhooks to create external handlers
for server events' and 'Work with event data', and after published bodies.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox.dataverse.formatting import formatted_in_notice
from sandbox.dataverse.metadata import CHOICES, Column, Kind, Model, Table
from sandbox.dataverse.store import Row, Store
from sandbox.dataverse.values import lookup_target

CONTRACTS = "http://schemas.microsoft.com/xrm/2011/Contracts"
NO_USER = "00000000-0000-0000-0000-000000000000"
TRIMMED = ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages")
_PLATFORM_STEPS = {
    "Create": "ffc9bb1b-ea3e-db11-86a7-000a3a5473e8",
    "Delete": "6acabb1b-ea3e-db11-86a7-000a3a5473e8",
}
"""Ids of the platform's own step, which owns the parent context of a synchronous step."""


@dataclass(frozen=True)
class Caller:
    """Who sends a request, and what came with it. `tag` is the query parameter of that name."""

    user_id: str
    object_id: str = NO_USER
    user_agent: str = ""
    app_name: str | None = None
    """The model-driven app a person works in; None for a program."""
    tag: str | None = None
    correlation_id: str = NO_USER
    request_id: str = NO_USER
    acting_id: str | None = None
    """The user that acts in this one's name, if one does; then both need the rights."""

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Return the users whose rights count."""
        return (self.user_id,) if self.acting_id is None else (self.user_id, self.acting_id)


@dataclass(frozen=True)
class Event:
    """One message of the pipeline: what was sent, what the platform made of it, and the row before and after."""

    message: str
    table: Table
    row_id: str
    caller: Caller
    at: datetime
    sent: Mapping[str, Any]
    target: Mapping[str, Any]
    before: Row | None
    after: Row | None


@dataclass(frozen=True)
class Image:
    """A registered image: its alias, whether it shows the row before or after, and its columns (None = all)."""

    alias: str
    pre: bool
    post: bool
    attributes: tuple[str, ...] | None


@dataclass(frozen=True)
class Step:
    """A registered webhook step, read from its rows. stage: 10 before the operation begins, 40 at its end."""

    step_id: str
    name: str
    endpoint_id: str
    stage: int
    asynchronous: bool
    rank: int
    filtering: frozenset[str]
    auto_delete: bool
    images: tuple[Image, ...]

    def wants(self, event: Event) -> bool:
        """Say whether the step fires: filtering attributes are tested by presence in what was sent."""
        return event.message != "Update" or not self.filtering or bool(self.filtering & set(event.sent))


@dataclass(frozen=True)
class Organization:
    """What every body says about the organisation."""

    organization_id: str
    business_unit_id: str
    domain: str
    currency_symbol: str

    @property
    def unique_name(self) -> str:
        """Return the internal name, which is not the domain."""
        return "unq" + self.organization_id.replace("-", "")[:29]


class ContextWriter:
    """Builds bodies."""

    def __init__(self, model: Model, store: Store, organization: Organization) -> None:
        self._model = model
        self._store = store
        self._organization = organization

    def body(self, event: Event, step: Step, operation_id: str) -> dict[str, Any]:
        """Build the body a step posts for an event. `operation_id` is the system job's id, or the request's."""
        before = step.stage < 40  # nothing has been begun that it could be a part of
        parent = None if before else self._context(event, step, operation_id, outer=False, parent=None)
        return self._context(event, step, operation_id, outer=True, parent=parent)

    def _context(
        self, event: Event, step: Step, operation_id: str, *, outer: bool, parent: dict[str, Any] | None
    ) -> dict[str, Any]:
        caller, organization = event.caller, self._organization
        created = event.message == "Create" and outer
        return {
            "BusinessUnitId": organization.business_unit_id,
            "CorrelationId": caller.correlation_id,
            "Depth": 1,
            "InitiatingUserAgent": caller.user_agent,
            "InitiatingUserAzureActiveDirectoryObjectId": caller.object_id,
            "InitiatingUserId": caller.user_id,
            "InputParameters": self._inputs(event, outer),
            "IsExecutingOffline": False,
            "IsInTransaction": not step.asynchronous and step.stage == 40,
            "IsOfflinePlayback": False,
            "IsolationMode": 1,
            "MessageName": event.message,
            "Mode": int(step.asynchronous),
            "OperationCreatedOn": _operation_time(event.at, step.asynchronous, outer),
            "OperationId": operation_id,
            "OrganizationId": organization.organization_id,
            "OrganizationName": organization.unique_name,
            "OutputParameters": [{"key": "id", "value": event.row_id}] if created else [],
            "OwningExtension": _owning_extension(event, step, outer),
            "ParentContext": parent,
            "PostEntityImages": self._images(event, step, before=False) if outer else [],
            "PreEntityImages": self._images(event, step, before=True) if outer else [],
            "PrimaryEntityId": event.row_id,
            "PrimaryEntityName": event.table.name,
            "RequestId": caller.request_id,
            "SecondaryEntityName": "none",
            "SharedVariables": _shared_variables(event, step, outer),
            "Stage": step.stage if outer else 30,
            "UserAzureActiveDirectoryObjectId": caller.object_id,
            "UserId": caller.user_id,
        }

    def _inputs(self, event: Event, outer: bool) -> list[dict[str, Any]]:
        if event.message == "Delete":
            target: dict[str, Any] = _typed("EntityReference", _reference(event.table.name, event.row_id))
        else:
            values = event.target if outer else {**event.sent, event.table.primary_id: event.row_id}
            formatted = outer and event.message == "Create"
            target = _typed("Entity", self._entity(event.table, event.row_id, values, formatted=formatted))
        inputs: list[dict[str, Any]] = [{"key": "Target", "value": target}]
        if not outer and event.caller.app_name is not None:
            inputs.append({"key": "x-ms-app-name", "value": event.caller.app_name})
        if not outer and event.message != "Delete":
            inputs.append({"key": "SuppressDuplicateDetection", "value": False})
        return inputs

    def _entity(
        self, table: Table, row_id: str, values: Mapping[str, Any], *, formatted: bool, names: bool = False
    ) -> dict[str, Any]:
        columns = [(table.columns[name], value) for name, value in values.items() if name in table.columns]
        return {
            "Attributes": [
                {"key": column.name, "value": self._encoded(column, value, values, names)} for column, value in columns
            ],
            "EntityState": None,
            "FormattedValues": self._formatted_values(columns) if formatted else [],
            "Id": row_id,
            "KeyAttributes": [],
            "LogicalName": table.name,
            "RelatedEntities": [],
            "RowVersion": None,
        }

    def _formatted_values(self, columns: Iterable[tuple[Column, Any]]) -> list[dict[str, Any]]:
        found = ((c.name, formatted_in_notice(c, value, self._organization.currency_symbol)) for c, value in columns)
        return [{"key": name, "value": text} for name, text in found if text is not None]

    def _encoded(self, column: Column, value: Any, row: Row, names: bool) -> Any:
        if value is None:
            return None
        if column.is_lookup:
            target = lookup_target(column, row)
            return _typed("EntityReference", _reference(target, value, self._name(target, value) if names else None))
        if column.kind in CHOICES:
            return _typed("OptionSetValue", {"Value": value})
        if column.kind is Kind.MONEY:
            return _typed("Money", {"Value": value})
        if isinstance(value, datetime):
            return f"/Date({_milliseconds(value)})/"
        if isinstance(value, date):
            return f"/Date({_milliseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))})/"
        return value

    def _name(self, table: str, row_id: str) -> str | None:
        about = self._model.tables.get(table)
        row = self._store.get(table, row_id) if about is not None else None
        return row.get(about.primary_name) if about is not None and row is not None else None

    def _images(self, event: Event, step: Step, *, before: bool) -> list[dict[str, Any]]:
        row = event.before if before else event.after
        if row is None:
            return []
        images = [self._image(event, image, row) for image in step.images if (image.pre if before else image.post)]
        if step.asynchronous and not before:
            shown = {name: row.get(name) for name in (event.table.primary_name, event.table.primary_id)}
            entity = self._entity(event.table, event.row_id, shown, formatted=False)
            images.append({"key": "AsynchronousStepPrimaryName", "value": entity})
        return images

    def _image(self, event: Event, image: Image, row: Row) -> dict[str, Any]:
        wanted = image.attributes or tuple(event.table.columns)
        values = {name: row[name] for name in wanted if row.get(name) is not None}
        values[event.table.primary_id] = event.row_id
        targets = {name: value for name, value in row.items() if "@" in name}
        entity = self._entity(event.table, event.row_id, {**values, **targets}, formatted=True, names=True)
        return {"key": image.alias, "value": entity}


def trim(body: Mapping[str, Any], how: str) -> dict[str, Any]:
    """Take the large members out of a body that exceeds the limit: absent, or null."""
    if how == "null":
        return {name: None if name in TRIMMED else value for name, value in body.items()}
    return {name: value for name, value in body.items() if name not in TRIMMED}


def _typed(name: str, members: Mapping[str, Any]) -> dict[str, Any]:
    return {"__type": f"{name}:{CONTRACTS}", **members}


def _reference(table: str, row_id: str, name: str | None = None) -> dict[str, Any]:
    return {"Id": row_id, "KeyAttributes": [], "LogicalName": table, "Name": name, "RowVersion": None}


def _owning_extension(event: Event, step: Step, outer: bool) -> dict[str, Any]:
    if step.asynchronous:
        return _reference("sdkmessageprocessingstep", step.step_id)
    if outer:
        return _reference("sdkmessageprocessingstep", step.step_id, step.name)
    made_up = str(uuid.uuid5(uuid.NAMESPACE_URL, f"platform step {event.message}"))
    platform_step = _PLATFORM_STEPS.get(event.message, made_up)
    return _reference("sdkmessageprocessingstep", platform_step, "ObjectModel Implementation")


def _shared_variables(event: Event, step: Step, outer: bool) -> list[dict[str, Any]]:
    caller = event.caller
    variables: list[dict[str, Any]] = [{"key": "IsAutoTransact", "value": True}]
    if caller.app_name is not None:
        variables.append({"key": "AcceptLang", "value": "en-US,en;q=0.9"})
        variables.append({"key": "x-ms-app-name", "value": caller.app_name})
    if caller.tag is not None:
        variables.append({"key": "tag", "value": caller.tag})
    if event.message == "Create":
        variables.append({"key": "DefaultsAddedFlag", "value": True})
    if not outer and not step.asynchronous:
        changed = {
            "__type": "KeyValuePairOfstringstring:#System.Collections.Generic",
            "key": event.table.name,
            "value": "Update",
        }
        variables.append({"key": "ChangedEntityTypes", "value": [changed]})
    return variables


def _operation_time(at: datetime, asynchronous: bool, outer: bool) -> str:
    if asynchronous:
        return f"/Date({_milliseconds(at) // 1000 * 1000}+0000)/"
    return f"/Date({_milliseconds(at if outer else at - timedelta(milliseconds=16))})/"


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
