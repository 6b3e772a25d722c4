"""Merging two rows, as Microsoft documents the action, and what it refuses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.dataverse_sandbox.conftest import Organisation, code_of

URL = "https://functions.example/api/webhooks/dataverse"
TYPE = "Microsoft.Dynamics.CRM.account"
NOBODY = "00000000-0000-4000-8000-000000000001"


def account(**values: Any) -> dict[str, Any]:
    """A parameter that is an account."""
    return {"@odata.type": TYPE, **values}


async def merge(org: Organisation, target: str, subordinate: str, **more: Any) -> httpx.Response:
    """Merge one account into another; `more` goes before what is usual."""
    body = {
        "Target": account(accountid=target),
        "Subordinate": account(accountid=subordinate),
        "PerformParentingChecks": False,
        **more,
    }
    return await org.client.post("/Merge", json={name: value for name, value in body.items() if value is not None})


async def test_the_subordinate_is_inactive_and_names_the_row_it_was_merged_into(org: Organisation) -> None:
    """The target gets what UpdateContent says and nothing else; the subordinate keeps its columns."""
    kept = await org.create(name="Alfa", telephone1="1")
    lost = await org.create(name="Alfa srl", telephone1="2", fax="3")
    answer = await merge(org, kept, lost, UpdateContent=account(accountnumber="1234"))
    assert (answer.status_code, answer.content) == (204, b"")
    rows = org.sandbox.rows("account")
    assert [rows[lost][name] for name in ("statecode", "statuscode", "merged", "masterid")] == [1, 2, True, kept]
    assert [rows[lost][name] for name in ("name", "telephone1")] == ["Alfa srl", "2"]
    assert [rows[kept].get(name) for name in ("accountnumber", "telephone1", "fax", "merged")] == [
        "1234",
        "1",
        None,
        False,
    ]
    shown = (await org.client.get(f"/accounts({lost})?$select=merged,_masterid_value")).json()
    assert (shown["merged"], shown["_masterid_value"]) == (True, kept)


async def test_what_pointed_to_the_subordinate_points_to_the_target(org: Organisation) -> None:
    """Contacts, whose lookup may point to two tables, and child accounts; each is told of as updated."""
    kept, lost = await org.create(name="Alfa"), await org.create(name="Alfa srl")
    contact = await org.create(
        "contacts", lastname="Rossi", **{"parentcustomerid_account@odata.bind": f"/accounts({lost})"}
    )
    child = await org.create(name="Branch", **{"parentaccountid@odata.bind": f"/accounts({lost})"})
    await org.sandbox.register_webhook("contact", ["Update"], URL, header=("x-secret", "s"))
    await org.sandbox.register_webhook("account", ["Update"], URL, header=("x-secret", "s"))
    assert (await merge(org, kept, lost)).status_code == 204
    assert org.sandbox.rows("contact")[contact]["parentcustomerid"] == kept
    assert org.sandbox.rows("account")[child]["parentaccountid"] == kept
    await org.sandbox.flush()
    assert {body["PrimaryEntityId"] for body in org.receiver.bodies} == {contact, child}


async def test_change_tracking_shows_the_subordinate(org: Organisation) -> None:
    """No webhook tells of it."""
    kept, lost = await org.create(name="Alfa"), await org.create(name="Alfa srl")
    prefer = {"Prefer": "odata.track-changes"}
    link = (await org.client.get("/accounts?$select=name,merged", headers=prefer)).json()["@odata.deltaLink"]
    await merge(org, kept, lost)
    (row,) = (await org.client.get(link, headers=prefer)).json()["value"]
    assert (row["accountid"], row["merged"]) == (lost, True)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Subordinate": None}, 400),
        ({"PerformParentingChecks": None}, 400),
        ({"Target": {"accountid": NOBODY}}, 400),
        ({"Target": account(name="without an id")}, 400),
        ({"Target": account(accountid=NOBODY)}, 404),
        ({"Subordinate": {"@odata.type": "Microsoft.Dynamics.CRM.contact", "contactid": NOBODY}}, 400),
        ({"UpdateContent": {"@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": "x"}}, 400),
        ({"UpdateContent": account(nonsense=1)}, 400),
        ({"Extra": 1}, 400),
        ({"PerformParentingChecks": True}, 501),
        ({"Target": {"@odata.type": "Microsoft.Dynamics.CRM.opportunity", "opportunityid": NOBODY}}, 501),
    ],
)
async def test_a_malformed_merge_changes_nothing(org: Organisation, more: dict[str, Any], status: int) -> None:
    """What the documents do not tell of is 501."""
    kept, lost = await org.create(name="Alfa"), await org.create(name="Alfa srl")
    answer = await merge(org, kept, lost, **more)
    assert answer.status_code == status, answer.text
    assert {row["statecode"] for row in org.sandbox.rows("account").values()} == {0}
    org.sandbox.requests.clear()


async def test_a_row_is_merged_once_and_with_another_one(org: Organisation) -> None:
    """With itself never; an inactive one is not imitated."""
    kept, lost = await org.create(name="Alfa"), await org.create(name="Alfa srl")
    itself = await merge(org, kept, kept)
    assert (itself.status_code, code_of(itself)) == (400, "0x80040203")
    assert (await merge(org, kept, lost)).status_code == 204
    assert (await merge(org, kept, lost)).status_code == 501
    assert (await org.client.get("/Merge")).status_code == 405
    org.sandbox.requests.clear()
