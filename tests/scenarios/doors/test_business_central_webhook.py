"""Business Central's notices at the door: handshake, good rows, bad rows, and never anything but 200."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions import webhooks
from shared.app import installed
from shared.errors import QueueUnavailable
from shared.notices import NO_TRANSFER
from shared.sync.feed_tasks import Task
from shared.sync.notices import APART
from shared.sync.ports import Side
from tests.scenarios.doors.world import (
    BODIES,
    CLIENT_STATE,
    CLIENT_STATE_BEFORE,
    COMPANY,
    NOON,
    PATH_SECRET,
    PATH_SECRET_BEFORE,
    SECRETS,
    Doors,
    DownQueue,
    dump,
    row,
)

BOTH = ("account_to_business_central", "customer_to_dataverse")
KEY = "4e2c1fb5-9ff4-4d55-8b0f-b6b8a3fd3b21"
OTHER = "11111111-2222-4333-8444-555555555555"


def rows(*some: Any) -> bytes:
    """A body of these rows."""
    return dump({"value": list(some)})


# --- handshake ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("secret", [PATH_SECRET, PATH_SECRET_BEFORE])
async def test_a_handshake_gets_its_token_back_as_plain_text(doors: Doors, method: str, secret: str) -> None:
    """Business Central asks when a subscription is made and whenever it is changed."""
    answer = await doors.business_central(b"", secret, method, {"validationToken": "1b2e5a4d-33aa_7.x~"})
    assert (answer.status_code, answer.text) == (200, "1b2e5a4d-33aa_7.x~")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "token",
    ["<script>alert(1)</script>", "a" * 513, "a\r\nSet-Cookie: x=1", 'a"b', "a&b", "a%00b", "ä", "a\tb", "{}", "a'b"],
)
async def test_a_token_that_is_not_plain_is_not_sent_back(doors: Doors, token: str) -> None:
    """Nobody can make this address say something of his choice to a browser."""
    answer = await doors.business_central(b"", query={"validationToken": token})
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_stranger_cannot_subscribe_this_address(doors: Doors) -> None:
    """Without the secret the handshake is answered without the token, so it fails."""
    answer = await doors.business_central(b"", "wrong", query={"validationToken": "token"})
    assert (answer.status_code, answer.content) == (200, b"")


# --- notices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["created", "updated", "deleted"])
async def test_a_change_of_a_customer_reaches_both_transfers_of_the_pair(doors: Doors, change: str) -> None:
    """One message per entity and transfer, on the ERP's side, keys only."""
    answer = await doors.business_central(rows(row(changeType=change)))
    assert (answer.status_code, answer.content) == (200, b"")
    queued = await doors.queued()
    for name in BOTH:
        (message,) = queued[name]
        assert (message.side, message.table, message.keys) == (Side.RIGHT, "customers", (KEY,))
        assert (message.cause, message.attempt, message.occurred_at) == ("webhook", 0, NOON)


RESOURCES = [
    f"api/v2.0/companies({COMPANY})/customers({KEY})",
    f"/api/v2.0/companies({COMPANY})/customers({KEY})",
    f"/api/v2.0/companies({COMPANY.upper()})/customers({KEY.upper()})",
    f"https://api.businesscentral.dynamics.com/v2.0/contoso.example/Production/api/v2.0/companies({COMPANY})/customers({KEY})",
    f"https://api.businesscentral.dynamics.com/v2.0/production/api/v2.0/companies({COMPANY})/customers({KEY})",
]


@pytest.mark.parametrize("resource", RESOURCES)
async def test_a_resource_is_read_in_every_spelling(doors: Doors, resource: str) -> None:
    """With or without the slash, relative or absolute."""
    await doors.business_central(rows(row(resource=resource)))
    assert (await doors.queued())[BOTH[0]][0].keys == (KEY,)


