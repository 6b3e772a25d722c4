"""People: their own tokens, applications that act in their names, and rows that not everybody may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.contract.dataverse_sandbox.conftest import BASE_URL, CLIENT_ID, Organisation, code_of

ANNA = "11111111-aaaa-4aaa-8aaa-111111111111"
BERT = "22222222-bbbb-4bbb-8bbb-222222222222"
SECRET_HEADER = ("x-key", "hush")
HOOK = "https://receiver.example/hook"


@dataclass
class People:
    """Two people with their users and clients."""

    org: Organisation
    anna_id: str
    bert_id: str
    anna: httpx.AsyncClient
    bert: httpx.AsyncClient


@pytest.fixture
def people(org: Organisation) -> People:
    """Anna may do everything, Bert reads, writes and deletes his own opportunities only."""
    anna_id, bert_id = org.sandbox.add_user("Anna Rossi", ANNA), org.sandbox.add_user("Bert Meier", BERT)
    for action in ("Read", "Write", "Delete"):
        org.sandbox.user_may(bert_id, "opportunity", action, "Basic")
    anna, bert = (
        org.new_client(org.issuer.issue_user(who, BASE_URL, CLIENT_ID, version="1.0")) for who in (ANNA, BERT)
    )
    return People(org, anna_id, bert_id, anna, bert)


def in_the_name_of(object_id: str) -> dict[str, str]:
    """The header by which an application acts as somebody."""
    return {"CallerObjectId": object_id}


async def opportunity(client: httpx.AsyncClient, name: str = "Mill") -> str:
    """Create an opportunity and return its address."""
    answer = await client.post("/opportunities", json={"name": name})
    assert answer.status_code == 204, answer.text
    return answer.headers["OData-EntityId"].rsplit("/", 1)[1]


async def written(people: People, address: str) -> dict[str, Any]:
    """Who wrote a row, as the application sees it."""
    columns = "_createdby_value,_modifiedby_value,_createdonbehalfby_value,_modifiedonbehalfby_value,_ownerid_value"
    row: dict[str, Any] = (await people.org.client.get(f"/{address}?$select={columns}")).json()
    return row


# Their own tokens


async def test_a_persons_token_acts_as_that_person(people: People) -> None:
    """Whatever application asked for it: owner, creator and modifier are the person, nobody acts on behalf."""
    assert (await people.anna.get("/WhoAmI")).json()["UserId"] == people.anna_id
    row = await written(people, await opportunity(people.anna))
    assert {row["_createdby_value"], row["_modifiedby_value"], row["_ownerid_value"]} == {people.anna_id}
    assert row["_createdonbehalfby_value"] is row["_modifiedonbehalfby_value"] is None


async def test_a_person_without_a_user_is_no_member(people: People) -> None:
    """Even with a token from an application that has a user here."""
    stranger = people.org.new_client(people.org.issuer.issue_user("33" * 16, BASE_URL, CLIENT_ID))
    answer = await stranger.get("/WhoAmI")
    assert (answer.status_code, code_of(answer)) == (403, "0x80072560")


async def test_a_webhook_names_the_person(people: People) -> None:
    """As initiating user and as user, with the directory's id."""
    await people.org.sandbox.register_webhook("opportunity", ["Create"], HOOK, header=SECRET_HEADER)
    await opportunity(people.anna)
    await people.org.sandbox.flush()
    (body,) = people.org.receiver.bodies
    assert body["InitiatingUserId"] == body["UserId"] == people.anna_id
    assert body["InitiatingUserAzureActiveDirectoryObjectId"] == ANNA


# Rows that not everybody may see


async def test_a_row_of_somebody_else_is_refused(people: People) -> None:
    """Reading, writing and deleting: 403 with the vendor's code, whatever the etag says."""
    address = await opportunity(people.anna)
    for answer in (
        await people.bert.get(f"/{address}"),
        await people.bert.patch(f"/{address}", json={"closeprobability": 10}),
        await people.bert.patch(f"/{address}", json={"closeprobability": 10}, headers={"If-Match": 'W/"1"'}),
        await people.bert.delete(f"/{address}"),
    ):
        assert (answer.status_code, code_of(answer)) == (403, "0x80048306")
    refusal = (await people.bert.get(f"/{address}")).json()["error"]["message"]
    assert f"Principal with id {people.bert_id} does not have ReadAccess right(s)" in refusal


async def test_own_rows_are_open(people: People) -> None:
    """From the creation on, and after a row was given to somebody."""
    own = await opportunity(people.bert)
    assert (await people.bert.patch(f"/{own}", json={"closeprobability": 10})).status_code == 204
    theirs = await opportunity(people.anna)
    given = {"ownerid@odata.bind": f"/systemusers({people.bert_id})"}
    assert (await people.anna.patch(f"/{theirs}", json=given)).status_code == 204
    assert (await people.bert.get(f"/{theirs}?$select=name")).json()["name"] == "Mill"
    assert (await people.bert.delete(f"/{own}")).status_code == 204


