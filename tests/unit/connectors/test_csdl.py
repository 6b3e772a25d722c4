"""Descriptions of OData services."""

from __future__ import annotations

import pytest

from shared.connectors.csdl import read_csdl

DOCUMENT = """<?xml version="1.0"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
<edmx:Reference Uri="../MillHandling.svc/$metadata"><edmx:Include Namespace="IfsApp.MillHandling"/></edmx:Reference>
<edmx:DataServices><Schema Namespace="IfsApp.Task" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EnumType Name="State"><Member Name="New" Value="0"/><Member Name="Done" Value="1"/></EnumType>
<ComplexType Name="Place"><Property Name="Street" Type="Edm.String"/></ComplexType>
<EntityType Name="Task"><Key><PropertyRef Name="TaskSeq"/></Key>
<Property Name="TaskSeq" Type="Edm.Int64" Nullable="false">
<Annotation Term="Org.OData.Core.V1.Immutable" Bool="true"/></Property>
<Property Name="State" Type="IfsApp.Task.State"><Annotation Term="Org.OData.Core.V1.Computed"/></Property>
<Property Name="MillNo" Type="Edm.String"><Annotation Term="Org.OData.Core.V1.Computed" Bool="false"/></Property>
<NavigationProperty Name="MillRef" Type="IfsApp.MillHandling.Mill">
<ReferentialConstraint Property="MillNo" ReferencedProperty="No"/></NavigationProperty>
<Annotation Term="Org.OData.Core.V1.Computed" Bool="true"/>
</EntityType>
<EntityContainer Name="Container"><EntitySet Name="TaskSet" EntityType="IfsApp.Task.Task">
<NavigationPropertyBinding Path="MillRef" Target="IfsApp.MillHandling.Container/MillSet"/></EntitySet></EntityContainer>
</Schema></edmx:DataServices></edmx:Edmx>"""


def test_a_description_says_what_connectors_need() -> None:
    """Keys, types, enumerations, what may be written, references with their columns, and where they lead."""
    found = read_csdl(DOCUMENT.encode())
    task = found.types["IfsApp.Task.Task"]
    assert task.keys == ["TaskSeq"]
    assert {name: one["Type"] for name, one in task.properties.items()} == {
        "TaskSeq": "Edm.Int64",
        "State": "IfsApp.Task.State",
        "MillNo": "Edm.String",
    }
    assert task.terms == {"TaskSeq": {"Org.OData.Core.V1.Immutable"}, "State": {"Org.OData.Core.V1.Computed"}}
    assert found.enums == {"IfsApp.Task.State": ["New", "Done"]}
    assert task.navigation["MillRef"].columns == {"MillNo": "No"}
    assert found.sets["TaskSet"].bindings == {"MillRef": "IfsApp.MillHandling.Container/MillSet"}
    assert found.included == {"IfsApp.MillHandling": "../MillHandling.svc/$metadata"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "<html></html>",
        DOCUMENT.replace("</edmx:Edmx>", ""),
        DOCUMENT.replace('<?xml version="1.0"?>', '<!DOCTYPE x [<!ENTITY a "aaaa">]>'),
        DOCUMENT.replace('<?xml version="1.0"?>', '<?xml version="1.0" encoding="klingon"?>'),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Half a document, one without sets, one that could be made to grow, and one in letters that nobody knows."""
    with pytest.raises(ValueError, match="metadata document"):
        read_csdl(text.encode())
