"""What each bad answer of a storage account becomes: never an empty result, never another row, never a false success.

Azurite is never busy, cuts nothing short and tells no nonsense, so these accounts are invented.
"""

from __future__ import annotations

import socket
import traceback

import pytest
from aiohttp import web

from shared.stores import azure_service
from shared.stores import azure_wire as wire
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
from tests.azurite.door import error, refusal
from tests.contract.stores.azure_fakes import (
    ETAG,
    ImpatientClock,
    answering,
    batch_answer,
    entity,
    part,
    storage_that,
)
from tests.contract.stores.conftest import TABLES
from tests.contract.stores.test_azure_rows import OPERATIONS

EVERY = [*OPERATIONS, "prepare"]
REPEATABLE = {"get", "upsert", "list", "list with prefix", "list after", "prepare"}
THREE: list[Operation] = [Insert("a", {}), Replace("b", {}, ETAG), Delete("c")]


async def run(rows: AzureRows, name: str) -> object:
    return await OPERATIONS.get(name, AzureRows.prepare)(rows)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (500, "InternalError", RowStoreUnavailable),
        (500, "OperationTimedOut", RowStoreUnavailable),
        (503, "ServerBusy", RowStoreUnavailable),
        (429, "TooManyRequests", RowStoreUnavailable),
        (504, "", RowStoreUnavailable),
        (409, "TableBeingDeleted", RowStoreUnavailable),
        (302, "", RowStoreUnavailable),
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

    def response() -> web.Response:
        return refusal(status, code) if code else web.Response(status=status, text="<html>somebody's proxy</html>")

    async with storage_that(answering(response)) as rows:
        with pytest.raises(expected) as raised:
            await run(rows, name)
    assert "Said by the service" not in str(raised.value)
    assert "proxy" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "status", "code", "expected"),
    [
        ("insert", 409, "EntityAlreadyExists", RowExists),
        ("replace", 412, "UpdateConditionNotSatisfied", RowChanged),
        ("replace", 404, "ResourceNotFound", RowChanged),
        ("replace", 404, "EntityNotFound", RowChanged),
        ("delete by condition", 412, "ConditionNotMet", RowChanged),
    ],
)
async def test_a_conflict_is_told_as_one(name: str, status: int, code: str, expected: type[Exception]) -> None:
    """The codes are those of the service's documentation; no index, because there is one operation only."""
    async with storage_that(answering(lambda: refusal(status, code))) as rows:
        with pytest.raises(expected) as raised:
            await run(rows, name)
    assert getattr(raised.value, "index", "") is None


@pytest.mark.parametrize(("name", "nothing"), [("get", None), ("delete", False), ("delete by condition", False)])
async def test_a_missing_row_is_nothing_where_that_is_an_answer(name: str, nothing: object) -> None:
    """For a read and a delete."""
    async with storage_that(answering(lambda: refusal(404, "ResourceNotFound"))) as rows:
        assert await run(rows, name) is nothing


@pytest.mark.parametrize("name", ["insert", "upsert", "list", "prepare"])
async def test_a_missing_row_where_none_was_looked_for_is_refused(name: str) -> None:
    """A wrong address, perhaps: never success, never an empty list."""
    async with storage_that(answering(lambda: refusal(404, "ResourceNotFound"))) as rows:
        with pytest.raises(RowStoreRefused, match="404"):
            await run(rows, name)


# --- load -----------------------------------------------------------------------------------------


