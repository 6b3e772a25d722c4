"""One client's connection: sign-in, open, sessions, idle time, close. Bytes in, bytes out; no sockets here.

Sources: OASIS AMQP 1.0, parts 2 and 5; Microsoft Learn, "AMQP 1.0 in Azure Service Bus and Event Hubs protocol guide".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum, auto

from local.servicebus.cbs import Grant
from local.servicebus.codec import Array, Symbol
from local.servicebus.context import Context
from local.servicebus.errors import Condition, ProtocolViolation
from local.servicebus.faults import ConnectionDropped
from local.servicebus.frames import (
    AMQP_FRAME,
    AMQP_HEADER,
    EMPTY_FRAME,
    SASL_FRAME,
    SASL_HEADER,
    SMALLEST_MAX_FRAME_BYTES,
    Frame,
    FrameCutter,
    encode_frame,
)
from local.servicebus.performatives import (
    Begin,
    Close,
    End,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    error,
    read_performative,
)
from local.servicebus.sessions import Session

MAX_FRAME_BYTES = 65_536
LARGEST_FRAME_SENT = 1_048_576
CHANNEL_MAX = 63
MOST_OUTPUT_BYTES = 1_048_576
MAX_LINKS = 255
"""Links that a connection may have at a time; each can collect a message, so there must be an end."""

SIGN_IN_SECONDS = 60.0
MECHANISMS = ("MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL")
"""MSSBCBS is how Microsoft's .NET client says: ANONYMOUS, the token follows on $cbs."""

_TLS_RECORD = b"\x16\x03"
_log = logging.getLogger("crossdock.servicebus")


class _Stage(Enum):
    SASL_HEADER = auto()
    SASL_INIT = auto()
    AMQP_HEADER = auto()
    OPEN = auto()
    OPENED = auto()
    FINISHED = auto()


