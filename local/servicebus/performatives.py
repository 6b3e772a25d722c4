"""The frame bodies of AMQP 1.0 (OASIS AMQP 1.0, parts 2, 3 and 5) as dataclasses, read and written by one table.

A missing trailing field and a null field mean the default. Reading checks every field's type, so that the rest of the
endpoint can rely on the annotations here.
"""

# ruff: noqa: RUF009 - `_field` only wraps dataclasses.field, which is made to be called in defaults

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from local.servicebus.codec import (
    Array,
    Described,
    Symbol,
    UByte,
    UInt,
    ULong,
    UShort,
    Value,
    decode,
    encode,
)
from local.servicebus.errors import CodecError, Condition, ProtocolViolation

SENDER = False
RECEIVER = True
SETTLED_BY_SENDER = 1
"""snd-settle-mode: deliveries are sent settled (receive-and-delete)."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a field looks in Python and on the wire."""

    accepts: tuple[type, ...]
    wrap: Callable[[Any], Value]
    maximum: int = 0


_KINDS = {
    "string": _Kind((str,), str),
    "symbol": _Kind((str,), Symbol),
    "symbols": _Kind((Symbol, Array), lambda value: value),
    "binary": _Kind((bytes,), bytes),
    "boolean": _Kind((bool,), bool),
    "ubyte": _Kind((int,), UByte, 0xFF),
    "ushort": _Kind((int,), UShort, 0xFFFF),
    "uint": _Kind((int,), UInt, 0xFFFF_FFFF),
    "ulong": _Kind((int,), ULong, 0xFFFF_FFFF_FFFF_FFFF),
    "map": _Kind((dict,), dict),
    "any": _Kind((object,), lambda value: value),
    "described": _Kind((Described,), lambda value: value),
}


def _field(kind: str, default: Any = None, *, required: bool = False) -> Any:
    """A field of a performative; Any because it stands where a value of the annotated type is expected."""
    return field(default=default, metadata={"kind": _KINDS[kind], "required": required})


class Performative:
    """A described list whose fields are listed, in order, by the dataclass."""

    __slots__ = ()
    code: ClassVar[int]

    @classmethod
    def from_values(cls, values: list[Value]) -> Self:
        """Check and take the fields; raises CodecError naming the field that does not fit."""
        specs = _specs(cls)
        if len(values) > len(specs):
            raise CodecError(f"{cls.__name__.lower()} has too many fields")
        return cls(**{name: _checked(cls, name, spec, value) for (name, spec), value in _pairs(specs, values)})

    def described(self) -> Described:
        """The value that goes on the wire, without trailing nulls."""
        values = [_wire(spec, getattr(self, name)) for name, spec in _specs(type(self))]
        while values and values[-1] is None:
            values.pop()
        return Described(ULong(self.code), values)

    def encoded(self) -> bytes:
        """The bytes that go on the wire."""
        return encode(self.described())


_SPECS: dict[type, list[tuple[str, Any]]] = {}


def _specs(cls: type) -> list[tuple[str, Any]]:
    known = _SPECS.get(cls)
    if known is None:
        # Any: dataclasses.fields wants a dataclass type, which `type` cannot promise.
        listed: Any = fields(cls)
        known = _SPECS[cls] = [(item.name, item) for item in listed]
    return known


def _pairs(specs: list[tuple[str, Any]], values: list[Value]) -> list[tuple[tuple[str, Any], Value]]:
    padded = values + [None] * (len(specs) - len(values))
    return list(zip(specs, padded, strict=True))


def _checked(cls: type, name: str, spec: Any, value: Value) -> Value:
    if value is None:
        if spec.metadata["required"]:
            raise CodecError(f"{cls.__name__.lower()} lacks {name}")
        return spec.default
    kind = spec.metadata["kind"]
    if not isinstance(value, kind.accepts) or (kind.maximum and isinstance(value, bool)):
        raise CodecError(f"{name} of {cls.__name__.lower()} has the wrong type")
    if kind.maximum and not 0 <= value <= kind.maximum:
        raise CodecError(f"{name} of {cls.__name__.lower()} is out of range")
    return value


def _wire(spec: Any, value: Any) -> Value:
    if value is None or isinstance(value, Performative):
        return value.described() if value is not None else None
    return spec.metadata["kind"].wrap(value)


@dataclass(frozen=True, slots=True)
class Open(Performative):
    """Starts a connection; `idle_time_out` in milliseconds."""

    code = 0x10
    container_id: str = _field("string", required=True)
    hostname: str | None = _field("string")
    max_frame_size: int = _field("uint", 4_294_967_295)
    channel_max: int = _field("ushort", 65_535)
    idle_time_out: int | None = _field("uint")
    outgoing_locales: Value = _field("symbols")
    incoming_locales: Value = _field("symbols")
    offered_capabilities: Value = _field("symbols")
    desired_capabilities: Value = _field("symbols")
    properties: dict[Value, Value] | None = _field("map")


