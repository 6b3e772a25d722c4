"""Watermarks of walks, as rows of one partition."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import Watermark

TABLE: Final = "watermarks"
_PARTITION: Final = "watermarks"


class WatermarksStore:
    """`Watermarks` over a row store."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, name: str) -> Watermark | None:
        """Read where a walk goes on; None when it never began."""
        found = await self._table.get(_PARTITION, encode_key(name))
        return None if found is None else unpack(Watermark, found.properties, etag=found.etag)

    async def put(self, name: str, mark: Watermark) -> Watermark:
        """Write the watermark if it still has this etag (empty: if there is none) and return it with the new one.

        Raises RowTaken when another walk went first; a watermark that is already there with the same content counts
        as written, so the call may be repeated after a lost answer.
        """
        properties = pack(mark, without=("etag",))
        etag = await self._table.settle(_PARTITION, encode_key(name), properties, mark.etag)
        return dataclasses.replace(mark, etag=etag)
