"""XML from outside, read from top to bottom.

A document type may define entities, which grow without bounds or name files: it is refused, so nothing is expanded or
fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.parsers import expat


def read_xml(
    document: bytes,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None],
    text: Callable[[str], None] | None = None,
) -> None:
    """Hand elements with their attributes over, and the text between them if it is wanted. What the callbacks raise as
    ValueError ends the reading. Raises ValueError for anything but XML without a document type."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError, LookupError):  # the last for an encoding that nobody knows
        raise ValueError("no XML that can be read") from None


def _no_doctype(*_: object) -> None:
    raise ValueError("a document type")