@dataclass(frozen=True, slots=True)
class Begin(Performative):
    """Starts a session on a channel."""

    code = 0x11
    remote_channel: int | None = _field("ushort")
    next_outgoing_id: int = _field("uint", required=True)
    incoming_window: int = _field("uint", required=True)
    outgoing_window: int = _field("uint", required=True)
    handle_max: int = _field("uint", 4_294_967_295)
    offered_capabilities: Value = _field("symbols")
    desired_capabilities: Value = _field("symbols")
    properties: dict[Value, Value] | None = _field("map")


@dataclass(frozen=True, slots=True)
class Source(Performative):
    """Where a link's messages come from."""

    code = 0x28
    address: Value = _field("any")
    durable: int | None = _field("uint")
    expiry_policy: str | None = _field("symbol")
    timeout: int | None = _field("uint")
    dynamic: bool | None = _field("boolean")
    dynamic_node_properties: dict[Value, Value] | None = _field("map")
    distribution_mode: str | None = _field("symbol")
    filter: dict[Value, Value] | None = _field("map")
    default_outcome: Value = _field("any")
    outcomes: Value = _field("symbols")
    capabilities: Value = _field("symbols")


@dataclass(frozen=True, slots=True)
class Target(Performative):
    """Where a link's messages go."""

    code = 0x29
    address: Value = _field("any")
    durable: int | None = _field("uint")
    expiry_policy: str | None = _field("symbol")
    timeout: int | None = _field("uint")
    dynamic: bool | None = _field("boolean")
    dynamic_node_properties: dict[Value, Value] | None = _field("map")
    capabilities: Value = _field("symbols")


@dataclass(frozen=True, slots=True)
class Attach(Performative):
    """Starts a link; `role` is the sender of this frame's role: True = it receives."""

    code = 0x12
    name: str = _field("string", required=True)
    handle: int = _field("uint", required=True)
    role: bool = _field("boolean", required=True)
    snd_settle_mode: int | None = _field("ubyte", 2)
    rcv_settle_mode: int | None = _field("ubyte", 0)
    source: Described | Source | None = _field("described")
    target: Described | Target | None = _field("described")
    unsettled: dict[Value, Value] | None = _field("map")
    incomplete_unsettled: bool | None = _field("boolean")
    initial_delivery_count: int | None = _field("uint")
    max_message_size: int | None = _field("ulong")
    offered_capabilities: Value = _field("symbols")
    desired_capabilities: Value = _field("symbols")
    properties: dict[Value, Value] | None = _field("map")


@dataclass(frozen=True, slots=True)
class Flow(Performative):
    """Moves windows and credit; without handle it speaks of the session only."""

    code = 0x13
    next_incoming_id: int | None = _field("uint")
    incoming_window: int = _field("uint", required=True)
    next_outgoing_id: int = _field("uint", required=True)
    outgoing_window: int = _field("uint", required=True)
    handle: int | None = _field("uint")
    delivery_count: int | None = _field("uint")
    link_credit: int | None = _field("uint")
    available: int | None = _field("uint")
    drain: bool = _field("boolean", False)
    echo: bool = _field("boolean", False)
    properties: dict[Value, Value] | None = _field("map")


@dataclass(frozen=True, slots=True)
class Transfer(Performative):
    """Carries a message or a piece of one; the piece itself follows the performative in the frame."""

    code = 0x14
    handle: int = _field("uint", required=True)
    delivery_id: int | None = _field("uint")
    delivery_tag: bytes | None = _field("binary")
    message_format: int | None = _field("uint")
    settled: bool | None = _field("boolean")
    more: bool = _field("boolean", False)
    rcv_settle_mode: int | None = _field("ubyte")
    state: Described | None = _field("described")
    resume: bool = _field("boolean", False)
    aborted: bool = _field("boolean", False)
    batchable: bool = _field("boolean", False)


@dataclass(frozen=True, slots=True)
class Disposition(Performative):
    """Tells the outcome of deliveries `first` to `last`; `role` is the sender of this frame's role."""

    code = 0x15
    role: bool = _field("boolean", required=True)
    first: int = _field("uint", required=True)
    last: int | None = _field("uint")
    settled: bool = _field("boolean", False)
    state: Described | None = _field("described")
    batchable: bool = _field("boolean", False)


@dataclass(frozen=True, slots=True)
class Detach(Performative):
    """Ends a link, for good when `closed`."""

    code = 0x16
    handle: int = _field("uint", required=True)
    closed: bool = _field("boolean", False)
    error: Described | None = _field("described")


@dataclass(frozen=True, slots=True)
class End(Performative):
    """Ends a session."""

    code = 0x17
    error: Described | None = _field("described")


