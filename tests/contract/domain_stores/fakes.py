"""A clock moved by hand, and row stores that lose answers or tell what was asked of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from shared.stores.rows import MAX_LIST_ROWS, Operation, Page, Properties, Row, RowStore, RowStoreUnavailable

START = datetime(2026, 3, 2, 8, 30, 0, 250_000, tzinfo=UTC)


class HandClock:
    """A clock that only moves when told to; sleeping moves it."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def move(self, **parts: float) -> None:
        self.time += timedelta(**parts)


class WatchedRows:
    """Passes everything on to a real row store and notes it; can lose the answers of the next writes.

    A lost answer: the operation is done, then RowStoreUnavailable is raised. `quietly` repeats the write at once
    instead, as a proxy on the way may do, so that the caller sees only the echo.
    """

    def __init__(self, rows: RowStore) -> None:
        self._rows = rows
        self.asked: list[str] = []
        self.lose = 0
        self.quietly = 0
        self.down = False

    async def prepare(self) -> None:
        await self._rows.prepare()

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        await self._note("get")
        return await self._rows.get(table, partition, key)

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        await self._note("insert")
        etag = await self._rows.insert(table, partition, key, properties)
        self._lose()
        return await self._rows.insert(table, partition, key, properties) if self._repeat() else etag

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        await self._note("replace")
        new = await self._rows.replace(table, partition, key, properties, etag)
        self._lose()
        return await self._rows.replace(table, partition, key, properties, etag) if self._repeat() else new

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        await self._note("upsert")
        etag = await self._rows.upsert(table, partition, key, properties)
        self._lose()
        return etag

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        await self._note("delete")
        deleted = await self._rows.delete(table, partition, key, etag)
        self._lose()
        return deleted

    async def list(
        self,
        table: str,
        partition: str,
        *,
        after: str | None = None,
        key_prefix: str = "",
        limit: int = MAX_LIST_ROWS,
    ) -> Page:
        await self._note("list")
        return await self._rows.list(table, partition, after=after, key_prefix=key_prefix, limit=limit)

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        await self._note("transact")
        etags = await self._rows.transact(table, partition, operations)
        self._lose()
        return etags

    async def aclose(self) -> None:
        await self._rows.aclose()

    async def _note(self, name: str) -> None:
        self.asked.append(name)
        await asyncio.sleep(0)  # others may come between any two requests
        if self.down:
            raise RowStoreUnavailable("the store is down")

    def _lose(self) -> None:
        if self.lose:
            self.lose -= 1
            raise RowStoreUnavailable("the answer was lost")

    def _repeat(self) -> bool:
        if not self.quietly:
            return False
        self.quietly -= 1
        return True
