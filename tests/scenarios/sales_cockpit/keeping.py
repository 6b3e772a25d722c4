"""Looks through everything that was kept, sent or logged for values of opportunities."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

NAMED = "Renovation of the harbour office"
"""How names of opportunities begin: they may stand in the Cockpit, and nowhere of ours."""


class Kept:
    """What our side has kept. Values to look for are said by `hide`; nothing else is like them."""

    def __init__(self) -> None:
        self._places: list[tuple[str, str]] = []
        self._hidden: set[str] = set()

    def values(self, number: int) -> dict[str, Any]:
        """An opportunity's values that are found again wherever they are."""
        return {
            "name": f"{NAMED} {number:04d} Wolkenbruch",
            "description": f"Telefonat mit Frau Zwetschgenmus {number:04d}",
            "estimatedvalue": Decimal(f"7{number:04d}31.37"),
        }

    def hide(self, values: Mapping[str, Any]) -> None:
        """Values that must not be kept."""
        self._hidden |= {str(value) for value in values.values() if isinstance(value, str | Decimal)}

    def saw(self, place: str, text: str) -> None:
        """Something was kept, sent or logged there."""
        self._places.append((place, text))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within it everything that is logged counts."""
        handler, root = _Into(self), logging.getLogger()
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(before)

    def of_opportunities(self) -> list[str]:
        """Where a value was found, and which kind of value it was; never more than that."""
        return [
            f"{place} holds {value[:12]}..." for place, text in self._places for value in self._hidden if value in text
        ]


class _Into(logging.Handler):
    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.split(".")[0] in ("sandbox", "asyncio", "aiosqlite"):
            return
        self._kept.saw(f"the log of {record.name}", f"{record.getMessage()} {vars(record)}")
