"""What bulk writes of all systems have in common: writes by place, a call's worth at a time, a result for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from shared.connectors.budget import Budget
from shared.errors import Answer, ConnectorError, Throttled, UnknownResult
from shared.http_client import Reply, retry_after_seconds
from shared.strict_json import JsonObject
from shared.sync.ports import Change, Record

USUAL_PAUSE_SECONDS = 10.0
"""After a part that was told to wait without being told how long."""
Result = Record | ConnectorError
WriteT = TypeVar("WriteT")


@dataclass(slots=True, kw_only=True)
class Job(Generic[WriteT]):
    """The writes of one call, by the places of their records. results: those known so far."""

    budget: Budget
    writes: dict[int, WriteT] = field(default_factory=dict)
    results: dict[int, Result] = field(default_factory=dict)

    def chunks(self, size: int) -> Iterator[dict[int, WriteT]]:
        """The writes by place, as many at a time as one request takes."""
        places = list(self.writes)
        for start in range(0, len(places), size):
            yield {place: self.writes[place] for place in places[start : start + size]}

    def ordered(self) -> list[Result]:
        """The results in the order in which the records were given."""
        return [self.results[place] for place in sorted(self.results)]


async def each(calls: Iterable[Awaitable[Record]]) -> list[Result]:
    """The results of single writes, all at once: of systems without a bulk form."""
    return list(await asyncio.gather(*map(_result, calls)))


async def each_change(changes: Sequence[Change], write: Callable[[Change], Awaitable[Record]]) -> list[Result]:
    """Likewise of changes; those of one record go one after another, in the order given."""
    results: dict[int, Result] = {}

    async def one_by_one(places: Sequence[int]) -> None:
        for place in places:
            results[place] = await _result(write(changes[place]))

    by_key: dict[str, list[int]] = {}
    for place, one in enumerate(changes):
        by_key.setdefault(one.key, []).append(place)
    await asyncio.gather(*map(one_by_one, by_key.values()))
    return [results[place] for place in range(len(changes))]


async def _result(call: Awaitable[Record]) -> Result:
    """A write's record, or its error."""
    try:
        return await call
    except ConnectorError as error:
        return error


def told_to_wait(system: str, answer: Reply, now: datetime) -> Throttled:
    """The error of a part that was answered with 429."""
    wish = retry_after_seconds(answer.headers, now)
    pause = timedelta(seconds=USUAL_PAUSE_SECONDS if wish is None else wish)
    return Throttled(system, pause, Answer(429, request_id=answer.request_id))


async def stored(
    system: str,
    budget: Budget,
    answers: Mapping[int, Reply],
    read: Callable[[list[JsonObject]], Awaitable[Sequence[Record]]],
) -> dict[int, Result]:
    """The records that parts were answered with; what is not as documented leaves its write unknown."""
    results: dict[int, Result] = {}
    rows: dict[int, JsonObject] = {}
    for place, answer in answers.items():
        if isinstance(answer.content, dict):
            rows[place] = answer.content
        else:
            results[place] = UnknownResult(system, Answer(answer.status, request_id=answer.request_id))
    try:
        async with budget.understanding():
            records = await read(list(rows.values()))
    except UnknownResult as unknown:
        return results | dict.fromkeys(rows, unknown)
    return results | dict(zip(rows, records, strict=True))
