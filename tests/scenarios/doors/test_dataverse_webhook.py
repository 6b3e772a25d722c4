"""Dataverse's notices at the door: what is queued, what is ignored, what is refused, and never a 500."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

import azure.functions as func
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions import webhooks
from shared.app import installed
from shared.errors import QueueUnavailable
from shared.sync.ports import Side
from tests.scenarios.doors.world import (
    BODIES,
    NOON,
    ORGANIZATION,
    SECRETS,
    WEBHOOK_SECRET,
    WEBHOOK_SECRET_BEFORE,
    Doors,
    DownQueue,
    dump,
    notice,
)

BOTH = ("account_to_business_central", "customer_to_dataverse")
ZERO = "00000000-0000-0000-0000-000000000000"
OTHER = "11111111-2222-4333-8444-555555555555"


async def test_a_notice_about_an_account_reaches_both_transfers_of_the_pair(doors: Doors) -> None:
    """An edit in the non-master must be noticed too, so each direction gets one message, with keys and no values."""
    body = notice("account_create_sync_2024")
    answer = await doors.dataverse(dump(body))
    assert (answer.status_code, answer.content) == (202, b"")
    queued = await doors.queued()
    assert {name: len(messages) for name, messages in queued.items()} == dict.fromkeys(BOTH, 1)
    for name in BOTH:
        (message,) = queued[name]
        assert (message.side, message.table, message.keys) == (Side.LEFT, "account", (body["PrimaryEntityId"],))
        assert (message.cause, message.attempt, message.occurred_at) == ("webhook", 0, NOON)
        assert message.correlation_id == body["CorrelationId"]
        operation, step = body["OperationId"], body["OwningExtension"]["Id"]
        assert message.change_id.startswith(f"{ORGANIZATION}/{operation}/{step}/")


async def test_a_message_says_who_changed_the_record_and_when(doors: Doors) -> None:
    """R-118: an id and a moment, nothing else of the person; a body that names nobody tells of nobody."""
    person = "5a1f9b2c-3d4e-4f60-8a7b-9c0d1e2f3a4b"
    await doors.dataverse(dump(notice(InitiatingUserId=person.upper(), OperationCreatedOn="/Date(1772452800250)/")))
    await doors.dataverse(dump(notice(InitiatingUserId=ZERO, OperationId=OTHER)))
    known, unknown = (await doors.queued())[BOTH[0]]
    assert list(known.editors.values()) == [f"2026-03-02T12:00:00.250+00:00 {person}"]
    assert unknown.editors == {}


async def test_a_deletion_names_a_reference_and_is_queued(doors: Doors) -> None:
    """The Target of a Delete is an EntityReference, and no image is there."""
    assert (await doors.dataverse(dump(notice("account_delete_sync_2023")))).status_code == 202
    assert [len(messages) for messages in (await doors.queued()).values()] == [1, 1]


async def test_a_related_table_concerns_the_transfer_that_names_it(doors: Doors) -> None:
    """`also_on: {opportunity: parentaccountid}`: the message carries the opportunity, on the source's side."""
    body = notice("account_create_sync_2024", PrimaryEntityName="opportunity", MessageName="Update")
    assert (await doors.dataverse(dump(body))).status_code == 202
    queued = await doors.queued()
    assert queued["customer_to_dataverse"] == []
    (message,) = queued["account_to_business_central"]
    assert (message.side, message.table, message.keys) == (Side.LEFT, "opportunity", (body["PrimaryEntityId"],))


async def test_either_of_two_secrets_opens_the_door(doors: Doors) -> None:
    """While the secret is changed in Dataverse, the new and the old one are valid."""
    assert (await doors.dataverse(dump(notice()), WEBHOOK_SECRET)).status_code == 202
    assert (await doors.dataverse(dump(notice()), WEBHOOK_SECRET_BEFORE)).status_code == 202


