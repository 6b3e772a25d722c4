"""Reading: one row, lists with query options, paging, counts, and change tracking.

After Microsoft Learn, 'Query data using the Web API', 'Retrieve a table row using the Web API' and 'Use change
tracking to synchronize data with external systems'.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from sandbox.clock import Clock
from sandbox.dataverse import errors
from sandbox.dataverse.errors import DataverseError, NotImitated
from sandbox.dataverse.formatting import formatted
from sandbox.dataverse.metadata import Column, Kind, Model, Table
from sandbox.dataverse.options import DataverseOptions
from sandbox.dataverse.queries import Translated, translated
from sandbox.dataverse.security import QUERY_OF_SECURED
from sandbox.dataverse.store import Row, Store
from sandbox.dataverse.values import lookup_target
from sandbox.dataverse.views import fetched_by
from sandbox.odata import (
    BadQuery,
    Equality,
    UnsupportedQuery,
    compile_filter,
    equalities,
    parse_bool,
    parse_orderby,
    parse_select,
    parse_top,
    sort_rows,
    substitute_aliases,
)

COUNT_LIMIT = 5000
FORMATTED = "OData.Community.Display.V1.FormattedValue"
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"
TOTAL_COUNT = "Microsoft.Dynamics.CRM.totalrecordcount"
PAGING_COOKIE = "Microsoft.Dynamics.CRM.fetchxmlpagingcookie"
MORE_RECORDS = "Microsoft.Dynamics.CRM.morerecords"
TOTAL_COUNT_EXCEEDED = "Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"
KNOWN_OPTIONS = frozenset({"$select", "$filter", "$orderby", "$top", "$count", "$skiptoken", "$deltatoken", "tag"})
REFUSED_WHEN_TRACKING = ("$filter", "$orderby", "$expand", "$top")


_INDEXED = {False: (Kind.STRING, Kind.GUID, Kind.LOOKUP, Kind.CUSTOMER), True: (Kind.DATE,)}
"""Kinds of columns that are looked up in an index: by a text, by a day."""


@dataclass(frozen=True)
class Preferences:
    """What the Prefer header asks for, as far as it is known; `applied` is the text to answer."""

    representation: bool = False
    page_size: int | None = None
    annotations: tuple[str, ...] = ()
    track_changes: bool = False
    goes_on: bool = False
    """Whether a batch goes on after a part that failed."""
    applied: tuple[str, ...] = ()

    def wants(self, annotation: str) -> bool:
        """Say whether an annotation was asked for; patterns like `*` and `Microsoft.Dynamics.CRM.*` count."""
        return any(fnmatchcase(annotation, pattern) for pattern in self.annotations)


@dataclass(frozen=True)
class Query:
    """A request for rows: the table, the raw query options in order, and the preferences."""

    table: Table
    options: Mapping[str, str]
    preferences: Preferences
    stale_seconds: float | None = None
    restriction: Callable[[Row], bool] | None = None
    path: str = ""
    """The path below the service root, as it was asked."""
    hidden: frozenset[str] = frozenset()
    """Secured columns that the caller may not read."""
    visible: Callable[[Row], bool] | None = None
    """Which rows the caller may read; None where it is all of them."""
    asked: Mapping[str, str] | None = None
    """The options as they were asked, where they have been translated from another language."""


@dataclass(frozen=True)
class _Cursor:
    """What a $skiptoken says: page, the last row seen, and for change tracking the versions read and up to."""

    page: int = 1
    after: str | None = None
    tracking: bool = False
    upto: int = 0
    at: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


class Reader:
    """Answers GET requests for rows."""

    def __init__(self, model: Model, store: Store, clock: Clock, options: DataverseOptions, base_url: str) -> None:
        self._model = model
        self._store = store
        self._clock = clock
        self._options = options
        self.root = f"{base_url}/api/data/v9.2"

    # One row

    def one(self, query: Query, row: Row) -> dict[str, Any]:
        """Return the body for one row; raises DataverseError for options a single row does not take."""
        for option in query.options:
            if option in ("$filter", "$orderby", "$top", "$count", "$skip", "$skiptoken"):
                raise errors.bad_query(f"The query parameter {option} is not supported for a single row.")
        self._check_options(query)
        selected = self._selected(query)
        return {"@odata.context": self._context(query, selected, "/$entity"), **self._shown(query, row, selected)}

    def check_select(self, query: Query) -> None:
        """Raise DataverseError when the query selects something that is not there."""
        self._selected(query)

    def row(self, table: Table, row_id: str, stale_seconds: float | None) -> Row:
        """Return a row, possibly an old version of it; raises DataverseError 404."""
        found = self._store.get(table.name, row_id)
        if stale_seconds is not None:
            found = self._store.stale_get(table.name, row_id, stale_seconds)
        if found is None:
            raise errors.does_not_exist(table.display_name, row_id)
        return found

    # Lists

    def page(self, query: Query) -> dict[str, Any]:
        """Return one page of rows, with nextLink or deltaLink."""
        cursor = _parse_cursor(query.options.get("$skiptoken"))
        saved = partial(fetched_by, self._store, query.table)
        other = translated(query.table, query.options, self._clock.now(), saved)
        if other is not None:
            return self._translated_page(query, other, cursor)
        tracking = query.preferences.track_changes or "$deltatoken" in query.options or cursor.tracking
        if tracking:
            _refuse_beside_tracking(query)
        self._check_options(query)
        try:
            if tracking:
                return self._changes(query, cursor)
            return self._plain_page(query, cursor)
        except BadQuery as error:
            raise self._refusal(query, error) from error
        except UnsupportedQuery as error:
            raise NotImitated(error.what) from error

    def _translated_page(self, query: Query, other: Translated, cursor: _Cursor) -> dict[str, Any]:
        own = replace(query, options=other.options, asked=query.options)
        try:
            return self._fetched_page(own, other) if other.fetched else self._plain_page(own, cursor)
        except BadQuery as error:
            raise self._refusal(query, error) from error

    def _fetched_page(self, query: Query, fetch: Translated) -> dict[str, Any]:
        """Return a page of FetchXML: the query says which one, the answer says whether there are more."""
        selected, rows = self._selected(query), self._ordered(query, self._filtered(query))
        rows = rows[: parse_top(query.options["$top"])] if "$top" in query.options else rows
        size = min(fetch.size or self._options.max_page_size, self._options.max_page_size)
        shown = rows[(fetch.page - 1) * size : fetch.page * size]
        more = len(rows) > fetch.page * size
        body: dict[str, Any] = {"@odata.context": self._context(query, selected)}
        if more and query.preferences.wants(PAGING_COOKIE):
            last = str(shown[-1][query.table.primary_id])
            body[f"@{PAGING_COOKIE}"] = _cookie(_Cursor(fetch.page + 1, last), query.table.primary_id)
        if query.preferences.wants(MORE_RECORDS):
            body[f"@{MORE_RECORDS}"] = more
        return {**body, "value": [self._shown(query, row, selected) for row in shown]}

    def count(self, query: Query) -> int:
        """Return the number of rows of `/$count`, at most 5000."""
        self._check_options(query)
        try:
            return min(COUNT_LIMIT, len(self._filtered(query)))
        except BadQuery as error:
            raise self._refusal(query, error) from error
        except UnsupportedQuery as error:
            raise NotImitated(error.what) from error

    def _refusal(self, query: Query, error: BadQuery) -> DataverseError:
        if error.prop is not None:
            return errors.unknown_property(error.prop, query.table.name)
        return errors.bad_query(error.reason)

    def _check_options(self, query: Query) -> None:
        for option in query.options:
            if option == "$skip":
                raise errors.bad_query("Skip Clause is not supported in CRM")
            if option not in KNOWN_OPTIONS and not option.startswith("@"):
                raise NotImitated(f"the query option {option}")

    def _plain_page(self, query: Query, cursor: _Cursor) -> dict[str, Any]:
        selected = self._selected(query)
        rows = self._ordered(query, self._filtered(query))
        top = parse_top(query.options["$top"]) if "$top" in query.options else None
        size = self._page_size(query)
        start = self._start(query, rows, cursor)
        end = len(rows) if top is None else min(len(rows), top)
        body: dict[str, Any] = {"@odata.context": self._context(query, selected)}
        body.update(self._counts(query, len(rows)))
        shown = rows[start : min(start + size, end)]
        body["value"] = [self._shown(query, row, selected) for row in shown]
        if start + size < end and top is None:
            last = shown[-1][query.table.primary_id]
            body["@odata.nextLink"] = self._next_link(query, _Cursor(cursor.page + 1, last))
        return body

    def _page_size(self, query: Query) -> int:
        limit = self._options.max_page_size
        return min(query.preferences.page_size or limit, limit)

    def _start(self, query: Query, rows: Sequence[Row], cursor: _Cursor) -> int:
        """Find where the page begins: after the row the cookie names, or after as many rows as were read."""
        if cursor.after is None:
            return 0
        primary_id = query.table.primary_id
        if "$orderby" not in query.options:
            return bisect_right(rows, cursor.after, key=lambda row: str(row[primary_id]))
        for position, row in enumerate(rows):
            if row[primary_id] == cursor.after:
                return position + 1
        return min(len(rows), (cursor.page - 1) * self._page_size(query))

    def _filtered(self, query: Query) -> list[Row]:
        text = query.options.get("$filter")
        rows: Iterable[Row]
        if text is None:
            rows = self._all_rows(query)
        else:
            text = substitute_aliases(text, query.options)
            matches = compile_filter(
                text, types=self._types(query), value=self._accessor(query.table), dynamics_functions=True
            )
            rows = [row for row in self._candidates(query, text) if matches(row)]
        conditions = [wanted for wanted in (query.restriction, query.visible) if wanted is not None]
        return [row for row in rows if all(wanted(row) for wanted in conditions)]

    def _all_rows(self, query: Query) -> list[Row]:
        if query.stale_seconds is not None:
            return self._store.stale_rows(query.table.name, query.stale_seconds)
        return list(self._store.table(query.table.name).values())

    def _candidates(self, query: Query, text: str) -> list[Row]:
        """Narrow a filter with `column eq value` by an index, as the database would."""
        if query.stale_seconds is not None:
            return self._all_rows(query)
        usable: list[Equality] = [found for found in equalities(text) if found.path in query.table.properties]
        indexed = [
            (query.table.properties[found.path], found.value)
            for found in usable
            if query.table.properties[found.path].kind in _INDEXED[isinstance(found.value, date)]
        ]
        if not indexed:
            return self._all_rows(query)
        column, value = indexed[0]
        return self._store.find(query.table.name, [column.name], [value])

    def _ordered(self, query: Query, rows: list[Row]) -> list[Row]:
        by_id = sorted(rows, key=lambda row: str(row[query.table.primary_id]))
        if "$orderby" not in query.options:
            return by_id
        orders = parse_orderby(query.options["$orderby"], types=self._types(query))
        return sort_rows(by_id, orders, value=self._accessor(query.table))

    def _counts(self, query: Query, total: int) -> dict[str, Any]:
        if not ("$count" in query.options and parse_bool(query.options["$count"])):
            return {}
        counts: dict[str, Any] = {}
        if query.preferences.wants(TOTAL_COUNT):
            counts[f"@{TOTAL_COUNT}"] = min(total, COUNT_LIMIT)
        if query.preferences.wants(TOTAL_COUNT_EXCEEDED):
            counts[f"@{TOTAL_COUNT_EXCEEDED}"] = total > COUNT_LIMIT
        return {"@odata.count": min(total, COUNT_LIMIT), **counts}

    # Change tracking

    def _changes(self, query: Query, cursor: _Cursor) -> dict[str, Any]:
        """Return a page of everything, or of what changed since a token: changed rows first, deletions last."""
        if not query.table.tracked:
            raise errors.invalid_argument(f"Change tracking is not enabled for the entity '{query.table.name}'.")
        since = self._since(query.options["$deltatoken"]) if "$deltatoken" in query.options else None
        upto = cursor.upto if cursor.tracking else self._store.version
        at = cursor.at if cursor.tracking else _token_time(self._clock.now())
        entries = self._entries(query, since, upto)
        position = int(cursor.after) if cursor.after is not None else 0
        remaining = [(mark, entry) for mark, entry in entries if mark > position]
        size = self._page_size(query)
        suffix = "" if since is None else "/$delta"
        body: dict[str, Any] = {"@odata.context": self._context(query, self._selected(query), suffix)}
        body["value"] = [entry() for _, entry in remaining[:size]]
        if len(remaining) > size:
            more = _Cursor(cursor.page + 1, str(remaining[size - 1][0]), True, upto, at)
            body["@odata.nextLink"] = self._next_link(query, more)
        else:
            body["@odata.deltaLink"] = self._link(query, {"$deltatoken": f"{upto}!{at}"})
        return body

    def _entries(self, query: Query, since: int | None, upto: int) -> list[tuple[int, Callable[[], dict[str, Any]]]]:
        """List what to report, each with a mark that only grows; a deletion's mark follows all rows' marks."""
        selected = self._selected(query)
        entries: list[tuple[int, Callable[[], dict[str, Any]]]] = []
        for row in self._all_rows(query):
            version = row["versionnumber"]
            if (since or 0) < version <= upto:
                entries.append((version, lambda row=row: self._shown(query, row, selected)))  # type: ignore[misc] # row is bound now
        if since is not None:
            for tombstone in self._store.tombstones(query.table.name):
                if since < tombstone.version <= upto:
                    gone = {
                        "@odata.context": f"{self.root}/$metadata#{query.table.set_name}/$deletedEntity",
                        "id": tombstone.row_id,
                        "reason": "deleted",
                    }
                    entries.append((upto + tombstone.version, lambda gone=gone: gone))  # type: ignore[misc] # as above
        return sorted(entries, key=lambda entry: entry[0])

    def _since(self, token: str) -> int:
        """Return the version a delta token stands for; raises DataverseError when it is too old or not one."""
        found = re.fullmatch(r"(\d+)!(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)", token)
        if found is None:
            raise errors.invalid_argument("The delta token is not valid.")
        issued = datetime.strptime(found[2], "%m/%d/%Y %H:%M:%S").replace(tzinfo=UTC)
        if self._clock.now() - issued > timedelta(days=self._options.token_life_days):
            text = "Version stamp associated with the client has expired. Please perform a full sync."
            raise DataverseError(400, "0x80044352", text)
        return int(found[1])

    # Links and contexts

    def _next_link(self, query: Query, cursor: _Cursor) -> str:
        return self._link(query, {"$skiptoken": _cookie(cursor, query.table.primary_id)})

    def _link(self, query: Query, changes: Mapping[str, str]) -> str:
        options = query.asked if query.asked is not None else query.options
        kept = {n: v for n, v in options.items() if n not in ("$skiptoken", "$deltatoken") or n not in changes}
        if "$deltatoken" in changes:
            kept.pop("$skiptoken", None)
        parts = [f"{name}={quote(value, safe='$,()')}" for name, value in {**kept, **changes}.items()]
        return f"{self.root}/{query.path or query.table.set_name}?{'&'.join(parts)}"

    def _context(self, query: Query, selected: Sequence[Column] | None, suffix: str = "") -> str:
        names = "" if selected is None else f"({','.join(column.property_name for column in selected)})"
        return f"{self.root}/$metadata#{query.table.set_name}{names}{suffix}"

    # Properties of a row

    def _types(self, query: Query) -> Callable[[str], str | None]:
        def typed(path: str) -> str | None:
            column = query.table.properties.get(path)
            if column is not None and column.name in query.hidden:
                text = f"The caller does not have read permission for the secured column '{column.name}'."
                raise DataverseError(403, QUERY_OF_SECURED, text)
            return self._model.edm_type(query.table, path)

        return typed

    def _accessor(self, table: Table) -> Callable[[Row, str], Any]:
        return lambda row, path: self._value(table, row, path)

    def _value(self, table: Table, row: Row | None, path: str) -> Any:
        if row is None:
            return None
        first, _, rest = path.partition("/")
        if not rest:
            return row.get(table.properties[first].name)
        column, target = table.navigations[first]
        linked = self._store.get(target, row.get(column.name)) if lookup_target(column, row) == target else None
        return self._value(self._model.tables[target], linked, rest)

    def _selected(self, query: Query) -> list[Column] | None:
        if "$select" not in query.options:
            return None
        try:
            names = parse_select(query.options["$select"], types=self._selectable(query.table))
        except BadQuery as error:
            raise self._refusal(query, error) from error
        return [query.table.properties[name] for name in names if name in query.table.properties]

    def _selectable(self, table: Table) -> Callable[[str], str | None]:
        """Only plain properties can be selected; a lookup goes by `_name_value`."""
        return lambda path: self._model.edm_type(table, path) if "/" not in path else None

    def _shown(self, query: Query, row: Row, selected: Sequence[Column] | None) -> dict[str, Any]:
        """Return a row's properties with etag, in the table's order, and the annotations that were asked for."""
        table = query.table
        columns = list(table.properties.values()) if selected is None else list(selected)
        if selected is not None and table.columns[table.primary_id] not in columns:
            columns.append(table.columns[table.primary_id])
        body: dict[str, Any] = {"@odata.etag": etag(row)}
        annotated = bool(query.preferences.annotations)
        for column in columns:
            value = None if column.name in query.hidden else row.get(column.name)
            if annotated and value is not None:
                body.update(self._annotations(query, column, row, value))
            body[column.property_name] = outgoing(column, value)
        return body

    def _annotations(self, query: Query, column: Column, row: Row, value: Any) -> dict[str, Any]:
        found = {FORMATTED: formatted(column, value, self._options.currency_symbol)}
        if column.is_lookup:
            target = lookup_target(column, row)
            about = self._model.tables[target]
            linked = self._store.get(target, value)
            found[FORMATTED] = linked.get(about.primary_name) if linked is not None else None
            found[NAVIGATION] = next((n for n, t in column.navigation_names().items() if t == target), None)
            found[LOOKUP_TABLE] = target
        name = column.property_name
        return {f"{name}@{a}": text for a, text in found.items() if text is not None and query.preferences.wants(a)}


def _refuse_beside_tracking(query: Query) -> None:
    for option in REFUSED_WHEN_TRACKING:
        if option in query.options:
            text = f'The "{option}" query parameter isn\'t supported when Change Tracking is enabled.'
            raise errors.bad_query(text)


def etag(row: Row) -> str:
    """Return a row's etag."""
    return f'W/"{row["versionnumber"]}"'


