"""The pages of the optional extension: what they show over and above API v2.0, as docs/systems describes it.

Lengths and rules of the fields after the published source of the base application and of its Italian layer (tables
Customer and Contact).
"""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.business_central.entities import (
    ALL_METHODS,
    CONTACT,
    CUSTOMER,
    ENTITIES,
    EntityType,
    Field,
)


def _stamps() -> tuple[Field, ...]:
    return (
        Field("externalId", "code", 50),
        Field("systemModifiedBy", "guid", read_only=True, stamp=True),
        Field("systemRowVersion", "bigint", read_only=True, computed=True),
    )


CRM_CUSTOMER = EntityType(
    "crmCustomer",
    "crmCustomers",
    "customers",
    "Customer",
    (
        *CUSTOMER.fields,
        Field("individualPerson", "bool"),
        Field("resident", "enum", members=("Resident", "Non_x002D_Resident")),
        Field("fiscalCode", "code", 20),
        Field("firstName", "text", 30),
        Field("lastName", "text", 30),
        Field("dateOfBirth", "date"),
        Field("placeOfBirth", "text", 30),
        Field("paCode", "code", 7),
        Field("pecEmail", "text", 80),
        Field("registrationNumber", "text", 50),
        Field("name2", "text", 50),
        Field("mobilePhoneNumber", "text", 30),
        Field("languageCode", "code", 10),
        Field("billToCustomerNumber", "code", 20),
        Field("customerPostingGroup", "code", 20),
        Field("generalBusinessPostingGroup", "code", 20),
        Field("vatBusinessPostingGroup", "code", 20, computed=True),
        Field("paymentTermsCode", "code", 10, computed=True),
        Field("shipmentMethodCode", "code", 10, computed=True),
        Field("paymentMethodCode", "code", 10, computed=True),
        Field("primaryContactId", "guid"),
        *_stamps(),
    ),
    methods=ALL_METHODS,
)

CRM_CONTACT = EntityType(
    "crmContact",
    "crmContacts",
    "contacts",
    "Contact",
    (
        *CONTACT.fields,
        Field("firstName", "text", 30),
        Field("middleName", "text", 30),
        Field("surname", "text", 30),
        Field("salutationCode", "code", 10),
        Field("fiscalCode", "code", 20),
        Field("customerId", "guid", read_only=True, computed=True),
        Field("customerNumber", "code", 20, read_only=True, computed=True),
        *_stamps(),
    ),
    methods=ALL_METHODS,
)

BUSINESS_RELATION = EntityType(
    "contactBusinessRelation",
    "contactBusinessRelations",
    "relations",
    "Contact Business Relation",
    (
        Field("id", "guid", read_only=True),
        Field("contactNumber", "code", 20, read_only=True, computed=True),
        Field("businessRelationCode", "code", 10, read_only=True, stored="code"),
        Field(
            "linkToTable",
            "enum",
            members=("_x0020_", "Customer", "Vendor", "Bank_x0020_Account", "Employee"),
            read_only=True,
            stored="kind",
        ),
        Field("number", "code", 20, read_only=True, computed=True),
    ),
)

CHANGE_BOUND = EntityType(
    "changeBound",
    "changeBounds",
    "changeBounds",
    "Change Bound",
    (
        Field("id", "guid", read_only=True),
        Field("lowestActiveRowVersion", "bigint", read_only=True, computed=True),
    ),
)

CUSTOMER_TEMPLATE = EntityType(
    "customerTemplate",
    "customerTemplates",
    "customerTemplates",
    "Customer Templ.",
    (
        Field("id", "guid", read_only=True),
        Field("code", "code", 20, read_only=True),
        Field("description", "text", 100, read_only=True),
        Field("contactType", "enum", members=("Company", "Person"), read_only=True),
    ),
)

EXTENSION: Mapping[str, EntityType] = {
    entity.entity_set: entity
    for entity in (CRM_CUSTOMER, CRM_CONTACT, BUSINESS_RELATION, CHANGE_BOUND, CUSTOMER_TEMPLATE)
}
"""What the extension's API offers inside a company, by entity set."""

EVERY: Mapping[str, EntityType] = {**ENTITIES, **EXTENSION}
NOTIFYING = frozenset({"crmCustomers", "crmContacts"})
"""Its entity sets that can be subscribed to: one key, no temporary table."""
