"""What the description of a projection makes of its sets."""

from __future__ import annotations

from shared.connectors.csdl import read_csdl
from shared.connectors.field_service.ifs_cloud import tables_of

DOCUMENT = """<edmx:Edmx xmlns:edmx="urn:edmx"><edmx:DataServices><Schema xmlns="urn:edm" Namespace="IfsApp.Shift">
  <EntityType Name="Shift"><Key><PropertyRef Name="No"/></Key><Property Name="No" Type="Edm.Decimal"/></EntityType>
  <EntityType Name="Note"><Key><PropertyRef Name="Id"/></Key><Property Name="Id" Type="Edm.Guid"/></EntityType>
  <EntityType Name="View"><Property Name="Text" Type="Edm.String"/></EntityType>
  <EntityContainer Name="Container">
    <EntitySet Name="ShiftSet" EntityType="IfsApp.Shift.Shift"/>
    <EntitySet Name="NoteSet" EntityType="IfsApp.Shift.Note"/>
    <EntitySet Name="ViewSet" EntityType="IfsApp.Shift.View"/><EntitySet Name="LostSet" EntityType="IfsApp.Shift.Lost"/>
  </EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""


def test_a_set_whose_records_cannot_be_known_is_no_table_and_spoils_no_other() -> None:
    """Without a key, with one of a type that there is not here, or of a type that is not described."""
    assert list(tables_of("ShiftHandling", read_csdl(DOCUMENT.encode()))) == ["ShiftHandling.ShiftSet"]
