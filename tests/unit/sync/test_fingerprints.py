"""Fingerprints and the base: what is stored tells nobody a value, and a rotation is no change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.definition import Master
from shared.sync.fingerprint import Base, Fingerprints, Sent
from shared.sync.ports import Side, Value
from tests.unit.sync.making import NO_BASE, PRINTS, TEXTS, base_of, record, rule, rules

OTHER_KEY = Fingerprints("k2", b"another key for tests, 32 bytes ")
BOTH_KEYS = replace(OTHER_KEY, previous=PRINTS)


@given(value=st.one_of(st.none(), st.text(), st.integers(), st.booleans()))
def test_equal_values_of_two_records_fields_or_sides_have_different_fingerprints(value: Value) -> None:
    """Nobody can see that two customers share a telephone number."""
    one, other = rule("a", "b"), rule("c", "d")
    found = {
        PRINTS.of("1", one, Side.LEFT, value),
        PRINTS.of("2", one, Side.LEFT, value),
        PRINTS.of("1", other, Side.LEFT, value),
        PRINTS.of("1", one, Side.RIGHT, value),
        OTHER_KEY.of("1", one, Side.LEFT, value),
    }
    assert len(found) == 5
    assert {len(one) for one in found} == {8}


def test_the_same_value_written_otherwise_has_the_same_fingerprint() -> None:
    """1 and "1" are one value; blank text and no value too; blank and "0" are not."""
    one = rule()
    assert PRINTS.of("1", one, Side.LEFT, 1) == PRINTS.of("1", one, Side.LEFT, "1")
    assert PRINTS.of("1", one, Side.LEFT, None) == PRINTS.of("1", one, Side.LEFT, "")
    assert PRINTS.of("1", one, Side.LEFT, None) != PRINTS.of("1", one, Side.LEFT, "0")


def test_half_a_character_from_a_careless_system_is_no_reason_to_fail() -> None:
    """JSON may hold a lone surrogate; it is a value like others."""
    one = rule()
    assert PRINTS.of("1", one, Side.LEFT, "\ud800") != PRINTS.of("1", one, Side.LEFT, "\ud801")
    assert PRINTS.loose("1", "a", "\ud800") != PRINTS.loose("1", "a", "\ud801")
    assert PRINTS.of_match("pair", "rule", ["\ud800"]) != PRINTS.of_match("pair", "rule", ["\ud801"])


def test_a_loose_fingerprint_survives_capitals_and_surplus_blanks() -> None:
    """The ERP trims and capitalises; our own create is recognised all the same, another text is not."""
    assert PRINTS.loose("1", "city", " Bozen  Süd ") == PRINTS.loose("1", "city", "BOZEN SÜD")
    assert PRINTS.loose("1", "city", "Bozen") != PRINTS.loose("1", "city", "Bozen Süd")
    assert PRINTS.loose("1", "city", "Bozen") != PRINTS.loose("2", "city", "Bozen")


def test_match_keys_of_pairs_and_rules_never_meet() -> None:
    """Also when their parts only look alike joined together."""
    found = {
        PRINTS.of_match("p", "number", ["1"]),
        PRINTS.of_match("q", "number", ["1"]),
        PRINTS.of_match("p", "name", ["1"]),
        PRINTS.of_match("p", "name", ["1", "2"]),
        PRINTS.of_match("p", "name", ["12"]),
    }
    assert len(found) == 5


@pytest.mark.parametrize(
    ("key_id", "key"),
    [("", b"x" * 32), ("a:b", b"x" * 32), ("a b", b"x" * 32), ("a|b", b"x" * 32), ("k", b"short"), ("k", b"x" * 65)],
)
def test_a_key_that_is_too_short_or_has_no_name_is_refused(key_id: str, key: bytes) -> None:
    """A short key could be guessed; the id is part of the packed base."""
    with pytest.raises(ValueError, match="16 to 64 bytes"):
        Fingerprints(key_id, key)


# --- the base -------------------------------------------------------------------------------------


@given(data=st.data())
def test_a_base_survives_packing(data: st.DataObject) -> None:
    """And says the same about every value; the text begins with the key's id and holds 22 bytes a field."""
    some = data.draw(rules())
    base = base_of(some, record(data.draw, Side.LEFT, some), record(data.draw, Side.RIGHT, some))
    packed = base.pack()
    again = Base.unpack(packed, base.salt, PRINTS)
    assert again == base
    assert again.pack() == packed
    assert packed.startswith("k1:")
    value, one = data.draw(TEXTS), data.draw(st.sampled_from(some))
    assert again.is_same(one, Side.LEFT, value) is base.is_same(one, Side.LEFT, value)


def test_no_base_is_neither_same_nor_different() -> None:
    """Empty text, a field never agreed on: unknown."""
    assert Base.unpack("", "1", PRINTS).is_same(rule(), Side.LEFT, "x") is None
    assert NO_BASE.agreed(rule()) is None


