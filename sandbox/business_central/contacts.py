"""Contacts: companies and the persons in them, and the two other views of them.

Source: Microsoft Learn, 'contact resource type' (API v2.0); published source of the API v2.0 application (pages of
contacts, customer contacts and contacts information) and of the base application (table Contact).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.business_central.cascades import (
    blank_contact,
    contact_changed,
    contact_of,
    follow_name,
    inherit,
    named,
    split_name,
)
from sandbox.business_central.crm import check_external_id
from sandbox.business_central.entities import CONTACT, CUSTOMER_CONTACT, ZERO_GUID, EntityType, Field
from sandbox.business_central.errors import ApiError, NotImitated, dialog
from sandbox.business_central.records import (
    CONTACT_SERIES,
    Check,
    Draft,
    Session,
    check_country,
    check_email,
    check_name,
    check_number,
    check_phone,
    check_post_code,
    check_vat,
    related_code,
)
from sandbox.business_central.relations import CUSTOMER, customer_of_company, kind_of, relations_of
from sandbox.business_central.values import Row


def _check_name(draft: Draft, field: Field, value: Any) -> None:
    """A person's name is cut into parts as soon as it is given."""
    check_name(draft, field, value)
    if draft.row["type"] == "Person":
        split_name(draft.row)


def _check_name_part(draft: Draft, field: Field, value: Any) -> None:
    """The whole name is put together anew from its parts."""
    if draft.row["type"] != "Person":
        raise NotImitated("parts of the name of a company")
    draft.row[field.source] = value
    parts = (draft.row["firstName"], draft.row["middleName"], draft.row["surname"])
    draft.row["displayName"] = " ".join(part for part in parts if part)


def _check_company(draft: Draft, field: Field, value: Any) -> None:
    found = related_code(draft, "Company No.", "contacts", value)
    if found is not None and found["type"] != "Company":
        raise ApiError(
            400,
            "Internal_InvalidTableRelation",
            "not_related",
            field="Company No.",
            table="Contact",
            value=value,
            related="Contact",
        )
    draft.row["companyNumber"] = value


def _check_company_name(draft: Draft, field: Field, value: Any) -> None:
    if value != draft.was("companyName"):
        raise NotImitated("a contact's companyName written; give its companyNumber")


def _check_type(draft: Draft, field: Field, value: Any) -> None:
    if draft.before is not None and value != draft.before["type"]:
        raise NotImitated("a contact changed from company to person or back")
    draft.row["type"] = value


def _calculated(draft: Draft, field: Field, value: Any) -> None:
    """The value is accepted and calculated anew, so that nothing comes of it."""


def _checks(session: Session) -> Mapping[str, Check]:
    return {
        "number": check_number(session.options.contact_manual_numbers, CONTACT_SERIES),
        "type": _check_type,
        "displayName": _check_name,
        "companyNumber": _check_company,
        "companyName": _check_company_name,
        "contactBusinessRelation": _calculated,
        "city": check_post_code,
        "postalCode": check_post_code,
        "country": check_country,
        "phoneNumber": check_phone,
        "mobilePhoneNumber": check_phone,
        "email": check_email,
        "taxRegistrationNumber": check_vat,
        "firstName": _check_name_part,
        "middleName": _check_name_part,
        "surname": _check_name_part,
        "externalId": check_external_id,
    }


def create(session: Session, body: Mapping[str, Any], entity: EntityType = CONTACT) -> Row:
    """Create a contact; a person put under a company takes over what it leaves blank."""
    draft = Draft.new(session, entity, **blank_contact())
    draft.apply(body, _checks(session))
    row = draft.row
    if not row["displayName"]:
        raise dialog("not_provided", name="displayName")
    _refuse_company_in_company(draft)
    row["id"] = session.work.new_id()
    row["number"] = row["number"] or session.take_number(CONTACT_SERIES, "contacts")
    session.refuse_taken("contacts", row["number"], row["id"])
    row["searchName"] = row["searchName"] or row["displayName"].upper()
    _put_under_company(session, row)
    if row["type"] != "Person" or not (row["firstName"] or row["surname"]):
        named(row)
    row["contactBusinessRelation"] = kind_of(session, row)
    return session.put("contacts", row)


def _refuse_company_in_company(draft: Draft) -> None:
    if draft.row["type"] == "Company" and draft.row["companyNumber"] not in ("", draft.was("companyNumber")):
        raise ApiError(400, "Application_FieldValidationException", "must_be_person", number=draft.number)


