"""Who holds how much of what a system allows an identity: a row for each identity, with the holds of all processes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from shared.errors import StoreUnavailable
from shared.stores.rows import Row, RowStore, encode_key
from shared.stores.table import Table
from shared.sync.ports import Hold, PermitRow

TABLE: Final = "permits"
_ROW: Final = "holds"
_KNOWN: Final = 7  # of a newer version's parts the first ones, which we know
MOST_HOLDS: Final = 200
"""Processes that one row has room for; more than a limit of a system could be divided among anyhow."""


class PermitsStore:
    """`Permits` over a row store.

    Every put changes the writer's own hold, which carries its name and its time: so a row with the same content is
    one's own write, and a repetition after a lost answer succeeds.
    """

    def __init__(self, rows: RowStore) -> None:
        self._table = Table(rows, TABLE)

    async def get(self, identity: str) -> PermitRow:
        """Read the holds; none, with an empty etag, when nobody ever held anything."""
        found = await self._table.get(encode_key(identity), _ROW)
        return PermitRow(identity) if found is None else PermitRow(identity, _holds(found), found.etag)

    async def put(self, row: PermitRow) -> PermitRow:
        """Write the holds if the row still has this etag (empty: if there is none), return it with the new one."""
        if len(row.holds) > MOST_HOLDS:
            raise StoreUnavailable(f"More than {MOST_HOLDS} processes want a share of one identity's limits.")
        properties = {_ROW: _text(row.holds)}
        etag = await self._table.settle(encode_key(row.identity), _ROW, properties, row.etag)
        return dataclasses.replace(row, etag=etag)


def _text(holds: Sequence[Hold]) -> str:
    return json.dumps([[_plain(value) for value in dataclasses.astuple(hold)] for hold in holds], separators=(",", ":"))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _holds(row: Row) -> tuple[Hold, ...]:
    try:
        return tuple(_hold(*parts[:_KNOWN]) for parts in json.loads(str(row.properties[_ROW])))
    except (KeyError, TypeError, ValueError):
        raise StoreUnavailable("A row of the store is damaged: holds cannot be read. Delete the row.") from None


def _hold(holder: str, permits: int, wish: int, pace: int, pace_wish: int, until: str, closed: str | None) -> Hold:
    closed_until = None if closed is None else datetime.fromisoformat(closed)
    return Hold(str(holder), int(permits), int(wish), int(pace), int(pace_wish), _time(until), closed_until)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
