"""Credit, windows, order and the exact bytes on the wire, seen frame by frame."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from local.servicebus import QueueSettings, ServiceBusEndpoint
from local.servicebus.codec import (
    Array,
    Decimal,
    Described,
    Float,
    Int,
    Long,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Value,
    decode,
    encode,
)
from local.servicebus.messages import DELIVERY_ANNOTATIONS, HEADER, MESSAGE_ANNOTATIONS, PROPERTIES, sections
from local.servicebus.performatives import (
    ACCEPTED,
    MODIFIED,
    RELEASED,
    Begin,
    Detach,
    Disposition,
    Flow,
    Transfer,
    outcome,
)
from tests.contract.servicebus.rig import KEY, KEY_NAME, MovableClock, RawPeer, data_message, take

QUEUE = "q"


@pytest.fixture
def clock() -> MovableClock:
    """The endpoint's time."""
    return MovableClock()


@pytest.fixture
async def endpoint(clock: MovableClock) -> AsyncIterator[ServiceBusEndpoint]:
    """An endpoint on the test's own loop."""
    started = ServiceBusEndpoint(queues=[QueueSettings(QUEUE)], path=None, key_name=KEY_NAME, key=KEY, clock=clock)
    await started.start()
    yield started
    await started.stop()


@pytest.fixture
async def peer(endpoint: ServiceBusEndpoint) -> AsyncIterator[RawPeer]:
    """A signed-in peer with a sender (handle 0) and a receiver (handle 1)."""
    async with await RawPeer.connect(endpoint.port) as connected:
        await connected.open_plain()
        await connected.attach_sender(QUEUE)
        await connected.attach_receiver(QUEUE)
        yield connected


async def put(peer: RawPeer, *bodies: bytes) -> None:
    """Send messages and wait until they are accepted."""
    for body in bodies:
        peer.transfer(data_message(body))
        assert (await peer.next_of(Disposition)).state == outcome(ACCEPTED)


def values(encoded: bytes) -> dict[int, Value]:
    """The sections in front of the bare message."""
    return {part.code: decode(encoded, part.start)[0] for part in sections(encoded) if part.code < PROPERTIES}


async def test_attach_tells_size_modes_and_the_same_addresses(endpoint: ServiceBusEndpoint) -> None:
    """The client compares the source with its own string, and reads the size from the target's side."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        address = f"amqps://127.0.0.1:{endpoint.port}/Q"
        sender = await peer.attach_sender(address)
        assert sender.target.value[0] == address
        assert (sender.role, sender.max_message_size, sender.snd_settle_mode) == (True, 262_144, 0)
        assert sender.properties == {"com.microsoft:max-message-batch-size": 262_144}
        credit = await peer.next_of(Flow)
        assert (credit.handle, credit.link_credit, credit.delivery_count) == (0, 1000, 0)
        receiver = await peer.attach_receiver(address)
        assert receiver.source.value[0] == address
        assert (receiver.role, receiver.initial_delivery_count, receiver.rcv_settle_mode) == (False, 0, 1)
        assert receiver.max_message_size == 262_144


async def test_the_sender_s_credit_is_renewed_at_half(peer: RawPeer) -> None:
    """And a sender that goes beyond its credit is still served."""
    for _ in range(1200):
        peer.transfer(data_message(b"x"), settled=True)
    flow = await peer.next_of(Flow)
    while flow.delivery_count < 1000:
        flow = await peer.next_of(Flow)
    assert (flow.delivery_count, flow.link_credit) == (1000, 1000)
    await put(peer, b"last")


async def test_a_delivery_has_exactly_the_expected_envelope(peer: RawPeer, endpoint: ServiceBusEndpoint) -> None:
    """First delivery: count 0, the token in three forms, number, times; nothing else."""
    await put(peer, b"x")
    peer.credit(1)
    transfer, encoded = await peer.delivery()
    envelope = values(encoded)
    token = envelope[DELIVERY_ANNOTATIONS]["x-opt-lock-token"]
    assert isinstance(token, UUID)
    assert transfer.delivery_tag == token.bytes_le
    assert envelope[HEADER] == [None, UByte(4), None, None, UInt(0)]
    annotations = envelope[MESSAGE_ANNOTATIONS]
    assert set(annotations) == {"x-opt-enqueued-time", "x-opt-sequence-number", "x-opt-locked-until"}
    assert annotations["x-opt-sequence-number"] == 1
    assert type(annotations["x-opt-sequence-number"]) is Long
    assert annotations["x-opt-locked-until"] - annotations["x-opt-enqueued-time"] in range(60_000, 62_000)
    assert {type(annotations[key]) for key in annotations if "number" not in key} == {Timestamp}
    assert not transfer.settled


async def test_receive_and_delete_has_no_tag_and_an_empty_annotation(endpoint: ServiceBusEndpoint) -> None:
    """As the service's own clients expect it."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        await peer.attach_sender(QUEUE)
        await peer.attach_receiver(QUEUE, settle=1)
        await put(peer, b"x")
        peer.credit(1)
        transfer, encoded = await peer.delivery()
        assert (transfer.settled, transfer.delivery_tag) == (True, None)
        assert values(encoded)[DELIVERY_ANNOTATIONS] == {}
        assert "x-opt-locked-until" not in values(encoded)[MESSAGE_ANNOTATIONS]


