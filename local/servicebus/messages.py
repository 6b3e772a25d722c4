"""Messages as they are kept and as they travel (OASIS AMQP 1.0, part 3, section 3.2).

A message is a row of sections. Header and annotations are the broker's business and are written anew at every
delivery; everything from the properties on belongs to the sender and is kept as the bytes that came. Even the custom
annotations are kept undecoded, so that no type is lost on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from local.servicebus.codec import (
    Described,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    Value,
    compound,
    decode,
    encode,
    raw_items,
    skip,
)
from local.servicebus.errors import CodecError, Condition, Refusal
from local.servicebus.performatives import code_of_descriptor

HEADER, DELIVERY_ANNOTATIONS, MESSAGE_ANNOTATIONS = 0x70, 0x71, 0x72
PROPERTIES, APPLICATION_PROPERTIES = 0x73, 0x74
DATA, SEQUENCE, VALUE, FOOTER = 0x75, 0x76, 0x77, 0x78

BATCH_FORMAT = 0x80013700
"""message-format of a batch: every data section is one complete message."""

MAX_ID_CHARACTERS = 128
"""Longest message id and message-session id (Microsoft Learn, "Service Bus quotas")."""

NO_LIMIT_MS = 922_337_203_685_477
"""What clients send for "lives for ever" (the largest .NET TimeSpan)."""

_LONGEST_TTL = 0xFFFF_FFFF
LAST_MS = 253_402_300_799_999
"""The end of the year 9999, the last time the service knows."""

_SECTION_NAMES = {
    "amqp:header:list": HEADER,
    "amqp:delivery-annotations:map": DELIVERY_ANNOTATIONS,
    "amqp:message-annotations:map": MESSAGE_ANNOTATIONS,
    "amqp:properties:list": PROPERTIES,
    "amqp:application-properties:map": APPLICATION_PROPERTIES,
    "amqp:data:binary": DATA,
    "amqp:amqp-sequence:list": SEQUENCE,
    "amqp:amqp-value:*": VALUE,
    "amqp:footer:map": FOOTER,
}
_SCHEDULED = "x-opt-scheduled-enqueue-time"
_PARTITION_KEYS = ("x-opt-partition-key", "x-opt-via-partition-key")
_SYSTEM_PREFIX = "x-opt-"


@dataclass(frozen=True, slots=True)
class Content:
    """What of a message is kept: the sender's header, custom annotations (encoded keys and values) and the rest."""

    durable: bool | None
    priority: int | None
    annotations: bytes
    annotation_elements: int
    bare: bytes


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it was sent.

    message_id: as text, None when the sender gave none. ttl_ms: None = as long as the queue allows. scheduled_ms:
    when it shall become visible (milliseconds since 1970), None = at once.
    """

    content: Content
    message_id: str
    ttl_ms: int | None
    scheduled_ms: int | None


@dataclass(frozen=True, slots=True)
class Section:
    """Where in the message a section's value lies; `begin` includes its descriptor."""

    code: int
    begin: int
    start: int
    end: int


def sections(encoded: bytes) -> list[Section]:
    """Cut a message into its sections; raises CodecError when it is none.

    Delivery annotations may stand anywhere: the Python client puts those of a message that it sends on at the end.
    """
    found: list[Section] = []
    latest = -1
    position = 0
    while position < len(encoded):
        section = _section(encoded, position)
        if section.code != DELIVERY_ANNOTATIONS:
            if section.code < latest:
                raise CodecError("the sections of the message are out of order")
            if section.code == latest and section.code not in (DATA, SEQUENCE):
                raise CodecError("a section of the message comes twice")
            latest = section.code
        found.append(section)
        position = section.end
    return found


def _section(encoded: bytes, position: int) -> Section:
    if encoded[position] != 0x00:
        raise CodecError("the message is not made of sections")
    descriptor, start = decode(encoded, position + 1)
    code = code_of_descriptor(descriptor, _SECTION_NAMES)
    if not HEADER <= code <= FOOTER:
        raise CodecError("the message has a section that AMQP 1.0 does not know")
    return Section(code, position, start, skip(encoded, start))


def batch_of(encoded: bytes) -> list[bytes]:
    """The messages inside a batch; raises CodecError when it is none."""
    inner = [decode(encoded, part.start)[0] for part in sections(encoded) if part.code == DATA]
    if not inner or not all(isinstance(one, bytes) for one in inner):
        raise CodecError("the batch holds no messages")
    return inner


# --- what a sender sends --------------------------------------------------------------------------


