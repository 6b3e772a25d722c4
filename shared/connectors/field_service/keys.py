"""The one spelling of a key: its parts with commas between them, in the order in which the schema names them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

LONGEST: Final = 250
"""Characters of a key."""
MOST_KEPT: Final = 400
"""Characters of a key as the store writes it, which takes three for each byte of a special one; it adds others."""
_SPECIAL: Final = re.compile(r"[^A-Za-z0-9._-]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PERCENT: Final = re.compile(r"%(.{0,2})", re.DOTALL)
_ENCODED: Final = {"2C": ",", "25": "%"}


def key_of(parts: Sequence[str]) -> str:
    """The key with these parts; raises ValueError for parts that no key has."""
    key = ",".join(part.replace("%", "%25").replace(",", "%2C") for part in parts)
    if not all(parts) or not 0 < len(key) <= LONGEST or _CONTROL.search(key) or _kept(key) > MOST_KEPT:
        raise ValueError("no key of field service")
    return key


def _kept(key: str) -> int:
    """How many characters the store needs for a key."""
    return len(_SPECIAL.sub("", key)) + sum(3 * len(special.encode()) for special in _SPECIAL.findall(key))


def parts_of(key: str) -> list[str]:
    """The parts of a key; raises ValueError for text that cannot be one."""
    return [_PERCENT.sub(_decoded, part) for part in canonical(key).split(",")]


def canonical(key: str) -> str:
    """The key in its one spelling; raises ValueError for text that cannot be one."""
    return key_of([_PERCENT.sub(_decoded, part) for part in key.split(",")])


def _decoded(found: re.Match[str]) -> str:
    try:
        return _ENCODED[found[1].upper()]
    except KeyError:
        raise ValueError("a percent sign within a key is written %25") from None
