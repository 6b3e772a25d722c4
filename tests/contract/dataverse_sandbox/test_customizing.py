"""Tables, columns and relationships made, changed and dropped through the Web API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.dataverse_sandbox.conftest import CLIENT_ID, ROOT, Build, Organisation, code_of

CRM = "Microsoft.Dynamics.CRM."
MILL = "/EntityDefinitions(LogicalName='new_mill')"


def label(text: str) -> dict[str, Any]:
    """A label in English."""
    return {"@odata.type": f"{CRM}Label", "LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


def column(kind: str, schema: str, **more: Any) -> dict[str, Any]:
    """A column's definition."""
    return {"@odata.type": f"{CRM}{kind}AttributeMetadata", "SchemaName": schema, "DisplayName": label(schema), **more}


def table(schema: str = "new_Mill", **more: Any) -> dict[str, Any]:
    """A table's definition with its primary name."""
    return {
        "@odata.type": f"{CRM}EntityMetadata",
        "SchemaName": schema,
        "DisplayName": label("Mill"),
        "DisplayCollectionName": label("Mills"),
        "OwnershipType": "UserOwned",
        "IsActivity": False,
        "Attributes": [column("String", "new_Name", MaxLength=100, FormatName={"Value": "Text"}, IsPrimaryName=True)],
        **more,
    }


TWO_OPTIONS = {"TrueOption": {"Label": label("Old")}, "FalseOption": {"Label": label("New")}}
OPTIONS = {"Options": [{"Value": 1, "Label": label("Stone")}, {"Value": 2, "Label": label("Roller")}]}
COLUMNS = [
    (column("String", "new_Code", MaxLength=5), "x" * 5, "x" * 6),
    (column("Memo", "new_Text", MaxLength=10), "long\ntext", "x" * 11),
    (column("Integer", "new_Count", MinValue=1, MaxValue=5), 5, 6),
    (column("Decimal", "new_Weight", MinValue=0, MaxValue=10, Precision=3), 1.125, 11),
    (column("Double", "new_Ratio", MinValue=0, MaxValue=1), 0.5, 2),
    (column("DateTime", "new_Day", Format="DateOnly"), "2026-03-02", "2026-03-02T08:00:00Z"),
    (column("DateTime", "new_Moment", Format="DateAndTime"), "2026-03-02T08:00:00Z", "2026-03-02"),
    (column("Boolean", "new_Old", OptionSet=TWO_OPTIONS), True, 1),
    (column("Picklist", "new_Kind", OptionSet=OPTIONS), 2, 3),
]


def published(*tables: str) -> dict[str, str]:
    """What PublishXml takes."""
    named = "".join(f"<entity>{name}</entity>" for name in tables)
    return {"ParameterXml": f"<importexportxml><entities>{named}</entities></importexportxml>"}


async def made(org: Organisation) -> httpx.Response:
    """Make the table of mills."""
    answer = await org.client.post("/EntityDefinitions", json=table())
    assert answer.status_code == 204, answer.text
    return answer


async def test_a_new_table_takes_rows_and_messages_at_once(org: Organisation) -> None:
    """Names follow from the schema name; the set is the plural."""
    assert (await made(org)).headers["OData-EntityId"].startswith(f"{ROOT}/EntityDefinitions(")
    about = (await org.client.get(MILL)).json()
    assert (about["EntitySetName"], about["PrimaryIdAttribute"]) == ("new_mills", "new_millid")
    assert (about["IsCustomEntity"], about["PrimaryNameAttribute"]) == (True, "new_name")
    row_id = await org.create("new_mills", new_name="Aurora")
    row = (await org.client.get(f"/new_mills({row_id})?$select=new_name,statecode,_ownerid_value")).json()
    assert (row["new_name"], row["statecode"]) == ("Aurora", 0)
    target = {"@odata.type": f"{CRM}new_mill", "new_name": "Borealis"}
    many = await org.client.post(f"/new_mills/{CRM}CreateMultiple", json={"Targets": [target]})
    assert (many.status_code, len(org.sandbox.rows("new_mill"))) == (200, 2)
    filters = await org.client.get("/sdkmessagefilters?$filter=primaryobjecttypecode eq 'new_mill'")
    assert "CreateMultiple" not in filters.text
    assert len(filters.json()["value"]) == 8


