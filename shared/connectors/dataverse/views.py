"""The views of our own as Dataverse keeps them: a query in FetchXML and a layout, each as XML. Pure.

After Microsoft Learn, 'Customize views', 'Filter rows using FetchXML' and '<grid> (SavedQuery)'.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import quoteattr

from shared.sync.own_tables import OwnTable, OwnView, Way, span

PUBLIC: Final = 0
"""The type of a query that is a view which people choose."""
WIDTH: Final = "150"
_TRUTHS: Final = {"true": "1", "false": "0"}


def fetch_xml(table: OwnTable, view: OwnView, primary_id: str) -> str:
    """Which records a view shows, in which order."""
    parts = [_element("attribute", name=one) for one in dict.fromkeys((primary_id, *view.columns))]
    conditions = [_condition(table, name, values) for name, values in view.where.items()]
    parts += [_element("filter", *conditions, type="and")] if conditions else []
    parts += [_element("order", attribute=name, descending=_truth(way is Way.DOWN)) for name, way in view.order.items()]
    return _element("fetch", _element("entity", *parts, name=table.table), version="1.0", mapping="logical")


def layout_xml(view: OwnView, primary_id: str, primary_name: str, type_code: int) -> str:
    """Which columns a view shows."""
    cells = [_element("cell", name=one, width=WIDTH) for one in view.columns]
    row = _element("row", *cells, name="result", id=primary_id)
    about = {"object": str(type_code), "jump": primary_name, "select": "1", "preview": "1", "icon": "1"}
    return _element("grid", row, name="resultset", **about)


def _condition(table: OwnTable, name: str, values: Sequence[str]) -> str:
    alternatives = list(_alternatives(table, name, values))
    return alternatives[0] if len(alternatives) == 1 else _element("filter", *alternatives, type="or")


def _alternatives(table: OwnTable, name: str, values: Sequence[str]) -> Iterator[str]:
    for value in values:
        spanned = span(value)
        if value == "":
            yield _element("condition", attribute=name, operator="null")
        elif spanned and table.type_of(name) in ("date", "datetime"):
            direction, number, unit = spanned
            yield _element("condition", attribute=name, operator=f"{direction}-x-{unit}", value=str(number))
        else:
            told = _TRUTHS.get(value, value) if table.type_of(name) == "boolean" else value
            yield _element("condition", attribute=name, operator="eq", value=told)


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _element(tag: str, *inside: str, **attributes: str) -> str:
    told = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return f"<{tag}{told}>{''.join(inside)}</{tag}>" if inside else f"<{tag}{told} />"