async def test_lists_and_counts_leave_out_what_a_user_may_not_see(people: People) -> None:
    """Without a word."""
    await opportunity(people.anna, "Hers")
    await opportunity(people.bert, "His")
    shown = (await people.bert.get("/opportunities?$select=name&$count=true")).json()
    assert ([row["name"] for row in shown["value"]], shown["@odata.count"]) == (["His"], 1)
    assert (await people.bert.get("/opportunities/$count")).text == "1"
    assert (await people.bert.get("/opportunities?$filter=name eq 'Hers'")).json()["value"] == []
    assert (await people.anna.get("/opportunities/$count")).text == "2"


async def test_following_changes_needs_the_whole_table(people: People) -> None:
    """Own rows are not enough."""
    answer = await people.bert.get("/opportunities?$select=name", headers={"Prefer": "odata.track-changes"})
    assert (answer.status_code, code_of(answer)) == (403, "0x80040220")


async def test_a_privilege_taken_from_a_person_is_missed_by_that_person_only(people: People) -> None:
    """Reading and writing differ."""
    address = await opportunity(people.bert)
    people.org.sandbox.user_may(people.bert_id, "opportunity", "Write")
    answer = await people.bert.patch(f"/{address}", json={"closeprobability": 10})
    assert (answer.status_code, code_of(answer)) == (403, "0x80040220")
    assert "prvWriteOpportunity" in answer.json()["error"]["message"]
    assert (await people.bert.get(f"/{address}")).status_code == 200
    assert (await people.anna.patch(f"/{address}", json={"closeprobability": 10})).status_code == 204


async def test_a_bulk_message_with_a_row_of_somebody_else_writes_nothing(people: People) -> None:
    """All or nothing, here too."""
    addresses = [await opportunity(people.bert), await opportunity(people.anna)]
    targets = [
        {
            "@odata.type": "Microsoft.Dynamics.CRM.opportunity",
            "opportunityid": address.split("(")[1].rstrip(")"),
            "name": "Changed",
        }
        for address in addresses
    ]
    answer = await people.bert.post("/opportunities/Microsoft.Dynamics.CRM.UpdateMultiple", json={"Targets": targets})
    assert (answer.status_code, code_of(answer)) == (403, "0x80048306")
    assert {row["name"] for row in people.org.sandbox.rows("opportunity").values()} == {"Mill"}


# In somebody's name


async def test_an_application_acts_as_a_person_whom_it_names(people: People) -> None:
    """The person created and owns the row; that the application did it stands in the columns made for it."""
    people.org.sandbox.allow_acting_for_others(CLIENT_ID)
    application = (await people.org.client.get("/WhoAmI")).json()["UserId"]
    as_anna = await people.org.client.get("/WhoAmI", headers=in_the_name_of(ANNA))
    assert as_anna.json()["UserId"] == people.anna_id
    made = await people.org.client.post("/opportunities", json={"name": "Mill"}, headers=in_the_name_of(ANNA.upper()))
    row = await written(people, made.headers["OData-EntityId"].rsplit("/", 1)[1])
    assert {row["_createdby_value"], row["_modifiedby_value"], row["_ownerid_value"]} == {people.anna_id}
    assert {row["_createdonbehalfby_value"], row["_modifiedonbehalfby_value"]} == {application}


async def test_a_later_write_of_the_person_empties_the_column(people: People) -> None:
    """It tells of the last write only."""
    people.org.sandbox.allow_acting_for_others(CLIENT_ID)
    address = await opportunity(people.anna)
    change = {"closeprobability": 40}
    await people.org.client.patch(f"/{address}", json=change, headers=in_the_name_of(ANNA))
    assert (await written(people, address))["_modifiedonbehalfby_value"] is not None
    await people.anna.patch(f"/{address}", json=change)
    assert (await written(people, address))["_modifiedonbehalfby_value"] is None


async def test_acting_for_others_is_a_privilege_of_its_own(people: People) -> None:
    """Without it the request is refused, not carried out as the application; it is told among the privileges."""
    answer = await people.org.client.get("/opportunities", headers=in_the_name_of(ANNA))
    assert (answer.status_code, code_of(answer)) == (403, "0x8004a110")
    people.org.sandbox.allow_acting_for_others(CLIENT_ID)
    user = (await people.org.client.get("/WhoAmI")).json()["UserId"]
    told = (await people.org.client.get(f"/systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges")).json()
    names = {privilege["PrivilegeName"] for privilege in told["RolePrivileges"]}
    assert "prvActOnBehalfOfAnotherUser" in names


async def test_somebody_unknown_cannot_be_acted_for(people: People) -> None:
    """Nor does the request go on as the application."""
    people.org.sandbox.allow_acting_for_others(CLIENT_ID)
    answer = await people.org.client.get("/opportunities", headers=in_the_name_of("33" * 16))
    assert (answer.status_code, code_of(answer)) == (403, "0x80072560")


