"""What the two dialects of field service have to offer; the connector knows no more of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.connectors.field_service.tables import Table
from shared.connectors.field_service.values import Forms
from shared.strict_json import Json, JsonObject
from shared.sync.ports import TableLabel


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was answered, and its version; None where there is none."""

    values: JsonObject
    version: str | None


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of rows. more: there are rows behind it."""

    rows: Sequence[Row]
    more: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """What a list shows and in which order. floor: a column with what it must at least hold."""

    columns: Collection[str]
    order: Sequence[str]
    floor: tuple[str, Json] | None = None


class Dialect(Protocol):
    """One dialect at one installation. All raise the errors of the port; names of columns are those of rows."""

    @property
    def kind(self) -> str:
        """The kind of system."""
        ...

    @property
    def forms(self) -> Forms: ...

    @property
    def has_versions(self) -> bool: ...

    @property
    def page_size(self) -> int: ...

    @property
    def timeout_seconds(self) -> float:
        """How long a call may take when the caller does not say."""
        ...

    def changed_in(self, table: str) -> str:
        """The column with the time of a table's last change; empty where none is known."""
        ...

    def changed_since(self, moment: datetime) -> Json:
        """The least that this column can hold of what changes from a moment on."""
        ...

    def group_of(self, table: str) -> str:
        """What is described together with a table; raises ValueError for text that names no table."""
        ...

    async def tables(self, group: str) -> Mapping[str, Table]:
        """The tables that are described together; none where there is no such group."""
        ...

    async def browse(self, within: str) -> Sequence[TableLabel]: ...

    async def ping(self) -> None: ...

    async def those(
        self, table: Table, by: Sequence[str], alike: Sequence[Sequence[Json]], columns: Collection[str], most: int
    ) -> Sequence[Row]:
        """At most so many of the rows in which these columns hold one of these groups of values. A table that is not
        there (any more) is an error, never one without rows."""
        ...

    async def some(self, table: Table, walk: Walk, offset: int, limit: int) -> Rows:
        """The page of a list behind so many rows."""
        ...

    async def create(self, table: Table, body: JsonObject, columns: Collection[str], within_seconds: float) -> Row: ...

    async def update(
        self,
        table: Table,
        parts: Sequence[Json],
        body: JsonObject,
        columns: Collection[str],
        version: str | None,
        within_seconds: float,
    ) -> Row: ...

    async def delete(self, table: Table, parts: Sequence[Json], within_seconds: float) -> None: ...

    async def aclose(self) -> None: ...
