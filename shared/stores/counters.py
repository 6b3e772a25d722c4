"""Counts within windows of time, for brakes: one partition per counter, one row per window."""

from __future__ import annotations

from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, unpack_number
from shared.sync.ports import Clock

TABLE: Final = "counters"
_COUNT: Final = "count"


class CountersStore:
    """`Counters` over a row store. The window is text of the caller's choice, for instance the hour."""

    def __init__(self, rows: RowStore, clock: Clock) -> None:
        self._table = Table(rows, TABLE)
        self._clock = clock

    async def add(self, name: str, window: str, amount: int) -> int:
        """Add to the count and return the sum; repeated after a lost answer it may count twice, never less."""
        return await self._table.add(encode_key(name), encode_key(window), _COUNT, amount, self._clock)

    async def read(self, name: str, window: str) -> int:
        """Return the count; 0 for a window in which nothing was counted."""
        found = await self._table.get(encode_key(name), encode_key(window))
        return 0 if found is None else unpack_number(found, _COUNT)