@pytest.mark.parametrize("state", [CLIENT_STATE, CLIENT_STATE_BEFORE])
async def test_either_of_two_client_states_is_ours(doors: Doors, state: str) -> None:
    """Existing subscriptions keep the old one until they are renewed."""
    await doors.business_central(rows(row(clientState=state)))
    assert not await doors.nothing_queued()


async def test_the_documented_body_is_read_row_by_row(doors: Doors) -> None:
    """Microsoft's own example: two changes of customers, one of an item, one collection; of the subscribed company."""
    raw = (BODIES / "business_central_four.json").read_text("utf-8").replace("someClientState", CLIENT_STATE)
    for body in (raw.encode(), b"\xef\xbb\xbf" + raw.encode()):
        assert (await doors.business_central(body)).status_code == 200
    queued = await doors.queued()
    assert [len(messages) for messages in queued.values()] == [2, 2]
    keys = [one["resource"].rsplit("(")[-1][:-1] for one in json.loads(raw)["value"][1:3]]
    assert [message.keys[0] for message in queued[BOTH[0]]] == keys


async def test_a_repeated_notice_is_one_message_and_a_second_change_another(doors: Doors) -> None:
    """After a failed answer Business Central sends old rows together with newer ones."""
    await doors.business_central(rows(row()))
    await doors.business_central(rows(row(), row(lastModifiedDateTime="2026-03-02T11:59:51.5Z")))
    assert [len(messages) for messages in (await doors.queued()).values()] == [2, 2]


async def test_without_a_time_nothing_is_swallowed(doors: Doors) -> None:
    """Two rows that cannot be told apart are two changes."""
    await doors.business_central(rows(row(lastModifiedDateTime=...), row(lastModifiedDateTime=...)))
    assert [len(messages) for messages in (await doors.queued()).values()] == [2, 2]


def changes_of(number: int) -> bytes:
    """A body with so many changed customers."""
    some = [f"4e2c1fb5-9ff4-4d55-8b0f-{one:012x}" for one in range(number)]
    return rows(*(row(resource=f"api/v2.0/companies({COMPANY})/customers({key})") for key in some))


async def test_a_thousand_changes_come_through_a_hundred_in_a_message(doors: Doors) -> None:
    """The most that Business Central puts into one body of a subscription. Their records can be read together."""
    for _ in range(2):  # posted once more, they are still one message each
        assert (await doors.business_central(changes_of(1000))).status_code == 200
    queued = await doors.queued()
    assert [len(messages) for messages in queued.values()] == [10, 10]
    assert len({key for message in queued[BOTH[0]] for key in message.keys}) == 1000


@pytest.mark.parametrize(("number", "messages"), [(APART, APART), (APART + 1, 1), (101, 2)])
async def test_a_few_changes_have_a_message_each(doors: Doors, number: int, messages: int) -> None:
    """So that the queue takes each of them once, with whatever others it comes again."""
    await doors.business_central(changes_of(number))
    assert [len(some) for some in (await doors.queued()).values()] == [messages, messages]


async def test_two_changes_of_one_record_among_many_are_one_key(doors: Doors) -> None:
    """It is read once, as it is then."""
    again = row(lastModifiedDateTime="2026-03-02T11:59:51.5Z")
    await doors.business_central(rows(row(), again, *json.loads(changes_of(20))["value"]))
    (message,) = (await doors.queued())[BOTH[0]]
    assert sorted(message.keys) == sorted({KEY, *(f"4e2c1fb5-9ff4-4d55-8b0f-{one:012x}" for one in range(20))})


def collection(query: str = "", table: str = "customers", **changes: Any) -> bytes:
    """A body that names no record."""
    resource = f"/api/v2.0/companies({COMPANY})/{table}{query}"
    return rows(row(changeType="collection", resource=resource, **changes))


