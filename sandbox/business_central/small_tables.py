"""The small tables customers refer to: payment terms, currencies, countries and the like, by code.

Source: Microsoft Learn, 'Business Central API v2.0' (paymentTerms, currency, shipmentMethod, paymentMethod,
countryRegion, salespersonPurchaser, taxArea, companyInformation).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from sandbox.business_central.entities import ENTITIES, EntityType, Field
from sandbox.business_central.errors import NotImitated
from sandbox.business_central.records import (
    CONTACT_SERIES,
    CUSTOMER_SERIES,
    Check,
    Draft,
    Session,
    check_email,
    check_phone,
    must_have_value,
)
from sandbox.business_central.values import Row, blank_row

_USED_BY = {
    "paymentTerms": "paymentTermsId",
    "currencies": "currencyId",
    "shipmentMethods": "shipmentMethodId",
    "paymentMethods": "paymentMethodId",
    "countriesRegions": "country",
    "salespeoplePurchasers": "salespersonCode",
    "taxAreas": "taxAreaId",
}


def _check_code(draft: Draft, field: Field, value: Any) -> None:
    if draft.before is not None and value != draft.before["code"]:
        raise NotImitated(f"a {draft.entity.name} renamed")
    draft.row["code"] = value


_CHECKS: Mapping[str, Check] = {
    "code": _check_code,
    "email": check_email,
    "email2": check_email,
    "phoneNo": check_phone,
}


def create(session: Session, entity: EntityType, body: Mapping[str, Any]) -> Row:
    """Create a row; its code must be given and free."""
    draft = Draft.new(session, entity)
    draft.apply(body, _CHECKS)
    if not draft.row.get("code"):
        raise must_have_value("Code", entity.caption, "Code=")
    row_id = session.work.new_id()
    session.refuse_taken(entity.table, draft.row["code"], row_id)
    return session.put(entity.table, {**draft.row, "id": row_id})


def edit(session: Session, entity: EntityType, row: Row, body: Mapping[str, Any]) -> Row:
    """Change a row; returns the new one."""
    draft = Draft.of(session, entity, row)
    draft.apply(body, _CHECKS)
    return session.put(entity.table, draft.row)


def delete(session: Session, entity: EntityType, row: Row) -> None:
    """Delete a row. What becomes of customers that refer to it is not imitated."""
    if entity.table not in _USED_BY:
        raise NotImitated(f"a {entity.name} deleted")
    column = _USED_BY[entity.table]
    if any(customer[column] in (row["id"], row["code"]) for customer in session.table("customers").rows.values()):
        raise NotImitated(f"a {entity.name} deleted that customers refer to")
    session.remove(entity.table, row["id"])


_SEEDS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "paymentTerms": (
        {"code": "10T", "displayName": "10 days", "dueDateCalculation": "10D"},
        {"code": "14T", "displayName": "14 days", "dueDateCalculation": "14D"},
        {"code": "30T", "displayName": "30 days", "dueDateCalculation": "30D"},
        {"code": "60TME", "displayName": "60 days, end of month", "dueDateCalculation": "60D+CM"},
        {"code": "COD", "displayName": "Cash on delivery", "dueDateCalculation": "0D"},
    ),
    "currencies": (
        {"code": "CHF", "displayName": "Swiss franc", "symbol": "CHF"},
        {"code": "EUR", "displayName": "Euro", "symbol": "€"},
        {"code": "GBP", "displayName": "Pound sterling", "symbol": "£"},
        {"code": "USD", "displayName": "US dollar", "symbol": "$"},
    ),
    "shipmentMethods": (
        {"code": "CIP", "displayName": "Carriage and insurance paid"},
        {"code": "DAP", "displayName": "Delivered at place"},
        {"code": "EXW", "displayName": "Ex works"},
    ),
    "paymentMethods": (
        {"code": "BANK", "displayName": "Bank transfer"},
        {"code": "CASH", "displayName": "Cash"},
        {"code": "RIBA", "displayName": "Bank receipt"},
    ),
    "countriesRegions": tuple(
        {"code": code, "displayName": name, "addressFormat": "Post Code+City"}
        for code, name in (
            ("AT", "Austria"),
            ("BE", "Belgium"),
            ("CH", "Switzerland"),
            ("CZ", "Czechia"),
            ("DE", "Germany"),
            ("DK", "Denmark"),
            ("ES", "Spain"),
            ("FR", "France"),
            ("GB", "Great Britain"),
            ("HU", "Hungary"),
            ("IT", "Italy"),
            ("NL", "Netherlands"),
            ("PL", "Poland"),
            ("PT", "Portugal"),
            ("SE", "Sweden"),
            ("SI", "Slovenia"),
            ("US", "United States"),
        )
    ),
    "salespeoplePurchasers": (
        {"code": "EXPORT", "displayName": "Export sales", "email": "export@sales.example"},
        {"code": "FORMER", "displayName": "Former sales", "blocked": True},
        {"code": "INSIDE", "displayName": "Inside sales", "email": "inside@sales.example"},
        {"code": "NORTH", "displayName": "Sales north", "email": "north@sales.example"},
    ),
    "unitsOfMeasure": (
        {"code": "HOUR", "displayName": "Hour", "internationalStandardCode": "HUR"},
        {"code": "PCS", "displayName": "Piece", "internationalStandardCode": "EA"},
    ),
    "taxAreas": (
        {"code": "DOMESTIC", "displayName": "Domestic customers", "taxType": "VAT"},
        {"code": "EU", "displayName": "Customers in the EU", "taxType": "VAT"},
        {"code": "EXPORT", "displayName": "Other customers (not EU)", "taxType": "VAT"},
    ),
}


def seed(session: Session) -> None:
    """Fill a new company: the small tables, its own data and the number series. Ids depend on seed and code only."""
    for table, row in _seed_rows(session):
        session.put(table, {**blank_row(ENTITIES[table]), **row, "id": _seed_id(session, table, row["code"])})
    _seed_company_information(session)
    _seed_extension(session)
    session.put("numberSeries", {"id": CUSTOMER_SERIES, "next": session.options.first_number})
    session.put("numberSeries", {"id": CONTACT_SERIES, "next": session.options.first_contact_number})


_TEMPLATES = (
    {"code": "COMPANY", "description": "Domestic company", "contactType": "Company", "postingGroup": "DOMESTIC"},
    {"code": "COMPANY-EU", "description": "Company in the EU", "contactType": "Company", "postingGroup": "EU"},
    {"code": "PERSON", "description": "Private person", "contactType": "Person", "postingGroup": "DOMESTIC"},
)


def _seed_extension(session: Session) -> None:
    """Put in what the extension's pages show beside customers and contacts."""
    for row in _TEMPLATES:
        session.put("customerTemplates", {**row, "id": _seed_id(session, "customerTemplates", row["code"])})
    session.put("changeBounds", {"id": _seed_id(session, "changeBounds", "")})


def _seed_id(session: Session, table: str, code: str) -> str:
    key = f"business central sandbox {session.work.store.seed}/{session.company.id}/{table}/{code}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, key))


def _seed_rows(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    for table, rows in _SEEDS.items():
        for row in rows:
            if table == "currencies" and row["code"] == session.company.local_currency:
                continue
            yield table, dict(row)


def _seed_company_information(session: Session) -> None:
    entity = ENTITIES["companyInformation"]
    company = session.company
    row = blank_row(entity) | {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"company information {company.id}")),
        "displayName": company.display_name or company.name,
        "country": company.country,
        "currencyCode": company.local_currency,
        "currentFiscalYearStartDate": date(session.work.now.year, 1, 1),
    }
    session.put("companyInformation", row)


def ledger_entry(session: Session, customer: Row, amount: Decimal, due: date) -> Row:
    """Post an amount on a customer's account: what invoices and payments leave behind."""
    number = session.work.next_number()
    row = {"id": f"{number}", "customerId": customer["id"], "amount": amount, "due": due}
    return session.put("ledgerEntries", row)
