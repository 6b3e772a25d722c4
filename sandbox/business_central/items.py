"""Items: what the page `items` shows of the table below it, and what there is of them.

A sensible part of the page's properties. Source: Microsoft Learn, 'item resource type' (API v2.0), and the published
source of the API v2.0 application, page 30008; the stock is the sum of the item's ledger entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox.business_central.entities import EntityType, Field
from sandbox.business_central.errors import NotImitated
from sandbox.business_central.records import Check, Draft, Session, related_code
from sandbox.business_central.values import Row


def _check_number(draft: Draft, field: Field, value: Any) -> None:
    if draft.before is not None and value != draft.before["number"]:
        raise NotImitated("an item renamed")
    draft.row["number"] = value


def _check_unit(draft: Draft, field: Field, value: Any) -> None:
    related_code(draft, "Base Unit of Measure", "unitsOfMeasure", value)
    draft.row["baseUnitOfMeasureCode"] = value


_CHECKS: Mapping[str, Check] = {"number": _check_number, "baseUnitOfMeasureCode": _check_unit}


def create(session: Session, entity: EntityType, body: Mapping[str, Any]) -> Row:
    """Create an item under a number that is given; the number series is not imitated."""
    draft = Draft.new(session, entity)
    draft.apply(body, _CHECKS)
    if not draft.row["number"]:
        raise NotImitated("an item without a number")
    row_id = session.work.new_id()
    session.refuse_taken("items", draft.row["number"], row_id)
    return session.put("items", {**draft.row, "id": row_id})


def edit(session: Session, entity: EntityType, row: Row, body: Mapping[str, Any]) -> Row:
    """Change an item; returns the new row."""
    draft = Draft.of(session, entity, row)
    draft.apply(body, _CHECKS)
    return session.put("items", draft.row)


def book(session: Session, item: Row, quantity: Decimal) -> Row:
    """Post a quantity that comes in, or goes out where it is negative."""
    row = {"id": f"{session.work.next_number()}", "itemId": item["id"], "quantity": quantity}
    return session.put("itemEntries", row)


def inventory(session: Session, row: Row) -> Decimal:
    """Return what there is of an item, at all locations together."""
    entries = session.table("itemEntries").find("itemId", row["id"])
    return sum((entry["quantity"] for entry in entries), Decimal(0))
