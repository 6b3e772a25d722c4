"""The description of an OData service (CSDL), as far as connectors need it.

Source: OASIS, 'OData Common Schema Definition Language (CSDL) XML Representation'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.connectors.xml_reading import read_xml
from shared.sync.ports import ColumnType

TYPES: Mapping[str, ColumnType] = {
    "Edm.String": ColumnType.TEXT,
    "Edm.Int16": ColumnType.INTEGER,
    "Edm.Int32": ColumnType.INTEGER,
    "Edm.Int64": ColumnType.INTEGER,
    "Edm.Decimal": ColumnType.DECIMAL,
    "Edm.Double": ColumnType.DECIMAL,
    "Edm.Boolean": ColumnType.BOOLEAN,
    "Edm.Date": ColumnType.DATE,
    "Edm.DateTimeOffset": ColumnType.DATETIME,
}
"""Types that a column may have in every service; what else there is differs."""


@dataclass(slots=True)
class Navigation:
    """A property that leads to other records. type: of the other; columns: own ones with the other's that they
    equal, none where the document does not say them."""

    type: str
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class EntityType:
    """A type of records. properties: the attributes of each, by name. terms: names of what is true of a property."""

    keys: list[str] = field(default_factory=list)
    properties: dict[str, Mapping[str, str]] = field(default_factory=dict)
    navigation: dict[str, Navigation] = field(default_factory=dict)
    terms: dict[str, set[str]] = field(default_factory=dict)


@dataclass(slots=True)
class EntitySet:
    """Records of a type under an address. bindings: by the name of a navigation property, the set it leads into."""

    type: str
    bindings: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Csdl:
    """What a document says. included: namespaces of other services, with the address of their document."""

    types: dict[str, EntityType] = field(default_factory=dict)
    enums: dict[str, list[str]] = field(default_factory=dict)
    sets: dict[str, EntitySet] = field(default_factory=dict)
    included: dict[str, str] = field(default_factory=dict)


def read_csdl(document: bytes) -> Csdl:
    """What a document says; raises ValueError for anything but a description, also for one without any set."""
    reader = _Reader()
    try:
        read_xml(document, reader.start, reader.end)
    except ValueError:
        raise ValueError("the metadata document cannot be read") from None
    if not reader.found.sets:
        raise ValueError("the metadata document names no tables")
    return reader.found


@dataclass(slots=True)
class _Reader:
    """Gathers while the document is read from top to bottom: what it is within by then."""

    found: Csdl = field(default_factory=Csdl)
    namespace: str = ""
    address: str = ""
    type: EntityType | None = None
    property: str = ""
    enum: list[str] | None = None
    navigation: Navigation | None = None
    set: EntitySet | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = attributes.get("Name", "")
        match tag.rpartition(":")[2]:
            case "Reference":
                self.address = attributes.get("Uri", "")
            case "Include":
                self.found.included[attributes.get("Namespace", "")] = self.address
            case "Schema":
                self.namespace = attributes.get("Namespace", "")
            case "EntityType":
                self.type = self.found.types[f"{self.namespace}.{name}"] = EntityType()
            case "EnumType":
                self.enum = self.found.enums[f"{self.namespace}.{name}"] = []
            case "EntitySet":
                self.set = self.found.sets[name] = EntitySet(attributes.get("EntityType", ""))
            case "Member" if self.enum is not None:
                self.enum.append(name)
            case "NavigationPropertyBinding" if self.set is not None:
                self.set.bindings[attributes.get("Path", "")] = attributes.get("Target", "")
            case inner if self.type is not None:
                self._of_type(self.type, inner, name, attributes)

    def _of_type(self, of: EntityType, tag: str, name: str, attributes: Mapping[str, str]) -> None:
        match tag:
            case "PropertyRef":
                of.keys.append(name)
            case "Property":
                self.property = name
                of.properties[name] = attributes
            case "Annotation" if self.property and attributes.get("Bool", "true") == "true":
                of.terms.setdefault(self.property, set()).add(attributes.get("Term", ""))
            case "NavigationProperty":
                self.navigation = of.navigation[name] = Navigation(attributes.get("Type", ""))
            case "ReferentialConstraint" if self.navigation is not None:
                self.navigation.columns[attributes.get("Property", "")] = attributes.get("ReferencedProperty", "")

    def end(self, tag: str) -> None:
        match tag.rpartition(":")[2]:
            case "EntityType":
                self.type = None
            case "Property":
                self.property = ""
            case "NavigationProperty":
                self.navigation = None
            case "EnumType":
                self.enum = None
            case "EntitySet":
                self.set = None