@dataclass(frozen=True, slots=True)
class Close(Performative):
    """Ends a connection."""

    code = 0x18
    error: Described | None = _field("described")


@dataclass(frozen=True, slots=True)
class SaslMechanisms(Performative):
    """What the server offers for signing in."""

    code = 0x40
    mechanisms: Value = _field("symbols", required=True)


@dataclass(frozen=True, slots=True)
class SaslInit(Performative):
    """What the client picked."""

    code = 0x41
    mechanism: str = _field("symbol", required=True)
    initial_response: bytes | None = _field("binary")
    hostname: str | None = _field("string")


@dataclass(frozen=True, slots=True)
class SaslOutcome(Performative):
    """How signing in went: 0 = well, 1 = wrong name or key."""

    code = 0x44
    result: int = _field("ubyte", required=True)
    additional_data: bytes | None = _field("binary")


_BY_CODE: dict[int, type[Performative]] = {
    cls.code: cls
    for cls in (
        Open,
        Begin,
        Attach,
        Flow,
        Transfer,
        Disposition,
        Detach,
        End,
        Close,
        SaslMechanisms,
        SaslInit,
        SaslOutcome,
    )
}
_BY_NAME = {
    f"amqp:{cls.__name__.lower()}:list": cls.code for cls in _BY_CODE.values() if not cls.__name__.startswith("Sasl")
}


def read_performative(body: bytes) -> tuple[Performative, bytes]:
    """Read a frame body: the performative and the payload behind it.

    Raises ProtocolViolation for anything that is no performative of AMQP 1.0.
    """
    try:
        value, end = decode(body)
        cls = _BY_CODE.get(_code_of(value))
        if cls is None or not isinstance(value.value, list):
            raise CodecError("the frame holds no performative of AMQP 1.0")
        return cls.from_values(value.value), body[end:]
    except CodecError as error:
        raise ProtocolViolation(Condition.DECODE_ERROR, str(error)) from error


def _code_of(value: Value) -> int:
    if not isinstance(value, Described):
        raise CodecError("the frame holds no performative of AMQP 1.0")
    return code_of_descriptor(value.descriptor, _BY_NAME)


def code_of_descriptor(descriptor: Value, names: dict[str, int]) -> int:
    """A descriptor's number, given as number or as symbolic name; -1 when it is neither."""
    if isinstance(descriptor, Symbol):
        return names.get(descriptor, -1)
    return int(descriptor) if isinstance(descriptor, ULong) else -1


# --- outcomes and errors --------------------------------------------------------------------------

RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x23, 0x24, 0x25, 0x26, 0x27
TRANSACTIONAL_STATE = 0x34
COORDINATOR = 0x30
SOURCE, TARGET = Source.code, Target.code

_STATE_NAMES = {
    "amqp:received:list": RECEIVED,
    "amqp:accepted:list": ACCEPTED,
    "amqp:rejected:list": REJECTED,
    "amqp:released:list": RELEASED,
    "amqp:modified:list": MODIFIED,
    "amqp:transactional-state:list": TRANSACTIONAL_STATE,
}
_TERMINUS_NAMES = {
    "amqp:source:list": SOURCE,
    "amqp:target:list": TARGET,
    "amqp:coordinator:list": COORDINATOR,
}


def state_code(state: Described | None) -> int | None:
    """Which delivery state this is; None when there is none."""
    return None if state is None else code_of_descriptor(state.descriptor, _STATE_NAMES)


def state_fields(state: Described, count: int) -> list[Value]:
    """The fields of a delivery state, padded with None to at least `count`."""
    values = state.value if isinstance(state.value, list) else []
    return [*values, *[None] * (count - len(values))]


def terminus_code(terminus: Described | Source | Target | None) -> int | None:
    """Which kind of source or target this is; None when there is none."""
    if isinstance(terminus, Performative):
        return terminus.code
    return None if terminus is None else code_of_descriptor(terminus.descriptor, _TERMINUS_NAMES)


def read_terminus(cls: type[Source] | type[Target], terminus: Described | Source | Target | None) -> Any:
    """The source or target of an attach as its dataclass; raises ProtocolViolation when its fields do not fit."""
    if isinstance(terminus, cls):
        return terminus
    values = terminus.value if isinstance(terminus, Described) and isinstance(terminus.value, list) else []
    try:
        return cls.from_values(values)
    except CodecError as error:
        raise ProtocolViolation(Condition.DECODE_ERROR, str(error)) from error


def outcome(code: int) -> Described:
    """An outcome without details."""
    return Described(ULong(code), [])


def rejected(condition: str, description: str) -> Described:
    """The outcome "refused, because"."""
    return Described(ULong(REJECTED), [error(condition, description)])


def error(condition: str, description: str) -> Described:
    """An AMQP error. Always three items: the Python client reads the third without looking whether it is there."""
    return Described(ULong(0x1D), [Symbol(condition), description, {}])
