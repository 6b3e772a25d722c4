"""What only the SQLite store promises: surviving a kill, several processes, one layout, never inside Azure."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.stores.rows import Properties, RowInvalid, RowStoreRefused, RowStoreUnavailable, Value
from shared.stores.sqlite_rows import SqliteRows, refuse_in_azure

ROOT = Path(__file__).parents[3]
TABLES = ("links",)

WRITER = """
import asyncio, sys
from shared.stores.rows import Insert
from shared.stores.sqlite_rows import SqliteRows

async def main():
    rows = SqliteRows(sys.argv[1], ("links",), environment={})
    await rows.prepare()
    for number in range(1_000_000):
        await rows.insert("links", "p", f"single{number:07}", {"number": number})
        print(f"single{number:07}", flush=True)
        await rows.transact("links", "p", [Insert(f"pair{number:07}{side}", {"n": number}) for side in "ab"])
        print(f"pair{number:07}a pair{number:07}b", flush=True)

asyncio.run(main())
"""

COUNTER = """
import asyncio, sys
from shared.stores.rows import RowChanged
from shared.stores.sqlite_rows import SqliteRows

async def main():
    rows = SqliteRows(sys.argv[1], ("links",), environment={})
    await rows.prepare()
    await rows.upsert("links", "ready", sys.argv[2], {})
    for _ in range(100):
        while True:
            row = await rows.get("links", "p", "counter")
            try:
                await rows.replace("links", "p", "counter", {"n": row.properties["n"] + 1}, row.etag)
                break
            except RowChanged:
                pass
    await rows.aclose()

asyncio.run(main())
"""


def store(path: Path | str = ":memory:", busy_timeout_seconds: float = 5.0) -> SqliteRows:
    return SqliteRows(path, TABLES, environment={}, busy_timeout_seconds=busy_timeout_seconds)


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - this Python with the code above
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


async def test_everything_that_returned_is_there_after_a_kill(tmp_path: Path) -> None:
    """A process killed in the middle of writing loses nothing that returned, and leaves no half transaction."""
    path = tmp_path / "rows.db"
    with run_python(WRITER, str(path)) as child:
        assert child.stdout is not None
        returned = [key for _ in range(400) for key in child.stdout.readline().split()]
        child.kill()
        returned += child.stdout.read().rpartition("\n")[0].split()
    rows = store(path)
    await rows.prepare()
    found: set[str] = set()
    after: str | None = None
    while True:
        page = await rows.list("links", "p", after=after)
        found |= {row.key for row in page.rows}
        if page.next is None:
            break
        after = page.next
    assert len(returned) >= 600
    assert set(returned) <= found
    assert {key[:-1] for key in found if key.startswith("pair") and key.endswith("a")} == {
        key[:-1] for key in found if key.startswith("pair") and key.endswith("b")
    }
    await rows.insert("links", "p", "afterwards", {})
    await rows.aclose()


async def test_processes_that_open_one_new_file_at_once_lose_no_update(tmp_path: Path) -> None:
    """Three processes prepare the same file and count up one row by conditional replace."""
    path = tmp_path / "rows.db"
    rows = store(path)
    await rows.prepare()
    await rows.insert("links", "p", "counter", {"n": 0})
    children = [run_python(COUNTER, str(path), str(number)) for number in range(3)]
    for child in children:
        child.communicate()
        assert child.returncode == 0
    row = await rows.get("links", "p", "counter")
    assert row is not None
    assert row.properties == {"n": 300}
    await rows.aclose()


def test_many_threads_preparing_one_new_file_all_succeed(tmp_path: Path) -> None:
    """Each with its own connection, as processes starting together have."""
    failures: list[BaseException] = []
    gate = threading.Barrier(8)

    async def prepare() -> None:
        rows = store(tmp_path / "rows.db")
        gate.wait()
        await rows.prepare()
        await rows.aclose()

    def run() -> None:
        try:
            asyncio.run(prepare())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


async def test_etags_stay_unique_when_the_file_is_opened_again(tmp_path: Path) -> None:
    """The count of writes is in the file, not in the process."""
    etags = []
    for _ in range(3):
        rows = store(tmp_path / "rows.db")
        await rows.prepare()
        etags.append(await rows.insert("links", "p", "a", {}))
        await rows.delete("links", "p", "a")
        await rows.aclose()
    assert len(set(etags)) == 3


async def test_a_file_held_by_another_process_for_too_long_is_unavailable(tmp_path: Path) -> None:
    """Reads go on, writes give up after the busy timeout, and work again when the lock is gone."""
    path = tmp_path / "rows.db"
    rows = store(path, busy_timeout_seconds=0.01)
    await rows.prepare()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RowStoreUnavailable, match="SQLITE_BUSY"):
            await rows.insert("links", "p", "a", {})
        assert await rows.get("links", "p", "a") is None
    await rows.insert("links", "p", "a", {})
    await rows.aclose()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is not overwritten."""
    path = tmp_path / "rows.db"
    path.write_text("a letter to somebody" * 100)
    with pytest.raises(RowStoreRefused, match="SQLITE_NOTADB"):
        await store(path).prepare()
    assert path.read_text().startswith("a letter")


