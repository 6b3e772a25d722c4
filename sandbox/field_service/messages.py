"""What field service posts when a record changed, as an object in JSON or as an element in XML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from sandbox.exact_json import to_json
from sandbox.field_service.tables import Table
from sandbox.field_service.values import Forms, shown_row
from sandbox.rows_on_disk import REVISION, Row


class Operation(StrEnum):
    """What happened to a record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
    """What happened to which record, at what moment; `row` is how it is now, or was."""

    table: Table
    row: Row
    operation: Operation
    at: datetime

    @property
    def message_id(self) -> str:
        """What tells this change from all others."""
        return f"{self.table.name}-{self.row[REVISION]}"

    @property
    def moment(self) -> str:
        """When it happened, in UTC."""
        return f"{self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


Write = Callable[[Change, str, Forms], str]
"""Words a change, under the name that its record has in messages."""


def fsm_json(change: Change, name: str, forms: Forms) -> str:
    """An outbound message of FSM, with its id."""
    about = {"messageId": change.message_id, "at": change.moment, "operation": str(change.operation)}
    return to_json({**about, "table": name, **_keys(change, forms)})


def event_action(change: Change, name: str, forms: Forms) -> str:
    """The body of an event action of IFS Cloud: a text in which the record's values take the place of their names."""
    keys = {key: str(value) for key, value in _key_values(change, forms).items()}
    return to_json({"table": name, **({"keys": keys} if len(keys) > 1 else {"key": next(iter(keys.values()))})})


def xml(change: Change, name: str, forms: Forms) -> str:
    """A message of IFS Connect or of the FSM server: the whole record, persons' names and all."""
    cells = "".join(
        f"<{column}>{escape(str(value))}</{column}>"
        for column, value in shown_row(change.table, change.row, forms).items()
        if value is not None
    )
    about = f"messageId={quoteattr(change.message_id)} at={quoteattr(change.moment)}"
    record = f'<{name} operation="{change.operation}">{cells}</{name}>'
    return f'<?xml version="1.0" encoding="UTF-8"?><outbound_message {about}>{record}</outbound_message>'


def _keys(change: Change, forms: Forms) -> dict[str, Any]:
    keys = _key_values(change, forms)
    return {"keys": dict(keys)} if len(keys) > 1 else {"key": next(iter(keys.values()))}


def _key_values(change: Change, forms: Forms) -> Mapping[str, Any]:
    shown = shown_row(change.table, change.row, forms)
    return {name: shown[name] for name in change.table.keys}
