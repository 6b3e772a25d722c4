"""What a write to a customer or a contact changes elsewhere: the relation between the two carries values both ways.

Source: Microsoft Learn, 'Synchronize contacts with customers, vendors, and bank accounts', and the published source
of the base application (codeunits CustCont-Update and CustVendBank-Update, table Contact).
"""

from __future__ import annotations

from typing import Any

from sandbox.business_central.crm_entities import CRM_CONTACT, CRM_CUSTOMER
from sandbox.business_central.entities import ZERO_GUID
from sandbox.business_central.records import CONTACT_SERIES, Session
from sandbox.business_central.relations import CUSTOMER, relate, relation_to, relations_of
from sandbox.business_central.rules import name_parts
from sandbox.business_central.values import Row, blank_row, within

ADDRESS = ("addressLine1", "addressLine2", "city", "state", "country", "postalCode")
COMMUNICATION = ("phoneNumber", "mobilePhoneNumber", "email", "website")
SHARED = (
    "displayName",
    "name2",
    *ADDRESS,
    *COMMUNICATION,
    "taxRegistrationNumber",
    "registrationNumber",
    "fiscalCode",
    "languageCode",
    "salespersonCode",
    "currencyId",
)
"""What customer and contact have in common."""

_SHOWN_NOWHERE: dict[str, Any] = {
    "name2": "",
    "registrationNumber": "",
    "languageCode": "",
    "salespersonCode": "",
    "currencyId": ZERO_GUID,
}
"""Columns of a contact that no page shows."""


def blank_customer() -> dict[str, Any]:
    """Return a new customer's row, with the columns that only an extension shows."""
    return blank_row(CRM_CUSTOMER)


def blank_contact() -> dict[str, Any]:
    """Return a new contact's row, with the columns that only an extension shows."""
    return {**blank_row(CRM_CONTACT), **_SHOWN_NOWHERE, "contactBusinessRelation": "None"}


def named(row: dict[str, Any]) -> dict[str, Any]:
    """Give a contact's row what follows from its name: the parts of a person's name, a company's own references."""
    return split_name(row) if row["type"] == "Person" else _named_company(row)


def split_name(row: dict[str, Any]) -> dict[str, Any]:
    """Cut a person's name into its parts; raises the refusal of a part that is too long."""
    first, middle, surname = (within(part, 30) for part in name_parts(row["displayName"]))
    row.update(firstName=first, middleName=middle, surname=surname)
    return row


def _named_company(row: dict[str, Any]) -> dict[str, Any]:
    row.update(companyNumber=row["number"], companyName=row["displayName"])
    return row


def contact_of(session: Session, customer_id: str) -> Row | None:
    """Return the contact a customer is related to, or None."""
    relation = relation_to(session, customer_id)
    return session.table("contacts").rows.get(relation["contactId"]) if relation is not None else None


def create_company_contact(session: Session, customer: Row) -> Row:
    """Create the contact that belongs to a new customer, and the relation between them; returns the customer. A
    customer that is a person has itself as primary contact."""
    row = blank_contact()
    row.update({name: customer[name] for name in SHARED})
    row.update(
        id=session.work.new_id(),
        type=customer["type"],
        number=session.take_number(CONTACT_SERIES, "contacts"),
        searchName=customer["displayName"].upper(),
    )
    relate(session, session.put("contacts", named(row)), CUSTOMER, customer["id"])
    if customer["type"] != "Person":
        return customer
    return session.put("customers", {**customer, "primaryContactId": row["id"]})


def customer_changed(session: Session, before: Row, after: Row) -> None:
    """Carry a customer's changed values over to its contact, and on to the persons there."""
    if all(before[name] == after[name] for name in SHARED):
        return
    contact = contact_of(session, after["id"])
    if contact is None:
        return
    row = follow_name(contact, {**contact, **{name: after[name] for name in SHARED}})
    if row["displayName"] != contact["displayName"]:
        named(row)
    if row != contact:
        persons_follow(session, contact, session.put("contacts", row))


def follow_name(before: Row, row: dict[str, Any]) -> dict[str, Any]:
    """Let search name and a company's own references follow a changed name; the search name only if it still did."""
    if row["displayName"] != before["displayName"]:
        if row["type"] != "Person":
            _named_company(row)
        if before["searchName"] == before["displayName"].upper():
            row["searchName"] = row["displayName"].upper()
    return row


def contact_changed(session: Session, before: Row, after: Row) -> None:
    """Carry a contact's changed values over to its customer and to the persons of the company."""
    if any(before[name] != after[name] for name in SHARED):
        for relation in relations_of(session, after["id"]):
            _customer_follows(session, relation, after)
    persons_follow(session, before, after)


def _customer_follows(session: Session, relation: Row, contact: Row) -> None:
    customer = session.table("customers").rows.get(relation["customerId"])
    row = {**(customer or {}), **{name: contact[name] for name in SHARED}}
    if customer is not None and row != customer:
        session.put("customers", row)


def persons_follow(session: Session, before: Row, company: Row) -> None:
    """Let the persons of a company follow its change: name and number always, the rest if they still had it."""
    if company["type"] != "Company":
        return
    for person in session.table("contacts").find("companyNumber", before["number"]):
        if person["id"] != company["id"]:
            row = _followed(session, person, before, company)
            if row != person:
                session.put("contacts", row)


def _followed(session: Session, person: Row, before: Row, company: Row) -> dict[str, Any]:
    row = {**person, "companyNumber": company["number"], "companyName": company["displayName"]}
    if session.options.inherit_address and all(person[name] == before[name] for name in ADDRESS):
        row.update({name: company[name] for name in ADDRESS})
    if session.options.inherit_communication:
        row.update({name: company[name] for name in COMMUNICATION if person[name] == before[name]})
    return row


def inherit(session: Session, row: dict[str, Any], company: Row) -> None:
    """Give a person what it takes from the company it is put under: the blank parts, as far as the setup says."""
    row.update(companyNumber=company["number"], companyName=company["displayName"])
    if session.options.inherit_address and not any(row[name] for name in ADDRESS):
        row.update({name: company[name] for name in ADDRESS})
    if session.options.inherit_communication:
        row.update({name: company[name] for name in COMMUNICATION if not row[name]})
