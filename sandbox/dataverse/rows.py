"""Rows as the Web API takes and shows them: sets, single rows, collections, conditions, representations.

After Microsoft Learn, 'Create a table row', 'Update and delete table rows', 'Perform conditional operations using the
Web API'.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from sandbox.dataverse import errors
from sandbox.dataverse.bulk import BulkMessages
from sandbox.dataverse.calls import Call, check_write, json_answer, method_not_allowed
from sandbox.dataverse.encoding import header_text
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.files import Files
from sandbox.dataverse.metadata import LOOKUPS, Kind, Model, Table
from sandbox.dataverse.reading import Query, Reader, etag
from sandbox.dataverse.records import ANY_VERSION, Records
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Row, Store
from sandbox.dataverse.values import BodyReader, KeyReference, lookup_target

ACTIONS = "Microsoft.Dynamics.CRM."
"""What the name of an action bound to a set begins with."""
_ETAG = re.compile(r'W/"(\d+)"')


class RowApi:
    """Requests for a table's set, for its rows and for what is below them."""

    def __init__(
        self,
        *,
        model: Model,
        store: Store,
        records: Records,
        reader: Reader,
        bodies: BodyReader,
        security: Security,
        bulk: BulkMessages,
        files: Files,
    ) -> None:
        self._model = model
        self._store = store
        self._records = records
        self._reader = reader
        self._bodies = bodies
        self._security = security
        self._bulk = bulk
        self._files = files

    async def set(self, call: Call, table: Table) -> Response:
        """Serve a request for a table, for its count or for one of its bulk messages."""
        if len(call.segments) == 2 and call.segments[1].startswith(ACTIONS):
            return await self._bulk.message(call, table, call.segments[1].removeprefix(ACTIONS))
        self._check_privilege(call, table)
        if call.segments[1:] == ("$count",) and call.method == "GET":
            return Response(str(self._reader.count(self._query(call, table))), media_type="text/plain")
        if len(call.segments) > 1:
            raise NotImitated(f"{call.method} {'/'.join(call.segments[1:])} on a table")
        if call.method == "GET":
            if call.preferences.track_changes or "$deltatoken" in call.options:
                self._security.check_everything(call.caller, table)
            return json_answer(self._reader.page(self._query(call, table)), call.preferences.applied)
        if call.method == "POST":
            return await self._create(call, table)
        raise method_not_allowed(call.method)

    async def row(self, call: Call, table: Table, key: KeyReference) -> Response:
        """Serve a request for a row or for a collection of it."""
        self._check_privilege(call, table)
        if len(call.segments) > 1:
            column = table.columns.get(call.segments[1])
            if column is not None and column.kind is Kind.FILE:
                row_id = self._bodies.resolve(table, key)
                self._check_row(call, table, "Read" if call.method == "GET" else "Write", row_id)
                return self._files.serve(call, table, row_id, column)
            return self._collection(call, table, key)
        handlers: Mapping[str, Callable[[Call, Table, KeyReference], Awaitable[Response]]] = {
            "GET": self._read,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }
        handler = handlers.get(call.method)
        if handler is None:
            raise method_not_allowed(call.method)
        return await handler(call, table, key)

    def _check_privilege(self, call: Call, table: Table) -> None:
        """Refuse what the caller has no privilege for; whether a PATCH creates is found out later."""
        action = {"GET": "Read", "POST": "Create", "PATCH": "Write", "DELETE": "Delete"}.get(call.method)
        if action is not None:
            self._security.check(call.caller, table, action)

    def _check_row(self, call: Call, table: Table, action: str, row_id: str) -> None:
        row = self._store.get(table.name, row_id)
        if row is not None:
            self._security.check_row(call.caller, table, action, row)

    def _collection(self, call: Call, table: Table, key: KeyReference) -> Response:
        """Answer `table(id)/collection`: the rows whose lookup points to the row."""
        relation = self._model.collections.get((table.name, call.segments[1]))
        if relation is None or len(call.segments) > 2 or call.method != "GET":
            raise NotImitated(f"{call.method} {'/'.join(call.segments[1:])} on a row")
        row_id, column = self._bodies.resolve(table, key), relation.column
        self._check_row(call, table, "Read", row_id)
        others = self._model.tables[relation.referencing_table]
        self._security.check(call.caller, others, "Read")
        query = replace(
            self._query(call, others),
            restriction=lambda row: row.get(column.name) == row_id and lookup_target(column, row) == table.name,
        )
        return json_answer(self._reader.page(query), call.preferences.applied)

    def _query(self, call: Call, table: Table) -> Query:
        hidden, visible = self._security.hidden(call.caller, table.name), self._security.visible(call.caller, table)
        return Query(
            table, call.options, call.preferences, call.stale_seconds, path=call.path, hidden=hidden, visible=visible
        )

    # One row

    async def _read(self, call: Call, table: Table, key: KeyReference) -> Response:
        row = self._reader.row(table, self._bodies.resolve(table, key), call.stale_seconds)
        self._security.check_row(call.caller, table, "Read", row)
        known = call.precondition("if-none-match")
        if known is not None and known == etag(row) and table.versioned and not call.preferences.annotations:
            return Response(status_code=304, headers={"ETag": etag(row)})
        body = self._reader.one(self._query(call, table), row)
        return json_answer(body, call.preferences.applied, headers={"ETag": etag(row)})

    async def _create(self, call: Call, table: Table) -> Response:
        check_write(call, table)
        self._reader.check_select(self._query(call, table))
        changes = self._bodies.read(table, call.json(), creating=True)
        self._security.check_changes(call.caller, table, changes, creating=True)
        row = await self._records.create(table, changes, call.caller, within=call.within)
        return self._written(call, table, row, created=True, address=row[table.primary_id])

    async def _patch(self, call: Call, table: Table, key: KeyReference) -> Response:
        check_write(call, table)
        self._reader.check_select(self._query(call, table))
        found = self._find(table, key)
        match, none_match = call.precondition("if-match"), call.precondition("if-none-match")
        if none_match is not None and none_match != "*":
            raise NotImitated("If-None-Match with an etag on PATCH")
        if found is None and match is not None:
            raise self._missing(table, key)
        if found is not None and none_match is not None:
            raise errors.matching_key_exists()
        if found is None:
            changes = dict(key.values) | self._bodies.read(table, call.json(), creating=True)
            self._security.check(call.caller, table, "Create")
            self._security.check_changes(call.caller, table, changes, creating=True)
            row = await self._records.create(
                table, with_targets(table, changes), call.caller, key.row_id, within=call.within
            )
        else:
            self._check_row(call, table, "Write", found)
            changes = self._bodies.read(table, call.json(), creating=False)
            self._security.check_changes(call.caller, table, changes, creating=False)
            version = _version(match)
            row = await self._records.update(table, found, changes, call.caller, version, within=call.within)
        return self._written(call, table, row, created=found is None, address=key.text)

    async def _delete(self, call: Call, table: Table, key: KeyReference) -> Response:
        check_write(call, table)
        self._reader.check_select(self._query(call, table))
        found = self._find(table, key)
        if found is None:
            raise self._missing(table, key)
        self._check_row(call, table, "Delete", found)
        version = _version(call.precondition("if-match"))
        await self._records.delete(table, found, call.caller, version, within=call.within)
        return Response(status_code=204)

    def _find(self, table: Table, key: KeyReference) -> str | None:
        if key.row_id is None:
            return self._bodies.look_up(table, key)
        return key.row_id if self._store.get(table.name, key.row_id) is not None else None

    def _missing(self, table: Table, key: KeyReference) -> DataverseError:
        if key.row_id is None:
            return errors.not_found_by_key(table.name)
        return errors.does_not_exist(table.display_name, key.row_id)

    def _written(self, call: Call, table: Table, row: Row, *, created: bool, address: str) -> Response:
        """Answer a write: 204 with the address, or with return=representation the row (201 or 200)."""
        if not call.preferences.representation:
            target = f"{self._reader.root}/{table.set_name}({address})"
            return Response(status_code=204, headers={"OData-EntityId": header_text(target)})
        options = {name: value for name, value in call.options.items() if name == "$select"}
        query = replace(self._query(call, table), options=options, stale_seconds=None, path="")
        body = self._reader.one(query, row)
        return json_answer(body, call.preferences.applied, 201 if created else 200, {"ETag": etag(row)})


def with_targets(table: Table, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse keys that hold a polymorphic lookup, whose table a key value does not tell."""
    for name in changes:
        column = table.columns.get(name)
        if column is not None and column.kind in LOOKUPS and f"{name}@table" not in changes and len(column.targets) > 1:
            raise NotImitated("creating by an alternate key over a lookup to several tables")
    return dict(changes)


def _version(condition: str | None) -> str:
    """Return the version an If-Match asks for; several etags are not imitated."""
    if condition is None or condition == "*":
        return ANY_VERSION
    found = _ETAG.fullmatch(condition)
    if found is None:
        raise errors.version_mismatch()
    return found[1]
