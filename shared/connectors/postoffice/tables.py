"""The lists of the contract and their columns, as `docs/systems/postoffice_contract.md` names them.

The interface describes itself nowhere, so what a table holds is written down here. A part of a record has a dotted
name: `addresses.main.city`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from shared.sync.ports import ColumnMetadata, ColumnType

ACCOUNT_MANAGER, ACCOUNT_MANAGERS = "accountManager", "accountManagers"
ADDRESSES = "addresses"
COST_CENTRE, COST_CENTRES, CUSTOMER = "costCentreId", "cost-centres", "customerId"
CRM_ID = "crmId"
MASTER = "master"
NUMBER = "number"
STATISTICS = "shipment-statistics"
JOURNAL = "journal"

_ADDRESS = {"name": 80, "name2": 80, "street": 80, "postcode": 12, "city": 50, "country": 2}


@dataclass(frozen=True, slots=True)
class Table:
    """One list. searchable: columns that the list can be filtered by; written: we create and change its records.

    mastered: an unlinked record of it belongs to PostOffice alone, a linked one to the CRM. further: the contract does
    not name it; its columns are those that the site shows. grouped: of a list of sums, which has no rows of its own,
    the columns it can be grouped by, each with its name in `groupBy`. booked: on a customer and perhaps a cost centre,
    by which the list can be filtered; of_centre: a row may name the cost centre only. part: what the interface calls it
    below a record of `owners`, where it is no list of its own; owner: the column that names that record.
    """

    name: str
    columns: Mapping[str, ColumnMetadata]
    searchable: frozenset[str] = frozenset()
    written: bool = False
    mastered: bool = False
    further: bool = False
    booked: bool = False
    of_centre: bool = False
    grouped: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    owners: str = ""
    owner: str = ""

    @property
    def immutable(self) -> bool:
        """Whether its records are never changed nor deleted."""
        return self.part == JOURNAL

    def expands(self, name: str) -> str:
        """The part that a column belongs to, as `expand` names it; empty for the record's own."""
        if name == ACCOUNT_MANAGER:
            return ACCOUNT_MANAGERS
        head, dot, _ = name.partition(".")
        return head if dot else ""


def _text(name: str, length: int, *, writable: bool = True, required: bool = False) -> ColumnMetadata:
    return ColumnMetadata(name, ColumnType.TEXT, length, writable, updatable=writable, required=required)


def _of(name: str, kind: ColumnType, *, writable: bool = True, required: bool = False) -> ColumnMetadata:
    return ColumnMetadata(name, kind, writable=writable, updatable=writable, required=required)


def _once(column: ColumnMetadata) -> ColumnMetadata:
    """The column where it is written with a create only."""
    return replace(column, updatable=False)


def _refers(name: str, table: str, *, writable: bool = True, required: bool = False) -> ColumnMetadata:
    return ColumnMetadata(
        name, ColumnType.REFERENCE, writable=writable, updatable=writable, target=table, required=required
    )


def _read_only(*columns: ColumnMetadata) -> Mapping[str, ColumnMetadata]:
    return {
        one.name: ColumnMetadata(one.name, one.type, one.max_length, writable=False, updatable=False, target=one.target)
        for one in columns
    }


def _catalogue(*own: ColumnMetadata) -> Mapping[str, ColumnMetadata]:
    usual = (_text(NUMBER, 20), _text("name", 80), _of("active", ColumnType.BOOLEAN))
    return _read_only(*usual, *own)


def _addresses() -> Iterator[ColumnMetadata]:
    for which in ("main", "invoice"):
        for name, length in _ADDRESS.items():
            yield _text(f"{ADDRESSES}.{which}.{name}", length)


def _party(*own: ColumnMetadata) -> Mapping[str, ColumnMetadata]:
    columns = (
        _text(NUMBER, 20),
        _text("externalNumber", 40),
        _of(CRM_ID, ColumnType.KEY),
        _text(MASTER, 3, writable=False),
        _text("name", 80, required=True),
        _of("active", ColumnType.BOOLEAN),
        _refers("customerGroupId", "customer-groups"),
        _refers("priceGroupId", "price-groups"),
        _refers("invoicingClientId", "invoicing-clients"),
        _text("telephone", 30),
        _text("email", 80),
        _text("website", 120),
        _text("remark", 250),
        _refers(ACCOUNT_MANAGER, "employees"),
        *_addresses(),
        *own,
    )
    return {one.name: one for one in columns}


