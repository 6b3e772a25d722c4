"""What the endpoint does not do or not allow is refused in words the client understands, and never by silence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    ServiceBusAuthenticationError,
    ServiceBusError,
)

from local.servicebus.codec import Array, Described, Int, Long, Symbol, UInt, ULong, Value, decode, encode
from local.servicebus.messages import VALUE, read_request, sections
from local.servicebus.performatives import (
    ACCEPTED,
    COORDINATOR,
    REJECTED,
    Attach,
    Close,
    Detach,
    Disposition,
    Performative,
    SaslOutcome,
    state_code,
)
from tests.contract.servicebus.conftest import QUEUE
from tests.contract.servicebus.rig import (
    KEY,
    KEY_NAME,
    EndpointOnThread,
    RawPeer,
    condition_of,
    data_message,
)


@pytest.fixture(scope="module")
def client(door: EndpointOnThread) -> Iterator[ServiceBusClient]:
    """A client that does not try again."""
    with door.client() as opened:
        yield opened


# --- through the client ---------------------------------------------------------------------------


def test_a_wrong_key_is_an_authentication_error(door: EndpointOnThread) -> None:
    """The signature does not fit."""
    wrong = door.connection_string.replace(KEY, "wrong")
    with (
        ServiceBusClient.from_connection_string(wrong, retry_total=0) as stranger,
        pytest.raises(ServiceBusAuthenticationError),
    ):
        stranger.get_queue_sender(QUEUE).send_messages(ServiceBusMessage("x"))


def test_a_wrong_key_name_is_an_authentication_error(door: EndpointOnThread) -> None:
    """There is one access rule, and its name counts."""
    wrong = door.connection_string.replace(f"Name={KEY_NAME}", "Name=other")
    with (
        ServiceBusClient.from_connection_string(wrong, retry_total=0) as stranger,
        pytest.raises(ServiceBusAuthenticationError),
    ):
        stranger.get_queue_receiver(QUEUE).receive_messages(max_wait_time=5)


def test_an_unknown_queue_is_an_authentication_error_as_in_the_cloud(client: ServiceBusClient) -> None:
    """The service answers 404 to put-token already, so this is what clients see there."""
    with pytest.raises(ServiceBusAuthenticationError):
        client.get_queue_sender("nowhere").send_messages(ServiceBusMessage("x"))


@pytest.mark.parametrize("session", ["a", "", NEXT_AVAILABLE_SESSION])
def test_message_sessions_are_refused(client: ServiceBusClient, session: Any) -> None:
    """There are none; the link is refused at once instead of waiting for one."""
    receiver = client.get_queue_receiver(QUEUE, session_id=session)
    with pytest.raises(ServiceBusError, match="message sessions"):
        receiver.receive_messages(max_wait_time=5)
    receiver.close()


def test_a_queue_has_its_own_size_limit(client: ServiceBusClient) -> None:
    """The limit of the queue is what the link tells the client."""
    with client.get_queue_sender("bystander") as sender:
        assert sender.create_message_batch().max_size_in_bytes == 2048
        with pytest.raises(MessageSizeExceededError):
            sender.send_messages(ServiceBusMessage("x" * 3000))
        with pytest.raises(MessageSizeExceededError):
            sender.schedule_messages(ServiceBusMessage("x" * 3000), datetime.now(UTC) + timedelta(hours=1))
        with pytest.raises(ServiceBusError, match="partition key"):
            sender.send_messages(_contradictory())


def _contradictory() -> ServiceBusMessage:
    message = ServiceBusMessage("x", session_id="one")
    message.raw_amqp_message.annotations = {"x-opt-partition-key": "two"}
    return message


# --- frame by frame -------------------------------------------------------------------------------


@pytest.fixture
def port(door: EndpointOnThread) -> int:
    """Where raw peers connect."""
    return door.endpoint.port


async def refusal_of(peer: RawPeer, attached: Any) -> str:
    """A refused attach has no ends and is followed by a detach that says why."""
    assert isinstance(attached, Attach)
    assert attached.source is None
    assert attached.target is None
    detach = await peer.next_of(Detach)
    assert detach.closed
    return condition_of(detach.error)


@pytest.mark.parametrize(
    ("address", "condition"),
    [
        ("nowhere", "amqp:not-found"),
        (f"{QUEUE}/$DeadLetterQueue", "amqp:not-allowed"),
        (None, "amqp:invalid-field"),
        (ULong(1), "amqp:invalid-field"),
        ("", "amqp:invalid-field"),
    ],
)
async def test_targets_that_cannot_be_sent_to_are_refused(port: int, address: Value, condition: str) -> None:
    """The link is refused; the session goes on."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        assert await refusal_of(peer, await peer.attach_sender(address)) == condition
        assert (await peer.attach_sender(QUEUE, 2)).source is not None


