"""Values between JSON and the tables: reading with the service's refusals, writing with its conventions for blanks.

Blank text is `""`, no reference the zero GUID, no date `0001-01-01`, a blank enum member `_x0020_`; times drop
trailing zeros. Etags stand in the body only and read, decoded, `'19;<digits>1;00;'` (recorded answers).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sandbox.business_central.entities import ZERO_GUID, EntityType, Field
from sandbox.business_central.errors import ApiError, bad_request

Row = Mapping[str, Any]

NO_DATE = date(1, 1, 1)
GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DEFAULTS: Mapping[str, Any] = {
    "text": "",
    "code": "",
    "guid": ZERO_GUID,
    "bool": False,
    "int": 0,
    "bigint": 0,
    "decimal": Decimal(0),
    "date": NO_DATE,
}


def default_of(field: Field) -> Any:
    """Return a property's value in a row nobody has filled in."""
    return field.members[0] if field.kind == "enum" else _DEFAULTS[field.kind]


def blank_row(entity: EntityType) -> dict[str, Any]:
    """Return a new row of an entity's table, every stored property blank, without `id` and time stamp."""
    return {
        field.source: default_of(field)
        for field in entity.fields
        if not field.computed and not field.stamp and field.name != "id"
    }


def read(field: Field, value: Any) -> Any:
    """Turn a JSON value into the table's; null blanks. Raises ApiError as the service refuses a wrong one."""
    if value is None:
        return default_of(field)
    return _READERS[field.kind](field, value)


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise bad_request("bad_literal", name=field.name, kind=field.edm)
    return within(value, field.length)


def within(value: str, maximum: int) -> str:
    """Return a text that fits, or raise the service's `Application_StringExceededLength`."""
    if maximum and len(value) > maximum:
        raise ApiError(
            400, "Application_StringExceededLength", "too_long", length=len(value), maximum=maximum, value=value
        )
    return value


def _code(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise bad_request("bad_literal", name=field.name, kind=field.edm)
    return within(code(value), field.length)


def code(text: str) -> str:
    """Return a text as a Code column keeps it: trimmed and upper-cased."""
    return text.strip(" ").upper()


def _guid(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise bad_request("bad_literal", name=field.name, kind=field.edm)
    if GUID.fullmatch(value) is None:
        raise ApiError(400, "Application_InvalidGUID", "bad_guid")
    return value.lower()


def _bool(field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise bad_request("bad_literal", name=field.name, kind=field.edm)
    return value


def _decimal(field: Field, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise bad_request("bad_literal", name=field.name, kind=field.edm)
    return Decimal(value)


def _date(field: Field, value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise bad_request("bad_date") from None


def _enum(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise bad_request("bad_literal", name=field.name, kind=field.edm)
    if value not in field.members:
        raise ApiError(400, "Unknown", "not_an_option", value=value, options=",".join(map(spoken, field.members)))
    return value


def spoken(member: str) -> str:
    """Return an enum member as people read it: `_x0020_` is a blank, `_x002D_` a hyphen."""
    return re.sub(r"_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), member)


_READERS = {
    "text": _text,
    "code": _code,
    "guid": _guid,
    "bool": _bool,
    "int": _decimal,
    "bigint": _decimal,
    "decimal": _decimal,
    "date": _date,
    "enum": _enum,
}


def write(value: Any) -> Any:
    """Turn a table's value into its JSON form."""
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def moment(value: datetime) -> str:
    """Write a time as the service does: UTC, up to milliseconds, trailing zeros dropped (`.37Z`, or no fraction)."""
    value = value.astimezone(UTC)
    fraction = f"{value.microsecond // 1000:03d}".rstrip("0")
    return f"{value:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}Z"


def to_milliseconds(value: datetime) -> datetime:
    """Cut a time to the milliseconds the service keeps."""
    return value.astimezone(UTC).replace(microsecond=value.microsecond // 1000 * 1000)


def etag(seed: int, row_id: str, revision: int) -> str:
    """Return a row's etag in the documented form; another revision gives another one."""
    digest = hashlib.blake2b(f"{seed}/{row_id}/{revision}".encode(), digest_size=8).digest()
    number = str(int.from_bytes(digest, "big"))
    inner = f"'{len(number)};{number}1;00;'"
    return f'W/"{base64.b64encode(inner.encode()).decode()}"'


def well_formed_etag(text: str) -> bool:
    """Say whether an If-Match value looks like an etag of the service, or is `*`."""
    if text == "*":
        return True
    found = re.fullmatch(r'W/"([A-Za-z0-9+/=]+)"', text)
    if found is None:
        return False
    try:
        return base64.b64decode(found[1], validate=True).startswith(b"'")
    except ValueError:
        return False
