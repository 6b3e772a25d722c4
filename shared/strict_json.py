"""JSON of other systems, read as hostile input: numbers exact, nesting bounded, nothing guessed.

Decimals are read as `Decimal` and written digit by digit, so that money never passes through a binary float.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Final, TypeAlias

Json: TypeAlias = "str | int | bool | Decimal | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = "dict[str, Json]"


_WITHOUT_DECIMALS: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
"""Several times as fast as `_text`; raises TypeError at the first Decimal."""


class NotJson(ValueError):
    """The bytes are no acceptable JSON. Carries no part of them."""


class WrongShape(ValueError):
    """A JSON value is of another kind than documented; names the place, never the value."""


def load(raw: bytes, depth: int = 32) -> Json:
    """Parse UTF-8 JSON (with or without BOM); raises NotJson, also for NaN and for nesting deeper than `depth`."""
    try:
        value: Json = json.loads(raw.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError, ArithmeticError):
        raise NotJson("no acceptable JSON") from None
    if _deeper_than(value, depth):
        raise NotJson("nested too deeply")
    return value


def dump(value: Json) -> bytes:
    """Write JSON as UTF-8; a Decimal keeps its digits. Raises ValueError for NaN and infinity."""
    try:
        return _WITHOUT_DECIMALS.encode(value).encode()
    except TypeError:
        return _text(value).encode()


def as_object(value: Json, place: str) -> JsonObject:
    """The value as an object; raises WrongShape."""
    if not isinstance(value, dict):
        raise WrongShape(f"{place} is no object")
    return value


def as_list(value: Json, place: str) -> list[Json]:
    """The value as a list; raises WrongShape."""
    if not isinstance(value, list):
        raise WrongShape(f"{place} is no list")
    return value


def as_text(value: Json, place: str) -> str:
    """The value as text; raises WrongShape."""
    if not isinstance(value, str):
        raise WrongShape(f"{place} is no text")
    return value


def _no_constant(_: str) -> Json:
    raise ValueError("NaN and infinity are no JSON")


def _deeper_than(value: Json, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _children(node: Json) -> list[Json]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def _text(value: Json) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError("JSON knows no NaN and no infinity")
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
