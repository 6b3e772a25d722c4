"""The port under all stores: rows addressed by partition and key, written by condition.

Links, claims, watermarks, journal, parked items, pending items and modes are kept as rows of a few tables. This
module says what a row store does; `sqlite_rows` does it in one local file, `azure_rows` in Azure Table storage. One
contract suite (`tests/contract/stores`) holds both to the same behaviour.

There are point operations and lists of a single partition, nothing else: no filter on a property and no list across
partitions, because Azure Table storage answers those by reading the whole table (Microsoft Learn, "Design for
querying", Azure Table storage).

**Lost answers.** A write whose answer was lost may have been done. `RowStoreUnavailable` after a write therefore
means "unknown". No store repeats by itself what would not end the same: insert, replace, delete and transact (but of
upserts alone) are sent once, unless they certainly were not executed. A proxy on the way may still repeat them, so that
an ordinary answer is the echo of one's own first try. What a repetition meets:

==========  =====================================================================================================
insert      `RowExists` although the row is one's own. Read it and compare: a row that several may insert carries
            something only its writer knows (claims carry an attempt id).
replace     `RowChanged` although the row holds one's own properties. Read it and compare in the same way.
upsert      Nothing new: the row ends up the same, with another etag.
delete      `False`, or `RowChanged` if somebody has inserted the row again since.
transact    All or nothing was done; `RowExists` or `RowChanged` of the first operation that no longer fits. Of upserts
            alone: nothing new.
==========  =====================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar, Final, Protocol

Value = str | int | bool | bytes | datetime
"""A property's value. Integers have up to 64 bits, datetimes are aware and come back in UTC. Absent is absent."""

Properties = Mapping[str, Value]

MAX_KEY_UNITS: Final = 512
"""Length of a partition or row key in UTF-16 units: 1 KiB (Microsoft Learn, "Understanding the Table service data
model")."""
MAX_PROPERTIES: Final = 252
"""Properties of a row: 255 less PartitionKey, RowKey and Timestamp (the same page)."""
MAX_PROPERTY_BYTES: Final = 64 * 1024
"""Size of one property; text counts two bytes per UTF-16 unit (the same page)."""
MAX_ROW_BYTES: Final = 1024 * 1024
"""Size of one row with its keys and names (the same page)."""
MAX_OPERATIONS: Final = 100
"""Operations of one transaction (Microsoft Learn, "Performing entity group transactions")."""
MAX_TRANSACTION_BYTES: Final = 1024 * 1024
"""Size of the rows of one transaction, counted like MAX_ROW_BYTES. The service takes a body of 4 MiB (the same page),
and as JSON with its type names and escapes a row becomes up to three times as long."""
MAX_LIST_ROWS: Final = 1000
"""Rows of one page (Microsoft Learn, "Query timeout and pagination")."""

_EARLIEST: Final = datetime(1601, 1, 1, tzinfo=UTC)
"""Earliest Edm.DateTime (Microsoft Learn, "Understanding the Table service data model")."""
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_TABLE_NAME: Final = re.compile(r"[a-z][a-z0-9]{2,39}")  # leaves 23 of Azure's 63 characters to the prefix
_PROPERTY_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")
_RESERVED_NAMES: Final = frozenset({"partitionkey", "rowkey", "timestamp", "etag"})
_ENCODED: Final = re.compile(r"[A-Za-z0-9._|~-]+")
_SPECIAL: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ESCAPE: Final = re.compile(rb"~([0-9a-f]{2})")


class RowStoreError(Exception):
    """Base of everything a row store raises on purpose. The text never holds a key or a value."""

    code: ClassVar[str] = "row-store"


class _Conflict(RowStoreError):
    """A write met another state of the row than the one it was made for."""

    def __init__(self, message: str, index: int | None = None) -> None:
        """Carry the position of the culprit among the operations of a transaction; None for a single write."""
        super().__init__(message if index is None else f"{message} (operation {index} of the transaction)")
        self.index = index


class RowExists(_Conflict):
    """An insert met a row of the same partition and key. After a lost answer it may be the caller's own."""

    code = "row-exists"


