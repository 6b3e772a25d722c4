"""FetchXML, views and SQL as query options: the parts of them that one table without joins needs.

They become `$select`, `$filter` and `$orderby`, so that one reader answers all three languages. After Microsoft Learn,
'Use FetchXML to retrieve data', 'Page results using FetchXML' and 'Use SQL to query data by using the Dataverse Web
API'.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

from sandbox.dataverse import errors
from sandbox.dataverse.errors import NotImitated
from sandbox.dataverse.metadata import EDM, Column, Kind, Table

COMPARISONS = {"eq": "eq", "ne": "ne", "gt": "gt", "ge": "ge", "lt": "lt", "le": "le"}
SQL_COMPARISONS = {"=": "eq", "<>": "ne", "!=": "ne", ">": "gt", ">=": "ge", "<": "lt", "<=": "le"}
_SPAN = re.compile(r"(next|last)-x-(days|weeks|months|years)")
_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z_][\w.]*)|(-?\d+(?:\.\d+)?)|(<>|!=|>=|<=|[=<>(),*]))")


@dataclass(frozen=True)
class Translated:
    """A query in the reader's own terms. page and size: of FetchXML, which is paged by the query itself."""

    options: Mapping[str, str]
    fetched: bool = False
    page: int = 1
    size: int | None = None


def column_of(table: Table, name: str) -> Column:
    """Return a column by logical name; raises DataverseError for an unknown one."""
    column = table.columns.get(name)
    if column is None or not column.readable:
        text = f"'{table.name}' entity doesn't contain attribute with Name = '{name}' and NameMapping = 'Logical'."
        raise errors.unknown_attribute(text)
    return column


def literal(column: Column, text: str) -> str:
    """Write a value as the literal that a filter on its column takes."""
    kind = EDM[column.kind]
    if kind == "Edm.String":
        return "'" + text.replace("'", "''") + "'"
    if kind == "Edm.Boolean":
        return {"1": "true", "0": "false"}.get(text, text.lower())
    if column.kind is Kind.DATETIME and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return f"{text}T00:00:00Z"
    return text.strip("{}")


def is_one_of(column: Column, values: Sequence[str]) -> str:
    """Write "the column is one of these"."""
    listed = [literal(column, value) for value in values]
    name = column.property_name
    return f"{name} eq {listed[0]}" if len(listed) == 1 else f"{name} in ({','.join(listed)})"


def like(column: Column, pattern: str) -> str:
    """Turn a pattern with leading or trailing percent signs into a text function."""
    body = pattern.strip("%")
    if any(mark in body for mark in "%_["):
        raise NotImitated(f"the pattern {pattern}")
    value = literal(column, body)
    match pattern.startswith("%"), pattern.endswith("%"):
        case True, True:
            return f"contains({column.property_name},{value})"
        case True, False:
            return f"endswith({column.property_name},{value})"
        case False, True:
            return f"startswith({column.property_name},{value})"
    return f"{column.property_name} eq {value}"


# FetchXML


