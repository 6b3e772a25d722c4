"""Query options as Business Central understands them: what it refuses, what it ignores, and its way of paging.

Source: Microsoft Learn, 'Using filter expressions in OData URIs', 'Known limitations with Business Central OData',
'Performance best practices for web services' (server-driven paging), and recorded next links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from sandbox import odata
from sandbox.business_central.entities import ENTITIES, EntityType
from sandbox.business_central.errors import ApiError, NotImitated, bad_request, no_such_property
from sandbox.business_central.records import Session
from sandbox.business_central.showing import Expand, shown, value_of
from sandbox.business_central.store import Table
from sandbox.business_central.values import Row

KNOWN = frozenset(
    [
        "$select",
        "$filter",
        "$orderby",
        "$top",
        "$skip",
        "$count",
        "$expand",
        "$skiptoken",
        "$schemaversion",
        "aid",
        "company",
        "tenant",
    ]
)
_PAGE = re.compile(r"odata\.maxpagesize\s*=\s*(\d+)")


@dataclass(frozen=True)
class Query:
    """The options of one read, checked against the entity."""

    select: tuple[str, ...] | None
    predicate: odata.Predicate | None
    orders: tuple[odata.Order, ...]
    top: int | None
    skip: int
    count: bool
    expand: tuple[Expand, ...]
    token: str | None
    page_size: int


@dataclass(frozen=True)
class Page:
    """What a list read answers with."""

    rows: Sequence[Row]
    total: int
    next_token: str | None


def read_query(session: Session, entity: EntityType, options: Mapping[str, str], prefer: str = "") -> Query:
    """Check a read's options; raises ApiError as the service does, NotImitated for what is not known here."""
    for name in options:
        if name not in KNOWN:
            raise NotImitated(f"the query option {name}")
    if options.get("$schemaversion", "2.0") != "2.0":
        raise NotImitated("a schema version other than 2.0")
    try:
        return _query(session, entity, options, prefer)
    except odata.BadQuery as error:
        if error.prop is not None:
            raise no_such_property(error.prop, entity.name) from None
        raise bad_request("query", reason=error.reason) from None
    except odata.UnsupportedQuery as error:
        raise NotImitated(error.what) from None


def _query(session: Session, entity: EntityType, options: Mapping[str, str], prefer: str) -> Query:
    def types(name: str) -> str | None:
        field = entity.by_name.get(name)
        return field.edm if field is not None else None

    def ordered(name: str) -> str | None:
        _refuse_page_variable(entity, name)
        return types(name)

    return Query(
        select=odata.parse_select(options["$select"], types=types) if options.get("$select") else None,
        predicate=_predicate(session, entity, options["$filter"]) if options.get("$filter") else None,
        orders=odata.parse_orderby(options["$orderby"], types=ordered) if options.get("$orderby") else (),
        top=odata.parse_top(options["$top"]) if "$top" in options else None,
        skip=odata.parse_top(options.get("$skip", "0")),
        count=odata.parse_bool(options.get("$count", "false")),
        expand=_expand(entity, options.get("$expand", "")),
        token=options.get("$skiptoken"),
        page_size=_page_size(session, prefer),
    )


def _page_size(session: Session, prefer: str) -> int:
    found = _PAGE.search(prefer)
    cap = session.options.page_size
    return min(cap, int(found[1])) if found is not None and int(found[1]) > 0 else cap


# --- $filter ---


def _predicate(session: Session, entity: EntityType, text: str) -> odata.Predicate | None:
    tree = _parsed(text)
    nodes = list(_walk(tree))
    if any(isinstance(node, ast.CollectionLambda) for node in nodes):
        return None
    if any(isinstance(node, ast.Not) for node in nodes):
        raise NotImitated("'not' in $filter")
    if any(isinstance(node, ast.In) for node in nodes):
        raise ApiError(400, "BadRequest_MethodNotImplemented", "in_operator")
    _refuse_distinct_or(session, nodes)
    return odata.compile_filter(
        _with_upper_codes(entity, text),
        types=lambda name: _filter_type(entity, name),
        value=lambda row, name: value_of(session, entity, entity.by_name[name], row),
        case_sensitive=True,
    )


def _parsed(text: str) -> Any:
    try:
        return ODataParser().parse(ODataLexer().tokenize(text.strip()))
    except (ODataException, ValueError):
        raise odata.BadQuery(f"Syntax error in '{text}'.") from None


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for value in vars(node).values() if hasattr(node, "__dict__") else ():
        for inner in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(inner, str | None):
                yield from _walk(inner)


def _refuse_distinct_or(session: Session, nodes: Sequence[Any]) -> None:
    for node in nodes:
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            names = {inner.name for inner in _walk(node) if _is_property(inner)}
            if len(names) > 1:
                status = session.options.or_status
                raise ApiError(status, "BadRequest_MethodNotImplemented", "or_on_distinct_fields")


def narrowed(table: Table, entity: EntityType, text: str) -> list[Row] | None:
    """Return the only rows a filter can find if an index tells, else None; malformed filters are left to others."""
    try:
        found = _equalities(_parsed(text))
    except odata.BadQuery:
        return None
    field = entity.by_name.get(found[0]) if found is not None else None
    if found is None or field is None or field.computed:
        return None
    if field.name == entity.key:
        return [table.rows[value] for value in found[1] if value in table.rows]
    if field.source not in (table.info.key, *table.info.indexes):
        return None
    values = {value.upper() if field.kind == "code" else value for value in found[1]}
    return [row for value in values for row in table.find(field.source, value)]


