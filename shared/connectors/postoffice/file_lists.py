"""Lists that come as files of the export module: read, told of and held against the last file.

A row's version is a keyed hash of its fields, so the engine finds what has changed by comparing it with the version
that the record's link remembers; nothing of the values is kept. A file that cannot be whole or cannot be meant (still
being written, half-written, older or much shorter than the last one) is left alone and everything waits for the next.
A row that cannot be read is told by itself; the others go on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from shared.connectors.postoffice.cells import Cells
from shared.connectors.postoffice.csv_rows import Place, Row
from shared.connectors.postoffice.errors import SYSTEM
from shared.connectors.postoffice.file_index import FileIndex, LookedUpBy, OneFile, Stamp
from shared.connectors.postoffice.further import STAMPS
from shared.connectors.postoffice.site import Files, Site
from shared.connectors.postoffice.tables import TABLES
from shared.connectors.postoffice.values import canonical_id, holds
from shared.errors import Answer, FeedExpired, UnknownColumn, Unreadable
from shared.sync.ports import ChangePage, Clock, ColumnMetadata, ColumnType, Record, RecordPage, Reports, Value

ROWS_ON_A_PAGE = 500
FILE, DAY = "file", "day"
_FEW = 10
"""So many rows may always vanish: in a short list half of them are soon gone."""


@dataclass(frozen=True, slots=True)
class LastFile:
    """What is remembered of the file that was read last: when it was written, its hash, and how many rows it had."""

    at: datetime
    digest: str
    count: int


class FileList:
    """One list that comes as a file. key: of the fingerprints; reports: where the last file is remembered, or None for
    somebody who only looks; name: under which it is remembered."""

    def __init__(
        self, table: str, site: Site, files: Files, clock: Clock, *, key: bytes, reports: Reports | None, name: str
    ) -> None:
        self._table = table
        self._site = site
        self._files = files
        self._clock = clock
        self._key = key
        self._reports = reports
        self._name = name
        self._cells = Cells(files.dates, files.time_zone)
        self._groups = TABLES[table].grouped if table in TABLES else {}
        self._file = OneFile(Path(files.folder) / files.lists[table], files, key, self._looked_up_by(), clock)
        self._known: FileIndex | None = None
        self._indexing = asyncio.Lock()

    def _looked_up_by(self) -> LookedUpBy:
        """A sum has no id; sums are looked up by their day."""
        if self._groups:
            return LookedUpBy(self._site.theirs(self._table, DAY), self._day, alone=False)
        return LookedUpBy(self._site.theirs(self._table, "id"), _id, alone=True)

    def _day(self, text: str) -> str:
        day = self._cells.value(ColumnType.DATE, text)
        if not isinstance(day, date):
            raise ValueError("is no date")
        return day.isoformat()

    # --- the port ---

    async def columns(self) -> Mapping[str, ColumnMetadata]:
        """The columns of the list that the file has."""
        return self._columns(await self._index())

    def _columns(self, index: FileIndex) -> Mapping[str, ColumnMetadata]:
        shown = index.columns
        if self._table in TABLES:
            known = TABLES[self._table].columns
            return {name: one for name, one in known.items() if self._site.theirs(self._table, name) in shown}
        declared = self._site.declared(self._table)
        ours = {self._site.theirs(self._table, name): name for name in (*declared, *self._site.renamed(self._table))}
        names = [ours.get(theirs, theirs) for theirs in shown if theirs not in STAMPS]
        return {name: _column(name, declared.get(name, ColumnType.TEXT)) for name in names}

    async def read(self, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        """Records by key; raises Unreadable naming every asked row that cannot be read."""
        index = await self._index()
        wanted = self._wanted(index, columns)
        found: dict[str, Record] = {}
        wrong: dict[str, tuple[str, str]] = {}
        with self._file.opened(index.stamp) as file:
            for key in dict.fromkeys(keys):
                row = self._row_of(file, index, key)
                if row is None:
                    continue
                found[key], faults = self._record(index, row, wanted)
                if faults:
                    column, told = faults[0]
                    wrong[key] = (column, f"{self._file.path.name} {told}.")
        if wrong:
            raise Unreadable(SYSTEM, wrong)
        return found

    async def find(self, column: str, values: Sequence[str], columns: Sequence[str], limit: int) -> Sequence[Record]:
        """Records whose column equals one of the values, without regard to capitals."""
        folded = {value.casefold() for value in values if value}
        found: list[Record] = []
        async for page in self.pages(None, [*columns, column], ROWS_ON_A_PAGE):
            hits = [one for one in page.records if holds(one, column, folded)]
            found += [Record(one.key, one.version, {name: one.values.get(name) for name in columns}) for one in hits]
        return found[:limit]

    async def changes(self, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        """Nothing while it is the same file; else all rows of the new one, from where an earlier walk has stopped."""
        index = await self._index()
        at = _place_in(since, index.digest)
        if since is not None and at is None and not since.startswith(f"{FILE} "):
            raise FeedExpired(SYSTEM)
        if at == _END:
            return
        async for page in self._pages(index, at or index.first, columns, ROWS_ON_A_PAGE):
            yield ChangePage(page.records, (), page.place or f"{FILE} {index.digest}")

    async def of_day(self, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        """A day's sums, grouped by those of the asked columns that they can be grouped by."""
        if column != DAY or not self._groups:
            raise UnknownColumn(
                SYSTEM, Answer(field=column), f"{SYSTEM}: {self._table} cannot be asked for by {column}."
            )
        index = await self._index()
        wanted = self._wanted(index, [*dict.fromkeys([*columns, column])])
        sums: dict[str, dict[str, Value]] = {}
        with self._file.opened(index.stamp) as file:
            for row in self._rows_of(file, index, day.isoformat()):
                record, faults = self._record(index, row, wanted)
                if faults:
                    raise self._file.unfit(faults[0][1])
                self._add(sums, record.values)
        records = [Record(key, None, values) for key, values in sums.items()]
        for at in range(0, max(1, len(records)), ROWS_ON_A_PAGE):
            yield records[at : at + ROWS_ON_A_PAGE]

    def _add(self, sums: dict[str, dict[str, Value]], values: Mapping[str, Value]) -> None:
        """Add a row to the sum that it belongs to; its key is what it is grouped by."""
        groups = [name for name in values if name in self._groups]
        key = "/".join(str(values[name] or "") for name in groups)
        before = sums.get(key)
        sums[key] = dict(values) if before is None else before | _added(before, values, groups)

    async def pages(self, place: str | None, columns: Sequence[str], most: int) -> AsyncIterator[RecordPage]:
        """Every row from a place on; raises FeedExpired for one in another file."""
        index = await self._index()
        at = index.first if place is None else _place_in(place, index.digest)
        if at is None or at == _END:
            raise FeedExpired(SYSTEM)
        async for page in self._pages(index, at, columns, most):
            yield page

    async def _pages(self, index: FileIndex, at: Place, columns: Sequence[str], most: int) -> AsyncIterator[RecordPage]:
        """Page by page. A field that cannot be read is left out of its record: whoever needs it reads the record."""
        wanted = self._wanted(index, columns)
        while True:
            records, following = self._some(index, at, wanted, most)
            place = None if following is None else f"{FILE} {index.digest} {following.offset} {following.line}"
            yield RecordPage(records, place)
            if following is None:
                return
            at = following

    def _some(
        self, index: FileIndex, at: Place, wanted: Sequence[ColumnMetadata], most: int
    ) -> tuple[Sequence[Record], Place | None]:
        """So many records from a place on, and where the next one begins."""
        records: list[Record] = []
        with self._file.opened(index.stamp) as file:
            for row in self._file.rows(file, at):
                if len(records) == most:
                    return records, row.place
                records.append(self._record(index, row, wanted)[0])
        return records, None

    # --- rows ---

    def _wanted(self, index: FileIndex, names: Sequence[str]) -> Sequence[ColumnMetadata]:
        """The columns by name. One that the list has and this file lacks is the file's fault; others there are none."""
        known = self._columns(index)
        for name in names:
            if name in known:
                continue
            if self._table in TABLES and name not in TABLES[self._table].columns:
                raise UnknownColumn(SYSTEM, Answer(field=name))
            raise self._file.unfit(f"has no column '{self._site.theirs(self._table, name)}' in its first line")
        return [known[name] for name in names]

    def _row_of(self, file: BinaryIO, index: FileIndex, key: str) -> Row | None:
        return next(self._rows_of(file, index, key), None)

    def _rows_of(self, file: BinaryIO, index: FileIndex, key: str) -> Iterator[Row]:
        rows = (self._file.row_at(file, place) for place in index.places(key))
        return (row for row in rows if self._file.key_of(row, index.columns) == key)

    def _record(
        self, index: FileIndex, row: Row, wanted: Sequence[ColumnMetadata]
    ) -> tuple[Record, Sequence[tuple[str, str]]]:
        """A row as a record, and for each field that cannot be read its column and where and what is wrong."""
        values, faults = {}, []
        for one in wanted:
            theirs = self._site.theirs(self._table, one.name)
            try:
                values[one.name] = self._cells.value(one.type, row.fields[index.columns[theirs]])
            except ValueError as error:
                faults.append((one.name, f"line {row.place.line}: '{theirs}' {error}"))
        return Record(self._file.key_of(row, index.columns), self._version(index, row), values), faults

    def _version(self, index: FileIndex, row: Row) -> str:
        """A keyed hash of the fields; when the site wrote the row is none of them."""
        stamps = {index.columns[name] for name in STAMPS & index.columns.keys()}
        told = "\0".join(field for at, field in enumerate(row.fields) if at not in stamps)
        return blake2b(told.encode("utf-8", "surrogatepass"), key=self._key, digest_size=12).hexdigest()

    # --- the file ---

    async def _index(self) -> FileIndex:
        """The file as it is now, gone through once; raises FileUnfit."""
        async with self._indexing:
            stamp = self._file.stamp()
            if self._known is None or self._known.stamp != stamp:
                self._check_quiet(stamp)
                index = await self._file.index()
                await self._check_last(index)
                self._known = index
            return self._known

    def _check_quiet(self, stamp: Stamp) -> None:
        if self._clock.now() - _written_at(stamp) < timedelta(seconds=self._files.quiet_seconds):
            raise self._file.unfit(f"was written to within the last {self._files.quiet_seconds} seconds")

    async def _check_last(self, index: FileIndex) -> None:
        """Hold a new file against the last one, and remember it."""
        if self._reports is None:
            return
        last, at = _read_last(await self._reports.get(self._name)), _written_at(index.stamp)
        if last is not None and last.digest != index.digest:
            if at < last.at:
                raise self._file.unfit("is older than the one that was read last")
            if len(index) < min(last.count * self._files.least_share, last.count - _FEW):
                raise self._file.unfit(f"has {len(index)} rows, and the one that was read last had {last.count}")
        if last is None or last.digest != index.digest or last.at != at:
            told = {"at": at.isoformat(), "digest": index.digest, "count": len(index)}
            await self._reports.put(self._name, json.dumps(told))


