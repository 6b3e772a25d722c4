"""A query as FSM takes it: columns, conditions that all hold, an order, and a part of what is found."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.field_service.errors import Refused
from sandbox.field_service.tables import Column, Kind, Table
from sandbox.field_service.values import Forms, value_of
from sandbox.rows_on_disk import Row

MOST_ROWS = 1000
MOST_VALUES = 100
_MEMBERS = frozenset({"columns", "filter", "orderBy", "limit", "offset"})
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "ge": operator.ge,
    "gt": operator.gt,
    "le": operator.le,
    "lt": operator.lt,
}


@dataclass(frozen=True)
class Query:
    """A query that can be answered."""

    table: str
    columns: tuple[str, ...]
    conditions: tuple[Callable[[Row], bool], ...]
    order: tuple[str, ...]
    limit: int
    offset: int

    def page(self, rows: Collection[Row]) -> Sequence[Row]:
        """The rows it finds, in its order; what is blank comes last."""
        found = [row for row in rows if all(holds(row) for holds in self.conditions)]
        for name in reversed(self.order):
            found.sort(key=_placed_by(name))
        return found[self.offset : self.offset + self.limit]


def read_query(table: Table, body: Mapping[str, Any], forms: Forms) -> Query:
    """Read a query; raises the 400."""
    if not body.keys() <= _MEMBERS:
        raise _bad("It has members that are not known.")
    columns, order = _names(table, body.get("columns")), _names(table, body.get("orderBy", []))
    if not columns:
        raise _bad("It names the columns that are wanted.")
    limit, offset = _whole(body.get("limit"), 1, MOST_ROWS), _whole(body.get("offset", 0), 0, None)
    said = body.get("filter", [])
    if not isinstance(said, list):
        raise _bad("The filter is a list.")
    conditions = tuple(_condition(table, one, forms) for one in said)
    return Query(table.name, columns, conditions, order, limit, offset)


def _placed_by(name: str) -> Callable[[Row], tuple[bool, Any]]:
    return lambda row: (row.get(name) is None, row.get(name))


def _bad(why: str, column: str = "") -> Refused:
    return Refused(400, "BadFilter", why, column)


def _whole(given: Any, least: int, most: int | None) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < least or (most is not None and given > most):
        raise _bad(f"At most {MOST_ROWS} rows come at a time, after none or some that are left out.")
    return given


def _names(table: Table, given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise _bad("Columns are named in a list.")
    for name in given:
        _column(table, name)
    return tuple(given)


def _column(table: Table, name: str) -> Column:
    if name not in table.columns:
        raise Refused(400, "UnknownColumn", "There is no such column.", name)
    return table.columns[name]


def _condition(table: Table, said: Any, forms: Forms) -> Callable[[Row], bool]:
    if not isinstance(said, dict) or said.keys() != {"column", "operator", "values"}:
        raise _bad("A condition has a column, an operator and values.")
    column = _column(table, str(said["column"]))
    wanted, name = _wanted(column, said["values"], forms), column.name
    if said["operator"] == "in":
        if not 1 <= len(wanted) <= MOST_VALUES:
            raise _bad(f"From 1 to {MOST_VALUES} values.", name)
        return lambda row: row.get(name) in wanted
    compare = _ORDERS.get(str(said["operator"]))
    if compare is None or len(wanted) != 1 or column.kind is Kind.FLAG:
        raise _bad("There is no such comparison.", name)
    return lambda row: row.get(name) is not None and compare(row[name], wanted[0])


def _wanted(column: Column, given: Any, forms: Forms) -> list[Any]:
    if not isinstance(given, list):
        raise _bad("Values are a list.", column.name)
    try:
        values = [value_of(Column(column.name, column.kind), one, forms) for one in given]
    except Refused:
        raise _bad(f"It is compared with values of the type {column.kind}.", column.name) from None
    if None in values:
        raise _bad("It cannot be compared with what is blank.", column.name)
    return values