class Connection:
    """The state of a connection.

    `receive` takes what came; `take_output` gives what shall go out, once everything it speaks of is committed.
    `finished`: close the socket after the output. `dropped`: cut it at once, without the output.
    """

    def __init__(self, context: Context, now_seconds: float, on_output: Callable[[], None]) -> None:
        self.context = context
        self.grants: dict[str, Grant] = {}
        self.max_frame_bytes = SMALLEST_MAX_FRAME_BYTES
        self.dropped = False
        self._on_output = on_output
        self._paused = False
        self._filled = False
        self._stage = _Stage.SASL_HEADER
        self._cutter = FrameCutter(MAX_FRAME_BYTES)
        self._output = bytearray()
        self._sessions: dict[int, Session] = {}
        self._began = self._last_received = self._last_sent = now_seconds
        self._peer_idle_seconds: float | None = None

    @property
    def finished(self) -> bool:
        return self._stage is _Stage.FINISHED

    @property
    def writable(self) -> bool:
        """Whether deliveries may be handed to this connection: a client that does not read must not fill the memory."""
        if len(self._output) >= MOST_OUTPUT_BYTES:
            self._filled = True
        return not (self._paused or self._filled or self.finished or self.dropped)

    # --- bytes

    def receive(self, data: bytes, now_seconds: float) -> None:
        """Act on bytes from the client. A violation of the protocol closes this connection, with an error."""
        if self.finished or self.dropped:
            return
        self._last_received = now_seconds
        self._cutter.feed(data)
        try:
            while self._step():
                pass
        except ProtocolViolation as violation:
            self.fail(violation.condition, violation.description)
        except ConnectionDropped:
            self.dropped = True
            self._close_sessions()

    def take_output(self, now_seconds: float) -> bytes:
        """What shall go out now."""
        output, self._output = bytes(self._output), bytearray()
        if output:
            self._last_sent = now_seconds
        return output

    def pause(self) -> None:
        """The socket is full: no more deliveries for now."""
        self._paused = True

    def resume(self) -> None:
        """The socket takes bytes again."""
        self._paused = False
        self._go_on()

    def sent(self) -> bool:
        """The output went to the socket; gives whether a new turn should hand out more."""
        if not self._filled:
            return False
        self._filled = False
        self._go_on()
        return not self._paused

    def _go_on(self) -> None:
        for session in self._sessions.values():
            session.resume()

    def lost(self) -> None:
        """The socket is gone. Locked messages stay locked until their time is over."""
        self._close_sessions()
        self._stage = _Stage.FINISHED

    def fail(self, condition: Condition, description: str) -> None:
        """Close the connection with an error; before the client's Open there is none to tell it to."""
        if self.finished:
            return
        _log.warning("connection closed: %s, %s", condition.value, description)
        if self._stage is _Stage.OPEN:
            self._send_open()
        if self._stage in (_Stage.OPEN, _Stage.OPENED):
            self.send_body(0, Close(error(condition.value, description)).encoded())
        self._close_sessions()
        self._stage = _Stage.FINISHED
        self._on_output()

    def tick(self, now_seconds: float) -> None:
        """See to idle times: send a sign of life, close a connection that gives none or never signs in."""
        if self.finished:
            return
        if now_seconds - self._last_received > 2 * self.context.idle_seconds:
            self.fail(Condition.CONNECTION_FORCED, "nothing was received for too long")
        elif not self.grants and now_seconds - self._began > SIGN_IN_SECONDS:
            self.fail(Condition.CONNECTION_FORCED, f"no valid token came within {SIGN_IN_SECONDS:.0f} seconds")
        elif self._peer_idle_seconds and now_seconds - self._last_sent > self._peer_idle_seconds / 3:
            self._write(EMPTY_FRAME)

    def _step(self) -> bool:
        """Act on the next header or frame; False when it is not complete yet or the end is reached."""
        if self._stage is _Stage.FINISHED:
            return False
        if self._stage in (_Stage.SASL_HEADER, _Stage.AMQP_HEADER):
            return self._protocol_header()
        frame = self._cutter.next_frame()
        if frame is None:
            return False
        if self._stage is _Stage.SASL_INIT:
            self._sasl_init(frame)
        else:
            self._amqp_frame(frame)
        return True

    # --- signing in

    def _protocol_header(self) -> bool:
        expected = SASL_HEADER if self._stage is _Stage.SASL_HEADER else AMQP_HEADER
        if not self._cutter.starts_like(expected):
            self._refuse_header(expected)
        if self._cutter.header() is None:
            return False
        self._write(expected)
        if self._stage is _Stage.SASL_HEADER:
            mechanisms = Array(Symbol, tuple(Symbol(name) for name in MECHANISMS))
            self._write(encode_frame(0, SaslMechanisms(mechanisms).encoded(), SASL_FRAME))
            self._stage = _Stage.SASL_INIT
        else:
            self._stage = _Stage.OPEN
        return True

    def _refuse_header(self, expected: bytes) -> None:
        """A peer of another protocol gets the header that is spoken here (AMQP 1.0, part 2, section 2.2)."""
        if self._cutter.starts_like(_TLS_RECORD):
            raise ProtocolViolation(
                Condition.FRAMING_ERROR,
                "a client speaks TLS on the plain port; set UseDevelopmentEmulator=true in its connection string",
            )
        self._write(expected)
        raise ProtocolViolation(Condition.FRAMING_ERROR, "a client does not speak AMQP 1.0 with SASL")

    def _sasl_init(self, frame: Frame) -> None:
        performative, _ = read_performative(frame.body)
        if frame.kind != SASL_FRAME or not isinstance(performative, SaslInit):
            raise ProtocolViolation(Condition.ILLEGAL_STATE, "expected the client to pick a way to sign in")
        welcome = performative.mechanism in MECHANISMS
        if performative.mechanism == "PLAIN":
            welcome = self.context.authority.check_plain(performative.initial_response or b"")
            if welcome:
                self.grants[""] = Grant("", float("inf"))
        self._write(encode_frame(0, SaslOutcome(0 if welcome else 1).encoded(), SASL_FRAME))
        if not welcome:
            raise ProtocolViolation(Condition.UNAUTHORIZED, "the client could not sign in; check name and key")
        self._stage = _Stage.AMQP_HEADER

    # --- AMQP

    def _amqp_frame(self, frame: Frame) -> None:
        if frame.kind != AMQP_FRAME:
            raise ProtocolViolation(Condition.FRAMING_ERROR, "a SASL frame after signing in")
        if not frame.body:
            return
        performative, payload = read_performative(frame.body)
        if self._stage is _Stage.OPEN:
            self._open(performative)
        elif isinstance(performative, Close):
            self._close()
        elif isinstance(performative, Begin):
            self._begin(frame.channel, performative)
        elif isinstance(performative, End):
            self._end(frame.channel)
        else:
            # The Python client detaches links of a session it has ended already: such frames mean nothing.
            session = self._sessions.get(frame.channel)
            if session is not None:
                session.handle(performative, payload)

    def _open(self, performative: object) -> None:
        if not isinstance(performative, Open):
            raise ProtocolViolation(Condition.ILLEGAL_STATE, "expected the connection to be opened")
        if performative.max_frame_size < SMALLEST_MAX_FRAME_BYTES:
            raise ProtocolViolation(Condition.INVALID_FIELD, "max-frame-size must be at least 512")
        self.max_frame_bytes = min(performative.max_frame_size, LARGEST_FRAME_SENT)
        if performative.idle_time_out:
            self._peer_idle_seconds = performative.idle_time_out / 1000
        self._send_open()
        self._stage = _Stage.OPENED

    def _send_open(self) -> None:
        idle = round(self.context.idle_seconds * 1000)
        reply = Open(self.context.container_id, None, MAX_FRAME_BYTES, CHANNEL_MAX, idle)
        self.send_body(0, reply.encoded())

    def _begin(self, channel: int, begin: Begin) -> None:
        if channel > CHANNEL_MAX or channel in self._sessions:
            raise ProtocolViolation(Condition.NOT_ALLOWED, "the channel of a begin is in use or too large")
        self._sessions[channel] = Session(self, channel, begin)

    def _end(self, channel: int) -> None:
        session = self._sessions.pop(channel, None)
        if session is not None:
            session.end()

    def _close(self) -> None:
        self.send_body(0, Close().encoded())
        self._close_sessions()
        self._stage = _Stage.FINISHED

    def _close_sessions(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    # --- what sessions need

    def send_body(self, channel: int, body: bytes) -> None:
        """Queue a frame."""
        self._write(encode_frame(channel, body))

    def check_room_for_link(self) -> None:
        """Raise ProtocolViolation when there are too many links already."""
        if sum(session.link_count for session in self._sessions.values()) >= MAX_LINKS:
            raise ProtocolViolation(Condition.RESOURCE_LIMIT_EXCEEDED, f"more than {MAX_LINKS} links")

    def _write(self, data: bytes) -> None:
        self._output += data
        self._on_output()
