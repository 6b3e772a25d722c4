"""JSON with exact decimals.

The standard encoder can write no Decimal as a number, hence these few lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, NoReturn

Quote = Callable[[str], str]


def to_json(value: Any, quote: Quote = encode_basestring) -> str:
    """Write a value without blanks; `quote` writes a text with its quotes. Raises TypeError for anything else."""
    parts: list[str] = []
    _write(value, parts, quote)
    return "".join(parts)


def from_json(text: str | bytes) -> Any:
    """Read JSON, fractions as Decimal; raises ValueError."""
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number)


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


def _write(value: Any, parts: list[str], quote: Quote) -> None:
    if isinstance(value, str):
        parts.append(quote(value))
    elif value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, Decimal):
        parts.append(format(value, "f"))
    elif isinstance(value, int | float):
        parts.append(repr(value))
    elif isinstance(value, Mapping):
        _write_object(value, parts, quote)
    elif isinstance(value, list | tuple):
        _write_list(value, parts, quote)
    else:
        raise TypeError(f"cannot write a {type(value).__name__}")


def _write_object(value: Mapping[str, Any], parts: list[str], quote: Quote) -> None:
    parts.append("{")
    for position, (name, inner) in enumerate(value.items()):
        parts.append(("," if position else "") + quote(name) + ":")
        _write(inner, parts, quote)
    parts.append("}")


def _write_list(value: Sequence[Any], parts: list[str], quote: Quote) -> None:
    parts.append("[")
    for position, inner in enumerate(value):
        if position:
            parts.append(",")
        _write(inner, parts, quote)
    parts.append("]")
