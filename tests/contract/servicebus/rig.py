"""What the tests need: an endpoint on its own thread, a clock that can be moved, a peer that speaks raw AMQP."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver

from local.servicebus import Counts, QueueSettings, ServiceBusEndpoint
from local.servicebus.cbs import sas_token
from local.servicebus.codec import Described, Symbol, UByte, ULong, decode, encode
from local.servicebus.frames import AMQP_HEADER, SASL_FRAME, SASL_HEADER, FrameCutter, encode_frame
from local.servicebus.messages import DATA, sections
from local.servicebus.performatives import (
    RECEIVER,
    SENDER,
    Attach,
    Begin,
    Flow,
    Open,
    Performative,
    SaslInit,
    Source,
    Target,
    Transfer,
    read_performative,
)

KEY_NAME = "door"
KEY = "not-a-secret"
ROOT = Path(__file__).resolve().parents[3]
PATIENCE_SECONDS = 20.0


class MovableClock:
    """The machine's time plus what the tests have moved it by.

    It starts at the machine's time because clients compare the ends of locks with theirs.
    """

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def move(self, ahead: timedelta) -> None:
        """Let that much time pass at once."""
        self._ahead += ahead


class EndpointOnThread:
    """An endpoint with an event loop of its own, as the synchronous client blocks its thread."""

    def __init__(self, queues: Sequence[QueueSettings], path: Path | None = None, **options: Any) -> None:
        self.clock = MovableClock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.endpoint = ServiceBusEndpoint(
            queues=queues, path=path, key_name=KEY_NAME, key=KEY, clock=self.clock, **options
        )

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for(self.endpoint.start())
        return self

    def __exit__(self, *exc: object) -> None:
        self.wait_for(self.endpoint.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the endpoint's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_SECONDS)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function on the endpoint's loop."""

        async def run() -> Any:
            return function()

        return self.wait_for(run())

    def counts(self, queue: str) -> Counts:
        """The queue's figures."""
        counts: Counts = self.call(lambda: self.endpoint.queue(queue).counts())
        return counts

    def pass_time(self, **units: float) -> None:
        """Move the clock and let the endpoint act on it."""
        self.clock.move(timedelta(**units))
        self.call(self.endpoint.wake)

    @property
    def connection_string(self) -> str:
        return self.endpoint.connection_string

    def client(self, **options: Any) -> ServiceBusClient:
        """A client that does not try again."""
        return ServiceBusClient.from_connection_string(self.connection_string, retry_total=0, **options)


