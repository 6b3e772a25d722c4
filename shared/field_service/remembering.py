"""The same question gets the same answer for a while, whichever process is asked, and is asked of a system once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from shared.errors import StoreUnavailable
from shared.field_service.bodies import Body
from shared.field_service.errors import RequestIdReused
from shared.field_service.ports import AnswerRow, AnswerRows
from shared.strict_json import JsonObject, as_object, dump, load
from shared.sync.ports import Clock, Ids, RowTaken

LOOK_AGAIN_SECONDS: Final = 0.1
"""How often one who waits for the answer to the same question looks for it."""


@dataclass
class Remembering:
    """Keeps answers in the store. lease_seconds: after so long one who asks counts as gone."""

    rows: AnswerRows
    clock: Clock
    ids: Ids
    keep_seconds: int
    lease_seconds: float
    _going: set[asyncio.Task[None]] = field(default_factory=set)

    async def once(self, system: str, check: str, body: Body, ask: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """The answer to a question: the one there is, that of somebody who is asking just now, or a new one.

        An error is not remembered. Raises RequestIdReused, StoreUnavailable, and what `ask` raises. An answer that
        could not be kept is none: its repeat might get another one.
        """
        if not self.keep_seconds:
            return await ask()
        wanted = AnswerRow(system, check, body.request_id, _print(body), self.ids.new(), self.clock.now())
        while True:
            there = await self.rows.get(system, check, body.request_id)
            if there is None or there.until <= self.clock.now():
                if mine := await self._claimed(wanted, there):
                    return await self._ask(mine, ask)
            elif there.print != wanted.print:
                raise RequestIdReused("", "requestId")
            elif there.answer:
                return as_object(load(there.answer.encode()), "the answer")
            await self.clock.sleep(LOOK_AGAIN_SECONDS)

    async def _claimed(self, wanted: AnswerRow, there: AnswerRow | None) -> AnswerRow | None:
        until = self.clock.now() + timedelta(seconds=self.lease_seconds)
        try:
            return await self.rows.put(replace(wanted, until=until, etag=there.etag if there else ""))
        except RowTaken:
            return None
        except BaseException:  # it may stand there all the same, and whoever repeats the question would wait for it
            self._later(self._forget(wanted))
            raise

    async def _ask(self, mine: AnswerRow, ask: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        try:
            answer = await ask()
        except BaseException:  # also when cancelled: who repeats the question must not wait for this one
            self._later(self._forget(mine))
            raise
        until = self.clock.now() + timedelta(seconds=self.keep_seconds)
        try:
            await self.rows.put(replace(mine, answer=dump(answer).decode(), until=until))
        except RowTaken:  # somebody took this one for gone; what he answers is what repeats get
            raise StoreUnavailable from None
        return answer

    async def _forget(self, mine: AnswerRow) -> None:
        try:
            there = await self.rows.get(mine.system, mine.check, mine.request)
            if there is not None and there.holder == mine.holder:
                await self.rows.remove(there)
        except StoreUnavailable:
            return  # its lease ends by itself

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it without letting the caller wait."""
        task = asyncio.ensure_future(work)
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def aclose(self) -> None:
        """Wait for what is still being put in order."""
        await asyncio.gather(*self._going, return_exceptions=True)


def _print(body: Body) -> str:
    """What a body asks, whatever blanks and unknown members it has."""
    return sha256(body.model_dump_json(by_alias=True).encode()).hexdigest()
