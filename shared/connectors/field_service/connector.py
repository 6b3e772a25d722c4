"""The connector of field service: the port's methods as requests to one installation, in its dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Final

from shared.connectors.budget import Budget
from shared.connectors.bulk import each, each_change
from shared.connectors.field_service.dialect import Dialect, Row, Rows, Walk
from shared.connectors.field_service.feed import Asked, by_time
from shared.connectors.field_service.keys import canonical
from shared.connectors.field_service.records import Records, sources_of
from shared.connectors.field_service.schema import Schema
from shared.connectors.field_service.tables import Field, Table
from shared.connectors.field_service.values import SEARCHABLE, parts_as, sought
from shared.connectors.moments import earlier
from shared.connectors.offsets import overlapping
from shared.connectors.values import UnfitValue
from shared.errors import (
    Answer,
    BadAnswer,
    ConnectorError,
    NotAllowed,
    RecordMissing,
    Refused,
    UnknownColumn,
    UnknownResult,
)
from shared.strict_json import Json, JsonObject
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Clock,
    ColumnType,
    NewRecord,
    Profile,
    Reach,
    Record,
    RecordPage,
    Right,
    TableLabel,
    TableMetadata,
    Value,
    VersionKind,
)

LONGEST_RUN = timedelta(minutes=5)
"""Neither product publishes one; a gateway gives up well before."""
KEYS_PER_READ = 100
MOST_BEHIND = 1000
"""Records that a search behind a reference may find."""


class FieldServiceConnector:
    """Reads and writes the tables of one installation. `system`: its name in this installation of ours."""

    def __init__(self, dialect: Dialect, clock: Clock, *, instance: str, system: str) -> None:
        self._dialect = dialect
        self._clock = clock
        self.instance: Final = instance
        self.system: Final = system
        self._schema = Schema(dialect, clock)
        self._records = Records(dialect)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._dialect.aclose()

    def capabilities(self, table: str) -> Capabilities:
        """Of every table alike."""
        versions = self._dialect.has_versions
        return Capabilities(
            chooses_key=False,
            enforced_columns=frozenset(),
            version=VersionKind.OPAQUE if versions else VersionKind.NONE,
            returns_new_version=versions,
            read_after_write=True,
            longest_run=LONGEST_RUN,
            keys_per_read=KEYS_PER_READ,
        )

    def canonical_key(self, table: str, key: str) -> str:
        return canonical(key)

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        """Not offered: nothing is kept unique that we could choose so that it is never somebody else's."""
        raise ValueError(f"{self._dialect.kind} does not let us choose a key")

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        return earlier(self._dialect.kind, at, no_later_than)

    # --- reading ---

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        """One by one where the key has several columns, else together. By a search, never by the address of a record:
        who says that there is nothing under it may mean the table."""
        at, fields = await self._asked(table, columns)
        asked = [self._records.parts(at, canonical(key)) for key in dict.fromkeys(keys)]
        parts = [one for one in asked if one is not None]
        if not parts:
            return {}
        wanted = sources_of(at, fields)
        asked_together = [[one] for one in parts] if len(at.keys) > 1 else [parts]
        found = await asyncio.gather(
            *(self._dialect.those(at, at.keys, some, wanted, len(some)) for some in asked_together)
        )
        rows = [row for some in found for row in some]
        return {one.key: one for one in await self._complete(at, rows, fields)}

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        at, fields = await self._asked(table, columns)
        (by,) = await self._schema.fields(at, [column])
        texts = [value for value in dict.fromkeys(values) if value]
        alike = await self._alike(at, by, texts)
        if not alike:
            return []
        rows = await self._dialect.those(at, by.sources, alike, sources_of(at, fields), limit)
        found = {one.key: one for one in await self._complete(at, rows, fields)}
        return list(found.values())[:limit]

    async def _alike(self, table: Table, by: Field, texts: Sequence[str]) -> list[Sequence[Json]]:
        """The groups of values that the sources of a column may equal, to be one of these texts. Raises UnknownColumn
        for a column that no text can be searched in."""
        kinds = tuple(table.kinds[name] for name in by.sources)
        if not by.leads and by.type not in SEARCHABLE:
            detail = f"{self._dialect.kind}: the column {by.name} cannot be searched in."
            raise UnknownColumn(self._dialect.kind, Answer(field=by.name), detail)
        if not by.leads:
            return [[value] for text in texts if (value := sought(by.type, text)) is not None]
        if by.far is not None:
            texts = [one.key for one in await self.find(by.target, by.far.name, texts, [], MOST_BEHIND)]
        alike: list[Sequence[Json]] = []
        for text in texts:
            with suppress(UnfitValue):
                alike.append(parts_as(kinds, text))
        return alike

    async def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        at, fields = await self._asked(table, columns)
        column = self._dialect.changed_in(table)
        if not self._is_walked(at):
            raise self._not_walked(table, column)
        asked = Asked(self._dialect, self._records, at, column, sources_of(at, fields, column))
        async for found in by_time(asked, since, self._clock.now()):
            times = "" if self._dialect.has_versions else asked.times(found.rows)
            yield ChangePage(await self._complete(at, found.rows, fields), [], found.watermark, times)

    def _is_walked(self, table: Table) -> bool:
        """Whether it has the column with the time of the last change that the site's binding names."""
        return table.kinds.get(self._dialect.changed_in(table.name)) is ColumnType.DATETIME

    def _not_walked(self, table: str, column: str) -> UnknownColumn:
        setting = f"CROSSDOCK_{self.system.upper()}_SITE"
        missing = f"{table} has no column {column}".rstrip()
        detail = (
            f"{self._dialect.kind}: {missing} with the time of the last change; name it as "
            f"changed_at in {setting}, or let the nightly comparison alone find what changes."
        )
        return UnknownColumn(self._dialect.kind, Answer(field=column or table), detail)

    async def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        """In the order of the key; a place is how many rows stand before, and the last of them."""
        at, fields = await self._asked(table, columns)
        walk, size = Walk(sources_of(at, fields), at.keys), max(2, min(most, self._dialect.page_size))

        async def ask(offset: int) -> Rows:
            return await self._dialect.some(at, walk, offset, size)

        def names(page: Rows) -> list[str]:
            return [self._records.key(at, row) for row in page.rows]

        async for cut in overlapping(ask, names, place, size):
            yield RecordPage(await self._complete(at, cut.page.rows[cut.told :], fields), cut.place)

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        """Not offered: no table of it is kept by days."""
        raise ValueError(f"{self._dialect.kind} lists nothing by days")

    async def _asked(self, table: str, columns: Sequence[str]) -> tuple[Table, list[Field]]:
        at = await self._schema.table(table)
        return at, await self._schema.fields(at, columns)

    async def _complete(self, table: Table, rows: Sequence[Row], fields: Sequence[Field]) -> list[Record]:
        """The rows as records, with what stands behind dots."""
        records = [self._records.record(table, row, fields) for row in rows]
        for one in fields:
            if one.far is not None:
                records = await self._with_behind(records, one, one.far)
        return records

    async def _with_behind(self, records: Sequence[Record], field: Field, far: Field) -> list[Record]:
        keys = dict.fromkeys(str(one.values[field.name]) for one in records if one.values[field.name] is not None)
        behind = await self.read(field.target, list(keys), [far.name])
        values = {key: one.values[far.name] for key, one in behind.items()}
        return [
            replace(one, values={**one.values, field.name: values.get(str(one.values[field.name]))}) for one in records
        ]

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
        """A repeated create creates again: whoever lost an answer looks first."""
        if key is not None:
            raise ValueError(f"{self._dialect.kind} does not let us choose a key")
        budget = Budget(self._dialect.kind, self._clock, within_seconds)
        given = {name: value for name, value in values.items() if value is not None}
        async with budget.preparing():
            at, fields = await self._asked(table, columns)
            body = await self._body(at, given)
        try:
            row = await self._dialect.create(at, body, sources_of(at, fields), budget.left())
        except BadAnswer as error:
            raise UnknownResult(self._dialect.kind, error.answer) from None
        return await self._stored(at, row, fields, budget)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """One call for each: there is no bulk form."""
        await self._asked(table, columns)
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
        budget = Budget(self._dialect.kind, self._clock, self._dialect.timeout_seconds)
        return await self._changed(table, Change(key, values, version), columns, budget)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """One call for each, those of one record one after another."""
        budget = Budget(self._dialect.kind, self._clock, within_seconds)
        await self._asked(table, columns)
        return await each_change(changes, lambda one: self._changed(table, one, columns, budget))

    async def _changed(self, table: str, change: Change, columns: Sequence[str], budget: Budget) -> Record:
        async with budget.preparing():
            at, fields = await self._asked(table, columns)
            body = await self._body(at, change.values)
        parts = self._parts(at, change.key)
        try:
            row = await self._dialect.update(at, parts, body, sources_of(at, fields), change.version, budget.left())
        except BadAnswer as error:
            raise UnknownResult(self._dialect.kind, error.answer) from None
        return await self._stored(at, row, fields, budget)

    async def delete(self, table: str, key: str) -> None:
        """Raises Refused for a record that others lead to."""
        at = await self._schema.table(table)
        with suppress(RecordMissing):
            await self._dialect.delete(at, self._parts(at, key), self._dialect.timeout_seconds)

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        """Not offered: there is no bulk form."""
        raise ValueError(f"{self._dialect.kind} deletes nothing in bulk")

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        """Not offered; `capabilities` says so."""
        raise ValueError(f"{self._dialect.kind} takes no notes")

    def _parts(self, table: Table, key: str) -> list[Json]:
        parts = self._records.parts(table, canonical(key))
        if parts is None:
            raise RecordMissing(self._dialect.kind)
        return parts

    async def _body(self, table: Table, values: Mapping[str, Value]) -> JsonObject:
        """A write's body; raises UnknownColumn and, naming the column, Refused."""
        fields = await self._schema.fields(table, list(values))
        known = dict(values)
        for one in fields:
            if one.far is not None and values[one.name] is not None:
                known[one.name] = await self._key_behind(one, one.far, values[one.name])
        return self._records.body(table, fields, known)

    async def _key_behind(self, field: Field, far: Field, value: Value) -> str:
        found = await self.find(field.target, far.name, [str(value)], [], limit=2)
        if len(found) != 1:
            named = f"names {'several records' if found else 'no record'} of {field.target}"
            raise Refused(self._dialect.kind, Answer(field=field.name), f"{self._dialect.kind}: {field.name} {named}.")
        return found[0].key

    async def _stored(self, table: Table, row: Row, fields: Sequence[Field], budget: Budget) -> Record:
        """The record that a write was answered with; what is not as documented leaves its result unknown."""
        async with budget.understanding():
            (record,) = await self._complete(table, [row], fields)
            return record

    # --- what is known ---

    async def metadata(self, table: str) -> TableMetadata:
        return TableMetadata(table, (await self._schema.table(table)).columns)

    async def survey(self, table: str) -> TableMetadata:
        """Of our rights the interfaces tell only whether we may read."""
        at = await self._schema.reread(table)
        return TableMetadata(
            table,
            at.columns,
            key=at.keys,
            tracked=self._is_walked(at),
            rights={Right.READ: await self._reach(at)},
        )

    async def _reach(self, table: Table) -> Reach:
        try:
            await self._dialect.some(table, Walk(table.keys, table.keys), 0, 1)
        except NotAllowed:
            return Reach.NONE
        return Reach.ALL

    async def browse(self, within: str = "") -> Sequence[TableLabel]:
        """Of IFS Cloud the projections, and the entity sets of the one that `within` names."""
        return await self._dialect.browse(within)

    async def ourselves(self) -> frozenset[str]:
        """No record names its editors."""
        return frozenset()

    async def identify(self) -> str:
        return self.instance

    async def profile(self) -> Profile | None:
        return None

    async def ping(self) -> None:
        await self._dialect.ping()
