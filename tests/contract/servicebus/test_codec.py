"""AMQP values survive the way to bytes and back, and bytes that are no values are refused."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.servicebus.codec import (
    MAX_DEPTH,
    Array,
    Byte,
    Char,
    Decimal,
    Described,
    Float,
    Int,
    Long,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    Value,
    decode_whole,
    encode,
    raw_items,
    skip,
)
from local.servicebus.errors import CodecError

_INTEGERS = [(UByte, 0, 8), (UShort, 0, 16), (UInt, 0, 32), (ULong, 0, 64)]
_SIGNED = [(Byte, 8), (Short, 16), (Int, 32), (Long, 64), (Timestamp, 64)]
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
_singles = st.floats(width=32, allow_nan=False).map(Float)
_decimals = st.sampled_from([4, 8, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(Decimal)
_simple: dict[type, st.SearchStrategy[Value]] = {
    type(None): st.none(),
    bool: st.booleans(),
    **{kind: st.integers(0, 2**bits - 1).map(kind) for kind, _, bits in _INTEGERS},
    **{kind: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(kind) for kind, bits in _SIGNED},
    float: st.floats(allow_nan=False),
    Float: _singles,
    UUID: st.uuids(),
    bytes: st.binary(max_size=300),
    str: _text,
    Symbol: _text.map(Symbol),
    Char: st.characters(exclude_categories=["Cs"]).map(Char),
}
_leaves = st.one_of(_decimals, *_simple.values())
_arrays = st.sampled_from(list(_simple)).flatmap(
    lambda kind: st.lists(_simple[kind], max_size=5).map(lambda items: Array(kind, tuple(items)))
)


def _compounds(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    maps = st.dictionaries(st.one_of(_text, _simple[ULong]), inner, max_size=5)
    described = st.builds(Described, st.one_of(_simple[ULong], _simple[Symbol]), inner)
    return st.one_of(st.lists(inner, max_size=5), maps, described)


values = st.recursive(st.one_of(_leaves, _arrays), _compounds, max_leaves=20)


@given(values)
def test_a_value_comes_back_with_its_type(value: Value) -> None:
    """Equal values of different AMQP types differ in their bytes, so the bytes are compared as well."""
    encoded = encode(value)
    decoded = decode_whole(encoded)
    assert decoded == value
    assert type(decoded) is type(value)
    assert encode(decoded) == encoded


@given(values)
def test_the_end_of_a_value_is_found_without_building_it(value: Value) -> None:
    """Bodies are passed on unread, so their ends must be found all the same."""
    encoded = encode(value)
    assert skip(encoded + b"\x41") == len(encoded)


@given(values, st.data())
def test_a_cut_off_value_is_refused(value: Value, data: st.DataObject) -> None:
    """Whatever is missing at the end, the answer is CodecError and never another exception."""
    encoded = encode(value)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    with pytest.raises(CodecError):
        decode_whole(cut)


@given(st.binary(max_size=200))
def test_garbage_is_a_value_or_refused_but_never_anything_else(data: bytes) -> None:
    """Strangers' bytes cannot raise what nobody expects in any of the readers, and what is read can be written."""
    for reader in (decode_whole, skip, lambda data: list(raw_items(data))):
        try:
            value = reader(data)
        except CodecError:
            continue
        encode(value if reader is decode_whole else None)


@pytest.mark.parametrize("opening", [b"\x00\x53\x01", b"\xc0\xff\x01", b"\xd0\x00\x00\x10\x00\x00\x00\x00\x01"])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    """A few kilobytes must not exhaust the stack."""
    with pytest.raises(CodecError):
        decode_whole(opening * 5000 + b"\x40")


def test_nesting_up_to_the_limit_is_read() -> None:
    """The limit is the depth that other clients of the service read, too."""
    value: Value = []
    for _ in range(MAX_DEPTH - 1):
        value = [value, None]
    assert decode_whole(encode(value)) == value


@pytest.mark.parametrize("element", [0x40, 0x41, 0x43, 0x45])
def test_an_array_of_a_billion_nothings_is_refused(element: int) -> None:
    """Elements without width cost no bytes, so their number alone must be bounded."""
    body = struct.pack(">I", 10**9) + bytes((element,))
    with pytest.raises(CodecError, match="more than"):
        decode_whole(b"\xf0" + struct.pack(">I", len(body)) + body)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("40", None),
        ("5601", True),
        ("43", UInt(0)),
        ("5205", UInt(5)),
        ("7000000100", UInt(256)),
        ("44", ULong(0)),
        ("8000000000000000ff", ULong(255)),
        ("54ff", Int(-1)),
        ("81fffffffffffffffe", Long(-2)),
        ("7300000041", Char("A")),
        ("a303666f6f", Symbol("foo")),
        ("b10000000166", "f"),
        ("45", []),
        ("c0030240" + "41", [None, True]),
        ("e004025301" + "02", Array(ULong, (ULong(1), ULong(2)))),
    ],
)
def test_the_forms_of_the_standard_are_read(encoded: str, value: Value) -> None:
    """Every width of a type means the same value."""
    decoded = decode_whole(bytes.fromhex(encoded))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize(
    "wrong",
    [
        "ff",
        "a1",
        "a1ff41",
        "5602",
        "c1030141",
        "c10301c00100",
        "73ffffffff",
        "a101ff",
        "c0010100",
        "d000000001",
        "4141",
    ],
)
def test_malformed_bytes_are_refused(wrong: str) -> None:
    """Unknown constructors, wrong sizes, odd maps, bad characters."""
    with pytest.raises(CodecError):
        decode_whole(bytes.fromhex(wrong))


@pytest.mark.parametrize(
    "value",
    [
        5,
        object(),
        UByte(256),
        UInt(-1),
        Long(2**63),
        Char("ab"),
        Decimal(b"123"),
        Array(UInt, (UInt(1), Int(1))),
        Array(set, ()),
        Array(UByte, (UByte(300),)),
        "\ud800",
    ],
)
def test_what_amqp_cannot_carry_is_refused(value: Value) -> None:
    """A plain int is refused on purpose: it does not say which of AMQP's integers it is."""
    with pytest.raises(CodecError):
        encode(value)


def test_the_elements_of_a_list_are_found_as_slices() -> None:
    """This is what keeps foreign bytes foreign."""
    data = encode(["a", Long(1), None])
    assert [data[start:end] for start, end in raw_items(data)] == [encode("a"), encode(Long(1)), encode(None)]
