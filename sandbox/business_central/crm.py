"""What the optional extension adds to customers and contacts: checks of its fields, what it computes, its action.

Its contract is in docs/systems/business_central_extension.md; what it wraps is after the published source of the base
application (tables Customer, Contact and Contact Business Relation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.business_central.cascades import SHARED, blank_customer
from sandbox.business_central.entities import ZERO_GUID, Field
from sandbox.business_central.errors import ApiError, NotImitated, bad_request, dialog
from sandbox.business_central.records import (
    CUSTOMER_SERIES,
    Check,
    Draft,
    Session,
    check_phone,
    must_have_value,
    related_code,
)
from sandbox.business_central.relations import CUSTOMER, customer_of_company, relate, relation_to, relations_of
from sandbox.business_central.store import REVISION
from sandbox.business_central.values import Row, code

POSTING_GROUPS = frozenset({"DOMESTIC", "EU", "FOREIGN"})
LANGUAGES = frozenset({"DEU", "ENU", "FRA", "ITA"})
LONGEST_REGISTRATION = 20


# --- checks ---


def check_external_id(draft: Draft, field: Field, value: Any) -> None:
    """Given once, and by nobody else: the value a create can be found by."""
    before = draft.was("externalId")
    if before and value != before:
        raise dialog("given_once", name="externalId")
    rows = draft.session.table(draft.entity.table).find("externalId", value) if value else []
    if any(row["id"] != draft.row.get("id") for row in rows):
        raise ApiError(
            draft.session.options.duplicate_key_status,
            "Internal_EntityWithSameKeyExists",
            "same_key",
            table=draft.entity.caption,
            field="External Id",
            value=value,
        )
    draft.row["externalId"] = value


def _check_registration(draft: Draft, field: Field, value: Any) -> None:
    if len(value) > LONGEST_REGISTRATION:
        raise ApiError(
            400,
            "Application_FieldValidationException",
            "registration_length",
            table=draft.entity.caption,
            number=draft.number,
        )
    draft.row["registrationNumber"] = value


def _one_of(known: frozenset[str], caption: str, related: str) -> Check:
    def check(draft: Draft, field: Field, value: Any) -> None:
        if value and value not in known:
            raise ApiError(
                400,
                "Internal_InvalidTableRelation",
                "not_related",
                field=caption,
                table=draft.entity.caption,
                value=value,
                related=related,
            )
        draft.row[field.source] = value

    return check


def _code_of(table: str, column: str, caption: str) -> Check:
    """Return the check of a code that stands beside a reference: both are one field of the table."""

    def check(draft: Draft, field: Field, value: Any) -> None:
        found = related_code(draft, caption, table, value)
        draft.row[column] = found["id"] if found is not None else ZERO_GUID

    return check


def _check_bill_to(draft: Draft, field: Field, value: Any) -> None:
    related_code(draft, "Bill-to Customer No.", "customers", value)
    draft.row["billToCustomerNumber"] = value


def _check_primary(draft: Draft, field: Field, value: Any) -> None:
    """A company's primary contact must hang on its company contact; a person's name alone is taken from it."""
    if value != ZERO_GUID:
        contact = draft.session.table("contacts").rows.get(value)
        if contact is None:
            raise dialog("no_match", name="primaryContactId", table="Contact")
        if draft.row["type"] == "Company":
            _refuse_stranger(draft, contact)
        if contact["type"] == "Company":
            taken = ("phoneNumber", "email", "mobilePhoneNumber")
            draft.row.update({name: contact[name] for name in taken if contact[name]})
    draft.row["primaryContactId"] = value


def _refuse_stranger(draft: Draft, contact: Row) -> None:
    relation = relation_to(draft.session, draft.row.get("id", ""))
    if relation is None:
        raise NotImitated("a primary contact for a customer without a company contact")
    company = draft.session.table("contacts").rows[relation["contactId"]]
    if contact["companyNumber"] != company["number"]:
        raise dialog(
            "contact_not_related",
            contact=contact["number"],
            name=contact["displayName"],
            number=draft.row["number"],
            customer=draft.row["displayName"],
        )


CUSTOMER_CHECKS: Mapping[str, Check] = {
    "externalId": check_external_id,
    "registrationNumber": _check_registration,
    "mobilePhoneNumber": check_phone,
    "languageCode": _one_of(LANGUAGES, "Language Code", "Language"),
    "customerPostingGroup": _one_of(POSTING_GROUPS, "Customer Posting Group", "Customer Posting Group"),
    "generalBusinessPostingGroup": _one_of(POSTING_GROUPS, "Gen. Bus. Posting Group", "Gen. Business Posting Group"),
    "vatBusinessPostingGroup": _code_of("taxAreas", "taxAreaId", "VAT Bus. Posting Group"),
    "paymentTermsCode": _code_of("paymentTerms", "paymentTermsId", "Payment Terms Code"),
    "shipmentMethodCode": _code_of("shipmentMethods", "shipmentMethodId", "Shipment Method Code"),
    "paymentMethodCode": _code_of("paymentMethods", "paymentMethodId", "Payment Method Code"),
    "billToCustomerNumber": _check_bill_to,
    "primaryContactId": _check_primary,
}


# --- what the pages compute ---


def code_behind(table: str, column: str) -> Any:
    """Return how to calculate the code that stands beside a reference."""

    def calculated(session: Session, row: Row) -> str:
        found = session.table(table).rows.get(row[column])
        return str(found["code"]) if found is not None else ""

    return calculated


def row_version(session: Session, row: Row) -> int:
    """Return a row's version: it grows with every write in the whole environment."""
    return int(row[REVISION])