class Counting:
    """An account that gives one answer to everything and counts the requests."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        self.asked = 0
        self._status, self._code, self._headers = status, code, headers

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await request.read()
        answer = refusal(self._status, self._code)
        answer.headers.update({name.replace("_", "-"): value for name, value in self._headers.items()})
        return answer


async def unavailable(name: str, account: Counting) -> list[float]:
    """Run an operation that must fail; the waits before its repetitions."""
    clock = ImpatientClock()
    async with storage_that(account.handle, clock) as rows:
        with pytest.raises(RowStoreUnavailable):
            await OPERATIONS[name](rows)
    return clock.waits


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("status", "code"), [(503, "ServerBusy"), (429, "TooManyRequests")])
async def test_a_busy_service_is_asked_four_times_with_growing_pauses(name: str, status: int, code: str) -> None:
    """By every operation: it has executed nothing."""
    account = Counting(status, code)
    waits = await unavailable(name, account)
    assert account.asked == 4
    assert len(waits) == 3
    assert waits == sorted(set(waits))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("status", "code"), [(500, "OperationTimedOut"), (500, "InternalError"), (503, "Unheard")])
async def test_what_may_have_been_executed_is_repeated_only_where_that_ends_the_same(
    name: str, status: int, code: str
) -> None:
    """A server error says nothing about whether the operation was done."""
    account = Counting(status, code)
    waits = await unavailable(name, account)
    assert (account.asked, len(waits)) == ((4, 3) if name in REPEATABLE else (1, 0))


async def test_the_wait_that_the_service_wishes_is_kept_if_it_is_short() -> None:
    """Three seconds are waited for; a minute is not, whoever asked comes again later."""
    account = Counting(503, "ServerBusy", Retry_After="3")
    assert await unavailable("insert", account) == [3, 3, 3]
    patient = Counting(503, "ServerBusy", Retry_After="60")
    assert (await unavailable("insert", patient), patient.asked) == ([], 1)


@pytest.mark.parametrize("wish", ["soon", "-5", "Sun, 01 Mar 2026 00:00:00 GMT", "9" * 400])
async def test_a_wish_that_is_no_number_of_seconds_does_not_hold_us(wish: str) -> None:
    """Nonsense is no wish; a number without end is too long."""
    account = Counting(503, "ServerBusy", Retry_After=wish)
    waits = await unavailable("insert", account)
    assert sum(waits) < 10


@pytest.mark.parametrize("name", EVERY)
async def test_a_store_that_is_not_there_is_unavailable(name: str) -> None:
    """No connection at all: certainly nothing was executed, so every operation tries again, and then gives up."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    clock = ImpatientClock()
    text = f"DefaultEndpointsProtocol=http;AccountName=t;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:{port}/t;"
    rows = AzureRows.from_connection_string(text, TABLES, clock=clock)
    with pytest.raises(RowStoreUnavailable):
        await run(rows, name)
    assert len(clock.waits) == 3 * (len(TABLES) if name == "prepare" else 1)
    await rows.aclose()


# --- nonsense -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_answer_larger_than_any_documented_one_is_not_received(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is not the sender's to fill."""
    monkeypatch.setattr(azure_service, "_LARGEST_ANSWER", 1000)
    async with storage_that(answering(lambda: web.Response(status=200, body=b"[" * 5000))) as rows:
        with pytest.raises(RowStoreUnavailable, match="lost"):
            await OPERATIONS[name](rows)


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
@pytest.mark.parametrize("status", [200, 201, 202, 203])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("insert", "replace", "upsert")])
async def test_an_answer_that_is_something_else_is_unavailable(name: str, status: int, kind: str) -> None:
    """Such as the page of a proxy, with a good status: never a row, never an empty list."""

    def response() -> web.Response:
        return web.Response(status=status, text="<html>please sign in</html>", content_type=kind)

    async with storage_that(answering(response)) as rows:
        with pytest.raises(RowStoreUnavailable) as raised:
            await OPERATIONS[name](rows)
    assert "sign in" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_redirection_is_not_followed(name: str) -> None:
    """Nothing received chooses where keys, tokens and rows are sent."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        seen.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with storage_that(answer) as rows:
        with pytest.raises(RowStoreUnavailable):
            await OPERATIONS[name](rows)
    assert len(seen) == 1
    assert "/elsewhere" not in seen


@pytest.mark.parametrize("etag", ["x\r\nX-Injected: 1", "x\n", "\x00", "é", "x  "])
async def test_an_etag_that_would_end_its_line_is_never_sent(etag: str) -> None:
    """It would add a header to the request, or an operation to a transaction."""
    account = Counting(500, "InternalError")
    operations: list[Operation] = [Replace("k", {}, etag)]
    async with storage_that(account.handle) as rows:
        for attempt in (
            rows.replace("links", "p", "k", {}, etag),
            rows.delete("links", "p", "k", etag),
            rows.transact("links", "p", operations),
        ):
            with pytest.raises(RowInvalid, match="etag"):
                await attempt
    assert account.asked == 0


@pytest.mark.parametrize("status", [200, 201, 204])
@pytest.mark.parametrize("name", ["insert", "replace", "upsert"])
async def test_a_write_without_an_etag_is_unknown(name: str, status: int) -> None:
    """It may be somebody's page; and without its etag the row could not be replaced anyway."""
    async with storage_that(answering(lambda: web.Response(status=status))) as rows:
        with pytest.raises(RowStoreUnavailable):
            await OPERATIONS[name](rows)