def _equalities(node: Any) -> tuple[str, frozenset[str]] | None:
    """Return the property a filter pins down to single values, and those; None if it pins down none."""
    if isinstance(node, ast.Compare) and isinstance(node.comparator, ast.Eq):
        if isinstance(node.left, ast.Identifier) and isinstance(node.right, ast.String | ast.GUID):
            is_id = isinstance(node.right, ast.GUID)
            return node.left.name, frozenset({node.right.val.lower() if is_id else node.right.val})
    elif isinstance(node, ast.BoolOp):
        left, right = _equalities(node.left), _equalities(node.right)
        if isinstance(node.op, ast.And):
            return left or right
        if left is not None and right is not None and left[0] == right[0]:
            return left[0], left[1] | right[1]
    return None


def _is_property(node: Any) -> bool:
    return isinstance(node, ast.Identifier) and node.name not in odata.TEXT_FUNCTIONS


def _refuse_page_variable(entity: EntityType, name: str) -> None:
    computed_by_page = {"customerContact": ("customerId", "customerName"), "item": ("inventory",)}
    if name in computed_by_page.get(entity.name, ()):
        raise NotImitated(f"{name} in $filter or $orderby: the page computes it, the table does not hold it")


def _filter_type(entity: EntityType, name: str) -> str | None:
    _refuse_page_variable(entity, name)
    field = entity.by_name.get(name)
    if field is None:
        return None
    if field.kind == "enum":
        capital = name[0].upper() + name[1:]
        raise bad_request("types", entity=entity.name, name=capital)
    return field.edm


_CODE_VALUE = re.compile(
    r"(?P<head>\b(?P<one>\w+)\s+(?:eq|ne|gt|ge|lt|le)\s+|\b(?:contains|startswith|endswith)\(\s*(?P<other>\w+)\s*,\s*)"
    r"(?P<value>'(?:[^']|'')*')"
)


def _with_upper_codes(entity: EntityType, text: str) -> str:
    """Upper-case the values that are compared with Code columns, as the database's filters do."""

    def upper(found: re.Match[str]) -> str:
        field = entity.by_name.get(found["one"] or found["other"])
        is_code = field is not None and field.kind == "code"
        return found["head"] + (found["value"].upper() if is_code else found["value"])

    return _CODE_VALUE.sub(upper, text)


# --- $expand ---


def _expand(entity: EntityType, text: str) -> tuple[Expand, ...]:
    return tuple(_expand_one(entity, part) for part in re.findall(r"[^,()]+(?:\([^)]*\))?", text))


def _expand_one(entity: EntityType, part: str) -> Expand:
    name, _, nested = part.strip().rstrip(")").partition("(")
    link = entity.link_by_name.get(name)
    if link is None:
        raise odata.BadQuery("unknown link", name)
    if not link.imitated:
        raise NotImitated(f"$expand={name}")
    if not nested:
        return Expand(link)
    option, _, value = nested.partition("=")
    if option.strip() != "$select" or ";" in value:
        raise NotImitated(f"{option} within $expand")
    target = ENTITIES[link.target]
    select = odata.parse_select(value, types=lambda one: target.by_name[one].edm if one in target.by_name else None)
    return Expand(link, select)


# --- pages ---


def select_rows(session: Session, entity: EntityType, rows: Sequence[Row], query: Query) -> Page:
    """Filter and sort rows, and cut out the page that is asked for. Rows come in the order of their key."""
    found = [row for row in rows if query.predicate is None or query.predicate(row)]
    if query.orders:
        found = odata.sort_rows(
            found,
            query.orders,
            value=lambda row, name: value_of(session, entity, entity.by_name[name], row),
            case_sensitive=True,
        )
    start = query.skip if query.token is None else _after(entity, found, query.token)
    wanted = query.page_size if query.top is None else min(query.top, query.page_size)
    page = found[start : start + wanted]
    full = len(page) == query.page_size and (query.top is None or query.top > query.page_size)
    return Page(page, len(found), str(page[-1][entity.key]) if page and full else None)


def _after(entity: EntityType, rows: Sequence[Row], token: str) -> int:
    for position, row in enumerate(rows):
        if row[entity.key] == token:
            return position + 1
    raise ApiError(400, "SkipTokenIsNoLongerValid", "skiptoken")


def next_link(url: str, options: Mapping[str, str], query: Query, token: str) -> str:
    """Return the address of the next page: the same options, what is left of $top, and the last row's id."""
    kept = {name: value for name, value in options.items() if name not in ("aid", "$skiptoken", "$skip", "$top")}
    if query.top is not None:
        kept["$top"] = str(query.top - query.page_size)
    kept |= {"aid": "FIN", "$skiptoken": token}
    return url + "?" + urlencode(kept, quote_via=quote, safe="$(),:'*@")


def answer_list(
    session: Session,
    entity: EntityType,
    rows: Sequence[Row],
    query: Query,
    *,
    url: str,
    context: str,
    options: Mapping[str, str],
) -> dict[str, Any]:
    """Return the body of a list read."""
    page = select_rows(session, entity, rows, query)
    selected = f"({','.join(query.select)})" if query.select else ""
    body: dict[str, Any] = {"@odata.context": context + selected}
    if query.count:
        body["@odata.count"] = page.total
    body["value"] = [shown(session, entity, row, query.select, query.expand) for row in page.rows]
    if page.next_token is not None:
        body["@odata.nextLink"] = next_link(url, options, query, page.next_token)
    return body
