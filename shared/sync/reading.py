"""Reads records of which some may not be readable, without one keeping the others from being read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.errors import Unreadable
from shared.sync.ports import Connector, Record


async def read_apart(
    connector: Connector, table: str, keys: Sequence[str], columns: Sequence[str]
) -> tuple[Mapping[str, Record], Mapping[str, Unreadable]]:
    """The records that can be read, and for each that cannot why."""
    unreadable: dict[str, Unreadable] = {}
    while wanted := [key for key in keys if key not in unreadable]:
        try:
            return await connector.read(table, wanted, columns), unreadable
        except Unreadable as error:
            unreadable |= {key: error.of(key) for key in error.by_key}
    return {}, unreadable