@pytest.mark.parametrize(
    "told",
    [
        entity(key="k|2"),
        entity(partition="p|2"),
        {**entity(), "odata.etag": ""},
        {**entity(), "odata.etag": 5},
        {"PartitionKey": "p|1", "RowKey": "k|1"},
        {"RowKey": "k|1", "odata.etag": ETAG},
        [entity()],
        {"value": [entity()]},
        entity(n="seven", n__type="Edm.Int64"),
        entity(n=7, n__type="Edm.Int64"),
        entity(n=str(2**63), n__type="Edm.Int64"),
        entity(n="9" * 5000, n__type="Edm.Int64"),
        entity(at="yesterday", at__type="Edm.DateTime"),
        entity(at="2026-03-01T00:00:00", at__type="Edm.DateTime"),
        entity(raw="not base64!", raw__type="Edm.Binary"),
        entity(raw=None, raw__type="Edm.Binary"),
        entity(deep=[[[[[["x"]]]]]]),
    ],
    ids=str,
)
async def test_a_row_that_is_another_or_makes_no_sense_is_unavailable(told: object) -> None:
    """A record would be linked to somebody else's partner, or a number guessed."""
    async with storage_that(answering(lambda: web.json_response(told))) as rows:
        with pytest.raises(RowStoreUnavailable) as raised:
            await OPERATIONS["get"](rows)
    assert ETAG not in str(raised.value)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (entity(v="x", v__type="Edm.Guid"), "Edm.Guid"),
        (entity(v=1, v__type="Edm.Double"), "Edm.Double"),
        (entity(v=None), "NoneType"),
        (entity(v=["x"]), "list"),
        (entity(v=1.5), "Decimal"),
        (entity(v="x", v__type=["Edm.Int64"]), "Edm.Int64"),
    ],
    ids=str,
)
async def test_a_type_that_we_never_write_is_refused_by_the_property(told: object, kind: str) -> None:
    """Only another program can have written it; guessing would be worse than stopping."""
    async with storage_that(answering(lambda: web.json_response(told))) as rows:
        with pytest.raises(RowStoreRefused, match="property v") as raised:
            await OPERATIONS["get"](rows)
    assert kind in str(raised.value)


# --- pages ----------------------------------------------------------------------------------------


async def test_pages_that_the_service_cuts_short_are_put_together() -> None:
    """Real storage may end a page at any row, even before the first, and say where to go on."""
    pages = {None: [], "k1": ["k1"], "k/ &2": ["k2", "k3"], "k4": ["k4"]}
    following: dict[str | None, str] = {None: "k1", "k1": "k/ &2", "k/ &2": "k4"}

    async def answer(request: web.Request) -> web.StreamResponse:
        place = request.query.get("NextRowKey")
        assert request.query["$filter"] == "PartitionKey eq 'p'"
        assert request.query.get("NextPartitionKey") == (None if place is None else "p=&1")
        headers = {}
        if place in following:
            headers = {
                "x-ms-continuation-NextPartitionKey": "p=&1",
                "x-ms-continuation-NextRowKey": following[place],
            }
        return web.json_response({"value": [entity(key, "p") for key in pages[place]]}, headers=headers)

    async with storage_that(answer) as rows:
        whole = await rows.list("links", "p")
        part = await rows.list("links", "p", limit=2)
    assert ([row.key for row in whole.rows], whole.next) == (["k1", "k2", "k3", "k4"], None)
    assert ([row.key for row in part.rows], part.next) == (["k1", "k2"], "k2")


