"""Where queues survive: one SQLite file.

All changes between two commits form one transaction; nothing is told to a client before its commit. WAL with
synchronous=NORMAL survives the death of the process at any moment; a power cut may cost the last commits, never the
file's consistency (SQLite documentation, "PRAGMA synchronous"). Bodies have a table of their own: locking or moving a
message must not rewrite them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from local.servicebus.errors import StoreError
from local.servicebus.messages import Content

FORMAT = 1
"""Version of the file's tables, kept as SQLite's user_version."""

_SEQUENCE_BITS = 48
_LOCK_PATIENCE_SECONDS = 0.5
_SUBQUEUE_BITS = 2


class SubQueue(IntEnum):
    """The queue itself, its dead-letter queue and its (always empty) transfer dead-letter queue."""

    MAIN = 0
    DEAD_LETTER = 1
    TRANSFER_DEAD_LETTER = 2


class State(IntEnum):
    """What a message waits for; the numbers are those of the annotation x-opt-message-state."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(slots=True)
class Entry:
    """A message's place in its queue. All times are milliseconds since 1970; lock_token None = not locked."""

    sequence: int
    body: int
    state: State
    enqueued_ms: int
    ttl_ms: int | None = None
    expires_ms: int | None = None
    scheduled_ms: int | None = None
    delivery_count: int = 0
    lock_token: UUID | None = None
    locked_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A queue or sub-queue in the store."""

    queue: int
    sub: SubQueue

    def key(self, sequence: int) -> int:
        """Row id of a message: queue, sub-queue and sequence number in one integer, so that rows lie in order."""
        return (((self.queue << _SUBQUEUE_BITS) | self.sub) << _SEQUENCE_BITS) | sequence


class Store(Protocol):
    """What the broker needs of a store. Every write belongs to a transaction that `commit` ends."""

    def queue(self, name: str) -> tuple[int, int]: ...

    def entries(self, place: Place) -> Iterator[Entry]: ...

    def add(self, place: Place, entry: Entry, content: Content) -> None: ...

    def update(self, place: Place, entry: Entry) -> None: ...

    def move(self, place: Place, sequence: int, to: Place, entry: Entry) -> None: ...

    def remove(self, place: Place, entry: Entry) -> None: ...

    def content(self, entry: Entry) -> Content: ...

    def replace_content(self, entry: Entry, content: Content) -> None: ...

    def sequences_from(self, place: Place, sequence: int, limit: int) -> list[int]: ...

    def set_next_sequence(self, queue: int, sequence: int) -> None: ...

    def remembered(self, queue: int) -> Iterator[tuple[str, int]]: ...

    def remember(self, queue: int, message_id: str, until_ms: int) -> None: ...

    def forget(self, queue: int, message_id: str) -> None: ...

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


_TABLES = """
CREATE TABLE queue (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, next_sequence INTEGER NOT NULL);
CREATE TABLE body (
    id INTEGER PRIMARY KEY, durable INTEGER, priority INTEGER,
    annotations BLOB NOT NULL, annotation_elements INTEGER NOT NULL, bare BLOB NOT NULL
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, body INTEGER NOT NULL, state INTEGER NOT NULL, enqueued_ms INTEGER NOT NULL,
    ttl_ms INTEGER, expires_ms INTEGER, scheduled_ms INTEGER, delivery_count INTEGER NOT NULL,
    lock_token BLOB, locked_until_ms INTEGER NOT NULL
);
CREATE TABLE remembered (
    queue INTEGER NOT NULL, message_id TEXT NOT NULL, until_ms INTEGER NOT NULL, PRIMARY KEY (queue, message_id)
) WITHOUT ROWID;
"""


class SqliteStore:
    """The store in a file, or in memory when there is no path. One process at a time; one thread.

    Raises StoreError when the file is in use, damaged or of another version.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._name = "memory" if path is None else path.name
        self._database = sqlite3.connect(
            ":memory:" if path is None else path,
            timeout=_LOCK_PATIENCE_SECONDS,
            isolation_level=None,
            cached_statements=64,
        )
        self._in_transaction = False
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._database.close()
            raise StoreError(self._why(error)) from error
        except StoreError:
            self._database.close()
            raise

    def _why(self, error: sqlite3.Error) -> str:
        if "locked" in str(error):
            return f"{self._name} is in use by another endpoint; stop that one or choose another file"
        return f"{self._name} is no data file of this endpoint or is damaged; move it away to start empty"

    def _prepare(self) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._database.execute(f"PRAGMA {pragma}").fetchall()
        self._database.execute("BEGIN IMMEDIATE")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version={FORMAT}")
        elif version != FORMAT:
            raise StoreError(f"{self._name} was written by another version of this endpoint; move it away")
        self._database.execute("COMMIT")

    # --- queues

    def queue(self, name: str) -> tuple[int, int]:
        """The id and next sequence number of a queue; makes the queue when it is new."""
        self._begin()
        self._database.execute("INSERT OR IGNORE INTO queue (name, next_sequence) VALUES (?, 1)", (name,))
        query = "SELECT id, next_sequence FROM queue WHERE name = ?"
        queue, sequence = self._database.execute(query, (name,)).fetchone()
        return int(queue), int(sequence)

    def set_next_sequence(self, queue: int, sequence: int) -> None:
        """Remember the next sequence number, so that none is given twice."""
        self._write("UPDATE queue SET next_sequence = ? WHERE id = ?", (sequence, queue))

    # --- messages

    def entries(self, place: Place) -> Iterator[Entry]:
        """All messages of a place in the order of their sequence numbers."""
        query = (
            "SELECT id, body, state, enqueued_ms, ttl_ms, expires_ms, scheduled_ms, delivery_count, lock_token,"
            " locked_until_ms FROM message WHERE id BETWEEN ? AND ? ORDER BY id"
        )
        first = place.key(0)
        for row in self._database.execute(query, (first, place.key((1 << _SEQUENCE_BITS) - 1))):
            yield _entry(row[0] - first, row)

    def add(self, place: Place, entry: Entry, content: Content) -> None:
        """Store a new message; fills in `entry.body`."""
        row = (
            content.durable,
            content.priority,
            content.annotations,
            content.annotation_elements,
            content.bare,
        )
        columns = "durable, priority, annotations, annotation_elements, bare"
        cursor = self._write(f"INSERT INTO body ({columns}) VALUES (?, ?, ?, ?, ?)", row)  # noqa: S608 - constant text
        entry.body = cursor.lastrowid or 0
        self._write(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (place.key(entry.sequence), *_columns(entry))
        )

    def update(self, place: Place, entry: Entry) -> None:
        """Store a changed message."""
        self.move(place, entry.sequence, place, entry)

    def move(self, place: Place, sequence: int, to: Place, entry: Entry) -> None:
        """Store a message that changed its place or sequence number."""
        self._write(
            "UPDATE message SET id = ?, body = ?, state = ?, enqueued_ms = ?, ttl_ms = ?, expires_ms = ?,"
            " scheduled_ms = ?, delivery_count = ?, lock_token = ?, locked_until_ms = ? WHERE id = ?",
            (to.key(entry.sequence), *_columns(entry), place.key(sequence)),
        )

    def remove(self, place: Place, entry: Entry) -> None:
        """Delete a message."""
        self._write("DELETE FROM message WHERE id = ?", (place.key(entry.sequence),))
        self._write("DELETE FROM body WHERE id = ?", (entry.body,))

    def content(self, entry: Entry) -> Content:
        """What the message says."""
        query = "SELECT durable, priority, annotations, annotation_elements, bare FROM body WHERE id = ?"
        durable, priority, annotations, elements, bare = self._database.execute(query, (entry.body,)).fetchone()
        return Content(None if durable is None else bool(durable), priority, annotations, elements, bare)

    def replace_content(self, entry: Entry, content: Content) -> None:
        """Store what the message says from now on; only its bare message changes."""
        self._write("UPDATE body SET bare = ? WHERE id = ?", (content.bare, entry.body))

    def sequences_from(self, place: Place, sequence: int, limit: int) -> list[int]:
        """Up to `limit` sequence numbers of a place, from `sequence` on, in order."""
        last = (1 << _SEQUENCE_BITS) - 1
        query = "SELECT id FROM message WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
        lower = place.key(min(max(sequence, 0), last))
        rows = self._database.execute(query, (lower, place.key(last), limit))
        return [int(row[0]) - place.key(0) for row in rows]

    # --- duplicate detection

    def remembered(self, queue: int) -> Iterator[tuple[str, int]]:
        """The message ids of a queue and until when each counts, the oldest first."""
        query = "SELECT message_id, until_ms FROM remembered WHERE queue = ? ORDER BY until_ms"
        for message_id, until_ms in self._database.execute(query, (queue,)):
            yield str(message_id), int(until_ms)

    def remember(self, queue: int, message_id: str, until_ms: int) -> None:
        """Keep a message id, so that a second message with it is known."""
        self._write("INSERT OR REPLACE INTO remembered VALUES (?, ?, ?)", (queue, message_id, until_ms))

    def forget(self, queue: int, message_id: str) -> None:
        """Drop a message id whose window is over."""
        self._write("DELETE FROM remembered WHERE queue = ? AND message_id = ?", (queue, message_id))

    # --- transactions

    def commit(self) -> None:
        """Make everything since the last commit durable; does nothing when nothing changed."""
        if self._in_transaction:
            self._database.execute("COMMIT")
            self._in_transaction = False

    def rollback(self) -> None:
        """Undo everything since the last commit."""
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        self._in_transaction = False

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        self.rollback()
        self._database.close()

    def _begin(self) -> None:
        if not self._in_transaction:
            self._database.execute("BEGIN IMMEDIATE")
            self._in_transaction = True

    def _write(self, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
        self._begin()
        return self._database.execute(statement, values)


def _columns(entry: Entry) -> tuple[object, ...]:
    token = None if entry.lock_token is None else entry.lock_token.bytes
    return (
        entry.body,
        int(entry.state),
        entry.enqueued_ms,
        entry.ttl_ms,
        entry.expires_ms,
        entry.scheduled_ms,
        entry.delivery_count,
        token,
        entry.locked_until_ms,
    )


def _entry(sequence: int, row: tuple[Any, ...]) -> Entry:
    """Any: SQLite's columns have the types that `_columns` wrote."""
    return Entry(
        sequence=sequence,
        body=row[1],
        state=State(row[2]),
        enqueued_ms=row[3],
        ttl_ms=row[4],
        expires_ms=row[5],
        scheduled_ms=row[6],
        delivery_count=row[7],
        lock_token=None if row[8] is None else UUID(bytes=row[8]),
        locked_until_ms=row[9],
    )
