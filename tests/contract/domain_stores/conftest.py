"""The domain stores over every row store."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator

import pytest

from shared.stores.azure_rows import AzureRows
from shared.stores.rows import RowStore
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES, Stores, open_stores
from tests.azurite.fixture import azurite
from tests.contract.domain_stores.fakes import HandClock, WatchedRows

__all__ = ["azurite"]

_prefixes = itertools.count(1)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["sqlite", "azurite"])
async def rows(request: pytest.FixtureRequest) -> AsyncIterator[WatchedRows]:
    rows = WatchedRows(_row_store(request))
    await rows.prepare()
    yield rows
    await rows.aclose()


def _row_store(request: pytest.FixtureRequest) -> RowStore:
    if request.param == "sqlite":
        return SqliteRows(":memory:", TABLES, environment={})
    return AzureRows.from_connection_string(
        request.getfixturevalue("azurite"), TABLES, prefix=f"domain{next(_prefixes)}of{os.getpid()}"
    )


@pytest.fixture
def stores(rows: WatchedRows, clock: HandClock) -> Stores:
    return open_stores(rows, clock)
