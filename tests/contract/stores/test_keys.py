"""Keys of parts: injective, reversible, harmless to every store."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.stores.rows import RowInvalid, decode_key, encode_key, prefix_end

PART = st.text(st.characters(exclude_categories=()), max_size=12) | st.text("|~a2f/", max_size=6)
PARTS = st.lists(PART, min_size=1, max_size=5)
unhurried = settings(deadline=None)
KEY = st.text("-.09AZ_az|~", min_size=1, max_size=4)


@unhurried
@given(PARTS)
@example(["\ud800"])
def test_decoding_gives_the_parts_back(parts: list[str]) -> None:
    """For every text, also empty parts and half surrogate pairs."""
    assert decode_key(encode_key(*parts)) == tuple(parts)


@unhurried
@given(PARTS, PARTS)
@example(["a", "b"], ["a|b"])
@example([""], ["", ""])
@example(["~2f"], ["/"])
@example(["a", ""], ["a"])
def test_different_parts_have_different_keys(first: list[str], second: list[str]) -> None:
    """Two records never share a row."""
    assert (encode_key(*first) == encode_key(*second)) == (first == second)


@unhurried
@given(PARTS)
def test_a_key_has_only_harmless_characters(parts: list[str]) -> None:
    """None of / \\ # ? % and no control character, which Azure Tables refuse; nothing that a URL would change."""
    assert re.fullmatch(r"[A-Za-z0-9._|~-]+", encode_key(*parts))


@unhurried
@given(st.text(max_size=20))
def test_only_what_encoding_makes_is_decoded(text: str) -> None:
    """A key that decodes is the key of what it decodes to."""
    try:
        parts = decode_key(text)
    except RowInvalid:
        return
    assert encode_key(*parts) == text


@pytest.mark.parametrize("key", ["", "a/b", "~2F", "~61", "~zz", "~f", "~2f~", "a||b", "ä", "~ff", "|"])
def test_a_key_that_is_not_canonical_is_refused(key: str) -> None:
    """Else one row would have two keys."""
    with pytest.raises(RowInvalid, match="no key of encode_key"):
        decode_key(key)


def test_keys_stay_readable() -> None:
    """An operator looking into a table should recognise ids."""
    assert encode_key("business_central", "CRONUS", "10.000-A") == "business_central|CRONUS|10.000-A"
    assert encode_key("Köln/Nord", "") == "K~c3~b6ln~2fNord|~"


def test_a_key_that_is_too_long_names_its_longest_part_but_not_its_text() -> None:
    """The part may be personal data, so only position and length are told."""
    assert len(encode_key("a" * 256, "b" * 255)) == 512
    with pytest.raises(RowInvalid, match="longest part is number 2 of 3 with 507 characters") as raised:
        encode_key("abc", "ä" * 84 + "xyz", "d")
    assert "xyz" not in str(raised.value)


def test_no_parts_are_no_key() -> None:
    """It would be the same as one empty part."""
    with pytest.raises(RowInvalid, match="at least one part"):
        encode_key()


@unhurried
@given(KEY, KEY)
def test_the_end_of_a_prefix_parts_keys_with_it_from_keys_after_it(prefix: str, key: str) -> None:
    """A list by prefix is the range from the prefix to its end, which is sent and so has no control character."""
    end = prefix_end(prefix)
    assert end is None or end.isprintable()
    in_range = key >= prefix and (end is None or key < end)
    assert in_range == key.startswith(prefix)
