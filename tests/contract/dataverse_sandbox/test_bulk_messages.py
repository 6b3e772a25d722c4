"""Bulk messages: all or nothing, ids in order, the events of single writes, and what each refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.contract.dataverse_sandbox.conftest import ROOT, Build, Organisation, code_of

URL = "https://functions.example/api/webhooks/dataverse"
TYPE = "Microsoft.Dynamics.CRM.account"
FIRST, SECOND = (f"00000000-0000-4000-8000-00000000000{number}" for number in "12")


def account(**values: Any) -> dict[str, Any]:
    """A target of the table account."""
    return {"@odata.type": TYPE, **values}


async def send(org: Organisation, message: str, *targets: dict[str, Any], query: str = "") -> httpx.Response:
    """Send a bulk message for accounts."""
    address = f"/accounts/Microsoft.Dynamics.CRM.{message}{query}"
    return await org.client.post(address, json={"Targets": list(targets)})


def names(org: Organisation) -> list[str]:
    """The names of all accounts, sorted."""
    return sorted(row["name"] for row in org.sandbox.rows("account").values())


async def test_many_rows_are_created_and_their_ids_answered_in_order(org: Organisation) -> None:
    """Ids of our own and ids of the platform's; defaults as with single creates."""
    answer = await send(org, "CreateMultiple", account(name="Rossi"), account(name="Bianchi", accountid=FIRST))
    assert answer.status_code == 200
    assert answer.json()["@odata.context"] == f"{ROOT}/$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse"
    rows = org.sandbox.rows("account")
    assert [rows[row_id]["name"] for row_id in answer.json()["Ids"]] == ["Rossi", "Bianchi"]
    assert answer.json()["Ids"][1] == FIRST
    assert {row["statecode"] for row in rows.values()} == {0}


async def test_one_taken_id_undoes_the_whole_message(org: Organisation) -> None:
    """The error is the database's and names no record."""
    await org.create(name="before", accountid=SECOND)
    answer = await send(
        org,
        "CreateMultiple",
        account(name="a", accountid=FIRST),
        account(name="b", accountid=SECOND),
        account(name="c"),
    )
    assert (answer.status_code, code_of(answer)) == (412, "0x80040237")
    assert answer.json()["error"]["message"] == "Cannot insert duplicate key."
    assert names(org) == ["before"]


async def test_one_bad_value_undoes_the_whole_message_without_a_trace(org: Organisation) -> None:
    """No row, no notice, no entry in the change feed; versions used up stay used up."""
    await org.sandbox.register_webhook("account", ["Create"], URL, header=("x-secret", "s"))
    prefer = {"Prefer": "odata.track-changes"}
    link = (await org.client.get("/accounts?$select=name", headers=prefer)).json()["@odata.deltaLink"]
    answer = await send(org, "CreateMultiple", account(name="good"), account(name="x" * 161))
    assert (answer.status_code, code_of(answer)) == (400, "0x80044331")
    assert (names(org), org.sandbox.waiting_notices()) == ([], 0)
    assert (await org.client.get(link, headers=prefer)).json()["value"] == []


async def test_each_row_raises_the_events_of_a_single_write(org: Organisation) -> None:
    """Pipelines are merged; the tag reaches every notice."""
    await org.sandbox.register_webhook("account", ["Create", "Update"], URL, header=("x-secret", "s"))
    created = await send(org, "CreateMultiple", account(name="a"), account(name="b"), query="?tag=ours")
    changes = [account(accountid=row_id, telephone1="1") for row_id in created.json()["Ids"]]
    assert (await send(org, "UpdateMultiple", *changes)).status_code == 204
    assert await org.sandbox.flush() == 4
    assert [body["MessageName"] for body in org.receiver.bodies] == ["Create", "Create", "Update", "Update"]
    assert {"key": "tag", "value": "ours"} in org.receiver.bodies[0]["SharedVariables"]


async def test_a_failing_synchronous_step_undoes_all_rows(org: Organisation) -> None:
    """The second row's step refuses, so the first row is gone again as well."""
    await org.sandbox.register_webhook("account", ["Create"], URL, header=("x-secret", "s"), mode=0)
    org.receiver.statuses = [202, 400]
    answer = await send(org, "CreateMultiple", account(name="a"), account(name="b"))
    assert (answer.status_code, code_of(answer)) == (400, "0x80050201")
    assert names(org) == []


async def test_many_rows_are_updated_or_none(org: Organisation) -> None:
    """An id nobody has is named; the same row twice meets itself."""
    for row_id in (FIRST, SECOND):
        await org.create(name="old", accountid=row_id, telephone1="0")
    missing = await send(
        org, "UpdateMultiple", account(accountid=FIRST, name="new"), account(accountid=FIRST[:-1] + "9", name="new")
    )
    assert (missing.status_code, code_of(missing)) == (404, "0x80040217")
    assert missing.json()["error"]["message"] == f"Account With Ids = {FIRST[:-1]}9 Do Not Exist"
    twice = await send(org, "UpdateMultiple", *[account(accountid=FIRST, name="new")] * 2)
    assert (twice.status_code, code_of(twice)) == (500, "0x80044150")
    assert names(org) == ["old", "old"]
    done = await send(org, "UpdateMultiple", *[account(accountid=one, name="new") for one in (FIRST, SECOND)])
    assert (done.status_code, done.content) == (204, b"")
    assert {(row["name"], row["telephone1"]) for row in org.sandbox.rows("account").values()} == {("new", "0")}


