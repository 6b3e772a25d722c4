"""Bodies have the structure of really posted ones: member names, their order, where `__type` stands, how dates look.

The files in `bodies` are shortened from published bodies; ids and texts are replaced.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract.dataverse_sandbox.conftest import Organisation

BODIES = Path(__file__).parent / "bodies"
URL = "https://functions.example/api/webhooks/dataverse"
SECRET = ("x-crossdock-secret", "first")
NEWER_MEMBERS = {
    "InitiatingUserAgent",
    "InitiatingUserAzureActiveDirectoryObjectId",
    "UserAzureActiveDirectoryObjectId",
}
"""Members the platform added after the older bodies were captured (2020 and 2023)."""


def published(name: str) -> dict[str, Any]:
    """Read a shortened published body."""
    body: dict[str, Any] = json.loads((BODIES / name).read_text(encoding="utf-8"))
    return body


def without_newer(members: list[str], sample: dict[str, Any]) -> list[str]:
    """Leave out members that did not exist yet when the sample was captured."""
    return [name for name in members if name in sample or name not in NEWER_MEMBERS]


def target(body: dict[str, Any]) -> Any:
    """Return the Target parameter of a body."""
    return next(pair["value"] for pair in body["InputParameters"] if pair["key"] == "Target")


def attributes(entity: dict[str, Any]) -> dict[str, Any]:
    """Return an entity's attributes by name."""
    return {pair["key"]: pair["value"] for pair in entity["Attributes"]}


