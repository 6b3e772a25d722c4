"""What only the Azure store must show: which requests it sends, and what each bad answer becomes.

Azurite forgives requests that real storage answers by reading the whole table, and never cuts a page short, is never
busy and loses no answer. So the requests are recorded, and the answers come from a small server or a transport here.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables import EdmType, EntityProperty
from azure.data.tables.aio import TableServiceClient

from shared.stores.azure_rows import AzureRows
from shared.stores.rows import (
    Delete,
    Insert,
    Operation,
    Replace,
    RowChanged,
    RowExists,
    RowInvalid,
    RowStoreRefused,
    RowStoreUnavailable,
    Upsert,
)
from tests.contract.stores.conftest import TABLES, fresh_prefix

ETAG = "W/\"datetime'2026-03-01T00%3A00%3A00.0000000Z'\""

OPERATIONS: dict[str, Callable[[AzureRows], Awaitable[object]]] = {
    "get": lambda rows: rows.get("links", "p|1", "k|1"),
    "insert": lambda rows: rows.insert("links", "p|1", "k|1", {"n": 1}),
    "replace": lambda rows: rows.replace("links", "p|1", "k|1", {"n": 1}, ETAG),
    "upsert": lambda rows: rows.upsert("links", "p|1", "k|1", {"n": 1}),
    "delete": lambda rows: rows.delete("links", "p|1", "k|1"),
    "delete by condition": lambda rows: rows.delete("links", "p|1", "k|1", ETAG),
    "list": lambda rows: rows.list("links", "p|1"),
    "list with prefix": lambda rows: rows.list("links", "p|1", key_prefix="k|"),
    "list after": lambda rows: rows.list("links", "p|1", key_prefix="k|", after="k|1", limit=7),
    "transact": lambda rows: rows.transact(
        "links", "p|1", [Insert("k|1", {}), Replace("k|2", {}, ETAG), Upsert("k|3", {}), Delete("k|4")]
    ),
}


# --- requests -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """One request, or one part of a transaction, as it left."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def addresses_one_row(self) -> bool:
        if self.method == "POST":
            return self.body.get("PartitionKey") == "p|1" and self.body.get("RowKey", "").startswith("k|")
        return bool(re.search(r"/\w+links\(PartitionKey='p\|1',RowKey='k\|\d'\)$", self.path))


