"""What the connectors send, byte by byte where it matters, and what they make of answers no sandbox gives."""

from __future__ import annotations

import json

import httpx
import pytest

from shared.connectors.dataverse.client import DataverseClient
from shared.connectors.dataverse.connector import DataverseConnector
from shared.connectors.dataverse.schema import Schema
from shared.connectors.turns import InTurn
from shared.errors import BadAnswer, ConnectorError, SignInFailed, UnknownResult
from shared.strict_json import JsonObject
from shared.sync.ports import ChangePage, ColumnType
from tests.unit.connectors.fakes import ORIGIN, JumpingClock, Script, client

KEY = "11111111-2222-4333-8444-555555555555"
ROOT = f"{ORIGIN}/api/data/v9.2"
DEFINITION: JsonObject = {
    "LogicalName": "account",
    "EntitySetName": "accounts",
    "PrimaryIdAttribute": "accountid",
    "ChangeTrackingEnabled": True,
    "Attributes": [
        {"LogicalName": "accountid", "AttributeType": "Uniqueidentifier"},
        {"LogicalName": "name", "AttributeType": "String"},
        {"LogicalName": "new_partnerid", "AttributeType": "Lookup"},
    ],
    "ManyToOneRelationships": [
        {
            "ReferencingAttribute": "new_partnerid",
            "ReferencingEntityNavigationPropertyName": "new_PartnerId",
            "ReferencedEntity": "account",
        }
    ],
}
ROW: JsonObject = {"@odata.etag": 'W/"7"', "accountid": KEY, "name": "Aurora Milling"}


def answer(body: JsonObject, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


def connector(*answers: httpx.Response) -> tuple[DataverseConnector, Script]:
    """A connector whose system describes its table, then answers as told."""
    script = Script(answer(DEFINITION), answer({"value": []}), *answers)
    clock = JumpingClock()
    return DataverseConnector([client(script, clock=clock)], clock, KEY), script


async def test_a_create_is_one_conditional_request() -> None:
    """Key in the address, never over an existing record, the stored record as the answer, our tag for the notice."""
    dataverse, script = connector(answer(ROW, 201))
    values = {"name": "Aurora Milling", "new_partnerid": KEY}
    made = await dataverse.create("account", values, ["name"], key=KEY, within_seconds=30)
    await dataverse.aclose()
    sent = script.requests[-1]
    assert (sent.method, sent.url.raw_path) == (
        "PATCH",
        f"/api/data/v9.2/accounts({KEY})?$select=accountid%2Cname&tag=crossdock".encode(),
    )
    assert (sent.headers["If-None-Match"], sent.headers["Prefer"]) == ("*", "return=representation")
    assert json.loads(sent.content) == {"name": "Aurora Milling", "new_PartnerId@odata.bind": f"/accounts({KEY})"}
    assert (made.key, made.version) == (KEY, "7")


async def test_an_update_names_the_version_it_saw() -> None:
    """Without one it still insists that the record exists: a bare PATCH would create it."""
    dataverse, script = connector(answer(ROW), answer(ROW))
    await dataverse.update("account", KEY, {"name": None}, [], version="7")
    await dataverse.update("account", KEY, {"name": "x"}, [], version=None)
    await dataverse.aclose()
    assert [request.headers["If-Match"] for request in script.requests[-2:]] == ['W/"7"', "*"]
    assert json.loads(script.requests[-2].content) == {"name": None}


async def test_pages_are_followed_with_the_same_preferences() -> None:
    """The next link goes out untouched, and every page of a feed is asked for as the first."""
    link = f"{ROOT}/accounts?$select=name&$skiptoken=%3Cc%20pagenumber=%222%22%20pagingcookie=%22%253cc%22%20/%3E"
    last = f"{ROOT}/accounts?$select=name&$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44"
    dataverse, script = connector(
        answer({"value": [ROW], "@odata.nextLink": link}), answer({"value": [], "@odata.deltaLink": last}), answer({})
    )
    pages = [page async for page in dataverse.changes("account", None, ["name"])]
    assert [page.watermark for page in pages] == [None, "919042!08/22/2017 08:10:44"]
    first, second = script.requests[-2:]
    assert str(second.url) == link
    assert first.headers["Prefer"] == second.headers["Prefer"] == "odata.track-changes,odata.maxpagesize=1000"
    with pytest.raises(BadAnswer):
        [page async for page in dataverse.changes("account", pages[-1].watermark, ["name"])]
    assert script.requests[-1].url.raw_path.endswith(b"&$deltatoken=919042%2108%2F22%2F2017%2008%3A10%3A44")
    await dataverse.aclose()


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/api/data/v9.2/accounts?$skiptoken=1",
        f"{ORIGIN}/other/accounts?$skiptoken=1",
        f"{ROOT}/../../admin",
        7,
    ],
)
async def test_a_page_cannot_lead_elsewhere(link: object) -> None:
    """The second request is never sent."""
    page = httpx.Response(200, json={"value": [ROW], "@odata.nextLink": link})
    dataverse, script = connector(page)
    with pytest.raises(BadAnswer):
        await dataverse.find("account", "name", ["x"], ["name"])
    assert script.answers == []
    await dataverse.aclose()


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"value": {}},
        {"value": [7]},
        {"value": []},
        {"value": [{**ROW, "accountid": "x"}], "@odata.deltaLink": f"{ROOT}/accounts?$deltatoken=1"},
        {"value": [{**ROW, "name": 7}], "@odata.deltaLink": f"{ROOT}/accounts?$deltatoken=1"},
        {"value": [{"@odata.context": "x/$deletedEntity"}], "@odata.deltaLink": f"{ROOT}/accounts?$deltatoken=1"},
        {"value": [], "@odata.deltaLink": f"{ROOT}/accounts"},
        {"value": [], "@odata.deltaLink": f"{ROOT}/accounts?$deltatoken=1&$deltatoken=2"},
    ],
)
async def test_a_page_of_another_shape_is_a_bad_answer(page: JsonObject) -> None:
    """A feed that ends without a watermark is not taken for finished."""
    dataverse, _ = connector(answer(page))
    with pytest.raises(BadAnswer):
        [found async for found in dataverse.changes("account", None, ["name"])]
    await dataverse.aclose()


