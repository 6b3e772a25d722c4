"""The metadata document (CSDL) of what is imitated: types, lengths, enum members, links.

Source: Microsoft Learn, 'Business Central API v2.0' ($metadata), and the OData 4.0 CSDL specification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.sax.saxutils import quoteattr

from sandbox.business_central.entities import COMPANY, ENTITIES, SUBSCRIPTION, EntityType, Field, Link


def enum_name(entity: EntityType, field: Field) -> str:
    """Return the name of an enum property's type."""
    return f"{entity.name}{field.name[0].upper()}{field.name[1:]}"


def csdl(inside: Mapping[str, EntityType] = ENTITIES) -> str:
    """Return the metadata document of an API that offers these entity sets inside a company."""
    every = (COMPANY, SUBSCRIPTION, *inside.values())
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>',
        '<Schema Namespace="Microsoft.NAV" xmlns="http://docs.oasis-open.org/odata/ns/edm">',
        *(line for entity in every for line in _enums(entity)),
        *(line for entity in every for line in _entity(entity, inside)),
        '<EntityContainer Name="NAV">',
        *(f'<EntitySet Name="{e.entity_set}" EntityType="Microsoft.NAV.{e.name}" />' for e in every),
        "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>",
    ]
    return "\n".join(lines)


def _enums(entity: EntityType) -> Iterator[str]:
    for field in entity.fields:
        if field.kind == "enum":
            yield f'<EnumType Name="{enum_name(entity, field)}">'
            for value, member in enumerate(field.members):
                yield f'<Member Name={quoteattr(member)} Value="{value}" />'
            yield "</EnumType>"


def _entity(entity: EntityType, inside: Mapping[str, EntityType]) -> Iterator[str]:
    yield f'<EntityType Name="{entity.name}"><Key><PropertyRef Name="{entity.key}" /></Key>'
    for field in entity.fields:
        yield _property(entity, field)
    for link in entity.links:
        if link.imitated:
            yield _link(link)
    if entity is COMPANY:
        for one in inside.values():
            yield _collection(one.entity_set, one.name)
    yield "</EntityType>"


def _property(entity: EntityType, field: Field) -> str:
    kind = f"Microsoft.NAV.{enum_name(entity, field)}" if field.kind == "enum" else field.edm
    parts = [f'<Property Name="{field.name}" Type="{kind}"']
    if field.name == entity.key:
        parts.append('Nullable="false"')
    if field.length:
        parts.append(f'MaxLength="{field.length}"')
    if field.kind == "decimal":
        parts.append('Scale="Variable"')
    if field.read_only:
        term = "Org.OData.Core.V1.Computed"
        return " ".join(parts) + f'><Annotation Term="{term}" Bool="true" /></Property>'
    return " ".join(parts) + " />"


def _link(link: Link) -> str:
    target = ENTITIES[link.target]
    if not link.by:
        return _collection(link.name, target.name)
    return f'<NavigationProperty Name="{link.name}" Type="Microsoft.NAV.{target.name}" />'


def _collection(name: str, target: str) -> str:
    return f'<NavigationProperty Name="{name}" Type="Collection(Microsoft.NAV.{target})" ContainsTarget="true" />'
