"""Peers that speak wrongly lose their own connection, with an error where one can be told; everybody else goes on."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.servicebus import QueueSettings, ServiceBusEndpoint
from local.servicebus.broker import Broker
from local.servicebus.cbs import Authority
from local.servicebus.codec import Described, ULong, encode
from local.servicebus.connection import CHANNEL_MAX, MAX_FRAME_BYTES, MAX_LINKS, SIGN_IN_SECONDS, Connection
from local.servicebus.context import Context
from local.servicebus.faults import Faults
from local.servicebus.frames import AMQP_HEADER, EMPTY_FRAME, SASL_FRAME, SASL_HEADER, encode_frame
from local.servicebus.management import Management
from local.servicebus.performatives import (
    SENDER,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    Flow,
    Open,
    Performative,
    SaslInit,
    Source,
    Target,
    Transfer,
)
from local.servicebus.store import SqliteStore
from tests.contract.servicebus.rig import KEY, KEY_NAME, MovableClock, RawPeer, condition_of, data_message, take

QUEUE = "q"


@pytest.fixture
async def endpoint() -> AsyncIterator[ServiceBusEndpoint]:
    """An endpoint on the test's own loop."""
    started = ServiceBusEndpoint(queues=[QueueSettings(QUEUE)], path=None, key_name=KEY_NAME, key=KEY)
    await started.start()
    yield started
    await started.stop()


async def serves(endpoint: ServiceBusEndpoint) -> bool:
    """Whether another client can send and receive."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        await peer.attach_sender(QUEUE)
        peer.transfer(data_message(b"alive"))
        await peer.next_of(Disposition)
    return await take(endpoint.port, QUEUE, 1) == [b"alive"]


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"AMQP\x00\x00\x09\x01",
        b"AMQP\x02\x01\x00\x00",
        AMQP_HEADER,
        b"\x00" * 1000,
    ],
)
async def test_other_protocols_are_turned_away(endpoint: ServiceBusEndpoint, greeting: bytes) -> None:
    """HTTP, TLS, AMQP 0-9-1, AMQP without SASL, noise."""
    async with await RawPeer.connect(endpoint.port) as peer:
        peer.send_bytes(greeting)
        if not greeting.startswith(b"\x16"):
            assert await peer.header() == SASL_HEADER
        assert await peer.at_end()
    assert await serves(endpoint)


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">IBBH", MAX_FRAME_BYTES + 1, 2, 0, 0),
        struct.pack(">IBBH", 2**32 - 1, 2, 0, 0),
        struct.pack(">IBBH", 7, 2, 0, 0),
        struct.pack(">IBBH", 8, 1, 0, 0),
        struct.pack(">IBBH", 8, 200, 0, 0),
        struct.pack(">IBBH", 8, 2, 7, 0),
        encode_frame(0, b"\xff\xff"),
        encode_frame(0, encode("text")),
        encode_frame(0, encode(Described(ULong(0x99), []))),
        encode_frame(0, encode(Described(ULong(0x10), {}))),
        encode_frame(0, encode(Described(ULong(0x12), ["name"]))),
        encode_frame(0, encode(Described(ULong(0x12), [ULong(5), "handle", True]))),
        encode_frame(0, encode(Described(ULong(0x14), ["handle"]))),
        encode_frame(0, encode(Described(ULong(0x14), [None] * 20))),
        encode_frame(0, b"\x00\x53\x01" * 5000 + b"\x40"),
        encode_frame(0, b"\x00\x53\x14\xd0" + struct.pack(">II", 60000, 2**31)),
        encode_frame(0, Open("again").encoded()),
        encode_frame(0, SaslInit("ANONYMOUS").encoded(), SASL_FRAME),
        encode_frame(0, Begin(None, 0, 1, 1).encoded()),
        encode_frame(CHANNEL_MAX + 1, Begin(None, 0, 1, 1).encoded()),
        encode_frame(0, Attach("n", 255, SENDER, target=Target(QUEUE)).encoded()),
        encode_frame(0, Attach("n", 0, SENDER, target=Described(ULong(0x29), [1.5, "x"])).encoded()),
    ],
)
async def test_senseless_frames_close_the_connection_with_an_error(endpoint: ServiceBusEndpoint, frame: bytes) -> None:
    """Wrong sizes, wrong types, wrong moments, deep nesting, huge counts."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        peer.send_bytes(frame)
        closed = await peer.next_of(Close)
        assert condition_of(closed.error).startswith("amqp:")
        assert await peer.at_end()
    assert await serves(endpoint)


