"""The domain stores over every row store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, Stores, open_stores
from tests.contract.domain_stores.fakes import HandClock, WatchedRows


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def rows() -> AsyncIterator[WatchedRows]:
    rows = WatchedRows(SqliteRows(":memory:", TABLES, environment={}))
    await rows.prepare()
    yield rows
    await rows.aclose()


@pytest.fixture
def stores(rows: WatchedRows, clock: HandClock) -> Stores:
    return open_stores(rows, clock)
