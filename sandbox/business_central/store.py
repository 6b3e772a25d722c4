"""The sandbox's database: rows in memory, written through to a file, with transactions and a look back in time.

A unit of work changes the rows at once and keeps what is needed to undo it; nothing waits in between, so nobody
sees a half-done one. Rows are never changed in place: a write puts another dictionary there, so an earlier state
can be shown without copies (`StateOf`).
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.business_central.entities import ENVIRONMENT_TABLES, TABLES, TableInfo
from sandbox.business_central.values import Row, to_milliseconds
from sandbox.disk import Disk

ENVIRONMENT = ""
"""The "company" of tables that belong to none."""
LOOK_BACK = 50_000
REVISION = "@revision"
PERSON = "00000000-0000-0000-0000-0000000000aa"
"""Who changed a row in the application itself."""
_META = "meta"


@dataclass(frozen=True)
class Change:
    """One row's change within a unit of work. `before` is None for a new row, `after` for a deleted one."""

    company: str
    table: str
    row_id: str
    before: Row | None
    after: Row | None
    at: datetime


@dataclass(frozen=True)
class Held:
    """A transaction that has begun and is not committed: its row version and its time are given out already."""

    revision: int
    at: datetime


class Table:
    """The rows of one table by id, with an index per look-up column."""

    def __init__(self, info: TableInfo) -> None:
        self.info = info
        self.rows: dict[str, Row] = {}
        self.changes: deque[tuple[datetime, str, Row | None]] = deque(maxlen=LOOK_BACK)
        self._indexes: dict[str, dict[Any, dict[str, None]]] = {name: {} for name in (info.key, *info.indexes)}

    def find(self, column: str, value: Any) -> list[Row]:
        """Return the rows with this value in an indexed column, oldest first."""
        return [self.rows[row_id] for row_id in self._indexes[column].get(value, ())]

    def first(self, column: str, value: Any) -> Row | None:
        """Return the first row with this value in an indexed column, or None."""
        found = self.find(column, value)
        return found[0] if found else None

    def set(self, row_id: str, row: Row | None) -> Row | None:
        """Put a row in its place, or take it away; returns the one that was there."""
        before = self.rows.get(row_id)
        for name, index in self._indexes.items():
            _reindex(index, row_id, before, row, name)
        if row is None:
            self.rows.pop(row_id, None)
        else:
            self.rows[row_id] = row
        return before


def _reindex(index: dict[Any, dict[str, None]], row_id: str, before: Row | None, after: Row | None, name: str) -> None:
    if before is not None and after is not None and before[name] == after[name]:
        return
    if before is not None:
        bucket = index[before[name]]
        bucket.pop(row_id, None)
        if not bucket:
            del index[before[name]]
    if after is not None:
        index.setdefault(after[name], {})[row_id] = None


class Store:
    """All tables of the environment, and the counter that makes ids, revisions and sequence numbers."""

    def __init__(self, companies: Mapping[str, str], now: Callable[[], datetime], disk: Disk, seed: int) -> None:
        self._now = now
        self.disk = disk
        self.seed = seed
        self.revision = 0
        self.held: set[Held] = set()
        self.tables: dict[tuple[str, str], Table] = {}
        for company in companies:
            self.tables.update({(company, name): Table(info) for name, info in TABLES.items()})
        self.tables.update({(ENVIRONMENT, name): Table(info) for name, info in ENVIRONMENT_TABLES.items()})

    def load(self) -> bool:
        """Read what the file holds; returns False when it holds nothing yet."""
        kept = self.disk.load(_META)
        if "revision" not in kept:
            return False
        self.revision = int(kept["revision"])
        for (company, name), table in self.tables.items():
            for row_id, row in self.disk.load(_space(company, name)).items():
                table.set(row_id, row)
        return True

    def clear(self) -> None:
        """Empty every table, in memory and in the file."""
        for key, table in self.tables.items():
            self.tables[key] = Table(table.info)
        self.disk.clear()
        self.disk.commit()

    def table(self, company: str, name: str) -> Table:
        """Return a table; raises KeyError for an unknown one."""
        return self.tables[(company, name)]

    def begin(self, user_id: str = PERSON, held: Held | None = None) -> Work:
        """Start a unit of work; one that was held gives its first row the version and the time of then."""
        now = to_milliseconds(self._now())
        return Work(self, now if held is None else held.at, user_id, held)

    def hold(self) -> Held:
        """Begin a transaction that is committed later."""
        self.revision += 1
        held = Held(self.revision, to_milliseconds(self._now()))
        self.held.add(held)
        return held

    def lowest_active_version(self) -> int:
        """Return the lowest row version that may still appear: that of an open transaction, else the next one."""
        return min((held.revision for held in self.held), default=self.revision + 1)


