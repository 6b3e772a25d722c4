"""Creating, changing and deleting many records in few calls, each with a result of its own.

Creates go out as `CreateMultiple` where the organisation offers it for the table: fastest by far, and all or nothing.
When it is refused nothing was written, and the same records go out once more as a `$batch` of single writes, which says
of each record what is the matter with it. Updates are a `$batch`, since only there each is bound to its version; those
that name no version and ask for nothing go out as `UpdateMultiple`. Deletes are a `$batch`, since `DeleteMultiple` is
for elastic tables only. The records of a batch that is refused as a whole go out one by one. Where we choose the keys,
a create that is repeated meets the first one in any form. Microsoft Learn, 'Use bulk operation messages', advises the
same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.connectors.budget import Budget
from shared.connectors.bulk import Job, Result, stored, told_to_wait
from shared.connectors.dataverse.batch import PARTS_PER_BATCH, Part, answers_of
from shared.connectors.dataverse.client import ROOT, DataverseClient, encoded
from shared.connectors.dataverse.errors import SYSTEM, Doing, error_of
from shared.connectors.dataverse.records import Records, etag_of, is_one_of, preferring, rows_of, selected
from shared.connectors.dataverse.schema import Field, Schema, Table
from shared.connectors.keys import canonical_guid
from shared.errors import Answer, ConnectorError, RecordMissing, Refused, SystemDown, UnknownResult
from shared.http_client import Reply
from shared.strict_json import JsonObject, as_list, as_object, as_text
from shared.sync.ports import Change, Clock, NewRecord, Record, Value

CREATE_MULTIPLE, UPDATE_MULTIPLE = "CreateMultiple", "UpdateMultiple"
TARGETS_UNREAD = 1000
"""Records of one bulk message where none of them is read back; Microsoft Learn, 'Optimize performance for bulk
operations', begins at 100 to 1000."""
ACTIONS = "Microsoft.Dynamics.CRM."


@dataclass(frozen=True, slots=True)
class _Write:
    """One record's write. key: of the record, or the one we choose; None where the system chooses. body: None for a
    delete."""

    key: str | None
    doing: Doing
    condition: Mapping[str, str]
    body: JsonObject | None
    names: Sequence[str]

    @property
    def method(self) -> str:
        """POST only where the system chooses the key."""
        if self.body is None:
            return "DELETE"
        return "POST" if self.key is None else "PATCH"

    @property
    def refers(self) -> bool:
        """Whether it points to another record, which may be the one that is missing."""
        return any(name.endswith("@odata.bind") for name in self.body or ())


@dataclass(slots=True, kw_only=True)
class _Job(Job[_Write]):
    """The writes of records of one table, and the columns that are answered. together: by a bulk message."""

    shape: Table
    fields: Sequence[Field]
    together: bool = False

    @property
    def at_once(self) -> int:
        """Records of one call: more where a message takes them all and none has to be read back."""
        return TARGETS_UNREAD if self.together and not self.fields else PARTS_PER_BATCH


