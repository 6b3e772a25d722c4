"""What changed in a table since a watermark: by row version where the extension brings one, else by time.

By time, a change gets its time before it is committed, and an operation may take 8 minutes (Microsoft Learn,
'Operational limits'), so a walk begins ten minutes before its watermark. By row version nothing is read twice: what
lies below the lowest active version is committed, and nothing can appear below it any more. Neither knows deletions.

A watermark of one way is no watermark of the other; a moment that was asked for as such is one of both.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.connectors.business_central.client import BusinessCentralClient
from shared.connectors.business_central.converters import moment_text
from shared.connectors.business_central.errors import SYSTEM
from shared.connectors.business_central.extension import BOUND, BOUNDS, ROW_VERSION
from shared.connectors.business_central.rows import rows_of, value_in
from shared.errors import BadAnswer, FeedExpired
from shared.strict_json import JsonObject
from shared.sync.ports import ColumnType

CHANGED_AT = "lastModifiedDateTime"
OVERLAP = timedelta(minutes=10)
_MOMENT = "at "
_VERSION = re.compile(r"v([0-9]{1,19})")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is read of which page."""

    client: BusinessCentralClient
    page: str
    select: tuple[str, str]
    columns: Collection[str]
    page_size: int


@dataclass(frozen=True, slots=True)
class Found:
    """One page of changes. watermark: where to go on after it."""

    rows: Sequence[JsonObject]
    watermark: str | None


def watermark_at(at: datetime, no_later_than: str | None = None) -> str:
    """The watermark of a moment, or the other one if that stands for an earlier one. Behind a row version nothing can
    have been missed, so it stays. Raises FeedExpired for one that cannot be read."""
    if no_later_than is not None and (_VERSION.fullmatch(no_later_than) or _moment_of(no_later_than) <= at):
        return no_later_than
    return f"{_MOMENT}{moment_text(at)}"


async def by_time(asked: Asked, since: str | None) -> AsyncIterator[Found]:
    """Oldest first; the watermark is the largest time seen, never our own clock. Raises FeedExpired."""
    latest = None if since is None else _moment_of(since)
    query = [asked.select, ("$orderby", CHANGED_AT)]
    if latest is not None and latest.year > 1:
        query.append(("$filter", _since(latest)))
    async for page in asked.client.pages(asked.page, query, asked.page, asked.page_size, asked.columns):
        rows = rows_of(page)
        times = [latest, *(_time_of(row) for row in rows)]
        latest = max((moment for moment in times if moment is not None), default=None)
        yield Found(rows, None if latest is None else moment_text(latest))


async def by_version(asked: Asked, since: str | None) -> AsyncIterator[Found]:
    """Lowest version first, up to what may still be open. Raises FeedExpired, also where the versions started anew."""
    bound = await _bound(asked.client)
    low = _low(since, bound)
    if low == bound:
        yield Found([], since)
        return
    conditions = [f"{ROW_VERSION} lt {bound}"]
    if low is not None:
        conditions.append(f"{ROW_VERSION} ge {low}")
    elif since is not None:
        conditions.append(_since(_moment_of(since)))
    query = [asked.select, ("$filter", " and ".join(conditions)), ("$orderby", ROW_VERSION)]
    async for page in asked.client.pages(asked.page, query, asked.page, asked.page_size, asked.columns):
        rows = rows_of(page)
        is_last = "@odata.nextLink" not in page
        next_version = bound if is_last else max(_whole(row, ROW_VERSION) for row in rows) + 1
        yield Found(rows, f"v{next_version}")


async def _bound(client: BusinessCentralClient) -> int:
    rows = rows_of(await client.get(BOUNDS, [("$select", BOUND)], BOUNDS))
    if len(rows) != 1:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {BOUNDS} has one row")
    return _whole(rows[0], BOUND)


def _low(since: str | None, bound: int) -> int | None:
    """The first version to read; None for a moment and for the beginning."""
    if since is None or since.startswith(_MOMENT):
        return None
    found = _VERSION.fullmatch(since)
    if found is None or int(found[1]) > bound:
        raise FeedExpired(SYSTEM, detail=f"{SYSTEM}: the watermark is no row version of this environment")
    return int(found[1])


def _whole(row: JsonObject, name: str) -> int:
    found = value_in(row, name, ColumnType.INTEGER)
    if not isinstance(found, int):
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {name} is missing")
    return found


def _since(moment: datetime) -> str:
    return f"{CHANGED_AT} gt {moment_text(moment - OVERLAP)}"


def _moment_of(watermark: str) -> datetime:
    try:
        moment = datetime.fromisoformat(watermark.removeprefix(_MOMENT))
    except ValueError:
        raise FeedExpired(SYSTEM, detail=f"{SYSTEM}: the watermark is no moment") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _time_of(row: JsonObject) -> datetime | None:
    """When the row was changed last; rows of very old releases have no such time (0001-01-01)."""
    moment = value_in(row, CHANGED_AT, ColumnType.DATETIME)
    return moment if isinstance(moment, datetime) else None