class RecordingTransport(AioHttpTransport):  # type: ignore[misc]  # the package exports it without its type
    """Sends to Azurite and keeps what was sent; can lose answers, or spoil them, after the request was executed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self.lose = 0
        self.spoil = 0

    async def send(self, request: Any, **options: Any) -> Any:
        self.sent += _taken_apart(request.method, request.url, request.content)
        response = await super().send(request, **options)
        if self.lose:
            self.lose -= 1
            raise ServiceResponseError("the connection broke")
        if self.spoil:
            self.spoil -= 1
            response.status_code = 503
        return response


def _taken_apart(method: str, url: str, content: Any) -> list[Sent]:
    parts = urlsplit(url)
    if not parts.path.endswith("/$batch"):
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return [Sent(method, unquote(parts.path), query, json.loads(content) if content else {})]
    inner = re.findall(
        r"(POST|PUT|PATCH|DELETE|GET|MERGE) (http\S+) HTTP/1.1\r\n(.*?)\r\n--changeset", _text(content), re.S
    )
    sent: list[Sent] = []
    for inner_method, inner_url, rest in inner:
        sent += _taken_apart(inner_method, inner_url, rest.partition("\r\n\r\n")[2].strip())
    return sent


def _text(content: Any) -> str:
    return content.decode("utf-8") if isinstance(content, bytes) else str(content)


@pytest.fixture
async def recorded(azurite: str) -> AsyncIterator[tuple[AzureRows, RecordingTransport]]:
    transport = RecordingTransport()
    rows = AzureRows.from_connection_string(
        azurite, TABLES, prefix=fresh_prefix(), transport=transport, retry_backoff_factor=0
    )
    await rows.prepare()
    transport.sent.clear()
    yield rows, transport
    await rows.aclose()


@pytest.mark.parametrize("name", [name for name in OPERATIONS if not name.startswith("list")])
async def test_every_point_operation_addresses_partition_and_row(
    recorded: tuple[AzureRows, RecordingTransport], name: str
) -> None:
    """One request, or one per operation of a transaction, and none that real storage would answer by a scan."""
    rows, transport = recorded
    try:
        await OPERATIONS[name](rows)
    except RowChanged:
        assert "replace" in name or name == "transact"
    assert len(transport.sent) == (4 if name == "transact" else 1)
    assert [sent for sent in transport.sent if not sent.addresses_one_row] == []


@pytest.mark.parametrize(
    ("name", "filter_sent"),
    [
        ("list", "PartitionKey eq 'p|1'"),
        ("list with prefix", "PartitionKey eq 'p|1' and RowKey ge 'k|' and RowKey lt 'k}'"),
        ("list after", "PartitionKey eq 'p|1' and RowKey gt 'k|1' and RowKey lt 'k}'"),
    ],
)
async def test_every_list_stays_in_one_partition(
    recorded: tuple[AzureRows, RecordingTransport], name: str, filter_sent: str
) -> None:
    """A filter names the partition and at most a range of row keys, never a property; it asks for one page."""
    rows, transport = recorded
    await OPERATIONS[name](rows)
    (sent,) = transport.sent
    assert (sent.method, sent.query["$filter"]) == ("GET", filter_sent)
    assert sent.query["$top"] == ("7" if name == "list after" else "1000")


async def test_neither_keys_nor_addresses_are_logged(azurite: str, caplog: pytest.LogCaptureFixture) -> None:
    """The address of a row holds its keys, and the package logs addresses unless it is stopped."""
    caplog.set_level(logging.DEBUG)
    rows = AzureRows.from_connection_string(azurite, TABLES, prefix=fresh_prefix())
    await rows.prepare()
    await rows.insert("links", "nordwind-partition", "nordwind-key", {"v": "nordwind-value"})
    await rows.get("links", "nordwind-partition", "nordwind-key")
    with pytest.raises(RowExists) as raised:
        await rows.insert("links", "nordwind-partition", "nordwind-key", {})
    await rows.aclose()
    assert "nordwind" not in caplog.text
    assert "nordwind" not in str(raised.value)


# --- lost answers ---------------------------------------------------------------------------------


async def test_an_insert_whose_answer_was_lost_is_unknown_and_met_by_its_repetition(
    recorded: tuple[AzureRows, RecordingTransport],
) -> None:
    """The package does not repeat it; whoever does meets the own row and must compare."""
    rows, transport = recorded
    transport.lose = 1
    with pytest.raises(RowStoreUnavailable):
        await rows.insert("links", "p", "k", {"attempt": "mine"})
    assert len(transport.sent) == 1
    with pytest.raises(RowExists):
        await rows.insert("links", "p", "k", {"attempt": "mine"})
    row = await rows.get("links", "p", "k")
    assert row is not None
    assert row.properties == {"attempt": "mine"}


async def test_an_insert_answered_with_a_server_error_meets_itself(
    recorded: tuple[AzureRows, RecordingTransport],
) -> None:
    """The package repeats it unseen: `RowExists` although the row is the caller's own."""
    rows, transport = recorded
    transport.spoil = 1
    with pytest.raises(RowExists):
        await rows.insert("links", "p", "k", {"attempt": "mine"})
    assert len(transport.sent) == 2


async def test_a_replace_whose_answer_was_lost_meets_itself(recorded: tuple[AzureRows, RecordingTransport]) -> None:
    """The package repeats it unseen: `RowChanged` although the row holds the caller's own properties."""
    rows, transport = recorded
    etag = await rows.insert("links", "p", "k", {"n": 1})
    transport.lose = 1
    with pytest.raises(RowChanged):
        await rows.replace("links", "p", "k", {"n": 2}, etag)
    row = await rows.get("links", "p", "k")
    assert row is not None
    assert row.properties == {"n": 2}


async def test_an_upsert_or_delete_whose_answer_was_lost_comes_right_by_itself(
    recorded: tuple[AzureRows, RecordingTransport],
) -> None:
    """An upsert ends the same; a delete finds nothing any more and says so."""
    rows, transport = recorded
    transport.lose = 1
    await rows.upsert("links", "p", "k", {"n": 1})
    transport.lose = 1
    assert await rows.delete("links", "p", "k") is False
    assert await rows.get("links", "p", "k") is None


