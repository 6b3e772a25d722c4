"""Creating and changing many records in few calls, each with a result of its own.

Both go out in batches whose parts are independent of each other. A part that was refused, so that nothing of it was
written, is sent once more by itself where a single write would have had a second chance or a better explanation: a
create always, an update when a reference it holds may have been replaced. So is every part of a batch that was refused
as a whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shared.connectors.budget import Budget
from shared.connectors.bulk import Job, Result, stored, told_to_wait
from shared.connectors.business_central.batch import PARTS_PER_BATCH, Part, parts_of
from shared.connectors.business_central.errors import (
    STALE_REFERENCE,
    SYSTEM,
    Doing,
    code_and_text,
    error_of,
    is_unexplained_dialog,
    manual_numbers_forbidden,
)
from shared.connectors.business_central.extension import EXTERNAL_ID
from shared.connectors.business_central.records import Records
from shared.connectors.business_central.schema import NUMBERED, Field, Place, Schema
from shared.connectors.keys import canonical_guid
from shared.errors import (
    Answer,
    ConnectorError,
    ManualNumbersForbidden,
    Refused,
    SystemDown,
    UnknownResult,
)
from shared.http_client import Reply
from shared.strict_json import JsonObject
from shared.sync.ports import Change, Clock, NewRecord, Record, Value

Written = TypeVar("Written", NewRecord, Change)
Again = Callable[[float], Awaitable[Record]]
"""Sends one write by itself, within so many seconds."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One record's write, and how it is sent by itself."""

    part: Part
    doing: Doing
    names: Sequence[str]
    again: Again

    def deserves_another(self, answer: Reply) -> bool:
        """Whether sending it by itself may end otherwise or say more, after this refusal."""
        return self.doing is Doing.CREATE or code_and_text(answer)[0] in STALE_REFERENCE


@dataclass(slots=True, kw_only=True)
class _Job(Job[_Write]):
    """at: where the table is served. forbids_numbers: the table's series has been found to take no numbers of ours."""

    table: str
    at: Place
    fields: Sequence[Field]
    forbids_numbers: bool = False

    @property
    def path(self) -> str:
        """The table's address as a part of a batch names it."""
        return self.at.client.place_in_batch(self.at.page)


