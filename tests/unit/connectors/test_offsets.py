"""Lists that are cut into pages by how many rows stand before a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.offsets import overlapping


@dataclass(frozen=True)
class Page:
    """Some rows of a list."""

    rows: list[str]
    more: bool


async def walked(rows: list[str], size: int, between: Callable[[], None], place: str | None = None) -> list[str]:
    """What a reading tells while something happens to the list between its pages."""

    async def ask(offset: int) -> Page:
        part = rows[offset : offset + size]
        return Page(part, len(part) == size)

    told: list[str] = []
    async for cut in overlapping(ask, lambda page: page.rows, place, size):
        told += cut.page.rows[cut.told :]
        between()
    return told


@given(st.integers(0, 30), st.integers(2, 7), st.lists(st.integers(0, 29), max_size=20))
async def test_what_goes_away_meanwhile_hides_nothing(count: int, size: int, gone: list[int]) -> None:
    """However many go, from wherever; and while a row of the page before is left, nothing is told twice."""
    rows = [f"{number:02}" for number in range(count)]
    begun, going = list(rows), [f"{number:02}" for number in gone]

    def between() -> None:
        for _ in range(2):
            if going and (name := going.pop()) in rows:
                rows.remove(name)

    told = await walked(rows, size, between)
    assert size < 4 or len(told) == len(set(told))
    assert set(rows) <= set(told) <= set(begun)


async def test_a_reading_goes_on_from_a_place_of_an_earlier_one() -> None:
    """Though rows before it have gone since. A place is text; one of another kind is the beginning."""
    rows = [f"{number:02}" for number in range(10)]

    async def ask(offset: int) -> Page:
        part = rows[offset : offset + 4]
        return Page(part, len(part) == 4)

    first = await anext(overlapping(ask, lambda page: page.rows, None, 4))
    assert first.place == "3 03"
    rows.remove("01")
    rows.remove("02")
    assert await walked(rows, 4, lambda: None, first.place) == ["04", "05", "06", "07", "08", "09"]
    assert await walked(rows, 4, lambda: None, "at noon") == rows
