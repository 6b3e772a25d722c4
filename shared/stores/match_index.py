"""Match keys of a whole table for one pass over another one: hashes in a temporary file, not in memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes
from typing import Final

_ADDED_AT_ONCE: Final = 2000


class TemporaryMatchIndex:
    """`MatchIndex` in a temporary SQLite file that only its owner can read; `close` removes it.

    Values are hashed with a key of this object, so the file tells nobody what the records hold.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="crossdock-")
        self._database = sqlite3.connect(Path(self._folder.name) / "match.sqlite", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-512;"
            "CREATE TABLE held (hash BLOB, key TEXT, PRIMARY KEY (hash, key)) WITHOUT ROWID;"
        )
        self._hash_key = token_bytes(32)
        self._waiting: list[tuple[bytes, str]] = []

    def add(self, rule: str, value: str, key: str) -> None:
        """Note that a record holds a match key."""
        self._waiting.append((self._hash(rule, value), key))
        if len(self._waiting) >= _ADDED_AT_ONCE:
            self._flush()

    def find(self, rule: str, value: str) -> Sequence[str]:
        """The records that hold a match key, in the order of their keys."""
        self._flush()
        found = self._database.execute("SELECT key FROM held WHERE hash = ? ORDER BY key", (self._hash(rule, value),))
        return [row[0] for row in found]

    def close(self) -> None:
        """Remove the file."""
        self._database.close()
        self._folder.cleanup()

    def _flush(self) -> None:
        if self._waiting:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR IGNORE INTO held VALUES (?, ?)", sorted(self._waiting))
            self._database.execute("COMMIT")
            self._waiting.clear()

    def _hash(self, rule: str, value: str) -> bytes:
        text = f"{rule}\0{value}".encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._hash_key, digest_size=12).digest()
