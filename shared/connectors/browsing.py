"""Lists of a system's tables."""

from __future__ import annotations

from collections.abc import Iterable

from shared.sync.ports import TableLabel


def beginning_with(beginning: str, tables: Iterable[TableLabel]) -> list[TableLabel]:
    """The tables whose name begins so, by name."""
    return sorted((one for one in tables if one.name.startswith(beginning)), key=lambda one: one.name)
