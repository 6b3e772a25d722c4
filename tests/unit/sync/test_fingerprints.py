"""Fingerprints and the base: what is stored tells nobody a value, and a rotation is no change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.definition import Master
from shared.sync.fingerprint import Base, Fingerprints
from shared.sync.ports import Side, Value
from tests.unit.sync.making import NO_BASE, PRINTS, TEXTS, base_of, record, rule, rules

OTHER_KEY = Fingerprints("k2", b"another key for tests, 32 bytes ")


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


@pytest.mark.parametrize(("key_id", "key"), [("", b"x" * 32), ("a:b", b"x" * 32), ("k", b"short"), ("k", b"x" * 65)])
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
