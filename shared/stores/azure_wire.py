"""Rows, addresses and transactions as Azure Table storage writes them; nothing here sends anything.

The formats are those of Microsoft Learn, "Payload format for Table service operations", "Understanding the Table
service data model", "Querying tables and entities" and "Performing entity group transactions". What comes in is read
as hostile input: whatever is not as documented is `Unusable`, never a guess.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import quote

from shared.stores.rows import (
    Delete,
    Insert,
    Operation,
    Properties,
    Replace,
    Row,
    RowInvalid,
    RowStoreRefused,
    Upsert,
    Value,
    prefix_end,
)
from shared.strict_json import Json, JsonObject, NotJson, WrongShape, as_list, as_object, as_text, load

ACCEPT: Final = "application/json;odata=minimalmetadata"
"""With less metadata a 64-bit integer could not be told from text, and lists would have no etags."""
JSON: Final = "application/json"
NO_ECHO: Final = "return-no-content"
"""Value of `Prefer`: an insert is answered with its etag instead of the whole row."""

_DEPTH: Final = 4
_CODE: Final = re.compile(r"[A-Za-z]{1,80}")
_INDEX: Final = re.compile(r"(\d{1,3}):")
_ETAG: Final = re.compile(r"[\x21-\x7e]+( [\x21-\x7e]+)*")
_BOUNDARY: Final = re.compile(r'multipart/mixed;\s*boundary="?([\w.-]{1,70})"?\s*(;.*)?', re.IGNORECASE)
_Found = TypeVar("_Found")
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3})(?=[ \r]|$)")
_TYPE_LINE, _ID_LINE, _ETAG_LINE = (
    re.compile(rb"(?im)^" + name + rb":([^\r\n]*)") for name in (b"content-type", b"content-id", b"etag")
)


class Unusable(Exception):
    """An answer that is none of the documented ones: a proxy's page, half of it, another row's."""


# --- requests -------------------------------------------------------------------------------------


def row_path(table: str, partition: str, key: str) -> str:
    """Address of one row below the account. The only character of a key that needs an escape is the bar."""
    return f"/{table}(PartitionKey='{partition}',RowKey='{key}')".replace("|", "%7C")


def range_query(partition: str, after: str | None, key_prefix: str, limit: int) -> str:
    """Query for a range of one partition: a filter that does not name the partition would read the whole table."""
    conditions = [f"PartitionKey eq '{partition}'"]
    if after is not None and after >= key_prefix:
        conditions.append(f"RowKey gt '{after}'")
    elif key_prefix:
        conditions.append(f"RowKey ge '{key_prefix}'")
    if (end := prefix_end(key_prefix)) is not None:
        conditions.append(f"RowKey lt '{end}'")
    return f"$filter={quote(' and '.join(conditions))}&$top={limit}"


def continued(query: str, partition: str, key: str | None) -> str:
    """The query for what comes after a page that the service cut short, by the place that it named."""
    more = f"{query}&NextPartitionKey={quote(partition, safe='')}"
    return f"{more}&NextRowKey={quote(key, safe='')}" if key else more


def entity(partition: str, key: str, properties: Properties) -> bytes:
    """A row as JSON; types that JSON lacks are named beside the value."""
    told: dict[str, str | bool] = {"PartitionKey": partition, "RowKey": key}
    for name, value in properties.items():
        match value:
            case bool():
                told[name] = value
            case str():
                told[name] = str.__str__(value)  # of a text enumeration the text
            case int():
                told[name + "@odata.type"], told[name] = "Edm.Int64", str(int(value))
            case datetime():
                told[name + "@odata.type"], told[name] = "Edm.DateTime", _moment(value)
            case bytes():
                told[name + "@odata.type"], told[name] = "Edm.Binary", base64.b64encode(value).decode("ascii")
    return json.dumps(told, separators=(",", ":")).encode("ascii")


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def condition(etag: str) -> str:
    """The etag as a header; RowInvalid for one that would end the header's line."""
    if not _ETAG.fullmatch(etag):
        raise RowInvalid("etag has characters that no store gives out; give the etag of the row as it was read")
    return etag


@dataclass(frozen=True, slots=True)
class Batch:
    """A transaction's body and its type."""

    content_type: str
    body: bytes


