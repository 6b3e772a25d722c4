"""JSON and headers as Dataverse writes them: slashes are escaped in webhook bodies."""

from __future__ import annotations

from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from sandbox.exact_json import to_json


def to_notice_json(value: Any) -> str:
    """Write a webhook body, in the manner of .NET's DataContractJsonSerializer: slashes are escaped."""
    return to_json(value, lambda text: encode_basestring(text).replace("/", "\\/"))


def header_text(text: str) -> str:
    """Make a text fit for a response header."""
    return encode_basestring_ascii(text)[1:-1]
