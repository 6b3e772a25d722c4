"""Pairs that a person keeps apart: one partition per pair and left record, one row per right record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared.stores.rows import Row, RowStore, decode_key, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import NeverMatch

TABLE: Final = "nevermatch"
_MOST: Final = 1000


class NeverMatchStore:
    """`NeverMatches` over a row store. Every call may be repeated."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def has(self, pair: str, left: str, right: str) -> bool:
        """Whether the two are kept apart."""
        return await self._table.get(encode_key(pair, left), encode_key(right)) is not None

    async def put(self, apart: NeverMatch) -> None:
        """Keep two records apart; again: with the newer reason."""
        properties = pack(apart, without=("pair", "left", "right"))
        await self._table.upsert(encode_key(apart.pair, apart.left), encode_key(apart.right), properties)

    async def remove(self, pair: str, left: str, right: str) -> bool:
        """Keep them apart no longer; False when they were not."""
        return await self._table.delete(encode_key(pair, left), encode_key(right))

    async def of(self, pair: str, left: str) -> Sequence[NeverMatch]:
        """The records that one left record is kept apart from."""
        page = await self._table.list(encode_key(pair, left), None, _MOST)
        return [_apart(pair, left, row) for row in page.rows]


def _apart(pair: str, left: str, row: Row) -> NeverMatch:
    (right,) = decode_key(row.key)
    return unpack(NeverMatch, row.properties, pair=pair, left=left, right=right)
