"""Normalisers: the forms in which match keys are compared, and the spellings that are searched for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.normalisers import NORMALISERS


@pytest.mark.parametrize("name", sorted(NORMALISERS))
@pytest.mark.parametrize("told", [{}, {"country": "IT"}])
@given(text=st.one_of(st.text(alphabet=st.characters(max_codepoint=0x24F)), st.text(alphabet="+0123456789 -.SRL&s@;")))
def test_a_normal_form_is_its_own_normal_form(name: str, told: dict[str, str], text: str) -> None:
    """Tried with the letters of the Latin alphabets, and with numbers."""
    plain = NORMALISERS[name].plain
    assert plain(plain(text, told), told) == plain(text, told)


@pytest.mark.parametrize("text", ["00743110157", "IT00743110157", "IT 00743110157", "it-007 431 101 57"])
def test_a_vat_number_is_searched_by_every_usual_spelling(text: str) -> None:
    """The system compares text, so the plain form, the prefixed one and the one as written are all asked for."""
    spellings = NORMALISERS["vat_number"].search(text, {})
    assert {"00743110157", "IT00743110157", "IT 00743110157", text} <= set(spellings)
    assert {NORMALISERS["vat_number"].plain(one, {}) for one in spellings} == {"00743110157"}


def test_a_foreign_prefix_is_searched_as_such() -> None:
    """A German number is not looked for as an Italian one."""
    assert set(NORMALISERS["vat_number"].search("DE123456789", {})) == {"DE123456789", "123456789", "DE 123456789"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alfa S.r.l.", "ALFA S R L"),
        ("Alfa S.r.l.", "Alfa"),
        ("Alfa S.r.l.", "Alfa GmbH"),
        ("Alfa-Beta & C.", "alfa beta  c"),
        ("Rossi Mario & C. S.n.c.", "Rossi Mario Snc"),
        ("Müller GmbH & Co. KG", "MUELLER"),
        ("Società Agricola È Così", "Societa Agricola E Cosi"),
        ("Ｂeta", "beta"),
        ("Øresund A/S", "Oresund AS"),
        ("Straße AG", "Strasse"),
    ],
)
def test_company_names_are_compared_without_form_accents_punctuation_and_capitals(one: str, other: str) -> None:
    """R-055: only to put a possible partner before a person, never to link."""
    plain = NORMALISERS["company_name"].plain
    assert plain(one, {}) == plain(other, {})


@pytest.mark.parametrize(("one", "other"), [("Alfa", "Beta"), ("Srl", "Spa"), ("Alfa Nord", "Alfa Sud"), ("Co", "KG")])
def test_other_names_stay_other_names(one: str, other: str) -> None:
    """A name that is a legal form only is a name."""
    plain = NORMALISERS["company_name"].plain
    assert plain(one, {}) != plain(other, {})


def test_a_company_is_searched_with_and_without_its_form() -> None:
    """Systems search by equality; what stands otherwise than in these spellings is not found."""
    spellings = NORMALISERS["company_name"].search(" Alfa  Legno S.r.l.", {})
    assert {"Alfa Legno S.r.l.", "Alfa Legno", "Alfa Legno Srl", "Alfa Legno SRL", "ALFA LEGNO"} <= set(spellings)
    assert len(spellings) <= 10
    assert NORMALISERS["company_name"].search("Alfa", {}) == ("Alfa", "ALFA")


@pytest.mark.parametrize(
    ("name", "told", "one", "other"),
    [
        ("fiscal_code", {}, "rcc mnl 83s18 d969h", "RCCMNL83S18D969H"),
        ("email", {}, "Info@Example.com", "info@example.com; sales@example.com"),
        ("email_domain", {}, "info@Example.com", "sales@example.com"),
        ("phone", {"country": "IT"}, "0471 000 001", "+39 (0471) 000001"),
        ("phone", {"country": "Austria"}, "0512/12345", "0043 512 12345"),
        ("phone", {}, "0471-000 001", "(0471) 000001"),
        ("postcode", {}, "I-39100", "39100"),
        ("postcode", {}, "SW1A 1AA", "sw1a1aa"),
        ("vat_number", {}, "ATU13585627", "U 1358 5627"),
    ],
)
def test_the_same_thing_written_otherwise_is_the_same(name: str, told: dict[str, str], one: str, other: str) -> None:
    """R-055: keys of every kind."""
    plain = NORMALISERS[name].plain
    assert plain(one, told) == plain(other, told) != ""


def test_every_spelling_that_is_searched_is_the_same_thing() -> None:
    """Else a search would bring what the comparison throws away."""
    for name, told, text in (
        ("fiscal_code", {}, "rccmnl83s18d969h"),
        ("email", {}, "Info@Example.com; other@example.com"),
        ("phone", {"country": "IT"}, "0471 000001"),
        ("postcode", {}, "I-39100"),
        ("company_name", {}, "Alfa Legno S.p.A."),
        ("text", {}, " x "),
    ):
        normaliser = NORMALISERS[name]
        assert {normaliser.plain(one, told) for one in normaliser.search(text, told)} == {normaliser.plain(text, told)}


def test_a_telephone_number_is_searched_as_people_write_it() -> None:
    """R-055: national and international, with blanks and without."""
    spellings = NORMALISERS["phone"].search("0471 000001", {"country": "IT"})
    assert {"+390471000001", "+39 0471 000001", "0471 000001", "0471000001", "00390471000001"} <= set(spellings)


@pytest.mark.parametrize("address", ["verdi@gmail.com", "Verdi@LIBERO.it", "alfa@pec.it", "nothing"])
def test_an_address_that_everybody_may_have_says_nothing_about_the_company(address: str) -> None:
    """Two people at one provider are not colleagues."""
    assert NORMALISERS["email_domain"].plain(address, {}) in ("", "nothing")


def test_a_domain_cannot_be_searched() -> None:
    """It is only compared, after another column has found something."""
    assert NORMALISERS["email_domain"].spellings is None
