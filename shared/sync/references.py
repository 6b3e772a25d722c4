"""Fields that hold another record's key: it crosses only through the link of the record that it names.

Within the engine such a field holds, on both sides, the key of the pair's right side. `Referring` stands before a
connector and translates; a key whose record has no partner yet is `Unlinked`, and the planner lets the field wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.errors import ConnectorError
from shared.sync.claims import Taken
from shared.sync.passing_on import PassingOn
from shared.sync.ports import (
    Change,
    ChangePage,
    LinkRow,
    Links,
    LinkState,
    NewRecord,
    Record,
    RecordPage,
    Side,
    Unlinked,
    Untold,
    Value,
)


@dataclass
class Referring(PassingOn):
    """A connector whose reference columns speak in keys of the right side. columns: each with its pair's name.

    editors: those of them that name a record's last editor; what we ourselves wrote does not tell who that was.
    """

    side: Side
    links: Links
    columns: Mapping[str, str]
    editors: frozenset[str] = frozenset()

    async def meant(self, column: str, key: str) -> Value:
        """What a key in a column stands for on the pair's right side."""
        return await self._partner(self.columns[column], key)

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        found = await self.inner.read(table, keys, columns)
        return dict(zip(found, await self._translated(list(found.values())), strict=True))

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        if column in self.columns:
            own = [await self._own({column: value}) for value in values]
            values = [str(one[column]) for one in own]
        return await self._translated(await self.inner.find(table, column, values, columns, limit))

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        async for page in self.inner.changes(table, since, columns):
            yield replace(page, records=await self._translated(page.records))

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        async for page in self.inner.pages(table, place, columns, most):
            yield replace(page, records=await self._translated(page.records))

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        body = await self._own(values)
        created = await self.inner.create(table, body, columns, key=key, within_seconds=within_seconds)
        return (await self._translated([created]))[0]

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        own = [replace(one, values=await self._own(one.values)) for one in wanted]
        results = await self.inner.create_many(table, own, columns, within_seconds=within_seconds)
        known: dict[tuple[str, str], Value] = {}
        return [await self._one(one, known) if isinstance(one, Record) else one for one in results]

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        updated = await self.inner.update(table, key, await self._own(values), columns, version=version)
        return (await self._translated([updated]))[0]

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        own = [replace(one, values=await self._own(one.values)) for one in changes]
        results = await self.inner.update_many(table, own, columns, within_seconds=within_seconds)
        known: dict[tuple[str, str], Value] = {}
        return [await self._one(one, known) if isinstance(one, Record) else one for one in results]

    # --- translating ---

    async def _translated(self, records: Sequence[Record]) -> list[Record]:
        known: dict[tuple[str, str], Value] = {}
        return [await self._one(record, known) for record in records]

    async def _one(self, record: Record, known: dict[tuple[str, str], Value]) -> Record:
        values = dict(record.values)
        for column, pair in self.columns.items():
            key = values.get(column)
            if isinstance(key, str) and key:
                if (pair, key) not in known:
                    known[pair, key] = await self._partner(pair, key)
                ours = column in self.editors and key in await self.ourselves()
                values[column] = Untold() if ours else known[pair, key]
        return replace(record, values=values)

    async def _partner(self, pair: str, key: str) -> Value:
        row = await self.links.get(pair, self.side, key)
        if row is None or row.state is not LinkState.LINKED:
            return Unlinked(key, self._former(row))
        return row.other if self.side is Side.LEFT else key

    def _former(self, row: LinkRow | None) -> str:
        """The right side's key of a link that was undone."""
        if row is None or row.state is not LinkState.UNLINKED:
            return ""
        return row.key_on(Side.RIGHT)

    async def _own(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """Values with this side's keys; raises Taken for a link that has gone since it was read."""
        own = dict(values)
        for column, pair in self.columns.items():
            key = own.get(column)
            if self.side is Side.LEFT and isinstance(key, str) and key:
                row = await self.links.get(pair, Side.RIGHT, key)
                if row is None or row.state is not LinkState.LINKED:
                    raise Taken
                own[column] = row.other
        return own