async def test_wrong_transfers_close_the_connection(endpoint: ServiceBusEndpoint) -> None:
    """A delivery without id, a transfer on the wrong kind of link, a handle used twice."""
    for frame in (Transfer(0), Transfer(1, 0, b"t", 0), Attach("twice", 0, SENDER, target=Target(QUEUE))):
        async with await RawPeer.connect(endpoint.port) as peer:
            await peer.open_plain()
            await peer.attach_sender(QUEUE, 0)
            await peer.attach_receiver(QUEUE, 1)
            peer.send(frame, b"x")
            assert (await peer.next_of(Close)).error is not None
    assert await serves(endpoint)


async def test_links_without_end_close_the_connection(endpoint: ServiceBusEndpoint) -> None:
    """Each link can collect a message, so their number at a time is bounded; detached ones do not count."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        peer.send(Begin(None, 0, 65536, 65536), channel=1)
        for number in range(MAX_LINKS + 10):
            peer.send(Attach(f"a{number}", 0, SENDER, target=Target(QUEUE)))
            peer.send(Detach(0, True))
        for number in range(MAX_LINKS):
            peer.send(Attach(f"b{number}", number, SENDER, target=Target(QUEUE)))
            await peer.next_of(Flow)
        peer.send(Attach("c", 0, SENDER, target=Target(QUEUE)), channel=1)
        assert condition_of((await peer.next_of(Close)).error) == "amqp:resource-limit-exceeded"


async def test_a_message_cut_off_by_a_lost_connection_is_not_kept(endpoint: ServiceBusEndpoint) -> None:
    """Half a delivery is none; an aborted one is none either."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        await peer.attach_sender(QUEUE)
        peer.transfer(data_message(b"aborted")[:4], more=True)
        peer.send(Transfer(0, more=False, aborted=True))
        peer.transfer(data_message(b"half")[:4], more=True)
    assert await serves(endpoint)
    assert endpoint.queue(QUEUE).counts().active == 0


