"""Bulk messages: CreateMultiple, UpdateMultiple and UpsertMultiple, all or nothing, as on standard tables.

After Microsoft Learn, 'Use bulk operation messages'. The pipelines are merged: every row raises the events of a single
Create or Update. The answer to a failure is that of the first row that fails; it does not say which one that was.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from sandbox.clock import Clock
from sandbox.dataverse import errors
from sandbox.dataverse.calls import BASE, Call, check_write, json_answer, method_not_allowed
from sandbox.dataverse.context import Caller
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import Table
from sandbox.dataverse.records import Records
from sandbox.dataverse.registrations import platform_id
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Store
from sandbox.dataverse.transactions import Transaction
from sandbox.dataverse.values import BodyReader, KeyReference, parse_key

TYPE, ADDRESS = "@odata.type", "@odata.id"
Target = Mapping[str, Any]


@dataclass(frozen=True)
class _Message:
    """What came with one message, for all of its targets."""

    table: Table
    caller: Caller
    work: Transaction


class BulkMessages:
    """Carries out bulk messages bound to a table's set."""

    def __init__(
        self,
        *,
        root: str,
        store: Store,
        records: Records,
        bodies: BodyReader,
        security: Security,
        clock: Clock,
        target_seconds: float,
    ) -> None:
        self._root = root
        self._clock = clock
        self._target_seconds = target_seconds
        self._store = store
        self._records = records
        self._bodies = bodies
        self._security = security

    async def message(self, call: Call, table: Table, name: str) -> Response:
        """Carry out the message of this name; raises DataverseError, and then nothing was written."""
        handlers: Mapping[str, Callable[[_Message, Sequence[Target]], Awaitable[Response]]] = {
            "CreateMultiple": self._create,
            "UpdateMultiple": self._update,
            "UpsertMultiple": self._upsert,
        }
        if name == "DeleteMultiple":
            raise DataverseError(501, "", "DeleteMultiple has not yet been implemented.")
        if name not in handlers:
            raise NotImitated(f"the action or function {name} on a table")
        if self._store.get("sdkmessagefilter", platform_id(f"{name} of {table.name}")) is None:
            raise errors.unknown_segment(f"Microsoft.Dynamics.CRM.{name}")
        if call.method != "POST":
            raise method_not_allowed(call.method)
        check_write(call, table)
        targets = _targets(table, call.json())
        if self._target_seconds:
            await self._clock.sleep(self._target_seconds * len(targets))
        if call.within is not None:
            return await handlers[name](_Message(table, call.caller, call.within), targets)
        async with self._records.together() as work:
            return await handlers[name](_Message(table, call.caller, work), targets)

    async def _create(self, message: _Message, targets: Sequence[Target]) -> Response:
        self._security.check(message.caller, message.table, "Create")
        for target in targets:
            _refuse_address(target)
        ids = [await self._create_one(message, target) for target in targets]
        context = f"{self._root}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse"
        return json_answer({"@odata.context": context, "Ids": ids})

    async def _update(self, message: _Message, targets: Sequence[Target]) -> Response:
        self._security.check(message.caller, message.table, "Write")
        for target in targets:
            _refuse_address(target)
        ids = [_own_id(message.table, target) for target in targets]
        self._check_there(message.table, ids)
        for row_id, target in zip(ids, targets, strict=True):
            await self._update_one(message, row_id, target)
        return Response(status_code=204)

    async def _upsert(self, message: _Message, targets: Sequence[Target]) -> Response:
        written: set[str] = set()
        for target in targets:
            row_id = await self._upsert_one(message, target)
            if row_id in written:
                raise errors.deadlock()
            written.add(row_id)
        return Response(status_code=204)

    async def _upsert_one(self, message: _Message, target: Target) -> str:
        table, key = message.table, _address(message.table, target)
        named = _own_id(table, target) if key is None else key.row_id
        found = self._bodies.look_up(table, key) if key is not None and key.row_id is None else named
        if found is not None and self._store.get(table.name, found) is not None:
            self._security.check(message.caller, table, "Write")
            return await self._update_one(message, found, target)
        self._security.check(message.caller, table, "Create")
        values = key.values if key is not None else {}
        if values.keys() & target.keys():
            text = "The key attributes of the target are also among its attributes."
            raise DataverseError(400, "0x80040216", f"An unexpected error occurred. {text}")
        return await self._create_one(message, target, values, named)

    async def _create_one(
        self,
        message: _Message,
        target: Target,
        values: Mapping[str, Any] | None = None,
        row_id: str | None = None,
    ) -> str:
        table = message.table
        changes = dict(values or {}) | self._bodies.read(table, target, creating=True)
        self._security.check_changes(message.caller, table, changes, creating=True)
        row = await self._records.create(table, changes, message.caller, row_id, within=message.work)
        return str(row[table.primary_id])

    async def _update_one(self, message: _Message, row_id: str, target: Target) -> str:
        self._security.check_row(message.caller, message.table, "Write", self._store.table(message.table.name)[row_id])
        changes = self._bodies.read(message.table, target, creating=False)
        self._security.check_changes(message.caller, message.table, changes, creating=False)
        await self._records.update(message.table, row_id, changes, message.caller, within=message.work)
        return row_id

    def _check_there(self, table: Table, ids: Sequence[str]) -> None:
        """Refuse ids nobody has; the same id twice is a deadlock of the message with itself."""
        missing = [row_id for row_id in ids if self._store.get(table.name, row_id) is None]
        if missing:
            raise errors.do_not_exist(table.display_name, missing)
        if len(set(ids)) < len(ids):
            raise errors.deadlock()


def _targets(table: Table, body: Any) -> list[Target]:
    """Read the targets; each must say of which table it is, and all of the one the message is bound to."""
    targets = body.get("Targets") if isinstance(body, dict) else None
    if not isinstance(targets, list) or not all(isinstance(target, dict) for target in targets):
        raise errors.payload_error(table.set_name, "The parameter 'Targets' must be a list of records.")
    if not targets:
        raise errors.invalid_argument("The collection 'Targets' is empty.")
    wanted = f"Microsoft.Dynamics.CRM.{table.name}"
    for target in targets:
        if TYPE not in target:
            name = next((name for name in target if not name.startswith("@")), "")
            raise errors.undeclared_property("crmbaseentity", name)
        if str(target[TYPE]).removeprefix("#") != wanted:
            raise errors.payload_error(table.set_name, f"A target is not of the type '{wanted}'.")
    return targets


def _refuse_address(target: Target) -> None:
    if ADDRESS in target:
        raise NotImitated("@odata.id in the targets of CreateMultiple and UpdateMultiple")


def _own_id(table: Table, target: Target) -> str:
    """Return the id a target gives as its primary id."""
    given = target.get(table.primary_id)
    if not isinstance(given, str) or parse_key(table, given).row_id is None:
        raise NotImitated(f"targets without {table.primary_id}")
    return given.lower()


def _address(table: Table, target: Target) -> KeyReference | None:
    """Return the row that `@odata.id` names (`accounts(accountnumber='A1')`), or None without it."""
    if ADDRESS not in target:
        return None
    relative = str(target[ADDRESS]).partition(BASE)[2] or str(target[ADDRESS])
    found = re.fullmatch(r"(\w+)\((.*)\)", relative.strip("/"))
    if found is None or found[1] != table.set_name:
        raise errors.payload_error(table.set_name, f"Invalid URI '{target[ADDRESS]}' in '@odata.id'.")
    return parse_key(table, found[2])
