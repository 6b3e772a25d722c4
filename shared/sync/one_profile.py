"""A connector before whose writes the two databases are asked whether they still belong together.

Which of them is for tests is known when a message begins; a message of a hundred records may go on for a minute, and
the mark of a database may change in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.errors import ConnectorError
from shared.sync.passing_on import PassingOn
from shared.sync.ports import Change, NewRecord, Record, Value

Belong = Callable[[], Awaitable[None]]
"""Raises WrongProfile where the databases do not belong together (any more)."""


@dataclass
class OneProfile(PassingOn):
    """Passes every call on, a write only while the two databases belong together."""

    belong: Belong

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        await self.belong()
        return await super().create(table, values, columns, key=key, within_seconds=within_seconds)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        await self.belong()
        return await super().create_many(table, wanted, columns, within_seconds=within_seconds)

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        await self.belong()
        return await super().update(table, key, values, columns, version=version)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        await self.belong()
        return await super().update_many(table, changes, columns, within_seconds=within_seconds)

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        await self.belong()
        return await super().delete_many(table, keys, within_seconds=within_seconds)

    async def delete(self, table: str, key: str) -> None:
        await self.belong()
        await super().delete(table, key)

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        await self.belong()
        await super().note(table, key, seed, subject, text)
