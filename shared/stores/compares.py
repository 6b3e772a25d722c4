"""How far the full compares of the pairs are, as rows of one partition."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import CompareRow

TABLE: Final = "compares"
_PARTITION: Final = "compares"


class ComparesStore:
    """`CompareRows` over a row store."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, pair: str) -> CompareRow:
        """Read how far the compare of a pair is; one that never began, with an empty etag."""
        found = await self._table.get(_PARTITION, encode_key(pair))
        return CompareRow(pair) if found is None else unpack(CompareRow, found.properties, pair=pair, etag=found.etag)

    async def put(self, row: CompareRow) -> CompareRow:
        """Write the row if it still has this etag (empty: if there is none), return it with the new one; RowTaken.

        A row that is already there with the same content counts as written: its run and place name the writer.
        """
        properties = pack(row, without=("pair", "etag"))
        etag = await self._table.settle(_PARTITION, encode_key(row.pair), properties, row.etag)
        return dataclasses.replace(row, etag=etag)