@pytest.mark.parametrize("column", ["lastModifiedDateTime", "lastDateTimeModified"])
async def test_a_collection_that_says_since_when_asks_for_a_walk(doors: Doors, column: str) -> None:
    """R-052: more than a thousand changes at once, none deleted; both names of the column are in the documents."""
    query = f"?$filter={column}%20gt%202026-03-02T11:00:00.05Z"
    for _ in range(2):
        assert (await doors.business_central(collection(query))).status_code == 200
    (task,) = await doors.tasks()
    assert (task.task, task.system, task.table) == (Task.WALK, "business_central", "customers")
    assert task.since == datetime(2026, 3, 2, 11, 0, 0, 50_000, tzinfo=UTC)
    assert await doors.nothing_queued()
    assert doors.app.notices.counts["business_central: queued for the feeds"] == 2


@pytest.mark.parametrize(
    "query", ["", "?$filter=", "?$filter=lastModifiedDateTime%20gt%20yesterday", "?$filter=number%20eq%20%271%27"]
)
async def test_a_collection_that_says_no_time_asks_for_a_compare(doors: Doors, query: str) -> None:
    """R-052: a record was deleted among them, or we cannot read since when: only looking at all finds what happened."""
    await doors.business_central(collection(query))
    (task,) = await doors.tasks()
    assert (task.task, task.table, task.since) == (Task.COMPARE, "customers", None)


async def test_a_collection_of_strangers_asks_for_nothing(doors: Doors) -> None:
    """Another table, or another client state: no work for whoever likes to make some."""
    await doors.business_central(collection(table="items"))
    await doors.business_central(collection(clientState="somebody else's"))
    assert await doors.nothing_queued()
    assert doors.app.notices.counts[f"business_central: {NO_TRANSFER}"] == 1


BAD_ROWS: dict[str, Any] = {
    "null": None,
    "a number": 17,
    "a text": "row",
    "a list": [row()],
    "an empty object": {},
    "no client state": row(clientState=...),
    "client state null": row(clientState=None),
    "client state empty": row(clientState=""),
    "a wrong client state": row(clientState="someClientState"),
    "the path's secret as client state": row(clientState=PATH_SECRET),
    "client state as a number": row(clientState=1),
    "client state very long": row(clientState="x" * 100_000),
    "no resource": row(resource=...),
    "resource null": row(resource=None),
    "resource as a number": row(resource=1),
    "resource empty": row(resource=""),
    "another company": row(resource=f"api/v2.0/companies({OTHER})/customers({KEY})"),
    "a company's name": row(resource=f"api/v2.0/companies(CRONUS)/customers({KEY})"),
    "no company": row(resource=f"api/v2.0/customers({KEY})"),
    "another environment": row(
        resource=f"https://api.businesscentral.dynamics.com/v2.0/contoso.example/Sandbox/api/v2.0/"
        f"companies({COMPANY})/customers({KEY})"
    ),
    "http": row(resource=f"http://evil.example/v2.0/Production/api/v2.0/companies({COMPANY})/customers({KEY})"),
    "another api": row(resource=f"api/v1.0/companies({COMPANY})/customers({KEY})"),
    "a custom api": row(resource=f"api/someone/things/v1.0/companies({COMPANY})/customers({KEY})"),
    "a table of no definition": row(resource=f"api/v2.0/companies({COMPANY})/items({KEY})"),
    "a table of the other system": row(resource=f"api/v2.0/companies({COMPANY})/account({KEY})"),
    "a table with dots": row(resource=f"api/v2.0/companies({COMPANY})/../customers({KEY})"),
    "no key": row(resource=f"api/v2.0/companies({COMPANY})/customers"),
    "a key that is no GUID": row(resource=f"api/v2.0/companies({COMPANY})/customers(K00010)"),
    "a key of zeros": row(resource=f"api/v2.0/companies({COMPANY})/customers(00000000-0000-0000-0000-000000000000)"),
    "two keys": row(resource=f"api/v2.0/companies({COMPANY})/customers({KEY})({OTHER})"),
    "a key below a key": row(resource=f"api/v2.0/companies({COMPANY})/customers({KEY})/picture"),
    "a query behind the key": row(resource=f"api/v2.0/companies({COMPANY})/customers({KEY})?$expand=x"),
    "a line break": row(resource=f"api/v2.0/companies({COMPANY})/customers({KEY})\n"),
    "a very long resource": row(resource="/" * 100_000),
    "no kind of change": row(changeType=...),
    "kind of change null": row(changeType=None),
    "an unknown kind of change": row(changeType="renamed"),
    "a time of another type": row(lastModifiedDateTime=17),
    "a subscription of another type": row(subscriptionId={"id": 1}),
}