async def test_a_transaction_whose_answer_was_lost_is_unknown(recorded: tuple[AzureRows, RecordingTransport]) -> None:
    """Everything or nothing was done; here everything, so repeating it meets its own first insert."""
    rows, transport = recorded
    transport.lose = 1
    operations: list[Operation] = [Upsert("a", {}), Insert("b", {})]
    with pytest.raises(RowStoreUnavailable):
        await rows.transact("links", "p", operations)
    with pytest.raises(RowExists) as raised:
        await rows.transact("links", "p", operations)
    assert raised.value.index == 1


# --- answers --------------------------------------------------------------------------------------


@asynccontextmanager
async def storage_that(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[AzureRows]:
    """A store whose storage account is the handler."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app) as server:
        rows = AzureRows.from_connection_string(
            f"DefaultEndpointsProtocol=http;AccountName=test;AccountKey=a2V5;TableEndpoint={server.make_url('/test')};",
            TABLES,
            retry_backoff_factor=0,
        )
        yield rows
        await rows.aclose()


def refusal(status: int, code: str) -> web.Response:
    error = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": "0:Said by the service."}}}
    return web.json_response(error, status=status)


@pytest.mark.parametrize("name", [*OPERATIONS, "prepare"])
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (500, "InternalError", RowStoreUnavailable),
        (503, "ServerBusy", RowStoreUnavailable),
        (429, "TooManyRequests", RowStoreUnavailable),
        (504, "", RowStoreUnavailable),
        (409, "TableBeingDeleted", RowStoreUnavailable),
        (400, "InvalidInput", RowStoreRefused),
        (401, "InvalidAuthenticationInfo", RowStoreRefused),
        (403, "AuthenticationFailed", RowStoreRefused),
        (403, "AuthorizationPermissionMismatch", RowStoreRefused),
        (403, "", RowStoreRefused),
        (404, "TableNotFound", RowStoreRefused),
        (404, "", RowStoreRefused),
        (404, "Unheard", RowStoreRefused),
        (413, "RequestBodyTooLarge", RowStoreRefused),
    ],
)
async def test_a_bad_answer_is_temporary_or_final_and_never_an_empty_result(
    name: str, status: int, code: str, expected: type[Exception]
) -> None:
    """Above all a missing table is no missing row: "nothing is linked yet" would create everything a second time."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return refusal(status, code) if code else web.Response(status=status, text="<html>somebody's proxy</html>")

    async with storage_that(answer) as rows:
        operation = OPERATIONS.get(name, AzureRows.prepare)
        with pytest.raises(expected) as raised:
            await operation(rows)
    assert "Said by the service" not in str(raised.value)
    assert "proxy" not in str(raised.value)


@pytest.mark.parametrize("name", ["insert", "upsert", "list", "prepare"])
async def test_a_missing_row_where_none_was_looked_for_is_refused(name: str) -> None:
    """A wrong address, perhaps: never success, never an empty list."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return refusal(404, "ResourceNotFound")

    async with storage_that(answer) as rows:
        with pytest.raises(RowStoreRefused, match="404"):
            await OPERATIONS.get(name, AzureRows.prepare)(rows)


@pytest.mark.parametrize("name", [*OPERATIONS, "prepare"])
async def test_a_store_that_is_not_there_is_unavailable(name: str) -> None:
    """No connection at all."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    rows = AzureRows.from_connection_string(
        f"DefaultEndpointsProtocol=http;AccountName=t;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:{port}/t;",
        TABLES,
        retry_backoff_factor=0,
    )
    with pytest.raises(RowStoreUnavailable):
        await OPERATIONS.get(name, AzureRows.prepare)(rows)
    await rows.aclose()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_answer_that_breaks_off_is_unavailable(name: str) -> None:
    """Half an answer is none."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"value": [')
        assert request.transport is not None
        request.transport.close()
        return response

    async with storage_that(answer) as rows:
        with pytest.raises(RowStoreUnavailable):
            await OPERATIONS[name](rows)


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
@pytest.mark.parametrize("name", list(OPERATIONS))
async def test_an_answer_that_is_something_else_is_unavailable(name: str, kind: str) -> None:
    """Such as the page of a proxy, with status 200: never a row, never an empty list."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=200, text="<html>please sign in</html>", content_type=kind)

    async with storage_that(answer) as rows:
        with pytest.raises(RowStoreUnavailable) as raised:
            await OPERATIONS[name](rows)
    assert "sign in" not in "".join(traceback.format_exception(raised.value))


