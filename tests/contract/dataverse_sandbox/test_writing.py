"""Writing rows: create, update, upsert with conditions, delete, lookups, validation, computed columns."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.dataverse import DataverseError
from tests.contract.dataverse_sandbox.conftest import ROOT, Organisation, code_of

GUID = "00000000-0000-4000-8000-00000000000a"
REPRESENTATION = {"Prefer": "return=representation"}


async def test_a_create_answers_204_with_the_address(org: Organisation) -> None:
    """No body; the id is in OData-EntityId."""
    answer = await org.client.post("/accounts", json={"name": "Rossi"})
    row_id = next(iter(org.sandbox.rows("account")))
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["OData-EntityId"] == f"{ROOT}/accounts({row_id})"


async def test_a_create_shows_the_row_when_asked(org: Organisation) -> None:
    """201 with the selected columns."""
    answer = await org.client.post("/accounts?$select=name", json={"name": "Rossi"}, headers=REPRESENTATION)
    assert answer.status_code == 201
    assert answer.headers["Preference-Applied"] == "return=representation"
    assert set(answer.json()) == {"@odata.context", "@odata.etag", "name", "accountid"}


async def test_the_platform_fills_in_what_was_not_sent(org: Organisation) -> None:
    """Owner, state, currency, stamps, base amounts, two-option defaults."""
    row_id = await org.create(name="Rossi", revenue=10)
    row = org.sandbox.rows("account")[row_id]
    user = (await org.client.get("/WhoAmI")).json()["UserId"]
    assert {row[name] for name in ("ownerid", "createdby", "modifiedby", "owninguser")} == {user}
    assert (row["statecode"], row["statuscode"], row["creditonhold"], row["followemail"]) == (0, 1, False, True)
    assert (row["transactioncurrencyid"], row["exchangerate"]) != (None, None)
    assert row["revenue_base"] == 10
    assert row["createdon"] == row["modifiedon"]


async def test_a_create_may_bring_its_own_id_once(org: Organisation) -> None:
    """The second one with that id is a duplicate."""
    assert await org.create(name="Rossi", accountid=GUID) == GUID
    answer = await org.client.post("/accounts", json={"name": "Bianchi", "accountid": GUID})
    assert (answer.status_code, code_of(answer)) == (412, "0x80040237")


# The table of conditions: header, row exists, status, code


CONDITIONS: list[tuple[dict[str, str], bool, int, str | None]] = [
    ({}, True, 204, None),
    ({}, False, 204, None),
    ({"If-Match": "*"}, True, 204, None),
    ({"If-Match": "*"}, False, 404, "0x80040217"),
    ({"If-None-Match": "*"}, True, 412, "0x80040237"),
    ({"If-None-Match": "*"}, False, 204, None),
    ({"If-Match": "<etag>"}, True, 204, None),
    ({"If-Match": 'W/"1"'}, True, 412, "0x80060882"),
    ({"If-Match": 'W/"1"'}, False, 404, "0x80040217"),
    ({"If-None-Match": "null"}, True, 204, None),
    (REPRESENTATION, True, 200, None),
    (REPRESENTATION, False, 201, None),
]


@pytest.mark.parametrize(("headers", "exists", "status", "code"), CONDITIONS)
async def test_patch_follows_the_table_of_conditions(
    org: Organisation, headers: dict[str, str], exists: bool, status: int, code: str | None
) -> None:
    """A plain PATCH is an upsert; the conditions make it an update or a create."""
    if exists:
        await org.create(name="before", accountid=GUID)
        etag = (await org.client.get(f"/accounts({GUID})")).json()["@odata.etag"]
        headers = {name: etag if value == "<etag>" else value for name, value in headers.items()}
    answer = await org.client.patch(f"/accounts({GUID})", json={"name": "after"}, headers=headers)
    assert answer.status_code == status, answer.text
    if code is not None:
        assert code_of(answer) == code
        assert [row["name"] for row in org.sandbox.rows("account").values()] == (["before"] if exists else [])
    else:
        assert org.sandbox.rows("account")[GUID]["name"] == "after"


@pytest.mark.parametrize(
    ("headers", "exists", "status", "code"), [row for row in CONDITIONS if "<etag>" not in row[0].values()]
)
async def test_patch_by_key_follows_the_same_table(
    org: Organisation, headers: dict[str, str], exists: bool, status: int, code: str | None
) -> None:
    """By an alternate key a missing row is created with the key's value, and 404 has its own code."""
    org.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    if exists:
        await org.create(name="before", accountnumber="A1")
    answer = await org.client.patch("/accounts(accountnumber='A1')", json={"name": "after"}, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 404:
        assert code_of(answer) == "0x80060891"
    if status in (200, 201, 204):
        rows = list(org.sandbox.rows("account").values())
        assert [(row["name"], row["accountnumber"]) for row in rows] == [("after", "A1")]
    if status == 204:
        assert answer.headers["OData-EntityId"] == f"{ROOT}/accounts(accountnumber='A1')"


async def test_delete_follows_its_conditions(org: Organisation) -> None:
    """204 once, then 404; a wrong etag is 412."""
    await org.create(name="Rossi", accountid=GUID)
    assert (await org.client.delete(f"/accounts({GUID})", headers={"If-Match": 'W/"1"'})).status_code == 412
    assert (await org.client.delete(f"/accounts({GUID})", headers={"If-Match": "*"})).status_code == 204
    answer = await org.client.delete(f"/accounts({GUID})")
    assert (answer.status_code, code_of(answer)) == (404, "0x80040217")


async def test_every_write_gives_a_new_version(org: Organisation) -> None:
    """Even a write that changes nothing; versions only grow."""
    await org.create(name="Rossi", accountid=GUID)
    before = org.sandbox.rows("account")[GUID]
    await org.clock.advance(10)
    await org.client.patch(f"/accounts({GUID})", json={"name": "Rossi"}, headers={"If-Match": "*"})
    after = org.sandbox.rows("account")[GUID]
    assert after["versionnumber"] > before["versionnumber"]
    assert after["modifiedon"] > before["modifiedon"]
    assert after["createdon"] == before["createdon"]


async def test_alternate_keys_are_unique_without_regard_to_case(org: Organisation) -> None:
    """A second row with the same value is refused at create and at update; empty values are free."""
    org.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    await org.create(name="one", accountnumber="a1")
    answer = await org.client.post("/accounts", json={"name": "two", "accountnumber": "A1"})
    assert (answer.status_code, code_of(answer)) == (412, "0x80060892")
    other = await org.create(name="two")
    await org.create(name="three")
    answer = await org.client.patch(f"/accounts({other})", json={"accountnumber": "A1"})
    assert (answer.status_code, code_of(answer)) == (412, "0x80060892")
    found = await org.client.get("/accounts(accountnumber='A1')?$select=name")
    assert found.json()["name"] == "one"


@pytest.mark.parametrize("value", ["A/1", "A&1", "A+1", "A?1", "A%1", "A:1", "A*1", "A<1", "A>1", "A\\1"])
async def test_some_characters_never_get_through_in_a_key(org: Organisation, value: str) -> None:
    """Encoding them does not help."""
    org.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    await org.create(name="one", accountnumber=value)
    encoded = "".join(f"%{byte:02X}" for byte in value.encode())
    answer = await org.client.get(f"/accounts(accountnumber='{encoded}')")
    assert answer.status_code == 400


async def test_a_quote_in_a_key_is_doubled(org: Organisation) -> None:
    """Blanks and quotes do work."""
    org.sandbox.add_alternate_key("account", "cdock_Number", ["accountnumber"])
    await org.create(name="one", accountnumber="O'N 1")
    answer = await org.client.get("/accounts(accountnumber='O%27%27N%201')?$select=name")
    assert answer.json()["name"] == "one"


async def test_a_key_nobody_defined_is_refused(org: Organisation) -> None:
    """Neither unknown columns nor known columns without a key."""
    for key in ("accountnumber='A1'", "nix='A1'"):
        answer = await org.client.get(f"/accounts({key})")
        assert (answer.status_code, code_of(answer)) == (400, "0x80060890")


# Lookups


async def test_lookups_are_bound_cleared_and_checked(org: Organisation) -> None:
    """By id, by alternate key, by null; a missing target is 404."""
    org.sandbox.add_alternate_key("contact", "cdock_Mail", ["emailaddress1"])
    contact = await org.create("contacts", lastname="Example", emailaddress1="a@example.org")
    row_id = await org.create(name="Rossi")

    async def bind(value: Any) -> Any:
        return await org.client.patch(f"/accounts({row_id})", json={"primarycontactid@odata.bind": value})

    for value, expected in [
        (f"/contacts({contact})", contact),
        (None, None),
        (f"contacts({contact})", contact),
        (None, None),
        ("/contacts(emailaddress1='a@example.org')", contact),
        (f"{ROOT}/contacts({contact})", contact),
    ]:
        assert (await bind(value)).status_code == 204
        assert org.sandbox.rows("account")[row_id]["primarycontactid"] == expected
    missing = await bind(f"/contacts({GUID})")
    assert (missing.status_code, code_of(missing)) == (404, "0x80040217")
    by_key = await bind("/contacts(emailaddress1='b@example.org')")
    assert (by_key.status_code, code_of(by_key)) == (404, "0x80060891")
    assert (await bind(f"/accounts({row_id})")).status_code == 400


@pytest.mark.parametrize(
    "name", ["PrimaryContactId", "cdock_accountmanager", "parentcustomerid", "_primarycontactid_value", "nix"]
)
async def test_a_wrong_navigation_name_is_undeclared(org: Organisation, name: str) -> None:
    """System lookups are lower case, custom ones have their schema name, polymorphic ones name the target."""
    contact = await org.create("contacts", lastname="Example")
    answer = await org.client.post("/accounts", json={"name": "a", f"{name}@odata.bind": f"/contacts({contact})"})
    assert (answer.status_code, code_of(answer)) == (400, "0x80048d19")
    assert f"An undeclared property '{name}'" in answer.json()["error"]["message"]


async def test_custom_and_polymorphic_lookups_take_their_names(org: Organisation) -> None:
    """`cdock_AccountManager`, `parentcustomerid_account`, `ownerid`."""
    manager = org.sandbox.person_id
    row_id = await org.create(
        name="Rossi",
        **{
            "cdock_AccountManager@odata.bind": f"/systemusers({manager})",
            "ownerid@odata.bind": f"/systemusers({manager})",
        },
    )
    row = org.sandbox.rows("account")[row_id]
    assert (row["cdock_accountmanager"], row["ownerid"], row["owninguser"]) == (manager, manager, manager)
    contact = await org.create("contacts", **{"parentcustomerid_account@odata.bind": f"/accounts({row_id})"})
    assert org.sandbox.rows("contact")[contact]["parentcustomerid@table"] == "account"
    answer = await org.client.patch(f"/contacts({contact})", json={"_parentcustomerid_value": row_id})
    assert (answer.status_code, code_of(answer)) == (400, "0x80048d19")


# Validation

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"name": "x" * 161}, "0x80044331"),
    ({"accountnumber": "x" * 21}, "0x80044331"),
    ({"cdock_vatnumber": "x" * 21}, "0x80044331"),
    ({"telephone1": "1" * 51}, "0x80044331"),
    ({"name": "𝕏" * 81}, "0x80044331"),
    ({"customertypecode": 99}, "0x8004431a"),
    ({"numberofemployees": -1}, "0x8004432f"),
    ({"revenue": 1e12}, "0x80044330"),
    ({"cdock_discountpercent": 100.5}, "0x80044330"),
    ({"statecode": 0, "statuscode": 2}, "0x80048408"),
    ({"Name": "wrong case"}, "0x80048d19"),
    ({"nix": 1}, "0x80048d19"),
    ({"ownerid": GUID}, "0x80048d19"),
    ({"name": 5}, "0x80048d19"),
    ({"numberofemployees": "5"}, "0x80048d19"),
    ({"numberofemployees": 1.5}, "0x80048d19"),
    ({"creditonhold": 1}, "0x80048d19"),
    ({"customertypecode": "3"}, "0x80048d19"),
    ({"cdock_customersince": "2024-02-30"}, "0x80048d19"),
    ({"createdon": "2024-01-01T00:00:00Z"}, "0x80040203"),
    ({"versionnumber": 1}, "0x80040203"),
    ({"revenue_base": 1}, "0x80040203"),
]


