"""Privileges and column security: what an application may not do is refused, and told when asked."""

from __future__ import annotations

from typing import Any

from tests.contract.dataverse_sandbox.conftest import CLIENT_ID, Organisation, code_of

COLUMNS = "/EntityDefinitions(LogicalName='account')/Attributes(LogicalName='creditlimit')"


async def told(org: Organisation, function: str, part: str) -> list[dict[str, Any]]:
    """What a function says about the caller."""
    user = (await org.client.get("/WhoAmI")).json()["UserId"]
    answer = await org.client.get(f"/systemusers({user})/Microsoft.Dynamics.CRM.{function}")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()[part]
    return rows


async def depths(org: Organisation) -> dict[str, str]:
    """The caller's privileges with their depths."""
    rows = await told(org, "RetrieveUserPrivileges", "RolePrivileges")
    return {row["PrivilegeName"]: row["Depth"] for row in rows}


async def test_a_privilege_that_was_taken_away_is_refused_and_no_longer_told(org: Organisation) -> None:
    """The others go on as before."""
    row = await org.create(name="Mill")
    assert (await depths(org))["prvWriteAccount"] == "Global"
    org.sandbox.limit_privilege(CLIENT_ID, "account", "Write")
    assert "prvWriteAccount" not in await depths(org)
    refused = await org.client.patch(f"/accounts({row})", json={"name": "Other"})
    assert (refused.status_code, code_of(refused)) == (403, "0x80040220")
    assert (await org.client.get(f"/accounts({row})?$select=name")).json()["name"] == "Mill"
    org.sandbox.limit_privilege(CLIENT_ID, "account", "Create")
    for answer in (
        await org.client.post("/accounts", json={"name": "Second"}),
        await org.client.patch("/accounts(11111111-1111-4111-8111-111111111111)", json={"name": "Upserted"}),
    ):
        assert (answer.status_code, code_of(answer)) == (403, "0x80040220")


async def test_a_reference_needs_append_here_and_append_to_there(org: Organisation) -> None:
    """Both sides of a lookup have a privilege of their own."""
    account = await org.create(name="Mill")
    body = {"lastname": "Rossi", "parentcustomerid_account@odata.bind": f"/accounts({account})"}
    org.sandbox.limit_privilege(CLIENT_ID, "account", "AppendTo")
    refused = await org.client.post("/contacts", json=body)
    assert (refused.status_code, code_of(refused)) == (403, "0x80040220")
    assert "prvAppendToAccount" in refused.json()["error"]["message"]
    assert (await org.client.post("/contacts", json={"lastname": "Rossi"})).status_code == 204


async def test_a_depth_below_the_organisation_is_told_and_not_imitated(org: Organisation) -> None:
    """Which rows a business unit sees is nothing this sandbox knows."""
    org.sandbox.limit_privilege(CLIENT_ID, "account", "Read", "Local")
    assert (await depths(org))["prvReadAccount"] == "Local"
    assert (await org.client.get("/accounts")).status_code == 501
    org.sandbox.requests.clear()


async def test_a_tables_privileges_have_the_names_that_users_hold(org: Organisation) -> None:
    """Eight for each table, with their kinds."""
    found = (await org.client.get("/EntityDefinitions(LogicalName='account')?$select=Privileges")).json()["Privileges"]
    kinds = {one["Name"]: one["PrivilegeType"] for one in found}
    assert kinds["prvReadAccount"] == "Read"
    assert kinds["prvAppendToAccount"] == "AppendTo"
    assert len(kinds) == 8


async def test_a_secured_column_is_empty_and_cannot_be_written_or_searched(org: Organisation) -> None:
    """Unless a profile allows it."""
    row = await org.create(name="Mill", creditlimit=100)
    assert (await org.client.get(f"{COLUMNS}?$select=IsSecured")).json()["IsSecured"] is False
    org.sandbox.secure_column(CLIENT_ID, "account", "creditlimit")
    column = (await org.client.get(f"{COLUMNS}?$select=IsSecured,MetadataId")).json()
    assert column["IsSecured"] is True
    assert (await org.client.get(f"/accounts({row})?$select=creditlimit")).json()["creditlimit"] is None
    for answer, code in (
        (await org.client.patch(f"/accounts({row})", json={"creditlimit": 5}), "0x8004f507"),
        (await org.client.post("/accounts", json={"name": "B", "creditlimit": 5}), "0x8004f502"),
        (await org.client.get("/accounts?$filter=creditlimit eq 100"), "0x8004f506"),
    ):
        assert (answer.status_code, code_of(answer)) == (403, code)
    assert await told(org, "RetrievePrincipalAttributePrivileges", "AttributePrivileges") == []
    org.sandbox.secure_column(CLIENT_ID, "account", "creditlimit", ["read"])
    assert await told(org, "RetrievePrincipalAttributePrivileges", "AttributePrivileges") == [
        {"AttributeId": column["MetadataId"], "CanRead": 4, "CanCreate": 0, "CanUpdate": 0}
    ]
    assert (await org.client.get(f"/accounts({row})?$select=creditlimit")).json()["creditlimit"] == 100
    assert (await org.client.get("/accounts?$filter=creditlimit eq 100")).status_code == 200


async def test_the_functions_are_bound_to_users_only(org: Organisation) -> None:
    """And a user who is not there has no rights to tell."""
    name = "Microsoft.Dynamics.CRM.RetrieveUserPrivileges"
    account = await org.create(name="Mill")
    assert (await org.client.get(f"/accounts({account})/{name}")).status_code == 404
    assert (await org.client.get(f"/systemusers({account})/{name}")).status_code == 404
