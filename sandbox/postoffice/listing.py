"""Lists by pages: by cursor or by offset, since a time, with filters; and the one feed of changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.postoffice.options import Paging, PostOfficeOptions
from sandbox.postoffice.showing import iso, shown
from sandbox.postoffice.store import Store
from sandbox.postoffice.tables import Table
from sandbox.problems import ApiError, bad_request
from sandbox.rows_on_disk import CHANGED_AT, DELETED, REVISION, Row

IDS, MOST_IDS = "ids", 100
BOOKED_ON = ("customerId", "costCentreId")
DEFAULT_LIMIT = 200
LARGEST_LIMIT = 500
_FLAGS: Mapping[str, bool] = {"true": True, "false": False}


@dataclass(frozen=True)
class Cursor:
    """Where a list goes on. place: the number of the last change shown; query: what was asked; at: when given."""

    place: int
    query: str
    at: datetime

    def text(self) -> str:
        """Write it as callers carry it."""
        plain = json.dumps([self.place, self.query, self.at.isoformat()])
        return base64.urlsafe_b64encode(plain.encode()).decode()


def cursor_from(text: str, query: str) -> Cursor:
    """Read a cursor; raises the 400 for one that was not given for this query."""
    cursor = _read(text)
    if cursor.query != query:
        raise bad_request("BadCursor", "The cursor belongs to another query.", "cursor")
    return cursor


def cursor_query(text: str) -> str:
    """Read which query a cursor was given for; raises the 400 for one that cannot be read."""
    return _read(text).query


def _read(text: str) -> Cursor:
    try:
        place, asked, at = json.loads(base64.urlsafe_b64decode(text.encode()))
        return Cursor(int(place), str(asked), datetime.fromisoformat(at))
    except (ValueError, TypeError, UnicodeError):
        raise bad_request("BadCursor", "The cursor cannot be read.", "cursor") from None


class Lists:
    """Answers the lists of one site."""

    def __init__(self, store: Store, options: PostOfficeOptions) -> None:
        self._store = store
        self._options = options

    def page(self, table: Table, query: Mapping[str, str], limit: int) -> dict[str, Any]:
        """Answer one page of a table; raises the 400 that names a wrong parameter."""
        known = {"limit", "changedSince", *table.filters, *self._own_filters(table), self._place_parameter()}
        unknown = next((name for name in query if name not in known), None)
        if unknown is not None:
            raise bad_request("UnknownParameter", f"The list takes no {unknown}.", unknown)
        wanted = self._wanted(table, query)
        if self._options.paging is Paging.OFFSET:
            return self._by_offset(table, query, limit, wanted)
        return self._by_cursor(table, query, limit, wanted)

    def _own_filters(self, table: Table) -> Sequence[str]:
        """The filters that not every site offers."""
        if not self._options.filters:
            return ()
        return (IDS, *(BOOKED_ON if table.booked else ()))

    def _place_parameter(self) -> str:
        return "offset" if self._options.paging is Paging.OFFSET else "cursor"

    def _wanted(self, table: Table, query: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
        since = _time_of(query)
        ids = _ids_of(query)
        oldest = self._store.now() - timedelta(days=self._options.deletions_kept_days)
        for row_id, row in self._store.by_change(table.name):
            if since is not None and row[CHANGED_AT] < since:
                continue
            if row[DELETED] and (since is None or not self._options.deletions or row[CHANGED_AT] < oldest):
                continue
            if (ids is None or row_id in ids) and _fits(row, table, query):
                yield row_id, row

    def _by_cursor(
        self, table: Table, query: Mapping[str, str], limit: int, wanted: Iterator[tuple[str, Row]]
    ) -> dict[str, Any]:
        asked = json.dumps([table.name, *sorted(item for item in query.items() if item[0] not in ("cursor", "limit"))])
        place = cursor_from(query["cursor"], asked).place if "cursor" in query else 0
        rows = _taken((item for item in wanted if item[1][REVISION] > place), limit + 1)
        last = rows[:limit][-1][1][REVISION] if rows else place
        following = Cursor(last, asked, self._store.now()).text() if len(rows) > limit else None
        return self._answer(table, rows[:limit], len(rows) > limit, following)

    def _by_offset(
        self, table: Table, query: Mapping[str, str], limit: int, wanted: Iterator[tuple[str, Row]]
    ) -> dict[str, Any]:
        offset = _whole(query.get("offset", "0"), "offset", 0, None)
        rows = sorted(wanted, key=lambda item: int(item[0]))[offset : offset + limit + 1]
        return self._answer(table, rows[:limit], len(rows) > limit, None)

    def _answer(
        self, table: Table, rows: Sequence[tuple[str, Row]], more: bool, following: str | None
    ) -> dict[str, Any]:
        items = [shown(table, row_id, row, versions=self._options.etag) for row_id, row in rows]
        return {"items": items, "nextCursor": following, "hasMore": more, "serverTime": iso(self._store.now())}

    def journal(self, table: Table, row_id: str, query: Mapping[str, str], limit: int) -> dict[str, Any]:
        """Answer one page of a record's journal, the oldest entry first."""
        unknown = next((name for name in query if name not in ("limit", "externalId", self._place_parameter())), None)
        if unknown is not None:
            raise bad_request("UnknownParameter", f"The journal takes no {unknown}.", unknown)
        at, wanted = f"{table.name}/{row_id}/", query.get("externalId")
        entries = [one for key, one in self._store.spaces["journal"].items() if key.startswith(at)]
        entries = [one for one in entries if wanted in (None, one["externalId"])]
        asked = json.dumps(["journal", table.name, row_id, wanted])
        by_offset = self._options.paging is Paging.OFFSET
        place = _whole(query.get("offset", "0"), "offset", 0, None)
        if "cursor" in query:
            place = cursor_from(query["cursor"], asked).place
        more = len(entries) > place + limit
        following = Cursor(place + limit, asked, self._store.now()).text() if more and not by_offset else None
        now = iso(self._store.now())
        return {"items": entries[place : place + limit], "nextCursor": following, "hasMore": more, "serverTime": now}

    # --- the feed of changes ---

    def changes(self, query: Mapping[str, str], limit: int) -> dict[str, Any]:
        """Answer one page of the feed; without a cursor it begins with everything there is."""
        unknown = next((name for name in query if name not in ("cursor", "entities", "limit")), None)
        if unknown is not None:
            raise bad_request("UnknownParameter", f"The feed takes no {unknown}.", unknown)
        names = query.get("entities", ",".join(self._store.tables)).split(",")
        if strange := next((name for name in names if name not in self._store.tables), None):
            raise bad_request("UnknownEntity", f"There is no list {strange}.", "entities")
        asked = json.dumps(["changes", *sorted(names)])
        place = self._feed_place(query.get("cursor"), asked)
        found = _taken(self._changed(names, place), limit + 1)
        last = found[:limit][-1]["@revision"] if found else place
        items = [{name: value for name, value in one.items() if name != "@revision"} for one in found[:limit]]
        following = Cursor(last, asked, self._store.now()).text()
        return {"items": items, "nextCursor": following, "hasMore": len(found) > limit}

    def _feed_place(self, text: str | None, asked: str) -> int:
        if text is None:
            return 0
        cursor = cursor_from(text, asked)
        if self._store.now() - cursor.at > timedelta(days=self._options.cursor_life_days):
            raise ApiError(410, "CursorExpired", "The cursor is too old; read everything anew.")
        return cursor.place

    def _changed(self, names: Sequence[str], place: int) -> Iterator[dict[str, Any]]:
        rows = [
            (row[REVISION], name, row_id, row)
            for name in names
            for row_id, row in self._store.all_rows(name).items()
            if row[REVISION] > place and not (row[DELETED] and place == 0)
        ]
        for revision, name, row_id, row in sorted(rows, key=lambda item: item[0]):
            change = "delete" if row[DELETED] else "upsert"
            stamps = {"changedAt": iso(row[CHANGED_AT]), "version": str(revision)}
            yield {"entity": name, "id": row_id, "change": change, **stamps, "@revision": revision}


