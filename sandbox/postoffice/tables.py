"""The tables of the contract, their fields, and what each field takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a field holds. MONEY: a decimal as text with up to 4 places. CLOCK: a time of day, `HH:MM`."""

    TEXT = "text"
    MONEY = "money"
    FLAG = "flag"
    WHOLE = "whole"
    DAY = "day"
    TIME = "time"
    CLOCK = "clock"
    REFERENCE = "reference"
    GUID = "guid"


@dataclass(frozen=True)
class Field:
    """One field of a table. refers_to: the table whose id it holds; written: a caller may write it."""

    kind: Kind = Kind.TEXT
    max_length: int = 250
    required: bool = False
    refers_to: str = ""
    written: bool = True


def _refers(table: str, required: bool = False) -> Field:
    return Field(Kind.REFERENCE, 40, required, table)


def _given(kind: Kind = Kind.TEXT) -> Field:
    return Field(kind, written=False)


ADDRESS: Mapping[str, Field] = {
    "name": Field(max_length=80),
    "name2": Field(max_length=80),
    "street": Field(max_length=80),
    "postcode": Field(max_length=12),
    "city": Field(max_length=50),
    "country": Field(max_length=2),
}
CONTACT: Mapping[str, Field] = {
    "salutation": Field(max_length=20),
    "firstName": Field(max_length=40),
    "lastName": Field(max_length=40, required=True),
    "function": Field(max_length=60),
    "telephone": Field(max_length=30),
    "mobile": Field(max_length=30),
    "email": Field(max_length=80),
}
_TERMS: Mapping[str, Field] = {
    "serviceId": _refers("services"),
    "articleId": _refers("articles"),
    "validFrom": Field(Kind.DAY),
    "validTo": Field(Kind.DAY),
}
DISCOUNT: Mapping[str, Field] = {"percent": Field(Kind.MONEY, required=True), **_TERMS}
PRICE: Mapping[str, Field] = {
    "price": Field(Kind.MONEY, required=True),
    "currency": Field(max_length=3),
    **_TERMS,
}
ACCOUNT_MANAGER: Mapping[str, Field] = {"employeeId": _refers("employees", required=True)}
JOURNAL: Mapping[str, Field] = {
    "externalId": Field(max_length=40, required=True),
    "at": Field(Kind.TIME, required=True),
    "subject": Field(max_length=200, required=True),
    "text": Field(max_length=4000),
    "author": Field(max_length=80),
}


@dataclass(frozen=True)
class Parts:
    """Sub-records under a path segment: each has a key and is put, or taken away, alone.

    keys: the keys there can be; None is any. keyed_by: the table whose ids the keys are.
    """

    fields: Mapping[str, Field]
    keys: frozenset[str] | None = None
    keyed_by: str = ""
    deletable: bool = True


ADDRESS_KEYS = frozenset({"main", "invoice"})
PARTS: Mapping[str, Parts] = {
    "addresses": Parts(ADDRESS, ADDRESS_KEYS),
    "contacts": Parts(CONTACT),
    "discounts": Parts(DISCOUNT),
    "prices": Parts(PRICE),
    "account-managers": Parts(ACCOUNT_MANAGER, keyed_by="account-manager-types", deletable=False),
}
SHOWN_AS: Mapping[str, str] = {"account-managers": "accountManagers"}
"""Parts whose name in a body differs from the one in the path."""


@dataclass(frozen=True)
class Table:
    """One list of the contract.

    written: the interface creates and changes its records, and links them with the CRM. mastered: a linked one is
    locked here, an unlinked one there. booked: on a customer, by which it can be filtered.
    """

    name: str
    fields: Mapping[str, Field]
    written: bool = False
    mastered: bool = False
    parts: Mapping[str, Parts] = field(default_factory=dict)
    journal: bool = False
    filters: frozenset[str] = frozenset()
    booked: bool = False


