"""Gathers single calls that are made at the same time into calls for many: how a load uses the ordinary steps in bulk.

Every record of a load goes through the very steps of a transfer, a hundred at once. Before the connector their reads,
creates and updates meet here and go out together; each caller gets his own answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.errors import ConnectorError
from shared.sync.passing_on import PassingOn
from shared.sync.ports import (
    Change,
    Clock,
    NewRecord,
    Record,
    Value,
)

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass
class _Gathering(Generic[Asked, Answer]):
    """Calls of one kind. send: answers many, in their order; an exception of it is every caller's."""

    clock: Clock
    most: int
    seconds: float
    send: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]]
    waiting: list[tuple[Asked, asyncio.Future[Answer]]] = field(default_factory=list)
    running: set[asyncio.Task[None]] = field(default_factory=set)

    async def ask(self, asked: Asked) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting.append((asked, answer))
        if len(self.waiting) % self.most == 0:
            self._start(self._flush())
        elif len(self.waiting) == 1:
            self._start(self._flush_later())
        return await answer

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _flush_later(self) -> None:
        await self.clock.sleep(self.seconds)
        await self._flush()

    async def _flush(self) -> None:
        taken, self.waiting = self.waiting[: self.most], self.waiting[self.most :]
        if not taken:
            return
        try:
            answers = await self.send([asked for asked, _ in taken])
        except BaseException as error:  # whatever ends the call ends every caller: none may wait for ever
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(taken, answers, strict=True):
            if not future.done():
                future.set_result(answer)


@dataclass
class Coalescing(PassingOn):
    """A connector whose single reads, creates and updates go out in bulk. most: how many at a time, of writes no more
    than the system takes in one call; seconds: the wait for company; update_seconds: what many updates together may
    take."""

    clock: Clock
    most: int = 100
    seconds: float = 0.25
    update_seconds: float = 300.0
    _reads: dict[tuple[str, tuple[str, ...]], _Gathering[str, Record | None]] = field(default_factory=dict)
    _creates: dict[tuple[str, tuple[str, ...], float], _Gathering[NewRecord, Record | ConnectorError]] = field(
        default_factory=dict
    )
    _updates: dict[tuple[str, tuple[str, ...]], _Gathering[Change, Record | ConnectorError]] = field(
        default_factory=dict
    )

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        if len(keys) != 1:
            return await self.inner.read(table, keys, columns)
        name = (table, tuple(columns))
        if name not in self._reads:
            self._reads[name] = _Gathering(self.clock, self.most, self.seconds, self._reader(*name))
        found = await self._reads[name].ask(keys[0])
        return {} if found is None else {keys[0]: found}

    def _reader(
        self, table: str, columns: Sequence[str]
    ) -> Callable[[Sequence[str]], Awaitable[Sequence[Record | None]]]:
        async def read(keys: Sequence[str]) -> Sequence[Record | None]:
            found = await self.inner.read(table, list(dict.fromkeys(keys)), columns)
            return [found.get(key) for key in keys]

        return read

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        name = (table, tuple(columns), within_seconds)
        if name not in self._creates:
            self._creates[name] = _Gathering(self.clock, self._writes(table), self.seconds, self._creator(*name))
        made = await self._creates[name].ask(NewRecord(values, key))
        if isinstance(made, Record):
            return made
        raise made

    def _creator(
        self, table: str, columns: Sequence[str], within_seconds: float
    ) -> Callable[[Sequence[NewRecord]], Awaitable[Sequence[Record | ConnectorError]]]:
        async def create(wanted: Sequence[NewRecord]) -> Sequence[Record | ConnectorError]:
            return await self.inner.create_many(table, wanted, columns, within_seconds=within_seconds)

        return create

    async def update(
        self, table: str, key: str, values: Mapping[str, Value], columns: Sequence[str], *, version: str | None
    ) -> Record:
        name = (table, tuple(columns))
        if name not in self._updates:
            self._updates[name] = _Gathering(self.clock, self._writes(table), self.seconds, self._updater(*name))
        changed = await self._updates[name].ask(Change(key, values, version))
        if isinstance(changed, Record):
            return changed
        raise changed

    def _updater(
        self, table: str, columns: Sequence[str]
    ) -> Callable[[Sequence[Change]], Awaitable[Sequence[Record | ConnectorError]]]:
        async def update(changes: Sequence[Change]) -> Sequence[Record | ConnectorError]:
            return await self.inner.update_many(table, changes, columns, within_seconds=self.update_seconds)

        return update

    def _writes(self, table: str) -> int:
        """How many writes go out together: those of one call, so that none waits for the answer to another call."""
        return min(self.most, self.capabilities(table).writes_per_call)
