"""Numbers of our own series, handed out once even by several processes."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table
from shared.sync.ports import Clock

TABLE: Final = "numbers"
_ROW: Final = "series"


class NumbersStore:
    """`Numbers` over a row store; each series begins with 1.

    block: how many numbers one write takes from the store. What is left of a block when the process ends, and what
    was taken when an answer got lost, stays a gap.
    """

    def __init__(self, rows: RowStore, clock: Clock, block: int = 1) -> None:
        if block < 1:
            raise ValueError(f"block is {block}, it must be at least 1")
        self._table = Table(rows, TABLE)
        self._clock = clock
        self._block = block
        self._taken: defaultdict[str, deque[int]] = defaultdict(deque)

    async def next(self, series: str) -> int:
        """Hand out the next number; raises StoreUnavailable when the store does not answer."""
        taken = self._taken[series]
        if not taken:
            last = await self._table.add(encode_key(series), _ROW, "last", self._block, self._clock)
            taken.extend(range(last - self._block + 1, last + 1))
        return taken.popleft()