@pytest.mark.parametrize(
    "secret", [None, "", "x", WEBHOOK_SECRET + "x", WEBHOOK_SECRET[:-1], f"{WEBHOOK_SECRET},x", "é"]
)
async def test_strangers_get_the_same_answer_whatever_they_show(doors: Doors, secret: str | None) -> None:
    """Missing, wrong, too long, doubled: 401, whatever the body is, and nothing of it is read."""
    shown = {} if secret is None else {b"x-crossdock-secret": secret.encode()}
    for body in (dump(notice()), b"{", b"x" * 300_000):
        answer = await doors.http.post("/api/webhooks/dataverse", content=body, headers=shown)
        assert (answer.status_code, answer.content) == (401, b"")
    assert await doors.nothing_queued()


async def test_a_secret_in_the_query_or_in_another_header_opens_nothing(doors: Doors) -> None:
    """Query strings end in logs; the platform's own key parameter is no door either."""
    for query in ({"code": WEBHOOK_SECRET}, {"x-crossdock-secret": WEBHOOK_SECRET}):
        answer = await doors.http.post("/api/webhooks/dataverse", content=dump(notice()), params=query)
        assert answer.status_code == 401
    assert (await doors.dataverse(dump(notice()), None, authorization=WEBHOOK_SECRET)).status_code == 401


async def test_without_a_secret_in_the_settings_the_door_is_closed(doors: Doors) -> None:
    """An empty secret is no secret."""
    for name in ("CROSSDOCK_DATAVERSE_WEBHOOK_SECRET", "CROSSDOCK_DATAVERSE_WEBHOOK_SECRET_PREVIOUS"):
        doors.environment[name] = ""
    with installed(doors.new_app()):
        for secret in (None, "", WEBHOOK_SECRET):
            assert (await doors.dataverse(dump(notice()), secret)).status_code == 401


async def test_a_wrong_setting_asks_for_a_second_attempt_instead_of_failing(doors: Doors) -> None:
    """An unresolved Key Vault reference is our fault: 503, so that the notice comes once more."""
    doors.environment["CROSSDOCK_DATAVERSE_WEBHOOK_SECRET"] = (
        "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/s)"
    )
    with installed(doors.new_app()):
        assert (await doors.dataverse(dump(notice()))).status_code == 503


async def test_without_an_organisation_in_the_settings_no_notice_is_taken_for_a_foreign_one(doors: Doors) -> None:
    """503, as for every mistake of ours."""
    doors.environment["CROSSDOCK_DATAVERSE_ORGANIZATION_ID"] = ""
    with installed(doors.new_app()):
        assert (await doors.dataverse(dump(notice()))).status_code == 503


# --- repeated, late and early ---------------------------------------------------------------------


async def test_the_same_notice_twice_is_one_message(doors: Doors) -> None:
    """Dataverse's second attempt and a replayed request carry the same id, and the queue drops the repetition."""
    body = dump(notice())
    for _ in range(3):
        assert (await doors.dataverse(body)).status_code == 202
    assert [len(messages) for messages in (await doors.queued()).values()] == [1, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"OperationId": OTHER},
        {"OwningExtension": {"Id": OTHER}},
        {"PrimaryEntityId": OTHER},
        {"OperationCreatedOn": f"/Date({int(NOON.timestamp() * 1000) + 1})/"},
    ],
)
async def test_another_change_is_never_taken_for_a_repetition(doors: Doors, change: dict[str, Any]) -> None:
    """One request may change several records, or one twice: all of it under one operation id."""
    for body in (notice(), notice(**change)):
        assert (await doors.dataverse(dump(body))).status_code == 202
    assert [len(messages) for messages in (await doors.queued()).values()] == [2, 2]