@pytest.mark.parametrize(("values", "code"), REFUSED)
async def test_what_does_not_fit_is_refused_and_changes_nothing(
    org: Organisation, values: dict[str, Any], code: str
) -> None:
    """Lengths count UTF-16 units; types are not converted; read-only columns cannot be written."""
    await org.create(name="Rossi", accountid=GUID)
    before = org.sandbox.rows("account")[GUID]
    answer = await org.client.patch(f"/accounts({GUID})", json=values)
    assert (answer.status_code, code_of(answer)) == (400, code), answer.text
    assert org.sandbox.rows("account")[GUID] == before


async def test_a_body_must_be_a_json_object(org: Organisation) -> None:
    """Broken JSON, lists and other media types are refused."""
    headers = {"Content-Type": "application/json"}
    assert (await org.client.post("/accounts", content=b"{", headers=headers)).status_code == 400
    assert (await org.client.post("/accounts", json=[])).status_code == 400
    assert (
        await org.client.post("/accounts", content=b"{}", headers={"Content-Type": "text/plain"})
    ).status_code == 415
    assert (await org.client.put(f"/accounts({GUID})", json={})).status_code == 405


async def test_null_clears_and_absent_leaves_alone(org: Organisation) -> None:
    """An empty text is stored as null."""
    row_id = await org.create(name="Rossi", telephone1="1", fax="2", websiteurl="3", revenue=5)
    await org.client.patch(f"/accounts({row_id})", json={"telephone1": None, "fax": "", "revenue": None})
    row = org.sandbox.rows("account")[row_id]
    assert (row["telephone1"], row["fax"], row["websiteurl"]) == (None, None, "3")
    assert (row["revenue"], row["revenue_base"]) == (None, None)


