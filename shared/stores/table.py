"""What the domain stores share: one table of the row store in the words of the engine, and rows from dataclasses.

A domain store decides on keys and on what a conflict means; this module turns the row store's exceptions into those
of the ports and flat dataclasses into properties and back.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from shared.errors import StoreUnavailable
from shared.stores.rows import (
    MAX_OPERATIONS,
    MAX_TRANSACTION_BYTES,
    Page,
    Properties,
    Row,
    RowChanged,
    RowExists,
    RowStore,
    RowStoreRefused,
    RowStoreUnavailable,
    Upsert,
    Value,
    check_properties,
)
from shared.sync.ports import Clock, RowTaken

_Item = TypeVar("_Item")

_ROUNDS: Final = 50
"""Tries of a counter against other writers. Of several writers one gets through in every round."""
_PAUSE_SECONDS: Final = 0.01


class Table:
    """One table of a row store, with the exceptions of the ports.

    `RowTaken` stands for `RowExists` and `RowChanged`; `StoreUnavailable` for a store that does not answer or refuses
    to work at all (it says which). `RowInvalid` is a fault of the caller and passes through.
    """

    def __init__(self, rows: RowStore, name: str) -> None:
        self._rows = rows
        self._name = name

    async def get(self, partition: str, key: str) -> Row | None:
        """Read one row; None when there is none."""
        with _port_errors():
            return await self._rows.get(self._name, partition, key)

    async def write(self, partition: str, key: str, properties: Properties, etag: str) -> str:
        """Insert (empty etag) or replace the row of that etag and return the new etag; raises RowTaken.

        After a lost answer a repetition meets the caller's own write and raises RowTaken too: see `settle`.
        """
        with _port_errors():
            if etag:
                return await self._rows.replace(self._name, partition, key, properties, etag)
            return await self._rows.insert(self._name, partition, key, properties)

    async def settle(self, partition: str, key: str, properties: Properties, etag: str) -> str:
        """Like `write`, but a row that already holds exactly these properties counts as written.

        So a repetition after a lost answer succeeds, whether the caller repeats or something on the way does so unseen.
        Only for rows that are the same wish whoever writes them, or that name their writer (claims do).
        """
        try:
            return await self.write(partition, key, properties, etag)
        except RowTaken:
            found = await self.get(partition, key)
            if found is None or dict(found.properties) != dict(properties):
                raise
            return found.etag

    async def upsert(self, partition: str, key: str, properties: Properties) -> None:
        """Insert or replace the row, whatever is there. Safe to repeat."""
        with _port_errors():
            await self._rows.upsert(self._name, partition, key, properties)

    async def upsert_all(self, partition: str, rows: Mapping[str, Properties]) -> None:
        """Insert or replace the rows of a partition by key, in as few requests as they fit into; a failure may leave
        some unwritten. Safe to repeat."""
        for piece in _pieces(rows):
            if len(piece) == 1:
                await self.upsert(partition, piece[0].key, piece[0].properties)
            else:
                with _port_errors():
                    await self._rows.transact(self._name, partition, piece)

    async def delete(self, partition: str, key: str, etag: str | None = None) -> bool:
        """Delete the row; False when there is none; raises RowTaken when it has another etag than the given one."""
        with _port_errors():
            return await self._rows.delete(self._name, partition, key, etag)

    async def list(self, partition: str, after: str | None, limit: int, *, key_prefix: str = "") -> Page:
        """Read some rows of a partition in key order: for people, drains and reports, never on the transfer path."""
        with _port_errors():
            return await self._rows.list(self._name, partition, after=after, key_prefix=key_prefix, limit=limit)

    async def add(self, partition: str, key: str, name: str, amount: int, clock: Clock) -> int:
        """Add to the whole number `name` of a row (missing: 0) and return the sum.

        Each sum is returned to one caller only. After a lost answer the amount may have been added all the same;
        `StoreUnavailable` when others are faster for too long.
        """
        for round_number in range(_ROUNDS):
            row = await self.get(partition, key)
            total = (0 if row is None else unpack_number(row, name)) + amount
            try:
                await self.write(partition, key, {name: total}, "" if row is None else row.etag)
            except RowTaken:
                await clock.sleep(_PAUSE_SECONDS * (1 + round_number))
            else:
                return total
        raise StoreUnavailable(f"The row of a counter was changed by others {_ROUNDS} times in a row.")


def _pieces(rows: Mapping[str, Properties]) -> Iterator[list[Upsert]]:
    """The rows as transactions that every store takes."""
    piece: list[Upsert] = []
    room = MAX_TRANSACTION_BYTES
    for key, properties in rows.items():
        size = check_properties(properties)
        if piece and (len(piece) == MAX_OPERATIONS or size > room):
            yield piece
            piece, room = [], MAX_TRANSACTION_BYTES
        piece.append(Upsert(key, properties))
        room -= size
    if piece:
        yield piece


def need_etag(etag: str) -> str:
    """Return the etag; ValueError when the item was never read from or written to the store."""
    if not etag:
        raise ValueError("etag is empty: give the item as the store returned it, not one made by hand")
    return etag


def pack(item: Any, *, without: Sequence[str] = (), prefix: str = "") -> dict[str, Value]:
    """Properties of a flat dataclass: enums as text, None left out, everything else as it is."""
    properties: dict[str, Value] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name not in without and value is not None:
            properties[prefix + field.name] = value.value if isinstance(value, Enum) else value
    return properties


def unpack(kind: Callable[..., _Item], properties: Properties, *, prefix: str = "", **known: Any) -> _Item:
    """Build the dataclass again; `known` are the fields that are not kept as properties (key parts, etag).

    A property that is not there is the field's default, or None where that is allowed; unknown properties, written by
    a newer version, are ignored. Raises StoreUnavailable naming a property that is missing or of a wrong type.
    """
    values = dict(known)
    for name, field_kind in _kinds(kind).items():
        if name not in known and prefix + name in properties:
            values[name] = field_kind.read(prefix + name, properties[prefix + name])
        elif name not in known and field_kind.required:
            raise _damaged(prefix + name, "missing")
        elif name not in known and field_kind.optional:
            values[name] = None
    return kind(**values)


class _Kind:
    """How one field of a dataclass is read back."""

    def __init__(self, hint: Any, required: bool) -> None:
        choices = [choice for choice in _choices(hint) if choice is not type(None)]
        self._type = choices[0] if len(choices) == 1 and isinstance(choices[0], type) else object
        self.optional = len(choices) < len(_choices(hint))
        self.required = required and not self.optional

    def read(self, name: str, value: Value) -> object:
        if issubclass(self._type, Enum):
            try:
                return self._type(value)
            except ValueError:
                raise _damaged(name, "no word we know") from None
        if (self._type is int and isinstance(value, bool)) or not isinstance(value, self._type):
            raise _damaged(name, f"a {type(value).__name__}")
        return value


@cache
def _kinds(kind: Callable[..., object]) -> Mapping[str, _Kind]:
    assert isinstance(kind, type), "a dataclass"
    hints = get_type_hints(kind)
    return {
        field.name: _Kind(hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in fields(kind)
    }


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def unpack_number(row: Row, name: str) -> int:
    """Read a whole number of a row; raises StoreUnavailable when it is none."""
    value = row.properties.get(name)
    if not isinstance(value, int):
        raise _damaged(name, "no whole number")
    return value


def _damaged(name: str, what: str) -> StoreUnavailable:
    return StoreUnavailable(f"A row of the store is damaged: {name} is {what}. Restore the row or delete it.")


@contextmanager
def _port_errors() -> Iterator[None]:
    try:
        yield
    except (RowExists, RowChanged) as error:
        raise RowTaken(str(error)) from error
    except RowStoreUnavailable as error:
        raise StoreUnavailable from error
    except RowStoreRefused as error:
        raise StoreUnavailable(f"The store refuses to work: {error}") from error
