"""Bodies into rows: what a field takes, and what is refused with the name of the field."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from sandbox.postoffice.errors import invalid
from sandbox.postoffice.store import Store
from sandbox.postoffice.tables import Field, Kind, Parts
from sandbox.problems import FieldError, bad_request

_TypeT = TypeVar("_TypeT")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_UNKNOWN: Mapping[str, str] = {"employees": "UnknownEmployee", "account-manager-types": "UnknownType"}
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
MONEY_PLACES = 4
LARGEST = Decimal(10) ** 14


def row_of(
    store: Store, fields: Mapping[str, Field], body: Mapping[str, Any], *, at: str = "", whole: bool
) -> dict[str, Any]:
    """Read a body's fields as a row's values; raises the 422 that names every wrong field.

    `at` goes before the fields' names in errors. `whole`: what is required must be there; else it must not be cleared.
    """
    errors: list[FieldError] = []
    values: dict[str, Any] = {}
    for name, given in body.items():
        try:
            values[name] = _value(store, _writable(fields, name), given)
        except _Wrong as wrong:
            errors.append(FieldError(at + name, wrong.code, wrong.message))
    needed = [name for name, field in fields.items() if field.required and (whole or name in body)]
    wrong_already = {one.field for one in errors}
    errors += [
        FieldError(at + name, "Required", "It must not be blank.")
        for name in needed
        if values.get(name) is None and at + name not in wrong_already
    ]
    if errors:
        raise invalid(errors)
    return values


def as_mapping(body: Any) -> Mapping[str, Any]:
    """Take a JSON body as an object, or raise the 400."""
    if not isinstance(body, dict):
        raise bad_request("BadBody", "The body is not a JSON object.")
    return body


def part_key(store: Store, parts: Parts, key: str) -> str:
    """Check the key of a sub-record; raises the 422 that says what is wrong with it."""
    if parts.keys is not None and key not in parts.keys:
        raise invalid([FieldError("key", "BadKey", f"It is one of {', '.join(sorted(parts.keys))}.")])
    if parts.keyed_by and store.get(parts.keyed_by, key) is None:
        raise invalid([FieldError("key", _UNKNOWN.get(parts.keyed_by, "UnknownReference"), "There is no such record.")])
    if not _KEY.fullmatch(key):
        raise invalid([FieldError("key", "BadKey", "Letters, digits, hyphen and underscore, at most 64.")])
    return key


class _Wrong(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


def _writable(fields: Mapping[str, Field], name: str) -> Field:
    field = fields.get(name)
    if field is None:
        raise _Wrong("NoSuchField", "There is no such field.")
    if not field.written:
        raise _Wrong("ReadOnly", "It cannot be written.")
    return field


def _value(store: Store, field: Field, given: Any) -> Any:
    if given is None or given == "":
        return None
    match field.kind:
        case Kind.FLAG:
            return _typed(given, bool)
        case Kind.WHOLE:
            return _whole(given)
        case Kind.MONEY:
            return _money(given)
        case Kind.DAY:
            return _read(given, lambda text: date.fromisoformat(text).isoformat(), "a day, YYYY-MM-DD")
        case Kind.TIME:
            return _read(given, _time, "a time in ISO 8601 with its zone")
        case Kind.CLOCK:
            return _clock(_typed(given, str))
        case Kind.GUID:
            return _read(given, lambda text: str(uuid.UUID(text)), "a GUID")
        case Kind.REFERENCE:
            return _reference(store, field, _typed(given, str))
        case Kind.TEXT:
            return _text(field, _typed(given, str))


def _typed(given: Any, kind: type[_TypeT]) -> _TypeT:
    if not isinstance(given, kind):
        raise _Wrong("WrongType", f"It takes {kind.__name__}.")
    return given


def _whole(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise _Wrong("WrongType", "It takes a whole number.")
    return given


def _text(field: Field, given: str) -> str | None:
    if len(given) > field.max_length:
        raise _Wrong("TooLong", f"At most {field.max_length} characters.")
    return given.strip() or None


def _money(given: Any) -> str:
    try:
        amount = Decimal(_typed(given, str))
    except InvalidOperation:
        raise _Wrong("WrongType", "It takes a decimal number as text.") from None
    if not amount.is_finite() or abs(amount) >= LARGEST:
        raise _Wrong("OutOfRange", "The number is too large.")
    if amount != round(amount, MONEY_PLACES):
        raise _Wrong("OutOfRange", f"At most {MONEY_PLACES} decimal places.")
    return f"{amount:.{MONEY_PLACES}f}"


def _read(given: Any, read: Any, what: str) -> str:
    try:
        return str(read(_typed(given, str)))
    except ValueError:
        raise _Wrong("WrongType", f"It takes {what}.") from None


def _time(text: str) -> str:
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError(text)
    return read.isoformat()


def _clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise _Wrong("WrongType", "It takes a time of day, HH:MM.")
    return text


def _reference(store: Store, field: Field, given: str) -> str:
    table = field.refers_to
    if store.get(table, given) is None:
        raise _Wrong(_UNKNOWN.get(table, "UnknownReference"), f"There is no such record of {table}.")
    return given
