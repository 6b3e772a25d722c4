"""Which environment each system's links were made for, as rows of one partition."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import EnvironmentRow

TABLE: Final = "environments"
_PARTITION: Final = "environments"


class EnvironmentsStore:
    """`Environments` over a row store."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, system: str) -> EnvironmentRow | None:
        """Read the environment of a system; None when it was never used."""
        found = await self._table.get(_PARTITION, encode_key(system))
        return None if found is None else unpack(EnvironmentRow, found.properties, system=system, etag=found.etag)

    async def put(self, row: EnvironmentRow) -> EnvironmentRow:
        """Write the row if it still has this etag (empty: if there is none) and return it with the new one.

        Raises RowTaken when somebody else was faster; repeating the same put after a lost answer succeeds.
        """
        properties = pack(row, without=("system", "etag"))
        etag = await self._table.settle(_PARTITION, encode_key(row.system), properties, row.etag)
        return dataclasses.replace(row, etag=etag)