async def test_amounts_are_rounded_and_follow_the_currency(org: Organisation) -> None:
    """The base amount is the amount divided by the exchange rate."""
    values = {"currencyname": "Dollar", "isocurrencycode": "USD", "currencysymbol": "$", "exchangerate": 1.25}
    currency = await org.create("transactioncurrencies", **values)
    bind = {"transactioncurrencyid@odata.bind": f"/transactioncurrencies({currency})"}
    row_id = await org.create(name="Rossi", revenue=10.006, **bind)
    row = org.sandbox.rows("account")[row_id]
    assert (str(row["revenue"]), str(row["revenue_base"]), str(row["exchangerate"])) == (
        "10.01",
        "8.01",
        "1.2500000000",
    )


async def test_a_state_brings_its_first_status(org: Organisation) -> None:
    """statecode alone is enough; a status of another state is not."""
    row_id = await org.create(name="Rossi")
    await org.client.patch(f"/accounts({row_id})", json={"statecode": 1})
    row = org.sandbox.rows("account")[row_id]
    assert (row["statecode"], row["statuscode"]) == (1, 2)


async def test_the_full_name_is_computed(org: Organisation) -> None:
    """It follows first and last name and cannot be written."""
    row_id = await org.create("contacts", firstname="Example", lastname="One")
    await org.client.patch(f"/contacts({row_id})", json={"lastname": "Two"})
    assert org.sandbox.rows("contact")[row_id]["fullname"] == "Example Two"
    assert (await org.client.patch(f"/contacts({row_id})", json={"fullname": "x"})).status_code == 400