def from_fetchxml(table: Table, text: str, now: datetime) -> Translated:
    """Translate FetchXML; raises DataverseError for what is wrong and NotImitated for what goes beyond one table."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - a test's own query
    except ElementTree.ParseError:
        raise errors.invalid_argument("Invalid XML.") from None
    entity = root.find("entity")
    if root.tag != "fetch" or entity is None or entity.get("name") != table.name:
        raise errors.invalid_argument("The fetch element needs one entity, that of the address.")
    _only(root, {"entity"}, {"count", "page", "paging-cookie", "top", "version", "mapping", "no-lock"})
    _only(entity, {"attribute", "all-attributes", "filter", "order"}, {"name"})
    options = _clauses(table, entity, now)
    if root.get("top") is not None:
        options["$top"] = str(root.get("top"))
    size = root.get("count")
    return Translated(options, True, int(root.get("page", "1")), int(size) if size is not None else None)


def _clauses(table: Table, entity: ElementTree.Element, now: datetime) -> dict[str, str]:
    options: dict[str, str] = {}
    names = [column_of(table, one.get("name", "")).property_name for one in entity.findall("attribute")]
    if names:
        options["$select"] = ",".join(names)
    conditions = [_fetch_filter(table, one, now) for one in entity.findall("filter")]
    if conditions:
        options["$filter"] = " and ".join(conditions)
    orders = [_fetch_order(table, one) for one in entity.findall("order")]
    if orders:
        options["$orderby"] = ",".join(orders)
    return options


def _only(element: ElementTree.Element, children: set[str], attributes: set[str]) -> None:
    for child in element:
        if child.tag not in children:
            raise NotImitated(f"FetchXML with <{child.tag}> in <{element.tag}>")
    for name in element.attrib:
        if name not in attributes:
            raise NotImitated(f"FetchXML with the attribute {name} of <{element.tag}>")


def _fetch_order(table: Table, order: ElementTree.Element) -> str:
    _only(order, set(), {"attribute", "descending"})
    name = column_of(table, order.get("attribute", "")).property_name
    return f"{name} desc" if order.get("descending") == "true" else name


def _fetch_filter(table: Table, element: ElementTree.Element, now: datetime) -> str:
    _only(element, {"condition", "filter"}, {"type"})
    parts = [
        _condition(table, one, now) if one.tag == "condition" else _fetch_filter(table, one, now) for one in element
    ]
    if not parts:
        raise errors.invalid_argument("A filter needs conditions.")
    return "(" + f" {element.get('type', 'and')} ".join(parts) + ")"


def _condition(table: Table, element: ElementTree.Element, now: datetime) -> str:
    _only(element, {"value"}, {"attribute", "operator", "value"})
    column = column_of(table, element.get("attribute", ""))
    wanted, value = element.get("operator", ""), element.get("value", "")
    name = column.property_name
    if wanted in COMPARISONS:
        return f"{name} {COMPARISONS[wanted]} {literal(column, value)}"
    if wanted in ("null", "not-null"):
        return f"{name} {'eq' if wanted == 'null' else 'ne'} null"
    if wanted in ("like", "not-like"):
        return like(column, value) if wanted == "like" else f"not ({like(column, value)})"
    if wanted in ("in", "not-in"):
        chosen = is_one_of(column, [one.text or "" for one in element.findall("value")] or [value])
        return chosen if wanted == "in" else f"not ({chosen})"
    if spanned := _SPAN.fullmatch(wanted):
        return _within(column, spanned[1], value, spanned[2], now)
    raise NotImitated(f"the FetchXML operator {wanted}")


def _within(column: Column, direction: str, number: str, unit: str, now: datetime) -> str:
    """Write "the column lies within so many days, weeks, months or years from now on, or before"."""
    if column.kind not in (Kind.DATE, Kind.DATETIME):
        raise errors.invalid_argument(f"The condition operator is not valid for the attribute '{column.name}'.")
    if not number.isdecimal() or int(number) == 0:
        raise errors.invalid_argument(f"'{number}' is no number of {unit}.")
    far = _moved(now, int(number) if direction == "next" else -int(number), unit)
    first, last = sorted((now, far))
    form = "%Y-%m-%d" if column.kind is Kind.DATE else "%Y-%m-%dT%H:%M:%SZ"
    name = column.property_name
    return f"({name} ge {first.strftime(form)} and {name} le {last.strftime(form)})"


def _moved(moment: datetime, number: int, unit: str) -> datetime:
    if unit in ("days", "weeks"):
        return moment + timedelta(**{unit: number})
    months = moment.year * 12 + moment.month - 1 + number * (12 if unit == "years" else 1)
    year, month = divmod(months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


# SQL


def from_sql(table: Table, text: str) -> Translated:
    """Translate a SELECT; raises DataverseError for what is wrong and NotImitated for what goes beyond one table."""
    return _Sql(table, text).translated()


@dataclass
class _Sql:
    """Reads one SELECT from left to right."""

    table: Table
    text: str
    tokens: list[str] = field(default_factory=list)
    alias: str = ""

    def translated(self) -> Translated:
        self._split()
        self._take("SELECT")
        if self._next() in ("TOP", "DISTINCT"):
            raise NotImitated(f"SQL with {self._next()}")
        names = self._names_until("FROM")
        self._from()
        options = {"$select": ",".join(self._column(name).property_name for name in names)}
        if self._skip("WHERE"):
            options["$filter"] = self._disjunction()
        if self._skip("ORDER"):
            self._take("BY")
            options["$orderby"] = self._orders()
        if self.tokens:
            raise NotImitated(f"SQL with {self.tokens[0]}")
        return Translated(options)

    def _split(self) -> None:
        position, text = 0, self.text.strip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if found is None:
                raise errors.bad_query(f"Incorrect syntax near '{text[position : position + 10]}'.")
            self.tokens.append(found.group().strip())
            position = found.end()

    def _next(self) -> str:
        return self.tokens[0].upper() if self.tokens else ""

    def _skip(self, word: str) -> bool:
        if self._next() != word:
            return False
        self.tokens.pop(0)
        return True

    def _take(self, word: str | None = None) -> str:
        if not self.tokens or (word is not None and self._next() != word):
            raise errors.bad_query(f"Incorrect syntax near '{self.tokens[0] if self.tokens else ''}'.")
        return self.tokens.pop(0)

    def _names_until(self, end: str) -> list[str]:
        names = [self._take()]
        while self._skip(","):
            names.append(self._take())
        if "*" in names:
            raise errors.bad_query("SELECT * is not supported.")
        if self.tokens and self._next() != end:
            raise NotImitated("SQL with expressions or names of columns")
        self._take(end)
        return names

    def _from(self) -> None:
        name = self._take()
        if name.lower() != self.table.name:
            raise errors.bad_query(f"The table '{name}' is not that of the address.")
        named = self._skip("AS")
        if named or self._next() not in ("", "WHERE", "ORDER", "INNER", "LEFT", "JOIN", "GROUP"):
            self.alias = self._take().lower()

    def _column(self, name: str) -> Column:
        prefix, _, own = name.lower().rpartition(".")
        if prefix not in ("", self.alias, self.table.name):
            raise NotImitated("SQL over several tables")
        return column_of(self.table, own)

    def _disjunction(self) -> str:
        parts = [self._conjunction()]
        while self._skip("OR"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else "(" + " or ".join(parts) + ")"

    def _conjunction(self) -> str:
        parts = [self._leaf()]
        while self._skip("AND"):
            parts.append(self._leaf())
        return " and ".join(parts)

    def _leaf(self) -> str:
        if self._skip("("):
            inner = self._disjunction()
            self._take(")")
            return f"({inner})"
        column = self._column(self._take())
        if self._skip("IS"):
            negated = self._skip("NOT")
            self._take("NULL")
            return f"{column.property_name} {'ne' if negated else 'eq'} null"
        negated = self._skip("NOT")
        reader: Callable[[Column], str] = self._listed if self._next() == "IN" else self._compared
        made = self._matched(column) if self._next() == "LIKE" else reader(column)
        return f"not ({made})" if negated else made

    def _matched(self, column: Column) -> str:
        self._take("LIKE")
        return like(column, self._text())

    def _listed(self, column: Column) -> str:
        self._take("IN")
        self._take("(")
        values = [self._text()]
        while self._skip(","):
            values.append(self._text())
        self._take(")")
        return is_one_of(column, values)

    def _compared(self, column: Column) -> str:
        sign = self._take()
        if sign not in SQL_COMPARISONS:
            raise NotImitated(f"the SQL operator {sign}")
        return f"{column.property_name} {SQL_COMPARISONS[sign]} {literal(column, self._text())}"

    def _text(self) -> str:
        """Take a constant."""
        token = self._take()
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if not re.fullmatch(r"-?\d+(\.\d+)?", token):
            raise NotImitated("SQL that compares with anything but a constant")
        return token

    def _orders(self) -> str:
        orders = [self._order()]
        while self._skip(","):
            orders.append(self._order())
        return ",".join(orders)

    def _order(self) -> str:
        name = self._column(self._take()).property_name
        if self._skip("DESC"):
            return f"{name} desc"
        self._skip("ASC")
        return name


def translated(
    table: Table, options: Mapping[str, str], now: datetime, saved: Callable[[str], str]
) -> Translated | None:
    """Return what a FetchXML or SQL query or a view asks for, or None for a query in OData's own options.

    saved: the FetchXML of a view by its id.
    """
    languages: Sequence[tuple[str, Callable[[str], Translated]]] = (
        ("fetchXml", lambda text: from_fetchxml(table, text, now)),
        ("savedQuery", lambda view_id: from_fetchxml(table, saved(view_id), now)),
        ("sql", lambda text: from_sql(table, text)),
    )
    for name, translate in languages:
        if name in options:
            others: set[Any] = set(options) - {name, "$skiptoken", "tag"}
            if others:
                raise NotImitated(f"{name} beside {', '.join(sorted(others))}")
            return translate(options[name])
    return None
