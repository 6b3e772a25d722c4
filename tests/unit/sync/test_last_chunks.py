"""The end of a load: every key in one chunk, the chunks ever smaller."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.sync.loading import SMALLEST_CHUNK, last_chunks
from shared.sync.message import MAX_KEYS


@given(number=st.integers(0, 1500), at_once=st.integers(1, 12))
def test_every_key_is_in_one_chunk_and_no_chunk_is_larger_than_the_one_before(number: int, at_once: int) -> None:
    """None is larger than a message may be; only the very last may be smaller than what is worth a call."""
    keys = [str(key) for key in range(number)]
    chunks = list(last_chunks(keys, at_once))
    assert [key for chunk in chunks for key in chunk] == keys
    sizes = [len(chunk) for chunk in chunks]
    assert all(MAX_KEYS >= before >= after for before, after in pairwise(sizes))
    assert all(size >= SMALLEST_CHUNK for size in sizes[:-1])


def test_the_last_of_some_hundreds_are_a_quarter_of_a_message() -> None:
    """A few records are one chunk; of six hundred that six work on, the last chunks are small."""
    assert [len(chunk) for chunk in last_chunks(["a"] * 20, 6)] == [20]
    assert [len(chunk) for chunk in last_chunks(["a"] * 600, 6)][-3:] == [25, 25, 13]