def _space(company: str, table: str) -> str:
    return f"{company}/{table}"


class Work:
    """A unit of work: all of its writes stay, or none."""

    def __init__(self, store: Store, now: datetime, user_id: str, held: Held | None) -> None:
        self.store = store
        self.now = now
        self.user_id = user_id
        self._held = held
        self._versions = [held.revision] if held is not None else []
        self.changes: list[Change] = []
        self._revision = store.revision

    def table(self, company: str, name: str) -> Table:
        """Return a table, with what this unit of work has written so far."""
        return self.store.table(company, name)

    def next_number(self) -> int:
        """Return the next number of the environment's counter."""
        self.store.revision += 1
        return self.store.revision

    def new_id(self) -> str:
        """Return a new id; the same sandbox with the same history gives the same one."""
        name = f"business central sandbox {self.store.seed}/{self.next_number()}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))

    def put(self, company: str, table: str, row: Row) -> Row:
        """Write a row under its `id`; it gets a new revision and the time. Returns the row as written."""
        version = self._versions.pop() if self._versions else self.next_number()
        stamps = {REVISION: version, "lastModifiedDateTime": self.now, "systemModifiedBy": self.user_id}
        stamped = {**row, **stamps}
        self._set(company, table, row["id"], stamped)
        return stamped

    def remove(self, company: str, table: str, row_id: str) -> None:
        """Delete a row; an unknown id is ignored."""
        if row_id in self.table(company, table).rows:
            self._set(company, table, row_id, None)

    def _set(self, company: str, name: str, row_id: str, after: Row | None) -> None:
        before = self.table(company, name).set(row_id, after)
        self.changes.append(Change(company, name, row_id, before, after, self.now))

    def commit(self) -> None:
        """Make the writes lasting: on disk, if there is one, before anybody hears of them."""
        store = self.store
        if self._held is not None:
            store.held.discard(self._held)
        for change in self.changes:
            store.table(change.company, change.table).changes.append((change.at, change.row_id, change.before))
            space = _space(change.company, change.table)
            if change.after is None:
                store.disk.delete(space, change.row_id)
            else:
                store.disk.put(space, change.row_id, change.after)
        if store.revision != self._revision:
            store.disk.put(_META, "revision", store.revision)
        store.disk.commit()

    def undo(self, to: int = 0) -> None:
        """Take back the writes from the `to`-th on; without an argument all of them."""
        while len(self.changes) > to:
            change = self.changes.pop()
            self.table(change.company, change.table).set(change.row_id, change.before)


@dataclass(frozen=True)
class StateOf:
    """Which state a read shows: the present one, the one at a time, or each row's previous version."""

    at: datetime | None = None
    previous: bool = False

    def rows(self, table: Table) -> Mapping[str, Row]:
        """Return a table's rows by id in this state."""
        if self.at is None and not self.previous:
            return table.rows
        rows: dict[str, Row] = dict(table.rows)
        for row_id, before in self._undone(table):
            if before is None:
                rows.pop(row_id, None)
            else:
                rows[row_id] = before
        return rows

    def _undone(self, table: Table) -> Iterator[tuple[str, Row | None]]:
        seen: set[str] = set()
        for at, row_id, before in reversed(table.changes):
            if self.previous:
                if row_id not in seen:
                    seen.add(row_id)
                    yield row_id, before
            elif self.at is not None and at > self.at:
                yield row_id, before
            else:
                return


PRESENT = StateOf()
