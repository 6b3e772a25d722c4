"""A connector whose every call is an effect that a fault may strike, for worlds with the real connectors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from shared.errors import ConnectorError, SystemDown, UnknownResult
from shared.sync.passing_on import PassingOn
from shared.sync.ports import Change, ChangePage, NewRecord, Profile, Record, RecordPage, Value
from tests.simulation.world import Faults

Answer = TypeVar("Answer")
Heard = Callable[[str, str], None]


def _nobody(table: str, key: str) -> None:
    return


@dataclass
class FaultyConnector(PassingOn):
    """Every call that asks the system is an effect. heard: told of every record that was written, in the moment in
    which it was, whatever becomes of the answer: as a webhook tells."""

    faults: Faults = field(default_factory=Faults)
    heard: Heard = _nobody

    async def _read(self, name: str, do: Callable[[], Awaitable[Answer]]) -> Answer:
        gone = SystemDown(self.system)
        return await self.faults.effect(f"{self.system} {name}", gone, gone, do)

    async def _write(self, name: str, do: Callable[[], Awaitable[Answer]]) -> Answer:
        lost, refused = UnknownResult(self.system), SystemDown(self.system)
        return await self.faults.effect(f"{self.system} {name}", lost, refused, do)

    async def _each(self, name: str, pages: AsyncIterator[Answer]) -> AsyncIterator[Answer]:
        while True:
            try:
                page = await self._read(name, lambda: anext(pages))
            except StopAsyncIteration:
                return
            yield page

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        return await self._read(f"read {table}", lambda: self.inner.read(table, keys, columns))

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        return await self._read(f"find {table}", lambda: self.inner.find(table, column, values, columns, limit))

    def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        return self._each(f"changes {table}", self.inner.changes(table, since, columns))

    def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        return self._each(f"pages {table}", self.inner.pages(table, place, columns, most))

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        return self._each(f"of day {table}", self.inner.of_day(table, column, day, columns))

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        async def do() -> Record:
            made = await self.inner.create(table, values, columns, key=key, within_seconds=within_seconds)
            self.heard(table, made.key)
            return made

        return await self._write(f"create {table}", do)

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        async def do() -> Record:
            changed = await self.inner.update(table, key, values, columns, version=version)
            self.heard(table, key)
            return changed

        return await self._write(f"update {table}", do)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        async def do() -> Sequence[Record | ConnectorError]:
            return await self.inner.create_many(table, wanted, columns, within_seconds=within_seconds)

        return await self._many(f"create many {table}", do, len(wanted))

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        async def do() -> Sequence[Record | ConnectorError]:
            return await self.inner.update_many(table, changes, columns, within_seconds=within_seconds)

        return await self._many(f"update many {table}", do, len(changes))

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        async def do() -> Sequence[ConnectorError | None]:
            return await self.inner.delete_many(table, keys, within_seconds=within_seconds)

        return await self._many(f"delete many {table}", do, len(keys))

    async def _many(
        self, name: str, do: Callable[[], Awaitable[Sequence[Answer | ConnectorError]]], count: int
    ) -> Sequence[Answer | ConnectorError]:
        """Lost answers of a bulk form are results of its records."""
        try:
            return await self._write(name, do)
        except UnknownResult:
            return [UnknownResult(self.system) for _ in range(count)]

    async def delete(self, table: str, key: str) -> None:
        async def do() -> None:
            await self.inner.delete(table, key)
            self.heard(table, key)

        await self._write(f"delete {table}", do)

    async def profile(self) -> Profile | None:
        return await self._read("profile", self.inner.profile)
