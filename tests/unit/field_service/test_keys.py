"""Keys of field service in their one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.field_service.keys import canonical, key_of, parts_of

PARTS = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20), min_size=1, max_size=4
)


@given(PARTS)
def test_parts_survive_whatever_they_hold(parts: list[str]) -> None:
    """Commas and percent signs, too; the key is its own canonical spelling."""
    key = key_of(parts)
    assert parts_of(key) == parts
    assert canonical(key) == key


def test_a_key_is_written_in_one_way_only() -> None:
    """Whatever way a sender writes what has to be encoded."""
    assert key_of(["VAN,3", "100%"]) == "VAN%2C3,100%25"
    assert canonical("VAN%2c3,100%25") == "VAN%2C3,100%25"
    assert canonical("Müller-7") == "Müller-7"


@pytest.mark.parametrize(
    "text", ["", ",", "a,", ",b", "a%", "a%2", "a%20", "a%zz", "a\x00b", "a\nb", "\ud800", "x" * 251]
)
def test_what_can_be_no_key_is_refused(text: str) -> None:
    """Empty parts, half an encoding, control characters, half a character, more than 250 characters."""
    with pytest.raises(ValueError, match="key"):
        canonical(text)


def test_no_parts_are_no_key() -> None:
    """Neither is a missing part one."""
    for parts in ([], [""], ["a", ""]):
        with pytest.raises(ValueError, match="key"):
            key_of(parts)
