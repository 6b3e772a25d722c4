"""The pipeline of a write: defaults, computed columns, states, keys, webhook steps, commit.

The order is that of Microsoft Learn, 'Event execution pipeline': the row is made, synchronous steps see it and may
undo it, then it is committed and asynchronous steps are queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from weakref import WeakValueDictionary

from sandbox.clock import Clock
from sandbox.dataverse import errors, registrations, views
from sandbox.dataverse.context import Caller, Event
from sandbox.dataverse.errors import NotImitated
from sandbox.dataverse.metadata import Column, Kind, Model, Relationship, Table
from sandbox.dataverse.notices import Notices
from sandbox.dataverse.registrations import POST_OPERATION, PRE_VALIDATION, Registrations
from sandbox.dataverse.store import Row, Store
from sandbox.dataverse.transactions import Transaction
from sandbox.dataverse.values import lookup_target, target_column

ANY_VERSION = "*"
CASE_RESOLVED = 1
CLOSED_BY_MESSAGE: Mapping[str, Mapping[int, str]] = {
    "opportunity": {1: "won", 2: "lost"},
    "quote": {2: "won", 3: "closed"},
    "salesorder": {2: "canceled", 3: "fulfilled"},
}
"""States that an action of their own sets, and no update: WinOpportunity, LoseOpportunity, WinQuote, CloseQuote,
CancelSalesOrder, FulfillSalesOrder."""


class Records:
    """Creates, updates and deletes rows, with everything the platform does around it."""

    def __init__(
        self,
        *,
        model: Model,
        store: Store,
        clock: Clock,
        notices: Notices,
        registrations: Registrations,
        currency_id: str,
        business_unit_id: str,
        new_id: Callable[[], str],
    ) -> None:
        self._model = model
        self._store = store
        self._clock = clock
        self._notices = notices
        self._registrations = registrations
        self._currency_id = currency_id
        self._business_unit_id = business_unit_id
        self._new_id = new_id
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def together(self) -> Transaction:
        """A transaction over several writes, to be given to each of them as `within`."""
        return Transaction(self._store, self._publish, patient=False)

    async def create(
        self,
        table: Table,
        changes: Mapping[str, Any],
        caller: Caller,
        row_id: str | None = None,
        within: Transaction | None = None,
    ) -> Row:
        """Create a row and return it; raises DataverseError 412 when the id or an alternate key is taken."""
        sent = dict(changes)
        given = sent.pop(table.primary_id, None)
        if row_id is not None and given is not None and given != row_id:
            raise errors.invalid_argument(f"The {table.primary_id} of the body is not that of the address.")
        new_id = row_id or given or self._new_id()
        async with self._work(within) as work:
            await work.hold(self._lock(table, new_id))
            row = self._with_defaults(table, new_id, sent, caller)
            _check_case(table, row)
            self._check_unique(table, new_id, row, creating=True)
            shown = {*sent, "modifiedonbehalfby"}
            target = {name: value for name, value in row.items() if value is not None or name in shown}
            event = self._event("Create", table, new_id, caller, sent, target, None, row)
            await self._synchronous(event, lambda: self._check_unique(table, new_id, row, creating=True))
            return self._written(work, event, row)

    async def update(
        self,
        table: Table,
        row_id: str,
        changes: Mapping[str, Any],
        caller: Caller,
        version: str = ANY_VERSION,
        within: Transaction | None = None,
        closes: bool = False,
    ) -> Row:
        """Change a row and return it; raises DataverseError 404 when it is gone, 412 when `version` is not its own.

        `closes`: as the action does that closes a record, which an update by itself may not.
        """
        sent = dict(changes)
        if sent.pop(table.primary_id, row_id) != row_id:
            raise errors.invalid_argument(f"The {table.primary_id} of a row cannot be changed.")
        await self._before_it_begins(table, row_id, sent, caller, version)
        async with self._work(within) as work:
            await work.hold(self._lock(table, row_id))
            before = self._existing(table, row_id, version)
            if table.name in CLOSED_BY_MESSAGE and not closes:
                _check_closing(table, before, sent)
            made = self._changed(table, before, sent, caller)
            row = {**before, **made}
            _check_case(table, row)
            self._check_unique(table, row_id, row, creating=False)
            target = {**sent, table.primary_id: row_id, **made}
            event = self._event("Update", table, row_id, caller, sent, target, before, row)
            await self._synchronous(event, lambda: self._check_unique(table, row_id, row, creating=False))
            return self._written(work, event, row)

    async def delete(
        self,
        table: Table,
        row_id: str,
        caller: Caller,
        version: str = ANY_VERSION,
        within: Transaction | None = None,
    ) -> None:
        """Delete a row and what hangs on it; raises DataverseError like `update`."""
        if table.name in ("systemuser", "transactioncurrency"):
            raise NotImitated(f"deleting rows of {table.name}")
        async with self._work(within) as work:
            await work.hold(self._lock(table, row_id))
            before = self._existing(table, row_id, version)
            event = self._event("Delete", table, row_id, caller, {}, {}, before, None)
            await self._synchronous(event, lambda: None)
            self._check_restricted(table, row_id)
            for relation in self._model.referencing(table.name):
                await self._let_go(work, relation, row_id, caller)
            work.remove(table.name, row_id)
            work.announce(event)

    async def merge(
        self, table: Table, target_id: str, subordinate_id: str, content: Mapping[str, Any], caller: Caller
    ) -> None:
        """Deactivate the subordinate in favour of the target, to which everything that pointed to it points now, unless
        its relationship says otherwise."""
        async with self._work(None) as work:
            for row_id in sorted((target_id, subordinate_id)):
                await work.hold(self._lock(table, row_id))
            if content:
                await self.update(table, target_id, content, caller, within=work)
            for relation in self._model.referencing(table.name):
                await self._point_elsewhere(work, relation, subordinate_id, target_id, caller)
            sent = {"statecode": 1, "merged": True, "masterid": target_id}
            before = self._existing(table, subordinate_id, ANY_VERSION)
            work.put(table.name, subordinate_id, {**before, **self._changed(table, before, sent, caller)})

    async def _point_elsewhere(
        self, work: Transaction, relation: Relationship, old_id: str, new_id: str, caller: Caller
    ) -> None:
        column, table = relation.column, self._model.tables[relation.referencing_table]
        if column.write == "none" or column.on_merge == "NoCascade":
            return
        for row in self._store.find(table.name, [column.name], [old_id]):
            if lookup_target(column, row) == relation.referenced_table and row[table.primary_id] != new_id:
                changes = {column.name: new_id}
                if target_column(column.name) in row:
                    changes[target_column(column.name)] = relation.referenced_table
                await self.update(table, row[table.primary_id], changes, caller, within=work)

    # Steps

    @asynccontextmanager
    async def _work(self, within: Transaction | None) -> AsyncIterator[Transaction]:
        """The transaction of one write: its own, or the one it is part of."""
        if within is not None:
            yield within
            return
        async with Transaction(self._store, self._publish, patient=True) as own:
            yield own

    def _lock(self, table: Table, row_id: str) -> asyncio.Lock:
        """Return the row's lock: a second writer waits while a synchronous step of the first is under way."""
        return self._locks.setdefault((table.name, row_id), asyncio.Lock())

    def _existing(self, table: Table, row_id: str, version: str) -> Row:
        row = self._store.get(table.name, row_id)
        if row is None:
            raise errors.does_not_exist(table.display_name, row_id)
        if version != ANY_VERSION:
            if not table.versioned:
                raise errors.concurrency_not_enabled(table.name)
            if version != str(row["versionnumber"]):
                raise errors.version_mismatch()
        return row

    def _check_unique(self, table: Table, row_id: str, row: Row, *, creating: bool) -> None:
        if creating and self._store.get(table.name, row_id) is not None:
            raise errors.duplicate_id()
        key = self._store.violated_key(table.name, row_id, row)
        if key is not None:
            raise errors.duplicate_key(key.schema_name, ", ".join(key.columns))

    async def _before_it_begins(
        self, table: Table, row_id: str, sent: Mapping[str, Any], caller: Caller, version: str
    ) -> None:
        """Call the steps of the stage PreValidation: outside the transaction, with what was sent and nothing else."""
        if not table.notices or not self._notices.has_synchronous(table.name, "Update", PRE_VALIDATION):
            return
        before = self._existing(table, row_id, version)
        target = {**sent, table.primary_id: row_id}
        event = self._event("Update", table, row_id, caller, sent, target, before, None)
        await self._notices.synchronous(event, PRE_VALIDATION)

    async def _synchronous(self, event: Event, check_again: Callable[[], None]) -> None:
        if event.table.notices and self._notices.has_synchronous(event.table.name, event.message, POST_OPERATION):
            await self._notices.synchronous(event, POST_OPERATION)
            check_again()

    def _written(self, work: Transaction, event: Event, row: dict[str, Any]) -> Row:
        if event.table.name in registrations.TABLES:
            self._registrations.check(event.table.name, row)
        if event.table.name == views.TABLE:
            views.check(self._model, row, event.message, self._clock.now())
        stored = work.put(event.table.name, event.row_id, row)
        work.announce(event)
        return stored

    def _publish(self, event: Event) -> None:
        if event.table.name in registrations.TABLES:
            self._registrations.forget()
        if event.table.notices:
            self._notices.asynchronous(event)

    def _check_restricted(self, table: Table, row_id: str) -> None:
        """Refuse to delete a row that others hold by a relationship that restricts it."""
        for relation in self._model.referencing(table.name):
            held = relation.column.on_delete == "Restrict"
            if held and self._store.find(relation.referencing_table, [relation.column.name], [row_id]):
                raise errors.associated(table.display_name)

    async def _let_go(self, work: Transaction, relation: Relationship, row_id: str, caller: Caller) -> None:
        """Do to the rows that point to a deleted one what the relationship says: cascade, or empty the lookup."""
        column, table = relation.column, self._model.tables[relation.referencing_table]
        if column.on_delete == "NoCascade" or column.write == "none":
            return
        for row in self._store.find(table.name, [column.name], [row_id]):
            if lookup_target(column, row) != relation.referenced_table:
                continue
            if column.on_delete == "Cascade":
                await self.delete(table, row[table.primary_id], caller, within=work)
            else:
                work.put(table.name, row[table.primary_id], {**row, column.name: None})

    def _event(
        self,
        message: str,
        table: Table,
        row_id: str,
        caller: Caller,
        sent: Mapping[str, Any],
        target: Mapping[str, Any],
        before: Row | None,
        after: Row | None,
    ) -> Event:
        return Event(message, table, row_id, caller, self._clock.now(), sent, target, before, after)

    # Making the row

    def _now(self) -> datetime:
        return self._clock.now().replace(microsecond=0)

    def _with_defaults(self, table: Table, row_id: str, sent: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        row = {table.primary_id: row_id, **sent}
        if row.get("statecode") is not None and row.get("statuscode") is None:
            row["statuscode"] = _first_status(table, row["statecode"])
        for column in table.columns.values():
            if column.default is not None and row.get(column.name) is None:
                row[column.name] = column.default
        stamps = {"createdon": self._now(), "modifiedon": self._now()}
        users = {"createdby": caller.user_id, "modifiedby": caller.user_id}
        row.update({name: value for name, value in (stamps | users).items() if name in table.columns})
        if row.get("overriddencreatedon") is not None:
            row["createdon"], row["overriddencreatedon"] = row["overriddencreatedon"], row["createdon"]
        if "modifiedonbehalfby" in table.columns:
            row["modifiedonbehalfby"] = caller.acting_id
        if "createdonbehalfby" in table.columns and caller.acting_id is not None:
            row["createdonbehalfby"] = caller.acting_id
        self._default_owner(table, row, caller)
        self._default_currency(table, row)
        row.update(self._computed(table, row, row, sent))
        self._check_state(table, row)
        return row

    def _default_owner(self, table: Table, row: dict[str, Any], caller: Caller) -> None:
        if "ownerid" not in table.columns:
            return
        if row.get("ownerid") is None:
            row["ownerid"], row[target_column("ownerid")] = caller.user_id, "systemuser"
        row["owninguser"] = row["ownerid"]
        row["owningbusinessunit"] = self._business_unit_id

    def _default_currency(self, table: Table, row: dict[str, Any]) -> None:
        if table.has_currency and row.get("transactioncurrencyid") is None:
            row["transactioncurrencyid"] = self._currency_id

    def _changed(self, table: Table, before: Row, sent: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
        """Return what an update writes: what was sent, and what the platform adds to it."""
        made = dict(sent)
        if sent.get("ownerid", "") is None:
            raise errors.invalid_argument("The owner of a row cannot be empty.")
        if "ownerid" in sent:
            made["owninguser"] = sent["ownerid"]
        made.update(self._computed(table, {**before, **sent}, before, sent))
        made.update(self._state_change(table, before, sent))
        if "modifiedon" in table.columns:
            made["modifiedon"] = self._now()
        if "modifiedby" in table.columns:
            made["modifiedby"] = caller.user_id
            made["modifiedonbehalfby"] = caller.acting_id
        return made

    def _computed(self, table: Table, row: Row, before: Row, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns that follow from others."""
        made: dict[str, Any] = {}
        if table.has_currency:
            made.update(self._currency_columns(table, row, sent, creating=row is before))
        if {"firstname", "lastname"} & set(sent):
            made.update(_full_names(table, row))
        if table.name == "productpricelevel" and "productid" in sent:
            made["productnumber"] = (self._store.get("product", row["productid"]) or {}).get("productnumber")
        if table.name == "serviceendpoint":
            made["isauthvalueset"] = row.get("authvalue") is not None
        if table.name == "annotation" and "documentbody" in sent:
            made["filesize"] = len(sent["documentbody"] or "") * 3 // 4
            made["isdocument"] = sent["documentbody"] is not None
        if table.name == "annotation" and "objectid" in sent:
            made["objecttypecode"] = row.get("objectid@table")
        return made

    def _currency_columns(self, table: Table, row: Row, sent: Mapping[str, Any], creating: bool) -> dict[str, Any]:
        currency_changes = creating or "transactioncurrencyid" in sent
        amounts = [c for c in table.columns.values() if c.kind is Kind.MONEY and not c.computed]
        touched = [c for c in amounts if c.name in sent or (currency_changes and row.get(c.name) is not None)]
        if not currency_changes and not touched:
            return {}
        currency = self._store.get("transactioncurrency", row.get("transactioncurrencyid"))
        if currency is None:
            raise errors.invalid_argument("The currency cannot be null.")
        rate = Decimal(currency["exchangerate"])
        made: dict[str, Any] = {f"{c.name}_base": _base(c, row.get(c.name), rate) for c in touched}
        return {**made, "exchangerate": rate}

    def _state_change(self, table: Table, before: Row, sent: Mapping[str, Any]) -> dict[str, Any]:
        if not {"statecode", "statuscode"} & set(sent):
            return {}
        after = {**before, **sent}
        made: dict[str, Any] = {}
        if "statuscode" not in sent or sent["statuscode"] is None:
            made["statuscode"] = _first_status(table, after["statecode"])
        if sent.get("statecode", "") is None:
            raise errors.invalid_status(table.name)
        self._check_state(table, {**after, **made})
        return made

    def _check_state(self, table: Table, row: Row) -> None:
        if "statecode" in table.columns:
            states = table.columns["statuscode"].states
            if states.get(row["statuscode"]) != row["statecode"]:
                raise errors.invalid_status(table.name)


def _check_closing(table: Table, before: Row, sent: Mapping[str, Any]) -> None:
    """Refuse an update that sets a state which an action of its own sets."""
    state, closing = sent.get("statecode"), CLOSED_BY_MESSAGE[table.name]
    if isinstance(state, int) and state in closing and state != before["statecode"]:
        raise errors.needs_another_message(table.name, closing[state])


def _check_case(table: Table, row: Row) -> None:
    """Refuse a case without a customer. Resolved it is by CloseIncident only, which is not imitated."""
    if table.name != "incident":
        return
    if row.get("customerid") is None:
        raise errors.invalid_argument("You should specify a parent contact or account.")
    if row["statecode"] == CASE_RESOLVED:
        raise NotImitated("resolving a case")


def _first_status(table: Table, state: Any) -> int | None:
    states = table.columns["statuscode"].states
    return next((status for status, its_state in states.items() if its_state == state), None)


def _base(column: Column, value: Any, rate: Decimal) -> Decimal | None:
    if value is None:
        return None
    return (Decimal(value) / rate).quantize(Decimal(1).scaleb(-column.precision), ROUND_HALF_EVEN)


def _full_names(table: Table, row: Row) -> dict[str, Any]:
    """Compute the full name: first name, blank, last name (the organisation's default format)."""
    parts = [row.get("firstname"), row.get("lastname")]
    name = " ".join(part for part in parts if part) or None
    return {column: name for column in ("fullname", "yomifullname") if column in table.columns}
