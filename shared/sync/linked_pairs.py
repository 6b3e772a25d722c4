"""All linked pairs of a definition with both records as they are now, page by page; for reports, not for transfers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from shared.sync.context import Prepared
from shared.sync.ports import LinkRow, Links, LinkState, Record, Side

PAGE = 100


@dataclass(frozen=True, slots=True)
class LinkedPair:
    """One link's home row and its two records; None for one that does not exist any more."""

    row: LinkRow
    left: Record | None
    right: Record | None


async def linked_pairs(
    links: Links, prepared: Prepared, columns: Mapping[Side, Sequence[str]]
) -> AsyncIterator[list[LinkedPair]]:
    """Every link, a hundred rows at a time, read through the connectors of `prepared` with one call for each side."""
    last = None
    while rows := await links.page(prepared.pair, Side.LEFT, last, PAGE):
        last = rows[-1].key
        yield await _read(prepared, [row for row in rows if row.state is LinkState.LINKED], columns)


async def _read(prepared: Prepared, rows: Sequence[LinkRow], columns: Mapping[Side, Sequence[str]]) -> list[LinkedPair]:
    found: dict[Side, Mapping[str, Record]] = {Side.LEFT: {}, Side.RIGHT: {}}
    for side in Side if rows else ():
        keys = [row.key_on(side) for row in rows]
        table = prepared.definition.table(side).table
        found[side] = await prepared.connector(side).read(table, keys, columns[side])
    return [LinkedPair(row, found[Side.LEFT].get(row.key), found[Side.RIGHT].get(row.other)) for row in rows]
