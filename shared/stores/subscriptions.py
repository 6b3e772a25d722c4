"""What is known of the subscriptions that tell us of changes, as rows of one partition: some dozens at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared.stores.rows import Row, RowStore, decode_key, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import SubscriptionRow

TABLE: Final = "subscriptions"
_PARTITION: Final = "subscriptions"
_AT_ONCE: Final = 1000
_KEY: Final = ("system", "instance", "table")


class SubscriptionsStore:
    """`SubscriptionRows` over a row store. `put` writes the row as given, so it may be repeated."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, system: str, instance: str, table: str) -> SubscriptionRow | None:
        """Read the row of one table; None when nobody looked for its subscription yet."""
        found = await self._table.get(_PARTITION, encode_key(system, instance, table))
        return None if found is None else _row(found)

    async def put(self, row: SubscriptionRow) -> None:
        """Write the row, whatever is there."""
        key = encode_key(row.system, row.instance, row.table)
        await self._table.upsert(_PARTITION, key, pack(row, without=_KEY))

    async def remove(self, row: SubscriptionRow) -> None:
        """Delete the row; one that is gone already is fine."""
        await self._table.delete(_PARTITION, encode_key(row.system, row.instance, row.table))

    async def all(self) -> Sequence[SubscriptionRow]:
        """Every row."""
        page = await self._table.list(_PARTITION, None, _AT_ONCE)
        return [_row(row) for row in page.rows]


def _row(row: Row) -> SubscriptionRow:
    system, instance, table = decode_key(row.key)
    return unpack(SubscriptionRow, row.properties, system=system, instance=instance, table=table)