def read_incoming(encoded: bytes, new_id: Callable[[], UUID]) -> Incoming:
    """Read a sent message; a message without id gets one of `new_id`, because receivers may need one.

    Raises CodecError when it is no message, Refusal when a field is not allowed.
    """
    cut = sections(encoded)
    parts = {part.code: part for part in cut}
    header = _list_of(encoded, parts.get(HEADER))
    annotations = _Annotations.read(encoded, parts.get(MESSAGE_ANNOTATIONS))
    properties = _list_of(encoded, parts.get(PROPERTIES))
    if APPLICATION_PROPERTIES in parts:
        _entries(encoded, parts[APPLICATION_PROPERTIES].start)
    _check_ids(properties, annotations.partition_key)
    bare = b"".join(encoded[part.begin : part.end] for part in cut if part.code >= PROPERTIES)
    message_id = _id_text(_item(properties, 0))
    if message_id is None:
        message_id = str(new_id())
        bare = _with_message_id(bare, message_id)
    content = Content(
        durable=_typed(_item(header, 0), bool),
        priority=_typed(_item(header, 1), UByte),
        annotations=annotations.kept,
        annotation_elements=annotations.elements,
        bare=bare,
    )
    return Incoming(content, message_id, _ttl_ms(header, properties), annotations.scheduled_ms)


def _list_of(encoded: bytes, part: Section | None) -> list[Value]:
    if part is None:
        return []
    value, _ = decode(encoded, part.start)
    if not isinstance(value, list):
        raise CodecError("header or properties are not a list")
    return value


def _item(values: Sequence[Value], index: int) -> Value:
    return values[index] if index < len(values) else None


def _typed(value: Value, kind: type) -> Any:
    """The value, None when it is absent; raises CodecError for another type."""
    if value is not None and not isinstance(value, kind):
        raise CodecError("a field of the header has the wrong type")
    return value


def _entries(encoded: bytes, start: int) -> list[tuple[Value, bytes, int]]:
    """The entries of a map: key, key and value as sent, where the value starts. Null is an empty map."""
    if encoded[start] == 0x40:
        return []
    if encoded[start] not in (0xC1, 0xD1):
        raise CodecError("expected a map")
    slices = list(raw_items(encoded, start))
    if len(slices) % 2:
        raise CodecError("a map has a key without a value")
    pairs = zip(slices[::2], slices[1::2], strict=True)
    found = [(decode(encoded, key[0])[0], encoded[key[0] : value[1]], value[0]) for key, value in pairs]
    if not all(isinstance(key, (str, ULong)) for key, _, _ in found):
        raise CodecError("a map has a key that is no name")
    return found


@dataclass(frozen=True, slots=True)
class _Annotations:
    kept: bytes
    elements: int
    scheduled_ms: int | None
    partition_key: Value

    @classmethod
    def read(cls, encoded: bytes, part: Section | None) -> _Annotations:
        """Keep custom annotations and partition keys; system annotations of an earlier life are the broker's own."""
        kept, scheduled, partition_key = [], None, None
        for key, raw, value_start in _entries(encoded, part.start) if part is not None else ():
            if key == _SCHEDULED:
                scheduled = decode(encoded, value_start)[0]
            elif key in _PARTITION_KEYS or not str(key).startswith(_SYSTEM_PREFIX):
                kept.append(raw)
            if key == _PARTITION_KEYS[0]:
                partition_key = decode(encoded, value_start)[0]
        if scheduled is not None and not (isinstance(scheduled, int) and 0 <= scheduled <= LAST_MS):
            raise Refusal(Condition.INVALID_FIELD, f"{_SCHEDULED} is no timestamp; send a point in time")
        return cls(b"".join(kept), 2 * len(kept), scheduled, partition_key)


def _check_ids(properties: Sequence[Value], partition_key: Value) -> None:
    message_id, group = _id_text(_item(properties, 0)), _item(properties, 10)
    for name, value in (("message-id", message_id), ("group-id", group)):
        if isinstance(value, str) and len(value) > MAX_ID_CHARACTERS:
            raise Refusal(Condition.ARGUMENT_ERROR, f"{name} has more than {MAX_ID_CHARACTERS} characters; shorten it")
    key = partition_key.decode("utf-8", "replace") if isinstance(partition_key, bytes) else partition_key
    if isinstance(group, str) and key is not None and key != group:
        raise Refusal(Condition.NOT_ALLOWED, "the partition key differs from the message-session id; make them equal")