class RowChanged(_Conflict):
    """A conditional write met another etag, or no row. After a lost answer the change may be the caller's own."""

    code = "row-changed"


class RowStoreUnavailable(RowStoreError):
    """The store cannot be reached or is too busy, even after the client's own retries. A write may have been done."""

    code = "row-store-unavailable"


class RowStoreRefused(RowStoreError):
    """The store refuses to work at all: credentials, roles, a missing table, a damaged file. Trying again is no use."""

    code = "row-store-refused"


class RowInvalid(RowStoreError, ValueError):
    """The caller asked for something no row store takes; the text names the field, the limit and the remedy."""

    code = "row-invalid"


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was when read. `etag` is opaque and never comes twice for one key, not even after a delete."""

    partition: str
    key: str
    properties: Properties = field(repr=False)
    etag: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a partition in key order; `next` goes into `after` for the following page, None ends the list.

    A page after `next` may be empty, when the list ended exactly with the page before.
    """

    rows: tuple[Row, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Insert:
    """In a transaction: insert the row; one that is there makes the transaction fail with `RowExists`."""

    key: str
    properties: Properties = field(repr=False)


@dataclass(frozen=True, slots=True)
class Replace:
    """In a transaction: replace the row; another etag or no row makes the transaction fail with `RowChanged`."""

    key: str
    properties: Properties = field(repr=False)
    etag: str


@dataclass(frozen=True, slots=True)
class Upsert:
    """In a transaction: replace or insert the row, whatever is there."""

    key: str
    properties: Properties = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """In a transaction: delete the row; no row, or another etag if one is given, makes it fail with `RowChanged`.

    Unlike the single `delete` a missing row is no `False` here: the service fails the whole transaction.
    """

    key: str
    etag: str | None = None


Operation = Insert | Replace | Upsert | Delete


class RowStore(Protocol):
    """Rows in a few tables, each addressed by partition and key.

    Tables are named on construction and made by `prepare`. Partitions and keys come out of `encode_key`. Every
    operation may raise `RowStoreUnavailable`, `RowStoreRefused` and, before anything is sent, `RowInvalid`. What
    happens when an operation is repeated after a lost answer stands at the top of the module.
    """

    async def prepare(self) -> None:
        """Make the tables that are missing and open what has to be open. Repetition does nothing."""

    async def get(self, table: str, partition: str, key: str) -> Row | None:
        """Read one row; None when there is none."""

    async def insert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Add a row and return its etag; `RowExists` when there is one (after a lost answer perhaps one's own)."""

    async def replace(self, table: str, partition: str, key: str, properties: Properties, etag: str) -> str:
        """Replace all properties of the row with that etag and return the new one.

        `RowChanged` when the row has another etag or is gone. Repeated after a lost answer: `RowChanged`.
        """

    async def upsert(self, table: str, partition: str, key: str, properties: Properties) -> str:
        """Replace all properties of the row, or insert it, whatever is there; return the etag. Safe to repeat."""

    async def delete(self, table: str, partition: str, key: str, etag: str | None = None) -> bool:
        """Delete the row; False when there was none (repeated after a lost answer: False).

        `RowChanged` when an etag is given and the row has another one.
        """

    async def list(
        self,
        table: str,
        partition: str,
        *,
        after: str | None = None,
        key_prefix: str = "",
        limit: int = MAX_LIST_ROWS,
    ) -> Page:
        """Read up to `limit` (1 to 1000) rows of one partition in the order of their keys (by character code).

        Only keys that begin with `key_prefix` and come after `after`. Pages are no snapshot: a row written while
        a list is under way may or may not be in it; a row that is there all the time is in it exactly once.
        """

    async def transact(self, table: str, partition: str, operations: Sequence[Operation]) -> Sequence[str | None]:
        """Do up to 100 operations on different keys of one partition, all or none.

        Returns the new etag of each operation in their order, None for a delete. `RowExists` and `RowChanged`
        carry the `index` of the operation that did not fit; where several do not fit, of one of them.
        """

    async def aclose(self) -> None:
        """Give back connections. Repetition does nothing; the store cannot be used afterwards."""


def encode_key(*parts: str) -> str:
    """Join the parts to one partition or row key that every store takes. `decode_key` gives the parts back.

    Different parts give different keys. Letters, digits and `.`, `_`, `-` stay; every other character becomes its
    UTF-8 bytes as `~xx` (lower-case hexadecimal), an empty part becomes `~`; parts are joined by `|`. That keeps
    clear of everything Azure Tables refuse in keys: `/`, `\\`, `#`, `?`, control characters and `%` (Microsoft
    Learn, "Understanding the Table service data model"). Case is kept: canonical forms are the caller's business.
    The order of keys is not the order of parts, but keys with the same first parts stand together.

    Raises `RowInvalid`, naming the longest part by its position, when the key has more than 512 UTF-16 units.
    """
    if not parts:
        raise RowInvalid("a key needs at least one part")
    encoded = [_encode_part(part) for part in parts]
    key = "|".join(encoded)
    if len(key) > MAX_KEY_UNITS:
        longest = max(range(len(encoded)), key=lambda i: len(encoded[i]))
        raise RowInvalid(
            f"the key has {len(key)} characters, at most {MAX_KEY_UNITS} are allowed; "
            f"its longest part is number {longest + 1} of {len(parts)} with {len(encoded[longest])} characters. "
            "Shorten that part or use a hash of it"
        )
    return key


def decode_key(key: str) -> tuple[str, ...]:
    """Give back the parts that `encode_key` made the key of; `RowInvalid` for a key it never makes."""
    try:
        parts = tuple(_decode_part(part) for part in key.split("|"))
        canonical = encode_key(*parts) == key
    except UnicodeError:
        canonical = False
    if not canonical:
        raise RowInvalid("this is no key of encode_key; only its results can be decoded")
    return parts


def check_key(field: str, key: str) -> None:
    """Refuse, with `RowInvalid` naming the field, a partition or row key that `encode_key` cannot have made."""
    if not _ENCODED.fullmatch(key):
        raise RowInvalid(f"{field} is empty or has characters outside A-Z a-z 0-9 . _ - | ~; use encode_key")
    if len(key) > MAX_KEY_UNITS:
        raise RowInvalid(f"{field} has {len(key)} characters, at most {MAX_KEY_UNITS} are allowed; shorten it")


def check_tables(tables: Sequence[str]) -> tuple[str, ...]:
    """Return the table names as a tuple; `RowInvalid` for a name that not every store takes, or that comes twice."""
    for table in tables:
        if not _TABLE_NAME.fullmatch(table):
            raise RowInvalid(f"table name {table!r} must be 3 to 40 lower-case letters and digits, a letter first")
    if len(set(tables)) != len(tables):
        raise RowInvalid("a table name is given twice; name each table once")
    return tuple(tables)


def unknown_table(table: str) -> RowInvalid:
    """Make the error for a table that the store was not made with."""
    return RowInvalid(f"table {table!r} was not named when the store was made; add it to the tables there")


def check_properties(properties: Properties) -> int:
    """Return the size of the properties in bytes as Azure counts them; `RowInvalid` names what no store takes."""
    if len(properties) > MAX_PROPERTIES:
        raise RowInvalid(f"a row has {len(properties)} properties, at most {MAX_PROPERTIES} are allowed; pack some")
    total = 0
    for name, value in properties.items():
        _check_name(name)
        size = _size(name, value)
        if size > MAX_PROPERTY_BYTES:
            raise RowInvalid(f"property {name} has {size} bytes, at most {MAX_PROPERTY_BYTES} are allowed; split it")
        total += 8 + 2 * len(name) + size
    if total > MAX_ROW_BYTES - 4 * MAX_KEY_UNITS:
        raise RowInvalid(f"a row has {total} bytes, at most {MAX_ROW_BYTES} with its keys are allowed; split it")
    return total


def check_address(partition: str, key: str) -> None:
    """Refuse, with `RowInvalid`, a place that no row of a store can have."""
    check_key("partition", partition)
    check_key("key", key)


def check_write(partition: str, key: str, properties: Properties) -> None:
    """Refuse, with `RowInvalid`, a write that not every store takes."""
    check_address(partition, key)
    check_properties(properties)


def check_list(partition: str, after: str | None, key_prefix: str, limit: int) -> None:
    """Refuse, with `RowInvalid`, a list that not every store takes."""
    check_key("partition", partition)
    if after is not None:
        check_key("after", after)
    if key_prefix:
        check_key("key_prefix", key_prefix)
    if not 1 <= limit <= MAX_LIST_ROWS:
        raise RowInvalid(f"limit is {limit}, it must be 1 to {MAX_LIST_ROWS}; follow Page.next for more rows")


def check_transaction(partition: str, operations: Sequence[Operation]) -> None:
    """Refuse, with `RowInvalid`, a transaction that not every store takes."""
    check_key("partition", partition)
    if len(operations) > MAX_OPERATIONS:
        raise RowInvalid(f"a transaction has {len(operations)} operations, at most {MAX_OPERATIONS} are allowed")
    total = 0
    for operation in operations:
        check_key("key", operation.key)
        if isinstance(operation, Replace | Delete) and operation.etag is not None:
            check_etag(operation.etag)
        if not isinstance(operation, Delete):
            total += check_properties(operation.properties)
    if len({operation.key for operation in operations}) != len(operations):
        raise RowInvalid("a transaction names a key twice; do each key once")
    if total > MAX_TRANSACTION_BYTES:
        raise RowInvalid(
            f"a transaction has {total} bytes, at most {MAX_TRANSACTION_BYTES} are allowed; make several of it"
        )


def check_etag(etag: str) -> None:
    """Refuse, with `RowInvalid`, what no row store has given out; "*" would mean any etag to Azure Tables."""
    if etag in ("", "*"):
        raise RowInvalid("etag is empty or *; give the etag of the row as it was read, or use upsert")


def prefix_end(key_prefix: str) -> str | None:
    """First text after all keys with that prefix; None when nothing comes after them.

    "~" is the highest character that a key can have, so a prefix that ends with it ends where the rest of it ends.
    """
    rest = key_prefix.rstrip("~")
    return rest[:-1] + chr(ord(rest[-1]) + 1) if rest else None


def _encode_part(part: str) -> str:
    return _SPECIAL.sub(_escaped, part) if part else "~"


def _escaped(special: re.Match[str]) -> str:
    return "".join(f"~{byte:02x}" for byte in special[0].encode("utf-8", "surrogatepass"))


def _decode_part(part: str) -> str:
    if part == "~":
        return ""
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), part.encode("ascii"))
    return raw.decode("utf-8", "surrogatepass")