@pytest.mark.parametrize(("definition", "good", "bad"), COLUMNS, ids=lambda one: None)
async def test_a_new_column_holds_what_its_definition_allows(
    org: Organisation, definition: dict[str, Any], good: Any, bad: Any
) -> None:
    """Lengths, ranges, choices and types hold as in standard columns."""
    await made(org)
    answer = await org.client.post(f"{MILL}/Attributes", json=definition)
    assert answer.status_code == 204, answer.text
    name = definition["SchemaName"].lower()
    row_id = await org.create("new_mills", new_name="Aurora", **{name: good})
    assert (await org.client.get(f"/new_mills({row_id})?$select={name}")).json()[name] == good
    refused = await org.client.patch(f"/new_mills({row_id})", json={name: bad})
    assert refused.status_code == 400, refused.text
    told = (await org.client.get(f"{MILL}/Attributes(LogicalName='{name}')")).json()
    assert told["@odata.type"] == f"#{definition['@odata.type']}"
    assert (told["IsCustomAttribute"], told["DisplayName"]["UserLocalizedLabel"]["Label"]) == (
        True,
        definition["SchemaName"],
    )


async def test_a_column_is_changed_by_its_whole_definition(org: Organisation) -> None:
    """What comes back from the cast is what goes into the PUT; choices that are not in it stay."""
    await made(org)
    for definition in (column("String", "new_Code", MaxLength=5), column("Picklist", "new_Kind", OptionSet=OPTIONS)):
        await org.client.post(f"{MILL}/Attributes", json=definition)
    for name, kind, change in (("new_code", "String", {"MaxLength": 9}), ("new_kind", "Picklist", {})):
        address = f"{MILL}/Attributes(LogicalName='{name}')"
        full = (await org.client.get(f"{address}/{CRM}{kind}AttributeMetadata")).json()
        body = {**full, "@odata.type": f"{CRM}{kind}AttributeMetadata", "DisplayName": label("Other"), **change}
        answer = await org.client.put(f"{MILL}/Attributes({full['MetadataId']})", json=body)
        assert answer.status_code == 204, answer.text
    await org.create("new_mills", new_code="x" * 9, new_kind=2)
    other = await org.client.put(
        f"{MILL}/Attributes(LogicalName='new_code')", json=column("Integer", "new_Code", MinValue=0, MaxValue=1)
    )
    assert other.status_code == 400
    wrong = await org.client.get(f"{MILL}/Attributes(LogicalName='new_code')/{CRM}MemoAttributeMetadata")
    assert wrong.status_code == 404


async def test_a_dropped_column_takes_its_values_along(org: Organisation) -> None:
    """A column of the same name begins empty; what a key needs cannot go."""
    await made(org)
    code = column("String", "new_Code", MaxLength=5)
    await org.client.post(f"{MILL}/Attributes", json=code)
    row_id = await org.create("new_mills", new_code="x")
    key = {"SchemaName": "new_CodeKey", "KeyAttributes": ["new_code"]}
    await org.client.post(f"{MILL}/Keys", json=key)
    held = await org.client.delete(f"{MILL}/Attributes(LogicalName='new_code')")
    assert (held.status_code, code_of(held)) == (400, "0x8004f01f")
    await org.client.delete(f"{MILL}/Keys(LogicalName='new_codekey')")
    assert (await org.client.delete(f"{MILL}/Attributes(LogicalName='new_code')")).status_code == 204
    assert (await org.client.get(f"/new_mills({row_id})?$select=new_code")).status_code == 400
    await org.client.post(f"{MILL}/Attributes", json=code)
    assert (await org.client.get(f"/new_mills({row_id})?$select=new_code")).json()["new_code"] is None


async def test_a_table_can_be_changed_and_dropped(org: Organisation) -> None:
    """Labels and change tracking; then nothing of it remains."""
    await made(org)
    about = (await org.client.get(MILL)).json()
    body = {**about, "DisplayName": label("Flour Mill"), "ChangeTrackingEnabled": True}
    assert (await org.client.put(MILL, json=body)).status_code == 204
    assert (await org.client.post("/PublishXml", json=published("new_mill"))).status_code == 204
    told = (await org.client.get(MILL)).json()
    assert (told["DisplayName"]["UserLocalizedLabel"]["Label"], told["ChangeTrackingEnabled"]) == ("Flour Mill", True)
    tracked = await org.client.get("/new_mills", headers={"Prefer": "odata.track-changes"})
    assert "@odata.deltaLink" in tracked.json()
    await org.create("new_mills", new_name="Aurora")
    assert (await org.client.delete(MILL)).status_code == 204
    assert (await org.client.get("/new_mills")).status_code == 404
    await made(org)
    assert org.sandbox.rows("new_mill") == {}