def _put_under_company(session: Session, row: dict[str, Any]) -> None:
    if row["type"] != "Person":
        return
    company = session.related("contacts", row["companyNumber"]) if row["companyNumber"] else None
    if company is not None:
        inherit(session, row, company)
    else:
        row["companyName"] = ""


def edit(session: Session, row: Row, body: Mapping[str, Any], entity: EntityType = CONTACT) -> Row:
    """Change a contact; its customer and the persons below it follow. Returns the new row."""
    draft = Draft.of(session, entity, row)
    draft.apply(body, _checks(session))
    _refuse_company_in_company(draft)
    changed = follow_name(row, draft.row)
    if changed["number"] != row["number"]:
        session.refuse_taken("contacts", changed["number"], row["id"])
        if changed["type"] != "Person":
            named(changed)
    if changed["companyNumber"] != row["companyNumber"]:
        _put_under_company(session, changed)
        changed["contactBusinessRelation"] = kind_of(session, changed)
    return _written(session, row, changed)


def _written(session: Session, before: Row, row: dict[str, Any]) -> Row:
    after = session.put("contacts", row)
    contact_changed(session, before, after)
    return after


def delete(session: Session, row: Row) -> None:
    """Delete a contact and its relations, and with a company its persons; the customer stays."""
    if row["type"] == "Company":
        for person in session.table("contacts").find("companyNumber", row["number"]):
            if person["id"] != row["id"]:
                _delete_one(session, person)
    _delete_one(session, row)


def _delete_one(session: Session, row: Row) -> None:
    for relation in relations_of(session, row["id"]):
        session.remove("relations", relation["id"])
    for customer in session.table("customers").find("primaryContactId", row["id"]):
        session.put("customers", {**customer, "primaryContactId": ZERO_GUID})
    session.remove("contacts", row["id"])


# --- customerContacts: the persons of customers ---


def is_customer_contact(row: Row) -> bool:
    """Say whether the page of customer contacts shows a contact: a person that is a customer's and nothing else's.

    The page filters by the stored relation, so it leaves out the persons of a company that is also a vendor.
    """
    return (row["type"], row["contactBusinessRelation"]) == ("Person", CUSTOMER)


def _check_customer_id(draft: Draft, field: Field, value: Any) -> None:
    found = customer_of_company(draft.session, draft.row)
    if found is None or found["id"] != value:
        raise NotImitated("a customerContact moved to another customer")


_CUSTOMER_CONTACT_CHECKS: Mapping[str, Check] = {
    "email": check_email,
    "firstName": _check_name_part,
    "lastName": _check_name_part,
    "primaryPhoneNumber": check_phone,
    "customerId": _check_customer_id,
}


def edit_customer_contact(session: Session, row: Row, body: Mapping[str, Any]) -> Row:
    """Change a person through the page of customer contacts. Returns the new row."""
    draft = Draft.of(session, CUSTOMER_CONTACT, row)
    draft.apply(body, _CUSTOMER_CONTACT_CHECKS)
    return _written(session, row, follow_name(row, draft.row))


# --- calculated values and the read-only list below a customer ---


def customer_id(session: Session, row: Row) -> str:
    """Return the customer's id as the page shows it.

    The page does not clear it between rows: where there is no customer (a person that is a customer itself), the id of
    the row before stays, and only the customer's name is blank.
    """
    found = customer_of_company(session, row)
    if found is not None:
        session.page_variables["customerId"] = found["id"]
    return str(session.page_variables.get("customerId", ZERO_GUID))


def customer_name(session: Session, row: Row) -> str:
    """Return the customer's name, blank if there is none."""
    found = customer_of_company(session, row)
    return str(found["displayName"]) if found is not None else ""


def information(session: Session, customer: Row) -> list[Row]:
    """Return the contacts of a customer, its company contact among its persons, in the order of their ids."""
    contact = contact_of(session, customer["id"])
    if contact is None:
        return []
    below = session.table("contacts").find("companyNumber", contact["number"])
    found = below if contact["type"] == "Company" else [contact]
    return [_information(one, customer) for one in sorted(found, key=lambda one: str(one["id"]))]


def _information(contact: Row, customer: Row) -> Row:
    return {
        "contactId": contact["id"],
        "contactNumber": contact["number"],
        "contactName": contact["displayName"],
        "contactType": contact["type"],
        "relatedId": customer["id"],
        "relatedType": "Customer",
    }