@lru_cache(4096)
def _check_name(name: str) -> None:
    if not _PROPERTY_NAME.fullmatch(name):
        raise RowInvalid(f"property name {name!r} must be letters, digits and _, a letter first, at most 255")
    if name.lower() in _RESERVED_NAMES:
        raise RowInvalid(f"property name {name} is taken by the store; choose another")


def _size(name: str, value: Value) -> int:
    """Bytes of a value as the service counts them; also refuses what has no type or lies outside its range."""
    match value:
        case bool():
            return 1
        case int() if -(2**63) <= value < 2**63:
            return 8
        case str():
            return _text_bytes(name, value)
        case bytes():
            return len(value)
        case datetime() if value.utcoffset() is not None and _EARLIEST <= value <= _LATEST:
            return 8
    raise RowInvalid(
        f"property {name} holds a {type(value).__name__} that cannot be kept; allowed are text, bytes, truth values, "
        "integers of 64 bits, datetimes with a time zone from 1601 on. Leave an absent value out"
    )


def _text_bytes(name: str, value: str) -> int:
    if value.isascii():
        return 2 * len(value)
    try:
        return len(value.encode("utf-16-le"))
    except UnicodeEncodeError:
        raise RowInvalid(f"property {name} holds half a surrogate pair; only whole characters can be kept") from None
