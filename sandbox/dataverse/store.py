"""The rows: versions, alternate keys, tombstones for change tracking, and what each row was before.

In memory, written through to a file when there is one. Rows are never changed in place; a write replaces them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Clock
from sandbox.dataverse.metadata import Model
from sandbox.disk import Disk

Row = Mapping[str, Any]
HISTORY_KEPT = 10


@dataclass(frozen=True)
class AlternateKey:
    """An alternate key and the state of its index: Pending, Active or Failed."""

    schema_name: str
    table: str
    columns: tuple[str, ...]
    metadata_id: str
    ready_at: datetime
    status: str = "Pending"

    @property
    def logical_name(self) -> str:
        """Return the name used in metadata URLs."""
        return self.schema_name.lower()


@dataclass(frozen=True)
class Tombstone:
    """A deleted row, as change tracking remembers it."""

    row_id: str
    version: int


@dataclass(frozen=True)
class Kept:
    """What there is under an id at a moment: a row, the trace of a deleted one, or nothing."""

    row: Row | None
    tombstone: Tombstone | None


@dataclass(frozen=True)
class _Before:
    at: datetime
    row: Row | None


def comparable(value: Any) -> Any:
    """Make values comparable as the database compares them: text without regard to case."""
    return value.casefold() if isinstance(value, str) else value


class Store:
    """All tables of one organisation."""

    def __init__(self, model: Model, clock: Clock, disk: Disk) -> None:
        self._model = model
        self._clock = clock
        self._disk = disk
        self.version = 1_000_000
        self._clear()
        self._load()

    def _clear(self) -> None:
        self._rows: dict[str, dict[str, Row]] = {name: {} for name in self._model.tables}
        self._tombstones: dict[str, dict[str, Tombstone]] = {name: {} for name in self._model.tables}
        self._keys: dict[str, dict[str, AlternateKey]] = {name: {} for name in self._model.tables}
        self._history: dict[tuple[str, str], deque[_Before]] = {}
        self._indexes: dict[str, dict[tuple[str, ...], dict[tuple[Any, ...], set[str]]]] = {}

    def _load(self) -> None:
        self.version = self._disk.load("meta").get("version", self.version)
        for name in self._model.tables:
            self._load_table(name)

    def _load_table(self, name: str) -> None:
        self._rows[name].update(self._disk.load(f"row:{name}"))
        for row_id, version in self._disk.load(f"deleted:{name}").items():
            self._tombstones[name][row_id] = Tombstone(row_id, version)
        for key_name, about in self._disk.load(f"key:{name}").items():
            self._keys[name][key_name] = AlternateKey(**{**about, "columns": tuple(about["columns"])})

    def open_table(self, name: str) -> None:
        """Make room for the rows of a new table."""
        self._rows[name], self._tombstones[name], self._keys[name] = {}, {}, {}

    def close_table(self, name: str) -> None:
        """Forget a table with all its rows, keys and tombstones."""
        for row_id in list(self._rows[name]):
            self._disk.delete(f"row:{name}", row_id)
        for row_id in list(self._tombstones[name]):
            self._forget_tombstone(name, row_id)
        for key in list(self._keys[name]):
            self.drop_key(name, key)
        del self._rows[name], self._tombstones[name], self._keys[name]
        self._indexes.pop(name, None)

    def empty_column(self, table: str, names: Collection[str]) -> None:
        """Take values out of all rows of a table, as when their column is dropped; versions stay."""
        self._indexes.pop(table, None)
        for row_id, row in self._rows[table].items():
            kept = {name: value for name, value in row.items() if name.partition("@")[0] not in names}
            self._rows[table][row_id] = kept
            self._disk.put(f"row:{table}", row_id, kept)

    def reset(self) -> None:
        """Forget every row, key and tombstone; versions go on growing."""
        self._clear()
        self._disk.clear()

    def table(self, name: str) -> Mapping[str, Row]:
        """Return a table's rows by id; raises KeyError for an unknown table."""
        return self._rows[name]

    def get(self, table: str, row_id: str | None) -> Row | None:
        """Return a row, or None."""
        return self._rows[table].get(row_id) if row_id is not None else None

    def put(self, table: str, row_id: str, row: dict[str, Any]) -> Row:
        """Store a row under a new version and return it as stored. Key rules are the caller's to check."""
        before = self._rows[table].get(row_id)
        row["versionnumber"] = self._next_version()
        self._remember(table, row_id, before)
        self._reindex(table, row_id, before, row)
        self._rows[table][row_id] = row
        self._disk.put(f"row:{table}", row_id, row)
        self._forget_tombstone(table, row_id)
        return row

    def remove(self, table: str, row_id: str) -> None:
        """Delete a row, leaving a tombstone; the platform's own rows leave none."""
        before = self._rows[table].pop(row_id)
        self._remember(table, row_id, before)
        self._reindex(table, row_id, before, None)
        self._disk.delete(f"row:{table}", row_id)
        if self._model.tables[table].notices:
            self._keep_tombstone(table, Tombstone(row_id, self._next_version()))

    def kept(self, table: str, row_id: str) -> Kept:
        """Return what `restore` needs to undo the next write under this id."""
        return Kept(self._rows[table].get(row_id), self._tombstones[table].get(row_id))

    def restore(self, table: str, row_id: str, kept: Kept) -> None:
        """Undo the last write under an id; versions given out meanwhile stay used up."""
        self._reindex(table, row_id, self._rows[table].get(row_id), kept.row)
        self._forget_tombstone(table, row_id)
        if kept.row is not None:
            self._rows[table][row_id] = kept.row
            self._disk.put(f"row:{table}", row_id, kept.row)
        else:
            self._rows[table].pop(row_id, None)
            self._disk.delete(f"row:{table}", row_id)
        if kept.tombstone is not None:
            self._keep_tombstone(table, kept.tombstone)
        history = self._history.get((table, row_id))
        if history:
            history.pop()

    def _keep_tombstone(self, table: str, tombstone: Tombstone) -> None:
        self._tombstones[table][tombstone.row_id] = tombstone
        self._disk.put(f"deleted:{table}", tombstone.row_id, tombstone.version)

    def _forget_tombstone(self, table: str, row_id: str) -> None:
        if self._tombstones[table].pop(row_id, None) is not None:
            self._disk.delete(f"deleted:{table}", row_id)

    def tombstones(self, table: str) -> Iterable[Tombstone]:
        """Return the deleted rows of a table, oldest deletion first."""
        return sorted(self._tombstones[table].values(), key=lambda tombstone: tombstone.version)

    def _next_version(self) -> int:
        self.version += 1
        self._disk.put("meta", "version", self.version)
        return self.version

    # What was before

    def _remember(self, table: str, row_id: str, before: Row | None) -> None:
        if not self._model.tables[table].notices:
            return
        history = self._history.setdefault((table, row_id), deque(maxlen=HISTORY_KEPT))
        history.append(_Before(self._clock.now(), before))

    def stale_get(self, table: str, row_id: str, seconds: float) -> Row | None:
        """Return a row as it was `seconds` ago; with 0 its previous version. At most ten versions back."""
        history = self._history.get((table, row_id))
        if not history:
            return self.get(table, row_id)
        if seconds <= 0:
            return history[-1].row
        moment = self._clock.now() - timedelta(seconds=seconds)
        later = [before for before in history if before.at > moment]
        return later[0].row if later else self.get(table, row_id)

    def stale_rows(self, table: str, seconds: float) -> list[Row]:
        """Return a table's rows as they were `seconds` ago (see `stale_get`), deleted ones included."""
        gone = [row_id for name, row_id in self._history if name == table and row_id not in self._rows[table]]
        found = (self.stale_get(table, row_id, seconds) for row_id in (*self._rows[table], *gone))
        return [row for row in found if row is not None]

    # Indexes

    def find(self, table: str, columns: Sequence[str], values: Sequence[Any]) -> list[Row]:
        """Return the rows with these values, text compared without regard to case; indexes are built on demand."""
        wanted = tuple(columns)
        indexes = self._indexes.setdefault(table, {})
        if wanted not in indexes:
            indexes[wanted] = self._build_index(table, wanted)
        ids = indexes[wanted].get(tuple(comparable(value) for value in values), set())
        rows = self._rows[table]
        return sorted((rows[row_id] for row_id in ids), key=lambda row: int(row["versionnumber"]))

    def _build_index(self, table: str, columns: tuple[str, ...]) -> dict[tuple[Any, ...], set[str]]:
        index: dict[tuple[Any, ...], set[str]] = {}
        for row_id, row in self._rows[table].items():
            index.setdefault(_index_entry(row, columns), set()).add(row_id)
        return index

    def _reindex(self, table: str, row_id: str, before: Row | None, after: Row | None) -> None:
        for columns, index in self._indexes.get(table, {}).items():
            if before is not None:
                index[_index_entry(before, columns)].discard(row_id)
            if after is not None:
                index.setdefault(_index_entry(after, columns), set()).add(row_id)

    # Alternate keys

    def keys(self, table: str) -> list[AlternateKey]:
        """Return a table's alternate keys, with the state their indexes have by now."""
        now = self._clock.now()
        for key in list(self._keys[table].values()):
            if key.status == "Pending" and now >= key.ready_at:
                self._save_key(replace(key, status="Failed" if self._has_duplicates(key) else "Active"))
        return list(self._keys[table].values())

    def active_key(self, table: str, columns: Iterable[str]) -> AlternateKey | None:
        """Return the usable key over exactly these columns, or None."""
        wanted = set(columns)
        return next((k for k in self.keys(table) if k.status == "Active" and set(k.columns) == wanted), None)

    def add_key(self, key: AlternateKey) -> None:
        """Define an alternate key; its index is Pending until `ready_at`."""
        self._save_key(key)

    def drop_key(self, table: str, logical_name: str) -> None:
        """Remove an alternate key; raises KeyError for an unknown one."""
        del self._keys[table][logical_name]
        self._disk.delete(f"key:{table}", logical_name)

    def violated_key(self, table: str, row_id: str, row: Row) -> AlternateKey | None:
        """Return the active key another row already holds with these values, or None. Empty values are free."""
        for key in self.keys(table):
            values = [row.get(column) for column in key.columns]
            if key.status != "Active" or any(value is None for value in values):
                continue
            if any(
                other[self._model.tables[table].primary_id] != row_id for other in self.find(table, key.columns, values)
            ):
                return key
        return None

    def _save_key(self, key: AlternateKey) -> None:
        self._keys[key.table][key.logical_name] = key
        self._disk.put(f"key:{key.table}", key.logical_name, asdict(key))

    def _has_duplicates(self, key: AlternateKey) -> bool:
        index = self._build_index(key.table, key.columns)
        return any(len(ids) > 1 and None not in values for values, ids in index.items())


def _index_entry(row: Row, columns: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(comparable(row.get(column)) for column in columns)
