"""What a link row says, and the home of a link: its left row, which alone carries base, versions and flags."""

from __future__ import annotations

from typing import TypeGuard

from shared.sync.ports import LinkRow, Links, LinkState, Side


def is_linked(row: LinkRow | None) -> TypeGuard[LinkRow]:
    """Whether a record has a partner."""
    return row is not None and row.state is LinkState.LINKED


async def home_of(links: Links, row: LinkRow) -> LinkRow | None:
    """The left row of the link that a row belongs to, in whatever state; None if there is none."""
    if row.side is Side.LEFT or not row.other:
        return row
    return await links.get(row.pair, Side.LEFT, row.other)


async def linked_home(links: Links, pair: str, side: Side, key: str) -> LinkRow | None:
    """The home of a record's link; None for a record without one, or with half of one."""
    row = await links.get(pair, side, key)
    if not is_linked(row):
        return None
    home = await home_of(links, row)
    return home if is_linked(home) else None
