"""What one site's PostOffice offers and how it words things; everything else is the contract.

What it offers decides how the engine works with it: without versions it reads before it writes and takes a lease,
without a feed it walks by the time of change with an overlap. Deletions that no list tells of are found at night.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.connectors.postoffice.tables import TABLES
from shared.sync.ports import ColumnType


class Paging(StrEnum):
    """How lists are cut into pages."""

    CURSOR = "cursor"
    OFFSET = "offset"


Parameter = Literal["cursor", "offset", "limit", "changedSince", "expand", "from", "to", "groupBy"]
ListName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Holds = Literal["text", "yes_no", "whole", "amount", "day", "time"]
_TYPES: Mapping[Holds, ColumnType] = {
    "text": ColumnType.TEXT,
    "yes_no": ColumnType.BOOLEAN,
    "whole": ColumnType.INTEGER,
    "amount": ColumnType.DECIMAL,
    "day": ColumnType.DATE,
    "time": ColumnType.DATETIME,
}


class Site(BaseModel):
    """One site. The defaults are the contract as a whole.

    versions: records have an ETag and a write may name it. feed: there is `changes`, one feed of all lists.
    idempotency_keys: a repeated POST with the same key answers the same record. paths, columns and parameters: what a
    list, a column of a list (`customers.name`) or a parameter is called there, where it is not as in the contract.
    page_size: rows on a page; two at least, since pages may overlap by one. lists: lists that the contract does not
    name, with what their columns hold where that is not plain from the rows; one that is bound to nothing else needs
    no entry.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    versions: bool = True
    feed: bool = True
    idempotency_keys: bool = True
    paging: Paging = Paging.CURSOR
    page_size: Annotated[int, Field(ge=2, le=500)] = 500
    paths: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z0-9/_-]{1,100}$")]] = {}
    columns: dict[str, Annotated[str, Field(pattern=r"^[^\x00-\x1f\x22]{1,60}$")]] = {}
    lists: dict[ListName, dict[str, Holds]] = {}
    parameters: dict[Parameter, Annotated[str, Field(pattern=r"^[A-Za-z0-9_$]+$")]] = {}

    def path(self, table: str) -> str:
        """Where a list is, below the base."""
        return self.paths.get(table, table)

    def parameter(self, name: Parameter) -> str:
        """What a parameter is called."""
        return self.parameters.get(name, name)

    def theirs(self, table: str, column: str) -> str:
        """What a column of the contract is called there."""
        return self.columns.get(f"{table}.{column}", column)

    def renamed(self, table: str) -> list[str]:
        """The columns of a list that are called otherwise there."""
        return [name.partition(".")[2] for name in self.columns if name.partition(".")[0] == table]

    def declared(self, table: str) -> Mapping[str, ColumnType]:
        """What columns of a list that the contract does not name hold, as far as the site says it."""
        return {name: _TYPES[holds] for name, holds in self.lists.get(table, {}).items()}

    def strangers(self) -> list[str]:
        """Names that neither the contract nor `lists` knows, which therefore bind nothing."""
        known = {f"{table.name}.{column}" for table in TABLES.values() for column in table.columns}
        lists = {*TABLES, *self.lists, "system", "changes"}
        others = [name for name in self.paths if name not in lists]
        return others + [
            name for name in self.columns if name not in known and name.partition(".")[0] not in self.lists
        ]
