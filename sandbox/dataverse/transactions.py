"""Writes that become lasting together or not at all: one row, a bulk message, a change set.

Until its end a transaction holds the locks of its rows and its events; when it fails every row is put back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from sandbox.dataverse import errors
from sandbox.dataverse.context import Event
from sandbox.dataverse.store import Kept, Row, Store


class Transaction:
    """An asynchronous context: it commits at its end, or undoes everything when an exception leaves it.

    `publish` gets each event after the commit. A `patient` transaction waits for a row that somebody else is writing;
    one over several rows does not, since two of them could wait for each other: it is the victim of the deadlock.
    """

    def __init__(self, store: Store, publish: Callable[[Event], None], *, patient: bool) -> None:
        self._store = store
        self._publish = publish
        self._patient = patient
        self._held: set[asyncio.Lock] = set()
        self._locks = AsyncExitStack()
        self._before: list[tuple[str, str, Kept]] = []
        self._events: list[Event] = []

    async def __aenter__(self) -> Transaction:
        await self._locks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for event in self._events:
                self._publish(event)
        else:
            self._undo()
        await self._locks.__aexit__(None, None, None)

    async def hold(self, lock: asyncio.Lock) -> None:
        """Hold a row's lock until the end; raises DataverseError when an impatient one meets somebody else's."""
        if lock in self._held:
            return
        if lock.locked() and not self._patient:
            raise errors.deadlock()
        await self._locks.enter_async_context(lock)
        self._held.add(lock)

    def put(self, table: str, row_id: str, row: dict[str, Any]) -> Row:
        """Store a row and return it as stored."""
        self._before.append((table, row_id, self._store.kept(table, row_id)))
        return self._store.put(table, row_id, row)

    def remove(self, table: str, row_id: str) -> None:
        """Delete a row."""
        self._before.append((table, row_id, self._store.kept(table, row_id)))
        self._store.remove(table, row_id)

    def announce(self, event: Event) -> None:
        """Publish an event once everything is committed."""
        self._events.append(event)

    def _undo(self) -> None:
        while self._before:
            self._store.restore(*self._before.pop())
