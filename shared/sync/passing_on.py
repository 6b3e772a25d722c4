"""A connector that stands before another one and passes every call on; what changes a call overrides it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from shared.errors import ConnectorError
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Connector,
    NewRecord,
    Profile,
    Record,
    RecordPage,
    TableMetadata,
    Value,
)


@dataclass
class PassingOn:
    """Passes every call of the port on to `inner`."""

    inner: Connector

    @property
    def system(self) -> str:
        return self.inner.system

    @property
    def instance(self) -> str:
        return self.inner.instance

    def capabilities(self, table: str) -> Capabilities:
        return self.inner.capabilities(table)

    def canonical_key(self, table: str, key: str) -> str:
        return self.inner.canonical_key(table, key)

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        return self.inner.derived_key(table, seed, values)

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        return self.inner.watermark_at(table, at, no_later_than)

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        return await self.inner.read(table, keys, columns)

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        return await self.inner.find(table, column, values, columns, limit)

    def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        return self.inner.changes(table, since, columns)

    def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        return self.inner.pages(table, place, columns, most)

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        return self.inner.of_day(table, column, day, columns)

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        return await self.inner.create(table, values, columns, key=key, within_seconds=within_seconds)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self.inner.create_many(table, wanted, columns, within_seconds=within_seconds)

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        return await self.inner.update(table, key, values, columns, version=version)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        return await self.inner.update_many(table, changes, columns, within_seconds=within_seconds)

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        return await self.inner.delete_many(table, keys, within_seconds=within_seconds)

    async def delete(self, table: str, key: str) -> None:
        await self.inner.delete(table, key)

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        await self.inner.note(table, key, seed, subject, text)

    async def metadata(self, table: str) -> TableMetadata:
        return await self.inner.metadata(table)

    async def survey(self, table: str) -> TableMetadata:
        return await self.inner.survey(table)

    async def ourselves(self) -> frozenset[str]:
        return await self.inner.ourselves()

    async def identify(self) -> str:
        return await self.inner.identify()

    async def profile(self) -> Profile | None:
        return await self.inner.profile()

    async def ping(self) -> None:
        await self.inner.ping()
