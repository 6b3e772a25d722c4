"""Web addresses, with or without their scheme."""

from __future__ import annotations

import re

from shared.sync.arguments import Told
from shared.sync.values import Unfit

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ADDRESS = re.compile(rf"(?:https?://)?(?:{_LABEL}\.)+[^\W\d_][\w-]{{0,61}}[^\W_]\.?(?::\d{{1,5}})?(?:[/?#]\S*)?", re.I)


def check_web_address(text: str, told: Told) -> None:
    """A host with a dot in it, after http:// or https:// or nothing, and whatever follows without blanks."""
    if not _ADDRESS.fullmatch(text):
        raise Unfit("CD-4037", "it looks like www.example.com or https://example.com/page")
