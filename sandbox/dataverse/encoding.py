"""JSON as Dataverse writes it: decimals as exact numbers, and slashes escaped in webhook bodies.

The standard encoder can write neither a Decimal as a number nor `\\/`, hence these few lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any


def to_json(value: Any) -> str:
    """Write an answer of the Web API."""
    parts: list[str] = []
    _write(value, parts, encode_basestring)
    return "".join(parts)


def to_notice_json(value: Any) -> str:
    """Write a webhook body, in the manner of .NET's DataContractJsonSerializer: slashes are escaped."""
    parts: list[str] = []
    _write(value, parts, lambda text: encode_basestring(text).replace("/", "\\/"))
    return "".join(parts)


def _write(value: Any, parts: list[str], quote: Any) -> None:
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


def _write_object(value: Mapping[str, Any], parts: list[str], quote: Any) -> None:
    parts.append("{")
    for position, (name, inner) in enumerate(value.items()):
        parts.append(("," if position else "") + quote(name) + ":")
        _write(inner, parts, quote)
    parts.append("}")


def _write_list(value: list[Any] | tuple[Any, ...], parts: list[str], quote: Any) -> None:
    parts.append("[")
    for position, inner in enumerate(value):
        if position:
            parts.append(",")
        _write(inner, parts, quote)
    parts.append("]")


def header_text(text: str) -> str:
    """Make a text fit for a response header."""
    return encode_basestring_ascii(text)[1:-1]
