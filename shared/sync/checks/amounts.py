"""Amounts."""

from __future__ import annotations

from shared.sync.arguments import Told
from shared.sync.values import Unfit


def check_not_negative(text: str, told: Told) -> None:
    """Zero and above."""
    if text.startswith("-"):
        raise Unfit("CD-4006", "the amount must not be negative")
