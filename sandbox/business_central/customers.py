"""Customers: the rules of the page `customers` and of the table below it.

Source: Microsoft Learn, 'customer resource type' (API v2.0), 'Create customer', 'Update customer'; published source
of the API v2.0 application, page of customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox.business_central import italy
from sandbox.business_central.cascades import blank_customer, create_company_contact, customer_changed
from sandbox.business_central.crm import CUSTOMER_CHECKS
from sandbox.business_central.entities import CUSTOMER, ZERO_GUID, EntityType, Field
from sandbox.business_central.errors import ApiError, dialog
from sandbox.business_central.records import (
    CUSTOMER_SERIES,
    Check,
    Draft,
    Session,
    check_country,
    check_email,
    check_name,
    check_number,
    check_phone,
    check_post_code,
    check_reference,
    check_salesperson,
    check_vat,
)
from sandbox.business_central.relations import relation_to, unrelate
from sandbox.business_central.values import Row, code

_REFERENCES = {
    "paymentTermsId": "paymentTerms",
    "shipmentMethodId": "shipmentMethods",
    "paymentMethodId": "paymentMethods",
    "taxAreaId": "taxAreas",
}


def _check_currency_id(draft: Draft, field: Field, value: Any) -> None:
    if value != ZERO_GUID:
        draft.currency = draft.session.table("currencies").rows.get(value)
        if draft.currency is None:
            raise dialog("no_match", name="currencyId", table="Currency")
    draft.row["currencyId"] = value


def _check_currency_code(draft: Draft, field: Field, value: Any) -> None:
    """The local currency's code stands for the table's blank."""
    wanted = "" if value == draft.session.company.local_currency else value
    if draft.currency is not None:
        if draft.currency["code"] != wanted:
            raise dialog("currency_mismatch")
        return
    found = draft.session.related("currencies", wanted) if wanted else None
    if wanted and found is None:
        raise dialog("no_match", name="currencyCode", table="Currency")
    draft.row["currencyId"] = found["id"] if found is not None else ZERO_GUID


def _check_tax_area(draft: Draft, field: Field, value: Any) -> None:
    if value != ZERO_GUID and value not in draft.session.table("taxAreas").rows:
        table = "VAT Business Posting Group" if draft.session.company.uses_vat else "Tax Area"
        raise ApiError(404, "Internal_RecordNotFound", "no_record", table=table, field="SystemId", value=value)
    draft.row["taxAreaId"] = value


def _checks(session: Session) -> Mapping[str, Check]:
    return {
        "number": check_number(session.options.manual_numbers, CUSTOMER_SERIES),
        "displayName": check_name,
        "city": check_post_code,
        "postalCode": check_post_code,
        "country": check_country,
        "phoneNumber": check_phone,
        "email": check_email,
        "salespersonCode": check_salesperson,
        "taxAreaId": _check_tax_area,
        "taxRegistrationNumber": check_vat,
        "currencyId": _check_currency_id,
        "currencyCode": _check_currency_code,
        "paymentTermsId": check_reference("paymentTerms", "Payment Terms"),
        "shipmentMethodId": check_reference("shipmentMethods", "Shipment Method"),
        "paymentMethodId": check_reference("paymentMethods", "Payment Method"),
        **italy.CHECKS,
        **CUSTOMER_CHECKS,
    }


def create(session: Session, body: Mapping[str, Any], entity: EntityType = CUSTOMER) -> Row:
    """Create a customer, its company contact, and fill in the template; returns the row as it ends up."""
    draft = Draft.new(session, entity, **blank_customer())
    draft.apply(body, _checks(session))
    if not draft.row["displayName"]:
        raise dialog("not_provided", name="displayName")
    row = _insert(session, draft)
    return _fill_in_template(session, row, draft.given)


def _insert(session: Session, draft: Draft) -> Row:
    number = draft.row["number"] or session.take_number(CUSTOMER_SERIES, "customers")
    row_id = session.work.new_id()
    session.refuse_taken("customers", number, row_id)
    row = session.put("customers", {**draft.row, "id": row_id, "number": number})
    return create_company_contact(session, row) if session.options.company_contacts else row


def _fill_in_template(session: Session, row: Row, given: set[str]) -> Row:
    if given & {"currencyId", "currencyCode"}:
        given = given | {"currencyId", "currencyCode"}
    missing = {name: value for name, value in session.options.template.items() if name not in given}
    if not missing:
        return row
    draft = Draft.of(session, CUSTOMER, row)
    draft.apply({name: _by_code(session, name, value) for name, value in missing.items()}, _checks(session))
    if draft.row == row:
        return row
    filled = session.put("customers", draft.row)
    customer_changed(session, row, filled)
    return filled


def _by_code(session: Session, name: str, value: str) -> Any:
    """Return a template's value as a body would hold it; identifiers are given by code there."""
    if name in _REFERENCES:
        found = session.related(_REFERENCES[name], code(value))
        if found is None:
            raise ValueError(f"the template's {name} names {value!r}, which is not in {_REFERENCES[name]}")
        return found["id"]
    return value


def edit(session: Session, row: Row, body: Mapping[str, Any], entity: EntityType = CUSTOMER) -> Row:
    """Change a customer; another number renames it. Its contact follows. Returns the new row."""
    draft = Draft.of(session, entity, row)
    draft.apply(body, _checks(session))
    if draft.row["number"] != row["number"]:
        session.refuse_taken("customers", draft.row["number"], row["id"])
    changed = session.put("customers", draft.row)
    customer_changed(session, row, changed)
    return changed


def delete(session: Session, row: Row) -> None:
    """Delete a customer and its relation; the contact stays. Refused while there are ledger entries."""
    if session.table("ledgerEntries").find("customerId", row["id"]):
        raise dialog("ledger_entries", number=row["number"])
    relation = relation_to(session, row["id"])
    if relation is not None:
        unrelate(session, relation)
    session.remove("customers", row["id"])


def balance(session: Session, row: Row) -> Decimal:
    """Return what the customer owes, due or not."""
    entries = session.table("ledgerEntries").find("customerId", row["id"])
    return sum((entry["amount"] for entry in entries), Decimal(0))


def balance_due(session: Session, row: Row) -> Decimal:
    """Return what the customer owes and should have paid before today (UTC)."""
    today = session.work.now.date()
    entries = session.table("ledgerEntries").find("customerId", row["id"])
    return sum((entry["amount"] for entry in entries if entry["due"] < today), Decimal(0))


def currency_code(session: Session, row: Row) -> str:
    """Return the currency as the interface shows it: the local one by its code, where the table holds a blank."""
    found = session.table("currencies").rows.get(row["currencyId"])
    return str(found["code"]) if found is not None else session.company.local_currency


def tax_area_name(session: Session, row: Row) -> str:
    """Return the name of the customer's tax area."""
    found = session.table("taxAreas").rows.get(row["taxAreaId"])
    return str(found["displayName"]) if found is not None else ""
