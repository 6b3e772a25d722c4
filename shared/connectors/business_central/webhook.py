"""Reads what Business Central posts to a subscription's address: which records changed, and nothing else.

A body is `{"value": [...]}` with rows of one or several subscriptions (Microsoft Learn, "Working with webhooks in
Dynamics 365 Business Central"). Rows are judged one by one: a bad one does not spoil its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.connectors.business_central.resources import Resource, read_resource
from shared.sync.notices import ManyChanges, Notice

SYSTEM: Final = "business_central"
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""A thousand changes of a subscription in one body are some 400 KB; above a thousand one row stands for all."""
CHANGES: Final = frozenset({"created", "updated", "deleted"})
COLLECTION: Final = "collection"

_BOM: Final = b"\xef\xbb\xbf"
_FILTER: Final = re.compile(
    r"\?\$filter=(?:lastModifiedDateTime|lastDateTimeModified) gt (?P<moment>[0-9TZ:.+-]{19,40})"
)
_TOKEN: Final = re.compile(r"[A-Za-z0-9 ._~+/=:@!*,;()-]{1,512}", re.ASCII)


class NotANotice(ValueError):
    """The body is not one of Business Central's; the text names the member, never its value."""


class Ignored(StrEnum):
    """Why a row leads to no message."""

    SHAPE = "a row of another shape"
    CLIENT_STATE = "a wrong client state"
    RESOURCE = "an unknown resource"
    FOREIGN = "another company or environment"
    CHANGE = "an unknown kind of change"


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


_Short = Annotated[str, StringConstraints(max_length=250)]


class _Row(_Part):
    """The members that are used. A client state has at most 250 characters."""

    subscription: Annotated[_Short, Field(alias="subscriptionId")] = ""
    client_state: Annotated[_Short, Field(alias="clientState")] = ""
    resource: Annotated[str, StringConstraints(max_length=2048)]
    change: Annotated[_Short, Field(alias="changeType")]
    changed_at: Annotated[_Short, Field(alias="lastModifiedDateTime")] = ""


class _Body(_Part):
    value: list[Any]


def plain_token(text: str | None) -> str | None:
    """The token of a handshake if it is short and plain enough to be sent back; else None."""
    return text if text and _TOKEN.fullmatch(text) else None


def read_rows(body: bytes) -> list[Any]:
    """The rows of a body, not judged yet; raises NotANotice."""
    try:
        return _Body.model_validate_json(body.removeprefix(_BOM)).value
    except ValidationError as error:
        raise NotANotice(str(error.errors(include_url=False, include_input=False)[0]["type"])) from None


@dataclass(frozen=True, slots=True)
class Company:
    """A system that notices may be about. is_ours: whether a client state is one of those we subscribed with there."""

    system: str
    company_id: str
    environment: str
    is_ours: Callable[[str], bool]


def read_row(row: Any, companies: Sequence[Company], fresh_id: str) -> Sequence[Notice | ManyChanges | Ignored]:
    """Judge one row by the companies that its sender may speak of.

    A row that does not name its environment may be about a company and its copy: both then look.
    """
    try:
        read = _Row.model_validate(row)
    except ValidationError:
        return [Ignored.SHAPE]
    ours = [one for one in companies if one.is_ours(read.client_state)]
    if not ours:
        return [Ignored.CLIENT_STATE]
    named = read_resource(read.resource)
    if named is None:
        return [Ignored.RESOURCE]
    systems = [one.system for one in ours if named.is_in(one.company_id, one.environment)]
    return [_told(read, named, system, fresh_id) for system in systems] or [Ignored.FOREIGN]


def _told(row: _Row, named: Resource, system: str, fresh_id: str) -> Notice | ManyChanges | Ignored:
    """What a row about one of our companies says."""
    if row.change == COLLECTION:
        change_id = _change_id(row, system, named.table, "", fresh_id)
        return ManyChanges(system, named.table, _since(named.query), change_id)
    if row.change not in CHANGES:
        return Ignored.CHANGE
    if not named.key or named.query:
        return Ignored.RESOURCE
    change_id = _change_id(row, system, named.table, named.key, fresh_id)
    return Notice(system, named.table, named.key, change_id, fresh_id)


def _since(query: str) -> datetime | None:
    """The time in the filter of a collection; None without one that can be read. Samples name the column
    `lastDateTimeModified`."""
    found = _FILTER.fullmatch(unquote(query))
    try:
        moment = datetime.fromisoformat(found["moment"]) if found else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _change_id(row: _Row, system: str, table: str, key: str, fresh_id: str) -> str:
    """What the service repeats with every try of the same change. Without a time the id is new: a repeated notice
    then costs a run, but no change is swallowed."""
    when = row.changed_at or f"unknown-{fresh_id}"
    return f"{system}/{row.subscription}/{table}/{key}/{row.change}/{when}"