async def test_many_rows_are_upserted_by_id_or_key(org: Organisation) -> None:
    """The answer has no body: neither ids nor what was created."""
    org.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    await org.create(name="old", accountid=FIRST, accountnumber="A1")
    answer = await send(
        org,
        "UpsertMultiple",
        account(**{"@odata.id": "accounts(accountnumber='A1')"}, name="by key"),
        account(**{"@odata.id": f"{ROOT}/accounts(accountnumber='A2')"}, name="new by key"),
        account(accountid=SECOND, name="new by id"),
    )
    assert (answer.status_code, answer.content) == (204, b"")
    rows = org.sandbox.rows("account")
    assert (rows[FIRST]["name"], rows[SECOND]["name"]) == ("by key", "new by id")
    assert sorted(row.get("accountnumber") or "" for row in rows.values()) == ["", "A1", "A2"]


async def test_a_key_in_address_and_body_fails_only_where_a_row_is_created(org: Organisation) -> None:
    """It goes well on rows that exist, and breaks with the first new one."""
    org.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    target = account(**{"@odata.id": "accounts(accountnumber='A1')"}, accountnumber="A1", name="x")
    answer = await send(org, "UpsertMultiple", target)
    assert (answer.status_code, code_of(answer)) == (400, "0x80040216")
    await org.create(name="old", accountnumber="A1")
    assert (await send(org, "UpsertMultiple", target)).status_code == 204


@pytest.mark.parametrize(
    ("targets", "code"),
    [
        ([{"name": "no type"}], "0x80048d19"),
        ([{"@odata.type": "Microsoft.Dynamics.CRM.contact", "lastname": "x"}], "0x80048d19"),
        ([account(name="x", nix=1)], "0x80048d19"),
        ([], "0x80040203"),
        ({}, "0x80048d19"),
    ],
)
async def test_targets_that_do_not_fit_are_refused(org: Organisation, targets: Any, code: str) -> None:
    """Every target says its type, and there is at least one."""
    answer = await org.client.post("/accounts/Microsoft.Dynamics.CRM.CreateMultiple", json={"Targets": targets})
    assert (answer.status_code, code_of(answer)) == (400, code)


async def test_what_a_standard_table_lacks_is_refused(build: Build) -> None:
    """DeleteMultiple is for elastic tables; some tables have no bulk messages, and their filters say so."""
    org = build(no_bulk_messages=("account",))
    deleted = await send(org, "DeleteMultiple", account(accountid=FIRST))
    assert deleted.json()["error"]["message"] == "DeleteMultiple has not yet been implemented."
    assert (await send(org, "CreateMultiple", account(name="x"))).status_code == 404
    query = "$select=sdkmessagefilterid&$filter=sdkmessageid/name eq @message and primaryobjecttypecode eq @table"
    for table, offered in (("account", 0), ("contact", 1)):
        answer = await org.client.get(f"/sdkmessagefilters?{query}&@message='CreateMultiple'&@table='{table}'")
        assert len(answer.json()["value"]) == offered


async def test_a_message_is_one_request_that_takes_its_time(build: Build) -> None:
    """One request by count; its targets' time counts for the limit of execution time."""
    org = build(max_requests=2, target_seconds=0.5, max_execution_seconds=20, web_servers=1)
    message = asyncio.create_task(send(org, "CreateMultiple", *[account(name="x")] * 50))
    await org.clock.asleep(25)
    await org.clock.advance(25)
    assert (await message).status_code == 200
    answer = await org.client.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (429, "0x80072321")


async def test_secured_columns_and_privileges_hold_in_bulk_too(org: Organisation) -> None:
    """One forbidden column refuses the message."""
    from tests.contract.dataverse_sandbox.conftest import CLIENT_ID

    org.sandbox.secure_column(CLIENT_ID, "account", "revenue", ("read",))
    assert (await send(org, "CreateMultiple", account(name="a"), account(name="b", revenue=1))).status_code == 403
    org.sandbox.limit_privilege(CLIENT_ID, "account", "Create")
    assert code_of(await send(org, "CreateMultiple", account(name="a"))) == "0x80040220"
    assert names(org) == []


async def test_undone_rows_do_not_survive_a_restart(build: Build, tmp_path: Any) -> None:
    """What was undone is not on disk either; what was changed is as it was."""
    file = tmp_path / "dataverse.sqlite"
    org = build(persist=file)
    await org.create(name="old", accountid=FIRST)
    gone = await org.create(name="gone")
    await org.client.delete(f"/accounts({gone})")
    await send(org, "UpsertMultiple", account(accountid=FIRST, name="new"), account(accountid=gone, name="x" * 161))
    await send(org, "UpsertMultiple", account(accountid=gone, name="back"), account(accountid=FIRST, name="x" * 161))
    again = build(persist=file)
    assert names(again) == ["old"]
    assert again.sandbox.rows("account") == org.sandbox.rows("account")
