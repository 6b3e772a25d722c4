"""The place of a record within a pair, as text: "left/<key>" or "right/<key>".

`page` of parked and pending items takes it in `after`, as the place of the last item that the caller has seen.
"""

from __future__ import annotations

from shared.stores.rows import decode_key, encode_key
from shared.sync.ports import Side


def place(side: Side, key: str) -> str:
    """Write the place of a record as text."""
    return f"{side}/{key}"


def read_place(text: str) -> tuple[Side, str]:
    """Read a place again; ValueError with the remedy for any other text."""
    side, slash, key = text.partition("/")
    if not slash or not key or side not in tuple(Side):
        raise ValueError('after must be "left/<key>" or "right/<key>" of the last item seen')
    return Side(side), key


def place_key(side: Side, key: str) -> str:
    """Return the row key of a place."""
    return encode_key(side, key)


def place_of_key(row_key: str) -> tuple[Side, str]:
    """Return the place of a row key."""
    side, key = decode_key(row_key)
    return Side(side), key


def after_key(after: str | None) -> str | None:
    """Return the row key to go on behind; None begins at the front."""
    return place_key(*read_place(after)) if after else None
