"""People who call us themselves."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in person. object_id: in the directory, canonical; the same in every system.

    assertion: the token he showed, with which we may act on his behalf; empty for one who is known by his id only.
    It is never written down.
    """

    object_id: str
    assertion: str = field(default="", repr=False)