_CATALOGUE: Mapping[str, Field] = {
    "number": Field(max_length=20, required=True),
    "name": Field(max_length=80, required=True),
    "active": Field(Kind.FLAG),
}
_PARTY: Mapping[str, Field] = {
    "number": Field(max_length=20),
    "externalNumber": Field(max_length=40),
    "crmId": Field(Kind.GUID),
    "master": _given(),
    "name": Field(max_length=80, required=True),
    "active": Field(Kind.FLAG),
    "customerGroupId": _refers("customer-groups"),
    "priceGroupId": _refers("price-groups"),
    "invoicingClientId": _refers("invoicing-clients"),
    "telephone": Field(max_length=30),
    "email": Field(max_length=80),
    "website": Field(max_length=120),
    "remark": Field(max_length=250),
}
_BOOKED: Mapping[str, Field] = {
    "number": Field(max_length=20, required=True),
    "customerId": _refers("customers", required=True),
    "costCentreId": _refers("cost-centres"),
}
_LINKED = frozenset({"number", "externalNumber", "crmId", "linked"})

TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table("customer-groups", _CATALOGUE),
        Table("price-groups", _CATALOGUE),
        Table("invoicing-clients", _CATALOGUE),
        Table("services", {**_CATALOGUE, "unit": Field(max_length=20)}),
        Table("articles", {**_CATALOGUE, "unit": Field(max_length=20), "price": Field(Kind.MONEY)}),
        Table("account-manager-types", _CATALOGUE),
        Table(
            "employees",
            {
                **_CATALOGUE,
                "externalNumber": Field(max_length=40),
                "lastName": Field(max_length=40, required=True),
                "firstName": Field(max_length=40),
            },
            filters=frozenset({"number", "externalNumber", "lastName", "firstName"}),
        ),
        Table("customers", _PARTY, written=True, mastered=True, parts=PARTS, journal=True, filters=_LINKED),
        Table(
            "cost-centres",
            {**_PARTY, "customerId": _refers("customers", required=True)},
            written=True,
            mastered=True,
            parts=PARTS,
            journal=True,
            filters=_LINKED | {"customerId"},
        ),
        Table(
            "pickup-locations",
            {
                "number": Field(max_length=20),
                "crmId": Field(Kind.GUID),
                "customerId": _refers("customers", required=True),
                "costCentreId": _refers("cost-centres"),
                "name": Field(max_length=80, required=True),
                "street": Field(max_length=80),
                "postcode": Field(max_length=12),
                "city": Field(max_length=50),
                "country": Field(max_length=2),
                "opensAt": Field(Kind.CLOCK),
                "closesAt": Field(Kind.CLOCK),
                "active": Field(Kind.FLAG),
            },
            written=True,
            filters=_LINKED - {"externalNumber"} | {"customerId"},
        ),
        Table(
            "orders",
            {
                **_BOOKED,
                "orderedOn": Field(Kind.DAY, required=True),
                "state": Field(max_length=20),
                "amount": Field(Kind.MONEY),
                "currency": Field(max_length=3),
            },
            booked=True,
        ),
        Table(
            "invoices",
            {
                **_BOOKED,
                "invoicedOn": Field(Kind.DAY, required=True),
                "dueOn": Field(Kind.DAY),
                "amount": Field(Kind.MONEY, required=True),
                "currency": Field(max_length=3),
                "paid": Field(Kind.FLAG),
            },
            booked=True,
        ),
        Table(
            "complaints",
            {
                **_BOOKED,
                "customerId": _refers("customers"),
                "subject": Field(max_length=200, required=True),
                "text": Field(max_length=4000),
                "reportedAt": Field(Kind.TIME, required=True),
                "state": Field(max_length=20),
            },
            booked=True,
        ),
    )
}
"""Every list but the statistics, which are sums and no records."""

LOCKED_PARTS = frozenset(PARTS)
LOCKED_FIELDS = frozenset({"name", "customerGroupId", "priceGroupId", "invoicingClientId"})
"""What only the CRM may change of a customer or cost centre that it masters."""
