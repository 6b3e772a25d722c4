"""The row store in one SQLite file: the embedded default on a person's machine and in tests.

Operations take tens of microseconds and run on the event loop's own thread, without worker threads: so the store
also works under a loop with virtual time. Several processes may open the same file; every write is one IMMEDIATE
transaction, so that two writers wait for each other instead of failing half-way.

Inside Azure the file would sit on one instance's disk, unseen by the others and gone with it: `refuse_in_azure`.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from shared.stores.rows import (
    MAX_LIST_ROWS,
    Delete,
    Insert,
    Operation,
    Page,
    Properties,
    Replace,
    Row,
    RowChanged,
    RowExists,
    RowInvalid,
    RowStoreRefused,
    RowStoreUnavailable,
    Upsert,
    Value,
    check_address,
    check_etag,
    check_list,
    check_tables,
    check_transaction,
    check_write,
    prefix_end,
    unknown_table,
)

IN_MEMORY: Final = ":memory:"
_LAYOUT: Final = 1
"""Number of the file's layout, kept as `user_version`; a file with another one is refused."""
_AZURE_VARIABLES: Final = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME")
"""Set by App Service in every app (Microsoft Learn, "Environment variables and app settings reference")."""
_KIND: Final = 0xFF
"""The low byte of SQLite's error code is the kind of error, the rest the detail."""
_TRANSIENT: Final = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
)


def refuse_in_azure(environment: Mapping[str, str]) -> None:
    """Raise `RowStoreRefused` when the environment is that of an Azure app, where a local file is no store."""
    if any(environment.get(name) for name in _AZURE_VARIABLES):
        raise RowStoreRefused(
            "the SQLite store is for one machine and cannot be used inside Azure: instances would not see each "
            "other's rows. Set the address of an Azure storage account for the store in the app settings"
        )


class SqliteRows:
    """A `RowStore` in one SQLite file, or in memory with the path ":memory:".

    A committed write survives the end of the process; with `every_write_to_disk` also a power failure (SQLite
    documentation, "PRAGMA synchronous": NORMAL or FULL in WAL mode). Use it from one thread, that of `prepare`.
    While another process holds the file's lock a write waits, with its event loop, up to `busy_timeout_seconds`
    and then raises `RowStoreUnavailable`.
    """

    def __init__(
        self,
        path: Path | str,
        tables: Sequence[str],
        *,
        environment: Mapping[str, str],
        every_write_to_disk: bool = False,
        busy_timeout_seconds: float = 5.0,
    ) -> None:
        """Remember where the rows are; `prepare` opens the file. `environment` is the process's (`os.environ`)."""
        refuse_in_azure(environment)
        self._path = str(path)
        self._tables = check_tables(tables)
        self._synchronous = "FULL" if every_write_to_disk else "NORMAL"
        self._busy_timeout_seconds = busy_timeout_seconds
        self._connection: sqlite3.Connection | None = None

    async def prepare(self) -> None:
        """Open the file, making it and its folder where they are missing, and make missing tables."""
        if self._connection is not None:
            return
        with _as_store_errors():
            if self._path != IN_MEMORY:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=self._busy_timeout_seconds, isolation_level=None)
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Read one row; None when there is none."""
        check_address(partition, key)
        with _as_store_errors():
            found = self._open(table).execute(_sql("get", table), (partition, key)).fetchone()
        return None if found is None else Row(partition, key, _unpack(found[1]), str(found[0]))

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Add a row and return its etag; `RowExists` when there is one."""
        check_write(partition, key, properties)
        return self._write(table, partition, Insert(key, properties))

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        """Replace the row with that etag and return the new one; `RowChanged` when it has another or is gone."""
        check_write(partition, key, properties)
        check_etag(etag)
        return self._write(table, partition, Replace(key, properties, etag))

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Replace or insert the row, whatever is there, and return its etag."""
        check_write(partition, key, properties)
        return self._write(table, partition, Upsert(key, properties))

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        """Delete the row; False when there was none; `RowChanged` when it has another etag than the given one."""
        check_address(partition, key)
        if etag is not None:
            check_etag(etag)
        with self._transaction(table) as connection:
            if connection.execute(_sql("etag", table), (partition, key)).fetchone() is None:
                return False
            _apply(connection, table, partition, Delete(key, etag), None)
            return True

    async def list(
        self,
        table: str,
        partition: str,
        *,
        after: str | None = None,
        key_prefix: str = "",
        limit: int = MAX_LIST_ROWS,
    ) -> Page:
        """Read up to `limit` rows of one partition in key order, with `key_prefix` and after `after`."""
        check_list(partition, after, key_prefix, limit)
        bounds = {"partition": partition, "after": after or "", "prefix": key_prefix, "limit": limit}
        with _as_store_errors():
            found = self._open(table).execute(_sql("list", table), {**bounds, "end": prefix_end(key_prefix)}).fetchall()
        rows = tuple(Row(partition, key, _unpack(properties), str(number)) for key, number, properties in found)
        return Page(rows, rows[-1].key if len(rows) == limit else None)

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        """Do the operations all or none; returns their etags; conflicts carry the index of the culprit."""
        check_transaction(partition, operations)
        with self._transaction(table) as connection:
            return [
                _apply(connection, table, partition, operation, index) for index, operation in enumerate(operations)
            ]

    async def aclose(self) -> None:
        """Close the file. Repetition does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _set_up(self, connection: sqlite3.Connection) -> None:
        _use_write_ahead_log(connection, time.monotonic() + self._busy_timeout_seconds)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        with _immediate(connection):
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            if layout not in (0, _LAYOUT):
                raise RowStoreRefused(
                    f"the store's file has layout {layout}, this version knows {_LAYOUT}: use the version that wrote "
                    "it, or move the file away and let the links be found again"
                )
            for statement in (*_LAYOUT_STATEMENTS, *(_sql("create", table) for table in self._tables)):
                connection.execute(statement)

    def _open(self, table: str) -> sqlite3.Connection:
        if table not in self._tables:
            raise unknown_table(table)
        if self._connection is None:
            raise RowStoreRefused("the store is not open: await prepare() first, and nothing after aclose()")
        return self._connection

    @contextmanager
    def _transaction(self, table: str) -> Iterator[sqlite3.Connection]:
        connection = self._open(table)
        with _as_store_errors(), _immediate(connection):
            yield connection

    def _write(self, table: str, partition: str, operation: Operation) -> str:
        with self._transaction(table) as connection:
            etag = _apply(connection, table, partition, operation, None)
        assert etag is not None, "only a delete has no etag"
        return etag


