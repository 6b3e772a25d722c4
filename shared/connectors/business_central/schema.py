"""Tables and columns as the API's own metadata document describes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from shared.connectors import csdl
from shared.connectors.business_central import persons
from shared.connectors.business_central.client import BusinessCentralClient
from shared.connectors.business_central.converters import plain_member
from shared.connectors.business_central.errors import SYSTEM
from shared.connectors.business_central.extension import BOUNDS, EXTERNAL_ID, PAGES, ROW_VERSION, TABLES
from shared.connectors.cache import Cache
from shared.connectors.csdl import Csdl, read_csdl
from shared.connectors.related import split_column
from shared.errors import Answer, BadAnswer, UnknownColumn
from shared.sync.ports import Clock, ColumnMetadata, ColumnType

FRESH_SECONDS = 60.0
TYPES: Mapping[str, ColumnType] = {**csdl.TYPES, "Edm.Guid": ColumnType.REFERENCE}
READ_ONLY = {
    "": frozenset({"id", "lastModifiedDateTime"}),
    "customers": frozenset({"balanceDue", "taxAreaDisplayName", "systemModifiedBy", "systemRowVersion"}),
    "contacts": frozenset(
        {
            "companyName",
            "contactBusinessRelation",
            "customerNumber",
            "lastInteractionDate",
            "systemModifiedBy",
            "systemRowVersion",
        }
    ),
}
"""The document does not say which columns are read-only; the page's source does. "" stands for every table. Of a
contact also what follows from its company number: the page takes it, and computes it anew."""
REQUIRED = {"customers": frozenset({"displayName"}), "items": frozenset({"displayName"})}
"""Columns without which the page refuses a create."""
NUMBERED = {"customers": "number", "vendors": "number", "contacts": "number", "items": "number"}
"""Numbers: unique, taken at a create, and never written afterwards, because that would rename the record."""
RELATED = {
    "paymentTermsId": "paymentTerms",
    "shipmentMethodId": "shipmentMethods",
    "paymentMethodId": "paymentMethods",
    "currencyId": "currencies",
    "taxAreaId": "taxAreas",
}
"""References and the small tables that they point to."""
REFERS = {**RELATED, "primaryContactId": "contacts", persons.COLUMN: "customers"}
"""References and the tables that they point to."""
_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Field:
    """A column as a definition names it; far: the name behind the dot, in the table `target`. of_person: it is the
    customer of a person, which is written as the number of a company; computed: and read from other tables."""

    name: str
    near: str
    type: ColumnType
    target: str = ""
    far: str = ""
    of_person: bool = False
    computed: bool = False

    @property
    def selects(self) -> Sequence[str]:
        """What a row has to bring along for it."""
        return persons.COMPUTED_FROM if self.computed else (self.near,)

    @property
    def writes(self) -> str:
        """The property that is written for it."""
        return persons.NUMBER if self.of_person else self.near


Columns = Mapping[str, ColumnMetadata]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table is served: by the page of its own name, or by one of the extension."""

    client: BusinessCentralClient
    page: str


@dataclass(frozen=True, slots=True)
class Tables:
    """What the environment offers. extended: the tables that the extension serves; has_bounds: it knows from which
    row version on changes may be open."""

    columns: Mapping[str, Columns]
    extended: frozenset[str] = frozenset()
    has_bounds: bool = False


class Schema:
    """The tables of the API and of the extension, kept for an hour; a name that seems unknown is looked up anew
    first."""

    def __init__(self, client: BusinessCentralClient, extension: BusinessCentralClient, clock: Clock) -> None:
        self._client = client
        self._extension = extension
        self._tables = Cache(clock, self._load)
        self._latest = Tables({})

    def enforced(self, table: str) -> frozenset[str]:
        """The columns that are kept unique, as far as the tables are known already."""
        number = {NUMBERED[table]} if table in NUMBERED else set[str]()
        return frozenset(number | ({EXTERNAL_ID} & self._latest.columns.get(table, {}).keys()))

    async def place(self, table: str) -> Place:
        """Where a table is served; raises UnknownColumn for a table that is not there."""
        await self.columns(table)
        extended = table in (await self._tables.get("")).extended
        return Place(self._extension, PAGES[table]) if extended else Place(self._client, table)

    async def has_versions(self, table: str) -> bool:
        """Whether the changes of a table can be read by row version."""
        columns = await self.columns(table)
        return (await self._tables.get("")).has_bounds and ROW_VERSION in columns

    async def columns(self, table: str) -> Columns:
        """The columns of a table; raises UnknownColumn for a table that is not there."""
        if not _TABLE.fullmatch(table):
            raise _unknown(table)
        tables = (await self._tables.get("")).columns
        if table not in tables:
            tables = (await self._tables.get("", at_most_seconds_old=FRESH_SECONDS)).columns
        if table not in tables:
            raise _unknown(table)
        return tables[table]

    async def tables(self) -> Collection[str]:
        """The names of all tables, as the document describes them now."""
        return (await self._tables.get("", at_most_seconds_old=-1)).columns.keys()

    async def reread(self, table: str) -> Columns:
        """The columns as the document describes them now."""
        await self._tables.get("", at_most_seconds_old=-1)
        return await self.columns(table)

    async def fields(self, table: str, names: Sequence[str]) -> list[Field]:
        """The columns a definition names; raises UnknownColumn for the first that does not exist."""
        await self.columns(table)
        try:
            return _fields(await self._tables.get(""), table, names)
        except UnknownColumn:
            return _fields(await self._tables.get("", at_most_seconds_old=FRESH_SECONDS), table, names)

    async def _load(self, _: str) -> Tables:
        standard = tables_of(await self._client.metadata())
        document = await self._extension.metadata_or_none()
        self._latest = with_extension(standard, {} if document is None else tables_of(document))
        return self._latest


