"""Reads what Dataverse posts to a webhook: which record changed, and who changed it when; and what it asks before one
does.

The body is a RemoteExecutionContext as JSON (Microsoft Learn, "Use webhooks to create external handlers for server
events" and "Understand the execution context"). Bodies above 256 KB arrive without parameters and images; ids, names
and dates are always there, and of a notice more is not needed: values of its body are never used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.connectors.keys import ANY_GUID, ZERO_GUID
from shared.sync.edits import edit
from shared.sync.notices import Notice

SYSTEM: Final = "dataverse"
MAX_BODY_BYTES: Final = (256 + 16) * 1024
"""Dataverse cuts a request to 256 KB, headers included; the rest is an allowance."""
OLDEST: Final = timedelta(days=7)
"""As long as the change feed reaches back: what is older has been found, or will be, by a walk."""
NEWEST: Final = timedelta(minutes=10)
"""How far Dataverse's clock may run before ours."""
MESSAGES: Final = frozenset({"Create", "Update", "Delete", "Assign", "SetState", "SetStateDynamicEntity", "Merge"})
"""The messages that change a record. Upsert raises Create or Update (Microsoft Learn, "Use Upsert")."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE: Final = re.compile(r"/Date\((-?\d{1,15})(?:([+-])(\d{2})(\d{2}))?\)/", re.ASCII)
_BOM: Final = b"\xef\xbb\xbf"


class NotANotice(ValueError):
    """The body is not one of Dataverse's; the text names the member, never its value."""


class Ignored(StrEnum):
    """Why a notice that can be read is of no interest here."""

    FOREIGN = "another organisation"
    MESSAGE = "a message that changes no record"
    NO_RECORD = "no record is named"
    TOO_OLD = "older than the change feed reaches back"
    FUTURE = "from the future"


Id = Annotated[str, StringConstraints(pattern=f"^({ANY_GUID})?$", to_lower=True)] | None
"""A GUID in small letters, perhaps in braces, or empty; `_id` makes a key of it."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


_PartT = TypeVar("_PartT", bound=_Part)


class _Step(_Part):
    id: Annotated[Id, Field(alias="Id")] = None


class _Context(_Part):
    """The members that are used; a test holds them to real bodies of 2017 to 2024."""

    organization_id: Annotated[Id, Field(alias="OrganizationId")]
    message: Annotated[Name, Field(alias="MessageName")]
    table: Annotated[Name, Field(alias="PrimaryEntityName")]
    key: Annotated[Id, Field(alias="PrimaryEntityId")] = None
    created_on: Annotated[Name, Field(alias="OperationCreatedOn")]
    user: Annotated[Id, Field(alias="InitiatingUserId")] = None
    operation_id: Annotated[Id, Field(alias="OperationId")] = None
    request_id: Annotated[Id, Field(alias="RequestId")] = None
    correlation_id: Annotated[Id, Field(alias="CorrelationId")] = None
    step: Annotated[_Step | None, Field(alias="OwningExtension")] = None


class _Target(_Part):
    """The value of the parameter Target: an Entity, or an EntityReference with a Delete."""

    id: Annotated[Id, Field(alias="Id")] = None
    table: Annotated[str, Field(alias="LogicalName")] = ""


class _Parameter(_Part):
    key: str = ""
    value: Any = None


class _Parameters(_Part):
    parameters: Annotated[list[_Parameter] | None, Field(alias="InputParameters")] = None
    shared: Annotated[list[_Parameter] | None, Field(alias="SharedVariables")] = None

    def value(self, name: str) -> Any:
        """A parameter's value; None where there is none."""
        return next((one.value for one in self.parameters or () if one.key == name), None)


class _Attributes(_Part):
    attributes: Annotated[list[_Parameter], Field(alias="Attributes")]


@dataclass(frozen=True, slots=True)
class Question:
    """What a synchronous step asks before a record changes. sent: columns with their new values as text, choices by
    number, yes and no as `true` and `false`; None where the body was too large to tell. user: who changes it.
    language: as his browser wishes it."""

    system: str
    table: str
    key: str
    user: str | None
    sent: Mapping[str, str | None] | None = field(repr=False)
    language: str = ""