@pytest.mark.parametrize("missing", [..., None, ZERO])
async def test_without_an_operation_nothing_is_swallowed(doors: Doors, missing: Any) -> None:
    """Where the body names no operation, the request stands for it; without that every notice is its own change."""
    body = notice(OperationId=missing)
    for _ in range(2):
        await doors.dataverse(dump(body))
    assert [len(messages) for messages in (await doors.queued()).values()] == [1, 1]
    body = notice(OperationId=missing, RequestId=missing, CorrelationId=missing, OwningExtension=None)
    for _ in range(2):
        assert (await doors.dataverse(dump(body))).status_code == 202
    assert [len(messages) for messages in (await doors.queued()).values()] == [2, 2]


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(days=7, seconds=1), 200),
        (timedelta(days=6, hours=23), 202),
        (timedelta(hours=5), 202),
        (timedelta(minutes=-9), 202),
        (timedelta(minutes=-11), 200),
        (timedelta(days=-400), 200),
    ],
)
async def test_notices_from_another_week_are_ignored(doors: Doors, age: timedelta, status: int) -> None:
    """Asynchronous steps may be hours late; what is older than the change feed's memory is a replay."""
    assert (await doors.dataverse(dump(notice(at=NOON - age)))).status_code == status
    assert await doors.nothing_queued() is (status == 200)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("/Date({ms}+0000)/", 202),
        ("/Date({ms}-0700)/", 202),  # seven hours ago
        ("/Date({ms}+0900)/", 200),  # in nine hours
        ("\\/Date({ms})\\/", 202),
    ],
)
async def test_milliseconds_and_offset_together_are_the_time(doors: Doors, text: str, status: int) -> None:
    """The offset rule of the captures of 2017 to 2024, and slashes with and without a backslash."""
    raw = dump(notice(OperationCreatedOn="@")).decode()
    stamp = text.replace("{ms}", str(int(NOON.timestamp() * 1000)))
    assert (await doors.dataverse(raw.replace('"@"', f'"{stamp}"').encode())).status_code == status


# --- real bodies and their variations -------------------------------------------------------------


@pytest.mark.parametrize("name", [path.stem for path in sorted(BODIES.glob("*.json")) if "central" not in path.stem])
async def test_every_real_body_is_read(doors: Doors, name: str) -> None:
    """Captures of 2017, 2020, 2023 and 2024, as they were posted (only shortened), at their own time."""
    raw = (BODIES / f"{name}.json").read_bytes()
    body = json.loads(raw)
    stamp = body["OperationCreatedOn"]
    doors.environment["CROSSDOCK_DATAVERSE_ORGANIZATION_ID"] = body["OrganizationId"]
    doors.clock.at = NOON.fromtimestamp(int(stamp[6:19]) / 1000, NOON.tzinfo)
    known = body["PrimaryEntityName"] == "account"
    with installed(doors.new_app()):
        assert (await doors.dataverse(raw)).status_code == (202 if known else 200)
        assert (await doors.dataverse(b"\xef\xbb\xbf" + raw)).status_code == (202 if known else 200)
    assert await doors.nothing_queued() is not known


TRIMMED = ("ParentContext", "InputParameters", "PreEntityImages", "PostEntityImages")


@pytest.mark.parametrize("gone", [..., None])
async def test_a_trimmed_body_is_as_good_as_a_whole_one(doors: Doors, gone: Any) -> None:
    """Above 256 KB four members are missing (absent or null: the documents do not say)."""
    body = notice(**dict.fromkeys(TRIMMED, gone))
    answer = await doors.dataverse(dump(body), **{"x-ms-dynamics-msg-size-exceeded": "true"})
    assert answer.status_code == 202
    assert not await doors.nothing_queued()


@pytest.mark.parametrize("no_key", [..., None, ZERO, ""])
@pytest.mark.parametrize("fixture", ["account_create_sync_2024", "account_delete_sync_2023"])
async def test_the_target_names_the_record_where_the_context_does_not(doors: Doors, no_key: Any, fixture: str) -> None:
    """As an Entity or as an EntityReference."""
    whole = notice(fixture)
    target = whole["InputParameters"][0]["value"]["Id"]
    assert (await doors.dataverse(dump(notice(fixture, PrimaryEntityId=no_key)))).status_code == 202
    assert (await doors.queued())[BOTH[0]][0].keys == (target,)


