"""A row store that notes whether anything was written to the pending rows, for worlds that ask over and over whether
they are quiet."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from shared.stores.pending import TABLE
from shared.stores.rows import Operation, Page, Properties, Row, RowStore
from shared.sync.ports import PendingItems

Answer = TypeVar("Answer")


class NotedRows:
    """Passes every call on. Looking for pending rows takes a question for each of their partitions, so they are looked
    for anew only after something was written to them."""

    def __init__(self, inner: RowStore) -> None:
        self._inner = inner
        self._has_changed = True
        self._was_pending = False

    async def is_pending(self, pending: PendingItems, transfers: Sequence[str]) -> bool:
        """Whether a row of one of the transfers waits; always ask for the same ones."""
        if self._has_changed:
            self._has_changed = False
            self._was_pending = any([await pending.page(name, None, 1) for name in transfers])
        return self._was_pending

    async def _write(self, table: str, writing: Awaitable[Answer]) -> Answer:
        try:
            return await writing
        finally:
            self._has_changed = self._has_changed or table == TABLE

    async def prepare(self) -> None:
        await self._inner.prepare()

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        return await self._inner.get(table, partition, key)

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        return await self._write(table, self._inner.insert(table, partition, key, properties))

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        return await self._write(table, self._inner.replace(table, partition, key, properties, etag))

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        return await self._write(table, self._inner.upsert(table, partition, key, properties))

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        return await self._write(table, self._inner.delete(table, partition, key, etag))

    async def list(
        self, table: str, partition: str, *, after: str | None = None, key_prefix: str = "", limit: int = 1000
    ) -> Page:
        return await self._inner.list(table, partition, after=after, key_prefix=key_prefix, limit=limit)

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        return await self._write(table, self._inner.transact(table, partition, operations))

    async def aclose(self) -> None:
        await self._inner.aclose()
