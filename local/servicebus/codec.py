"""AMQP 1.0 types to bytes and back (OASIS AMQP 1.0, part 1 "Types").

Every AMQP type has one Python type here, so that decoding and encoding again keeps the type: `UInt(5)` is not
`Long(5)`. A plain `int` is refused: say which integer is meant. Reading is strict about lengths and bounded in depth
and in number of elements, because the bytes come from strangers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from local.servicebus.errors import CodecError

MAX_DEPTH = 64
"""Deeper nesting is refused; the other Service Bus clients draw the line at the same depth."""

MAX_ELEMENTS = 65_536
"""More elements in one list, map or array are refused: elements without width would cost memory but no bytes."""


class Symbol(str):
    """symbol: a name from a constrained domain."""

    __slots__ = ()


class Char(str):
    """char: one Unicode character."""

    __slots__ = ()


class UByte(int):
    """ubyte, 8 bits."""

    __slots__ = ()


class UShort(int):
    """ushort, 16 bits."""

    __slots__ = ()


class UInt(int):
    """uint, 32 bits."""

    __slots__ = ()


class ULong(int):
    """ulong, 64 bits."""

    __slots__ = ()


class Byte(int):
    """byte, 8 bits signed."""

    __slots__ = ()


class Short(int):
    """short, 16 bits signed."""

    __slots__ = ()


class Int(int):
    """int, 32 bits signed."""

    __slots__ = ()


class Long(int):
    """long, 64 bits signed."""

    __slots__ = ()


class Timestamp(int):
    """timestamp: milliseconds since 1970-01-01 UTC."""

    __slots__ = ()


class Float(float):
    """float, 32 bits; a plain `float` is AMQP's double."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Decimal:
    """decimal32, 64 or 128 as its raw bytes (4, 8 or 16); nobody here calculates with it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Described:
    """A value with a descriptor that says what it means."""

    descriptor: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Array:
    """Values of the one type `of`; described elements share the descriptor of the first."""

    of: type
    items: tuple[Any, ...]


# Any: an AMQP value is None, bool, one of the classes above, float, str, bytes, UUID, list or dict of such values;
# mypy cannot follow the recursion usefully.
Value = Any

# --- reading --------------------------------------------------------------------------------------

_Reader = Callable[[bytes, int, int], tuple[Value, int]]
_U16, _U32, _U64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")


def decode(data: bytes, start: int = 0) -> tuple[Value, int]:
    """Read one value at `start`; gives it and the position after it.

    Raises CodecError for anything that is not a complete, well-formed value.
    """
    try:
        return _decode(data, start, 0)
    except (IndexError, struct.error) as error:
        raise CodecError("the value is cut off") from error


def decode_whole(data: bytes) -> Value:
    """Read the one value that `data` consists of; raises CodecError when something follows it."""
    value, end = decode(data)
    if end != len(data):
        raise CodecError("something follows the value")
    return value


def skip(data: bytes, start: int = 0) -> int:
    """Find the end of the value at `start` without building it; raises CodecError when it is cut off."""
    try:
        end = _skip(data, start, 0)
    except (IndexError, struct.error) as error:
        raise CodecError("the value is cut off") from error
    if end > len(data):
        raise CodecError("the value is cut off")
    return end


def _decode(data: bytes, position: int, depth: int) -> tuple[Value, int]:
    code = data[position]
    if code == 0x00:
        return _decode_described(data, position + 1, depth)
    reader = _READERS.get(code)
    if reader is None:
        raise CodecError(f"0x{code:02x} is no type of AMQP 1.0")
    return reader(data, position + 1, depth)


def _decode_described(data: bytes, position: int, depth: int) -> tuple[Value, int]:
    _check_depth(depth)
    descriptor, position = _decode(data, position, depth + 1)
    value, position = _decode(data, position, depth + 1)
    return Described(descriptor, value), position


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise CodecError(f"values are nested deeper than {MAX_DEPTH}")


def _constant(value: Value) -> _Reader:
    return lambda data, position, depth: (value, position)


def _fixed(layout: str, wrap: Callable[[Any], Value]) -> _Reader:
    packed = struct.Struct(layout)

    def read(data: bytes, position: int, depth: int) -> tuple[Value, int]:
        return wrap(packed.unpack_from(data, position)[0]), position + packed.size

    return read


def _variable(length_bytes: int, wrap: Callable[[bytes], Value]) -> _Reader:
    def read(data: bytes, position: int, depth: int) -> tuple[Value, int]:
        start = position + length_bytes
        end = start + (data[position] if length_bytes == 1 else _U32.unpack_from(data, position)[0])
        if end > len(data):
            raise CodecError("the value is cut off")
        return wrap(data[start:end]), end

    return read


def _raw(size: int, wrap: Callable[[bytes], Value]) -> _Reader:
    def read(data: bytes, position: int, depth: int) -> tuple[Value, int]:
        if position + size > len(data):
            raise CodecError("the value is cut off")
        return wrap(data[position : position + size]), position + size

    return read


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CodecError("a string is not UTF-8") from error


def _symbol(data: bytes) -> Symbol:
    return Symbol(_text(data))


def _char(data: bytes) -> Char:
    try:
        return Char(data.decode("utf-32-be"))
    except UnicodeDecodeError as error:
        raise CodecError("a char is no Unicode character") from error


def _boolean(octet: int) -> bool:
    if octet > 1:
        raise CodecError("a boolean is neither 0 nor 1")
    return octet == 1


def _frame_of(data: bytes, position: int, width: int) -> tuple[int, int, int]:
    """Size and count of a compound: gives (count, position of the first element, end)."""
    if width == 1:
        size, count = data[position], data[position + 1]
    else:
        size, count = _U32.unpack_from(data, position)[0], _U32.unpack_from(data, position + 4)[0]
    end = position + width + size
    if end > len(data) or size < width:
        raise CodecError("a list, map or array is cut off")
    if count > MAX_ELEMENTS:
        raise CodecError(f"a list, map or array has more than {MAX_ELEMENTS} elements")
    return count, position + 2 * width, end


def _items(data: bytes, position: int, depth: int, width: int) -> tuple[list[Value], int]:
    _check_depth(depth)
    count, position, end = _frame_of(data, position, width)
    items = []
    for _ in range(count):
        item, position = _decode(data, position, depth + 1)
        items.append(item)
    if position != end:
        raise CodecError("a list or map does not have the size it says")
    return items, end


def _list(width: int) -> _Reader:
    return lambda data, position, depth: _items(data, position, depth, width)


def _map(width: int) -> _Reader:
    def read(data: bytes, position: int, depth: int) -> tuple[Value, int]:
        items, end = _items(data, position, depth, width)
        if len(items) % 2:
            raise CodecError("a map has a key without a value")
        try:
            return dict(zip(items[::2], items[1::2], strict=True)), end
        except TypeError as error:
            raise CodecError("a map has a key that is itself a list or map") from error

    return read


def _array(width: int) -> _Reader:
    def read(data: bytes, position: int, depth: int) -> tuple[Value, int]:
        _check_depth(depth)
        count, position, end = _frame_of(data, position, width)
        if position == end and not count:
            return Array(type(None), ()), end
        descriptor, described = None, data[position] == 0x00
        if described:
            descriptor, position = _decode(data, position + 1, depth + 1)
        reader = _READERS.get(data[position])
        if reader is None:
            raise CodecError(f"0x{data[position]:02x} is no type of AMQP 1.0")
        of, position = _TYPE_OF_CODE[data[position]], position + 1
        items = []
        for _ in range(count):
            item, position = reader(data, position, depth + 1)
            items.append(Described(descriptor, item) if described else item)
        if position != end:
            raise CodecError("an array does not have the size it says")
        return Array(Described if described else of, tuple(items)), end

    return read


_READERS: dict[int, _Reader] = {
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(UInt(0)),
    0x44: _constant(ULong(0)),
    0x45: lambda data, position, depth: ([], position),
    0x50: _fixed(">B", UByte),
    0x51: _fixed(">b", Byte),
    0x52: _fixed(">B", UInt),
    0x53: _fixed(">B", ULong),
    0x54: _fixed(">b", Int),
    0x55: _fixed(">b", Long),
    0x56: _fixed(">B", _boolean),
    0x60: _fixed(">H", UShort),
    0x61: _fixed(">h", Short),
    0x70: _fixed(">I", UInt),
    0x71: _fixed(">i", Int),
    0x72: _fixed(">f", Float),
    0x73: _raw(4, _char),
    0x74: _raw(4, Decimal),
    0x80: _fixed(">Q", ULong),
    0x81: _fixed(">q", Long),
    0x82: _fixed(">d", float),
    0x83: _fixed(">q", Timestamp),
    0x84: _raw(8, Decimal),
    0x94: _raw(16, Decimal),
    0x98: _raw(16, lambda data: UUID(bytes=data)),
    0xA0: _variable(1, bytes),
    0xA1: _variable(1, _text),
    0xA3: _variable(1, _symbol),
    0xB0: _variable(4, bytes),
    0xB1: _variable(4, _text),
    0xB3: _variable(4, _symbol),
    0xC0: _list(1),
    0xC1: _map(1),
    0xD0: _list(4),
    0xD1: _map(4),
    0xE0: _array(1),
    0xF0: _array(4),
}

_TYPE_OF_CODE: dict[int, type] = {
    0x40: type(None),
    **dict.fromkeys((0x41, 0x42, 0x56), bool),
    **dict.fromkeys((0x43, 0x52, 0x70), UInt),
    **dict.fromkeys((0x44, 0x53, 0x80), ULong),
    **dict.fromkeys((0x45, 0xC0, 0xD0), list),
    0x50: UByte,
    0x51: Byte,
    **dict.fromkeys((0x54, 0x71), Int),
    **dict.fromkeys((0x55, 0x81), Long),
    0x60: UShort,
    0x61: Short,
    0x72: Float,
    0x73: Char,
    **dict.fromkeys((0x74, 0x84, 0x94), Decimal),
    0x82: float,
    0x83: Timestamp,
    0x98: UUID,
    **dict.fromkeys((0xA0, 0xB0), bytes),
    **dict.fromkeys((0xA1, 0xB1), str),
    **dict.fromkeys((0xA3, 0xB3), Symbol),
    **dict.fromkeys((0xC1, 0xD1), dict),
    **dict.fromkeys((0xE0, 0xF0), Array),
}


def _skip(data: bytes, position: int, depth: int) -> int:
    """The high half of a constructor says how long the value is (part 1, section 1.2)."""
    _check_depth(depth)
    code = data[position]
    position += 1
    if code == 0x00:
        return _skip(data, _skip(data, position, depth + 1), depth + 1)
    if code not in _READERS:
        raise CodecError(f"0x{code:02x} is no type of AMQP 1.0")
    kind = code >> 4
    if kind in _WIDTH_OF_KIND:
        return position + _WIDTH_OF_KIND[kind]
    if kind in (0xA, 0xC, 0xE):
        return position + 1 + data[position]
    return position + 4 + int(_U32.unpack_from(data, position)[0])


_WIDTH_OF_KIND = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def raw_items(data: bytes, start: int = 0) -> Iterator[tuple[int, int]]:
    """Walk over the elements of the list or map at `start` as (start, end) slices, undecoded.

    This is how parts of a message are dropped or added while every other byte stays what the sender wrote.
    Raises CodecError when there is no well-formed list or map.
    """
    try:
        code = data[start]
        if code == 0x45:
            return
        if code not in (0xC0, 0xC1, 0xD0, 0xD1):
            raise CodecError("expected a list or a map")
        count, position, end = _frame_of(data, start + 1, 1 if code < 0xD0 else 4)
        for _ in range(count):
            after = skip(data, position)
            yield position, after
            position = after
    except (IndexError, struct.error) as error:
        raise CodecError("a list or map is cut off") from error
    if position != end:
        raise CodecError("a list or map does not have the size it says")


# --- writing --------------------------------------------------------------------------------------


def encode(value: Value) -> bytes:
    """Write a value in its shortest form; raises CodecError for what AMQP cannot carry."""
    output = bytearray()
    encode_into(output, value)
    return bytes(output)


def encode_into(output: bytearray, value: Value) -> None:
    """Append a value in its shortest form to `output`; raises CodecError for what AMQP cannot carry."""
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise CodecError(f"{type(value).__name__} has no AMQP type")
    try:
        writer(output, value)
    except (struct.error, OverflowError, UnicodeEncodeError) as error:
        raise CodecError(f"the value does not fit into {type(value).__name__}") from error


_Writer = Callable[[bytearray, Any], None]


def _write_null(output: bytearray, value: None) -> None:
    output.append(0x40)


def _write_boolean(output: bytearray, value: bool) -> None:
    output.append(0x41 if value else 0x42)


def _unsigned(zero: int, small: int, large: int, layout: struct.Struct) -> _Writer:
    def write(output: bytearray, value: int) -> None:
        if value == 0:
            output.append(zero)
        elif 0 < value < 256:
            output += bytes((small, value))
        else:
            output.append(large)
            output += layout.pack(value)

    return write


def _signed(small: int, large: int, layout: struct.Struct) -> _Writer:
    def write(output: bytearray, value: int) -> None:
        if -128 <= value < 128:
            output += bytes((small, value & 0xFF))
        else:
            output.append(large)
            output += layout.pack(value)

    return write


def _of_width(code: int, pack: Callable[[Any], bytes]) -> _Writer:
    def write(output: bytearray, value: Any) -> None:
        output.append(code)
        output += pack(value)

    return write


def _sized(small: int, pack: Callable[[Any], bytes]) -> _Writer:
    def write(output: bytearray, value: Any) -> None:
        data = pack(value)
        if len(data) < 256:
            output += bytes((small, len(data)))
        else:
            output.append(small + 0x10)
            output += _U32.pack(len(data))
        output += data

    return write


def compound(small: int, body: bytes | bytearray, count: int) -> bytes:
    """Frame already encoded elements as a list (small = 0xC0) or a map (small = 0xC1); `count` counts elements."""
    if len(body) < 255 and count < 256:
        return bytes((small, len(body) + 1, count)) + body
    return bytes((small + 0x10,)) + _U32.pack(len(body) + 4) + _U32.pack(count) + body


def _write_list(output: bytearray, value: list[Value]) -> None:
    if not value:
        output.append(0x45)
        return
    body = bytearray()
    for item in value:
        encode_into(body, item)
    output += compound(0xC0, body, len(value))


def _write_map(output: bytearray, value: dict[Value, Value]) -> None:
    body = bytearray()
    for key, item in value.items():
        encode_into(body, key)
        encode_into(body, item)
    output += compound(0xC1, body, 2 * len(value))


def _write_described(output: bytearray, value: Described) -> None:
    output.append(0x00)
    encode_into(output, value.descriptor)
    encode_into(output, value.value)


def _write_array(output: bytearray, value: Array) -> None:
    body = _array_body(value)
    output.append(0xF0)
    output += _U32.pack(len(body) + 4) + _U32.pack(len(value.items)) + body


def _array_body(value: Array) -> bytes:
    if value.of is not Described:
        return _elements(value.of, value.items)
    if not value.items:
        return b"\x40"
    first = value.items[0]
    descriptor = encode(first.descriptor)
    if any(encode(item.descriptor) != descriptor for item in value.items):
        raise CodecError("the elements of an array have different descriptors")
    return b"\x00" + descriptor + _elements(type(first.value), tuple(item.value for item in value.items))


def _elements(of: type, items: tuple[Value, ...]) -> bytes:
    if any(type(item) is not of for item in items):
        raise CodecError("the elements of an array have different types")
    if of is Decimal:
        return _decimals(items)
    if of not in _WIDE:
        raise CodecError(f"an array of {of.__name__} has no AMQP type")
    code, pack = _WIDE[of]
    try:
        return bytes((code,)) + b"".join(pack(item) for item in items)
    except (struct.error, OverflowError, UnicodeEncodeError) as error:
        raise CodecError(f"an element does not fit into {of.__name__}") from error


def _decimals(items: tuple[Decimal, ...]) -> bytes:
    widths = {len(item.data) for item in items} or {16}
    if len(widths) > 1:
        raise CodecError("the elements of an array have different types")
    return bytes((_DECIMAL_CODE[widths.pop()],)) + b"".join(item.data for item in items)


_DECIMAL_CODE = {4: 0x74, 8: 0x84, 16: 0x94}


def _write_decimal(output: bytearray, value: Decimal) -> None:
    if len(value.data) not in _DECIMAL_CODE:
        raise CodecError("a decimal has neither 4, 8 nor 16 bytes")
    output.append(_DECIMAL_CODE[len(value.data)])
    output += value.data


def _utf8(value: str) -> bytes:
    return value.encode("utf-8")


def _utf32(value: str) -> bytes:
    if len(value) != 1:
        raise CodecError("a char is one character")
    return value.encode("utf-32-be")


def _packer(layout: str) -> Callable[[Any], bytes]:
    return struct.Struct(layout).pack


def _long_form(pack: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def write(value: Any) -> bytes:
        data = pack(value)
        return _U32.pack(len(data)) + data

    return write


def _list_element(value: list[Value]) -> bytes:
    body = b"".join(encode(item) for item in value)
    return _U32.pack(len(body) + 4) + _U32.pack(len(value)) + body


def _map_element(value: dict[Value, Value]) -> bytes:
    body = b"".join(encode(key) + encode(item) for key, item in value.items())
    return _U32.pack(len(body) + 4) + _U32.pack(2 * len(value)) + body


def _array_element(value: Array) -> bytes:
    body = _array_body(value)
    return _U32.pack(len(body) + 4) + _U32.pack(len(value.items)) + body


_WRITERS: dict[type, _Writer] = {
    type(None): _write_null,
    bool: _write_boolean,
    UByte: _of_width(0x50, _packer(">B")),
    UShort: _of_width(0x60, _packer(">H")),
    UInt: _unsigned(0x43, 0x52, 0x70, _U32),
    ULong: _unsigned(0x44, 0x53, 0x80, _U64),
    Byte: _of_width(0x51, _packer(">b")),
    Short: _of_width(0x61, _packer(">h")),
    Int: _signed(0x54, 0x71, struct.Struct(">i")),
    Long: _signed(0x55, 0x81, struct.Struct(">q")),
    Timestamp: _of_width(0x83, _packer(">q")),
    Float: _of_width(0x72, _packer(">f")),
    float: _of_width(0x82, _packer(">d")),
    Char: _of_width(0x73, _utf32),
    Decimal: _write_decimal,
    UUID: _of_width(0x98, lambda value: value.bytes),
    bytes: _sized(0xA0, bytes),
    str: _sized(0xA1, _utf8),
    Symbol: _sized(0xA3, _utf8),
    list: _write_list,
    dict: _write_map,
    Described: _write_described,
    Array: _write_array,
}

_WIDE: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    type(None): (0x40, lambda value: b""),
    bool: (0x56, _packer(">B")),
    UByte: (0x50, _packer(">B")),
    UShort: (0x60, _packer(">H")),
    UInt: (0x70, _packer(">I")),
    ULong: (0x80, _packer(">Q")),
    Byte: (0x51, _packer(">b")),
    Short: (0x61, _packer(">h")),
    Int: (0x71, _packer(">i")),
    Long: (0x81, _packer(">q")),
    Timestamp: (0x83, _packer(">q")),
    Float: (0x72, _packer(">f")),
    float: (0x82, _packer(">d")),
    Char: (0x73, _utf32),
    UUID: (0x98, lambda value: value.bytes),
    bytes: (0xB0, _long_form(bytes)),
    str: (0xB1, _long_form(_utf8)),
    Symbol: (0xB3, _long_form(_utf8)),
    list: (0xD0, _list_element),
    dict: (0xD1, _map_element),
    Array: (0xF0, _array_element),
}
"""In an array all elements share one constructor, so each takes the wide form."""
