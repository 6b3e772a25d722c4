"""The bytes of a file of the export module as rows: where each begins, on which line, and its fields as text.

After the vendor's description of its file interface: records end with CR LF, fields are parted by a separator, texts
stand in double quotes with inner quotes doubled, and a line break within quotes parts the sub-fields of one field.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

BOM = "\ufeff"


class Broken(Exception):
    """From this line on the file is no rows; says why, never what stands there."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line} {why}")
        self.line = line


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row begins."""

    offset: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it begins."""

    place: Place
    fields: Sequence[str]


def rows(
    file: BinaryIO, separator: str, encoding: str, place: Place = Place(), seen: Callable[[bytes], object] | None = None
) -> Iterator[Row]:
    """The rows from a place on, one at a time; raises Broken. `seen` gets every byte that is read."""
    file.seek(place.offset)
    lines = _Lines(file, encoding, place, seen)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        begins = lines.place
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            raise Broken(begins.line, "is no row of fields (look for a quotation mark that is not doubled)") from None
        except UnicodeDecodeError:
            raise Broken(lines.place.line, f"is not in {encoding}") from None
        if not lines.ended:
            raise Broken(begins.line, "has no end: the file is half-written")
        if fields:
            yield Row(begins, fields)


class _Lines:
    """The lines of a file as text; knows where the next one begins, and whether the last one had an end."""

    def __init__(self, file: BinaryIO, encoding: str, place: Place, seen: Callable[[bytes], object] | None) -> None:
        self._file = file
        self._encoding = encoding
        self._seen = seen
        self.place = place
        self.ended = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._file.readline()
        if not raw:
            raise StopIteration
        if self._seen is not None:
            self._seen(raw)
        text = raw.decode(self._encoding)
        if self.place.offset == 0:
            text = text.removeprefix(BOM)
        self.ended = raw.endswith(b"\n")
        self.place = Place(self.place.offset + len(raw), self.place.line + 1)
        return text