async def test_an_endless_delivery_is_not_collected(endpoint: ServiceBusEndpoint) -> None:
    """It is read to its end and rejected; the link goes on working."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        await peer.attach_sender(QUEUE)
        peer.transfer(b"x" * 60_000, more=True)
        for _ in range(20):
            peer.send(Transfer(0, more=True), b"x" * 60_000)
        peer.send(Transfer(0), b"x")
        disposition = await peer.next_of(Disposition)
        assert condition_of(disposition.state.value[0]) == "amqp:link:message-size-exceeded"
        peer.transfer(data_message(b"fine"))
        assert (await peer.next_of(Disposition)).state.descriptor == 0x24
    assert await take(endpoint.port, QUEUE, 1) == [b"fine"]


async def test_settlements_of_anything_are_ignored(endpoint: ServiceBusEndpoint) -> None:
    """A range over all delivery ids costs nothing and settles only what is there."""
    async with await RawPeer.connect(endpoint.port) as peer:
        await peer.open_plain()
        await peer.attach_sender(QUEUE)
        await peer.attach_receiver(QUEUE)
        for body in (b"1", b"2"):
            peer.transfer(data_message(body))
        peer.credit(2)
        await peer.delivery()
        await peer.delivery()
        peer.send(Disposition(True, 0, 2**32 - 1, False, Described(ULong(0x24), [])))
        settled: list[int] = []
        while len(settled) < 2:
            answer = await peer.next_of(Disposition)
            settled += [answer.first] if not answer.role else []
        assert settled == [0, 1]
    assert endpoint.queue(QUEUE).counts().locked == 0


# --- without sockets ------------------------------------------------------------------------------


@contextmanager
def connected() -> Iterator[Connection]:
    """A connection fed by hand."""
    store = SqliteStore(None)
    broker = Broker([QueueSettings(QUEUE)], store, MovableClock(), uuid4)
    authority = Authority(KEY_NAME, KEY, lambda: 0.0)
    context = Context(broker, Management(broker, Faults()), authority, Faults(), "test", idle_seconds=10.0)
    yield Connection(context, 0.0, lambda: None)
    store.close()


@contextmanager
def signed_in(idle_time_out: int | None = None) -> Iterator[Connection]:
    """A connection whose client has signed in and begun a session."""
    with connected() as fed:
        init = SaslInit("PLAIN", f"\0{KEY_NAME}\0{KEY}".encode())
        fed.receive(SASL_HEADER + encode_frame(0, init.encoded(), SASL_FRAME) + AMQP_HEADER, 0.0)
        fed.receive(encode_frame(0, Open("test", idle_time_out=idle_time_out).encoded()), 0.0)
        fed.receive(encode_frame(0, Begin(None, 0, 100, 100).encoded()), 0.0)
        fed.take_output(0.0)
        assert not fed.finished
        yield fed


@given(st.binary(max_size=400), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_garbage_after_signing_in_never_raises(garbage: bytes, piece: int) -> None:
    """In whatever pieces it comes, framed or not."""
    for data in (garbage, encode_frame(0, garbage)):
        with signed_in() as fed:
            for start in range(0, len(data), piece):
                fed.receive(data[start : start + piece], 0.0)


_VALID = [
    Attach("s", 0, SENDER, 0, 0, Source("x"), Target(QUEUE), initial_delivery_count=0),
    Attach("r", 1, True, 0, 1, Source(QUEUE), Target("x")),
    Flow(0, 100, 0, 100, 1, 0, 10),
    Transfer(0, 0, b"t", 0),
    Disposition(True, 0, 10, False, Described(ULong(0x24), [])),
    Detach(0, True),
]


@given(st.lists(st.tuples(st.sampled_from(_VALID), st.integers(0, 200), st.integers(0, 255)), max_size=8))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_valid_frames_with_a_flipped_byte_never_raise(frames: list[tuple[Performative, int, int]]) -> None:
    """Nearly right is the hardest kind of wrong."""
    with signed_in() as fed:
        for frame, where, byte in frames:
            payload = data_message(b"x") if isinstance(frame, Transfer) else b""
            body = bytearray(frame.encoded() + payload)
            if where < len(body):
                body[where] = byte
            fed.receive(encode_frame(0, bytes(body)), 0.0)
            fed.context.broker.finish_turn()


def test_a_silent_client_is_closed_and_a_listening_one_gets_signs_of_life() -> None:
    """Twice the advertised time without a byte is too long; the client's own time is kept from this side."""
    with signed_in(idle_time_out=9000) as fed:
        fed.tick(2.0)
        assert fed.take_output(2.0) == b""
        fed.tick(4.0)
        assert fed.take_output(4.0) == EMPTY_FRAME
        fed.receive(EMPTY_FRAME, 15.0)
        fed.tick(30.0)
        assert not fed.finished
        fed.tick(36.0)
        assert fed.finished


def test_a_client_that_never_signs_in_is_closed() -> None:
    """A connection without token is not kept for ever."""
    with connected() as fed:
        fed.receive(SASL_HEADER, SIGN_IN_SECONDS)
        fed.tick(SIGN_IN_SECONDS + 1)
        assert fed.finished
