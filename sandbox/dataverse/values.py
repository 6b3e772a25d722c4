"""Values on their way in: a request's body becomes columns and typed values, or is refused.

Stored values are str, int, Decimal, float, bool, datetime, date or None; a lookup is the id as text, and where it
may point to several tables the row also holds `<column>@table`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sandbox.dataverse import errors
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.metadata import CHOICES, EDM, Column, Kind, Model, Table
from sandbox.dataverse.store import Row, Store
from sandbox.odata import parse_moment

GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
_KEY_PART = re.compile(r"(\w+)=('(?:[^']|'')*'|[^,']+)(?:,|$)")
UNUSABLE_IN_KEYS = set("/<>*%&:\\?+")
"""Characters that make a request by alternate key fail (Microsoft Learn, 'Use an alternate key to reference a
record')."""


def target_column(column: str) -> str:
    """Return the name under which a row holds the table its lookup points to."""
    return f"{column}@table"


def lookup_target(column: Column, row: Row) -> str:
    """Return the table a row's lookup points to."""
    if len(column.targets) == 1:
        return column.targets[0]
    return str(row.get(target_column(column.name), column.targets[0]))


@dataclass(frozen=True)
class KeyReference:
    """How a URL or a bind names a row: by id, or by the values of an alternate key."""

    row_id: str | None
    values: Mapping[str, Any]
    text: str


def parse_key(table: Table, text: str) -> KeyReference:
    """Read what stands between the brackets of `accounts(...)`."""
    if GUID.fullmatch(text):
        return KeyReference(text.lower(), {}, text)
    found: dict[str, Any] = {}
    position = 0
    while position < len(text):
        part = _KEY_PART.match(text, position)
        column = table.properties.get(part[1]) if part is not None else None
        if part is None:
            raise errors.bad_query(f"Bad Request - Error in query syntax: '{table.set_name}({text})'.")
        if column is None:
            raise errors.key_not_defined(table.name)
        found[column.name] = _key_value(table, column, part[2])
        position = part.end()
    if not found:
        raise errors.bad_query("Bad Request - Error in query syntax.")
    if set(found) == {table.primary_id}:
        return KeyReference(str(found[table.primary_id]), {}, text)
    return KeyReference(None, found, text)


def _key_value(table: Table, column: Column, text: str) -> Any:
    if text.startswith("'"):
        value: Any = text[1:-1].replace("''", "'")
        if UNUSABLE_IN_KEYS & set(value):
            raise errors.bad_query("Bad Request - Error in query syntax.")
        if EDM[column.kind] != "Edm.String":
            raise errors.bad_query(f"The key value '{value}' is not a value of {EDM[column.kind]}.")
        return value
    try:
        match EDM[column.kind]:
            case "Edm.Int32":
                return int(text)
            case "Edm.Decimal":
                return Decimal(text)
            case "Edm.Guid":
                return str(uuid.UUID(text))
            case "Edm.DateTimeOffset":
                return parse_moment(text)
    except ArithmeticError:
        pass
    except ValueError:
        pass
    raise errors.bad_query(f"The key value '{text}' is not a value of {EDM[column.kind]} ({table.name}.{column.name}).")


class BodyReader:
    """Turns bodies into changes: column name to typed value."""

    def __init__(self, model: Model, store: Store, base_url: str) -> None:
        self._model = model
        self._store = store
        self._base_url = base_url

    def read(self, table: Table, body: Any, *, creating: bool) -> dict[str, Any]:
        """Return the changes a body asks for; raises DataverseError when it does not fit the model."""
        if not isinstance(body, dict):
            raise errors.payload_error(table.set_name, "The request body must be a JSON object.")
        changes: dict[str, Any] = {}
        for name, value in body.items():
            if name.endswith("@odata.bind"):
                changes.update(self._bound(table, name.removesuffix("@odata.bind"), value))
            elif "@" not in name:
                column = self._column(table, name, value, creating)
                changes[column.name] = self.convert(table, column, value)
        return changes

    def _column(self, table: Table, name: str, value: Any, creating: bool) -> Column:
        navigation = name in table.navigations or (table.name, name) in self._model.collections
        if navigation and (value is None or isinstance(value, dict | list)):
            raise NotImitated(f"a nested record in the property '{name}' (deep insert)")
        column = table.columns.get(name)
        if column is None and name in table.properties:
            reason = (
                "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead."
            )
            raise DataverseError(400, "0x80048d19", reason)
        if column is None or column.is_lookup:
            raise errors.undeclared_property(table.set_name, name)
        if column.write == "none" or (column.write == "create" and not creating and name != table.primary_id):
            raise errors.invalid_argument(f"The attribute '{name}' of '{table.name}' cannot be written.")
        return column

    def _bound(self, table: Table, name: str, value: Any) -> dict[str, Any]:
        navigation = table.navigations.get(name)
        if navigation is None:
            raise errors.undeclared_navigation(table.set_name, name)
        column, target = navigation
        if column.write == "none":
            raise errors.invalid_argument(f"The attribute '{column.name}' of '{table.name}' cannot be written.")
        if value is None:
            return {column.name: None, target_column(column.name): None}
        row_id = self._referenced(table, name, target, value)
        return {column.name: row_id, target_column(column.name): target}

    def _referenced(self, table: Table, name: str, target: str, value: Any) -> str:
        if not isinstance(value, str):
            raise NotImitated(f"'{name}@odata.bind' with anything but a text or null")
        relative = value.removeprefix(self._base_url).removeprefix("/api/data/v9.2").removeprefix("/")
        found = re.fullmatch(r"(\w+)\((.*)\)", relative)
        if found is None:
            raise errors.payload_error(table.set_name, f"Invalid URI '{value}' in '{name}@odata.bind'.")
        if name == "ownerid" and found[1] == "teams":
            raise NotImitated("teams as owners")
        wanted = self._model.by_set.get(found[1])
        if wanted is None:
            raise errors.unknown_segment(found[1])
        if wanted.name != target:
            raise errors.payload_error(table.set_name, f"'{name}' cannot refer to a row of '{found[1]}'.")
        return self.resolve(wanted, parse_key(wanted, found[2]))

    def resolve(self, table: Table, key: KeyReference) -> str:
        """Return the id of the row a key names; raises DataverseError when there is none."""
        if key.row_id is not None:
            if self._store.get(table.name, key.row_id) is None:
                raise errors.does_not_exist(table.display_name, key.row_id)
            return key.row_id
        found = self.look_up(table, key)
        if found is None:
            raise errors.not_found_by_key(table.name)
        return found

    def look_up(self, table: Table, key: KeyReference) -> str | None:
        """Return the id of the row an alternate key names, or None; the key must be defined and active."""
        if self._store.active_key(table.name, key.values) is None:
            raise errors.key_not_defined(table.name)
        rows = self._store.find(table.name, sorted(key.values), [key.values[name] for name in sorted(key.values)])
        return str(rows[0][table.primary_id]) if rows else None

    def convert(self, table: Table, column: Column, value: Any) -> Any:
        """Turn a JSON value into the stored value; raises DataverseError when type, length or range is wrong."""
        if value is None:
            return None
        kind = EDM[column.kind]
        converted = _READERS[kind](value)
        if converted is _WRONG:
            reason = f"Cannot convert a value to target type '{kind}' because of conflict between input format "
            raise errors.payload_error(table.set_name, f"{reason}string/number and the property '{column.name}'.")
        return _checked(table, column, converted)


_WRONG = object()


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else _WRONG


def _integer(value: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return _WRONG
    return Decimal(str(value))


def _float(value: Any) -> Any:
    number = _number(value)
    return number if number is _WRONG else float(number)


def _boolean(value: Any) -> Any:
    return value if isinstance(value, bool) else _WRONG


def _guid(value: Any) -> Any:
    return value.lower() if isinstance(value, str) and GUID.fullmatch(value) else _WRONG


def _moment(value: Any) -> Any:
    """Read a moment; the platform keeps whole seconds."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return _WRONG
    try:
        return parse_moment(value).replace(microsecond=0)
    except ValueError:
        return _WRONG


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else _WRONG
    except ValueError:
        return _WRONG


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "Edm.String": _text,
    "Edm.Int32": _integer,
    "Edm.Int64": _integer,
    "Edm.Decimal": _number,
    "Edm.Double": _float,
    "Edm.Boolean": _boolean,
    "Edm.Guid": _guid,
    "Edm.DateTimeOffset": _moment,
    "Edm.Date": _day,
}


def _checked(table: Table, column: Column, value: Any) -> Any:
    if isinstance(value, str):
        return _checked_text(table, column, value)
    if column.kind in CHOICES:
        if value not in column.options:
            accepted = ",".join(str(option) for option in column.options)
            raise errors.out_of_range("0x8004431a", value, column.name, table.name, accepted)
        return value
    if isinstance(value, bool | datetime | date):
        return value
    return _checked_number(table, column, value)


def _checked_text(table: Table, column: Column, value: str) -> str | None:
    """Check the length, counted in UTF-16 units as .NET counts; an empty text is stored as null."""
    if column.length is not None and len(value.encode("utf-16-le", "surrogatepass")) // 2 > column.length:
        raise errors.too_long(column.name, table.name, column.length)
    return value or None


def _checked_number(table: Table, column: Column, value: Any) -> Any:
    low, high = column.minimum, column.maximum
    if (low is not None and Decimal(str(value)) < low) or (high is not None and Decimal(str(value)) > high):
        code = "0x8004432f" if EDM[column.kind] == "Edm.Int32" else "0x80044330"
        raise errors.out_of_range(code, value, column.name, table.name, f"{low} to {high}")
    if column.kind in (Kind.DECIMAL, Kind.MONEY):
        return value.quantize(Decimal(1).scaleb(-column.precision), ROUND_HALF_EVEN)
    return value
