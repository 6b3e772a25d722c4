"""Pending items, changes that wait for a system or a stopped transfer.

During an outage every message of a transfer ends here, so the rows of a transfer are spread over 16 partitions by a
stable hash of their place; a drain walks them one after the other.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Final

from shared.errors import StoreUnavailable
from shared.stores.places import after_key, place, place_key, place_of_key, read_place
from shared.stores.rows import Row, RowStore, encode_key
from shared.stores.table import Table, need_etag, pack, unpack
from shared.sync.edits import newer
from shared.sync.ports import PendingItem, RowTaken, Side

TABLE: Final = "pending"
_BETWEEN: Final = "\x1f"
_ROUNDS: Final = 50
"""Tries against other writers. Of several writers one gets through in every round."""
BUCKETS: Final = 16
"""Changing it needs a move of the rows: a row is only found in the bucket that this number gives."""


class PendingStore:
    """`PendingItems` over a row store."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def put(self, item: PendingItem) -> None:
        """Let the change wait; a key that waits already keeps `since`, the later editor and a person's word, and gets a
        new etag. Safe to repeat.

        A conflict with another put needs no second try unless we know an editor or a person's word: that put was stored
        after this call began, so whoever drains it reads the source after our change too. A row that a drain removed
        meanwhile is inserted again.
        """
        for _ in range(_ROUNDS):
            found = await self.get(item.transfer, item.side, item.key, item.table)
            if await (self._insert(item) if found is None else self._renew(_joined(item, found))):
                return
            if (
                not (item.editor or item.cause)
                and await self.get(item.transfer, item.side, item.key, item.table) is not None
            ):
                return
        raise StoreUnavailable("A waiting change is written by others again and again.")

    async def get(self, transfer: str, side: Side, key: str, table: str = "") -> PendingItem | None:
        """Read the waiting change of one record; None when it has none. table: of a related record."""
        name = f"{table}{_BETWEEN}{key}" if table else key
        found = await self._table.get(_partition(transfer, bucket_of(side, name)), place_key(side, name))
        return None if found is None else _item(transfer, found)

    async def remove(self, item: PendingItem) -> bool:
        """Remove the item if no news came since it was read; False when some did, and it must be drained again.

        An item that is gone already (removed by another drain, or by a first try whose answer was lost) gives True.
        """
        bucket = _partition(item.transfer, bucket_of(item.side, item.name))
        try:
            await self._table.delete(bucket, place_key(item.side, item.name), need_etag(item.etag))
        except RowTaken:
            return False
        return True

    async def page(self, transfer: str, after: str | None = None, limit: int = 100) -> Sequence[PendingItem]:
        """Items in a fixed order over all buckets, from behind the place `after` ("left/<name>" or "right/<name>").

        Fewer items than `limit` (1 to 1000) mean that the end is reached.
        """
        first = bucket_of(*read_place(after)) if after else 0
        items: list[PendingItem] = []
        for bucket in range(first, BUCKETS):
            start = after_key(after) if bucket == first else None
            items += await self._bucket(transfer, bucket, start, limit - len(items))
            if len(items) >= limit:
                break
        return items

    async def _bucket(self, transfer: str, bucket: int, start: str | None, limit: int) -> list[PendingItem]:
        page = await self._table.list(_partition(transfer, bucket), start, limit)
        return [_item(transfer, row) for row in page.rows]

    async def _renew(self, item: PendingItem) -> bool:
        """Write the waiting row again for its new etag; False when another one was faster, or it is gone."""
        try:
            await self._write(item)
        except RowTaken:
            return False
        return True

    async def _insert(self, item: PendingItem) -> bool:
        """Add the row; False when another put was faster."""
        return await self._renew(dataclasses.replace(item, etag=""))

    async def _write(self, item: PendingItem) -> None:
        bucket = _partition(item.transfer, bucket_of(item.side, item.name))
        properties = pack(item, without=("transfer", "side", "key", "table", "etag"))
        await self._table.write(bucket, place_key(item.side, item.name), properties, item.etag)


def _joined(item: PendingItem, found: PendingItem) -> PendingItem:
    """The news on a key that waits already."""
    editor, cause = newer(item.editor, found.editor), item.cause or found.cause
    return dataclasses.replace(item, since=found.since, etag=found.etag, editor=editor, cause=cause)


def bucket_of(side: Side, key: str) -> int:
    """Return the bucket of a record: the same in every process and version."""
    return hashlib.sha256(place(side, key).encode("utf-8", "surrogatepass")).digest()[0] % BUCKETS


def _partition(transfer: str, bucket: int) -> str:
    return encode_key(transfer, f"{bucket:02d}")


def _item(transfer: str, row: Row) -> PendingItem:
    side, name = place_of_key(row.key)
    table, _, key = name.rpartition(_BETWEEN)
    return unpack(PendingItem, row.properties, transfer=transfer, side=side, key=key, table=table, etag=row.etag)
