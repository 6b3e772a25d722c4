"""How much two columns of different systems look like the same thing, by their names and labels."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Final

from shared.sync.ports import ColumnMetadata, ColumnType

LIKE: Final = 0.7
"""From here on a column is proposed."""
SAME_THING: Final = 0.95
"""From here on two columns differ by the kind of their values only."""
_LETTERS_ALIKE: Final = 0.82
"""Below it names share letters, not words: state and stage, phone number and post number."""
_LEAST_PART: Final = 4
_LEAST_SHARE: Final = 0.3
_WORDS: Final = re.compile(r"[^\W_]+")
_HUMP: Final = re.compile(r"(?<=[^\WA-Z_])(?=[A-Z])")
_PREFIX: Final = re.compile(r"^(cdock|cf)_", re.IGNORECASE)
_KIND: Final = re.compile(r"(number|code|url|dttm|date|time|no|id|ref|at|on|address|\d)+$")
"""How names end that say what kind of column it is, not which one."""


def words_of(name: str) -> list[str]:
    """The words of a column's name or label, in small letters."""
    return [word.lower() for word in _WORDS.findall(_HUMP.sub(" ", _PREFIX.sub("", name)))]


def likeness(one: ColumnMetadata, other: ColumnMetadata) -> float:
    """0 to 1; of name and label whatever is closest."""
    texts = [["".join(words_of(text)) for text in (column.name, column.label) if text] for column in (one, other)]
    return max((_alike(here, there) for here in texts[0] for there in texts[1]), default=0.0)


def _alike(one: str, other: str) -> float:
    """Of two names in small letters: the same, the same thing, the one within the other, or nearly the same letters."""
    if one == other:
        return 1.0
    near, far = sorted((_KIND.sub("", one), _KIND.sub("", other)), key=len)
    if near == far:
        return SAME_THING if near else 0.0
    ratio = difflib.SequenceMatcher(None, near, far).ratio()
    whole = len(near) >= _LEAST_PART and len(near) >= _LEAST_SHARE * len(far)
    if whole and (far.startswith(near) or far.endswith(near)):
        return 0.75 + ratio / 10
    return ratio if ratio >= _LETTERS_ALIKE else 0.0


def assigned(
    picked: Sequence[ColumnMetadata],
    offered: Sequence[ColumnMetadata],
    fits: Callable[[ColumnMetadata, ColumnMetadata], bool],
) -> dict[str, ColumnMetadata]:
    """For each picked column the offered one that is most like it, each offered once. fits: whether a picked one and
    an offered one can correspond; references that do are like each other, whatever they are called."""
    scored = [
        (score, -place, one.name, other)
        for one in picked
        for place, other in enumerate(offered)
        if (score := _score(one, other)) >= LIKE and fits(one, other)
    ]
    found: dict[str, ColumnMetadata] = {}
    taken: set[str] = set()
    for _, _, name, other in sorted(scored, key=lambda entry: entry[:2], reverse=True):
        if name not in found and other.name not in taken:
            found[name] = other
            taken.add(other.name)
    return found


def _score(one: ColumnMetadata, other: ColumnMetadata) -> float:
    least = LIKE if one.type is other.type is ColumnType.REFERENCE else 0.0
    return max(likeness(one, other), least)
