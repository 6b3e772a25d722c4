"""Links between records, tombstones of former ones and claims on future ones, as rows.

A record's row stands in the partition of its pair and side under its own key, so every question of a transfer is one
point read, and a page of a pair is one range of one partition.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from shared.stores.rows import Properties, RowStore, Value, decode_key, encode_key
from shared.stores.table import Table, need_etag, pack, unpack
from shared.sync.ports import Claim, LinkRow, Side

TABLE: Final = "links"
_CLAIM: Final = "claim_"
_OUTSIDE: Final = ("pair", "side", "key", "claim", "etag")
"""Fields that are not properties under their own name: parts of the key, the flattened claim, the store's etag."""


class LinksStore:
    """`Links` over a row store.

    Insert and replace may be repeated after a lost answer: a row that already holds exactly what is to be written is
    one's own, because a claim in it names its attempt and the run that owns it; it is returned as written.
    """

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, pair: str, side: Side, key: str) -> LinkRow | None:
        """Read the row of one record; None when it has none."""
        found = await self._table.get(encode_key(pair, side), encode_key(key))
        return None if found is None else _row(pair, side, key, found.properties, found.etag)

    async def insert(self, row: LinkRow) -> LinkRow:
        """Add the row and return it with its etag; raises RowTaken when the record has another one."""
        return await self._write(row, "")

    async def replace(self, row: LinkRow) -> LinkRow:
        """Replace the row that had this etag and return the new one; raises RowTaken when it has changed or gone."""
        return await self._write(row, need_etag(row.etag))

    async def delete(self, row: LinkRow) -> None:
        """Delete the row that has this etag; one that is gone already is fine; raises RowTaken when it has changed."""
        await self._table.delete(encode_key(row.pair, row.side), encode_key(row.key), need_etag(row.etag))

    async def page(self, pair: str, side: Side, after: str | None = None, limit: int = 100) -> Sequence[LinkRow]:
        """Rows in the order of their encoded keys, from behind the key `after`; 1 to 1000 at once."""
        page = await self._table.list(encode_key(pair, side), encode_key(after) if after else None, limit)
        return [_row(pair, side, decode_key(row.key)[0], row.properties, row.etag) for row in page.rows]

    async def _write(self, row: LinkRow, etag: str) -> LinkRow:
        place = encode_key(row.pair, row.side), encode_key(row.key)
        return dataclasses.replace(row, etag=await self._table.settle(*place, _properties(row), etag))


def _properties(row: LinkRow) -> dict[str, Value]:
    claim = pack(row.claim, prefix=_CLAIM) if row.claim else {}
    return pack(row, without=_OUTSIDE) | claim


def _row(pair: str, side: Side, key: str, properties: Properties, etag: str) -> LinkRow:
    claimed = any(name.startswith(_CLAIM) for name in properties)
    claim = unpack(Claim, properties, prefix=_CLAIM) if claimed else None
    return unpack(LinkRow, properties, pair=pair, side=side, key=key, claim=claim, etag=etag)