EXOTIC: list[Value] = [
    Decimal(b"\x22\x08\x00\x00" + b"\x00" * 10 + b"\x04\xd2"),
    Decimal(b"\x00" * 4),
    {Long(1): "a", "b": [Float(1.5), 2.5, None, UByte(1)], Symbol("c"): Array(UShort, (UShort(1), UShort(2)))},
    Described(Symbol("vendor:thing"), Described(ULong(7), [])),
    "\U0001f4e6" * 100,
    None,
]


@pytest.mark.parametrize("value", EXOTIC)
async def test_the_sender_s_bytes_come_back_unchanged(peer: RawPeer, value: Value) -> None:
    """From the properties on nothing is touched, in whatever form the sender wrote it; annotations keep their types."""
    properties = encode(Described(ULong(0x73), ["id", b"user", *[None] * 8, "group"]))
    long_form = b"\x00\x80\x00\x00\x00\x00\x00\x00\x00\x74\xd1\x00\x00\x00\x0a\x00\x00\x00\x02\xa1\x01k\xa1\x01v"
    footer = encode(Described(Symbol("amqp:footer:map"), {Symbol("x-sum"): Int(1)}))
    bare = properties + long_form + encode(Described(ULong(0x77), value)) + footer
    custom = {Symbol("custom"): Decimal(b"\x01" * 8), Symbol("x-opt-partition-key"): b"group", Symbol("n"): UShort(7)}
    system = {Symbol("x-opt-sequence-number"): Long(99), Symbol("x-opt-locked-until"): Timestamp(5)}
    head = encode(Described(ULong(0x70), [True, UByte(9), UInt(5_000_000), True, UInt(7)]))
    peer.transfer(head + encode(Described(ULong(0x72), {**custom, **system})) + bare)
    peer.credit(1)
    _, encoded = await peer.delivery()
    assert encoded.endswith(bare)
    envelope = values(encoded)
    assert envelope[HEADER] == [True, UByte(9), UInt(5_000_000), None, UInt(0)]
    annotations = envelope[MESSAGE_ANNOTATIONS]
    assert {key: annotations[key] for key in custom} == custom
    assert type(annotations["n"]) is UShort
    assert annotations["x-opt-sequence-number"] == 1