def limit_of(query: Mapping[str, str]) -> int:
    """Read the page size asked for; raises the 400 outside 1 to 500."""
    return _whole(query.get("limit", str(DEFAULT_LIMIT)), "limit", 1, LARGEST_LIMIT)


def _taken(items: Iterator[Any], count: int) -> list[Any]:
    return [item for _, item in zip(range(count), items, strict=False)]


def _whole(text: str, name: str, least: int, most: int | None) -> int:
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        raise bad_request("BadParameter", f"{name} is a whole number from {least} on.", name)
    return int(text)


def _time_of(query: Mapping[str, str]) -> datetime | None:
    if "changedSince" not in query:
        return None
    try:
        at = datetime.fromisoformat(query["changedSince"])
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise bad_request("BadParameter", "changedSince is a time in ISO 8601 with its zone.", "changedSince")
    return at


def _ids_of(query: Mapping[str, str]) -> frozenset[str] | None:
    if IDS not in query:
        return None
    ids = query[IDS].split(",")
    if len(ids) > MOST_IDS or "" in ids:
        raise bad_request("BadParameter", f"ids takes 1 to {MOST_IDS} ids with commas.", IDS)
    return frozenset(ids)


def _fits(row: Row, table: Table, query: Mapping[str, str]) -> bool:
    for name in (table.filters | set(BOOKED_ON)) & query.keys():
        if row[DELETED]:
            return False
        if name == "linked":
            if query[name] not in _FLAGS:
                raise bad_request("BadParameter", "linked is true or false.", "linked")
            if (row.get("crmId") is not None) is not _FLAGS[query[name]]:
                return False
        elif str(row.get(name) or "").lower() != query[name].lower():
            return False
    return True
