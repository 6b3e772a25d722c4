"""What one site's PostOffice offers and how it words things; everything else is the contract.

What it offers decides how the engine works with it: without versions it reads before it writes and takes a lease,
without a feed it walks by the time of change with an overlap. Deletions that no list tells of are found at night.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.connectors.postoffice.tables import TABLES


class Paging(StrEnum):
    """How lists are cut into pages."""

    CURSOR = "cursor"
    OFFSET = "offset"


Parameter = Literal["cursor", "offset", "limit", "changedSince", "expand"]


class Site(BaseModel):
    """One site. The defaults are the contract as a whole.

    versions: records have an ETag and a write may name it. feed: there is `changes`, one feed of all lists.
    idempotency_keys: a repeated POST with the same key answers the same record. paths, columns and parameters: what a
    list, a column of a list (`customers.name`) or a parameter is called there, where it is not as in the contract.
    page_size: rows on a page; two at least, since pages may overlap by one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    versions: bool = True
    feed: bool = True
    idempotency_keys: bool = True
    paging: Paging = Paging.CURSOR
    page_size: Annotated[int, Field(ge=2, le=500)] = 500
    paths: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z0-9/_-]{1,100}$")]] = {}
    columns: dict[str, Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,60}$")]] = {}
    parameters: dict[
        Literal["cursor", "offset", "limit", "changedSince", "expand"],
        Annotated[str, Field(pattern=r"^[A-Za-z0-9_$]+$")],
    ] = {}

    def path(self, table: str) -> str:
        """Where a list is, below the base."""
        return self.paths.get(table, table)

    def parameter(self, name: Parameter) -> str:
        """What a parameter is called."""
        return self.parameters.get(name, name)

    def theirs(self, table: str, column: str) -> str:
        """What a column of the contract is called there."""
        return self.columns.get(f"{table}.{column}", column)

    def strangers(self) -> list[str]:
        """Names that the contract does not know, which therefore bind nothing."""
        known = {f"{table.name}.{column}" for table in TABLES.values() for column in table.columns}
        others = [name for name in self.paths if name not in TABLES and name not in ("system", "changes")]
        return others + [name for name in self.columns if name not in known]