class BulkWrites:
    """Writes many records of one company. `create` and `update` send one write by itself."""

    def __init__(
        self,
        schema: Schema,
        records: Records,
        clock: Clock,
        create: Callable[[str, NewRecord, Sequence[str], float], Awaitable[Record]],
        update: Callable[[str, Change, Sequence[str], float], Awaitable[Record]],
    ) -> None:
        self._schema = schema
        self._records = records
        self._clock = clock
        self._create_one = create
        self._update_one = update

    async def create(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], within_seconds: float
    ) -> Sequence[Result]:
        """Create records; raises only before anything was sent."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        async with budget.preparing():
            job = await self._job(table, [one.values for one in wanted], columns, budget)
            for place, one in enumerate(wanted):
                body = await self._body(job, table, place, one.values)
                if body is not None:
                    part = Part("POST", job.path, {}, body)
                    again = self._again(self._create_one, table, one, columns)
                    job.writes[place] = _Write(part, Doing.CREATE, list(one.values), again)
        return await self._sent(job)

    async def update(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], within_seconds: float
    ) -> Sequence[Result]:
        """Change records; raises only before anything was sent."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        async with budget.preparing():
            job = await self._job(table, [one.values for one in changes], columns, budget)
            for place, one in enumerate(changes):
                body = await self._body(job, table, place, one.values, changes=True)
                if body is not None:
                    path = f"{job.path}({canonical_guid(one.key)})"
                    part = Part("PATCH", path, {"If-Match": one.version or "*"}, body)
                    again = self._again(self._update_one, table, one, columns)
                    job.writes[place] = _Write(part, Doing.UPDATE, list(one.values), again)
        return await self._sent(job)

    async def _job(
        self, table: str, bodies: Sequence[Mapping[str, Value]], columns: Sequence[str], budget: Budget
    ) -> _Job:
        fields = await self._schema.fields(table, columns)
        await self._records.look_up(table, bodies)
        return _Job(table=table, at=await self._schema.place(table), fields=fields, budget=budget)

    async def _body(
        self, job: _Job, table: str, place: int, values: Mapping[str, Value], *, changes: bool = False
    ) -> JsonObject | None:
        """A write's body; None for one that is refused before it is sent."""
        try:
            if changes:
                refuse_given_once(table, values)
            return await self._records.body(table, values)
        except Refused as error:
            job.results[place] = error
            return None

    def _again(
        self,
        send: Callable[[str, Written, Sequence[str], float], Awaitable[Record]],
        table: str,
        one: Written,
        columns: Sequence[str],
    ) -> Again:
        return lambda seconds: send(table, one, columns, seconds)

    async def _sent(self, job: _Job) -> list[Result]:
        for chunk in job.chunks(PARTS_PER_BATCH):
            job.results.update(await self._batch(job, chunk))
        return job.ordered()

    async def _batch(self, job: _Job, chunk: Mapping[int, _Write]) -> Mapping[int, Result]:
        answers = await self._answers(job, chunk)
        if answers is None:
            return {place: await self._alone(job, write) for place, write in chunk.items()}
        results: dict[int, Result] = {}
        done: dict[int, Reply] = {}
        for place, answer in answers.items():
            if isinstance(answer, ConnectorError):
                results[place] = answer
            elif answer.status < 400:
                done[place] = answer
            else:
                results[place] = await self._refusal(job, chunk[place], answer)

        async def read(rows: Sequence[JsonObject]) -> Sequence[Record]:
            return await self._records.records(job.fields, rows)

        return results | await stored(SYSTEM, job.budget, done, read)

    async def _answers(self, job: _Job, chunk: Mapping[int, _Write]) -> Mapping[int, Reply | ConnectorError] | None:
        """What became of each part; None when the batch was refused as a whole, so that nothing of it was written."""
        try:
            reply = await job.at.client.batch({place: one.part for place, one in chunk.items()}, job.budget.left())
        except ConnectorError as error:
            return dict.fromkeys(chunk, error)
        if reply.status >= 400:
            refused = error_of(next(iter(chunk.values())).doing, reply)
            if not isinstance(refused, ConnectorError):
                raise refused  # of all records at once: there is no such company
            return None if isinstance(refused, Refused) else dict.fromkeys(chunk, refused)
        return parts_of(reply, list(chunk))

    async def _refusal(self, job: _Job, write: _Write, answer: Reply) -> Result:
        if answer.status == 429:
            return told_to_wait(SYSTEM, answer, self._clock.now())
        error = error_of(write.doing, answer, write.names)
        if isinstance(error, UnknownResult | SystemDown):
            return error
        if isinstance(error, ConnectorError) and not write.deserves_another(answer):
            return error
        if job.forbids_numbers and await self._is_about_the_number(job.table, write, answer):
            return manual_numbers_forbidden(answer, NUMBERED[job.table])
        return await self._alone(job, write)

    async def _alone(self, job: _Job, write: _Write) -> Result:
        try:
            return await write.again(job.budget.left())
        except ManualNumbersForbidden as forbidden:
            job.forbids_numbers = True
            return forbidden
        except ConnectorError as refused:
            return refused

    async def _is_about_the_number(self, table: str, write: _Write, answer: Reply) -> bool:
        """Whether a refusal that explains nothing is explained by what is known of the number series."""
        column = NUMBERED.get(table, "")
        known = (await self._schema.columns(table)).keys() - {column}
        return column in write.names and is_unexplained_dialog(answer, known)


def refuse_given_once(table: str, values: Mapping[str, Value]) -> None:
    """Refuse the change of what is given once: a number, which would rename the record, and our own unique column."""
    for column in values.keys() & {NUMBERED.get(table, ""), EXTERNAL_ID}:
        raise Refused(SYSTEM, Answer(field=column), f"{SYSTEM}: {column} is given once and not changed.")
