"""What the organisation says about its tables, and alternate keys whose index takes its time."""

from __future__ import annotations

from typing import Any

from tests.contract.dataverse_sandbox.conftest import Organisation, code_of

ACCOUNT = "/EntityDefinitions(LogicalName='account')"
KEY = {"SchemaName": "cdock_VatKey", "KeyAttributes": ["cdock_vatnumber"]}


async def value(org: Organisation, path: str) -> Any:
    """Return the list of a metadata answer."""
    answer = await org.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["value"]


async def test_a_table_is_found_by_its_logical_name(org: Organisation) -> None:
    """Set names are not a rule: they are asked for."""
    found = await value(
        org,
        "/EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute&$filter=LogicalName eq 'opportunity'",
    )
    assert [(one["EntitySetName"], one["PrimaryIdAttribute"]) for one in found] == [("opportunities", "opportunityid")]
    one = (await org.client.get(f"{ACCOUNT}?$select=ChangeTrackingEnabled,PrimaryNameAttribute")).json()
    assert (one["ChangeTrackingEnabled"], one["PrimaryNameAttribute"]) == (True, "name")
    assert (await org.client.get("/EntityDefinitions(LogicalName='nix')")).status_code == 404


async def test_columns_tell_type_length_and_choices(org: Organisation) -> None:
    """Lengths and choices need a cast to the kind of column, as in the real metadata."""
    types = {c["LogicalName"]: c["AttributeType"] for c in await value(org, f"{ACCOUNT}/Attributes")}
    assert [types[n] for n in ("name", "revenue", "customertypecode", "ownerid", "createdon", "accountid")] == [
        "String",
        "Money",
        "Picklist",
        "Owner",
        "DateTime",
        "Uniqueidentifier",
    ]
    strings = await value(
        org, f"{ACCOUNT}/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata?$select=LogicalName,MaxLength"
    )
    lengths = {one["LogicalName"]: one["MaxLength"] for one in strings}
    wanted = ("name", "accountnumber", "telephone1", "emailaddress1", "websiteurl", "cdock_vatnumber")
    assert [lengths[name] for name in wanted] == [160, 20, 50, 100, 200, 20]
    choices = await value(
        org,
        f"{ACCOUNT}/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"
        "?$select=LogicalName&$expand=OptionSet($select=Options)",
    )
    options = {one["LogicalName"]: one["OptionSet"]["Options"] for one in choices}
    labels = {o["Value"]: o["Label"]["UserLocalizedLabel"]["Label"] for o in options["paymenttermscode"]}
    assert labels == {1: "Net 30", 2: "2% 10, Net 30", 3: "Net 45", 4: "Net 60"}
    assert (await org.client.get(f"{ACCOUNT}/Attributes?$select=MaxLength")).status_code == 400
    assert (await org.client.get(f"{ACCOUNT}/Attributes(LogicalName='nix')")).status_code == 404
    expanded = (await org.client.get(f"{ACCOUNT}?$select=LogicalName&$expand=Attributes($select=LogicalName)")).json()
    assert {"LogicalName", "MetadataId", "@odata.type"} == set(expanded["Attributes"][0])


async def test_relationships_tell_navigation_names(org: Organisation) -> None:
    """Custom lookups keep the case of their schema name."""
    found = await value(
        org,
        f"{ACCOUNT}/ManyToOneRelationships"
        "?$select=ReferencingAttribute,ReferencingEntityNavigationPropertyName,ReferencedEntity",
    )
    names = {one["ReferencingAttribute"]: one["ReferencingEntityNavigationPropertyName"] for one in found}
    assert names["cdock_accountmanager"] == "cdock_AccountManager"
    assert names["primarycontactid"] == "primarycontactid"
    contact = await value(org, "/EntityDefinitions(LogicalName='contact')/ManyToOneRelationships")
    customers = {one["ReferencingEntityNavigationPropertyName"] for one in contact}
    assert {"parentcustomerid_account", "parentcustomerid_contact"} <= customers


async def test_a_new_key_is_usable_only_when_its_index_is_active(org: Organisation) -> None:
    """Until then addresses by that key are refused, and nothing is held unique."""
    await org.create(name="one", cdock_vatnumber="00743110157")
    created = await org.client.post(f"{ACCOUNT}/Keys", json=KEY)
    assert created.status_code == 204
    assert "/Keys(" in created.headers["OData-EntityId"]
    status = f"{ACCOUNT}/Keys(LogicalName='cdock_vatkey')?$select=EntityKeyIndexStatus"
    assert (await org.client.get(status)).json()["EntityKeyIndexStatus"] == "Pending"
    address = "/accounts(cdock_vatnumber='00743110157')?$select=name"
    early = await org.client.get(address)
    assert (early.status_code, code_of(early)) == (400, "0x80060890")
    await org.clock.advance(60)
    assert (await org.client.get(status)).json()["EntityKeyIndexStatus"] == "Active"
    assert (await org.client.get(address)).json()["name"] == "one"
    assert [key["KeyAttributes"] for key in await value(org, f"{ACCOUNT}/Keys")] == [["cdock_vatnumber"]]


async def test_a_key_over_existing_duplicates_fails(org: Organisation) -> None:
    """It never becomes usable."""
    for name in ("one", "two"):
        await org.create(name=name, cdock_vatnumber="00743110157")
    await org.client.post(f"{ACCOUNT}/Keys", json=KEY)
    await org.clock.advance(60)
    assert [key["EntityKeyIndexStatus"] for key in await value(org, f"{ACCOUNT}/Keys")] == ["Failed"]
    assert (await org.client.get("/accounts(cdock_vatnumber='00743110157')")).status_code == 400


async def test_impossible_keys_are_refused(org: Organisation) -> None:
    """Unknown columns, wrong kinds, no prefix, too large, twice the same, too many."""
    for columns in (["nix"], ["revenue"], ["description"], ["name", "websiteurl", "address1_line1"], []):
        answer = await org.client.post(f"{ACCOUNT}/Keys", json={"SchemaName": "cdock_Key", "KeyAttributes": columns})
        assert (answer.status_code, code_of(answer)) == (400, "0x8006088f")
    assert (await org.client.post(f"{ACCOUNT}/Keys", json={**KEY, "SchemaName": "Key"})).status_code == 400
    assert (await org.client.post(f"{ACCOUNT}/Keys", json=KEY)).status_code == 204
    assert (await org.client.post(f"{ACCOUNT}/Keys", json=KEY)).status_code == 400
    dropped = await org.client.delete(f"{ACCOUNT}/Keys(LogicalName='cdock_vatkey')")
    assert dropped.status_code == 204
    assert await value(org, f"{ACCOUNT}/Keys") == []


async def test_change_tracking_can_be_switched_on_but_not_off(org: Organisation) -> None:
    """Switching on what is on is harmless."""
    assert (await org.client.put(ACCOUNT, json={"ChangeTrackingEnabled": True})).status_code == 204
    assert (await org.client.put(ACCOUNT, json={"ChangeTrackingEnabled": False})).status_code == 400
    assert (await org.client.patch(ACCOUNT, json={"ChangeTrackingEnabled": True})).status_code == 405