async def test_a_page_without_end_ends() -> None:
    """A service that always names the same place to go on."""
    headers = {"x-ms-continuation-NextPartitionKey": "p"}
    async with storage_that(answering(lambda: web.json_response({"value": []}, headers=headers))) as rows:
        with pytest.raises(RowStoreUnavailable, match="without end"):
            await rows.list("links", "p")


async def test_more_rows_than_were_asked_for_are_left_for_the_next_page() -> None:
    """The limit is the caller's memory."""
    many = {"value": [entity(f"k{number}", "p") for number in range(5)]}
    async with storage_that(answering(lambda: web.json_response(many))) as rows:
        page = await rows.list("links", "p", limit=2)
    assert ([row.key for row in page.rows], page.next) == (["k0", "k1"], "k1")


@pytest.mark.parametrize("told", [{"value": [entity(partition="other")]}, {"value": {}}, {"value": ["row"]}, {}, []])
async def test_a_page_of_another_partition_or_of_no_rows_is_unavailable(told: object) -> None:
    """Never an empty page."""
    async with storage_that(answering(lambda: web.json_response(told))) as rows:
        with pytest.raises(RowStoreUnavailable):
            await rows.list("links", "p|1")


# --- transactions ---------------------------------------------------------------------------------


def done(etag: str = "", number: int = 0) -> str:
    """The answer to an operation that was done."""
    headers = [f"ETag: {etag}"] if etag else []
    return part("204 No Content", "DataServiceVersion: 3.0;", *headers, *([f"Content-ID: {number}"] if number else []))


GOOD = [done("first"), done("second"), done()]


async def transacted(response: web.Response, operations: list[Operation] = THREE) -> object:
    async with storage_that(answering(lambda: response)) as rows:
        return await rows.transact("links", "p", operations)


async def test_a_whole_answer_gives_the_etags_in_order() -> None:
    """None for the delete."""
    assert await transacted(batch_answer(GOOD)) == ["first", "second", None]


def test_half_an_answer_leaves_the_transaction_unknown() -> None:
    """Cut after any character before the end of the last boundary, also where the rest reads like a shorter answer."""
    whole = batch_answer(GOOD)
    assert isinstance(whole.body, bytes)
    content_type, body = whole.headers["Content-Type"], whole.body.rstrip()
    assert wire.read_batch(content_type, body, THREE) == ["first", "second", None]
    for cut in range(len(body)):
        with pytest.raises(wire.Unusable):
            wire.read_batch(content_type, body[:cut], THREE)


async def test_a_transaction_whose_answer_is_cut_is_unknown() -> None:
    """Through the store."""
    with pytest.raises(RowStoreUnavailable):
        await transacted(batch_answer(GOOD, 200))


@pytest.mark.parametrize(
    "parts",
    [
        GOOD[:2],
        [*GOOD, done()],
        [],
        [done(), done("second"), done()],
        [done("first"), "HTTP/1.1 204 No Content", done()],
        [done("first"), part("no status"), done()],
        [part("100 Continue", "ETag: first"), done("second"), done()],
        [done("first", 1), done("second", 2), done("", 4)],
        [done("first", 1), done("second", 1), done("", 3)],
        [done("first", 1), done("second", 2), done()],
    ],
    ids=["too few", "too many", "none", "no etag", "no http", "no status", "not done", "foreign", "twice", "missing"],
)
async def test_answers_that_are_not_one_for_each_operation_leave_the_transaction_unknown(parts: list[str]) -> None:
    """No etag is guessed, and nothing is believed done that was not said to be."""
    with pytest.raises(RowStoreUnavailable):
        await transacted(batch_answer(parts))


