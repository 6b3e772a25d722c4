"""Lists that are cut into pages by how many rows stand before a page.

Each page begins with the last row of the one before: if it is not there, rows have gone meanwhile, and the reading
steps back until it meets a row of that page, or to the beginning; so none is missed. A row may be told twice.

A place is how many rows stand before the page, and the row that it has to begin with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class _Page(Protocol):
    @property
    def more(self) -> bool:
        """Whether there are rows behind it."""
        ...


PageT = TypeVar("PageT", bound=_Page)


@dataclass(frozen=True, slots=True)
class Cut(Generic[PageT]):
    """A page of a list. told: how many of its rows, from its first on, stand up to a row of the page before. In a list
    whose order never changes they have been told. place: of the next page, None on the last."""

    page: PageT
    told: int
    place: str | None


async def overlapping(
    ask: Callable[[int], Awaitable[PageT]], names: Callable[[PageT], Sequence[str]], place: str | None, size: int
) -> AsyncIterator[Cut[PageT]]:
    """The pages from a place on. ask: for the page behind so many rows; a page that is not the last has rows. names:
    what its rows are known by. size: how many rows a page has."""
    offset, last = _read(place)
    before = frozenset([last] if last else [])
    while True:
        page = await ask(offset)
        ids = names(page)
        met = [at for at, name in enumerate(ids, 1) if name in before]
        if before and offset > 0 and not met:
            offset = max(0, offset - size)
            continue
        told = met[-1] if met else 0
        if not page.more:
            yield Cut(page, told, None)
            return
        offset, before = offset + max(1, len(ids) - 1), frozenset(ids)
        yield Cut(page, told, f"{offset} {ids[-1]}")


def _read(place: str | None) -> tuple[int, str]:
    """How many rows stand before a page, and the row that it has to begin with; the beginning for no place of ours."""
    offset, _, last = (place or "").partition(" ")
    return (int(offset), last) if offset.isdecimal() else (0, "")