def shape(value: Any) -> Any:
    """Reduce a value to what matters of its structure: member names in order, kinds, type names, forms of dates."""
    if isinstance(value, dict):
        return [(name, inner if name in ("__type", "key") else shape(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return ["list"]
    if isinstance(value, str):
        return re.sub(r"\d+", "n", value) if value.startswith("/Date(") else "text"
    return "null" if value is None else "number" if isinstance(value, int | float) else type(value).__name__


async def posted(org: Organisation, message: str, mode: int, table: str = "account") -> dict[str, Any]:
    """Let a person cause a message on a table and return the body that was posted."""
    row_id = "" if message == "Create" else await org.sandbox.create(table, {NAMES[table]: "Example"})
    await org.sandbox.register_webhook(table, [message], URL, header=SECRET, mode=mode)
    if message == "Create":
        values = {"name": "Example", "revenue": 2154.32, "numberofemployees": 7, "customertypecode": 3}
        await org.sandbox.create(table, {**values, "cdock_discountpercent": 10.01, "parentaccountid": None})
    elif message == "Update":
        await org.sandbox.edit(table, row_id, {"firstname": "Example"})
    else:
        await org.sandbox.delete(table, row_id)
    await org.sandbox.flush()
    return org.receiver.bodies[-1]


NAMES = {"account": "name", "contact": "lastname"}
CASES = [
    ("create_account_sync.json", "Create", 0, "account"),
    ("create_row_async.json", "Create", 1, "account"),
    ("update_contact_async.json", "Update", 1, "contact"),
    ("delete_account_sync.json", "Delete", 0, "account"),
]


@pytest.mark.parametrize(("name", "message", "mode", "table"), CASES)
async def test_members_come_in_the_real_order(
    org: Organisation, name: str, message: str, mode: int, table: str
) -> None:
    """Outer context and parent context; only members younger than the capture may be more."""
    sample, body = published(name), await posted(org, message, mode, table)
    for real, ours in ((sample, body), (sample["ParentContext"], body["ParentContext"])):
        assert without_newer(list(ours), real) == list(real)
        assert list(ours) == sorted(ours)
        for member in ("MessageName", "Mode", "Stage", "IsInTransaction", "Depth", "IsolationMode"):
            assert ours[member] == real[member]
        assert shape(ours["OperationCreatedOn"]) == shape(real["OperationCreatedOn"]).replace("-n", "+n")
        assert shape(ours["OwningExtension"]) == shape(real["OwningExtension"])
        assert shape(target(ours)) == shape(target(real))
    assert len(body) == 30
    assert body["ParentContext"]["ParentContext"] is None


@pytest.mark.parametrize(("name", "message", "mode", "table"), CASES)
async def test_images_and_outputs_are_the_real_ones(
    org: Organisation, name: str, message: str, mode: int, table: str
) -> None:
    """An asynchronous create or update always has the image of the primary name; nothing else has one."""
    sample, body = published(name), await posted(org, message, mode, table)
    assert [shape(pair) for pair in body["PostEntityImages"]] == [shape(pair) for pair in sample["PostEntityImages"]]
    assert body["PreEntityImages"] == sample["PreEntityImages"] == []
    assert [shape(pair) for pair in body["OutputParameters"]] == [shape(pair) for pair in sample["OutputParameters"]]
    assert (body["OperationId"] == body["RequestId"]) is (sample["OperationId"] == sample["RequestId"])
    for image in body["PostEntityImages"]:
        assert image["key"] == "AsynchronousStepPrimaryName"
        assert len(image["value"]["Attributes"]) == 2


async def test_attributes_of_a_create_have_the_real_forms(org: Organisation) -> None:
    """Lookups, choices, money, dates, numbers: each kind as it was captured."""
    real = attributes(target(published("create_account_sync.json")))
    more = attributes(target(published("create_row_async.json")))
    ours = attributes(target(await posted(org, "Create", 0)))
    for name, value in real.items():
        assert shape(ours[name]) == shape(value), name
    pairs = {
        "revenue": "example_currency",
        "revenue_base": "example_currency_base",
        "numberofemployees": "example_wholenumber",
        "customertypecode": "example_optionset",
        "cdock_discountpercent": "example_decimal",
        "creditonhold": "example_twooptions",
        "createdon": "createdon",
    }
    for column, captured in pairs.items():
        assert shape(ours[column]) == shape(more[captured]), column


async def test_the_target_of_a_create_is_complete_and_formatted(org: Organisation) -> None:
    """The outer target has what the server added, with formatted values; the parent's has what was sent."""
    body = await posted(org, "Create", 0)
    outer, inner = target(body), target(body["ParentContext"])
    assert {"statecode", "ownerid", "owningbusinessunit", "transactioncurrencyid", "createdon"} <= set(
        attributes(outer)
    )
    formatted = {pair["key"]: pair["value"] for pair in outer["FormattedValues"]}
    assert (formatted["statecode"], formatted["createdon"]) == ("Active", "2026-03-02T08:00:00-00:00")
    sent = {"name", "revenue", "numberofemployees", "customertypecode", "cdock_discountpercent", "accountid"}
    assert (set(attributes(inner)) - {"parentaccountid"}, inner["FormattedValues"]) == (sent, [])


async def test_the_target_of_an_update_has_the_change_and_what_follows_from_it(org: Organisation) -> None:
    """Sent columns, id, computed names and stamps; never the whole row."""
    real = attributes(target(published("update_contact_async.json")))
    ours = attributes(target(await posted(org, "Update", 1, "contact")))
    assert set(ours) == set(real)
    assert {name: shape(value) for name, value in ours.items()} == {name: shape(value) for name, value in real.items()}


async def test_null_is_sent_as_null(org: Organisation) -> None:
    """Cleared is not absent."""
    row_id = await org.sandbox.create("account", {"name": "Example", "telephone1": "1"})
    await org.sandbox.register_webhook("account", ["Update"], URL, header=SECRET)
    await org.sandbox.edit("account", row_id, {"telephone1": None})
    await org.sandbox.flush()
    assert attributes(target(org.receiver.bodies[0]))["telephone1"] is None


async def test_registered_images_show_rows_before_and_after(org: Organisation) -> None:
    """Only the chosen columns, without `__type` on the image itself, with names of linked rows."""
    contact = await org.sandbox.create("contact", {"firstname": "Example", "lastname": "Contact"})
    values = {"name": "before", "primarycontactid": contact, "telephone1": "1"}
    row_id = await org.sandbox.create("account", values)
    update, delete = await org.sandbox.register_webhook("account", ["Update", "Delete"], URL, header=SECRET)
    image = {"name": "i", "messagepropertyname": "Target", "attributes": "name,primarycontactid"}
    for step_id, alias, kind in ((update, "both", 2), (delete, "old", 0)):
        bind = {"sdkmessageprocessingstepid@odata.bind": f"/sdkmessageprocessingsteps({step_id})"}
        await org.create("sdkmessageprocessingstepimages", **image, entityalias=alias, imagetype=kind, **bind)
    wrong = {**image, "entityalias": "new", "imagetype": 1}
    bind = {"sdkmessageprocessingstepid@odata.bind": f"/sdkmessageprocessingsteps({delete})"}
    answer = await org.client.post("/sdkmessageprocessingstepimages", json={**wrong, **bind})
    assert answer.status_code == 400
    await org.sandbox.edit("account", row_id, {"name": "after"})
    await org.sandbox.delete("account", row_id)
    await org.sandbox.flush()
    updated, deleted = org.receiver.bodies
    pre, post = updated["PreEntityImages"][0], updated["PostEntityImages"][0]
    assert (pre["key"], attributes(pre["value"])["name"], attributes(post["value"])["name"]) == (
        "both",
        "before",
        "after",
    )
    assert "__type" not in pre["value"]
    linked = attributes(pre["value"])["primarycontactid"]
    assert (linked["__type"].partition(":")[0], linked["Name"]) == ("EntityReference", "Example Contact")
    assert set(attributes(pre["value"])) == {"name", "primarycontactid", "accountid"}
    assert updated["PostEntityImages"][1]["key"] == "AsynchronousStepPrimaryName"
    assert attributes(deleted["PreEntityImages"][0]["value"])["name"] == "after"
    assert deleted["PostEntityImages"] == []


async def test_slashes_are_escaped_and_text_is_utf_8(org: Organisation) -> None:
    """As .NET writes JSON; a receiver must decode the bytes as UTF-8."""
    await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    await org.sandbox.create("account", {"name": "Società Città"})
    await org.sandbox.flush()
    raw = org.receiver.received[0].content
    assert b'"Entity:http:\\/\\/schemas.microsoft.com\\/xrm\\/2011\\/Contracts"' in raw
    assert "Società Città".encode() in raw


async def test_a_program_is_told_from_a_person(org: Organisation) -> None:
    """A person's browser has no agent text and an app name; a program has the reverse."""
    await org.sandbox.register_webhook("account", ["Create"], URL, header=SECRET)
    await org.sandbox.create("account", {"name": "by hand"})
    await org.create(name="by program")
    await org.sandbox.flush()
    person, program = org.receiver.bodies
    assert (person["InitiatingUserAgent"], program["InitiatingUserAgent"]) == ("", "crossdock-test")
    keys = [{pair["key"] for pair in body["SharedVariables"]} for body in (person, program)]
    assert keys == [
        {"IsAutoTransact", "AcceptLang", "x-ms-app-name", "DefaultsAddedFlag"},
        {"IsAutoTransact", "DefaultsAddedFlag"},
    ]
