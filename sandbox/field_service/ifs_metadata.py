"""The $metadata of a projection: CSDL with keys, types, enumerations, references, and what may be written when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import quoteattr

from sandbox.field_service.tables import Column, Kind, Reference, Table

ENVELOPE = ("luname", "keyref", "Objgrants")
"""What IFS adds to every row."""
_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "Edm.String",
    Kind.WHOLE: "Edm.Int64",
    Kind.AMOUNT: "Edm.Decimal",
    Kind.FLAG: "Edm.Boolean",
    Kind.DAY: "Edm.Date",
    Kind.TIME: "Edm.DateTimeOffset",
}


def projection_of(table: str) -> str:
    """The projection that a table is named by."""
    return table.partition(".")[0]


def entity_set_of(table: str) -> str:
    """The entity set that a table is named by."""
    return table.partition(".")[2]


def entity_of(table: str) -> str:
    """The entity type of a table, which is also its logical unit."""
    return entity_set_of(table).removesuffix("Set")


def edm_type(table: Table, column: Column) -> str:
    """The type of a property; one with choices has an enumeration of its own."""
    if column.choices:
        return f"IfsApp.{projection_of(table.name)}.{entity_of(table.name)}{column.name}"
    return _TYPES[column.kind]


def csdl(projection: str, inside: Sequence[Table], tables: Mapping[str, Table]) -> str:
    """The metadata document of a projection with these tables; `tables` are all, for what leads to other ones."""
    return "".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">',
            *_includes(projection, inside, tables),
            "<edmx:DataServices>",
            f'<Schema Namespace="IfsApp.{projection}" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
            *(part for table in inside for part in _enumerations(table)),
            *(part for table in inside for part in _entity(table, tables)),
            '<EntityContainer Name="Container">',
            *(part for table in inside for part in _entity_set(table, tables)),
            "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>",
        )
    )


def _includes(projection: str, inside: Sequence[Table], tables: Mapping[str, Table]) -> Iterator[str]:
    """The documents of other projections that references lead to."""
    leads = (projection_of(to.target) for table in inside for to in table.references(tables))
    for other in sorted({*leads, "Org.OData.Core.V1"} - {projection}):
        if other.startswith("Org."):
            uri, include = "https://oasis-tcs.github.io/odata-vocabularies/vocabularies/Org.OData.Core.V1.xml", other
        else:
            uri, include = f"../{other}.svc/$metadata", f"IfsApp.{other}"
        yield f'<edmx:Reference Uri="{uri}"><edmx:Include Namespace="{include}"/></edmx:Reference>'


def _enumerations(table: Table) -> Iterator[str]:
    for column in table.columns.values():
        if column.choices:
            yield f'<EnumType Name="{entity_of(table.name)}{column.name}">'
            for value, member in enumerate(column.choices):
                yield f'<Member Name={quoteattr(member)} Value="{value}"/>'
            yield "</EnumType>"


def _entity(table: Table, tables: Mapping[str, Table]) -> Iterator[str]:
    yield f'<EntityType Name="{entity_of(table.name)}"><Key>'
    yield from (f'<PropertyRef Name="{name}"/>' for name in table.keys)
    yield "</Key>"
    for name in ENVELOPE:
        yield f'<Property Name="{name}" Type="Edm.String">{_term("Computed")}</Property>'
    for column in table.columns.values():
        yield _property(table, column)
    for to in table.references(tables):
        yield f'<NavigationProperty Name="{_leads_by(table, to)}" Type="{_type_of(to.target)}">'
        for own, other in to.columns.items():
            yield f'<ReferentialConstraint Property="{own}" ReferencedProperty="{other}"/>'
        yield "</NavigationProperty>"
    yield "</EntityType>"


def _property(table: Table, column: Column) -> str:
    parts = [f'<Property Name="{column.name}" Type="{edm_type(table, column)}"']
    if column.required or column.name in table.keys:
        parts.append('Nullable="false"')
    if column.length and not column.choices:
        parts.append(f'MaxLength="{column.length}"')
    if column.kind is Kind.AMOUNT:
        parts.append('Scale="variable"')
    term = _term("Computed") if column.read_only else _term("Immutable") if column.name in table.keys else ""
    return f"{' '.join(parts)}>{term}</Property>"


def _term(name: str) -> str:
    return f'<Annotation Term="Org.OData.Core.V1.{name}" Bool="true"/>'


def _entity_set(table: Table, tables: Mapping[str, Table]) -> Iterator[str]:
    yield f'<EntitySet Name="{entity_set_of(table.name)}" EntityType="{_type_of(table.name)}">'
    for to in table.references(tables):
        near = projection_of(to.target) == projection_of(table.name)
        where = "" if near else f"IfsApp.{projection_of(to.target)}.Container/"
        target = f"{where}{entity_set_of(to.target)}"
        yield f'<NavigationPropertyBinding Path="{_leads_by(table, to)}" Target="{target}"/>'
    yield "</EntitySet>"


def _type_of(table: str) -> str:
    return f"IfsApp.{projection_of(table)}.{entity_of(table)}"


def _leads_by(table: Table, to: Reference) -> str:
    return to.name if to.name in table.navigation else f"{to.name}Ref"
