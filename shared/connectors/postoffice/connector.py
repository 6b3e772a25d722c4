"""The connector of PostOffice: the port's methods as requests to one site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from shared.connectors.budget import Budget
from shared.connectors.bulk import each, each_change
from shared.connectors.moments import earlier
from shared.connectors.postoffice import managers
from shared.connectors.postoffice.booked import of_customer, with_centre, with_customers
from shared.connectors.postoffice.client import PostOfficeClient, object_of
from shared.connectors.postoffice.errors import SYSTEM, Doing
from shared.connectors.postoffice.feed import Asked, by_feed, by_time
from shared.connectors.postoffice.further import FurtherLists
from shared.connectors.postoffice.parts import Parts, derived_part, in_turn
from shared.connectors.postoffice.rows import Rows
from shared.connectors.postoffice.site import Site
from shared.connectors.postoffice.sums import asking, of_day
from shared.connectors.postoffice.tables import ACCOUNT_MANAGER, COST_CENTRE, CRM_ID, CUSTOMER, TABLES, Table
from shared.connectors.postoffice.values import canonical_id, canonical_part, holds
from shared.connectors.turns import InTurn
from shared.errors import (
    Answer,
    BadAnswer,
    ConnectorError,
    RecordMissing,
    Refused,
    UnknownColumn,
    UnknownResult,
    VersionConflict,
)
from shared.http_client import HttpClient, Reply
from shared.strict_json import JsonObject
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Clock,
    ColumnMetadata,
    NewRecord,
    Profile,
    Record,
    RecordPage,
    TableMetadata,
    Value,
    VersionKind,
)

LONGEST_RUN = timedelta(minutes=5)
"""The contract names no longest run; a gateway gives up well before."""
KEYS_PER_READ = 100


class PostOfficeConnector:
    """Reads and writes the lists of one site.

    `base_path`: what stands before `/v1`. `system`: its name in this installation. Lists that PostOffice alone keeps
    are read as a whole, since the contract has no address for one of their rows.
    """

    def __init__(
        self,
        clients: Sequence[HttpClient],
        clock: Clock,
        *,
        instance: str,
        base_path: str = "",
        site: Site | None = None,
        system: str = SYSTEM,
    ) -> None:
        self._site = site or Site()
        self._client = PostOfficeClient(InTurn(clients), base_path, self._site)
        self._clock = clock
        self.instance: Final = instance
        self.system: Final = system
        self._rows = Rows(self._site)
        self._further = FurtherLists(self._site, clock, self._first_page)
        self._parts = Parts(self._client, self._site, self._rows)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def capabilities(self, table: str) -> Capabilities:
        """Of a table that there is not, as of any list."""
        at = TABLES.get(table)
        part, immutable = bool(at and at.part), bool(at and at.immutable)
        return Capabilities(
            chooses_key=part,
            enforces_key=not immutable or self._site.idempotency_keys,
            deletes=part and not immutable,
            owner=at.owner if at else "",
            immutable=immutable,
            enforced_columns=frozenset(),
            version=VersionKind.OPAQUE if self._site.versions or immutable else VersionKind.NONE,
            returns_new_version=self._site.versions,
            read_after_write=True,
            longest_run=LONGEST_RUN,
            keys_per_read=KEYS_PER_READ,
            days=table in TABLES and bool(TABLES[table].grouped),
        )

    def canonical_key(self, table: str, key: str) -> str:
        at = TABLES.get(table)
        return canonical_part(key) if at and at.part else canonical_id(key)

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        """Of parts; PostOffice gives the keys of its records itself."""
        at = TABLES.get(table)
        if at is None or not at.part:
            raise ValueError(f"{SYSTEM} does not let us choose a key")
        return derived_part(at, seed, values)

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        return None if self._site.feed else earlier(SYSTEM, at, no_later_than)

    # --- reading ---

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        at = await self._at(table)
        wanted = self._rows.columns(at, with_centre(at, columns))
        if at.part:
            return await self._parts.read(at, keys, wanted)
        asked = dict.fromkeys(canonical_id(key) for key in keys)
        if not asked:
            return {}
        if not at.written:
            return await self._of_list(at, list(asked), wanted)
        found = await asyncio.gather(*(self._one(at, key, wanted) for key in asked))
        return {one.key: one for one in found if one is not None}

    async def _of_list(self, at: Table, keys: Sequence[str], wanted: Sequence[ColumnMetadata]) -> dict[str, Record]:
        """Records of a list that has no address for one of them: filtered by ids, or the list as a whole."""
        found: dict[str, Record] = {}
        chunks = [keys[start : start + KEYS_PER_READ] for start in range(0, len(keys), KEYS_PER_READ)]
        ids = self._site.parameter("ids")
        for query in [{ids: ",".join(chunk)} for chunk in chunks] if self._site.filters else [{}]:
            found |= {one.key: one async for one in self._every(at, query, wanted) if one.key in keys}
        return found

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        at = await self._at(table)
        (by,), wanted = self._rows.columns(at, [column]), self._rows.columns(at, columns)
        texts = [value for value in dict.fromkeys(values) if value]
        if column == at.owner:
            return (await self._parts.all_of(at, [canonical_id(one) for one in texts], wanted))[:limit]
        if column not in at.searchable and not (at.booked and column in (CUSTOMER, COST_CENTRE) and self._site.filters):
            return await self._compared(at, by, texts, wanted, limit)
        found: dict[str, Record] = {}
        for text in texts:
            async for one in self._filtered(at, column, text, wanted):
                found[one.key] = one
                if len(found) >= limit:
                    return list(found.values())
        return list(found.values())

    def _filtered(self, at: Table, column: str, text: str, wanted: Sequence[ColumnMetadata]) -> AsyncIterator[Record]:
        if at.of_centre and column == CUSTOMER:
            whose = self._rows.columns(at, with_centre(at, [*(one.name for one in wanted), CUSTOMER]))
            return of_customer(at, text, whose, self._site.theirs, self._every)
        return self._every(at, {self._site.theirs(at.name, column): text}, wanted)

    async def _compared(
        self, at: Table, by: ColumnMetadata, texts: Sequence[str], wanted: Sequence[ColumnMetadata], limit: int
    ) -> list[Record]:
        """Go through a list that cannot be filtered by this column."""
        folded = {text.casefold() for text in texts}
        both = self._rows.columns(at, with_centre(at, [one.name for one in (*wanted, by)]))
        found = [one async for one in self._every(at, {}, both) if holds(one, by.name, folded)]
        names = {one.name for one in wanted}
        return [
            Record(one.key, one.version, {name: value for name, value in one.values.items() if name in names})
            for one in found[:limit]
        ]

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        at = await self._at(table)
        wanted = self._rows.columns(at, with_centre(at, columns))
        if at.part:
            async for page in self.changes(at.owners, since, ()):
                owners = [one.key for one in page.records]
                yield ChangePage(await self._parts.all_of(at, owners, wanted), [], page.watermark)
            return
        asked = Asked(
            self._client,
            at.name,
            self._site.path(at.name),
            lambda keys: self.read(table, keys, columns),
            lambda row: self._listed(at, row, wanted),
        )
        async for page in (by_feed if self._site.feed else by_time)(asked, since):
            yield replace(page, records=await self._with_parts(at, page.records, columns))

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        """In the order of the list; a place is its cursor, or how many rows stand before and the last of them. The
        parts of as many owners as a page would hold are on a page together."""
        at = await self._at(table)
        wanted = self._rows.columns(at, with_centre(at, columns))
        if at.part:
            async for owners in self.pages(at.owners, place, (), most):
                keys = [one.key for one in owners.records]
                yield RecordPage(await self._parts.all_of(at, keys, wanted), owners.place)
            return
        async for page in self._client.pages(self._site.path(table), {}, place, most):
            records = [self._listed(at, row, wanted) for row in page.rows]
            yield RecordPage(await self._with_parts(at, records, columns), page.place)

    async def of_day(
        self, table: str, column: str, day: date, columns: Sequence[str]
    ) -> AsyncIterator[Sequence[Record]]:
        at = await self._at(table)
        wanted = self._rows.columns(at, columns)
        async for records in of_day(self._client, self._rows, at, column, day, wanted):
            yield records

    async def _every(
        self, at: Table, query: Mapping[str, str], wanted: Sequence[ColumnMetadata]
    ) -> AsyncIterator[Record]:
        if at.part:
            async for parts in self.pages(at.name, None, [one.name for one in wanted]):
                for one in parts.records:
                    yield one
            return
        path = self._site.path(at.name)
        names = [one.name for one in wanted]
        async for page in self._client.pages(path, query, None, self._site.page_size):
            for one in await self._with_parts(at, [self._listed(at, row, wanted) for row in page.rows], names):
                yield one

    def _listed(self, at: Table, row: JsonObject, wanted: Sequence[ColumnMetadata]) -> Record:
        """A row of a list as a record; the parts are not in it yet."""
        own = [one for one in wanted if not self._rows.parts(at, [one.name])]
        version = row.get("version") if self._site.versions else None
        return self._rows.record(at, row, own, f'"{version}"' if isinstance(version, str) else None)

    async def _with_parts(self, at: Table, records: Sequence[Record], columns: Sequence[str]) -> Sequence[Record]:
        """Lists show no parts; where they are asked for, each record is read for itself. A row that is booked on a cost
        centre gets its customer."""
        if at.of_centre:
            return await with_customers(records, self.read)
        if not self._rows.parts(at, columns) or all(set(one.values) >= set(columns) for one in records):
            return records
        found = await self.read(at.name, [one.key for one in records], columns)
        return [found[one.key] for one in records if one.key in found]

    async def _one(self, at: Table, key: str, wanted: Sequence[ColumnMetadata]) -> Record | None:
        path = self._site.path(at.name)
        parts = self._rows.parts(at, [one.name for one in wanted])
        query = {self._site.parameter("expand"): ",".join(parts)} if parts else {}
        reply = await self._client.get_or_none(f"{path}/{key}", query, f"{path}/..")
        return None if reply is None else self._rows.record(at, object_of(reply), wanted, self._version(reply))

    def _version(self, reply: Reply) -> str | None:
        return reply.headers.get("etag") if self._site.versions else None

    async def _at(self, table: str) -> Table:
        """A list of the contract, or one that only this site has."""
        if table in TABLES:
            return TABLES[table]
        if not self._further.may_be(table):
            raise UnknownColumn(SYSTEM, Answer(field=table))
        return await self._further.table(table)

    async def _first_page(self, table: str) -> Sequence[JsonObject]:
        async for page in self._client.pages(self._site.path(table), {}, None, self._site.page_size):
            return page.rows
        return ()

    # --- writing ---

    async def create(
        self,
        table: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        key: str | None,
        within_seconds: float,
    ) -> Record:
        """The CRM's id is the key of repetition: a site that knows it answers the same record again."""
        at, budget = await self._at(table), Budget(SYSTEM, self._clock, within_seconds)
        wanted, path = self._rows.columns(at, columns), self._site.path(table)
        if at.part:
            return await self._parts.create(at, NewRecord(values, key), wanted, budget)
        if key is not None:
            raise ValueError(f"{SYSTEM} does not let us choose a key")
        if values.get(ACCOUNT_MANAGER) is not None:
            detail = f"{SYSTEM}: a new record takes no {ACCOUNT_MANAGER}; the definition says on_create: after."
            raise Refused(SYSTEM, Answer(field=ACCOUNT_MANAGER), detail)
        body = self._rows.body(at, {name: value for name, value in values.items() if value is not None})
        crm_id = values.get(CRM_ID)
        headers = {"Idempotency-Key": str(crm_id)} if crm_id and self._site.idempotency_keys else {}
        reply = await self._client.write(
            "POST",
            path,
            path,
            body,
            doing=Doing.CREATE,
            headers=headers,
            columns=list(self._rows.sent_names(at, values)),
            within_seconds=budget.left(),
        )
        return self._stored(at, reply, wanted)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """One call for each: the contract has no bulk form."""
        at = await self._at(table)
        if at.part:
            budget, columns_of = Budget(SYSTEM, self._clock, within_seconds), self._rows.columns(at, columns)
            return await in_turn([(one.key or "", self._parts.create(at, one, columns_of, budget)) for one in wanted])
        return await each(
            self.create(table, one.values, columns, key=one.key, within_seconds=within_seconds) for one in wanted
        )

    async def update(
        self,
        table: str,
        key: str,
        values: Mapping[str, Value],
        columns: Sequence[str],
        *,
        version: str | None,
    ) -> Record:
        budget = Budget(SYSTEM, self._clock, self._client.timeout_seconds)
        return await self._changed(table, Change(key, values, version), columns, budget)

    async def _changed(self, table: str, change: Change, columns: Sequence[str], budget: Budget) -> Record:
        """The link goes first: a record that is not linked yet takes nothing else, and one that is being unlinked
        nothing afterwards."""
        at = await self._at(table)
        values, version, wanted = change.values, change.version, self._rows.columns(at, columns)
        if at.part:
            return await self._parts.update(at, change, wanted, budget)
        record_key = canonical_id(change.key)
        plain = {name: value for name, value in values.items() if name not in (CRM_ID, ACCOUNT_MANAGER)}
        body = self._rows.body(at, plain)
        manager = self._managed(record_key, values) if ACCOUNT_MANAGER in values else None
        stored: Record | None = None
        if values.get(CRM_ID) is not None:
            stored = await self._link(at, record_key, values[CRM_ID], wanted, version, budget)
            version = stored.version
        if manager is not None:
            version = await self._put_manager(at, manager, version, budget)
        if plain:
            stored = await self._patch(at, record_key, body, wanted, version, budget)
        if CRM_ID in values and values[CRM_ID] is None:
            stored = await self._unlink(at, record_key, wanted, None if plain else version, budget)
        if stored is not None and (manager is None or plain):
            return stored
        return await self._there(at, record_key, wanted)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """One call for each, those of one record one after another."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        if (await self._at(table)).part:
            return await in_turn([(one.key, self._changed(table, one, columns, budget)) for one in changes])
        return await each_change(changes, lambda one: self._changed(table, one, columns, budget))

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        """Not offered: the contract deletes no records."""
        raise ValueError(f"{SYSTEM} deletes nothing in bulk")

    async def delete(self, table: str, key: str) -> None:
        """Of parts; records of PostOffice's own stay, as `capabilities` says."""
        at = await self._at(table)
        if not at.part:
            raise ValueError(f"{SYSTEM}: a record of {table} cannot be deleted")
        await self._parts.delete(at, key, Budget(SYSTEM, self._clock, self._client.timeout_seconds))

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        """Journal entries are records of their own; `capabilities` says so."""
        raise ValueError(f"{SYSTEM} takes no notes")

    # --- what is known ---

    async def metadata(self, table: str) -> TableMetadata:
        return TableMetadata(table, (await self._at(table)).columns)

    async def survey(self, table: str) -> TableMetadata:
        """As the contract says; the interface describes itself nowhere. Reading the list tells whether we may."""
        if table not in TABLES and self._further.may_be(table):
            return TableMetadata(table, (await self._further.table(table, anew=True)).columns, announced=False)
        at = await self._at(table)
        path, query = self._site.path(at.owners or table), {self._site.parameter("limit"): "1"}
        if at.grouped:
            query |= asking(self._client, at, self._clock.now().date(), list(at.grouped))
        await self._client.get(path, query, path)
        return TableMetadata(table, at.columns, announced=False)

    async def ourselves(self) -> frozenset[str]:
        """No record names its editors."""
        return frozenset()

    async def identify(self) -> str:
        return self.instance

    async def profile(self) -> Profile | None:
        """As the database is marked in this moment."""
        body = object_of(await self._client.get(self._site.path("system"), {}, "system"))
        told = body.get("isTestSystem")
        if not isinstance(told, bool):
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: isTestSystem is neither yes nor no")
        return Profile.TEST if told else Profile.PRODUCTIVE

    async def ping(self) -> None:
        await self._client.get(self._site.path("system"), {}, "system")

    # --- the steps of a change ---

    async def _link(
        self, at: Table, key: str, crm_id: Value, wanted: Sequence[ColumnMetadata], version: str | None, budget: Budget
    ) -> Record:
        await self._still(at, key, version, budget)
        body: JsonObject = {"crmId": str(crm_id), "master": "CRM"}
        reply = await self._send("PUT", at, f"{key}/crm-link", body, version=None, columns=[CRM_ID], budget=budget)
        return await self._after(at, key, reply, wanted, budget)

    def _managed(self, key: str, values: Mapping[str, Value]) -> tuple[str, JsonObject]:
        return managers.address(self._site, key, values[ACCOUNT_MANAGER], self._setting)

    async def _put_manager(
        self, at: Table, manager: tuple[str, JsonObject], version: str | None, budget: Budget
    ) -> str | None:
        """Put the account manager; answers the record's version then, None where the site has none."""
        rest, body = manager
        try:
            reply = await self._send("PUT", at, rest, body, version=version, columns=[ACCOUNT_MANAGER], budget=budget)
        except Refused as error:
            raise managers.refused(error, self._site, self._setting) from None
        return self._version(reply)

    @property
    def _setting(self) -> str:
        """The setting that binds the site."""
        return f"CROSSDOCK_{self.system.upper()}_SITE"

    async def _unlink(
        self, at: Table, key: str, wanted: Sequence[ColumnMetadata], version: str | None, budget: Budget
    ) -> Record:
        """A record that is not linked is fine."""
        await self._still(at, key, version, budget)
        try:
            await self._send("DELETE", at, f"{key}/crm-link", None, version=None, columns=[CRM_ID], budget=budget)
        except RecordMissing:
            return await self._there(at, key, wanted)
        async with budget.understanding():
            return await self._there(at, key, wanted)

    async def _patch(
        self,
        at: Table,
        key: str,
        body: JsonObject,
        wanted: Sequence[ColumnMetadata],
        version: str | None,
        budget: Budget,
    ) -> Record:
        names = list(self._rows.sent_names(at, body))
        reply = await self._send("PATCH", at, key, body, version=version, columns=names, budget=budget)
        return await self._after(at, key, reply, wanted, budget)

    async def _still(self, at: Table, key: str, version: str | None, budget: Budget) -> None:
        """Refuse the change of a record that is no longer what the version says, where a request cannot name it."""
        if version is None or not self._site.versions:
            return
        async with budget.preparing():
            if (await self._there(at, key, [])).version != version:
                raise VersionConflict(SYSTEM)

    async def _send(
        self,
        method: str,
        at: Table,
        rest: str,
        body: JsonObject | None,
        *,
        version: str | None,
        columns: Sequence[str],
        budget: Budget,
    ) -> Reply:
        path = self._site.path(at.name)
        headers = {"If-Match": version} if version is not None and self._site.versions else {}
        _, _, below = rest.partition("/")
        return await self._client.write(
            method,
            f"{path}/{rest}",
            f"{path}/../{below}".rstrip("/"),
            body,
            doing=Doing.UPDATE,
            headers=headers,
            columns=columns,
            within_seconds=budget.left(),
        )

    async def _after(
        self, at: Table, key: str, reply: Reply, wanted: Sequence[ColumnMetadata], budget: Budget
    ) -> Record:
        """The record as stored: as answered, or read once more where the answer shows no parts."""
        async with budget.understanding():
            if self._rows.parts(at, [one.name for one in wanted]):
                return await self._there(at, key, wanted)
            return self._rows.record(at, object_of(reply), wanted, self._version(reply))

    async def _there(self, at: Table, key: str, wanted: Sequence[ColumnMetadata]) -> Record:
        found = await self._one(at, key, wanted)
        if found is None:
            raise RecordMissing(SYSTEM)
        return found

    def _stored(self, at: Table, reply: Reply, wanted: Sequence[ColumnMetadata]) -> Record:
        """The record that a create was answered with; what is not as documented leaves its result unknown."""
        try:
            return self._rows.record(at, object_of(reply), wanted, self._version(reply))
        except BadAnswer as error:
            raise UnknownResult(SYSTEM, error.answer) from None
