"""What changed in a list since a watermark: by the site's own feed, or by the time of change with an overlap.

By time, a row gets its time before it is committed, so a walk begins five minutes before its watermark, which is the
site's own time at the beginning of the walk before. By the feed nothing is read twice; the feed tells ids only, so the
rows themselves are read from the list.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.connectors.moments import iso, moment_of, watermark_of
from shared.connectors.postoffice.client import Page, PostOfficeClient, object_of, text_in
from shared.connectors.postoffice.errors import SYSTEM
from shared.errors import BadAnswer, FeedExpired
from shared.strict_json import JsonObject, WrongShape, as_list, as_object, as_text
from shared.sync.ports import ChangePage, Record

OVERLAP = timedelta(minutes=5)
CURSOR = "cursor "
FEED = "changes"

ReadMany = Callable[[Sequence[str]], Awaitable[Mapping[str, Record]]]
ReadRow = Callable[[JsonObject], Record]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose changes are read, and how its rows become records."""

    client: PostOfficeClient
    table: str
    path: str
    read: ReadMany
    record: ReadRow


async def by_time(asked: Asked, since: str | None) -> AsyncIterator[ChangePage]:
    """New, changed and, where the site tells, deleted rows since the watermark; the last page brings the next one."""
    query = (
        {} if since is None else {asked.client.site.parameter("changedSince"): iso(moment_of(SYSTEM, since) - OVERLAP)}
    )
    began = ""
    async for page in asked.client.pages(asked.path, query, None, asked.client.site.page_size):
        began = began or page.told_at
        yield _change_page(asked, page, None if page.more else _told(began))


async def by_feed(asked: Asked, since: str | None) -> AsyncIterator[ChangePage]:
    """By the site's feed. From the beginning: the feed's end is noted first, then the whole list is read."""
    if since is None:
        end = await _end(asked)
        async for page in asked.client.pages(asked.path, {}, None, asked.client.site.page_size):
            yield _change_page(asked, page, f"{CURSOR}{end}" if not page.more else None)
        return
    if not since.startswith(CURSOR):
        raise FeedExpired(SYSTEM)
    async for changed, deleted, place in _feed(asked, since.removeprefix(CURSOR)):
        found = await asked.read(changed)
        gone = [*deleted, *(key for key in changed if key not in found)]
        yield ChangePage(list(found.values()), gone, f"{CURSOR}{place}")


async def _end(asked: Asked) -> str:
    """Where the feed ends at present."""
    end = ""
    async for _, _, place in _feed(asked, None):
        end = place
    return end


async def _feed(asked: Asked, cursor: str | None) -> AsyncIterator[tuple[list[str], list[str], str]]:
    """Page by page: changed ids, deleted ids, and where the feed goes on."""
    client, path = asked.client, asked.client.site.path(FEED)
    while True:
        query = {"entities": asked.table, client.site.parameter("limit"): str(client.site.page_size)}
        place = {} if cursor is None else {client.site.parameter("cursor"): cursor}
        body = object_of(await client.get(path, {**query, **place}, path))
        latest: dict[str, str] = {}
        try:
            for one in (as_object(item, "a change") for item in as_list(body.get("items"), "items")):
                latest[as_text(one.get("id"), "id")] = as_text(one.get("change"), "change")
            cursor = as_text(body.get("nextCursor"), "nextCursor")
        except WrongShape as error:
            raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None
        changed = [key for key, change in latest.items() if change != "delete"]
        yield changed, [key for key, change in latest.items() if change == "delete"], cursor
        if body.get("hasMore") is not True:
            return


def _change_page(asked: Asked, page: Page, watermark: str | None) -> ChangePage:
    deleted = [text_in(row, "id") for row in page.rows if row.get("deleted") is True]
    records = [asked.record(row) for row in page.rows if row.get("deleted") is not True]
    return ChangePage(records, deleted, watermark)


def _told(text: str) -> str:
    """The watermark of the site's time, checked, so that it is always readable."""
    try:
        return watermark_of(datetime.fromisoformat(text))
    except ValueError:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: serverTime is no time") from None
