"""Reports: texts of any length by name, packed, one row each."""

from __future__ import annotations

import zlib
from typing import Final

from shared.errors import StoreUnavailable
from shared.stores.rows import MAX_PROPERTY_BYTES, RowStore, encode_key
from shared.stores.table import Table

TABLE: Final = "reports"
_PARTITION: Final = "reports"
_PART: Final = MAX_PROPERTY_BYTES - 1024
MOST_BYTES: Final = 15 * _PART
"""What a row takes."""


class ReportsStore:
    """`Reports` over a row store."""

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, name: str) -> str | None:
        """The text; None when there is none."""
        row = await self._table.get(_PARTITION, encode_key(name))
        if row is None:
            return None
        parts = [row.properties[name] for name in sorted(row.properties) if name.startswith("part")]
        try:
            return zlib.decompress(b"".join(part for part in parts if isinstance(part, bytes))).decode("utf-8")
        except (zlib.error, UnicodeDecodeError):
            raise StoreUnavailable("A report in the store is damaged; delete its row, it is made anew.") from None

    async def put(self, name: str, text: str) -> None:
        """Keep the text in the place of what was there; ValueError for one that is too long even when packed."""
        packed = zlib.compress(text.encode("utf-8"))
        if len(packed) > MOST_BYTES:
            raise ValueError(f"the report has {len(packed)} bytes, at most {MOST_BYTES} fit a row; make it shorter")
        parts = [packed[start : start + _PART] for start in range(0, len(packed), _PART)]
        await self._table.upsert(_PARTITION, encode_key(name), {f"part{at:02}": part for at, part in enumerate(parts)})