def _apply(
    connection: sqlite3.Connection, table: str, partition: str, operation: Operation, index: int | None
) -> str | None:
    """Do one operation inside the transaction under way; `index` is its position, None for a single write."""
    where = (partition, operation.key)
    found = connection.execute(_sql("etag", table), where).fetchone()
    _check_condition(operation, None if found is None else str(found[0]), index)
    if isinstance(operation, Delete):
        connection.execute(_sql("delete", table), where)
        return None
    number = _next_number(connection)
    connection.execute(_sql("write", table), (*where, number, _pack(operation.properties)))
    return str(number)


def _check_condition(operation: Operation, etag: str | None, index: int | None) -> None:
    match operation:
        case Insert() if etag is not None:
            raise RowExists("the row to insert is there already", index)
        case Replace() if etag != operation.etag:
            raise RowChanged("the row to replace has changed or is gone", index)
        case Delete() if etag is None or operation.etag not in (None, etag):
            raise RowChanged("the row to delete has changed or is gone", index)
        case _:
            pass


def _next_number(connection: sqlite3.Connection) -> int:
    """Count the file's writes: an etag is the number of the write, so none ever comes twice."""
    connection.execute("UPDATE writes SET number = number + 1")
    number: int = connection.execute("SELECT number FROM writes").fetchone()[0]
    return number


_LAYOUT_STATEMENTS: Final = (
    "CREATE TABLE IF NOT EXISTS writes (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO writes VALUES (1, 0)",
    f"PRAGMA user_version = {_LAYOUT}",
)
_STATEMENTS: Final = {
    "create": 'CREATE TABLE IF NOT EXISTS "rows_{table}" (partition TEXT NOT NULL, key TEXT NOT NULL, '
    "number INTEGER NOT NULL, properties TEXT NOT NULL, PRIMARY KEY (partition, key))",
    "get": 'SELECT number, properties FROM "rows_{table}" WHERE partition = ? AND key = ?',
    "etag": 'SELECT number FROM "rows_{table}" WHERE partition = ? AND key = ?',
    "write": 'INSERT OR REPLACE INTO "rows_{table}" VALUES (?, ?, ?, ?)',
    "delete": 'DELETE FROM "rows_{table}" WHERE partition = ? AND key = ?',
    "list": 'SELECT key, number, properties FROM "rows_{table}" WHERE partition = :partition AND key > :after '
    "AND key >= :prefix AND (:end IS NULL OR key < :end) ORDER BY key LIMIT :limit",
}


@cache
def _sql(statement: str, table: str) -> str:
    """Fill in the table's name, which `check_tables` has found to be letters and digits."""
    return _STATEMENTS[statement].format(table=table)


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock from the start, so that what a write has read is still true when it writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    try:
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _use_write_ahead_log(connection: sqlite3.Connection, until: float) -> None:
    """Switch the file to WAL, trying again while others do so.

    SQLite does not always wait there: of 1,800 connections that opened a new file twelve at a time, four were told
    SQLITE_BUSY at once (SQLite 3.40, busy timeout 5 seconds).
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _KIND != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def _as_store_errors() -> Iterator[None]:
    """Say SQLite's errors in the port's words; its text names at most tables and columns, never values."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)  # misuse, such as by another thread, has none
        if getattr(error, "sqlite_errorcode", 0) & _KIND in _TRANSIENT:
            raise RowStoreUnavailable(
                f"the store's file cannot be used at the moment ({name}): another process holds its lock, or the disk "
                "is full or gone"
            ) from error
        raise RowStoreRefused(f"the store's file is refused by SQLite ({name}): {error}") from error
    except OSError as error:
        raise RowStoreRefused(f"the folder of the store's file cannot be made ({type(error).__name__})") from error


def _pack(properties: Properties) -> str:
    """Write the properties as JSON; bytes and datetimes, which JSON lacks, as an object with their kind."""
    return json.dumps(dict(properties), default=_pack_value, ensure_ascii=False, separators=(",", ":"))


def _pack_value(value: Any) -> dict[str, str]:
    if isinstance(value, datetime):
        return {"time": value.astimezone(UTC).isoformat()}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode("ascii")}
    raise RowInvalid(f"a {type(value).__name__} cannot be kept")  # check_properties lets none through


def _unpack(packed: str) -> Properties:
    properties: dict[str, Value] = {
        name: _unpack_value(value) if isinstance(value, dict) else value for name, value in json.loads(packed).items()
    }
    return properties


def _unpack_value(value: Mapping[str, str]) -> datetime | bytes:
    return datetime.fromisoformat(value["time"]) if "time" in value else base64.b64decode(value["bytes"])