@pytest.mark.parametrize(
    "parameters",
    [
        ...,
        None,
        [],
        [{"key": "Other", "value": {"Id": OTHER, "LogicalName": "account"}}],
        [{"key": "Target", "value": None}],
        [{"key": "Target", "value": "text"}],
        [{"key": "Target", "value": {"Id": ZERO, "LogicalName": "account"}}],
        [{"key": "Target", "value": {"Id": OTHER, "LogicalName": "contact"}}],
    ],
)
async def test_a_notice_that_names_no_record_is_ignored(doors: Doors, parameters: Any) -> None:
    """Nothing is guessed from other members."""
    body = notice(PrimaryEntityId=None, InputParameters=parameters)
    assert (await doors.dataverse(dump(body))).status_code == 200
    assert await doors.nothing_queued()


async def test_ids_in_capitals_and_braces_are_the_same_record(doors: Doors) -> None:
    """One spelling on the queue, whatever the notice wrote."""
    key = notice()["PrimaryEntityId"]
    body = notice(PrimaryEntityId=f"{{{key.upper()}}}", OrganizationId=ORGANIZATION.upper())
    assert (await doors.dataverse(dump(body))).status_code == 202
    assert (await doors.queued())[BOTH[0]][0].keys == (key,)


IGNORED: dict[str, dict[str, Any]] = {
    "another organisation": {"OrganizationId": OTHER},
    "no organisation": {"OrganizationId": None},
    "organisation of zeros": {"OrganizationId": ZERO},
    "a table of no definition": {"PrimaryEntityName": "contact"},
    "a table of the other system": {"PrimaryEntityName": "customers"},
    "a table in capitals": {"PrimaryEntityName": "ACCOUNT"},
    "a table with a path in it": {"PrimaryEntityName": "account/../contact"},
    "a message that changes nothing": {"MessageName": "RetrieveMultiple"},
    "a message in small letters": {"MessageName": "create"},
    "a custom message": {"MessageName": "cdock_DoSomething"},
}


@pytest.mark.parametrize("case", IGNORED)
async def test_what_concerns_nobody_is_ignored_and_counted(doors: Doors, case: str) -> None:
    """200, so that Dataverse's system job succeeds; the count shows it to operators."""
    answer = await doors.dataverse(dump(notice(**IGNORED[case])))
    assert (answer.status_code, answer.content) == (200, b"")
    assert await doors.nothing_queued()
    assert sum(doors.app.notices.counts.values()) == 1


MESSAGES = ["Create", "Update", "Delete", "Assign", "SetState", "SetStateDynamicEntity", "Merge"]


@pytest.mark.parametrize("message", MESSAGES)
async def test_every_message_that_changes_a_record_is_queued(doors: Doors, message: str) -> None:
    """Also the special ones that some organisations raise instead of an update."""
    assert (await doors.dataverse(dump(notice(MessageName=message)))).status_code == 202


def _raw(**changes: Any) -> bytes:
    return dump(notice(**changes))