@pytest.mark.parametrize("case", BAD_ROWS)
async def test_a_bad_row_is_counted_and_does_not_spoil_its_neighbours(doors: Doors, case: str) -> None:
    """200, and only the good row is queued."""
    good = row(resource=f"api/v2.0/companies({COMPANY})/customers({OTHER})")
    answer = await doors.business_central(rows(BAD_ROWS[case], good))
    assert (answer.status_code, answer.content) == (200, b"")
    queued = await doors.queued()
    assert [[message.keys for message in queued[name]] for name in BOTH] == [[(OTHER,)], [(OTHER,)]]
    assert sum(doors.app.notices.counts.values()) == 2


GOOD = rows(row())
BAD_BODIES: dict[str, bytes] = {
    "empty": b"",
    "half of it": GOOD[: len(GOOD) // 2],
    "all but the last brace": GOOD[:-1],
    "two bodies": GOOD * 2,
    "an array": dump([row()]),
    "a row alone": dump(row()),
    "null": b"null",
    "a text": b'"value"',
    "no value": b"{}",
    "value null": b'{"value":null}',
    "value as an object": dump({"value": row()}),
    "value as a text": b'{"value":"rows"}',
    "no rows": b'{"value":[]}',
    "XML": b"<value/>",
    "UTF-16": json.dumps({"value": [row()]}).encode("utf-16"),
    "bytes that are no text": bytes(range(256)),
    "half a surrogate": GOOD.replace(b"updated", b"upd\\ud800ated"),
    "nested deeply": b'{"value":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "objects nested deeply": b'{"value":[' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"]}",
    "a number of a hundred thousand digits": b'{"value":[' + b"9" * 100_000 + b"]}",
    "larger than anything known": rows(row(), "x" * 5_000_000),
    "form data": b"validationToken=token",
}


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_whatever_is_posted_the_answer_is_200(doors: Doors, case: str) -> None:
    """Any other answer would delete the subscriptions; nothing is queued."""
    answer = await doors.business_central(BAD_BODIES[case])
    assert (answer.status_code, answer.content) == (200, b"")
    assert await doors.nothing_queued()
    assert sum(doors.app.notices.counts.values()) == (case != "no rows")


@pytest.mark.parametrize("secret", ["wrong", PATH_SECRET[:-1], PATH_SECRET + "x", "%2e%2e", "%00", CLIENT_STATE, "ä"])
async def test_with_a_wrong_secret_a_good_body_is_not_even_read(doors: Doors, secret: str) -> None:
    """200 all the same, counted, and nothing queued."""
    answer = await doors.business_central(GOOD, secret)
    assert (answer.status_code, answer.content) == (200, b"")
    assert await doors.nothing_queued()
    assert doors.app.notices.counts == {"business_central_webhook: CD-5002": 1}


async def test_the_name_behind_the_secret_may_be_left_out(doors: Doors) -> None:
    """It only tells subscriptions apart."""
    answer = await doors.http.post(f"/api/webhooks/business-central/{PATH_SECRET}", content=GOOD)
    assert answer.status_code == 200
    assert not await doors.nothing_queued()


async def test_without_secrets_in_the_settings_nothing_is_taken(doors: Doors) -> None:
    """Neither an empty path secret nor an empty client state opens anything."""
    names = [name for name in doors.environment if name.startswith("CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE")]
    doors.environment |= dict.fromkeys(names, "")
    with installed(doors.new_app()):
        await doors.business_central(rows(row(), row(clientState="")))
        assert await doors.nothing_queued()
    names = [name for name in doors.environment if name.startswith("CROSSDOCK_BUSINESS_CENTRAL_WEBHOOK_SECRET")]
    doors.environment |= dict.fromkeys(names, "")
    with installed(doors.new_app()):
        await doors.business_central(b"", PATH_SECRET, query={"validationToken": "token"})
        assert await doors.nothing_queued()


@pytest.mark.parametrize("error", [QueueUnavailable("simulated"), RuntimeError("simulated")])
async def test_even_while_the_queue_is_down_the_answer_is_200(doors: Doors, error: Exception) -> None:
    """The walk finds what was lost."""
    down = DownQueue(doors.queue, frozenset(BOTH), error)
    with installed(doors.new_app(queue=down)):
        answer = await doors.business_central(GOOD)
        assert (answer.status_code, answer.content) == (200, b"")


async def test_a_wrong_setting_changes_nothing_in_the_answer(doors: Doors) -> None:
    """An unresolved Key Vault reference."""
    doors.environment["CROSSDOCK_BUSINESS_CENTRAL_CLIENT_STATE"] = "@Microsoft.KeyVault(VaultName=v;SecretName=s)"
    with installed(doors.new_app()):
        assert (await doors.business_central(GOOD)).status_code == 200


async def test_the_handler_is_an_ordinary_function_too(doors: Doors) -> None:
    """Called directly through the decorated function."""
    request = func.HttpRequest(
        "POST",
        "https://app.example",
        params={"validationToken": "token-17"},
        route_params={"secret": PATH_SECRET, "subscription": "customers"},
        body=b"",
    )
    answer = await webhooks.business_central_webhook(request)
    assert (answer.status_code, answer.get_body()) == (200, b"token-17")


# --- fuzz -----------------------------------------------------------------------------------------

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60) | st.sampled_from(RESOURCES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(
    changes=st.dictionaries(st.sampled_from(sorted(row())), _VALUES, max_size=3), others=st.lists(_VALUES, max_size=3)
)
async def test_no_row_of_any_shape_breaks_the_door(doors: Doors, changes: dict[str, Any], others: list[Any]) -> None:
    """Always 200, and only the one record that a good row names is ever queued."""
    answer = await doors.business_central(rows(*others, row(**changes)))
    assert (answer.status_code, answer.content) == (200, b"")
    for messages in (await doors.queued()).values():
        assert all(message.keys == (KEY,) for message in messages)


@_FUZZ
@given(cut=st.integers(0, 500), length=st.integers(0, 40), filling=st.binary(max_size=40))
async def test_no_broken_bytes_break_the_door(doors: Doors, cut: int, length: int, filling: bytes) -> None:
    """Bytes cut out of a good body and others put in."""
    assert (await doors.business_central(GOOD[:cut] + filling + GOOD[cut + length :])).status_code == 200


# --- silence --------------------------------------------------------------------------------------


async def test_no_secret_and_no_value_of_a_body_is_logged(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the path's secret nor client states nor what rows hold."""
    marker = "Kontoinhaber-4711"
    bodies = [GOOD, rows(row(changeType=marker)), rows(row(resource=marker)), rows(row(clientState=marker)), GOOD[:-5]]
    broken = DownQueue(doors.queue, frozenset(BOTH), RuntimeError(marker))
    with caplog.at_level(logging.DEBUG):
        for app in (doors.app, doors.new_app(queue=broken)):
            with installed(app):
                for body in bodies:
                    await doors.business_central(body)
                    await doors.business_central(body, marker)
                await doors.business_central(b"", query={"validationToken": marker})
    assert caplog.records
    written = "\n".join(record.getMessage() for record in caplog.records) + caplog.text
    assert not [secret for secret in (*SECRETS, marker) if secret in written]
