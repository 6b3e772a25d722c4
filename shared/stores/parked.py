"""Parked items, the work list of people: one partition per transfer, one row per side and key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from shared.stores.places import after_key, place_key, place_of_key
from shared.stores.rows import Row, RowStore, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import Candidate, ParkedItem, Side

TABLE: Final = "parked"


class ParkedStore:
    """`ParkedItems` over a row store. `put` writes the item as given, so it may be repeated."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def put(self, item: ParkedItem) -> None:
        """Park the record, or replace its item."""
        properties = pack(item, without=("transfer", "side", "key", "others", "candidates"))
        if item.others:
            properties["others"] = _json(list(item.others))
        if item.candidates:
            properties["candidates"] = _json([[one.key, one.score, *one.reasons] for one in item.candidates])
        await self._table.upsert(encode_key(item.transfer), place_key(item.side, item.key), properties)

    async def get(self, transfer: str, side: Side, key: str) -> ParkedItem | None:
        """Read the item of one record; None when it is not parked."""
        found = await self._table.get(encode_key(transfer), place_key(side, key))
        return None if found is None else _item(transfer, found)

    async def remove(self, transfer: str, side: Side, key: str) -> bool:
        """Take the item off the list; False when there was none (repeated after a lost answer: False)."""
        return await self._table.delete(encode_key(transfer), place_key(side, key))

    async def page(self, transfer: str, after: str | None = None, limit: int = 100) -> Sequence[ParkedItem]:
        """Items in a fixed order, from behind the place `after` ("left/<key>" or "right/<key>"); 1 to 1000."""
        page = await self._table.list(encode_key(transfer), after_key(after), limit)
        return [_item(transfer, row) for row in page.rows]


def _item(transfer: str, row: Row) -> ParkedItem:
    side, key = place_of_key(row.key)
    others = tuple(json.loads(str(row.properties.get("others", "[]"))))
    listed = json.loads(str(row.properties.get("candidates", "[]")))
    candidates = tuple(Candidate(other, score, tuple(reasons)) for other, score, *reasons in listed)
    known: dict[str, Any] = {"side": side, "key": key, "others": others, "candidates": candidates}
    return unpack(ParkedItem, row.properties, transfer=transfer, **known)


def _json(value: Sequence[object]) -> str:
    return json.dumps(value, separators=(",", ":"))