def _fields(tables: Tables, table: str, names: Sequence[str]) -> list[Field]:
    return [_field(tables, table, name) for name in names]


def _field(tables: Tables, table: str, name: str) -> Field:
    try:
        near, far = split_column(name)
    except ValueError:
        raise _unknown(name) from None
    column = _columns_of(tables, table).get(near)
    if column is None:
        raise _unknown(name)
    if not far:
        of_person = (table, name) == (persons.TABLE, persons.COLUMN)
        return Field(name, near, column.type, of_person=of_person, computed=of_person and table not in tables.extended)
    behind = _columns_of(tables, RELATED[near]).get(far) if near in RELATED else None
    if behind is None:
        raise _unknown(name)
    return Field(name, near, behind.type, RELATED[near], far)


def _columns_of(tables: Tables, table: str) -> Columns:
    if table not in tables.columns:
        raise _unknown(table)
    return tables.columns[table]


def tables_of(document: bytes) -> dict[str, dict[str, ColumnMetadata]]:
    """Tables and their columns out of a CSDL document; raises BadAnswer for anything else."""
    try:
        found = read_csdl(document)
    except ValueError as error:
        raise BadAnswer(SYSTEM, detail=f"{SYSTEM}: {error}") from None
    return {name: _columns(found, TABLES.get(name, name), one.type) for name, one in found.sets.items()}


def with_extension(standard: Mapping[str, Columns], extension: Mapping[str, Columns]) -> Tables:
    """The tables that a definition may name, with the columns of whichever page serves them."""
    columns = {
        table: {**extension[PAGES[table]], **_virtual(table)}
        if PAGES.get(table) in extension
        else {**own, **_virtual(table)}
        for table, own in standard.items()
    }
    extended = frozenset(table for table in standard if PAGES.get(table) in extension)
    return Tables(columns, extended, BOUNDS in extension)


def _columns(document: Csdl, table: str, kind: str) -> dict[str, ColumnMetadata]:
    properties = document.types[kind].properties if kind in document.types else {}
    columns = (_column(document, table, attributes) for attributes in properties.values())
    return {column.name: column for column in columns if column is not None}


def _virtual(table: str) -> dict[str, ColumnMetadata]:
    """Columns that the API does not show with the table and the connector brings along."""
    if table != persons.TABLE:
        return {}
    return {persons.COLUMN: ColumnMetadata(persons.COLUMN, ColumnType.REFERENCE, target="customers")}


def _column(document: Csdl, table: str, attributes: Mapping[str, str]) -> ColumnMetadata | None:
    name, kind = attributes.get("Name", ""), attributes.get("Type", "")
    members = document.enums.get(kind)
    type_ = ColumnType.CHOICE if members is not None else TYPES.get(kind)
    if type_ is None:
        return None
    length = attributes.get("MaxLength", "")
    read_only = READ_ONLY[""] | READ_ONLY.get(table, frozenset())
    plain = [text for member in members or () if (text := plain_member(member))]
    return ColumnMetadata(
        name=name,
        type=ColumnType.KEY if name == "id" and type_ is ColumnType.REFERENCE else type_,
        max_length=int(length) if length.isdigit() else None,
        writable=name not in read_only,
        updatable=name not in read_only | {NUMBERED.get(table, ""), EXTERNAL_ID},
        target=REFERS.get(name, ""),
        required=name in REQUIRED.get(table, frozenset()),
        choices={text: text for text in plain},
    )


def _unknown(name: str) -> UnknownColumn:
    return UnknownColumn(SYSTEM, Answer(field=name))
