"""Business relations of contacts: which customer, vendor or other table a contact stands for.

Source: published source of the base application (tables Contact Business Relation and Contact, codeunit
CustCont-Update). What a contact is to the company stands in its own row and in those of its persons; a relation that
comes or goes changes all of them.
"""

from __future__ import annotations

from typing import Any

from sandbox.business_central.errors import dialog
from sandbox.business_central.records import Session
from sandbox.business_central.values import Row

CUSTOMER = "Customer"
CODES = {CUSTOMER: "CUST", "Vendor": "VEND", "Bank_x0020_Account": "BANK", "Employee": "EMPL"}
"""The codes that Marketing Setup names for the tables a contact can be linked with."""


def relate(session: Session, contact: Row, kind: str, customer_id: str = "") -> Row:
    """Relate a contact to a customer or to another table's record; raises the refusal of a second one of its kind."""
    if any(relation["kind"] == kind for relation in relations_of(session, contact["id"])):
        raise dialog("related_already", number=contact["number"], kind=kind)
    relation = {
        "id": session.work.new_id(),
        "contactId": contact["id"],
        "kind": kind,
        "code": CODES[kind],
        "customerId": customer_id,
    }
    written = session.put("relations", relation)
    _tell_contacts(session, contact["id"])
    return written


def unrelate(session: Session, relation: Row) -> None:
    """End a relation; the contact stays."""
    session.remove("relations", relation["id"])
    _tell_contacts(session, relation["contactId"])


def relations_of(session: Session, contact_id: str) -> list[Row]:
    """Return the relations of one contact itself."""
    return session.table("relations").find("contactId", contact_id)


def relation_to(session: Session, customer_id: str) -> Row | None:
    """Return the relation of a customer, or None."""
    return session.table("relations").first("customerId", customer_id) if customer_id else None


def kind_of(session: Session, contact: Row) -> str:
    """Return what a contact is to the company, by its own relations and by those of the company it belongs to."""
    found = relations_of(session, contact["id"])
    company = company_of(session, contact)
    if company is not None and company["id"] != contact["id"]:
        found = [*found, *relations_of(session, company["id"])]
    if not found:
        return "None"
    return str(found[0]["kind"]) if len(found) == 1 else "Multiple"


def company_of(session: Session, contact: Row) -> Row | None:
    """Return the company contact that a contact names (a company names itself), or None."""
    return session.related("contacts", contact["companyNumber"]) if contact["companyNumber"] else None


def customer_of_company(session: Session, contact: Row) -> Row | None:
    """Return the customer of the company contact that a contact names, or None."""
    company = company_of(session, contact)
    found = [] if company is None else relations_of(session, company["id"])
    ids = [relation["customerId"] for relation in found if relation["kind"] == CUSTOMER]
    return session.table("customers").rows.get(ids[0]) if ids else None


def _tell_contacts(session: Session, contact_id: str) -> None:
    contact = session.table("contacts").rows.get(contact_id)
    if contact is None:
        return
    persons = session.table("contacts").find("companyNumber", contact["number"])
    for one in {row["id"]: row for row in (contact, *persons)}.values():
        changed: dict[str, Any] = {**one, "contactBusinessRelation": kind_of(session, one)}
        if changed != one:
            session.put("contacts", changed)
