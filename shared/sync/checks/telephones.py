"""Telephone numbers."""

from __future__ import annotations

import re

from shared.sync.arguments import Told
from shared.sync.values import Unfit


def check_phone(text: str, told: Told) -> None:
    """No letters; everything else may stand in a number."""
    if re.search(r"[^\W\d_]", text):
        raise Unfit("CD-4003", "a telephone number must not contain letters")
