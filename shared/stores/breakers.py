"""The breakers of the systems' instances, as rows of one partition."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import BreakerRow

TABLE: Final = "breakers"
_PARTITION: Final = "breakers"


class BreakersStore:
    """`Breakers` over a row store.

    Here equal content is not taken for one's own write: two runs that count the same failure or claim the same probe
    write the same row, and only one of them may think it did. After a lost answer one's own write therefore raises
    RowTaken too; reading again shows it, and a failure may count twice.
    """

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, system: str, instance: str) -> BreakerRow:
        """Read the breaker of an instance; closed, with an empty etag, when it never had a failure."""
        found = await self._table.get(_PARTITION, encode_key(system, instance))
        if found is None:
            return BreakerRow(system, instance)
        return unpack(BreakerRow, found.properties, system=system, instance=instance, etag=found.etag)

    async def put(self, row: BreakerRow) -> BreakerRow:
        """Write the row if it still has this etag (empty: if there is none), return it with the new one; RowTaken."""
        properties = pack(row, without=("system", "instance", "etag"))
        etag = await self._table.write(_PARTITION, encode_key(row.system, row.instance), properties, row.etag)
        return dataclasses.replace(row, etag=etag)