def lowest_active_version(session: Session, row: Row) -> int:
    """Return the version below which nothing can appear any more."""
    return session.work.store.lowest_active_version()


def customer_key(session: Session, row: Row) -> str:
    """Return the id of the customer that a person hangs on; a company contact hangs on none."""
    found = customer_of_company(session, row) if row["type"] == "Person" else None
    return str(found["id"]) if found is not None else ZERO_GUID


def customer_number(session: Session, row: Row) -> str:
    """Return the number of the customer that a contact belongs to, itself or through its company."""
    found = customer_of_company(session, row)
    return str(found["number"]) if found is not None else ""


def contact_number(session: Session, row: Row) -> str:
    """Return the number of the contact that a relation is about."""
    return str(session.table("contacts").rows[row["contactId"]]["number"])


def related_number(session: Session, row: Row) -> str:
    """Return the number at the other end of a relation; other tables than customers number theirs like the contact."""
    customer = session.table("customers").rows.get(row["customerId"])
    return str(customer["number"]) if customer is not None else contact_number(session, row)


# --- the action ---


def create_customer(session: Session, contact: Row, body: Any) -> Row:
    """Create the customer of a company contact, as the application's own function does."""
    template = _template(session, body)
    if any(relation["kind"] == CUSTOMER for relation in relations_of(session, contact["id"])):
        raise dialog("related_already", number=contact["number"], kind=CUSTOMER)
    if contact["privacyBlocked"]:
        raise dialog("privacy_blocked", number=contact["number"], name=contact["displayName"])
    if not session.options.company_contacts:
        raise must_have_value("Bus. Rel. Code for Customers", "Marketing Setup", "Primary Key=''")
    if contact["type"] != "Company":
        raise NotImitated("createCustomer on a person")
    customer = {
        **blank_customer(),
        **{name: contact[name] for name in SHARED},
        "id": session.work.new_id(),
        "number": session.take_number(CUSTOMER_SERIES, "customers"),
        "type": contact["type"],
        "customerPostingGroup": template["postingGroup"],
        "generalBusinessPostingGroup": template["postingGroup"],
    }
    written = session.put("customers", customer)
    relate(session, contact, CUSTOMER, written["id"])
    return written


def _template(session: Session, body: Any) -> Row:
    if not isinstance(body, dict) or not isinstance(body.get("templateCode"), str) or len(body) != 1:
        raise bad_request("bad_body")
    found = session.related("customerTemplates", code(body["templateCode"]))
    if found is None:
        raise ApiError(
            404,
            "Internal_RecordNotFound",
            "no_record",
            table="Customer Templ.",
            field="Code",
            value=body["templateCode"],
        )
    return found
