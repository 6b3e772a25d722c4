"""Write-through to one SQLite file, so that what a sandbox has answered survives a killed process.

Values are JSON; decimals, times and dates keep their type.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any


def encode(value: Any) -> str:
    """Write a value as JSON text, with decimals, times and dates marked."""
    return json.dumps(value, default=_mark, separators=(",", ":"))


def decode(text: str) -> Any:
    """Read what `encode` wrote."""
    return json.loads(text, object_hook=_unmark)


def _mark(value: Any) -> dict[str, str]:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    raise TypeError(f"cannot keep a {type(value).__name__}")


def _unmark(found: dict[str, Any]) -> Any:
    if len(found) == 1:
        if "$decimal" in found:
            return Decimal(found["$decimal"])
        if "$time" in found:
            return datetime.fromisoformat(found["$time"])
        if "$date" in found:
            return date.fromisoformat(found["$date"])
    return found


class Disk:
    """Named values in a file: (space, key) -> value. Without a path everything is a no-op and nothing is kept.

    Changes gather until `commit`; a sandbox commits before it answers. SQLite in WAL mode without waiting for the
    platter: a killed process loses nothing, a power cut may.
    """

    def __init__(self, path: Path | None) -> None:
        self._db: sqlite3.Connection | None = None
        self._dirty = False
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS kept (space TEXT, key TEXT, value TEXT, PRIMARY KEY (space, key))"
            )

    @property
    def keeps(self) -> bool:
        """Say whether there is a file at all."""
        return self._db is not None

    def put(self, space: str, key: str, value: Any) -> None:
        """Keep a value; takes effect on disk with the next `commit`."""
        if self._db is not None:
            self._begin().execute(
                "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (space, key, encode(value)),
            )

    def delete(self, space: str, key: str) -> None:
        """Forget a value; an unknown one is ignored."""
        if self._db is not None:
            self._begin().execute("DELETE FROM kept WHERE space = ? AND key = ?", (space, key))

    def clear(self) -> None:
        """Forget everything."""
        if self._db is not None:
            self._begin().execute("DELETE FROM kept")

    def load(self, space: str) -> dict[str, Any]:
        """Return all values of a space in the order they were first kept."""
        if self._db is None:
            return {}
        found = self._db.execute("SELECT key, value FROM kept WHERE space = ? ORDER BY rowid", (space,))
        return {key: decode(value) for key, value in found}

    def commit(self) -> None:
        """Write what has gathered."""
        if self._db is not None and self._dirty:
            self._db.execute("COMMIT")
            self._dirty = False

    def close(self) -> None:
        """Commit and close the file; a second call does nothing."""
        if self._db is not None:
            self.commit()
            self._db.close()
            self._db = None

    def _begin(self) -> sqlite3.Connection:
        assert self._db is not None
        if not self._dirty:
            self._db.execute("BEGIN")
            self._dirty = True
        return self._db