async def test_a_missing_message_id_is_filled_in_and_nothing_else(peer: RawPeer) -> None:
    """Other clients of the service stumble over a message without id."""
    subject = encode(Described(ULong(0x73), [None, None, None, "subject"]))
    peer.transfer(subject + encode(Described(ULong(0x75), b"x")))
    peer.credit(1)
    _, encoded = await peer.delivery()
    parts = {part.code: decode(encoded, part.start)[0] for part in sections(encoded)}
    assert str(UUID(parts[PROPERTIES][0])) == parts[PROPERTIES][0]
    assert parts[PROPERTIES][1:] == [None, None, "subject"]


async def test_drain_delivers_what_is_there_and_returns_the_rest(peer: RawPeer) -> None:
    """The credit that is left counts as used."""
    await put(peer, b"1", b"2")
    peer.credit(5, drain=True)
    assert [await peer.body(), await peer.body()] == [b"1", b"2"]
    flow = await peer.next_of(Flow)
    assert (flow.drain, flow.link_credit, flow.delivery_count) == (True, 0, 5)
    await put(peer, b"3")
    peer.credit(1, count=5, seen=2)
    assert await peer.body() == b"3"


async def test_drain_without_credit_is_answered(peer: RawPeer) -> None:
    """This is how the Python client closes a receiver."""
    peer.credit(0, drain=True)
    while not (flow := await peer.next_of(Flow)).drain:
        continue
    assert flow.link_credit == 0


async def test_credit_is_set_not_added_and_can_be_taken_back(peer: RawPeer, endpoint: ServiceBusEndpoint) -> None:
    """The last word counts."""
    peer.credit(10)
    peer.credit(0)
    await put(peer, b"1", b"2")
    assert endpoint.queue(QUEUE).counts().active == 2
    peer.credit(1)
    peer.credit(1)
    assert await peer.body() == b"1"
    peer.send(Flow(None, 100, 0, 100, 1, echo=True))
    assert (await peer.next_of(Flow)).link_credit == 0
    assert endpoint.queue(QUEUE).counts().active == 1


async def test_waiting_receivers_are_served_in_the_order_of_their_credit(
    peer: RawPeer, endpoint: ServiceBusEndpoint
) -> None:
    """The first to ask gets all it asked for, then the second."""
    async with await RawPeer.connect(endpoint.port) as second:
        await second.open_plain()
        await second.attach_receiver(QUEUE)
        peer.credit(2, echo=True)
        await peer.next_of(Flow)
        second.credit(2, echo=True)
        await second.next_of(Flow)
        async with await RawPeer.connect(endpoint.port) as sender:
            await sender.open_plain()
            await sender.attach_sender(QUEUE)
            await put(sender, b"1", b"2", b"3")
        assert [await peer.body(), await peer.body()] == [b"1", b"2"]
        assert await second.body() == b"3"


async def test_the_client_s_window_is_respected(endpoint: ServiceBusEndpoint) -> None:
    """Frames beyond it wait, in order, until the client opens it again."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain(max_frame_size=512)
        await peer.attach_sender(QUEUE)
        await peer.attach_receiver(QUEUE)
        await put(peer, b"x" * 1000, b"y" * 1000, b"z")
        peer.send(Flow(0, 2, 0, 100, 1, 0, 10))
        first, _ = await peer.next()
        second, _ = await peer.next()
        assert {type(first).__name__, type(second).__name__} == {"Transfer"}
        assert endpoint.queue(QUEUE).counts().locked == 1
        peer.send(Flow(2, 100, 0, 100))
        third, piece = await peer.next()
        assert not getattr(third, "more", True)
        assert piece.endswith(b"x")
        assert [await peer.body(), await peer.body()] == [b"y" * 1000, b"z"]


async def test_frames_keep_to_the_client_s_size(endpoint: ServiceBusEndpoint) -> None:
    """A client that only takes small frames gets small frames; id and tag stand in the first."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain(max_frame_size=512)
        await peer.attach_sender(QUEUE)
        await peer.attach_receiver(QUEUE)
        await put(peer, b"x" * 2000)
        peer.credit(1)
        frames: list[tuple[Transfer, bytes]] = []
        while not frames or frames[-1][0].more:
            frame, piece = await peer.next()
            if isinstance(frame, Transfer):
                frames.append((frame, piece))
        assert len(frames) > 4
        assert all(8 + len(frame.encoded()) + len(piece) <= 512 for frame, piece in frames)
        assert [frame.delivery_id for frame, _ in frames] == [0] + [None] * (len(frames) - 1)