class BulkWrites:
    """Writes many records of one organisation. `tag` travels with every write."""

    def __init__(self, client: DataverseClient, schema: Schema, records: Records, clock: Clock, tag: str) -> None:
        self._client = client
        self._schema = schema
        self._records = records
        self._clock = clock
        self._tag = tag

    async def create(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], within_seconds: float
    ) -> Sequence[Result]:
        """Create records; raises only before anything was sent."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        async with budget.preparing():
            job = await self._job(table, columns, budget)
            for place, one in enumerate(wanted):
                key = None if one.key is None else canonical_guid(one.key)
                doing = Doing.CREATE if key is None else Doing.CREATE_WITH_KEY
                await self._add(job, place, key, doing, {} if key is None else {"If-None-Match": "*"}, one.values)
            job.together = await self._schema.takes(CREATE_MULTIPLE, table)
        for chunk in job.chunks(job.at_once):
            done = await self._create_together(job, chunk) if job.together else None
            job.results.update(await self._batches(job, chunk) if done is None else done)
        return job.ordered()

    async def update(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], within_seconds: float
    ) -> Sequence[Result]:
        """Change records; raises only before anything was sent."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        async with budget.preparing():
            job = await self._job(table, columns, budget)
            for place, one in enumerate(changes):
                condition = {"If-Match": "*" if one.version is None else etag_of(one.version)}
                await self._add(job, place, canonical_guid(one.key), Doing.UPDATE, condition, one.values)
            if not columns and all(one.version is None for one in changes) and _are_different(job):
                job.together = await self._schema.takes(UPDATE_MULTIPLE, table)
        for chunk in job.chunks(job.at_once):
            done = await self._update_together(job, chunk) if job.together else None
            job.results.update(await self._batches(job, chunk) if done is None else done)
        job.results.update(await self._missing_references(job))
        return job.ordered()

    async def delete(self, table: str, keys: Sequence[str], within_seconds: float) -> Sequence[ConnectorError | None]:
        """Delete records; raises only before anything was sent. One that is gone already is fine."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        async with budget.preparing():
            job = await self._job(table, [], budget)
        writes = [_Write(canonical_guid(key), Doing.UPDATE, {}, None, []) for key in keys]
        job.writes.update(enumerate(writes))
        job.results.update(await self._batches(job, job.writes))
        return [None if isinstance(one, Record | RecordMissing) else one for one in job.ordered()]

    async def _job(self, table: str, columns: Sequence[str], budget: Budget) -> _Job:
        fields = await self._schema.fields(table, columns)
        return _Job(shape=await self._schema.table(table), fields=fields, budget=budget)

    async def _add(
        self,
        job: _Job,
        place: int,
        key: str | None,
        doing: Doing,
        condition: Mapping[str, str],
        values: Mapping[str, Value],
    ) -> None:
        try:
            body = await self._records.body(job.shape, values)
        except Refused as error:
            job.results[place] = error
        else:
            job.writes[place] = _Write(key, doing, condition, body, list(values))

    # --- all or nothing ---

    async def _create_together(self, job: _Job, chunk: Mapping[int, _Write]) -> Mapping[int, Result] | None:
        """Create by one message; None when it was refused, so that nothing of it was written."""
        reply = await self._message(job, chunk, CREATE_MULTIPLE)
        if not isinstance(reply, Reply):
            return reply
        keys = _ids(reply, list(chunk.values()))
        if keys is not None and not job.fields:
            return {place: Record(key, None, {}) for place, key in zip(chunk, keys, strict=True)}
        return await self._read_back(job, chunk, keys)

    async def _update_together(self, job: _Job, chunk: Mapping[int, _Write]) -> Mapping[int, Result] | None:
        """Change by one message, which answers nothing; None when it was refused."""
        reply = await self._message(job, chunk, UPDATE_MULTIPLE)
        if not isinstance(reply, Reply):
            return reply
        return {place: Record(str(write.key), None, {}) for place, write in chunk.items()}

    async def _message(
        self, job: _Job, chunk: Mapping[int, _Write], message: str
    ) -> Reply | Mapping[int, Result] | None:
        """The answer to a bulk message; else the results where there is none, and None when it was refused."""
        path = f"{job.shape.set_name}/{ACTIONS}{message}"
        body: JsonObject = {"Targets": [_target(job.shape, write) for write in chunk.values()]}
        try:
            reply = await self._client.act(path, [("tag", self._tag)], path, body, job.budget.left())
        except ConnectorError as error:
            return dict.fromkeys(chunk, error)
        if reply.status >= 400:
            refused = error_of(next(iter(chunk.values())).doing, reply)
            return dict.fromkeys(chunk, refused) if isinstance(refused, SystemDown | UnknownResult) else None
        return reply

    async def _read_back(
        self, job: _Job, chunk: Mapping[int, _Write], keys: Sequence[str] | None
    ) -> Mapping[int, Result]:
        """The records as stored, which the message does not answer."""
        if keys is None:
            return dict.fromkeys(chunk, UnknownResult(SYSTEM))
        try:
            async with job.budget.understanding():
                found = await self._read(job, keys)
        except UnknownResult as unknown:
            return dict.fromkeys(chunk, unknown)
        lost = UnknownResult(SYSTEM)
        return {place: found.get(key, lost) for place, key in zip(chunk, keys, strict=True)}

    async def _read(self, job: _Job, keys: Sequence[str]) -> Mapping[str, Record]:
        shape, found = job.shape, list[Record]()
        query = [selected(shape, job.fields), ("$filter", is_one_of(shape.primary_id, keys))]
        async for page in self._client.pages(shape.set_name, query, shape.set_name, preferring(job.fields)):
            found += await self._records.records(shape, job.fields, rows_of(page))
        return {record.key: record for record in found}

    # --- one by one in one call ---

    async def _batches(self, job: _Job, chunk: Mapping[int, _Write]) -> Mapping[int, Result]:
        results: dict[int, Result] = {}
        parts = _Job(shape=job.shape, fields=job.fields, budget=job.budget, writes=dict(chunk))
        for part in parts.chunks(PARTS_PER_BATCH):
            results |= await self._batch(job, part)
        return results

    async def _batch(self, job: _Job, chunk: Mapping[int, _Write]) -> Mapping[int, Result]:
        parts = [self._part(job, write) for write in chunk.values()]
        try:
            reply = await self._client.batch(parts, job.budget.left())
        except ConnectorError as error:
            return dict.fromkeys(chunk, error)
        if reply.status >= 400:
            refusal = error_of(next(iter(chunk.values())).doing, reply)
            if isinstance(refusal, Refused) and not _deletes(chunk):  # as a whole: nothing of it was written
                return {place: await self._alone(job, write) for place, write in chunk.items()}
            return dict.fromkeys(chunk, refusal)
        answers = answers_of(reply, len(chunk))
        if answers is None:
            return dict.fromkeys(chunk, UnknownResult(SYSTEM, Answer(reply.status, request_id=reply.request_id)))
        told = dict(zip(chunk, answers, strict=True))
        refused = {place: self._refusal(chunk[place], one) for place, one in told.items() if one.status >= 400}
        done = {place: one for place, one in told.items() if one.status < 400}
        return {**refused, **await self._stored(job, chunk, done)}

    def _part(self, job: _Job, write: _Write) -> Part:
        query = self._query(job) if write.body is not None else [("tag", self._tag)]
        address = ROOT + _path(job.shape, write) + encoded(query)
        return Part(write.method, address, _headers(job, write), write.body)

    def _query(self, job: _Job) -> list[tuple[str, str]]:
        return [selected(job.shape, job.fields), ("tag", self._tag)]

    async def _alone(self, job: _Job, write: _Write) -> Result:
        try:
            row = await self._client.write(
                write.method,
                _path(job.shape, write),
                self._query(job),
                job.shape.set_name + ("" if write.key is None else "(..)"),
                write.body or {},
                doing=write.doing,
                headers=_headers(job, write),
                columns=write.names,
                within_seconds=job.budget.left(),
            )
            async with job.budget.understanding():
                (stored,) = await self._records.records(job.shape, job.fields, [row])
                return stored
        except ConnectorError as error:
            return error

    def _refusal(self, write: _Write, answer: Reply) -> ConnectorError:
        if answer.status == 429:
            return told_to_wait(SYSTEM, answer, self._clock.now())
        return error_of(write.doing, answer, write.names)

    async def _stored(
        self, job: _Job, chunk: Mapping[int, _Write], answers: Mapping[int, Reply]
    ) -> Mapping[int, Result]:
        """The records that parts were answered with; one with another key than ours is none of them. A delete is
        answered with nothing."""
        if _deletes(chunk):
            return {place: Record(str(chunk[place].key), None, {}) for place in answers}

        async def read(rows: Sequence[JsonObject]) -> Sequence[Record]:
            return await self._records.records(job.shape, job.fields, rows)

        results = await stored(SYSTEM, job.budget, answers, read)
        strange = {
            place: UnknownResult(SYSTEM)
            for place, one in results.items()
            if isinstance(one, Record) and chunk[place].key not in (None, one.key)
        }
        return results | strange

    async def _missing_references(self, job: _Job) -> Mapping[int, Result]:
        """Tell records that are gone from records that refer to one that is gone: both are "not found"."""
        missing = {place for place, result in job.results.items() if isinstance(result, RecordMissing)}
        doubtful = {place: job.writes[place] for place in missing if job.writes[place].refers}
        results: dict[int, Result] = {}
        for chunk in _Job(shape=job.shape, fields=[], budget=job.budget, writes=doubtful).chunks(PARTS_PER_BATCH):
            keys = [str(write.key) for write in chunk.values()]
            try:
                there = await self._read(_Job(shape=job.shape, fields=[], budget=job.budget), keys)
            except ConnectorError as error:
                results |= dict.fromkeys(chunk, error)
                continue
            results |= {place: _bad_reference(job.results[place]) for place, one in chunk.items() if one.key in there}
        if results:
            self._records.forget()
        return results


def _deletes(chunk: Mapping[int, _Write]) -> bool:
    """Whether they are deletes; one job holds writes of one kind."""
    return all(write.body is None for write in chunk.values())


def _are_different(job: _Job) -> bool:
    """Whether no record is changed twice: the targets of one message must be different ones."""
    keys = [write.key for write in job.writes.values()]
    return len(set(keys)) == len(keys)


def _path(shape: Table, write: _Write) -> str:
    return shape.set_name + ("" if write.key is None else f"({write.key})")


def _headers(job: _Job, write: _Write) -> Mapping[str, str]:
    wanted = {"Prefer": preferring(job.fields, "return=representation")} if write.body is not None else {}
    return {**wanted, **write.condition}


def _target(shape: Table, write: _Write) -> JsonObject:
    key: JsonObject = {} if write.key is None else {shape.primary_id: write.key}
    return {"@odata.type": f"{ACTIONS}{shape.name}", **key, **(write.body or {})}


def _ids(reply: Reply, writes: Sequence[_Write]) -> list[str] | None:
    """The keys of the created records in order; None when the answer is not as documented."""
    try:
        listed = as_list(as_object(reply.content, "the answer").get("Ids"), "Ids")
        keys = [canonical_guid(as_text(one, "an id")) for one in listed]
    except ValueError:
        return None
    agree = len(keys) == len(writes) and all(write.key in (None, key) for write, key in zip(writes, keys, strict=True))
    return keys if agree else None


def _bad_reference(missing: Result) -> Refused:
    answer = missing.answer if isinstance(missing, ConnectorError) else Answer()
    return Refused(SYSTEM, answer, f"{SYSTEM}: a reference points to a missing record.")
