"""What both dialects do with a record: make, change and delete it by the rules of its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.field_service.errors import Refused, not_found
from sandbox.field_service.keys import key_of
from sandbox.field_service.messages import Change, Operation
from sandbox.field_service.outbound import Outbound
from sandbox.field_service.store import Store
from sandbox.field_service.tables import Column, Kind, Table
from sandbox.field_service.values import Forms, value_of
from sandbox.rows_on_disk import Row


class Records:
    """The rules that hold for everybody. by_person: somebody in the application, who also sees to what the interface
    may not write. All raise Refused."""

    def __init__(self, store: Store, forms: Forms, outbound: Outbound) -> None:
        self.store = store
        self.forms = forms
        self._outbound = outbound

    def there(self, table: Table, key: str) -> Row:
        """A row that is there; raises the 404."""
        row = self.store.get(table.name, key)
        if row is None:
            raise not_found()
        return row

    def create(self, table: Table, body: Mapping[str, Any], *, by_person: bool = False) -> tuple[str, Row]:
        """Make a record; a single key that is not given is the next free one."""
        values = dict.fromkeys(table.columns) | self._values(table, body, by_person)
        if len(table.keys) == 1 and values[table.keys[0]] is None:
            values[table.keys[0]] = self._next(table, table.columns[table.keys[0]])
        self._check(table, values, [*table.keys, *_required(table)])
        key = key_of([values[name] for name in table.keys])
        if self.store.get(table.name, key) is not None:
            raise Refused(409, "DuplicateKey", "There is a record with this key.", table.keys[0])
        return key, self._saved(table, key, values, Operation.CREATE, by_person)

    def change(self, table: Table, key: str, body: Mapping[str, Any], *, by_person: bool = False) -> Row:
        """Change a record; what is not named stays. Its time of change is new even where its values are not."""
        row = self.there(table, key)
        given = self._values(table, body, by_person)
        for name in table.keys:
            if name in given:
                raise Refused(422, "ReadOnly", "A key is never changed.", name)
        values = {**row, **given}
        self._check(table, values, [name for name in _required(table) if name in given])
        return self._saved(table, key, values, Operation.UPDATE, by_person)

    def delete(self, table: Table, key: str, *, by_person: bool = False) -> None:
        """Delete a record that nothing leads to."""
        row = self.there(table, key)
        if self.store.is_referenced(table, row):
            raise Refused(409, "Referenced", "Other records lead to it.")
        self._saved(table, key, row, Operation.DELETE, by_person)

    def _saved(self, table: Table, key: str, row: Row, operation: Operation, by_person: bool) -> Row:
        saved = self.store.save(table, key, row, deleted=operation is Operation.DELETE)
        self._outbound.take(Change(table, saved, operation, self.store.now()), by_person=by_person)
        return saved

    def _values(self, table: Table, body: Mapping[str, Any], by_person: bool) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, given in body.items():
            column = table.columns.get(name)
            if column is None:
                raise Refused(422, "UnknownColumn", "There is no such column.", name)
            if column.is_stamp or (column.read_only and not by_person):
                raise Refused(422, "ReadOnly", "It cannot be written.", name)
            values[name] = value_of(column, given, self.forms)
        return values

    def _check(self, table: Table, values: Mapping[str, Any], needed: list[str]) -> None:
        for name in needed:
            if values.get(name) is None:
                raise Refused(422, "Required", "It must not be blank.", name)
        for reference in table.references(self.store.tables):
            if not self.store.leads_to(reference, dict(values)):
                raise Refused(422, "UnknownReference", "It leads to no record.", reference.name)

    def _next(self, table: Table, column: Column) -> Any:
        """The next free key."""
        while True:
            number = self.store.new_id()
            if self.store.get(table.name, number) is None:
                return int(number) if column.kind is Kind.WHOLE else number


def _required(table: Table) -> Iterator[str]:
    return (name for name, column in table.columns.items() if column.required)
