"""How rows look in answers: properties in order, the etag in the body, calculated values, expanded links."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.business_central import contacts, crm, customers, items
from sandbox.business_central.entities import ENTITIES, ZERO_GUID, EntityType, Field, Link
from sandbox.business_central.records import Session
from sandbox.business_central.store import REVISION
from sandbox.business_central.values import Row, etag, write

_OF_CUSTOMERS: Mapping[str, Callable[[Session, Row], Any]] = {
    "balanceDue": customers.balance_due,
    "taxAreaDisplayName": customers.tax_area_name,
    "currencyCode": customers.currency_code,
    "vatBusinessPostingGroup": crm.code_behind("taxAreas", "taxAreaId"),
    "paymentTermsCode": crm.code_behind("paymentTerms", "paymentTermsId"),
    "shipmentMethodCode": crm.code_behind("shipmentMethods", "shipmentMethodId"),
    "paymentMethodCode": crm.code_behind("paymentMethods", "paymentMethodId"),
    "systemRowVersion": crm.row_version,
}
_CALCULATED: Mapping[str, Mapping[str, Callable[[Session, Row], Any]]] = {
    "customer": _OF_CUSTOMERS,
    "crmCustomer": _OF_CUSTOMERS,
    "customerFinancialDetail": {"balance": customers.balance, "overdueAmount": customers.balance_due},
    "item": {"inventory": items.inventory},
    "customerContact": {"customerId": contacts.customer_id, "customerName": contacts.customer_name},
    "crmContact": {
        "customerId": crm.customer_key,
        "customerNumber": crm.customer_number,
        "systemRowVersion": crm.row_version,
    },
    "contactBusinessRelation": {"contactNumber": crm.contact_number, "number": crm.related_number},
    "changeBound": {"lowestActiveRowVersion": crm.lowest_active_version},
}


@dataclass(frozen=True)
class Expand:
    """A link to show with each row, and which of its properties (None = all)."""

    link: Link
    select: tuple[str, ...] | None = None


def value_of(session: Session, entity: EntityType, field: Field, row: Row) -> Any:
    """Return a property's value of a row, calculated where the table does not hold it."""
    if field.computed:
        return _CALCULATED[entity.name][field.name](session, row)
    return row[field.source]


def etag_of(session: Session, row: Row) -> str:
    """Return a row's present etag."""
    return etag(session.work.store.seed, row["id"], row[REVISION])


def shown(
    session: Session,
    entity: EntityType,
    row: Row,
    select: Iterable[str] | None = None,
    expand: Iterable[Expand] = (),
) -> dict[str, Any]:
    """Return a row as the interface answers it; `select` leaves the other properties out."""
    fields = entity.fields if select is None else [entity.by_name[name] for name in select]
    result: dict[str, Any] = {"@odata.etag": etag_of(session, row)} if entity.has_etag else {}
    for field in fields:
        result[field.name] = write(value_of(session, entity, field, row))
    for one in expand:
        result[one.link.name] = _expanded(session, one, row)
    return result


def _expanded(session: Session, expand: Expand, row: Row) -> Any:
    target = ENTITIES[expand.link.target]
    if not expand.link.by:
        return [shown(session, target, one, expand.select) for one in linked_rows(session, expand.link, row)]
    found = linked_row(session, expand.link, row)
    return None if found is None else shown(session, target, found, expand.select)


def linked_row(session: Session, link: Link, row: Row) -> Row | None:
    """Return the row a link leads to, or None."""
    target = row[link.by]
    return None if target == ZERO_GUID else session.table(link.target).rows.get(target)


def linked_rows(session: Session, link: Link, row: Row) -> list[Row]:
    """Return the rows of a link to a collection."""
    assert link.target == "contactsInformation"
    return contacts.information(session, row)