def outgoing(column: Column, value: Any) -> Any:
    """Turn a stored value into what JSON shows: money with four decimals, moments in whole seconds with Z."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, Decimal) and column.kind is Kind.MONEY:
        return value.quantize(Decimal("0.0001"))
    return value.isoformat() if hasattr(value, "isoformat") else value


def _token_time(moment: datetime) -> str:
    return f"{moment:%m/%d/%Y %H:%M:%S}"


def _cookie(cursor: _Cursor, primary_id: str) -> str:
    """Write a paging cookie: an element whose attribute is encoded twice, as the Web API does."""
    inner = (
        f'<cookie page="{cursor.page - 1}"><{primary_id} last="{cursor.after}" first="{cursor.after}" />'
        f'<versions upto="{cursor.upto}" at="{cursor.at}" /></cookie>'
    )
    encoded = quote(quote(inner, safe=""), safe="")
    return (
        f"<cookie pagenumber={quoteattr(str(cursor.page))} pagingcookie={quoteattr(encoded)} "
        f"istracking={quoteattr(str(cursor.tracking))} />"
    )


_COOKIE = re.compile(r'<cookie pagenumber="(\d+)" pagingcookie="([^"]*)" istracking="(True|False)" />')
_INNER = re.compile(
    r'<cookie page="\d+"><\w+ last="([^"]*)" first="[^"]*" /><versions upto="(\d+)" at="([^"]*)" /></cookie>'
)


def _parse_cursor(token: str | None) -> _Cursor:
    if token is None:
        return _Cursor()
    outer = _COOKIE.fullmatch(token)
    inner = _INNER.fullmatch(unquote(unquote(outer[2]))) if outer is not None else None
    if outer is None or inner is None:
        raise errors.bad_query("Malformed XML in the Paging Cookie")
    return _Cursor(int(outer[1]), inner[1], outer[3] == "True", int(inner[2]), inner[3])