def _booked(*own: ColumnMetadata) -> Mapping[str, ColumnMetadata]:
    usual = (_text(NUMBER, 20), _refers("customerId", "customers"), _refers("costCentreId", "cost-centres"))
    return _read_only(*usual, *own)


_LINKED = frozenset({NUMBER, "externalNumber", CRM_ID})
_PICKUP = (
    _text(NUMBER, 20),
    _of(CRM_ID, ColumnType.KEY),
    _refers("customerId", "customers", required=True),
    _refers("costCentreId", "cost-centres"),
    _text("name", 80, required=True),
    _text("street", 80),
    _text("postcode", 12),
    _text("city", 50),
    _text("country", 2),
    _text("opensAt", 5),
    _text("closesAt", 5),
    _of("active", ColumnType.BOOLEAN),
)

_TERMS = (
    _refers("serviceId", "services"),
    _refers("articleId", "articles"),
    _of("validFrom", ColumnType.DATE),
    _of("validTo", ColumnType.DATE),
)
_PARTS: Mapping[str, tuple[ColumnMetadata, ...]] = {
    "contacts": (
        _text("salutation", 20),
        _text("firstName", 40),
        _text("lastName", 40, required=True),
        _text("function", 60),
        _text("telephone", 30),
        _text("mobile", 30),
        _text("email", 80),
    ),
    "discounts": (_of("percent", ColumnType.DECIMAL, required=True), *_TERMS),
    "prices": (_of("price", ColumnType.DECIMAL, required=True), _text("currency", 3), *_TERMS),
    JOURNAL: (
        _once(_of("at", ColumnType.DATETIME, required=True)),
        _once(_text("subject", 200, required=True)),
        _once(_text("text", 4000)),
        _once(_text("author", 80)),
    ),
}


def _parts() -> Iterator[Table]:
    """What belongs to a customer or a cost centre: `customer-contacts`, `cost-centre-contacts` …"""
    for owners, column in (("customers", "customerId"), ("cost-centres", "costCentreId")):
        for part, own in _PARTS.items():
            owner = _refers(column, owners, required=True)
            columns = {one.name: one for one in (owner if part != JOURNAL else _once(owner), *own)}
            name = f"{owners.removesuffix('s')}-{part}"
            yield Table(name, columns, frozenset({column}), written=True, part=part, owners=owners, owner=column)


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table("customer-groups", _catalogue()),
        Table("price-groups", _catalogue()),
        Table("invoicing-clients", _catalogue()),
        Table("services", _catalogue(_text("unit", 20))),
        Table("articles", _catalogue(_text("unit", 20), _of("price", ColumnType.DECIMAL))),
        Table("account-manager-types", _catalogue()),
        Table(
            "employees",
            _catalogue(_text("externalNumber", 40), _text("lastName", 40), _text("firstName", 40)),
            frozenset({NUMBER, "externalNumber", "lastName", "firstName"}),
        ),
        Table("customers", _party(), _LINKED, written=True, mastered=True),
        Table(
            "cost-centres",
            _party(_refers("customerId", "customers", required=True)),
            _LINKED | {"customerId"},
            written=True,
            mastered=True,
        ),
        Table(
            "pickup-locations",
            {one.name: one for one in _PICKUP},
            frozenset({NUMBER, CRM_ID, "customerId"}),
            written=True,
        ),
        Table(
            "orders",
            _booked(
                _of("orderedOn", ColumnType.DATE),
                _text("state", 20),
                _of("amount", ColumnType.DECIMAL),
                _text("currency", 3),
            ),
            booked=True,
        ),
        Table(
            "invoices",
            _booked(
                _of("invoicedOn", ColumnType.DATE),
                _of("dueOn", ColumnType.DATE),
                _of("amount", ColumnType.DECIMAL),
                _text("currency", 3),
                _of("paid", ColumnType.BOOLEAN),
            ),
            booked=True,
        ),
        Table(
            "complaints",
            _booked(
                _text("subject", 200),
                _text("text", 4000),
                _of("reportedAt", ColumnType.DATETIME),
                _text("state", 20),
            ),
            booked=True,
            of_centre=True,
        ),
        Table(
            STATISTICS,
            _read_only(
                _refers("customerId", "customers"),
                _refers("costCentreId", "cost-centres"),
                _refers("serviceId", "services"),
                _of("day", ColumnType.DATE),
                _of("items", ColumnType.INTEGER),
                _of("weightGrams", ColumnType.INTEGER),
                _of("amount", ColumnType.DECIMAL),
            ),
            grouped={"customerId": "customer", "costCentreId": "costCentre", "serviceId": "service", "day": "day"},
        ),
        *_parts(),
    )
}