REFUSED: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n ",
    "half of it": _raw()[:2000],
    "all but the last brace": _raw()[:-1],
    "two bodies": _raw() + _raw(),
    "an array": dump([notice()]),
    "a text": b'"text"',
    "a number": b"17",
    "null": b"null",
    "an empty object": b"{}",
    "not JSON": b"<RemoteExecutionContext/>",
    "form data": b"OrganizationId=1&MessageName=Create",
    "UTF-16": json.dumps(notice()).encode("utf-16"),
    "Windows-1252": _raw(Extra="Tr\u00e4ger").replace(b"\\u00e4", b"\xe4"),
    "bytes that are no text": bytes(range(256)) * 8,
    "a zero byte inside": _raw().replace(b'"Create"', b'"Cre\x00ate"'),
    "half a surrogate": _raw().replace(b'"Create"', b'"Cre\\ud800ate"'),
    "nested deeper than a parser should follow": b'{"ParentContext":' * 5000 + b"null" + b"}" * 5000,
    "arrays nested deeply": _raw(Extra="@").replace(b'"@"', b"[" * 5000 + b"]" * 5000),
    "a number of a hundred thousand digits": _raw(Extra="@").replace(b'"@"', b"9" * 100_000),
    "the organisation as a number": _raw(OrganizationId=17),
    "the organisation as no GUID": _raw(OrganizationId="my organisation"),
    "the record as a number": _raw(PrimaryEntityId=17),
    "the record as no GUID": _raw(PrimaryEntityId="account-17"),
    "the record as an address": _raw(PrimaryEntityId="https://evil.example/accounts(1)"),
    "the record as a list": _raw(PrimaryEntityId=[OTHER]),
    "the record with OData in it": _raw(PrimaryEntityId=f"{OTHER}') or (1 eq 1"),
    "the table as a number": _raw(PrimaryEntityName=1),
    "the table missing": _raw(PrimaryEntityName=...),
    "the table empty": _raw(PrimaryEntityName=""),
    "the table very long": _raw(PrimaryEntityName="a" * 5000),
    "the message as an object": _raw(MessageName={"name": "Create"}),
    "the message missing": _raw(MessageName=...),
    "the organisation missing": _raw(OrganizationId=...),
    "the time missing": _raw(OperationCreatedOn=...),
    "the time null": _raw(OperationCreatedOn=None),
    "the time as a number": _raw(OperationCreatedOn=1731053106922),
    "the time in another notation": _raw(OperationCreatedOn="2026-03-02T12:00:00Z"),
    "the time beyond any calendar": _raw(OperationCreatedOn="/Date(999999999999999)/"),
    "the time before any calendar": _raw(OperationCreatedOn="/Date(-999999999999999)/"),
    "the time with thousands of digits": _raw(OperationCreatedOn=f"/Date({'9' * 100})/"),
    "the time in Arabic digits": _raw(OperationCreatedOn="/Date(\u0661\u0667\u0663)/"),
    "the operation as no GUID": _raw(OperationId="1"),
    "the step as a text": _raw(OwningExtension="step"),
    "the step's id as a number": _raw(OwningExtension={"Id": 5}),
    "parameters as an object": _raw(PrimaryEntityId=None, InputParameters={"Target": {"Id": OTHER}}),
    "the target's id as no GUID": _raw(
        PrimaryEntityId=None, InputParameters=[{"key": "Target", "value": {"Id": "1", "LogicalName": "account"}}]
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_dataverse_never_posts_is_refused(doors: Doors, case: str) -> None:
    """400 without a body, nothing queued, nothing said about why."""
    answer = await doors.dataverse(REFUSED[case])
    assert (answer.status_code, answer.content) == (400, b"")
    assert await doors.nothing_queued()


@pytest.mark.parametrize("size", [272 * 1024 + 1, 5_000_000])
async def test_a_body_larger_than_dataverse_posts_is_refused_unread(doors: Doors, size: int) -> None:
    """413, before any parsing; the largest that is taken is a good notice."""
    assert (await doors.dataverse(dump(notice(Extra="x" * size)))).status_code == 413
    assert await doors.nothing_queued()
    room = 272 * 1024 - len(dump(notice(Extra="")))
    assert (await doors.dataverse(dump(notice(Extra="x" * room)))).status_code == 202


async def test_numbers_beyond_every_type_do_no_harm_where_nobody_looks(doors: Doors) -> None:
    """Members that are not used may hold anything that is JSON."""
    raw = _raw(Depth="@", Stage="§").replace(b'"@"', b"1e999999").replace(b'"\\u00a7"', b"9" * 4000)
    assert (await doors.dataverse(raw)).status_code == 202


async def test_a_member_named_twice_counts_once(doors: Doors) -> None:
    """The last one counts, and it is checked like any other."""
    raw = _raw().replace(b'"OrganizationId":', f'"OrganizationId":"{OTHER}","OrganizationId":'.encode(), 1)
    assert (await doors.dataverse(raw)).status_code == 202
    raw = _raw()[:-1] + f',"OrganizationId":"{OTHER}"}}'.encode()
    assert (await doors.dataverse(raw)).status_code == 200


# --- outages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [BOTH, BOTH[:1], BOTH[1:]])
async def test_only_a_queue_that_takes_nothing_earns_a_second_attempt(doors: Doors, failing: tuple[str, ...]) -> None:
    """503 whichever queue fails; the second attempt repeats all, and what was stored already is not doubled."""
    down = DownQueue(doors.queue, frozenset(failing), QueueUnavailable("simulated"))
    with installed(doors.new_app(queue=down)):
        assert (await doors.dataverse(dump(notice()))).status_code == 503
    assert (await doors.dataverse(dump(notice()))).status_code == 202
    assert [len(messages) for messages in (await doors.queued()).values()] == [1, 1]


async def test_even_an_unforeseen_error_is_no_500(doors: Doors) -> None:
    """Dataverse repeats after 503 only, so that is the answer to anything that may go better next time."""
    broken = DownQueue(doors.queue, frozenset(BOTH), RuntimeError("simulated"))
    with installed(doors.new_app(queue=broken)):
        assert (await doors.dataverse(dump(notice()))).status_code == 503


async def test_taking_a_notice_asks_no_store_and_no_system(doors: Doors) -> None:
    """The engine is not even made."""
    with installed(doors.new_app(rows=None, connectors=None)) as app:
        assert (await doors.dataverse(dump(notice()))).status_code == 202
        assert app._engine is None


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods_find_nothing(doors: Doors, method: str) -> None:
    """The route knows POST only."""
    answer = await doors.http.request(method, "/api/webhooks/dataverse", headers={"x-crossdock-secret": WEBHOOK_SECRET})
    assert answer.status_code == 404


async def test_the_handler_is_an_ordinary_function_too(doors: Doors) -> None:
    """Called directly through the decorated function, as a worker calls it."""
    request = func.HttpRequest(
        "POST", "https://app.example", headers={"X-Crossdock-Secret": WEBHOOK_SECRET}, body=dump(notice())
    )
    assert (await webhooks.dataverse_webhook(request)).status_code == 202


# --- fuzz -----------------------------------------------------------------------------------------

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.uuids().map(str)
    | st.sampled_from(["Create", "account", ORGANIZATION, ZERO, f"/Date({int(NOON.timestamp() * 1000)})/"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_MEMBERS = [
    "OrganizationId",
    "PrimaryEntityId",
    "PrimaryEntityName",
    "MessageName",
    "OperationCreatedOn",
    "OperationId",
    "RequestId",
    "CorrelationId",
    "OwningExtension",
    "InputParameters",
    "ParentContext",
]
_FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(changes=st.dictionaries(st.sampled_from(_MEMBERS), _VALUES, min_size=1, max_size=3))
async def test_no_member_of_any_type_breaks_the_door(doors: Doors, changes: dict[str, Any]) -> None:
    """Whatever stands in a member: queued, ignored or refused; and only GUIDs are ever queued."""
    answer = await doors.dataverse(dump(notice(**changes)))
    assert answer.status_code in (200, 202, 400)
    for messages in (await doors.queued()).values():
        assert all(str(UUID(key)) == key for message in messages for key in message.keys)


@_FUZZ
@given(cut=st.integers(0, 6000), length=st.integers(0, 40), filling=st.binary(max_size=40))
async def test_no_broken_bytes_break_the_door(doors: Doors, cut: int, length: int, filling: bytes) -> None:
    """Bytes cut out of a real body and others put in."""
    raw = _raw()
    answer = await doors.dataverse(raw[:cut] + filling + raw[cut + length :])
    assert answer.status_code in (200, 202, 400)


# --- silence --------------------------------------------------------------------------------------


async def test_no_secret_and_no_value_of_a_body_is_logged(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    """Neither of good nor of bad requests, whatever fails."""
    marker = "Kontoinhaber-4711"
    bodies = [dump(notice(Extra=marker)), dump(notice(MessageName=marker)), dump(notice(PrimaryEntityId=marker))]
    bodies += [dump(notice(PrimaryEntityName=marker)), dump(notice(Extra=marker))[:-5]]
    broken = DownQueue(doors.queue, frozenset(BOTH), RuntimeError(marker))
    with caplog.at_level(logging.DEBUG):
        for app in (doors.app, doors.new_app(queue=broken)):
            with installed(app):
                for body in bodies:
                    await doors.dataverse(body)
                    await doors.dataverse(body, marker)
    assert caplog.records
    written = "\n".join(record.getMessage() for record in caplog.records) + caplog.text
    assert not [secret for secret in (*SECRETS, marker) if secret in written]
