"""A small cache of things that change rarely: metadata and small tables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.sync.ports import Clock

Item = TypeVar("Item")


@dataclass(slots=True)
class _Place(Generic[Item]):
    item: Item | None = None
    loaded_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Cache(Generic[Item]):
    """Loads an item by name when it is asked for and keeps it; however many ask at once, it is loaded once.

    A failed load is not kept: whoever waited tries in turn. A cache that has grown large starts over.
    """

    MOST = 5000

    def __init__(self, clock: Clock, load: Callable[[str], Awaitable[Item]], life_seconds: float = 3600.0) -> None:
        self._clock = clock
        self._load = load
        self._life_seconds = life_seconds
        self._places: dict[str, _Place[Item]] = {}

    async def get(self, name: str, at_most_seconds_old: float | None = None) -> Item:
        """The item, loaded anew when it is older than its life or than asked for."""
        oldest = self._life_seconds if at_most_seconds_old is None else at_most_seconds_old
        place = self._places.get(name)
        if place is not None and (item := self._young(place, oldest)) is not None:
            return item
        if len(self._places) >= self.MOST:
            self._places.clear()
        place = self._places.setdefault(name, _Place())
        async with place.lock:
            item = self._young(place, oldest)
            if item is None:
                asked_at = self._clock.monotonic()
                item = place.item = await self._load(name)
                place.loaded_at = asked_at
            return item

    def _young(self, place: _Place[Item], oldest: float) -> Item | None:
        return place.item if self._clock.monotonic() - place.loaded_at <= oldest else None

    def forget(self) -> None:
        """Load everything anew from now on."""
        self._places.clear()
