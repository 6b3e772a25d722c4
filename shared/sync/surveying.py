"""Reads from the systems everything about the tables that definitions name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.errors import UnknownColumn
from shared.sync.closest import tables_like
from shared.sync.confirming import tables_of
from shared.sync.definition import Definition, Index
from shared.sync.joined import knowing_joined
from shared.sync.ports import Capabilities, ColumnMetadata, Connector, Side, TableLabel, TableMetadata

Place = tuple[str, str]
"""A table: system and name."""


@dataclass(frozen=True)
class Survey:
    """What the systems told. tables: None where a system has no such table; offered: then the tables that it may be."""

    tables: Mapping[Place, TableMetadata | None] = field(default_factory=dict)
    capabilities: Mapping[Place, Capabilities] = field(default_factory=dict)
    offered: Mapping[Place, Sequence[TableLabel]] = field(default_factory=dict)

    def column(self, place: Place, name: str) -> ColumnMetadata | None:
        """A column as a definition names it; a dotted one is that of the table behind its reference, unless it is the
        table's own."""
        near = self.near(place, name)
        table, far = self.tables.get(place), name[len(near) + 1 :]
        column = table.columns.get(near) if table else None
        if column is None or not far:
            return column
        behind = self.tables.get((place[0], column.target)) if column.target else None
        return behind.columns.get(far) if behind else None

    def near(self, place: Place, name: str) -> str:
        """The table's own column that a name stands for: that of the reference for one behind it."""
        table = self.tables.get(place)
        return name if table is not None and name in table.columns else name.partition(".")[0]


async def survey(connectors: Mapping[str, Connector], index: Index, *, only: str = "") -> Survey:
    """Ask the systems of an index, or only one of them, about its tables and those behind their references, about the
    tables that are declared with those that they refer to, and about those that answer checks.

    Raises ConnectorError.
    """
    tables: dict[Place, TableMetadata | None] = {}
    named = [place for one in index.definitions for place in named_tables(one)]
    named += [(one.system, name) for one in index.tables for name in (one.table, *one.targets)]
    named += [(system, table) for system, table, *_ in checked_tables(index) if system in connectors]
    for place in dict.fromkeys(named):
        if only in ("", place[0]):
            tables[place] = await _table(connectors, place)
    for place in dict.fromkeys(_behind(index, tables)):
        if place not in tables:
            tables[place] = await _table(connectors, place)
    known = {place: connectors[place[0]].capabilities(place[1]) for place, found in tables.items() if found}
    ours = {(one.system, one.table) for one in index.tables if one.is_ours}
    unknown = [place for place, found in tables.items() if not found and place not in ours]
    return Survey(tables, known, {place: await tables_like(connectors[place[0]], place[1]) for place in unknown})


async def _table(connectors: Mapping[str, Connector], place: Place) -> TableMetadata | None:
    try:
        return knowing_joined(await connectors[place[0]].survey(place[1]))
    except UnknownColumn:
        return None


def named_tables(definition: Definition) -> Iterator[Place]:
    """The tables that a definition names: its own, those whose changes concern it, those of its conditions."""
    for side in Side:
        yield definition.table(side).system, definition.table(side).table
    for transfer in definition.transfers:
        system = definition.table(transfer.source).system
        for table in transfer.also_on:
            yield system, table
        for condition in transfer.only_if:
            if condition.related:
                yield system, condition.related.table


def checked_tables(index: Index) -> Iterator[tuple[str, str, Sequence[str], int]]:
    """The tables that the installation's checks read: system, table, columns, line."""
    return tables_of(index.confirming) if index.confirming else iter(())


def _behind(index: Index, tables: Mapping[Place, TableMetadata | None]) -> Iterator[Place]:
    named = [(definition.table(side), definition.columns(side)) for definition in index.definitions for side in Side]
    read: list[tuple[Place, Sequence[str]]] = [((table.system, table.table), columns) for table, columns in named]
    read += [((system, table), columns) for system, table, columns, _ in checked_tables(index)]
    for place, names in read:
        for name in names:
            near, _, far = name.partition(".")
            table = tables.get(place)
            column = table.columns.get(near) if table else None
            if far and column and column.target:
                yield place[0], column.target
