"""Every implementation of the row store, each with fresh tables."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.stores.azure_rows import AzureRows
from shared.stores.rows import RowStore
from shared.stores.sqlite_rows import SqliteRows
from tests.azurite.fixture import azurite

__all__ = ["azurite"]

TABLES = ("links", "journal")


def fresh_prefix() -> str:
    """A prefix that no other test uses, since all tests of a process share one Azurite."""
    return f"t{uuid.uuid4().hex[:20]}"


@pytest.fixture(params=["sqlite file", "sqlite memory", "azurite"])
async def rows(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RowStore]:
    store: RowStore
    match request.param:
        case "sqlite file":
            store = SqliteRows(tmp_path / "store" / "rows.db", TABLES, environment={})
        case "sqlite memory":
            store = SqliteRows(":memory:", TABLES, environment={})
        case _:
            connection_string = request.getfixturevalue("azurite")
            store = AzureRows.from_connection_string(connection_string, TABLES, prefix=fresh_prefix())
    await store.prepare()
    yield store
    await store.aclose()
