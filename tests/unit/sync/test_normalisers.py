"""Normalisers: the forms in which match keys are compared, and the spellings that are searched for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.normalisers import NORMALISERS


@pytest.mark.parametrize("name", sorted(NORMALISERS))
@given(text=st.text(alphabet=st.characters(max_codepoint=0x24F)))
def test_a_normal_form_is_its_own_normal_form(name: str, text: str) -> None:
    """Tried with the letters of the Latin alphabets."""
    plain = NORMALISERS[name].plain
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("text", ["00743110157", "IT00743110157", "IT 00743110157", "it-007 431 101 57"])
def test_a_vat_number_is_searched_by_every_usual_spelling(text: str) -> None:
    """The system compares text, so the plain form, the prefixed one and the one as written are all asked for."""
    spellings = NORMALISERS["vat_number"].spellings(text)
    assert {"00743110157", "IT00743110157", "IT 00743110157", text} <= set(spellings)
    assert {NORMALISERS["vat_number"].plain(one) for one in spellings} == {"00743110157"}


def test_a_foreign_prefix_is_searched_as_such() -> None:
    """A German number is not looked for as an Italian one."""
    assert set(NORMALISERS["vat_number"].spellings("DE123456789")) == {"DE123456789", "123456789", "DE 123456789"}


@pytest.mark.parametrize(
    ("one", "other"), [("Alfa S.r.l.", "ALFA S R L"), ("Alfa-Beta & C.", "alfa beta  c"), ("Ｂeta", "beta")]
)
def test_company_names_are_compared_without_punctuation_and_capitals(one: str, other: str) -> None:
    """Only to put a possible partner before a person, never to link."""
    plain = NORMALISERS["company_name"].plain
    assert plain(one) == plain(other)
