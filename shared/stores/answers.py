"""Answers to checks: what a repeat gets again, a row each, packed; and the sweep that takes them away."""

from __future__ import annotations

import dataclasses
import zlib
from contextlib import suppress
from datetime import datetime
from typing import Final

from shared.errors import StoreUnavailable
from shared.field_service.ports import AnswerRow
from shared.stores.rows import Row, RowStore, encode_key
from shared.stores.table import Table, need_etag, pack, unpack
from shared.sync.ports import RowTaken

TABLE: Final = "answers"
_PARTITION: Final = "answers"
_KEYS: Final = ("system", "check", "request")
_PAGE: Final = 500


class AnswersStore:
    """`AnswerRows` over a row store.

    A row names its writer, so that a row with the same content is one's own write and a repetition after a lost answer
    succeeds.
    """

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, system: str, check: str, request: str) -> AnswerRow | None:
        """Read a row; None when there is none."""
        row = await self._table.get(_PARTITION, encode_key(system, check, request))
        return None if row is None else _answer(row, system, check, request)

    async def put(self, row: AnswerRow) -> AnswerRow:
        """Write it if it still has this etag (empty: if there is none), return it with the new one."""
        properties = pack(row, without=(*_KEYS, "answer", "etag"))
        if row.answer:
            properties["packed"] = zlib.compress(row.answer.encode())
        key = encode_key(row.system, row.check, row.request)
        return dataclasses.replace(row, etag=await self._table.settle(_PARTITION, key, properties, row.etag))

    async def remove(self, row: AnswerRow) -> None:
        """Delete it if it still has this etag."""
        with suppress(RowTaken):
            await self._table.delete(_PARTITION, encode_key(row.system, row.check, row.request), need_etag(row.etag))

    async def sweep(self, now: datetime) -> int:
        """Delete the rows whose time is over, unless somebody has written them anew meanwhile."""
        removed, after = 0, None
        while True:
            page = await self._table.list(_PARTITION, after, _PAGE)
            for row in page.rows:
                if _until(row) <= now:
                    with suppress(RowTaken):
                        removed += await self._table.delete(_PARTITION, row.key, row.etag)
            if page.next is None:
                return removed
            after = page.next


def _until(row: Row) -> datetime:
    until = row.properties.get("until")
    if not isinstance(until, datetime):
        raise StoreUnavailable("A row of the store is damaged: until is no time. Delete the row.")
    return until


def _answer(row: Row, system: str, check: str, request: str) -> AnswerRow:
    packed = row.properties.get("packed")
    try:
        answer = zlib.decompress(packed).decode() if isinstance(packed, bytes) else ""
    except (zlib.error, UnicodeDecodeError):
        raise StoreUnavailable("A row of the store is damaged: an answer cannot be read. Delete the row.") from None
    known = {"system": system, "check": check, "request": request, "answer": answer, "etag": row.etag}
    return unpack(AnswerRow, row.properties, **known)