async def test_transactions_are_refused_where_they_begin(port: int) -> None:
    """A coordinator cannot be attached to, and a transactional send is rejected."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        coordinator = Described(ULong(COORDINATOR), [])
        refused = await peer.attach_sender(None, target=coordinator)
        assert await refusal_of(peer, refused) == "amqp:not-implemented"
        await peer.attach_sender(QUEUE, 2)
        peer.transfer(data_message(b"x"), 2, state=Described(ULong(0x34), [b"txn"]))
        disposition = await peer.next_of(Disposition)
        assert state_code(disposition.state) == REJECTED
        assert condition_of(disposition.state.value[0]) == "amqp:not-implemented"


@pytest.mark.parametrize(
    ("source", "condition"),
    [
        ({"filter": {Symbol("com.microsoft:session-filter"): "a"}}, "amqp:not-allowed"),
        ({"filter": {Symbol("com.microsoft:session-filter"): None}}, "amqp:not-allowed"),
        ({"filter": {Symbol("com.microsoft:session-filter"): Described(ULong(1), "a")}}, "amqp:not-allowed"),
        ({"filter": {Symbol("apache.org:selector-filter:string"): "a = 1"}}, "amqp:not-implemented"),
        ({"dynamic": True}, "amqp:not-implemented"),
    ],
)
async def test_sources_with_special_wishes_are_refused(port: int, source: dict[str, Any], condition: str) -> None:
    """A filter that is not applied would deliver the wrong messages, so it is not accepted."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        assert await refusal_of(peer, await peer.attach_receiver(QUEUE, **source)) == condition


async def test_without_a_token_nothing_can_be_attached(port: int) -> None:
    """ANONYMOUS only gets as far as $cbs."""
    async with await RawPeer.connect(port) as peer:
        await peer.open()
        for handle, address in enumerate((QUEUE, f"{QUEUE}/$management")):
            assert await refusal_of(peer, await peer.attach_sender(address, handle)) == "amqp:unauthorized-access"


async def ask(peer: RawPeer, path: str, properties: dict[str, Value], body: Value) -> tuple[dict[str, Value], Value]:
    """Put a request to a node, with links of its own, and read the answer."""
    assert (await peer.attach_sender(path, 10)).target is not None
    assert (await peer.attach_receiver(path, 11)).source is not None
    peer.credit(1, 11)
    sections_of = [(0x73, [ULong(77)]), (0x74, properties), (0x77, body)]
    peer.transfer(b"".join(encode(Described(ULong(code), value)) for code, value in sections_of), 10)
    _, encoded = await peer.delivery()
    answer = read_request(encoded)
    [value] = [decode(encoded, part.start)[0] for part in sections(encoded) if part.code == VALUE]
    peer.send(Detach(10, True))
    peer.send(Detach(11, True))
    await peer.next_of(Detach)
    await peer.next_of(Detach)
    return dict(answer.properties), value


@pytest.mark.parametrize(
    ("path", "key", "expires", "audience", "status"),
    [
        (QUEUE, KEY, 4_000_000_000, QUEUE, 202),
        ("", KEY, 4_000_000_000, QUEUE, 202),
        (QUEUE, KEY, 4_000_000_000, f"{QUEUE}/$DeadLetterQueue/$management", 202),
        (QUEUE, "wrong", 4_000_000_000, QUEUE, 401),
        (QUEUE, KEY, 1_000_000_000, QUEUE, 401),
        ("bystander", KEY, 4_000_000_000, QUEUE, 401),
        ("nowhere", KEY, 4_000_000_000, "nowhere", 404),
    ],
)
async def test_tokens_are_checked(port: int, path: str, key: str, expires: int, audience: str, status: int) -> None:
    """Signature, expiry, address and queue each count; a good token opens exactly what it was signed for."""
    async with await RawPeer.connect(port) as peer:
        await peer.open()
        properties = {"operation": "put-token", "type": "jwt", "name": f"sb://127.0.0.1:{port}/{audience}"}
        answer, _ = await ask(peer, "$cbs", properties, peer.token(path, key, expires))
        assert answer["status-code"] == status
        attached = await peer.attach_receiver(audience, 1)
        assert (attached.source is not None) == (status == 202)
        if status == 202:
            assert (await peer.attach_receiver("fleeting", 2)).source is None


