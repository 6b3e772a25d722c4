"""Addresses and query options as IFS Cloud takes them: keys in parentheses, $filter, $select, $orderby, $top, $skip."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from sandbox import odata
from sandbox.field_service.errors import Refused
from sandbox.field_service.ifs_metadata import edm_type
from sandbox.field_service.keys import key_of
from sandbox.field_service.tables import Kind, Table
from sandbox.problems import NotImitated
from sandbox.rows_on_disk import Row

MOST_ROWS = 1000
_SET = re.compile(r"(?P<name>\w+)(?:\((?P<key>.*)\))?", re.DOTALL)
_PART = re.compile(r"(?P<name>\w+)=(?:'(?P<text>(?:[^']|'')*)'|(?P<number>-?\d{1,18}))(?:,(?=.)|$)", re.DOTALL)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_IN = re.compile(r"\sin\s*\(", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """An entity set, and the key of one of its rows as it was sent, if any."""

    entity_set: str
    key: str | None


def address_of(segment: str) -> Address:
    """Read the last part of a path as it was sent; raises NotImitated."""
    found = _SET.fullmatch(unquote(segment))
    if found is None:
        raise NotImitated("an address outside the contract")
    return Address(found["name"], found["key"])


def key_in(table: Table, sent: str) -> str:
    """Read a key: every part by its name, texts in quotes. Raises the 400."""
    given: dict[str, str] = {}
    place = 0
    while found := _PART.match(sent, place):
        column = table.columns.get(found["name"])
        if column is None or (column.kind in (Kind.WHOLE, Kind.AMOUNT)) != (found["number"] is not None):
            break
        value = found["number"] if found["text"] is None else found["text"].replace("''", "'")
        given[column.name], place = value, found.end()
    if place != len(sent) or given.keys() != set(table.keys):
        raise Refused(400, "BadKey", "The key names every part, texts in quotes.")
    return key_of([int(given[name]) if table.columns[name].kind is Kind.WHOLE else given[name] for name in table.keys])


@dataclass(frozen=True)
class Query:
    """A read that can be answered. select: None is all."""

    select: tuple[str, ...] | None
    predicate: odata.Predicate | None
    orders: tuple[odata.Order, ...]
    top: int | None
    skip: int

    def page(self, rows: Iterable[Row]) -> Sequence[Row]:
        """The rows it finds, in its order."""
        found = [row for row in rows if self.predicate is None or self.predicate(row)]
        found = odata.sort_rows(found, self.orders, case_sensitive=True)
        return found[self.skip : None if self.top is None else self.skip + self.top]


def read_query(table: Table, options: Mapping[str, str], allowed: Collection[str]) -> Query:
    """Read the options of an address; raises the 400 and NotImitated."""
    for name in options:
        if name not in allowed:
            raise NotImitated(f"the query option {name}")
    types = _types(table)
    try:
        query = Query(
            select=odata.parse_select(options["$select"], types=types) if "$select" in options else None,
            predicate=_predicate(options["$filter"], types) if "$filter" in options else None,
            orders=odata.parse_orderby(options["$orderby"], types=types) if "$orderby" in options else (),
            top=odata.parse_top(options["$top"]) if "$top" in options else None,
            skip=odata.parse_top(options.get("$skip", "0")),
        )
    except odata.BadQuery as error:
        raise Refused(400, "BadQuery", error.reason, error.prop or "") from None
    except odata.UnsupportedQuery as error:
        raise NotImitated(error.what) from None
    if query.top is not None and query.top > MOST_ROWS:
        raise Refused(400, "BadQuery", f"At most {MOST_ROWS} rows come at a time.")
    return query


def _types(table: Table) -> Callable[[str], str | None]:
    kinds = {name: edm_type(table, column) for name, column in table.columns.items()}
    return kinds.get


def _predicate(text: str, types: odata.Types) -> odata.Predicate:
    if _IN.search(_TEXT.sub("''", text)):
        raise NotImitated("the operator in of $filter")
    return odata.compile_filter(text, types=types, case_sensitive=True)