async def test_a_relationship_brings_its_lookup_and_takes_it_away(org: Organisation) -> None:
    """The lookup is bound by its schema name; a deleted row's cascade is the relationship's."""
    await made(org)
    relationship = {
        "@odata.type": f"{CRM}OneToManyRelationshipMetadata",
        "SchemaName": "new_account_new_mill",
        "ReferencedEntity": "account",
        "ReferencedAttribute": "accountid",
        "ReferencingEntity": "new_mill",
        "CascadeConfiguration": {"Delete": "Cascade"},
        "Lookup": column("Lookup", "new_Owner"),
    }
    answer = await org.client.post("/RelationshipDefinitions", json=relationship)
    assert answer.status_code == 204, answer.text
    account = await org.create(name="Rossi")
    await org.create("new_mills", new_name="Aurora", **{"new_Owner@odata.bind": f"/accounts({account})"})
    listed = await org.client.get(f"/accounts({account})/new_account_new_mill?$select=new_name")
    assert [row["new_name"] for row in listed.json()["value"]] == ["Aurora"]
    address = answer.headers["OData-EntityId"].removeprefix(ROOT)
    told = (await org.client.get("/RelationshipDefinitions?$filter=SchemaName eq 'new_account_new_mill'")).json()
    assert told["value"][0]["@odata.type"] == f"#{CRM}OneToManyRelationshipMetadata"
    assert told["value"][0]["ReferencingEntityNavigationPropertyName"] == "new_Owner"
    await org.client.delete(f"/accounts({account})")
    assert org.sandbox.rows("new_mill") == {}
    assert (await org.client.delete(address)).status_code == 204
    assert (await org.client.get("/new_mills?$select=_new_owner_value")).status_code == 400


async def test_a_restricting_relationship_holds_the_row(org: Organisation) -> None:
    """405 as the documents list it."""
    await made(org)
    relationship = {
        "@odata.type": f"{CRM}OneToManyRelationshipMetadata",
        "SchemaName": "new_account_new_mill",
        "ReferencedEntity": "account",
        "ReferencingEntity": "new_mill",
        "CascadeConfiguration": {"Delete": "Restrict"},
        "Lookup": column("Lookup", "new_Owner"),
    }
    await org.client.post("/RelationshipDefinitions", json=relationship)
    account = await org.create(name="Rossi")
    await org.create("new_mills", **{"new_Owner@odata.bind": f"/accounts({account})"})
    answer = await org.client.delete(f"/accounts({account})")
    assert (answer.status_code, code_of(answer)) == (405, "0x80040227")


async def test_impossible_definitions_are_refused(org: Organisation) -> None:
    """Names without a prefix, names that exist, lengths and types that do not."""
    await made(org)
    for body in (
        table(),
        table("Mill"),
        table("new_Other", Attributes=[]),
        {**table("new_Other"), "@odata.type": f"{CRM}ComplexEntityMetadata"},
    ):
        assert (await org.client.post("/EntityDefinitions", json=body)).status_code == 400
    twice = await org.client.post(f"{MILL}/Attributes", json=column("String", "new_Name", MaxLength=5))
    assert (twice.status_code, code_of(twice)) == (400, "0x80047013")
    for definition in (
        column("String", "Code", MaxLength=5),
        column("String", "new_Code", MaxLength=5000),
        column("String", "new_Code"),
        column("Integer", "new_Count", MinValue=5, MaxValue=1),
        column("ComplexString", "new_Code", MaxLength=5),
        column("Picklist", "new_Kind", OptionSet={"Options": []}),
    ):
        assert (await org.client.post(f"{MILL}/Attributes", json=definition)).status_code == 400
    assert (await org.client.post(f"{MILL}/Attributes", json=column("Image", "new_Picture"))).status_code == 501
    assert (await org.client.delete("/EntityDefinitions(LogicalName='account')")).status_code == 400