@pytest.mark.parametrize("token", ["eyJhbGciOiJub25lIn0.e30.", "SharedAccessSignature sr=a", ""])
async def test_tokens_of_another_kind_are_refused(port: int, token: str) -> None:
    """Only shared access signatures are known here."""
    async with await RawPeer.connect(port) as peer:
        await peer.open()
        answer, _ = await ask(peer, "$cbs", {"operation": "put-token", "name": QUEUE}, token)
        assert answer["status-code"] == 401


@pytest.mark.parametrize("properties", [{"operation": "delete-token", "name": QUEUE}, {"operation": "put-token"}, {}])
async def test_nonsense_to_cbs_is_answered(port: int, properties: dict[str, Value]) -> None:
    """Never silence."""
    async with await RawPeer.connect(port) as peer:
        await peer.open()
        answer, _ = await ask(peer, "$cbs", properties, "token")
        assert answer["status-code"] == 400


@pytest.mark.parametrize(
    ("response", "code"),
    [(f"\0{KEY_NAME}\0{KEY}", 0), (f"\0{KEY_NAME}\0wrong", 1), (f"\0other\0{KEY}", 1), ("", 1), ("a\0b", 1)],
)
async def test_plain_sign_in_needs_name_and_key(port: int, response: str, code: int) -> None:
    """For plain AMQP tools."""
    async with await RawPeer.connect(port) as peer:
        outcome = await peer.sign_in("PLAIN", response.encode())
        assert isinstance(outcome, SaslOutcome)
        assert outcome.result == code
        assert code == 0 or await peer.at_end()


_TOKENS = {"lock-tokens": Array(Long, (Long(1),))}


@pytest.mark.parametrize(
    ("operation", "body", "status", "condition"),
    [
        ("com.microsoft:get-session-state", {"session-id": "a"}, 501, "amqp:not-implemented"),
        ("com.microsoft:set-session-state", {"session-id": "a"}, 501, "amqp:not-implemented"),
        ("com.microsoft:renew-session-lock", {"session-id": "a"}, 501, "amqp:not-implemented"),
        ("com.microsoft:get-message-sessions", {"skip": Int(0)}, 501, "amqp:not-implemented"),
        ("com.microsoft:add-rule", {}, 501, "amqp:not-implemented"),
        ("com.microsoft:remove-rule", {}, 501, "amqp:not-implemented"),
        ("com.microsoft:enumerate-rules", {}, 501, "amqp:not-implemented"),
        (None, {}, 501, "amqp:not-implemented"),
        ("com.microsoft:peek-message", "text", 400, "com.microsoft:argument-error"),
        ("com.microsoft:peek-message", {}, 400, "com.microsoft:argument-error"),
        (
            "com.microsoft:peek-message",
            {"from-sequence-number": Long(1), "message-count": Int(0)},
            400,
            "com.microsoft:argument-error",
        ),
        (
            "com.microsoft:peek-message",
            {"from-sequence-number": Long(1), "message-count": Int(1), "session-id": "a"},
            400,
            "amqp:not-allowed",
        ),
        (
            "com.microsoft:peek-message",
            {"from-sequence-number": Long(2**62), "message-count": Int(1)},
            204,
            "com.microsoft:message-not-found",
        ),
        ("com.microsoft:renew-lock", {}, 400, "com.microsoft:argument-error"),
        ("com.microsoft:renew-lock", _TOKENS, 400, "com.microsoft:argument-error"),
        ("com.microsoft:update-disposition", {"disposition-status": "eaten"}, 400, "com.microsoft:argument-error"),
        ("com.microsoft:schedule-message", {"messages": [{}]}, 400, "com.microsoft:argument-error"),
        ("com.microsoft:schedule-message", {"messages": [{"message": b"\x00"}]}, 400, "amqp:decode-error"),
        (
            "com.microsoft:schedule-message",
            {"messages": [{"message": data_message(b"x")}]},
            400,
            "com.microsoft:argument-error",
        ),
        ("com.microsoft:cancel-scheduled-message", {"sequence-numbers": []}, 400, "com.microsoft:argument-error"),
        (
            "com.microsoft:cancel-scheduled-message",
            {"sequence-numbers": Array(Long, (Long(5),))},
            404,
            "com.microsoft:message-not-found",
        ),
        (
            "com.microsoft:receive-by-sequence-number",
            {"sequence-numbers": Array(Long, (Long(5),)), "receiver-settle-mode": UInt(1)},
            404,
            "com.microsoft:message-not-found",
        ),
    ],
)
async def test_management_refuses_in_its_own_words(
    port: int, operation: str | None, body: Value, status: int, condition: str
) -> None:
    """A number and a condition: clients choose their exception by the latter."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        properties = {} if operation is None else {"operation": operation}
        answer, _ = await ask(peer, f"{QUEUE}/$management", properties, body)
        assert (answer["statusCode"], answer["errorCondition"]) == (status, condition)
        assert answer["statusDescription"]


async def test_a_request_without_a_link_for_the_answer_is_rejected(port: int) -> None:
    """It could not be answered."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        await peer.attach_sender(f"{QUEUE}/$management")
        peer.transfer(encode(Described(ULong(0x77), {})))
        disposition = await peer.next_of(Disposition)
        assert condition_of(disposition.state.value[0]) == "amqp:not-allowed"


