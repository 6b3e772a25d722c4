"""Lists that the contract does not name: read like the others, with the columns that the site shows.

Nothing describes such a list, so its first page does. What a column holds is what its values are in JSON (text, a
number, yes or no); what stands there as text and is something else (an amount, a day), the site's binding may say.
Each row has all columns of its list, as the contract demands: one that is missing is never taken for a blank.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from shared.connectors.postoffice.site import Site
from shared.connectors.postoffice.tables import Table
from shared.strict_json import Json, JsonObject
from shared.sync.ports import Clock, ColumnMetadata, ColumnType, Value

STAMPS = frozenset({"id", "changedAt", "version", "deleted"})
"""What every row has beside its columns."""
KEPT = timedelta(minutes=10)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")

FirstPage = Callable[[str], Awaitable[Sequence[JsonObject]]]


class FurtherLists:
    """What the lists of a site are like that the contract does not name; kept for a while."""

    def __init__(self, site: Site, clock: Clock, first_page: FirstPage) -> None:
        self._site = site
        self._clock = clock
        self._first_page = first_page
        self._known: dict[str, tuple[float, Table]] = {}

    def may_be(self, name: str) -> bool:
        """Whether a list may have this name at all."""
        return _NAME.fullmatch(name) is not None

    async def table(self, name: str, *, anew: bool = False) -> Table:
        """A list with its columns, as the site shows them; raises UnknownColumn where it has no such list."""
        now = self._clock.monotonic()
        seen_at, table = self._known.get(name, (float("-inf"), Table(name, {})))
        if anew or now - seen_at >= KEPT.total_seconds():
            rows = await self._first_page(name)
            table = Table(name, self._columns(name, rows), further=True)
            if rows:  # an empty list says nothing of its columns
                self._known[name] = (now, table)
        return table

    def _columns(self, name: str, rows: Sequence[JsonObject]) -> Mapping[str, ColumnMetadata]:
        declared = self._site.declared(name)
        ours = {self._site.theirs(name, one): one for one in (*declared, *self._site.renamed(name))}
        shown = [ours.get(theirs, theirs) for row in rows for theirs in row if theirs not in STAMPS]
        names = dict.fromkeys([*declared, *shown])
        return {one: _column(one, declared.get(one) or self._type(name, one, rows)) for one in names}

    def _type(self, name: str, column: str, rows: Sequence[JsonObject]) -> ColumnType:
        theirs = self._site.theirs(name, column)
        return next((_type_of(row[theirs]) for row in rows if row.get(theirs) is not None), ColumnType.TEXT)


def as_shown(value: Json) -> Value:
    """A value as what it is in JSON; raises ValueError for one that is no single value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if value is None or isinstance(value, str):
        return value or None
    raise ValueError("no single value")


def _type_of(value: Json) -> ColumnType:
    if isinstance(value, bool):
        return ColumnType.BOOLEAN
    return ColumnType.DECIMAL if isinstance(value, int | Decimal) else ColumnType.TEXT


def _column(name: str, kind: ColumnType) -> ColumnMetadata:
    return ColumnMetadata(name, kind, writable=False, updatable=False)