def _added(before: Mapping[str, Value], values: Mapping[str, Value], groups: Sequence[str]) -> dict[str, Value]:
    """Both rows' amounts together."""
    sums: dict[str, Value] = {}
    for name in values.keys() - set(groups):
        both = [one for one in (before[name], values[name]) if isinstance(one, int | Decimal)]
        sums[name] = sum(both) if both else None
    return sums


_END = Place(-1, -1)


def _place_in(text: str | None, digest: str) -> Place | None:
    """Where a place of ours is in the file of this digest; its end where none is named, None for another file."""
    kind, _, rest = (text or "").partition(" ")
    file, _, at = rest.partition(" ")
    if kind != FILE or file != digest:
        return None
    offset, _, line = at.partition(" ")
    return Place(int(offset), int(line)) if offset.isdecimal() and line.isdecimal() else _END


def _written_at(stamp: Stamp) -> datetime:
    return datetime.fromtimestamp(stamp.at_ns / 1e9, UTC)


def _read_last(text: str | None) -> LastFile | None:
    if text is None:
        return None
    told = json.loads(text)
    return LastFile(datetime.fromisoformat(told["at"]), str(told["digest"]), int(told["count"]))


def _id(text: str) -> str:
    try:
        return canonical_id(text)
    except ValueError:
        raise ValueError("holds no id") from None


def _column(name: str, kind: ColumnType) -> ColumnMetadata:
    return ColumnMetadata(name, kind, writable=False, updatable=False)