async def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    """A folder in place of the file, and a file in place of the folder."""
    with pytest.raises(RowStoreRefused, match="SQLITE_CANTOPEN"):
        await store(tmp_path).prepare()
    (tmp_path / "file").write_text("")
    with pytest.raises(RowStoreRefused, match="folder"):
        await store(tmp_path / "file" / "rows.db").prepare()


async def test_a_file_of_another_layout_is_refused(tmp_path: Path) -> None:
    """An older program never writes into a newer one's file."""
    path = tmp_path / "rows.db"
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 2")
    with pytest.raises(RowStoreRefused, match="layout 2"):
        await store(path).prepare()


async def test_the_file_is_written_as_asked(tmp_path: Path) -> None:
    """Write-ahead log always; every write to the disk itself only where asked for."""
    for every_write_to_disk, synchronous in ((False, 1), (True, 2)):
        rows = SqliteRows(tmp_path / "rows.db", TABLES, environment={}, every_write_to_disk=every_write_to_disk)
        await rows.prepare()
        connection = rows._connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        await rows.aclose()


async def test_a_store_that_is_not_open_says_so() -> None:
    """Before prepare and after aclose."""
    rows = store()
    with pytest.raises(RowStoreRefused, match="prepare"):
        await rows.get("links", "p", "a")
    await rows.prepare()
    await rows.aclose()
    with pytest.raises(RowStoreRefused, match="prepare"):
        await rows.insert("links", "p", "a", {})


async def test_a_new_table_joins_those_of_an_older_file(tmp_path: Path) -> None:
    """A newer version of the product may name more tables."""
    rows = store(tmp_path / "rows.db")
    await rows.prepare()
    await rows.insert("links", "p", "a", {})
    await rows.aclose()
    rows = SqliteRows(tmp_path / "rows.db", ("links", "order"), environment={})
    await rows.prepare()
    await rows.insert("order", "p", "a", {})
    assert await rows.get("links", "p", "a") is not None
    await rows.aclose()


@pytest.mark.parametrize("tables", [("a",), ("Links",), ("1inks",), ("my_links",), ("l" * 41,), ("links", "links")])
def test_a_table_name_that_azure_would_not_take_is_refused(tables: tuple[str, ...]) -> None:
    """What runs locally must run in production."""
    with pytest.raises(RowInvalid, match="table name"):
        SqliteRows(":memory:", tables, environment={})


@pytest.mark.parametrize("environment", [{"WEBSITE_INSTANCE_ID": "x"}, {"WEBSITE_SITE_NAME": "x"}])
def test_inside_azure_the_store_cannot_even_be_made(environment: Mapping[str, str]) -> None:
    """Instances would not see each other's claims; the error says what to set instead."""
    with pytest.raises(RowStoreRefused, match="storage account"):
        SqliteRows(":memory:", TABLES, environment=environment)


def test_outside_azure_nothing_is_refused() -> None:
    """Empty variables are none."""
    refuse_in_azure({"PATH": "/bin", "WEBSITE_SITE_NAME": ""})


TEXT = st.text(max_size=50)
TIMES = st.datetimes(datetime(1601, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
VALUES: st.SearchStrategy[Value] = st.one_of(
    TEXT, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.binary(max_size=50), TIMES
)


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True), VALUES, max_size=8))
async def test_any_properties_come_back_with_their_types(properties: Properties) -> None:
    """Whatever the values are, also text that looks like the store's own notation."""
    properties = {name: value for name, value in properties.items() if name.lower() not in ("rowkey", "etag")}
    rows = store()
    await rows.prepare()
    await rows.insert("links", "p", "a", properties)
    row = await rows.get("links", "p", "a")
    await rows.aclose()
    assert row is not None
    assert row.properties == properties
    assert {n: type(v) for n, v in row.properties.items()} == {n: type(v) for n, v in properties.items()}
