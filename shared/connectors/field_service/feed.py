"""What changed in a table since a watermark, by the time of the last change; never any deletions.

A change gets its time before it is committed, so a walk begins five minutes before its watermark, which is the largest
time seen. Our own clock only bounds it: a time in the future would hide all changes until then. Each page begins where
the one before ended by time, and not behind so many rows: a row that changes meanwhile moves to the end and hides none
of the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.connectors.field_service.dialect import Dialect, Row, Walk
from shared.connectors.field_service.records import Records
from shared.connectors.field_service.tables import Table
from shared.connectors.moments import moment_of, watermark_of
from shared.errors import BadAnswer
from shared.strict_json import Json, WrongShape
from shared.sync.ports import ColumnType

OVERLAP = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Found:
    """One page of changes. watermark: where to go on after it."""

    rows: Sequence[Row]
    watermark: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose changes are read. column: that of the last change; columns: those that rows bring along, it among them."""

    dialect: Dialect
    records: Records
    table: Table
    column: str
    columns: Sequence[str]

    def key(self, row: Row) -> str:
        """What a row is known by."""
        return self.records.key(self.table, row)

    def at(self, row: Row) -> datetime | None:
        """When a row was changed last; None for one that does not say it."""
        try:
            at = self.dialect.forms.value(ColumnType.DATETIME, row.values.get(self.column), self.column)
        except WrongShape as error:
            raise BadAnswer(self.dialect.kind, detail=f"{self.dialect.kind}: {error}") from None
        return at if isinstance(at, datetime) else None

    def times(self, rows: Sequence[Row]) -> str:
        """When each of some rows was changed last."""
        return "|".join(f"{self.key(row)}@{row.values.get(self.column)}" for row in rows)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the next page begins: at a time, and there behind so many rows, the last of which it must begin with. told:
    rows of just that time that have been told."""

    floor: Json = None
    offset: int = 0
    last: str = ""
    told: frozenset[str] = frozenset()


async def by_time(asked: Asked, since: str | None, now: datetime) -> AsyncIterator[Found]:
    """Oldest first. now: when the walk begins. Raises FeedExpired for a watermark that stands for no moment."""
    latest = None if since is None else min(moment_of(asked.dialect.kind, since), now)
    place = _Place(None if latest is None else asked.dialect.changed_since(latest - OVERLAP))
    while True:
        floor = None if place.floor is None else (asked.column, place.floor)
        walk = Walk(asked.columns, [asked.column, *asked.table.keys], floor)
        page = await asked.dialect.some(asked.table, walk, place.offset, asked.dialect.page_size)
        if place.offset and (not page.rows or asked.key(page.rows[0]) != place.last):
            place = _Place(place.floor)  # rows of this time have changed, and gone from before the page
            continue
        latest = max((at for at in (latest, *map(asked.at, page.rows)) if at is not None), default=None)
        news = [row for row in page.rows if not _is_told(asked, place, row)]
        yield Found(news, None if latest is None else watermark_of(min(latest, now)))
        if not page.more:
            return
        place = _next(asked, place, page.rows)


def _is_told(asked: Asked, place: _Place, row: Row) -> bool:
    return row.values.get(asked.column) == place.floor and asked.key(row) in place.told


def _next(asked: Asked, place: _Place, rows: Sequence[Row]) -> _Place:
    """At the time of the last row; behind it, where all rows of the page are of that time."""
    reached = rows[-1].values.get(asked.column)
    alike = frozenset(asked.key(row) for row in rows if row.values.get(asked.column) == reached)
    if reached is None or reached == place.floor:
        last = asked.key(rows[-1])
        return _Place(place.floor, place.offset + max(1, len(rows) - 1), last, place.told | alike)
    return _Place(reached, told=alike)