_NAME: Final = "c1f8a1de-6a52-4f0b-9a56-0e4f3b6d2c75"
"""Of every boundary, in the form of the documentation's examples. One is enough: a row as JSON has no line breaks, so
that none can hold a boundary."""
_BEGIN: Final = f"--changeset_{_NAME}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
_OPEN: Final = f"--batch_{_NAME}\r\nContent-Type: multipart/mixed; boundary=changeset_{_NAME}\r\n\r\n".encode("ascii")
_CLOSE: Final = f"--changeset_{_NAME}--\r\n--batch_{_NAME}--\r\n".encode("ascii")


def batch(account: str, table: str, partition: str, operations: Sequence[Operation]) -> Batch:
    """A transaction as one change set. account: address of the account; operations are numbered from 1."""
    parts = [_OPEN]
    for number, operation in enumerate(operations, start=1):
        begin = f"{_BEGIN}Content-ID: {number}\r\n\r\n".encode("ascii")
        parts += (begin, *_part(account, table, partition, operation), b"\r\n")
    parts.append(_CLOSE)
    return Batch(f"multipart/mixed; boundary=batch_{_NAME}", b"".join(parts))


_COMMON: Final = f"Accept: {ACCEPT}\r\nDataServiceVersion: 3.0\r\n"
_WITH_BODY: Final = f"{_COMMON}Content-Type: {JSON}\r\n"


def _part(account: str, table: str, partition: str, operation: Operation) -> tuple[bytes, bytes]:
    """Head and body of an operation."""
    if isinstance(operation, Insert):
        head = f"POST {account}/{table} HTTP/1.1\r\n{_WITH_BODY}Prefer: {NO_ECHO}\r\n"
    else:
        method = "DELETE" if isinstance(operation, Delete) else "PUT"
        common = _COMMON if isinstance(operation, Delete) else _WITH_BODY
        match = _match(operation)
        head = f"{method} {account}{row_path(table, partition, operation.key)} HTTP/1.1\r\n{common}{match}"
    body = b"" if isinstance(operation, Delete) else entity(partition, operation.key, operation.properties)
    return f"{head}\r\n".encode("ascii"), body


def _match(operation: Replace | Upsert | Delete) -> str:
    if isinstance(operation, Upsert):
        return ""
    return f"If-Match: {'*' if operation.etag is None else condition(operation.etag)}\r\n"


# --- answers --------------------------------------------------------------------------------------


def read_row(body: bytes, partition: str, key: str) -> Row:
    """The row of a point read; Unusable when it is another one."""
    row = _row(_json(body))
    if (row.partition, row.key) != (partition, key):
        raise Unusable("another row than the one asked for")
    return row


def read_rows(body: bytes, partition: str) -> list[Row]:
    """The rows of a page; Unusable when one is of another partition."""
    try:
        rows = [_row(as_object(one, "an entity")) for one in as_list(_json(body).get("value"), "value")]
    except WrongShape as error:
        raise Unusable(str(error)) from None
    if any(row.partition != partition for row in rows):
        raise Unusable("a row of another partition")
    return rows


def error_code(body: bytes) -> str:
    """The code of an error answer; empty when it names none."""
    return _error(body)[0]


def _error(body: bytes) -> tuple[str, str]:
    """Code and text of an error answer. The text stays inside: it may hold keys."""
    try:
        error = as_object(_json(body).get("odata.error"), "odata.error")
        code = as_text(error.get("code"), "code")
        text = as_text(as_object(error.get("message"), "message").get("value"), "value")
    except (Unusable, WrongShape):
        return "", ""
    return code if _CODE.fullmatch(code) else "", text


def _json(body: bytes) -> JsonObject:
    try:
        return as_object(load(body, _DEPTH), "the answer")
    except (NotJson, WrongShape) as error:
        raise Unusable(str(error)) from None


def _row(told: JsonObject) -> Row:
    partition, key, etag = told.get("PartitionKey"), told.get("RowKey"), told.get("odata.etag")
    if not (isinstance(partition, str) and isinstance(key, str) and isinstance(etag, str) and etag):
        raise Unusable("an entity without keys or etag")
    properties = {
        name: _value(name, told.get(name + "@odata.type"), value)
        for name, value in told.items()
        if "odata." not in name and name not in _SYSTEM
    }
    return Row(partition, key, properties, etag)


_SYSTEM: Final = frozenset({"PartitionKey", "RowKey", "Timestamp"})


def _value(name: str, kind: Json, value: Json) -> Value:
    """One property; RowStoreRefused for a type that only another program can have written."""
    if kind is None and isinstance(value, str | bool | int):
        return value
    reader = _READERS.get(str(kind))
    if reader is None:
        raise RowStoreRefused(
            f"property {name} holds a {kind or type(value).__name__}, which Crossdock never writes; remove it"
        )
    try:
        return reader(value)
    except (ValueError, WrongShape):
        raise Unusable(f"property {name} is no {kind}") from None


