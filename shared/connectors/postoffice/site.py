"""What one site's PostOffice offers and how it words things; everything else is the contract.

What it offers decides how the engine works with it: without versions it reads before it writes and takes a lease,
without a feed it walks by the time of change with an overlap. Deletions that no list tells of are found at night.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.connectors.postoffice.tables import TABLES
from shared.connectors.zones import TimeZone
from shared.sync.ports import ColumnType


class Paging(StrEnum):
    """How lists are cut into pages."""

    CURSOR = "cursor"
    OFFSET = "offset"


Parameter = Literal["cursor", "offset", "limit", "changedSince", "expand", "ids", "from", "to", "groupBy"]
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


class Files(BaseModel):
    """Lists that come as files of the export module instead of by the interface. The defaults are the vendor's.

    folder: where they lie, as a path of the machine that runs us. lists: the name of each list's file. dates: a day's
    form; a time of day is HH:MM:SS in `time_zone`. quiet_seconds: for how long a file must not have been written to
    before it is read. least_share: of the rows of the last file, how many the next one must at least have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Annotated[str, Field(min_length=1)]
    lists: dict[ListName, Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9 ._-]{0,99}$")]]
    separator: Literal[";", ",", "|", "\t"] = ";"
    encoding: Literal["utf-8", "windows-1252", "iso-8859-1", "iso-8859-15", "cp850"] = "utf-8"
    dates: str = "YYYY.MM.DD"
    time_zone: TimeZone = "UTC"
    quiet_seconds: Annotated[int, Field(ge=0, le=3600)] = 60
    least_share: Annotated[float, Field(ge=0, le=1)] = 0.5

    @field_validator("dates")
    @classmethod
    def _is_a_day(cls, form: str) -> str:
        if sorted(re.findall("YYYY|MM|DD", form)) != ["DD", "MM", "YYYY"] or len(form) > 10:
            raise ValueError("a day has YYYY, MM and DD, each once, such as YYYY.MM.DD")
        return form


class Site(BaseModel):
    """One site. The defaults are the contract as a whole.

    versions: records have an ETag and a write may name it. feed: there is `changes`, one feed of all lists.
    idempotency_keys: a repeated POST with the same key answers the same record. filters: lists can be filtered by
    ids, and those that are booked on customers by customer and cost centre. account_managers: a record read by itself
    shows them; account_manager_type: the id of the type that is ours. paths, columns and parameters: what a
    list, a column of a list (`customers.name`) or a parameter is called there, where it is not as in the contract.
    page_size: rows on a page; two at least, since pages may overlap by one. lists: lists that the contract does not
    name, with what their columns hold where that is not plain from the rows; one that is bound to nothing else needs
    no entry. files: lists that come as files.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    versions: bool = True
    feed: bool = True
    idempotency_keys: bool = True
    filters: bool = True
    account_managers: bool = True
    account_manager_type: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]{1,40})?$")] = ""
    paging: Paging = Paging.CURSOR
    page_size: Annotated[int, Field(ge=2, le=500)] = 500
    paths: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z0-9/_-]{1,100}$")]] = {}
    columns: dict[str, Annotated[str, Field(pattern=r"^[^\x00-\x1f\x22]{1,60}$")]] = {}
    lists: dict[ListName, dict[str, Holds]] = {}
    files: Files | None = None
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
        lists = {*(name for name, table in TABLES.items() if not table.part), *self.further, "system", "changes"}
        others = [name for name in self.paths if name not in lists]
        return others + [
            name for name in self.columns if name not in known and name.partition(".")[0] not in self.further
        ]

    @property
    def further(self) -> set[str]:
        """The lists that are bound here and that the contract does not name."""
        return {*self.lists, *(self.files.lists if self.files else ())} - set(TABLES)

    def written_files(self) -> list[str]:
        """Lists that cannot come as a file, because their records are written, too."""
        return [name for name in (self.files.lists if self.files else ()) if name in TABLES and TABLES[name].written]
