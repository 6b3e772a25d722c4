"""Shipment statistics: bookings per day, summed up on request."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sandbox.postoffice.listing import Cursor, cursor_query
from sandbox.postoffice.options import Paging, PostOfficeOptions
from sandbox.postoffice.showing import iso
from sandbox.postoffice.store import Store
from sandbox.problems import ApiError, bad_request

DIMENSIONS: Mapping[str, str] = {
    "customer": "customerId",
    "costCentre": "costCentreId",
    "service": "serviceId",
    "day": "day",
}
SPACE = "statistics"
BEHIND = " behind "
KEPT_QUERIES = 8
"""Whose sums are kept from page to page."""
Booked = list[Any]
Sums = tuple[int, int, Decimal]
_NONE: Sums = (0, 0, Decimal(0))


class Statistics:
    """The bookings of one site: (customer, cost centre, service, day) -> items, grams and amount."""

    def __init__(self, store: Store, options: PostOfficeOptions) -> None:
        self._store = store
        self._options = options
        self._days: dict[str, dict[str, Booked]] | None = None
        self._summed: dict[str, list[tuple[tuple[str, ...], Sums]]] = {}

    def book(
        self, customer_id: str, cost_centre_id: str | None, service_id: str, day: date, sums: tuple[int, int, Decimal]
    ) -> None:
        """Set what was shipped on a day; nothing shipped takes the row away."""
        self._summed.clear()
        key = "|".join((day.isoformat(), customer_id, cost_centre_id or "", service_id))
        of_day = self._by_day().setdefault(day.isoformat(), {})
        if sums[0]:
            booked = [sums[0], sums[1], str(sums[2])]
            self._store.keep(SPACE, key, booked)
            of_day[key] = booked
        else:
            self._store.drop(SPACE, key)
            of_day.pop(key, None)

    def forget(self) -> None:
        """Forget what is kept from page to page."""
        self._summed.clear()
        self._days = None

    def _by_day(self) -> dict[str, dict[str, Booked]]:
        """The bookings by day, as the database has an index on it."""
        if self._days is None:
            self._days = {}
            for key, booked in self._store.spaces[SPACE].items():
                self._days.setdefault(key.partition("|")[0], {})[key] = booked
        return self._days

    def page(self, query: Mapping[str, str], limit: int) -> dict[str, Any]:
        """Answer one page of the sums, ordered by what they are grouped by."""
        place_name = "offset" if self._options.paging is Paging.OFFSET else "cursor"
        known = {"from", "to", "groupBy", "limit", place_name}
        unknown = next((name for name in query if name not in known), None)
        if unknown is not None:
            raise bad_request("UnknownParameter", f"The statistics take no {unknown}.", unknown)
        first, last = _day(query, "from"), _day(query, "to")
        if last < first or (last - first).days >= self._options.longest_window_days:
            longest = self._options.longest_window_days
            raise bad_request("WindowTooLong", f"From `from` to `to` are 1 to {longest} days.", "to")
        group = _group(query)
        asked = f"statistics {first} {last} {','.join(group)}"
        if asked not in self._summed:
            if len(self._summed) >= KEPT_QUERIES:
                self._summed.clear()
            self._summed[asked] = self._sums(first, last, group)
        rows = self._summed[asked]
        place = _place(query, place_name, asked, rows)
        shown = rows[place : place + limit]
        more = len(rows) > place + limit
        cursor = Cursor(place + limit, _behind(asked, shown[-1][0]), self._store.now()).text() if more else None
        return {
            "items": [_shown(group, key, sums) for key, sums in shown],
            "nextCursor": cursor if place_name == "cursor" else None,
            "hasMore": more,
            "serverTime": iso(self._store.now()),
        }

    def rows(self, first: date, last: date, group: Sequence[str]) -> list[dict[str, Any]]:
        """Return the sums of some days as they are shown."""
        return [_shown(group, key, sums) for key, sums in self._sums(first, last, group)]

    def _sums(self, first: date, last: date, group: Sequence[str]) -> list[tuple[tuple[str, ...], Sums]]:
        found: dict[tuple[str, ...], Sums] = {}
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        booked = (one for at in days for one in self._by_day().get(at.isoformat(), {}).items())
        for key, (items, grams, amount) in booked:
            day, customer, centre, service = key.split("|")
            parts = {"customer": customer, "costCentre": centre, "service": service, "day": day}
            at_place = tuple(parts[name] for name in group)
            before = found.get(at_place, _NONE)
            found[at_place] = (before[0] + items, before[1] + grams, before[2] + Decimal(amount))
        return sorted(found.items())


def _shown(group: Sequence[str], key: Sequence[str], sums: Sums) -> dict[str, Any]:
    named = {DIMENSIONS[name]: part or None for name, part in zip(group, key, strict=True)}
    return {**named, "items": sums[0], "weightGrams": sums[1], "amount": f"{sums[2]:.4f}"}


def _day(query: Mapping[str, str], name: str) -> date:
    try:
        return date.fromisoformat(query[name])
    except (KeyError, ValueError):
        raise bad_request("BadParameter", f"{name} is a day, YYYY-MM-DD.", name) from None


def _group(query: Mapping[str, str]) -> list[str]:
    names = query.get("groupBy", "").split(",")
    if len(set(names)) != len(names) or not set(names) <= DIMENSIONS.keys():
        raise bad_request("BadParameter", f"groupBy takes {', '.join(DIMENSIONS)}.", "groupBy")
    return names


def _place(query: Mapping[str, str], name: str, asked: str, rows: Sequence[tuple[tuple[str, ...], Sums]]) -> int:
    """Where a page begins: behind the row that the cursor names, whatever has come or gone before it."""
    if name not in query:
        return 0
    if name == "cursor":
        told, _, last = cursor_query(query["cursor"]).partition(BEHIND)
        if told != asked:
            raise bad_request("BadCursor", "The cursor belongs to another query.", "cursor")
        return bisect_right(rows, tuple(json.loads(last)), key=lambda row: row[0])
    if not query["offset"].isdecimal():
        raise ApiError(400, "BadParameter", "offset is a whole number.")
    return int(query["offset"])


def _behind(asked: str, last: Sequence[str]) -> str:
    return f"{asked}{BEHIND}{json.dumps(last)}"
