"""Tables and columns as the system's own schema describes them, kept for an hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.connectors.cache import Cache
from shared.connectors.field_service.dialect import Dialect
from shared.connectors.field_service.tables import Field, Reference, Table
from shared.connectors.related import split_column
from shared.errors import Answer, UnknownColumn
from shared.sync.ports import Clock

FRESH_SECONDS = 60.0
MOST_RESOLVED = 500
"""Lists of columns that are kept resolved: a definition asks for the same few again and again."""


class Schema:
    """The tables of one installation; a name that seems unknown is looked up anew first."""

    def __init__(self, dialect: Dialect, clock: Clock) -> None:
        self._dialect = dialect
        self._groups: Cache[Mapping[str, Table]] = Cache(clock, dialect.tables)
        self._resolved: dict[tuple[str, tuple[str, ...]], tuple[Table, list[Field]]] = {}

    async def table(self, name: str, at_most_seconds_old: float | None = None) -> Table:
        """A table by its name; raises UnknownColumn."""
        try:
            group = self._dialect.group_of(name)
        except ValueError:
            raise self._unknown(name) from None
        tables = await self._groups.get(group, at_most_seconds_old)
        if name not in tables:
            tables = await self._groups.get(group, FRESH_SECONDS)
        if name not in tables:
            raise self._unknown(name)
        return tables[name]

    async def reread(self, name: str) -> Table:
        """The table as the schema describes it now."""
        return await self.table(name, at_most_seconds_old=-1)

    async def fields(self, table: Table, names: Sequence[str]) -> list[Field]:
        """The columns a definition names; raises UnknownColumn for the first that does not exist."""
        asked = (table.name, tuple(names))
        of, known = self._resolved.get(asked, (None, []))
        if of is table:
            return known
        try:
            found = [await self._field(table, name) for name in names]
        except UnknownColumn:
            table = await self.table(table.name, FRESH_SECONDS)
            found = [await self._field(table, name) for name in names]
        if not any(one.far or len(one.sources) > 1 for one in found):  # those depend on other tables, too
            if len(self._resolved) >= MOST_RESOLVED:
                self._resolved.clear()
            self._resolved[asked] = table, found
        return found

    async def _field(self, table: Table, name: str) -> Field:
        try:
            near, far = split_column(name)
        except ValueError:
            raise self._unknown(name) from None
        column, reference = table.columns.get(near), table.references.get(near)
        if column is None or (far and (reference is None or not reference.target)):
            raise self._unknown(name)
        if reference is None:
            return Field(name, table.kinds[near], (near,))
        sources = await self._in_order(reference)
        if not far:
            return Field(name, column.type, sources, leads=True, target=reference.target)
        try:
            (behind,) = await self.fields(await self.table(reference.target), [far])
        except UnknownColumn:
            raise self._unknown(name) from None
        return Field(name, behind.type, sources, leads=True, target=reference.target, far=behind)

    async def _in_order(self, reference: Reference) -> tuple[str, ...]:
        """The own columns of a reference in the order of the other's key; in that of the schema where nobody says
        which table it is, or where it leads by other columns than the key."""
        own = {theirs: mine for mine, theirs in reference.columns.items()}
        if len(own) < 2 or not reference.target:
            return tuple(reference.columns)
        keys = (await self.table(reference.target)).keys
        return tuple(own[key] for key in keys) if set(keys) == set(own) else tuple(reference.columns)

    def _unknown(self, name: str) -> UnknownColumn:
        return UnknownColumn(self._dialect.kind, Answer(field=name))
