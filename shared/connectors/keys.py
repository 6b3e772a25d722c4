"""GUIDs as keys."""

from __future__ import annotations

import re

_LOWER = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ANY_CASE = _LOWER.replace("a-f", "a-fA-F")
_GUID = re.compile(_LOWER)
ANY_GUID = rf"{_ANY_CASE}|\{{{_ANY_CASE}\}}"
"""Pattern of every spelling of a GUID, for validators that read many at once."""
ZERO_GUID = "00000000-0000-0000-0000-000000000000"


def canonical_guid(text: str) -> str:
    """The one spelling of a GUID: lower case, no braces; raises ValueError for anything else, also for all zeros."""
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    lowered = inner.lower()
    if not _GUID.fullmatch(lowered) or lowered == ZERO_GUID:
        raise ValueError("this text is no GUID that could be a key")
    return lowered
