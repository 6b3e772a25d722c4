"""The action Merge for accounts and contacts.

After Microsoft Learn, 'Merge table rows using the Web API': the subordinate row is deactivated and names the row it was
merged into, and the rows that pointed to it point to that one. The documents say that "useful data" moves; of columns
only those of UpdateContent are written here. They do not say that an Update of the subordinate is announced, so it is
not: only change tracking shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from sandbox.dataverse import errors
from sandbox.dataverse.bulk import TYPE
from sandbox.dataverse.calls import Call, check_write, method_not_allowed
from sandbox.dataverse.context import Caller
from sandbox.dataverse.errors import NotImitated
from sandbox.dataverse.metadata import Model, Table
from sandbox.dataverse.records import Records
from sandbox.dataverse.security import Security
from sandbox.dataverse.store import Store
from sandbox.dataverse.values import BodyReader, parse_key

NAME = "Merge"
MERGED, INTO = "merged", "masterid"
_KNOWN = frozenset({"Target", "Subordinate", "UpdateContent", "PerformParentingChecks"})
_NAMESPACE = "Microsoft.Dynamics.CRM."


class Merges:
    """Carries out the unbound action."""

    def __init__(self, *, model: Model, store: Store, records: Records, bodies: BodyReader, security: Security) -> None:
        self._model = model
        self._store = store
        self._records = records
        self._bodies = bodies
        self._security = security

    async def take(self, call: Call) -> Response:
        """Merge two rows; raises DataverseError, and then nothing was written."""
        if call.method != "POST":
            raise method_not_allowed(call.method)
        body = _checked(call.json())
        table = self._table(body["Target"], "Target")
        if self._table(body["Subordinate"], "Subordinate") is not table:
            raise errors.invalid_argument("The two records to be merged are of different types.")
        check_write(call, table)
        self._security.check(call.caller, table, "Write")
        target, subordinate = _id(table, body["Target"]), _id(table, body["Subordinate"])
        self._check_pair(call.caller, table, target, subordinate)
        content = self._content(call, table, body.get("UpdateContent") or {})
        await self._records.merge(table, target, subordinate, content, call.caller)
        return Response(status_code=204)

    def _table(self, given: Any, name: str) -> Table:
        if not isinstance(given, dict) or TYPE not in given:
            raise errors.payload_error("crmbaseentity", f"The parameter '{name}' needs the annotation '{TYPE}'.")
        table = self._model.tables.get(str(given[TYPE]).removeprefix("#").removeprefix(_NAMESPACE))
        if table is None or INTO not in table.columns:
            raise NotImitated(f"merging {given[TYPE]}")
        return table

    def _check_pair(self, caller: Caller, table: Table, target: str, subordinate: str) -> None:
        for row_id in (target, subordinate):
            row = self._store.get(table.name, row_id)
            if row is None:
                raise errors.does_not_exist(table.display_name, row_id)
            self._security.check_row(caller, table, "Write", row)
        if target == subordinate:
            raise errors.invalid_argument("A record cannot be merged with itself.")
        if any((self._store.get(table.name, one) or {}).get("statecode") for one in (target, subordinate)):
            raise NotImitated("merging inactive rows")

    def _content(self, call: Call, table: Table, given: Mapping[str, Any]) -> dict[str, Any]:
        if not given:
            return {}
        if self._table(given, "UpdateContent") is not table:
            raise errors.invalid_argument("UpdateContent is of another type than the records.")
        changes = self._bodies.read(table, given, creating=False)
        changes.pop(table.primary_id, None)
        self._security.check_changes(call.caller, table, changes, creating=False)
        return dict(changes)


def _checked(body: Any) -> Mapping[str, Any]:
    """The parameters; raises for one too many or too few, and for the check of parents, which is not imitated."""
    if not isinstance(body, dict):
        raise errors.payload_error(NAME, "The body must be an object.")
    for name in body.keys() - _KNOWN:
        raise errors.undeclared_property(NAME, name)
    for name in ("Target", "Subordinate", "PerformParentingChecks"):
        if name not in body:
            raise errors.payload_error(NAME, f"The parameter '{name}' is missing.")
    if body["PerformParentingChecks"] is not False:
        raise NotImitated("PerformParentingChecks")
    return body


def _id(table: Table, given: Mapping[str, Any]) -> str:
    row_id = given.get(table.primary_id)
    if not isinstance(row_id, str) or parse_key(table, row_id).row_id is None:
        raise errors.payload_error(table.set_name, f"A record to be merged needs its '{table.primary_id}'.")
    return row_id.lower()