def read_notice(
    body: bytes, organizations: Mapping[str, str], now: datetime, new_id: Callable[[], str]
) -> Notice | Ignored:
    """Read a body. organizations: the systems that the sender may speak of, by their organisation's id. new_id: makes
    what stands for the change where the body names no operation. Raises NotANotice."""
    raw = body.removeprefix(_BOM)
    context = _parsed(_Context, raw)
    organization_id = _id(context.organization_id) or ""
    system = organizations.get(organization_id)
    if system is None:
        return Ignored.FOREIGN
    if context.message not in MESSAGES:
        return Ignored.MESSAGE
    at = _moment(context.created_on)
    if at < now - OLDEST:
        return Ignored.TOO_OLD
    if at > now + NEWEST:
        return Ignored.FUTURE
    key = _id(context.key) or _target_key(raw, context.table)
    if key is None:
        return Ignored.NO_RECORD
    change_id = f"{organization_id}/{_operation(context, new_id)}/{key}/{context.created_on}"
    user = _id(context.user)
    return Notice(
        system,
        context.table,
        key,
        change_id,
        _id(context.correlation_id) or new_id(),
        edit(at, user) if user else "",
    )


def read_question(body: bytes, organizations: Mapping[str, str]) -> Question | None:
    """Read what a synchronous step of an update asks; None from another organisation. Raises NotANotice."""
    raw = body.removeprefix(_BOM)
    context = _parsed(_Context, raw)
    system = organizations.get(_id(context.organization_id) or "")
    if system is None:
        return None
    key = _id(context.key) or _target_key(raw, context.table)
    if context.message != "Update" or key is None:
        raise NotANotice("MessageName, PrimaryEntityId: is no update of a record")
    parameters = _parsed(_Parameters, raw)
    language = next((one.value for one in parameters.shared or () if one.key == "AcceptLang"), "")
    sent = _sent(parameters.value("Target"))
    return Question(system, context.table, key, _id(context.user), sent, language if isinstance(language, str) else "")


def _sent(target: Any) -> Mapping[str, str | None] | None:
    """What an update writes; None where the body does not tell."""
    if target is None:
        return None
    try:
        read = _Attributes.model_validate(target)
    except ValidationError:
        raise NotANotice("InputParameters.Target: is no record") from None
    return {one.key: _text_of(one.value) for one in read.attributes}


def _text_of(value: Any) -> str | None:
    """A value as text: of a choice or an amount its number, of a reference its id."""
    if isinstance(value, dict):
        value = value.get("Value", value.get("Id"))
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _id(text: str | None) -> str | None:
    """The one spelling of a GUID; None where it is missing, null, empty or all zeros."""
    if not text:
        return None
    inner = text[1:-1] if text[0] == "{" else text
    return None if inner == ZERO_GUID else inner


def _parsed(kind: type[_PartT], raw: bytes) -> _PartT:
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise NotANotice(f"{place}: {first['type']}") from None


def _moment(text: str) -> datetime:
    """The time of `/Date(ms)/` or `/Date(ms+hhmm)/`. Milliseconds plus the offset are UTC: so it is in every body
    seen, although the notation means otherwise elsewhere."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise NotANotice("OperationCreatedOn: is no date")
    milliseconds, sign, hours, minutes = found.groups()
    try:
        at = _EPOCH + timedelta(milliseconds=int(milliseconds))
        if sign is None:
            return at
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return at - offset if sign == "-" else at + offset
    except OverflowError:
        raise NotANotice("OperationCreatedOn: is no date of a calendar") from None


def _target_key(raw: bytes, table: str) -> str | None:
    """The id of the parameter Target, where the context itself names no record."""
    parameters = _parsed(_Parameters, raw)
    target = parameters.value("Target")
    if not isinstance(target, dict):
        return None
    try:
        read = _Target.model_validate(target)
    except ValidationError:
        raise NotANotice("InputParameters.Target: is neither a record nor a reference") from None
    return _id(read.id) if read.table in ("", table) else None


def _operation(context: _Context, new_id: Callable[[], str]) -> str:
    """`operation/step`: what a change is known by, together with its record and time.

    A synchronous step's operation is the whole request, and one request may change several records, or one record
    twice: without record and time the queue would take the second change for the first.
    Without any operation the id is new, so that a repeated notice costs a run but no change is swallowed.
    """
    operation = _id(context.operation_id) or _id(context.request_id) or f"unknown-{new_id()}"
    step = (_id(context.step.id) if context.step else None) or "unknown"
    return f"{operation}/{step}"