async def test_a_column_left_out_is_not_an_empty_column() -> None:
    """A read and an answer to a write must have it; a feed may leave it out, and the record then lacks it."""
    bare: JsonObject = {"@odata.etag": 'W/"7"', "accountid": KEY}
    dataverse, script = connector(answer(bare), answer(bare))
    with pytest.raises(BadAnswer):
        await dataverse.read("account", [KEY], ["name"])
    with pytest.raises(UnknownResult):
        await dataverse.update("account", KEY, {"name": "x"}, ["name"], version=None)
    script.answers.append(answer({"value": [bare], "@odata.deltaLink": f"{ROOT}/accounts?$deltatoken=1"}))
    pages: list[ChangePage] = [page async for page in dataverse.changes("account", None, ["name"])]
    assert [record.values for record in pages[0].records] == [{}]
    await dataverse.aclose()


@pytest.mark.parametrize("body", [[], 7, "x", None])
async def test_a_write_answered_with_something_else_is_unknown(body: object) -> None:
    """It may well have been executed."""
    dataverse, _ = connector(httpx.Response(200, json=body))
    with pytest.raises(UnknownResult):
        await dataverse.update("account", KEY, {"name": "x"}, [], version=None)
    await dataverse.aclose()


async def test_a_write_answered_without_a_body_is_unknown() -> None:
    """204 means executed, but not as what: the engine looks."""
    dataverse, _ = connector(httpx.Response(204))
    with pytest.raises(UnknownResult):
        await dataverse.update("account", KEY, {"name": "x"}, [], version=None)
    await dataverse.aclose()


async def test_a_refused_sign_in_during_metadata_is_still_a_refused_sign_in() -> None:
    """Errors of requests the caller did not ask for keep their class."""
    script = Script(httpx.Response(401), httpx.Response(401))
    dataverse = DataverseConnector([client(script)], JumpingClock(), KEY)
    with pytest.raises(ConnectorError) as error:
        await dataverse.create("account", {"name": "x"}, [], key=KEY, within_seconds=5)
    assert type(error.value) is SignInFailed
    await dataverse.aclose()


async def test_of_virtual_columns_only_several_choices_are_text() -> None:
    """Files and images travel on ways of their own, labels are in no record; an answer may not say which it is."""
    exact = {"colours": "MultiSelectPicklistType", "contract": "FileType", "entityimage": "ImageType"}
    rows: list[JsonObject] = [
        {"LogicalName": name, "AttributeType": "Virtual", "AttributeTypeName": {"Value": kind}}
        for name, kind in {**exact, "statecodename": "VirtualType"}.items()
    ]
    rows.append({"LogicalName": "untold", "AttributeType": "Virtual"})
    script = Script(answer({**DEFINITION, "Attributes": [*rows]}), answer({"value": []}))
    clock = JumpingClock()
    schema = Schema(DataverseClient(InTurn([client(script, clock=clock)])), clock)
    assert {name: column.type for name, column in (await schema.table("account")).columns.items()} == {
        "colours": ColumnType.TEXT
    }
    assert "AttributeTypeName" in str(script.requests[0].url)
