"""Field service's database: its tables are data too, since people of an installation add to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from sandbox.disk import Disk
from sandbox.field_service.keys import key_of
from sandbox.field_service.tables import Column, Reference, Table
from sandbox.field_service.values import Forms
from sandbox.rows_on_disk import Row, RowsOnDisk

SCHEMA, WAITING = "schema", "waiting"


class Store(RowsOnDisk):
    """The rows of every table by key, the tables themselves, and messages that wait to be posted."""

    def __init__(self, now: Callable[[], datetime], disk: Disk, tables: Mapping[str, Table], forms: Forms) -> None:
        super().__init__(now, disk, tables, (SCHEMA, WAITING))
        self._new = dict(tables)
        self._forms = forms
        self.tables: dict[str, Table] = dict(tables)

    def load(self) -> None:
        """Read what the file holds, the tables first."""
        for name, said in self._disk.load(SCHEMA).items():
            self.open(name)
            if said:
                self.tables[name] = Table.read(name, said)
            else:
                self.tables.pop(name, None)
        super().load()

    def clear(self) -> None:
        """Empty everything; the tables are those of a new installation."""
        super().clear()
        self.tables = dict(self._new)

    # --- tables ---

    def define(self, table: Table) -> None:
        """Have a table in this form from now on."""
        self.open(table.name)
        self.tables[table.name] = table
        self.keep(SCHEMA, table.name, table.said())

    def drop_table(self, name: str) -> None:
        """Have a table no more, with what it holds."""
        for row_id, _ in list(self.rows(name)):
            self.write(name, row_id, {}, deleted=True)
        del self.tables[name]
        self.keep(SCHEMA, name, {})

    def add_column(self, name: str, column: Column) -> None:
        """Give a table a further column; it is blank in the rows that are there."""
        self.define(self.tables[name].with_column(column))

    def drop_column(self, name: str, column: str) -> None:
        """Take a column away, with what it holds. A key stays: ValueError."""
        self.define(self.tables[name].without(column))
        self.rewrite(name, lambda row: {key: value for key, value in row.items() if key != column})

    def rename_column(self, name: str, old: str, new: str) -> None:
        """Call a column otherwise; what it holds stays. A key stays: ValueError."""
        self.define(self.tables[name].renamed(old, new))
        self.rewrite(name, lambda row: {new if key == old else key: value for key, value in row.items()})

    # --- rows ---

    def save(self, table: Table, row_id: str, row: Row, *, deleted: bool = False) -> Row:
        """Write a row with the time of its change in it."""
        at = self._forms.stamp(self.now())
        return self.write(table.name, row_id, {**row, **dict.fromkeys(table.stamps, at)}, deleted=deleted)

    def leads_to(self, reference: Reference, row: Row) -> bool:
        """Say whether a reference of a row is blank or leads to a row that is there."""
        values = {other: row.get(own) for own, other in reference.columns.items()}
        if None in values.values():
            return True
        target = self.tables[reference.target]
        if set(target.keys) == values.keys():
            return self.get(target.name, key_of([values[name] for name in target.keys])) is not None
        return any(all(one.get(name) == value for name, value in values.items()) for _, one in self.rows(target.name))

    def is_referenced(self, table: Table, row: Row) -> bool:
        """Say whether a row of any table leads to this one."""
        return any(
            all(other.get(own) == row.get(its) for own, its in reference.columns.items())
            for one in self.tables.values()
            for reference in one.references(self.tables)
            if reference.target == table.name
            for _, other in self.rows(one.name)
        )