def _id_text(value: Value) -> str | None:
    """A message id is a string, ulong, uuid or binary; duplicates are found by its text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (UUID, ULong)):
        return str(value)
    raise CodecError("the message id has a type that message ids cannot have")


def _ttl_ms(header: Sequence[Value], properties: Sequence[Value]) -> int | None:
    """The header's ttl; a life too long for it is only told by creation and expiry time."""
    ttl = _typed(_item(header, 2), UInt)
    expiry, creation = _item(properties, 8), _item(properties, 9)
    if ttl not in (None, _LONGEST_TTL) or not isinstance(expiry, Timestamp) or not isinstance(creation, Timestamp):
        return None if ttl is None else int(ttl)
    life = int(expiry) - int(creation)
    return life if 0 < life < NO_LIMIT_MS else None


def _with_message_id(bare: bytes, message_id: str) -> bytes:
    """Fill in an id; every other byte of the properties stays."""
    parts = sections(bare)
    encoded_id = encode(message_id)
    if not parts or parts[0].code != PROPERTIES:
        return _section_bytes(PROPERTIES, compound(0xC0, encoded_id, 1)) + bare
    part = parts[0]
    rest = [bare[start:end] for start, end in raw_items(bare, part.start)][1:]
    return _section_bytes(PROPERTIES, compound(0xC0, encoded_id + b"".join(rest), 1 + len(rest))) + bare[part.end :]


def _section_bytes(code: int, value: bytes) -> bytes:
    return b"\x00\x53" + bytes((code,)) + value


# --- what a receiver gets -------------------------------------------------------------------------


def render(
    content: Content,
    *,
    ttl_ms: int | None,
    delivery_count: int,
    delivery_annotations: Mapping[Symbol, Value] | None,
    annotations: Mapping[Symbol, Value],
) -> bytes:
    """Write a kept message for a receiver; `delivery_annotations` None leaves that section out."""
    header = [content.durable, _ubyte(content.priority), _ttl_field(ttl_ms), None, UInt(delivery_count)]
    parts = [encode(Described(ULong(HEADER), header))]
    if delivery_annotations is not None:
        parts.append(encode(Described(ULong(DELIVERY_ANNOTATIONS), dict(delivery_annotations))))
    system = b"".join(encode(key) + encode(value) for key, value in annotations.items())
    elements = 2 * len(annotations) + content.annotation_elements
    parts.append(_section_bytes(MESSAGE_ANNOTATIONS, compound(0xC1, system + content.annotations, elements)))
    parts.append(content.bare)
    return b"".join(parts)


def _ubyte(value: int | None) -> UByte | None:
    return None if value is None else UByte(value)


def _ttl_field(ttl_ms: int | None) -> UInt | None:
    return None if ttl_ms is None else UInt(min(ttl_ms, _LONGEST_TTL))


def with_application_properties(content: Content, changes: Mapping[str, Value]) -> Content:
    """Set application properties, as dead-lettering does; the other properties keep their bytes."""
    if not changes:
        return content
    parts = sections(content.bare)
    kept: list[bytes] = []
    before = after = next((part.begin for part in parts if part.code > APPLICATION_PROPERTIES), len(content.bare))
    for part in parts:
        if part.code == APPLICATION_PROPERTIES:
            kept = [raw for key, raw, _ in _entries(content.bare, part.start) if key not in changes]
            before, after = part.begin, part.end
    kept += [encode(str(key)) + encode(value) for key, value in changes.items()]
    section = _section_bytes(APPLICATION_PROPERTIES, compound(0xC1, b"".join(kept), 2 * len(kept)))
    return replace(content, bare=content.bare[:before] + section + content.bare[after:])


# --- requests and answers -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A message to `$cbs` or `$management`."""

    message_id: Value
    reply_to: str | None
    properties: Mapping[str, Value]
    body: Value


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; `properties` become application properties."""

    properties: Mapping[str, Value]
    body: Value


def read_request(encoded: bytes) -> Request:
    """Read a request; raises CodecError when it is none."""
    parts = {part.code: part for part in sections(encoded)}
    properties = _list_of(encoded, parts.get(PROPERTIES))
    application = parts.get(APPLICATION_PROPERTIES)
    named = {} if application is None else decode(encoded, application.start)[0]
    value = parts.get(VALUE)
    body = None if value is None else decode(encoded, value.start)[0]
    if not isinstance(named, dict):
        raise CodecError("the application properties are not a map")
    reply_to = _item(properties, 4)
    return Request(_item(properties, 0), reply_to if isinstance(reply_to, str) else None, named, body)


def write_answer(request: Request, answer: Answer) -> bytes:
    """Write the answer to a request; the correlation id is the request's message id, type included."""
    properties = [None, None, None, None, None, request.message_id]
    return b"".join(
        (
            encode(Described(ULong(PROPERTIES), properties)),
            encode(Described(ULong(APPLICATION_PROPERTIES), dict(answer.properties))),
            encode(Described(ULong(VALUE), answer.body)),
        )
    )
