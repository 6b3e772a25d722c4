"""A sandbox's database: rows in memory, written through to a file, each with the number of its last change.

A deleted row stays as a mark, so that lists and the feed can tell of it. Rows are never changed in place, so that the
earlier ones serve as earlier states.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sandbox.disk import Disk

Row = dict[str, Any]
REVISION = "@revision"
CHANGED_AT = "@changedAt"
DELETED = "@deleted"
FIRST_ID = 10_001
KEPT_STATES = 20
META = "meta"


class RowsOnDisk:
    """All rows by table and id. `revision` counts every change, of all tables. spaces: for values that are no rows."""

    def __init__(
        self, now: Callable[[], datetime], disk: Disk, names: Collection[str], spaces: Collection[str] = ()
    ) -> None:
        self.now = now
        self._names = list(names)
        self._spaces = (META, *spaces)
        self.revision = 0
        self._disk = disk
        self._rows: dict[str, dict[str, Row]] = {name: {} for name in self._names}
        self._earlier: dict[tuple[str, str], list[Row]] = {}
        self._order: dict[str, dict[str, int]] = {name: {} for name in self._names}
        self.spaces: dict[str, dict[str, Any]] = {name: {} for name in self._spaces}

    def load(self) -> None:
        """Read what the file holds."""
        for name in self._names:
            for row_id, row in sorted(self._disk.load(name).items(), key=lambda item: item[1][REVISION]):
                self._put(name, row_id, row)
        for name in self._spaces:
            self.spaces[name] = self._disk.load(name)
        self.revision = int(self.spaces[META].get("revision", 0))

    def open(self, table: str) -> None:
        """Have a further table from now on; one that is there is left as it is."""
        if table not in self._rows:
            self._names.append(table)
            self._rows[table], self._order[table] = {}, {}

    def rewrite(self, table: str, change: Callable[[Row], Row]) -> None:
        """Put every row of a table into another form, earlier states too. No row counts as changed by it."""
        for row_id, row in self._rows[table].items():
            self._rows[table][row_id] = rewritten = change(row)
            self._disk.put(table, row_id, rewritten)
        for (name, row_id), earlier in self._earlier.items():
            if name == table:
                self._earlier[name, row_id] = [change(row) for row in earlier]

    def clear(self) -> None:
        """Empty everything, in memory and in the file."""
        for name in self._names:
            self._rows[name], self._order[name] = {}, {}
        for name in self._spaces:
            self.spaces[name] = {}
        self._earlier.clear()
        self._disk.clear()
        self._disk.commit()

    def get(self, table: str, row_id: str) -> Row | None:
        """Return a row that is there and not deleted."""
        row = self._rows[table].get(row_id)
        return None if row is None or row[DELETED] else row

    def rows(self, table: str) -> Iterator[tuple[str, Row]]:
        """Go through the rows of a table that are there, in the order of their creation."""
        return ((row_id, row) for row_id, row in self._rows[table].items() if not row[DELETED])

    def all_rows(self, table: str) -> Mapping[str, Row]:
        """Return the rows of a table with the marks of the deleted ones."""
        return self._rows[table]

    def by_change(self, table: str) -> Iterator[tuple[str, Row]]:
        """Go through the rows of a table, deleted ones too, the longest unchanged first."""
        rows = self._rows[table]
        return ((row_id, rows[row_id]) for row_id in list(self._order[table]))

    def as_of(self, table: str, row_id: str, seconds: float) -> Row | None:
        """Return a row as it was so many seconds ago; 0 means its previous version."""
        row, earlier = self._rows[table].get(row_id), self._earlier.get((table, row_id), [])
        if row is None or (seconds == 0 and not earlier):
            return row
        if seconds == 0:
            return earlier[-1]
        before = self.now() - timedelta(seconds=seconds)
        return next((one for one in [row, *reversed(earlier)] if one[CHANGED_AT] <= before), None)

    def new_id(self) -> str:
        """Return the next id; ids are numbers in text, as the vendor's rows have them."""
        number = int(self.spaces[META].get("id", FIRST_ID))
        self.keep(META, "id", number + 1)
        return str(number)

    def write(self, table: str, row_id: str, row: Row, *, deleted: bool = False) -> Row:
        """Put a row in place of the one that was there; it gets the next number and the time."""
        self.revision += 1
        before = self._rows[table].get(row_id)
        if before is not None:
            kept = self._earlier.setdefault((table, row_id), [])
            kept.append(before)
            del kept[:-KEPT_STATES]
        stamped = {**row, REVISION: self.revision, CHANGED_AT: self.now(), DELETED: deleted}
        self._put(table, row_id, stamped)
        self._disk.put(table, row_id, stamped)
        self.keep(META, "revision", self.revision)
        return stamped

    def keep(self, space: str, key: str, value: Any) -> None:
        """Keep a value that is no row."""
        self.spaces[space][key] = value
        self._disk.put(space, key, value)

    def drop(self, space: str, key: str) -> None:
        """Forget a value that is no row."""
        self.spaces[space].pop(key, None)
        self._disk.delete(space, key)

    def commit(self) -> None:
        """Make what was written lasting."""
        self._disk.commit()

    def _put(self, table: str, row_id: str, row: Row) -> None:
        self._rows[table][row_id] = row
        self._order[table].pop(row_id, None)
        self._order[table][row_id] = row[REVISION]
