"""The connector of the Cockpit: the port's methods as requests to one Cockpit.

A project is known by the opportunity that it belongs to: that is what it can be asked for, and what never changes. The
Cockpit's own id is looked up where a request needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from shared.connectors.budget import Budget
from shared.connectors.bulk import each, each_change
from shared.connectors.keys import canonical_guid
from shared.connectors.sales_cockpit.client import LONGEST_NAME, CockpitClient
from shared.connectors.sales_cockpit.errors import SYSTEM
from shared.connectors.turns import InTurn
from shared.errors import (
    Answer,
    ConnectorError,
    RecordMissing,
    Refused,
    UnknownColumn,
)
from shared.http_client import HttpClient
from shared.sales_cockpit.ports import Project
from shared.strict_json import JsonObject
from shared.sync.ports import (
    Capabilities,
    Change,
    ChangePage,
    Clock,
    ColumnMetadata,
    ColumnType,
    NewRecord,
    Profile,
    Record,
    RecordPage,
    TableMetadata,
    Value,
    VersionKind,
)

PROJECTS: Final = "projects"
EXTERNAL_ID, NAME, SOLUTION = "externalId", "name", "solutionId"
LONGEST_RUN = timedelta(minutes=5)
"""The contract names no longest run; a gateway gives up well before."""
COLUMNS: Final[Mapping[str, ColumnMetadata]] = {
    one.name: one
    for one in (
        ColumnMetadata(EXTERNAL_ID, ColumnType.KEY, updatable=False, required=True),
        ColumnMetadata(NAME, ColumnType.TEXT, LONGEST_NAME, required=True),
        ColumnMetadata(SOLUTION, ColumnType.TEXT, 64),
    )
}


class SalesCockpitConnector:
    """Reads and writes the projects of one Cockpit. `base_path`: what stands before `/api/v1`."""

    def __init__(
        self,
        clients: Sequence[HttpClient],
        clock: Clock,
        *,
        instance: str,
        base_path: str = "",
        system: str = SYSTEM,
    ) -> None:
        self._http = InTurn(clients)
        self._client = CockpitClient(lambda _: self._http, base_path=base_path)
        self._clock = clock
        self.instance: Final = instance
        self.system: Final = system

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def capabilities(self, table: str) -> Capabilities:
        return Capabilities(
            chooses_key=True,
            enforced_columns=frozenset(),
            version=VersionKind.NONE,
            returns_new_version=False,
            read_after_write=True,
            longest_run=LONGEST_RUN,
            keys_per_read=20,
        )

    def canonical_key(self, table: str, key: str) -> str:
        return canonical_guid(key)

    def derived_key(self, table: str, seed: str, values: Mapping[str, Value]) -> str:
        """The opportunity that the new project is for."""
        return canonical_guid(str(values.get(EXTERNAL_ID) or ""))

    def watermark_at(self, table: str, at: datetime, no_later_than: str | None = None) -> str | None:
        return None

    # --- reading ---

    async def read(self, table: str, keys: Sequence[str], columns: Sequence[str]) -> Mapping[str, Record]:
        _known(table, columns)
        found = await asyncio.gather(*(self._client.find(key) for key in dict.fromkeys(map(canonical_guid, keys))))
        return {one.opportunity: _record(one, columns) for one in found if one is not None}

    async def find(
        self, table: str, column: str, values: Sequence[str], columns: Sequence[str], limit: int = 10
    ) -> Sequence[Record]:
        """Projects can be searched by their opportunity only."""
        _known(table, [column, *columns])
        if column != EXTERNAL_ID:
            raise _not_offered(f"searched by {column}", column)
        return list((await self.read(table, [*filter(_is_guid, values)], columns)).values())[:limit]

    def changes(self, table: str, since: str | None, columns: Sequence[str]) -> AsyncIterator[ChangePage]:
        """Not offered: the Cockpit tells of no changes of projects."""
        raise _not_offered("walked", table)

    def pages(
        self, table: str, place: str | None, columns: Sequence[str], most: int = 1000
    ) -> AsyncIterator[RecordPage]:
        """Not offered: the Cockpit lists no projects."""
        raise _not_offered("listed", table)

    def of_day(self, table: str, column: str, day: date, columns: Sequence[str]) -> AsyncIterator[Sequence[Record]]:
        """Not offered; `capabilities` says so."""
        raise ValueError(f"{SYSTEM} tells nothing by days")

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
        """The opportunity is the key: a project that is there already is answered as it is."""
        _known(table, [*values, *columns])
        body = _body({name: value for name, value in values.items() if value is not None})
        opportunity = key or self.derived_key(table, "", values)
        solution = body.get(SOLUTION)
        made, _ = await self._client.create(
            opportunity, str(body.get(NAME, "")), str(solution) if solution else None, None, within_seconds
        )
        return _record(made, columns)

    async def create_many(
        self, table: str, wanted: Sequence[NewRecord], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """One call for each: the contract has no bulk form."""
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
        budget = Budget(SYSTEM, self._clock, self._http.limits.timeout_seconds)
        return await self._changed(table, Change(key, values, version), columns, budget)

    async def update_many(
        self, table: str, changes: Sequence[Change], columns: Sequence[str], *, within_seconds: float
    ) -> Sequence[Record | ConnectorError]:
        """One call for each, those of one project one after another."""
        budget = Budget(SYSTEM, self._clock, within_seconds)
        return await each_change(changes, lambda one: self._changed(table, one, columns, budget))

    async def _changed(self, table: str, change: Change, columns: Sequence[str], budget: Budget) -> Record:
        _known(table, [*change.values, *columns])
        body = _body(change.values)
        project = await self._there(change.key, budget)
        return _record(await self._client.change(project, body, budget.left()), columns)

    async def _there(self, key: str, budget: Budget) -> Project:
        async with budget.preparing():
            project = await self._client.find(key)
        if project is None:
            raise RecordMissing(SYSTEM)
        return project

    async def delete_many(
        self, table: str, keys: Sequence[str], *, within_seconds: float
    ) -> Sequence[ConnectorError | None]:
        """Not offered; `capabilities` says so."""
        raise ValueError(f"{SYSTEM} deletes nothing in bulk")

    async def delete(self, table: str, key: str) -> None:
        """Delete a project with its evaluations, where the Cockpit lets us."""
        budget = Budget(SYSTEM, self._clock, self._http.limits.timeout_seconds)
        try:
            project = await self._there(canonical_guid(key), budget)
        except RecordMissing:
            return
        await self._client.delete(project, budget.left())

    async def note(self, table: str, key: str, seed: str, subject: str, text: str) -> None:
        """Not offered; `capabilities` says so."""
        raise ValueError(f"{SYSTEM} takes no notes")

    # --- what is known ---

    async def metadata(self, table: str) -> TableMetadata:
        """As the contract says; the interface describes itself nowhere."""
        _known(table, ())
        return TableMetadata(table, COLUMNS)

    async def survey(self, table: str) -> TableMetadata:
        """The same, after a look whether the Cockpit lets us in."""
        _known(table, ())
        await self._client.ping()
        return TableMetadata(table, COLUMNS, tracked=False, announced=False)

    async def ourselves(self) -> frozenset[str]:
        """No project names its editors."""
        return frozenset()

    async def identify(self) -> str:
        return self.instance

    async def profile(self) -> Profile | None:
        """The contract does not tell."""
        return None

    async def ping(self) -> None:
        await self._client.ping()


def _known(table: str, columns: Sequence[str]) -> None:
    """Raises UnknownColumn for a table or a column that there is not."""
    for name in (*(() if table == PROJECTS else (table,)), *(one for one in columns if one not in COLUMNS)):
        raise UnknownColumn(SYSTEM, Answer(field=name))


def _is_guid(text: str) -> bool:
    try:
        canonical_guid(text)
    except ValueError:
        return False
    return True


def _not_offered(how: str, name: str) -> UnknownColumn:
    return UnknownColumn(SYSTEM, Answer(field=name), f"{SYSTEM}: its projects cannot be {how}.")


def _record(project: Project, columns: Sequence[str]) -> Record:
    values: Mapping[str, Value] = {
        EXTERNAL_ID: project.opportunity,
        NAME: project.name or None,
        SOLUTION: project.solution,
    }
    return Record(project.opportunity, None, {name: values[name] for name in columns})


def _body(values: Mapping[str, Value]) -> JsonObject:
    """A write's body; raises Refused naming the column whose value has no form there."""
    body: JsonObject = {}
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            raise Refused(SYSTEM, Answer(field=name), f"{SYSTEM}: {name} takes text, and cannot be blank.")
        body[name] = value
    return body
