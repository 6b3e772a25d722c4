"""The switches of the transfers, as rows of one partition."""

from __future__ import annotations

import dataclasses
from typing import Final

from shared.stores.rows import RowStore, encode_key
from shared.stores.table import Table, pack, unpack
from shared.sync.ports import Mode, Switch

TABLE: Final = "modes"
_PARTITION: Final = "modes"


class ModesStore:
    """`Modes` over a row store."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, transfer: str) -> Mode:
        """Read the switch of a transfer; off, with an empty etag, when nobody ever moved it."""
        found = await self._table.get(_PARTITION, encode_key(transfer))
        if found is None:
            return Mode(transfer, Switch.OFF)
        return unpack(Mode, found.properties, transfer=transfer, etag=found.etag)

    async def put(self, mode: Mode) -> Mode:
        """Write the switch if it still has this etag (empty: if there is none) and return it with the new one.

        Raises RowTaken when somebody else moved it first: a person must not switch on again, unseen, what a brake has
        just stopped. Repeating the same put after a lost answer succeeds.
        """
        properties = pack(mode, without=("transfer", "etag"))
        etag = await self._table.settle(_PARTITION, encode_key(mode.transfer), properties, mode.etag)
        return dataclasses.replace(mode, etag=etag)