def test_another_key_makes_no_base_and_so_no_change() -> None:
    """After a rotation the two sides are compared; nothing counts as changed."""
    packed = base_of([rule()], {"a": "x"}, {"b": "x"}).pack()
    assert Base.unpack(packed, "1", OTHER_KEY).is_same(rule(), Side.LEFT, "x") is None


def test_a_rule_that_converts_otherwise_has_no_base_but_one_that_changed_its_master_has() -> None:
    """Who is master does not change what the two sides held."""
    base = base_of([rule()], {"a": "x"}, {"b": "x"})
    assert base.is_same(rule(convert="upper"), Side.LEFT, "x") is None
    assert base.is_same(rule(check="email"), Side.LEFT, "x") is None
    assert base.is_same(rule(convert="values", values={"1": "2"}), Side.LEFT, "x") is None
    assert base.is_same(rule(master=Master.RIGHT), Side.LEFT, "x") is True


def test_a_base_copied_to_another_record_says_nothing_true() -> None:
    """It is salted with the record's key, so copying a row cannot make two records look alike."""
    base = base_of([rule()], {"a": "x"}, {"b": "x"})
    assert replace(base, salt="2").is_same(rule(), Side.LEFT, "x") is False


def test_fields_agree_one_by_one_and_rules_that_went_are_forgotten() -> None:
    """A field that agreed keeps its entry while another is added."""
    one, other = rule("a", "b"), rule("c", "d")
    base = NO_BASE.with_values([(one, "x", "X")]).with_values([(other, "y", "Y")])
    assert base.is_same(one, Side.RIGHT, "X") is True
    assert base.is_same(other, Side.LEFT, "y") is True
    assert base.is_same(other, Side.LEFT, "Y") is False
    assert base.only([other]).agreed(one) is None


# --- while the key changes ------------------------------------------------------------------------


def test_a_base_of_the_key_before_still_tells_what_has_changed() -> None:
    """And goes on doing so beside fields that have agreed under the new key."""
    one, other = rule("a", "b"), rule("c", "d")
    old = base_of([one, other], {"a": "x", "c": "y"}, {"b": "x", "d": "y"}).pack()
    read = Base.unpack(old, NO_BASE.salt, BOTH_KEYS)
    assert (read.is_old, read.is_same(one, Side.LEFT, "x"), read.is_same(one, Side.RIGHT, "z")) == (True, True, False)
    mixed = read.with_values([(one, "z", "z")]).pack()
    assert [part.partition(":")[0] for part in mixed.split(" ")] == ["k2", "k1"]
    again = Base.unpack(mixed, NO_BASE.salt, BOTH_KEYS)
    assert (again.is_same(one, Side.LEFT, "z"), again.is_same(other, Side.LEFT, "y")) == (True, True)
    alone = Base.unpack(mixed, NO_BASE.salt, OTHER_KEY)
    assert (alone.is_same(one, Side.LEFT, "z"), alone.is_same(other, Side.LEFT, "y")) == (True, None)
    before = Base.unpack(mixed, NO_BASE.salt, PRINTS)
    assert (before.is_same(one, Side.LEFT, "z"), before.is_same(other, Side.LEFT, "y")) == (None, True)


def test_a_base_is_renewed_where_both_sides_are_as_they_agreed_and_nowhere_else() -> None:
    """What differs keeps the key that can tell."""
    one, other = rule("a", "b"), rule("c", "d")
    old = base_of([one, other], {"a": "x", "c": "y"}, {"b": "x", "d": "y"}).pack()
    values = {Side.LEFT: {"a": "x", "c": "edited"}, Side.RIGHT: {"b": "x", "d": "y"}}
    renewed = Base.unpack(old, NO_BASE.salt, BOTH_KEYS).renewed([one, other], values)
    assert renewed.is_same(other, Side.LEFT, "edited") is False
    kept = Base.unpack(renewed.pack(), NO_BASE.salt, OTHER_KEY)
    assert (kept.agreed(one) is not None, kept.agreed(other)) == (True, None)


def test_what_a_create_has_sent_is_read_with_the_key_it_was_written_with() -> None:
    """Under an unknown key nothing is recognised, and that is known."""
    text = Sent.of("1", {"city": "Bozen", "name": "A"}, PRINTS).pack()
    known, unknown = Sent.unpack(text, "1", BOTH_KEYS), Sent.unpack(text, "1", OTHER_KEY)
    assert (known.is_equal("city", " BOZEN"), known.is_equal("name", "B")) == (True, False)
    assert (set(unknown.columns), unknown.prints, unknown.is_equal("city", "Bozen")) == ({"city", "name"}, None, False)
    assert known == Sent.of("1", {"name": "A", "city": "Bozen"}, PRINTS)


def test_that_a_side_was_filled_is_known_whatever_version_the_rule_had() -> None:
    """So a blank is told from an edit also where nothing can be said of the values."""
    base = base_of([rule()], {"a": "x"}, {"b": None})
    changed = rule(convert="upper")
    assert (base.was_filled(changed, Side.LEFT), base.was_filled(changed, Side.RIGHT)) == (True, False)
    assert NO_BASE.was_filled(rule(), Side.LEFT) is False
