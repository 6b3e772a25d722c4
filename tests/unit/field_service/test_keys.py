"""Keys of field service in their one spelling."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.connectors.field_service.keys import canonical, key_of, parts_of
from shared.connectors.field_service.values import key_in, parts_as
from shared.connectors.values import UnfitValue
from shared.stores.rows import MAX_KEY_UNITS, encode_key
from shared.strict_json import Json
from shared.sync.ports import ColumnType

PARTS = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=8), min_size=1, max_size=4
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


@pytest.mark.parametrize("text", ["Ж" * 100, "~" * 200, "☃" * 60, "a/" * 125])
def test_a_key_that_no_store_can_keep_is_refused_at_once(text: str) -> None:
    """And not by the store in the middle of a run, with an error that nobody foresees."""
    with pytest.raises(ValueError, match="no key of field service"):
        canonical(text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=250))
def test_every_key_has_room_in_the_stores_with_what_they_add(text: str) -> None:
    """The journal adds most: a moment and a run."""
    try:
        key = key_of([text])
    except ValueError:
        return
    assert len(encode_key(key, "9" * 18, "0" * 36)) <= MAX_KEY_UNITS


@pytest.mark.parametrize(
    ("kind", "part", "value"),
    [
        (ColumnType.INTEGER, "12", 12),
        (ColumnType.DECIMAL, "12", Decimal(12)),
        (ColumnType.DATE, "2026-01-31", "2026-01-31"),
        (ColumnType.DATETIME, "2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
    ],
)
def test_a_part_is_what_its_column_holds(kind: ColumnType, part: str, value: Json) -> None:
    """A number also where the schema has it as an amount, as IFS Cloud has many."""
    assert parts_as((kind,), part) == [value]
    assert key_in({"Key": value}, ("Key",)) == part


@pytest.mark.parametrize("kind", [ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.DATETIME])
@pytest.mark.parametrize("part", ["1 or 1 eq 1", "Key", "012", "+1", "2026-02-30", "2026-01-31'", "1.5"])
def test_a_part_without_quotes_says_nothing_but_a_value(kind: ColumnType, part: str) -> None:
    """It stands in an address as it is."""
    with pytest.raises(UnfitValue):
        parts_as((kind,), part)