async def test_pages_that_the_service_cuts_short_are_put_together() -> None:
    """Real storage may end a page at any row, even before the first, and say where to go on."""
    pages = {None: [], "k1": ["k1"], "k2": ["k2", "k3"], "k4": ["k4"]}
    following: dict[str | None, str] = {None: "k1", "k1": "k2", "k2": "k4"}

    async def answer(request: web.Request) -> web.StreamResponse:
        place = request.query.get("NextRowKey")
        assert request.query["$filter"] == "PartitionKey eq 'p'"
        rows = [{"PartitionKey": "p", "RowKey": key, "Timestamp": "2026-03-01T00:00:00Z"} for key in pages[place]]
        headers = {}
        if place in following:
            headers = {"x-ms-continuation-NextPartitionKey": "p", "x-ms-continuation-NextRowKey": following[place]}
        return web.json_response({"value": rows}, headers=headers)

    async with storage_that(answer) as rows:
        whole = await rows.list("links", "p")
        part = await rows.list("links", "p", limit=2)
    assert ([row.key for row in whole.rows], whole.next) == (["k1", "k2", "k3", "k4"], None)
    assert ([row.key for row in part.rows], part.next) == (["k1", "k2"], "k2")


# --- signing in, making, foreign rows -------------------------------------------------------------


class NoCredential:
    """An identity that cannot sign in."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise ClientAuthenticationError("AADSTS700016: no such application")

    async def close(self) -> None:
        """Nothing to close."""

    async def __aenter__(self) -> NoCredential:
        return self

    async def __aexit__(self, *arguments: object) -> None:
        """Nothing to close."""


async def test_an_identity_that_cannot_sign_in_is_refused() -> None:
    """The error says who to ask about it."""
    rows = AzureRows.from_endpoint("https://account.table.core.windows.net", NoCredential(), TABLES)
    with pytest.raises(RowStoreRefused, match="identity"):
        await rows.get("links", "p", "k")
    await rows.aclose()


def test_an_endpoint_without_encryption_is_refused() -> None:
    """An identity's token never travels in the open."""
    with pytest.raises(RowInvalid, match="https"):
        AzureRows.from_endpoint("http://account.table.core.windows.net", NoCredential(), TABLES)


@pytest.mark.parametrize("text", ["", "AccountKey=c2VjcmV0", "AccountName=a;AccountKey", "secret"])
def test_a_malformed_connection_string_is_refused_without_telling_it(text: str) -> None:
    """It holds a key."""
    with pytest.raises(RowInvalid, match="connection string") as raised:
        AzureRows.from_connection_string(text, TABLES)
    assert raised.value.__suppress_context__
    assert "c2VjcmV0" not in str(raised.value)


@pytest.mark.parametrize("prefix", ["", "1a", "with-dash", "p" * 24])
async def test_a_prefix_that_cannot_begin_a_table_name_is_refused(azurite: str, prefix: str) -> None:
    """Before anything is sent."""
    with pytest.raises(RowInvalid, match="prefix"):
        AzureRows.from_connection_string(azurite, TABLES, prefix=prefix)


async def test_two_prefixes_in_one_account_do_not_meet(azurite: str) -> None:
    """Test and production, or two companies, may share an account."""
    stores = [AzureRows.from_connection_string(azurite, TABLES, prefix=fresh_prefix()) for _ in range(2)]
    for rows in stores:
        await rows.prepare()
        await rows.insert("links", "p", "k", {})
        await rows.aclose()


async def test_rows_of_other_programs_are_read_as_far_as_their_types_go(azurite: str) -> None:
    """32-bit integers are integers; a type that we never write is refused by the property's name."""
    prefix = fresh_prefix()
    rows = AzureRows.from_connection_string(azurite, TABLES, prefix=prefix)
    await rows.prepare()
    async with TableServiceClient.from_connection_string(azurite) as service:
        client = service.get_table_client(prefix + "links")
        await client.create_entity({"PartitionKey": "p", "RowKey": "good", "n": 7})
        await client.create_entity({"PartitionKey": "p", "RowKey": "bad", "rate": EntityProperty(1.5, EdmType.DOUBLE)})
    good = await rows.get("links", "p", "good")
    assert good is not None
    assert good.properties == {"n": 7}
    with pytest.raises(RowStoreRefused, match="rate"):
        await rows.get("links", "p", "bad")
    await rows.aclose()