def _section(code: int, value: Value) -> bytes:
    return encode(Described(ULong(code), value))


_BODY = _section(0x75, b"x")


@pytest.mark.parametrize(
    ("encoded", "condition"),
    [
        (b"garbage", "amqp:decode-error"),
        (b"\x00", "amqp:decode-error"),
        (_section(0x99, []), "amqp:decode-error"),
        (_BODY + _section(0x73, []), "amqp:decode-error"),
        (_section(0x73, []) + _section(0x73, []) + _BODY, "amqp:decode-error"),
        (_section(0x73, {}) + _BODY, "amqp:decode-error"),
        (_section(0x74, {"a": 1.0})[:-3], "amqp:decode-error"),
        (_section(0x74, {ULong(1): None, None: None}) + _BODY, "amqp:decode-error"),
        (_section(0x72, ["a"]) + _BODY, "amqp:decode-error"),
        (_section(0x73, ["i" * 129]) + _BODY, "com.microsoft:argument-error"),
        (_section(0x73, [*[None] * 10, "s" * 129]) + _BODY, "com.microsoft:argument-error"),
        (_section(0x73, [1.5]) + _BODY, "amqp:decode-error"),
        (_section(0x70, [None, None, "ttl"]) + _BODY, "amqp:decode-error"),
        (_section(0x72, {Symbol("x-opt-scheduled-enqueue-time"): "now"}) + _BODY, "amqp:invalid-field"),
        (_section(0x72, {Symbol("x-opt-scheduled-enqueue-time"): ULong(2**63)}) + _BODY, "amqp:invalid-field"),
    ],
)
async def test_messages_that_are_none_are_rejected(port: int, encoded: bytes, condition: str) -> None:
    """The sender is told why; its link goes on working."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        await peer.attach_sender("fleeting")
        peer.transfer(encoded)
        disposition = await peer.next_of(Disposition)
        assert disposition.settled
        assert condition_of(disposition.state.value[0]) == condition
        peer.transfer(data_message(b"good"), settled=False)
        assert state_code((await peer.next_of(Disposition)).state) == ACCEPTED


@pytest.mark.parametrize("inner", [[], [b"garbage"], [data_message(b"x"), b"garbage"], ["text"]])
async def test_a_batch_with_a_bad_message_is_rejected_as_a_whole(
    door: EndpointOnThread, port: int, inner: list[Value]
) -> None:
    """All of a batch or nothing."""
    before = door.counts(QUEUE)
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        await peer.attach_sender(QUEUE)
        peer.transfer(b"".join(_section(0x75, one) for one in inner), message_format=0x80013700)
        disposition = await peer.next_of(Disposition)
        assert condition_of(disposition.state.value[0]) == "amqp:decode-error"
    assert door.counts(QUEUE) == before


async def test_unsupported_outcomes_are_rejected(port: int) -> None:
    """A transactional settlement and an outcome that AMQP does not know."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        await peer.attach_sender(QUEUE)
        await peer.attach_receiver(QUEUE)
        for count, code in enumerate((0x34, 0x99)):
            peer.transfer(data_message(b"x"))
            peer.credit(1, count=count, seen=count)
            first, _ = await peer.delivery()
            assert first.delivery_id is not None
            peer.send(Disposition(True, first.delivery_id, None, False, Described(ULong(code), [])))
            while (answer := await peer.next_of(Disposition)).role:
                continue
            assert state_code(answer.state) == REJECTED
            assert condition_of(answer.state.value[0]) in ("amqp:not-implemented", "amqp:invalid-field")


@pytest.mark.parametrize(
    "frame", [Disposition(True, 5, 2**32 - 1, True, None), Detach(200, True), Disposition(False, 0, None, True, None)]
)
async def test_frames_about_what_is_gone_are_ignored(port: int, frame: Performative) -> None:
    """Clients detach and settle late; that is no reason to end their connection."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        peer.send(frame)
        peer.send(frame, channel=5)
        peer.send(Close())
        assert isinstance(await peer.next_of(Close), Close)
