"""The connector of a site some of whose lists come as files: those are read from their files, the rest by the
interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from shared.connectors.postoffice.booked import with_centre, with_customers
from shared.connectors.postoffice.connector import PostOfficeConnector
from shared.connectors.postoffice.file_lists import FileList
from shared.connectors.postoffice.site import Files, Site
from shared.connectors.postoffice.tables import CUSTOMER, TABLES
from shared.sync.passing_on import PassingOn
from shared.sync.ports import (
    Capabilities,
    ChangePage,
    Clock,
    Record,
    RecordPage,
    Reports,
    TableMetadata,
    VersionKind,
)


@dataclass
class PostOfficeWithFiles(PassingOn):
    """Passes on what no file stands for. Nothing is ever written into a list that comes as a file."""

    inner: PostOfficeConnector
    lists: Mapping[str, FileList] = field(default_factory=dict)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.inner.aclose()

    def capabilities(self, table: str) -> Capabilities:
        known = super().capabilities(table)
        return replace(known, version=VersionKind.OPAQUE) if table in self.lists else known

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        """None for a file: its rows are in no order of time."""
        return None if table in self.lists else super().watermark_at(table, at, no_later_than)

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        if table not in self.lists:
            return await super().read(table, keys, columns)
        asked = [self.canonical_key(table, key) for key in keys]
        found = await self.lists[table].read(asked, _wanted(table, columns))
        return {one.key: one for one in await self._completed(table, list(found.values()))}

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        if table not in self.lists:
            return await super().find(table, column, values, columns, limit)
        if not (_is_of_centre(table) and column == CUSTOMER):
            return await self.lists[table].find(column, values, columns, limit)
        pages = self.pages(table, None, [*columns, CUSTOMER])
        return [one async for page in pages for one in page.records if one.values.get(CUSTOMER) in values][:limit]

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        filed = self.lists.get(table)
        source = (
            super().changes(table, since, columns) if filed is None else filed.changes(since, _wanted(table, columns))
        )
        async for page in source:
            yield page if filed is None else replace(page, records=await self._completed(table, page.records))

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        filed = self.lists.get(table)
        wanted = _wanted(table, columns)
        source = super().pages(table, place, columns, most) if filed is None else filed.pages(place, wanted, most)
        async for page in source:
            yield page if filed is None else RecordPage(await self._completed(table, page.records), page.place)

    async def _completed(self, table: str, records: Sequence[Record]) -> Sequence[Record]:
        """Rows that name a cost centre only, with its customer, for which the interface is asked."""
        return await with_customers(records, self.read) if _is_of_centre(table) else records

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        if table not in self.lists:
            return super().of_day(table, column, day, columns)
        return self.lists[table].of_day(column, day, columns)

    async def metadata(self, table: str) -> TableMetadata:
        if table not in self.lists:
            return await super().metadata(table)
        return TableMetadata(table, await self.lists[table].columns())

    async def survey(self, table: str) -> TableMetadata:
        if table not in self.lists:
            return await super().survey(table)
        return TableMetadata(table, await self.lists[table].columns(), announced=False)


def _is_of_centre(table: str) -> bool:
    return table in TABLES and TABLES[table].of_centre


def _wanted(table: str, columns: Sequence[str]) -> Sequence[str]:
    return with_centre(TABLES[table], columns) if _is_of_centre(table) else columns


def file_lists(
    site: Site, files: Files, clock: Clock, *, system: str, key: bytes, reports: Reports | None
) -> Mapping[str, FileList]:
    """The lists that come as files. key: of the fingerprints; reports: where the last files are remembered, None for
    somebody who only looks."""
    return {
        table: FileList(table, site, files, clock, key=key, reports=reports, name=f"file/{system}/{table}")
        for table in files.lists
    }