async def test_naming_oneself_is_no_acting(people: People) -> None:
    """It needs no privilege and leaves no trace."""
    made = await people.anna.post("/opportunities", json={"name": "Mill"}, headers=in_the_name_of(ANNA))
    row = await written(people, made.headers["OData-EntityId"].rsplit("/", 1)[1])
    assert (row["_createdby_value"], row["_createdonbehalfby_value"]) == (people.anna_id, None)


async def test_both_need_the_right(people: People) -> None:
    """The application sees no more than the person, and gains nothing by the person."""
    people.org.sandbox.allow_acting_for_others(CLIENT_ID)
    address = await opportunity(people.anna)
    as_bert = await people.org.client.get(f"/{address}", headers=in_the_name_of(BERT))
    assert (as_bert.status_code, code_of(as_bert)) == (403, "0x80048306")
    people.org.sandbox.limit_privilege(CLIENT_ID, "opportunity", "Write")
    answer = await people.org.client.patch(f"/{address}", json={"name": "Other"}, headers=in_the_name_of(ANNA))
    assert (answer.status_code, code_of(answer)) == (403, "0x80040220")
    assert people.anna_id in answer.json()["error"]["message"]


async def test_a_secured_column_is_closed_unless_both_may_use_it(people: People) -> None:
    """It stays empty for a person without the profile."""
    people.org.sandbox.allow_acting_for_others(CLIENT_ID)
    people.org.sandbox.secure_column(CLIENT_ID, "opportunity", "closeprobability", ("create", "read", "update"))
    address = await opportunity(people.anna)
    await people.org.client.patch(f"/{address}", json={"closeprobability": 40})
    query = f"/{address}?$select=closeprobability"
    assert (await people.org.client.get(query)).json()["closeprobability"] == 40
    assert (await people.org.client.get(query, headers=in_the_name_of(ANNA))).json()["closeprobability"] is None
    refused = await people.org.client.patch(f"/{address}", json={"closeprobability": 50}, headers=in_the_name_of(ANNA))
    assert (refused.status_code, code_of(refused)) == (403, "0x8004f507")


async def test_a_webhook_names_the_person_whom_the_application_acted_for(people: People) -> None:
    """Who looks at the initiating user cannot tell the write from the person's own."""
    people.org.sandbox.allow_acting_for_others(CLIENT_ID)
    address = await opportunity(people.anna)
    await people.org.sandbox.register_webhook("opportunity", ["Update"], HOOK, header=SECRET_HEADER)
    change = {"closeprobability": 40}
    await people.org.client.patch(f"/{address}?tag=x", json=change, headers=in_the_name_of(ANNA))
    await people.org.sandbox.flush()
    (body,) = people.org.receiver.bodies
    assert (body["InitiatingUserId"], body["UserId"]) == (people.anna_id, people.anna_id)
    target = {one["key"]: one["value"] for one in body["InputParameters"][0]["value"]["Attributes"]}
    assert target["modifiedonbehalfby"]["Id"] != people.anna_id


# Closed opportunities


async def test_an_opportunity_is_not_closed_by_an_update(people: People) -> None:
    """The real system wants the action of its own; opening it again is an update."""
    address = await opportunity(people.anna)
    key = address.split("(")[1].rstrip(")")
    for state, name in ((1, "won"), (2, "lost")):
        answer = await people.anna.patch(f"/{address}", json={"statecode": state})
        assert (answer.status_code, code_of(answer)) == (400, "0x80100005")
        assert f"use the {name} message instead" in answer.json()["error"]["message"]
    await people.org.sandbox.close_opportunity(key, won=True, user=people.anna_id)
    row = people.org.sandbox.rows("opportunity")[key]
    assert (row["statecode"], row["statuscode"], row["actualclosedate"].isoformat()) == (1, 3, "2026-03-02")
    assert (await people.anna.patch(f"/{address}", json={"statecode": 0})).status_code == 204
    await people.org.sandbox.close_opportunity(key, won=False)
    assert people.org.sandbox.rows("opportunity")[key]["statecode"] == 2


async def test_closing_is_announced_as_an_update_of_the_state(people: People) -> None:
    """A step that watches the state hears of it."""
    address = await opportunity(people.anna)
    await people.org.sandbox.register_webhook(
        "opportunity", ["Update"], HOOK, header=SECRET_HEADER, filtering_attributes=["statecode"]
    )
    await people.org.sandbox.close_opportunity(address.split("(")[1].rstrip(")"), won=False, user=people.anna_id)
    await people.org.sandbox.flush()
    (body,) = people.org.receiver.bodies
    target = {one["key"]: one["value"] for one in body["InputParameters"][0]["value"]["Attributes"]}
    assert (target["statecode"]["Value"], target["statuscode"]["Value"]) == (2, 5)
    assert body["InitiatingUserId"] == people.anna_id
