"""A file gone through once: is it whole, where does each row begin, what is it as a whole. No values are kept.

What is kept in memory is, for each row, 24 bytes: a hash of what it is looked up by (its id; the day of a sum), where
it begins and on which line. So rows are found without reading the others, and memory does not grow with what they hold.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from shared.connectors.postoffice.csv_rows import Broken, Place, Row, rows
from shared.connectors.postoffice.errors import SYSTEM
from shared.connectors.postoffice.site import Files
from shared.errors import FileUnfit
from shared.sync.ports import Clock

_ROWS_AT_ONCE = 2000
"""After so many rows others get their turn."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """By what a file is known to be the same one, without reading it."""

    at_ns: int
    size: int
    number: int


@dataclass(frozen=True, slots=True)
class FileIndex:
    """A file that is whole. digest: keyed hash of all of it; columns: where each named field stands in a row."""

    stamp: Stamp
    digest: str
    columns: Mapping[str, int]
    first: Place
    hashes: Sequence[int]
    offsets: Sequence[int]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.hashes)

    def places(self, key: str) -> Iterator[Place]:
        """Where the rows of a key may begin, from the top down."""
        wanted = hash_of(key)
        at = bisect_left(self.hashes, wanted)
        while at < len(self.hashes) and self.hashes[at] == wanted:
            yield Place(self.offsets[at], self.lines[at])
            at += 1


@dataclass(frozen=True, slots=True)
class LookedUpBy:
    """By which column the rows of a file are looked up. read: a field's key; raises ValueError, saying what it is not.
    alone: no other row has it."""

    column: str
    read: Callable[[str], str]
    alone: bool


class OneFile:
    """The file that stands in the place of one list."""

    def __init__(self, path: Path, form: Files, key: bytes, by: LookedUpBy, clock: Clock) -> None:
        self.path = path
        self._form = form
        self._key = key
        self.by = by
        self._clock = clock

    def unfit(self, why: str) -> FileUnfit:
        """The error that says why the file cannot be used."""
        return FileUnfit(SYSTEM, self.path.name, why)

    def stamp(self) -> Stamp:
        """What the file is at this moment; raises FileUnfit where there is none."""
        try:
            return _stamp_of(self.path.stat())
        except FileNotFoundError:
            raise self.unfit("is not there") from None
        except OSError as error:
            raise self.unfit(f"cannot be read ({type(error).__name__})") from None

    @contextmanager
    def opened(self, stamp: Stamp) -> Iterator[BinaryIO]:
        """The file of this stamp, open for reading; raises FileUnfit if it is another one, or has been written to by
        the end of the reading."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise self.unfit(f"cannot be read ({type(error).__name__})") from None
        with file:
            self._check_is(stamp, file)
            try:
                yield file
            finally:  # what is wrong with a file that is being changed is nobody's fault
                self._check_is(stamp, file)

    def _check_is(self, stamp: Stamp, file: BinaryIO) -> None:
        if _stamp_of(os.fstat(file.fileno())) != stamp:
            raise self.unfit("has just been replaced")

    def rows(self, file: BinaryIO, place: Place) -> Iterator[Row]:
        """The rows from a place on; raises FileUnfit for what is none."""
        try:
            yield from rows(file, self._form.separator, self._form.encoding, place)
        except Broken as broken:
            raise self.unfit(str(broken)) from None

    async def index(self) -> FileIndex:
        """Go through the file; raises FileUnfit for one that is not whole, or that is being written meanwhile."""
        stamp = self.stamp()
        with self.opened(stamp) as file:
            try:
                return await self._gone_through(file, stamp)
            except Broken as broken:
                raise self.unfit(str(broken)) from None

    async def _gone_through(self, file: BinaryIO, stamp: Stamp) -> FileIndex:
        whole = blake2b(key=self._key, digest_size=16)
        found = rows(file, self._form.separator, self._form.encoding, seen=whole.update)
        header = next(found, None)
        if header is None:
            raise self.unfit("is empty: its first line has to name the columns")
        columns = self._columns(header)
        hashes, offsets, lines = array("Q"), array("Q"), array("Q")
        first: Place | None = None
        for count, row in enumerate(found):
            first = first or row.place
            self._check_length(row, len(header.fields))
            hashes.append(hash_of(self.key_of(row, columns)))
            offsets.append(row.place.offset)
            lines.append(row.place.line)
            if count % _ROWS_AT_ONCE == 0:
                await self._clock.sleep(0)
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        ordered = [array("Q", (one[at] for at in order)) for one in (hashes, offsets, lines)]
        end = Place(file.tell(), 0)
        index = FileIndex(stamp, whole.hexdigest(), columns, first or end, *ordered)
        if self.by.alone:
            self._check_doubles(file, index)
        return index

    def _columns(self, header: Row) -> Mapping[str, int]:
        names = [name.strip() for name in header.fields]
        if self.by.column not in names:  # then these may be no names at all, and are not told
            raise self.unfit(f"has no column '{self.by.column}' in its first line")
        doubled = next((name for name in names if name and names.count(name) > 1), None)
        if doubled is not None:
            raise self.unfit(f"names the column '{doubled}' twice")
        return {name: at for at, name in enumerate(names) if name}

    def _check_length(self, row: Row, wanted: int) -> None:
        if len(row.fields) != wanted:
            raise self.unfit(f"line {row.place.line} has {len(row.fields)} fields, and the first line has {wanted}")

    def key_of(self, row: Row, columns: Mapping[str, int]) -> str:
        """What a row is looked up by; raises FileUnfit, naming the line, for what is no key."""
        try:
            return self.by.read(row.fields[columns[self.by.column]])
        except ValueError as error:
            raise self.unfit(f"line {row.place.line}: '{self.by.column}' {error}") from None

    def _check_doubles(self, file: BinaryIO, index: FileIndex) -> None:
        """Refuse two rows with the same id: which of them counts, nobody knows."""
        at = index.columns[self.by.column]
        for before, here in zip(range(len(index)), range(1, len(index)), strict=False):
            if index.hashes[before] != index.hashes[here]:
                continue
            first, second = (self.row_at(file, Place(index.offsets[one], index.lines[one])) for one in (before, here))
            if first.fields[at] == second.fields[at]:
                lines = " and ".join(str(one) for one in sorted((first.place.line, second.place.line)))
                raise self.unfit(f"lines {lines} have the same id")

    def row_at(self, file: BinaryIO, place: Place) -> Row:
        """The row that begins at a place."""
        return next(self.rows(file, place))


def _stamp_of(told: os.stat_result) -> Stamp:
    return Stamp(told.st_mtime_ns, told.st_size, told.st_ino)


def hash_of(key: str) -> int:
    """An id as a number of 64 bits."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
