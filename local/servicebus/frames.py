"""Cutting a byte stream into AMQP frames (OASIS AMQP 1.0, part 2, section 2.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from local.servicebus.errors import Condition, ProtocolViolation

AMQP_FRAME = 0
SASL_FRAME = 1
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"
SMALLEST_MAX_FRAME_BYTES = 512

_HEAD = struct.Struct(">IBBH")


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; an empty body is a sign of life."""

    kind: int
    channel: int
    body: bytes


def encode_frame(channel: int, body: bytes, kind: int = AMQP_FRAME) -> bytes:
    """Put the frame header in front of `body`."""
    return _HEAD.pack(8 + len(body), 2, kind, channel) + body


class FrameCutter:
    """Collects bytes and hands out protocol headers and frames as soon as they are complete."""

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer += data

    def header(self) -> bytes | None:
        """The next eight bytes as a protocol header; None while fewer are there."""
        if len(self._buffer) < 8:
            return None
        head = bytes(self._buffer[:8])
        del self._buffer[:8]
        return head

    def starts_like(self, prefix: bytes) -> bool:
        """Whether what has arrived and not been read could still become `prefix`."""
        length = min(len(prefix), len(self._buffer))
        return bytes(self._buffer[:length]) == prefix[:length]

    def next_frame(self) -> Frame | None:
        """The next complete frame; None while one is incomplete.

        Raises ProtocolViolation for a size that no frame can have or that is more than was agreed.
        """
        if len(self._buffer) < 8:
            return None
        size, offset, kind, channel = _HEAD.unpack_from(self._buffer)
        start = 4 * offset
        if size > self._max_frame_bytes:
            raise ProtocolViolation(Condition.FRAMING_ERROR, f"a frame has more than {self._max_frame_bytes} bytes")
        if size < 8 or offset < 2 or start > size or kind not in (AMQP_FRAME, SASL_FRAME):
            raise ProtocolViolation(Condition.FRAMING_ERROR, "a frame header makes no sense")
        if len(self._buffer) < size:
            return None
        body = bytes(self._buffer[start:size])
        del self._buffer[:size]
        return Frame(kind, channel, body)

    def frames(self) -> Iterator[Frame]:
        """All frames that are complete."""
        while (frame := self.next_frame()) is not None:
            yield frame
