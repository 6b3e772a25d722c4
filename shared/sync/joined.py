"""One text over several columns: a name that the other system holds in one piece, an address that needs a second line.

In a definition such columns are written as one: `firstname+lastname` are words of one text, of which the last stands in
the last column; `addressLine1/addressLine2` are lines, of which the first takes as much as fits. `Joining` stands
before a connector: reads join, writes split, and nobody else knows that there are several columns. Joining what was
split gives the text again, but for surplus blanks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

from shared.errors import Answer, ConnectorError, Refused, UnknownColumn
from shared.sync.passing_on import PassingOn
from shared.sync.ports import (
    Change,
    ChangePage,
    ColumnMetadata,
    ColumnType,
    NewRecord,
    Record,
    RecordPage,
    Right,
    TableMetadata,
    Value,
)
from shared.sync.values import canonical, length

WORDS, LINES = "+", "/"
Written = TypeVar("Written", NewRecord, Change)


def parts_of(column: str) -> tuple[str, ...]:
    """The columns that are written as one; of an ordinary column itself."""
    return tuple(column.split(WORDS if WORDS in column else LINES))


def is_joined(column: str) -> bool:
    return WORDS in column or LINES in column


def joined(parts: Sequence[Value]) -> Value:
    """The parts as one text; no value if all are blank."""
    return " ".join(text for part in parts if (text := canonical(part))) or None


def split(column: str, text: str, limits: Mapping[str, int | None]) -> dict[str, Value] | None:
    """What each of the columns gets of a text, by their lengths; None if it cannot be told apart so that all fit."""
    columns = parts_of(column)
    found = _words(text, len(columns)) if WORDS in column else _lines(text, [limits.get(one) for one in columns])
    if found is None or not all(_fits(part, limits.get(one)) for one, part in zip(columns, found, strict=True)):
        return None
    return {one: part or None for one, part in zip(columns, found, strict=True)}


def shortened(column: str, text: str, limits: Mapping[str, int | None]) -> str:
    """As many words from the beginning as can be told apart so that all fit."""
    while text and split(column, text, limits) is None:
        text = text.rpartition(" ")[0].rstrip()
    return text


def _fits(text: str, limit: int | None) -> bool:
    return limit is None or length(text) <= limit


def _words(text: str, count: int) -> list[str]:
    """The last word in the last column, those before it in the columns between, all others in the first."""
    *rest, last = text.split() or [""]
    between: list[str] = []
    for _ in range(count - 2):
        between = [rest.pop(), *between] if len(rest) > 1 else [*between, ""]
    return [" ".join(rest), *between, last]


def _lines(text: str, limits: Sequence[int | None]) -> list[str] | None:
    """As much as fits in each column, broken at blanks only."""
    lines, rest = list[str](), " ".join(text.split())
    for limit in limits:
        line = _beginning(rest, limit)
        lines.append(line)
        rest = rest[len(line) :].lstrip()
    return None if rest else lines


def _beginning(text: str, limit: int | None) -> str:
    """The longest beginning that fits and ends before a blank."""
    line = text
    while not _fits(line, limit):
        line = line.rpartition(" ")[0]
    return line


class _Columns(Mapping[str, ColumnMetadata]):
    """A table's columns, which also knows those that are written as one."""

    def __init__(self, columns: Mapping[str, ColumnMetadata]) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> ColumnMetadata:
        if name in self._columns or not is_joined(name):
            return self._columns[name]
        return _as_one(name, [self._columns[part] for part in parts_of(name)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _as_one(name: str, parts: Sequence[ColumnMetadata]) -> ColumnMetadata:
    """What can be done with the columns together. Its type is that of the first that is no text, if there is one."""
    limits = [part.max_length for part in parts]
    whole = None if None in limits else sum(limit or 0 for limit in limits) + len(limits) - 1
    types = [part.type for part in parts if part.type is not ColumnType.TEXT]
    return ColumnMetadata(
        name,
        types[0] if types else ColumnType.TEXT,
        whole,
        writable=all(part.writable for part in parts),
        updatable=all(part.updatable for part in parts),
        required=any(part.required for part in parts),
        denied=frozenset[Right]().union(*(part.denied for part in parts)),
    )


def knowing_joined(table: TableMetadata) -> TableMetadata:
    """The table with columns that can also be asked for as joined ones."""
    return replace(table, columns=_Columns(table.columns))


@dataclass
class Joining(PassingOn):
    """A connector whose joined columns are read as one text and written as several."""

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        found = await self.inner.read(table, keys, _single(columns))
        return {key: _read(record, columns) for key, record in found.items()}

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        if is_joined(column):
            detail = f"{self.system}: {column} cannot be searched, since no single column holds it."
            raise UnknownColumn(self.system, Answer(field=column), detail)
        found = await self.inner.find(table, column, values, _single(columns), limit)
        return [_read(record, columns) for record in found]

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        async for page in self.inner.changes(table, since, _single(columns)):
            yield replace(page, records=[_read(record, columns) for record in page.records])

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        async for page in self.inner.pages(table, place, _single(columns), most):
            yield replace(page, records=[_read(record, columns) for record in page.records])

    async def of_day(
        self, table: str, column: str, day: date, columns: Sequence[str]
    ) -> AsyncIterator[Sequence[Record]]:
        async for records in self.inner.of_day(table, column, day, _single(columns)):
            yield [_read(record, columns) for record in records]

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        told = await self._written(table, values)
        made = await self.inner.create(table, told, _single(columns), key=key, within_seconds=within_seconds)
        return _read(made, columns)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        told, results = await self._all_written(table, wanted)
        made = await self.inner.create_many(table, list(told.values()), _single(columns), within_seconds=within_seconds)
        return _in_order(results | dict(zip(told, made, strict=True)), columns)

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        told = await self._written(table, values)
        return _read(await self.inner.update(table, key, told, _single(columns), version=version), columns)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        told, results = await self._all_written(table, changes)
        made = await self.inner.update_many(table, list(told.values()), _single(columns), within_seconds=within_seconds)
        return _in_order(results | dict(zip(told, made, strict=True)), columns)

    async def metadata(self, table: str) -> TableMetadata:
        return knowing_joined(await self.inner.metadata(table))

    async def survey(self, table: str) -> TableMetadata:
        return knowing_joined(await self.inner.survey(table))

    async def _all_written(
        self, table: str, wanted: Sequence[Written]
    ) -> tuple[dict[int, Written], dict[int, Record | ConnectorError]]:
        """By place: the records with their values by single columns, and the errors of those that cannot be split."""
        told: dict[int, Written] = {}
        refused: dict[int, Record | ConnectorError] = {}
        for place, one in enumerate(wanted):
            try:
                told[place] = replace(one, values=await self._written(table, one.values))
            except Refused as error:
                refused[place] = error
        return told, refused

    async def _written(self, table: str, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """The values by single columns; raises Refused for a text that cannot be split."""
        if not any(map(is_joined, values)):
            return values
        limits = {name: one.max_length for name, one in (await self.inner.metadata(table)).columns.items()}
        single: dict[str, Value] = {}
        for column, value in values.items():
            single |= self._split(column, value, limits) if is_joined(column) else {column: value}
        return single

    def _split(self, column: str, value: Value, limits: Mapping[str, int | None]) -> dict[str, Value]:
        if (found := split(column, canonical(value) or "", limits)) is None:
            raise Refused(self.system, Answer(field=column), f"{self.system}: the text does not fit into {column}.")
        return found


def _single(columns: Sequence[str]) -> Sequence[str]:
    """The columns with joined ones taken apart, each once."""
    if not any(map(is_joined, columns)):
        return columns
    return tuple(dict.fromkeys(part for column in columns for part in parts_of(column)))


def _in_order(results: Mapping[int, Record | ConnectorError], columns: Sequence[str]) -> list[Record | ConnectorError]:
    """The results in the order of their places."""
    ordered = [results[place] for place in sorted(results)]
    return [_read(one, columns) if isinstance(one, Record) else one for one in ordered]


def _read(record: Record, columns: Sequence[str]) -> Record:
    """The record as it was asked for, with joined columns as one text."""
    wanted = [column for column in columns if is_joined(column)]
    if not wanted:
        return record
    values = {name: value for name, value in record.values.items() if name in columns}
    for column in wanted:
        values[column] = joined([record.values.get(part) for part in parts_of(column)])
    return replace(record, values=values)