def receive(receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    """Receive exactly `count` messages; a receive call may give fewer than it could."""
    found: list[ServiceBusReceivedMessage] = []
    while len(found) < count:
        more = receiver.receive_messages(count - len(found), max_wait_time=10)
        assert more, f"only {len(found)} of {count} messages came"
        found += more
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or process brings about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# --- the endpoint as a process of its own ---------------------------------------------------------


def emulator_config(*queues: dict[str, Any]) -> str:
    """A configuration as Microsoft's emulator reads it."""
    namespaces = [{"Name": "sbemulatorns", "Queues": list(queues), "Topics": []}]
    return json.dumps({"UserConfig": {"Namespaces": namespaces, "Logging": {"Type": "File"}}})


class EndpointProcess:
    """`python -m local.servicebus`, to be killed without warning and started anew on the same data."""

    def __init__(self, folder: Path, *queues: dict[str, Any]) -> None:
        self._config = folder / "config.json"
        self._config.write_text(emulator_config(*queues), encoding="utf-8")
        self._data = folder / "data.sqlite"
        self._process: subprocess.Popen[str] | None = None
        self.connection_string = ""
        self.port = 0

    def start(self) -> None:
        command = [sys.executable, "-m", "local.servicebus", "--port", "0", "--key-name", KEY_NAME]
        arguments = ["--config", str(self._config), "--data", str(self._data)]
        environment = {**os.environ, "SERVICEBUS_KEY": KEY}
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        match = re.search(r":(\d+)$", line.strip())
        assert match, "the endpoint did not start"
        self.port = int(match[1])
        self.connection_string = (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName={KEY_NAME};"
            f"SharedAccessKey={KEY};UseDevelopmentEmulator=true;"
        )

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, or TerminateProcess on Windows."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


# --- a peer without manners -----------------------------------------------------------------------


class RawPeer:
    """Speaks AMQP frame by frame, right or wrong, over a real socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self._reader = reader
        self._writer = writer
        self._port = port
        self._cutter = FrameCutter(2_000_000)
        self._deliveries = 0

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Open the socket and say nothing yet."""
        return cls(*await asyncio.open_connection("127.0.0.1", port), port)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)

    def send_bytes(self, data: bytes) -> None:
        """Send anything."""
        self._writer.write(data)

    def send(self, frame: Performative, payload: bytes = b"", *, channel: int = 0) -> None:
        """Send a frame."""
        self._writer.write(encode_frame(channel, frame.encoded() + payload))

    async def header(self) -> bytes:
        """The protocol header that the endpoint answers with."""
        return await asyncio.wait_for(self._reader.readexactly(8), PATIENCE_SECONDS)

    async def next(self) -> tuple[Performative, bytes]:
        """The next frame that is no sign of life."""
        while True:
            frame = self._cutter.next_frame()
            if frame is not None and frame.body:
                return read_performative(frame.body)
            if frame is None:
                data = await asyncio.wait_for(self._reader.read(65536), PATIENCE_SECONDS)
                if not data:
                    raise EOFError("the endpoint closed the connection")
                self._cutter.feed(data)

    async def next_of(self, kind: type[Performative]) -> Any:
        """The next frame of a kind; what comes before is passed over."""
        while True:
            frame, _ = await self.next()
            if isinstance(frame, kind):
                return frame

    async def at_end(self) -> bool:
        """Whether the endpoint closes the connection."""
        try:
            while True:
                await self.next()
        except (EOFError, ConnectionError):
            return True

    async def sign_in(self, mechanism: str = "ANONYMOUS", response: bytes | None = None) -> Performative:
        """Go through SASL and give the outcome."""
        self.send_bytes(SASL_HEADER)
        assert await self.header() == SASL_HEADER
        self.send_bytes(encode_frame(0, SaslInit(mechanism, response).encoded(), SASL_FRAME))
        await self.next()
        outcome, _ = await self.next()
        return outcome

    async def open(self, mechanism: str = "ANONYMOUS", response: bytes | None = None, **fields: Any) -> None:
        """Sign in, open the connection and begin a session on channel 0."""
        await self.sign_in(mechanism, response)
        self.send_bytes(AMQP_HEADER)
        self.send(Open("raw", **fields))
        self.send(Begin(None, 0, 65536, 65536))
        assert self._cutter.header() == AMQP_HEADER or await self.header() == AMQP_HEADER
        await self.next_of(Begin)

    async def open_plain(self, **fields: Any) -> None:
        """Open with name and key, so that no token is needed."""
        await self.open("PLAIN", f"\0{KEY_NAME}\0{KEY}".encode(), **fields)

    async def attach_sender(self, address: Any, handle: int = 0, *, target: Described | None = None) -> Any:
        """Attach a link to send on; gives the endpoint's answer."""
        end = target or Target(address)
        self.send(Attach(f"s{handle}", handle, SENDER, 0, 0, Source("here"), end, initial_delivery_count=0))
        return await self.next_of(Attach)

    async def attach_receiver(self, address: Any, handle: int = 1, *, settle: int = 0, **source: Any) -> Any:
        """Attach a link to receive on (settle 1: receive and delete); gives the endpoint's answer."""
        end = Source(address, **source)
        self.send(Attach(f"r{handle}", handle, RECEIVER, settle, 1 - settle, end, Target("here")))
        return await self.next_of(Attach)

    async def delivery(self) -> tuple[Transfer, bytes]:
        """The next delivery, put together: its first transfer and the whole message."""
        first, whole = None, b""
        while True:
            frame, piece = await self.next()
            if isinstance(frame, Transfer):
                first, whole = first or frame, whole + piece
                if not frame.more:
                    return first, whole

    async def body(self) -> bytes:
        """The only data section of the next delivery."""
        _, encoded = await self.delivery()
        return body_of(encoded)

    def transfer(self, payload: bytes, handle: int = 0, **fields: Any) -> None:
        """Send a delivery or a piece of one, in as many frames as the endpoint's frame size asks for."""
        given = {"delivery_id": self._deliveries, "delivery_tag": b"t", "message_format": 0}
        self._deliveries += 1
        first = Transfer(handle, **{**given, **fields})
        pieces = [payload[start : start + 60_000] for start in range(0, len(payload), 60_000)]
        for piece in pieces[:-1]:
            self.send(replace(first, more=True), piece)
        self.send(first, pieces[-1] if pieces else b"")

    def credit(self, credit: int, handle: int = 1, *, count: int = 0, seen: int = 0, **fields: Any) -> None:
        """Give the endpoint credit to deliver."""
        base = Flow(seen, 65536, self._deliveries, 65536, handle, count, credit)
        self.send(replace(base, **fields))

    def token(self, path: str, key: str = KEY, expires: int = 4_000_000_000) -> str:
        """A shared access signature."""
        return sas_token(f"sb://127.0.0.1:{self._port}/{path}", KEY_NAME, key, expires)


async def take(port: int, queue: str, count: int) -> list[bytes]:
    """Receive and delete messages of one data section each; gives their bodies. Much faster than opening a client."""
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        await peer.attach_receiver(queue, settle=1)
        peer.credit(count)
        return [await peer.body() for _ in range(count)]


async def _drain(port: int, queue: str) -> list[bytes]:
    bodies: list[bytes] = []
    async with await RawPeer.connect(port) as peer:
        await peer.open_plain()
        await peer.attach_receiver(queue, settle=1)
        peer.credit(1_000_000, drain=True)
        while True:
            frame, encoded = await peer.next()
            if isinstance(frame, Flow) and frame.drain:
                return bodies
            if isinstance(frame, Transfer):
                bodies.append(body_of(encoded))


def everything(port: int, queue: str) -> list[str]:
    """Receive and delete all small messages that are there now."""
    return [body.decode() for body in asyncio.run(_drain(port, queue))]


def taken(port: int, queue: str, count: int) -> list[str]:
    """`take` for tests without an event loop."""
    return [body.decode() for body in asyncio.run(take(port, queue, count))]


def data_message(body: bytes, **properties: Any) -> bytes:
    """A message of one data section."""
    sections = [Described(ULong(0x70), [None, UByte(4)])]
    if properties:
        sections.append(Described(ULong(0x73), [properties.get("message_id")]))
    sections.append(Described(ULong(0x75), body))
    return b"".join(encode(section) for section in sections)


def body_of(encoded: bytes) -> bytes:
    """The only data section of a message."""
    [body] = [decode(encoded, part.start)[0] for part in sections(encoded) if part.code == DATA]
    assert isinstance(body, bytes)
    return body


def condition_of(error: Described | None) -> str:
    """The condition of an AMQP error."""
    assert error is not None
    condition = error.value[0]
    assert isinstance(condition, Symbol)
    assert len(error.value) == 3
    return str(condition)