async def test_a_delete_takes_along_what_hangs_on_it(org: Organisation) -> None:
    """Contacts and notes go with their account; a mere reference is emptied."""
    account = await org.create(name="Rossi")
    contact = await org.create("contacts", **{"parentcustomerid_account@odata.bind": f"/accounts({account})"})
    note = {"subject": "n", "objectid_account@odata.bind": f"/accounts({account})"}
    await org.create("annotations", **note)
    child = await org.create(name="child", **{"parentaccountid@odata.bind": f"/accounts({account})"})
    await org.client.delete(f"/accounts({account})")
    assert contact not in org.sandbox.rows("contact")
    assert org.sandbox.rows("annotation") == {}
    assert org.sandbox.rows("account")[child]["parentaccountid"] is None


async def test_a_write_whose_answer_cannot_be_given_does_nothing(org: Organisation) -> None:
    """The address is checked before anything happens."""
    answer = await org.client.post("/accounts?$select=nix", json={"name": "a"}, headers=REPRESENTATION)
    assert (answer.status_code, code_of(answer)) == (400, "0x80060888")
    expanded = await org.client.post("/accounts?$expand=primarycontactid", json={"name": "a"})
    assert (expanded.status_code, org.sandbox.rows("account")) == (501, {})


async def test_people_edit_through_the_same_pipeline(org: Organisation) -> None:
    """The doors for tests validate like the Web API and sign with the person's name."""
    row_id = await org.sandbox.create("account", {"name": "Rossi", "cdock_accountmanager": org.sandbox.person_id})
    await org.sandbox.edit("account", row_id, {"telephone1": "1", "cdock_accountmanager": None})
    row = org.sandbox.rows("account")[row_id]
    assert (row["telephone1"], row["modifiedby"]) == ("1", org.sandbox.person_id)
    with pytest.raises(DataverseError) as caught:
        await org.sandbox.edit("account", row_id, {"telephone1": "1" * 51})
    assert caught.value.code == "0x80044331"
    await org.sandbox.delete("account", row_id)
    assert org.sandbox.rows("account") == {}
