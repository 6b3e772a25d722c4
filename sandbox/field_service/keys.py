"""Keys as people write them: parts with commas between them; within a part comma and percent sign are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote


def key_of(parts: Sequence[object]) -> str:
    """Join the parts of a key."""
    return ",".join(str(part).replace("%", "%25").replace(",", "%2C") for part in parts)


def parts_of(key: str) -> tuple[str, ...]:
    """Split a key into its parts."""
    return tuple(unquote(part) for part in key.split(","))