@pytest.mark.parametrize(
    ("state", "counted", "waits"),
    [
        (Described(ULong(RELEASED), []), 0, True),
        (Described(ULong(MODIFIED), [True, False]), 1, True),
        (Described(ULong(MODIFIED), [True, True]), 0, False),
        (None, 0, True),
    ],
)
async def test_settling_beforehand_takes_effect_without_an_answer(
    peer: RawPeer, endpoint: ServiceBusEndpoint, state: Described | None, counted: int, waits: bool
) -> None:
    """Older clients settle and do not look back; no state at all means not handled."""
    await put(peer, b"x")
    peer.credit(1)
    first, _ = await peer.delivery()
    assert first.delivery_id is not None
    peer.send(Disposition(True, first.delivery_id, None, True, state))
    peer.credit(1, count=1, seen=1, echo=True)
    if waits:
        _, encoded = await peer.delivery()
        assert values(encoded)[HEADER][4] == counted
    else:
        await peer.next_of(Flow)
        assert endpoint.queue(QUEUE).counts().deferred == 1


async def test_modified_may_change_application_properties(peer: RawPeer) -> None:
    """Other clients send properties to modify with their settlement."""
    await put(peer, b"x")
    peer.credit(1)
    await peer.delivery()
    changes = {Symbol("step"): Int(2), Symbol("note"): "again"}
    peer.send(Disposition(True, 0, None, False, Described(ULong(MODIFIED), [True, False, changes])))
    answer = await peer.next_of(Disposition)
    assert answer.state == outcome(MODIFIED)
    peer.credit(1, count=1, seen=1)
    _, encoded = await peer.delivery()
    parts = {part.code: decode(encoded, part.start)[0] for part in sections(encoded)}
    assert parts[0x74] == {"step": Int(2), "note": "again"}


async def test_detaching_keeps_locks_and_ending_lets_go(
    peer: RawPeer, endpoint: ServiceBusEndpoint, clock: MovableClock
) -> None:
    """A delivery that was not settled stays locked until its time is over; then it comes again."""
    await put(peer, b"x")
    peer.credit(1)
    await peer.delivery()
    peer.send(Detach(1, False))
    detach = await peer.next_of(Detach)
    assert (detach.handle, detach.closed) == (1, False)
    assert endpoint.queue(QUEUE).counts().locked == 1
    clock.move(timedelta(seconds=61))
    endpoint.wake()
    assert await take(endpoint.port, QUEUE, 1) == [b"x"]


async def test_a_client_that_does_not_read_is_not_flooded(endpoint: ServiceBusEndpoint) -> None:
    """With unlimited credit and a full socket the rest of the queue stays for others."""
    async with await RawPeer.connect(endpoint.port) as sender:
        await sender.open_plain()
        await sender.attach_sender(QUEUE)
        await put(sender, *[b"x" * 200_000] * 80)
    async with await RawPeer.connect(endpoint.port) as lazy:
        await lazy.open_plain()
        await lazy.attach_receiver(QUEUE)
        lazy.credit(1000)
        await take(endpoint.port, QUEUE, 1)
        counts = endpoint.queue(QUEUE).counts()
        assert 0 < counts.locked < 79
        for _ in range(79):
            await lazy.delivery()


async def test_several_sessions_share_a_connection(peer: RawPeer) -> None:
    """Channels are independent."""
    peer.send(Begin(None, 0, 100, 100), channel=7)
    begun = await peer.next_of(Begin)
    assert begun.remote_channel == 7
    await put(peer, b"x")
