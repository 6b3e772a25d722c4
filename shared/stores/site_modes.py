"""The modes of sites, as rows of one partition."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import SiteMode, SiteModeRow

TABLE: Final = "sitemodes"
_PARTITION: Final = "site_modes"


class SiteModesStore:
    """`SiteModes` over a row store."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, system: str, partner: str) -> SiteModeRow:
        """Read the mode of a site towards a partner; none, with an empty etag, when nobody ever chose one."""
        found = await self._table.get(_PARTITION, encode_key(system, partner))
        if found is None:
            return SiteModeRow(system, partner, SiteMode.NONE)
        return unpack(SiteModeRow, found.properties, system=system, partner=partner, etag=found.etag)

    async def put(self, row: SiteModeRow) -> SiteModeRow:
        """Write the mode if the row still has this etag (empty: if there is none) and return it with the new one.

        Raises RowTaken when somebody else was faster. Repeating the same put after a lost answer succeeds.
        """
        properties = pack(row, without=("system", "partner", "etag"))
        etag = await self._table.settle(_PARTITION, encode_key(row.system, row.partner), properties, row.etag)
        return dataclasses.replace(row, etag=etag)
