"""GUIDs as keys."""

from __future__ import annotations

import re

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ZERO_GUID = "00000000-0000-0000-0000-000000000000"


def canonical_guid(text: str) -> str:
    """The one spelling of a GUID: lower case, no braces; raises ValueError for anything else, also for all zeros."""
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    lowered = inner.lower()
    if not _GUID.fullmatch(lowered) or lowered == ZERO_GUID:
        raise ValueError("this text is no GUID that could be a key")
    return lowered