async def test_definitions_survive_a_restart_and_end_with_a_reset(build: Build, tmp_path: Path) -> None:
    """Tables, columns of standard tables, values."""
    file = tmp_path / "dataverse.sqlite"
    first = build(persist=file)
    await made(first)
    account = "/EntityDefinitions(LogicalName='account')/Attributes"
    await first.client.post(account, json=column("String", "new_Code", MaxLength=5))
    await first.create("new_mills", new_name="Aurora")
    await first.create(name="Rossi", new_code="x")
    second = build(persist=file)
    assert [row["new_name"] for row in second.sandbox.rows("new_mill").values()] == ["Aurora"]
    assert [row["new_code"] for row in second.sandbox.rows("account").values()] == ["x"]
    second.sandbox.reset()
    assert (await second.client.get("/new_mills")).status_code == 404
    assert (await second.client.get("/accounts?$select=new_code")).status_code == 400
    assert (await build().client.get("/new_mills")).status_code == 404


async def test_change_tracking_of_a_standard_table_takes_effect_once_it_is_published(
    build: Build, tmp_path: Path
) -> None:
    """The whole definition goes into the PUT; what was published is kept, and so is what still waits for it."""
    path, account = tmp_path / "dataverse.sqlite", "/EntityDefinitions(LogicalName='account')"

    async def is_tracked(org: Organisation) -> bool:
        return bool((await org.client.get(f"{account}?$select=ChangeTrackingEnabled")).json()["ChangeTrackingEnabled"])

    org = build(persist=path, untracked=("account", "contact"))
    assert not await is_tracked(org)
    refused = await org.client.get("/accounts", headers={"Prefer": "odata.track-changes"})
    assert refused.status_code == 400
    whole = (await org.client.get(account)).json() | {"ChangeTrackingEnabled": True}
    assert (await org.client.put(account, json=whole, headers={"MSCRM.MergeLabels": "true"})).status_code == 204
    assert not await is_tracked(org)
    again = build(persist=path, untracked=("account", "contact"))
    assert (await again.client.post("/PublishXml", json=published("account"))).status_code == 204
    assert await is_tracked(again)
    assert await is_tracked(build(persist=path, untracked=("account", "contact")))


async def test_what_cannot_be_published_is_refused(org: Organisation) -> None:
    """Unknown tables and malformed text; PublishAllXml needs no body."""
    for body in (published("nix"), {"ParameterXml": "<importexportxml>"}, {"ParameterXml": "<a/>"}, {}):
        assert (await org.client.post("/PublishXml", json=body)).status_code == 400
    assert (await org.client.post("/PublishAllXml")).status_code == 204
    assert (await org.client.get("/PublishAllXml")).status_code == 405


async def test_the_index_of_a_key_is_built_again_once_the_duplicates_are_gone(org: Organisation) -> None:
    """Failed stays Failed until ReactivateEntityKey; then it is Pending for a while."""
    account = "/EntityDefinitions(LogicalName='account')"
    first, second = await org.create(accountnumber="1"), await org.create(accountnumber="1")
    await org.client.post(f"{account}/Keys", json={"SchemaName": "new_Number", "KeyAttributes": ["accountnumber"]})

    async def status() -> str:
        return str((await org.client.get(f"{account}/Keys(LogicalName='new_number')")).json()["EntityKeyIndexStatus"])

    await org.clock.advance(61)
    assert (await status(), first != second) == ("Failed", True)
    await org.client.delete(f"/accounts({second})")
    body = {"EntityLogicalName": "account", "EntityKeyLogicalName": "new_number"}
    assert (await status(), (await org.client.post("/ReactivateEntityKey", json=body)).status_code) == ("Failed", 204)
    assert await status() == "Pending"
    await org.clock.advance(61)
    assert await status() == "Active"
    assert (await org.client.post("/ReactivateEntityKey", json=body | {"EntityLogicalName": "nix"})).status_code == 404
    unknown = body | {"EntityKeyLogicalName": "nix"}
    assert (await org.client.post("/ReactivateEntityKey", json=unknown)).status_code == 404


async def test_who_may_not_customise_changes_no_definition(org: Organisation) -> None:
    """Reading stays allowed; the refusal names a privilege."""
    org.sandbox.forbid_customizing(CLIENT_ID)
    account = "/EntityDefinitions(LogicalName='account')"
    for path, body in (
        (f"{account}/Keys", {"SchemaName": "new_Number", "KeyAttributes": ["accountnumber"]}),
        (f"{account}/Attributes", column("String", "new_Code", MaxLength=5)),
        ("/PublishAllXml", {}),
    ):
        answer = await org.client.post(path, json=body)
        assert (answer.status_code, code_of(answer)) == (403, "0x80040220")
    assert (await org.client.get(account)).status_code == 200
