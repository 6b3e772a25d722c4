"""Parts of a customer or cost centre as records: contact persons, discounts, prices, and entries of the journal.

The interface has no lists of them: a record's parts are read with it, one is put or taken away below it. A part's key
is `<owner>/<part>`; we choose the second half, so a repeated PUT is the same part again. A part's version is a digest
of its content, since the owner's moves with every one of its parts; the write itself is bound to the owner's as it was
when the content was compared.

Entries of the journal are sent once and never change. Where the site keeps no keys of repetition, nothing but a look
tells whether an entry has arrived.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from shared.connectors.budget import Budget
from shared.connectors.postoffice.client import PostOfficeClient, object_of, text_in
from shared.connectors.postoffice.errors import SYSTEM, Doing
from shared.connectors.postoffice.rows import Rows
from shared.connectors.postoffice.site import Site
from shared.connectors.postoffice.tables import JOURNAL, Table
from shared.connectors.postoffice.values import canonical_part
from shared.errors import (
    AlreadyExists,
    Answer,
    BadAnswer,
    ConnectorError,
    NotMastered,
    RecordMissing,
    Refused,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import Reply
from shared.strict_json import JsonObject, WrongShape, as_list, as_object
from shared.sync.ports import Change, ColumnMetadata, NewRecord, Record, Value

NAMESPACE = uuid.UUID("0d0c8f0e-2e0f-5d2b-8f38-5d6c1b7d3f52")
"""Of the keys we choose ourselves. It must never change: a repeated create finds its part by it."""
ROUNDS = 5
"""How often a write is begun anew because the owner has got another version meanwhile."""
PART, ENTRY = "key", "externalId"
NOT_OURS_YET = "NotCrmMastered"
NO_OWNER = 404


@dataclass(frozen=True, slots=True)
class _Owner:
    """A record with its parts. version: what a write may name, None where the site has none."""

    version: str | None
    parts: Mapping[str, JsonObject]


def derived_part(at: Table, seed: str, values: Mapping[str, Value]) -> str:
    """The key of a new part; raises ValueError where its owner is not named."""
    owner = values.get(at.owner)
    if not isinstance(owner, str):
        raise ValueError(f"{SYSTEM}: a part needs its owner")
    part = uuid.uuid5(NAMESPACE, f"{at.name}\n{seed}")
    return canonical_part(f"{owner}/{part}")


@dataclass(frozen=True)
class Parts:
    """Reads and writes the parts of one site's customers and cost centres."""

    client: PostOfficeClient
    site: Site
    rows: Rows

    # --- reading ---

    async def read(self, at: Table, keys: Collection[str], wanted: Sequence[ColumnMetadata]) -> dict[str, Record]:
        """The parts by key, each owner asked once."""
        asked: dict[str, list[str]] = {}
        for key in dict.fromkeys(canonical_part(one) for one in keys):
            owner, _, part = key.partition("/")
            asked.setdefault(owner, []).append(part)
        found = await asyncio.gather(*(self._of_owner(at, owner, parts, wanted) for owner, parts in asked.items()))
        return {record.key: record for records in found for record in records}

    async def all_of(self, at: Table, owners: Collection[str], wanted: Sequence[ColumnMetadata]) -> list[Record]:
        """Every part of these owners."""
        found = await asyncio.gather(*(self._of_owner(at, owner, None, wanted) for owner in owners))
        return [record for records in found for record in records]

    async def _of_owner(
        self, at: Table, owner: str, parts: Sequence[str] | None, wanted: Sequence[ColumnMetadata]
    ) -> list[Record]:
        if at.immutable:
            rows = [row async for row in self._entries(at, owner, parts)]
            return [self._record(at, owner, text_in(row, ENTRY), row, wanted) for row in rows]
        held = await self._owner(at, owner)
        there = held.parts if held else {}
        names = there if parts is None else [part for part in parts if part in there]
        return [self._record(at, owner, part, there[part], wanted) for part in names]

    async def _entries(self, at: Table, owner: str, ids: Sequence[str] | None) -> AsyncIterator[JsonObject]:
        """Entries of a record's journal: those that are asked for, or all."""
        path, template = f"{self._path(at, owner)}/{JOURNAL}", f"{self.site.path(at.owners)}/../{JOURNAL}"
        for query in [{ENTRY: one} for one in ids] if ids is not None else [{}]:
            try:
                size = self.site.page_size
                async for page in self.client.pages(path, query, None, size, named=_entry, template=template):
                    for row in page.rows:
                        yield row
            except UnknownColumn as error:
                if error.answer.status != NO_OWNER:
                    raise

    async def _owner(self, at: Table, owner: str) -> _Owner | None:
        query = {self.site.parameter("expand"): at.part}
        path = self._path(at, owner)
        reply = await self.client.get_or_none(path, query, f"{self.site.path(at.owners)}/..")
        if reply is None:
            return None
        try:
            rows = [as_object(row, "a part") for row in as_list(object_of(reply).get(at.part), at.part)]
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None
        return _Owner(self._etag(reply), {text_in(row, PART): row for row in rows})

    def _etag(self, reply: Reply) -> str | None:
        return reply.headers.get("etag") if self.site.versions else None

    def _path(self, at: Table, owner: str) -> str:
        return f"{self.site.path(at.owners)}/{owner}"

    def _record(self, at: Table, owner: str, part: str, row: JsonObject, wanted: Sequence[ColumnMetadata]) -> Record:
        own = [one for one in wanted if one.name != at.owner]
        values = dict(self.rows.values(at, row, own))
        if len(own) < len(wanted):
            values[at.owner] = owner
        try:
            return Record(canonical_part(f"{owner}/{part}"), self._version(at, row), values)
        except ValueError as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: a row of {at.name}: {error}") from None

    def _version(self, at: Table, row: JsonObject) -> str | None:
        if not self.site.versions and not at.immutable:
            return None
        content = [row.get(self.site.theirs(at.name, name)) for name in at.columns if name != at.owner]
        return blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()

    # --- writing ---

    async def create(self, at: Table, one: NewRecord, wanted: Sequence[ColumnMetadata], budget: Budget) -> Record:
        """Put a new part; raises AlreadyExists for one that is there."""
        if one.key is None:
            raise ValueError(f"{SYSTEM}: the key of a part is ours to choose")
        owner, _, part = canonical_part(one.key).partition("/")
        values = {name: value for name, value in one.values.items() if value is not None}
        if values.pop(at.owner, owner) != owner:
            raise ValueError(f"{SYSTEM}: the key names another owner than the values")
        body = self.rows.body(at, values)
        try:
            if at.immutable:
                return await self._entered(at, owner, part, body, wanted, budget)
            return await self._put_new(at, owner, part, body, wanted, budget)
        except RecordMissing as error:
            raise Refused(SYSTEM, Answer(error.answer.status, error.answer.vendor_code, at.owner)) from None

    async def _put_new(
        self, at: Table, owner: str, part: str, body: JsonObject, wanted: Sequence[ColumnMetadata], budget: Budget
    ) -> Record:
        for _ in range(ROUNDS):
            async with budget.preparing():
                held = await self._owner(at, owner)
            if held is None:
                raise RecordMissing(SYSTEM)
            if part in held.parts:
                raise AlreadyExists(SYSTEM)
            with suppress(VersionConflict):
                return await self._put(at, (owner, part), body, held, wanted, budget)
        raise VersionConflict(SYSTEM)

    async def update(self, at: Table, change: Change, wanted: Sequence[ColumnMetadata], budget: Budget) -> Record:
        """Put a part with some of its columns changed; what we do not know of it goes back as it came."""
        owner, _, part = canonical_part(change.key).partition("/")
        values = dict(change.values)
        if at.immutable or values.pop(at.owner, owner) != owner:
            raise ValueError(f"{SYSTEM}: neither an entry of the journal nor a part's owner can be changed")
        body = self.rows.body(at, values)
        for _ in range(ROUNDS):
            async with budget.preparing():
                held = await self._owner(at, owner)
            if held is None or part not in held.parts:
                raise RecordMissing(SYSTEM)
            row = held.parts[part]
            if change.version is not None and change.version != self._version(at, row):
                raise VersionConflict(SYSTEM)
            kept: JsonObject = {name: value for name, value in row.items() if name != PART}
            with suppress(VersionConflict):
                return await self._put(at, (owner, part), kept | body, held, wanted, budget)
        raise VersionConflict(SYSTEM)

    async def _put(
        self,
        at: Table,
        key: tuple[str, str],
        body: JsonObject,
        held: _Owner,
        wanted: Sequence[ColumnMetadata],
        budget: Budget,
    ) -> Record:
        """Put a part if its owner still has the version at which it was looked at; raises VersionConflict."""
        owner, part = key
        headers = {"If-Match": held.version} if held.version is not None else {}
        rest = f"{at.part}/{part}"
        reply = await self._send("PUT", at, owner, rest, body, headers=headers, budget=budget)
        return self._stored(at, owner, part, reply, wanted)

    async def _entered(
        self, at: Table, owner: str, part: str, body: JsonObject, wanted: Sequence[ColumnMetadata], budget: Budget
    ) -> Record:
        headers = {"Idempotency-Key": part} if self.site.idempotency_keys else {}
        entry: JsonObject = {ENTRY: part, **body}
        reply = await self._send("POST", at, owner, JOURNAL, entry, headers=headers, budget=budget)
        return self._stored(at, owner, part, reply, wanted)

    async def delete(self, at: Table, key: str, budget: Budget) -> None:
        """Take a part away; one that is gone already, or whose owner is, is fine."""
        if at.immutable:
            raise ValueError(f"{SYSTEM}: entries of the journal stay")
        owner, _, part = canonical_part(key).partition("/")
        with suppress(RecordMissing):
            await self._send("DELETE", at, owner, f"{at.part}/{part}", None, headers={}, budget=budget)

    async def _send(
        self,
        method: str,
        at: Table,
        owner: str,
        rest: str,
        body: JsonObject | None,
        *,
        headers: Mapping[str, str],
        budget: Budget,
    ) -> Reply:
        """Send a write below an owner. One that the CRM does not master (yet, or any more) is asked again later."""
        named, _, below = rest.partition("/")
        template = f"{self.site.path(at.owners)}/../{named}" + ("/.." if below else "")
        try:
            return await self.client.write(
                method,
                f"{self._path(at, owner)}/{rest}",
                template,
                body,
                doing=Doing.UPDATE,
                headers=headers,
                columns=list(self.rows.sent_names(at, body or {})),
                within_seconds=budget.left(),
            )
        except Refused as refused:
            if refused.answer.vendor_code == NOT_OURS_YET:
                raise NotMastered(SYSTEM, refused.answer) from None
            raise

    def _stored(self, at: Table, owner: str, part: str, reply: Reply, wanted: Sequence[ColumnMetadata]) -> Record:
        """The part as answered; what is not as documented leaves the result unknown."""
        try:
            return self._record(at, owner, part, object_of(reply), wanted)
        except BadAnswer as error:
            raise UnknownResult(SYSTEM, error.answer) from None


def _entry(row: JsonObject) -> str:
    return str(row.get(ENTRY))


async def in_turn(calls: Sequence[tuple[str, Awaitable[Record]]]) -> list[Record | ConnectorError]:
    """The result of each call, in order; those of one owner are made one after another, since each changes it."""
    by_owner: dict[str, list[int]] = {}
    for place, (key, _) in enumerate(calls):
        by_owner.setdefault(key.partition("/")[0], []).append(place)
    results: dict[int, Record | ConnectorError] = {}

    async def of_owner(places: Sequence[int]) -> None:
        for place in places:
            try:
                results[place] = await calls[place][1]
            except ConnectorError as error:
                results[place] = error

    await asyncio.gather(*map(of_owner, by_owner.values()))
    return [results[place] for place in range(len(calls))]