async def test_answers_in_another_order_are_put_right_by_their_numbers() -> None:
    """Each operation carries a number, which the service may give back."""
    mixed = [done("", 3), done("second", 2), done("first", 1)]
    assert await transacted(batch_answer(mixed)) == ["first", "second", None]


@pytest.mark.parametrize("content_type", ["application/json", "multipart/mixed", "multipart/mixed; boundary=other", ""])
async def test_a_transaction_answered_in_another_form_is_unknown(content_type: str) -> None:
    """Whatever it says."""
    answer = batch_answer(GOOD)
    answer.headers["Content-Type"] = content_type
    with pytest.raises(RowStoreUnavailable):
        await transacted(answer)


def failed(status: str, code: str, text: str) -> web.Response:
    """The answer to a transaction of which nothing was done: one part for all."""
    body = web.json_response(error(code, text)).text or ""
    return batch_answer([part(status, "Content-Type: application/json", body=body)])


CONFLICTS = [
    ("409 Conflict", "EntityAlreadyExists", RowExists),
    ("412 Precondition Failed", "UpdateConditionNotSatisfied", RowChanged),
    ("404 Not Found", "ResourceNotFound", RowChanged),
]


@pytest.mark.parametrize(("status", "code", "expected"), CONFLICTS)
@pytest.mark.parametrize("index", [0, 1, 2])
async def test_an_error_inside_the_change_set_names_the_operation(
    status: str, code: str, expected: type[RowExists | RowChanged], index: int
) -> None:
    """The service writes its position before the text, counted from 0."""
    with pytest.raises(expected) as raised:
        await transacted(failed(status, code, f"{index}:The row of Aurora Milling.\nRequestId:1"))
    assert raised.value.index == index
    assert "Aurora" not in str(raised.value)


@pytest.mark.parametrize(("status", "code", "expected"), CONFLICTS)
@pytest.mark.parametrize(
    "text", ["3:Beyond the last.", "99999999:Far beyond.", "-1:Before.", "Without a position.", ""]
)
async def test_a_position_that_is_none_is_not_believed(
    status: str, code: str, expected: type[RowExists | RowChanged], text: str
) -> None:
    """The conflict is certain, its place is not; with a single operation there is only one place."""
    with pytest.raises(expected) as raised:
        await transacted(failed(status, code, text))
    assert raised.value.index is None
    with pytest.raises(expected) as alone:
        await transacted(failed(status, code, "Without a position."), [Upsert("a", {})])
    assert alone.value.index == 0


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("404 Not Found", "TableNotFound", RowStoreRefused),
        ("404 Not Found", "", RowStoreRefused),
        ("400 Bad Request", "InvalidInput", RowStoreRefused),
        ("403 Forbidden", "AuthorizationFailure", RowStoreRefused),
        ("500 Internal Server Error", "OperationTimedOut", RowStoreUnavailable),
        ("503 Service Unavailable", "ServerBusy", RowStoreUnavailable),
        ("302 Found", "", RowStoreUnavailable),
    ],
)
async def test_an_error_inside_the_change_set_means_the_same_as_outside(
    status: str, code: str, expected: type[Exception]
) -> None:
    """A missing table is no missing row, and a busy service no conflict."""
    with pytest.raises(expected):
        await transacted(failed(status, code, "0:Said by the service."))


async def test_an_error_after_good_parts_is_an_error() -> None:
    """Nothing of the change set was done, whatever stands before."""
    body = web.json_response(error("EntityAlreadyExists", "2:There.")).text or ""
    with pytest.raises(RowExists) as raised:
        await transacted(batch_answer([done("first"), done("second"), part("409 Conflict", body=body)]))
    assert raised.value.index == 2
