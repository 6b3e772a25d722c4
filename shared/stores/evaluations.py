"""Which evaluation of an opportunity was written last: a row for each opportunity, with ids and times only."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.sales_cockpit.ports import EvaluationRow
from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, pack, unpack

TABLE: Final = "evaluations"
_ROW: Final = "newest"


class EvaluationsStore:
    """`EvaluationRows` over a row store. Every opportunity is a partition, because writes come one at a time."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, crm: str, opportunity: str) -> EvaluationRow | None:
        """Read the row of an opportunity; None when it was never rated."""
        found = await self._table.get(encode_key(crm, opportunity), _ROW)
        if found is None:
            return None
        return unpack(EvaluationRow, found.properties, crm=crm, opportunity=opportunity, etag=found.etag)

    async def put(self, row: EvaluationRow) -> EvaluationRow:
        """Write the row if it still has this etag (empty: if there is none) and return it with the new one.

        Raises RowTaken. Whoever writes the same evaluation wishes the same, so an equal row is as good as one's own.
        """
        properties = pack(row, without=("crm", "opportunity", "etag"))
        etag = await self._table.settle(encode_key(row.crm, row.opportunity), _ROW, properties, row.etag)
        return dataclasses.replace(row, etag=etag)