def _int64(value: Json) -> int:
    number = int(as_text(value, "a number"))
    if not -(2**63) <= number < 2**63:
        raise ValueError("more than 64 bits")
    return number


def _datetime(value: Json) -> datetime:
    moment = datetime.fromisoformat(as_text(value, "a moment"))
    if moment.tzinfo is None:
        raise ValueError("a moment without zone")
    return moment.astimezone(UTC)


def _binary(value: Json) -> bytes:
    return base64.b64decode(as_text(value, "bytes"), validate=True)


_READERS: Final[Mapping[str, Callable[[Json], Value]]] = {
    "Edm.Int64": _int64,
    "Edm.DateTime": _datetime,
    "Edm.Binary": _binary,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing of a transaction was done. index: of the operation that did not fit; None: it was not named."""

    status: int
    code: str
    index: int | None


def read_batch(content_type: str, body: bytes, operations: Sequence[Operation]) -> Sequence[str | None] | Failure:
    """The etags of a transaction's operations in their order, None for a delete, or why it failed."""
    (changes,) = _exactly(1, _sections(content_type, body))
    head, _, inner = changes.partition(b"\r\n\r\n")
    parts = [_Part.read(one) for one in _sections(_header(_TYPE_LINE, head), inner)]
    for part in parts:
        if part.status >= 300:
            code, text = _error(part.body)
            return Failure(part.status, code, _index(text, len(operations)))
    ordered = _in_order(_exactly(len(operations), parts))
    return [_new_etag(operation, part) for operation, part in zip(operations, ordered, strict=True)]


@dataclass(frozen=True, slots=True)
class _Part:
    """The answer to one operation. head: its headers, and those of the section around it."""

    status: int
    head: bytes
    body: bytes

    @classmethod
    def read(cls, section: bytes) -> _Part:
        outer, _, http = section.partition(b"\r\n\r\n")
        head, _, body = http.partition(b"\r\n\r\n")
        status = _STATUS.match(head)
        if status is None:
            raise Unusable("an operation's answer without a status")
        return cls(int(status[1]), outer + b"\r\n" + head, body)


def _sections(content_type: str, body: bytes) -> list[bytes]:
    """The sections between boundaries; Unusable when the last boundary, and so perhaps more, is missing."""
    named = _BOUNDARY.fullmatch(content_type)
    if named is None:
        raise Unusable("no multipart answer")
    _, *sections = (b"\r\n" + body).split(f"\r\n--{named[1]}".encode("ascii"))
    if not sections or not sections.pop().startswith(b"--"):
        raise Unusable("an answer that breaks off")
    if not all(section.startswith(b"\r\n") for section in sections):
        raise Unusable("a wrong boundary")
    return [section[2:] for section in sections]


def _header(pattern: re.Pattern[bytes], head: bytes) -> str:
    """A header's value; empty when there is none."""
    found = pattern.search(head)
    return found[1].decode("ascii", "replace").strip() if found else ""


def _exactly(number: int, found: list[_Found]) -> list[_Found]:
    if len(found) != number:
        raise Unusable(f"{len(found)} answers instead of {number}")
    return found


def _in_order(parts: list[_Part]) -> list[_Part]:
    """By the numbers that we gave the operations, where the answers carry them; else as they came."""
    numbers = [_header(_ID_LINE, part.head) for part in parts]
    if not any(numbers):
        return parts
    by_number = dict(zip(numbers, parts, strict=True))
    try:
        return [by_number[str(number)] for number in range(1, len(parts) + 1)]
    except KeyError:
        raise Unusable("answers to other operations than were sent") from None


def _new_etag(operation: Operation, part: _Part) -> str | None:
    if part.status < 200:
        raise Unusable("an operation's answer that is none")
    if isinstance(operation, Delete):
        return None
    return some_etag(_header(_ETAG_LINE, part.head))


def some_etag(etag: str | None) -> str:
    """The etag of an answer; Unusable when it has none."""
    if not etag:
        raise Unusable("a written row without etag")
    return etag


def _index(text: str, operations: int) -> int | None:
    """The service writes the culprit's position before its text, beginning with 0."""
    named = _INDEX.match(text)
    if named is None:
        return 0 if operations == 1 else None
    return int(named[1]) if int(named[1]) < operations else None
