"""Checks before writing: the vectors that people publish, and libraries as oracles."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.eu import vat
from stdnum.it import codicefiscale, iva

from shared.sync.checks import CHECKS
from shared.sync.checks.countries import LANGUAGES, code_of, name_of
from shared.sync.checks.fiscal_codes import check_letter
from shared.sync.checks.postcodes import FORMS as POSTCODES
from shared.sync.checks.provinces import PROVINCES
from shared.sync.checks.vat_numbers import FORMS, is_right, is_right_italian, parts, prefix_of_country
from shared.sync.problems import PROBLEMS
from shared.sync.values import Unfit

_CODES = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
EU = _CODES.split()


def complaint(check: str, text: str, **told: str) -> str:
    """The code with which a check refuses a text; empty if it passes."""
    try:
        CHECKS[check].complain(text, told)
    except Unfit as unfit:
        return unfit.code
    return ""


WRONG: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "country": ("Utopia", {}),
    "email": ("verdi at example", {}),
    "fiscal_code": ("RCCMNL83S18D969X", {}),
    "not_negative": ("-17.35", {}),
    "pec": ("a@example.com; b@example.com", {}),
    "phone": ("call Verdi", {}),
    "postcode": ("391000", {"country": "IT"}),
    "province": ("Bolzano", {}),
    "recipient_code": ("0000000", {"pec": ""}),
    "vat_number": ("00743110158", {}),
    "web_address": ("mill lane 1", {}),
}


def test_every_check_complains_with_a_code_of_the_catalogue_and_never_with_the_value() -> None:
    """What a check says is stored and shown."""
    assert set(WRONG) == set(CHECKS)
    for name, (text, told) in WRONG.items():
        with pytest.raises(Unfit) as raised:
            CHECKS[name].complain(text, told)
        assert raised.value.code in CHECKS[name].codes
        assert set(CHECKS[name].codes) <= set(PROBLEMS)
        assert raised.value.hint
        assert text not in str(raised.value)


# --- partita IVA ----------------------------------------------------------------------------------

RIGHT_ITALIAN = [
    "00743110157",
    "07643520567",
    "12345670785",
    "02118311006",
    "00905811006",
    "00488410010",
    "00743111007",
    "00743111205",
    "00743118887",
    "00743119992",
]


@pytest.mark.parametrize("told", [{}, {"country": "IT"}, {"country": "Italien"}, {"country": ""}])
@pytest.mark.parametrize("number", [*RIGHT_ITALIAN, "IT 00743110157"])
def test_a_right_partita_iva_passes(number: str, told: dict[str, str]) -> None:
    """R-058: offices 100, 120, 888 and 999 are real ones; the record's country says the same as no country."""
    assert complaint("vat_number", number, **told) == ""


@pytest.mark.parametrize(
    "number",
    [
        pytest.param("00743110158", id="wrong check digit"),
        pytest.param("01234567897", id="office 789"),
        pytest.param("00743110009", id="office 000"),
        pytest.param("00743111015", id="office 101"),
        pytest.param("00000000000", id="zeros only"),
        pytest.param("00000000018", id="zero number"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "IT", "IT "])
@pytest.mark.parametrize("told", [{}, {"country": "IT"}])
def test_a_wrong_partita_iva_is_refused(prefix: str, number: str, told: dict[str, str]) -> None:
    """R-058: with and without the country's letters, with and without a country beside it."""
    assert complaint("vat_number", prefix + number, **told) == "CD-4005"


@given(digits=st.from_regex(re.compile(r"[0-9]{11}"), fullmatch=True), place=st.integers(0, 10), by=st.integers(1, 9))
def test_one_wrong_digit_never_passes(digits: str, place: int, by: int) -> None:
    """The check digit catches every single slip, so a number and its slip are never both right."""
    slipped = digits[:place] + str((int(digits[place]) + by) % 10) + digits[place + 1 :]
    assert not (is_right_italian(digits) and is_right_italian(slipped))


@given(st.integers(0, 9_999_999), st.one_of(st.integers(0, 125), st.integers(0, 999)), st.integers(0, 9))
def test_our_rules_for_italy_are_those_of_the_library(number: int, office: int, digit: int) -> None:
    """python-stdnum as oracle; a tenth of the numbers has the right digit."""
    digits = f"{number:07d}{office:03d}{digit}"
    assert is_right_italian(digits) == iva.is_valid(digits)


# --- VAT numbers of the EU ------------------------------------------------------------------------

RIGHT_ELSEWHERE = {
    "AT": "U13585627",
    "BE": "0428759497",
    "BG": "175074752",
    "CY": "10259033P",
    "CZ": "25123891",
    "DE": "136695976",
    "DK": "13585628",
    "EE": "100931558",
    "EL": "094259216",
    "ES": "B58378431",
    "FI": "20774740",
    "FR": "83404833048",
    "HR": "33392005961",
    "HU": "12892312",
    "IE": "6433435F",
    "LT": "119511515",
    "LU": "15027442",
    "LV": "40003521600",
    "MT": "11679112",
    "NL": "004495445B01",
    "PL": "8567346215",
    "PT": "501964843",
    "RO": "18547290",
    "SE": "123456789701",
    "SI": "50223054",
    "SK": "2022749619",
    "XI": "432525179",
}


def test_every_country_of_the_union_has_a_form_and_a_number_to_try() -> None:
    """R-058: all twenty-seven, and Northern Ireland."""
    assert {prefix_of_country(country) for country in EU} | {"XI"} == set(FORMS) == {*RIGHT_ELSEWHERE, "IT"}


@pytest.mark.parametrize("prefix", RIGHT_ELSEWHERE)
def test_a_right_number_passes_with_its_prefix_or_with_the_records_country(prefix: str) -> None:
    """R-058: and one digit off it does not."""
    number = RIGHT_ELSEWHERE[prefix]
    at = max(place for place, sign in enumerate(number[:9]) if sign.isdigit())
    slipped = number[:at] + str((int(number[at]) + 1) % 10) + number[at + 1 :]
    assert complaint("vat_number", f"{prefix} {number}") == ""
    assert complaint("vat_number", number, country=prefix) == ""
    assert complaint("vat_number", prefix + number, country="IT") == "", "a company may be registered elsewhere"
    assert complaint("vat_number", prefix + slipped) == "CD-4005"
    assert complaint("vat_number", slipped, country=prefix) == "CD-4005"
    assert parts(prefix + number) == (prefix, number)


@pytest.mark.parametrize(
    ("number", "country", "code"),
    [
        ("EL094259216", "GR", ""),
        ("GR094259216", "", ""),
        ("094259216", "Griechenland", ""),
        ("FR83404833048", "MC", ""),
        ("CHE-107.787.577", "CH", ""),
        ("123456789", "US", ""),
        ("12345678901", "US", ""),
        ("DE 123456789", "", "CD-4005"),
        ("123456789", "DE", "CD-4005"),
        ("?", "", "CD-4005"),
        ("IT0074311015", "", "CD-4005"),
    ],
)
def test_special_numbers(number: str, country: str, code: str) -> None:
    """R-058: Greece has two codes, Monaco numbers of France; outside the union only the shape counts."""
    assert complaint("vat_number", number, country=country) == code


@given(prefix=st.sampled_from(sorted({*FORMS} - {"IT"})), data=st.data())
def test_whatever_passes_has_the_form_of_its_country(prefix: str, data: st.DataObject) -> None:
    """The library takes some longer spellings; the target takes the plain form only."""
    number = data.draw(st.from_regex(re.compile(FORMS[prefix], re.ASCII), fullmatch=True))
    assert is_right(prefix, number) == vat.is_valid(prefix + number)


# --- codice fiscale -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("RCCMNL83S18D969H", ""),
        ("CNTCHR83T41D969D", ""),
        ("RSSMRA85T10A562S", ""),
        ("rccmnl83s18d969h", ""),
        ("RCC MNL 83S18 D969H", ""),
        ("RCCMNL83S18D96VW", ""),
        ("RCCMNL83S1UD9SVF", ""),
        ("RCCMNLUPSMUDVSVO", ""),
        ("00743110157", ""),
        ("RCCMNL83S18D969X", "CD-4031"),
        ("BNCMRA80A41H501X", "CD-4031"),
        ("RCCMNL83S38D969J", "CD-4031"),
        ("RCCMNL83A32D969K", "CD-4031"),
        ("RCCMNL83S18D969", "CD-4031"),
        ("00743110158", "CD-4031"),
        ("?", "CD-4031"),
    ],
)
def test_published_fiscal_codes(code: str, told: str) -> None:
    """R-058: men and women, letters in place of digits, organisations; a wrong letter, an impossible day."""
    assert complaint("fiscal_code", code) == told


_DIGIT = st.sampled_from("0123456789LMNPQRSTUV")
_LETTER = st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@st.composite
def fiscal_codes(draw: st.DrawFn) -> str:
    """Codes of the right form, with any day and mostly the right letter."""
    name = "".join(draw(_LETTER) for _ in range(6))
    birth = draw(_DIGIT) + draw(_DIGIT) + draw(st.sampled_from("ABCDEHLMPRST"))
    day = f"{draw(st.integers(0, 79)):02d}"
    first = name + birth + day + draw(_LETTER) + draw(_DIGIT) + draw(_DIGIT) + draw(_DIGIT)
    return first + draw(st.sampled_from([check_letter(first), draw(_LETTER)]))


@given(fiscal_codes())
def test_our_rules_for_fiscal_codes_are_those_of_the_library(code: str) -> None:
    """python-stdnum as oracle, for days below 80: from there on it counts anew."""
    assert (complaint("fiscal_code", code) == "") == codicefiscale.is_valid(code)


def test_a_day_from_eighty_on_does_not_exist() -> None:
    """Forty is added once."""
    first = "RCCMNL83S81D969"
    assert complaint("fiscal_code", first + check_letter(first)) == "CD-4031"


# --- recipient code, addresses --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told", "complains"),
    [
        ("UFY9MH", {}, ""),
        ("M5UXCR1", {}, ""),
        ("XXXXXXX", {}, ""),
        ("0000000", {}, ""),
        ("0000000", {"pec": "alfa@pec.example.com"}, ""),
        ("0000000", {"pec": ""}, "CD-4033"),
        ("M5UXCR1", {"pec": ""}, ""),
        ("m5uxcr1", {}, "CD-4032"),
        ("M5UXC", {}, "CD-4032"),
        ("M5UXCR12", {}, "CD-4032"),
        ("M5UX-R1", {}, "CD-4032"),
    ],
)
def test_recipient_codes(code: str, told: dict[str, str], complains: str) -> None:
    """R-058: six characters for an office, seven for the others, none at all only with a PEC."""
    assert complaint("recipient_code", code, **told) == complains


@pytest.mark.parametrize(
    ("check", "text", "complains"),
    [
        ("phone", "+39 0471 123 456", ""),
        ("phone", "0471/12-34 (56)", ""),
        ("phone", "0471 int. 5", "CD-4003"),
        ("email", "info@example.com", ""),
        ("email", "info@example.com; sales@example.com", ""),
        ("email", "info@müller.example", ""),
        ("email", "info@example", "CD-4004"),
        ("email", "info@example.com;", "CD-4004"),
        ("email", "in fo@example.com", "CD-4004"),
        ("email", "info@exam_ple.com", "CD-4004"),
        ("email", "info@example.com, sales@example.com", "CD-4004"),
        ("email", "Verdi <info@example.com>", "CD-4004"),
        ("pec", "alfa@pec.example.com", ""),
        ("web_address", "www.example.com", ""),
        ("web_address", "https://www.example.com:8443/shop?x=1", ""),
        ("web_address", "HTTP://EXAMPLE.COM", ""),
        ("web_address", "https://müller.example", ""),
        ("web_address", "example", "CD-4037"),
        ("web_address", "ftp://example.com", "CD-4037"),
        ("web_address", "www.example.com and more", "CD-4037"),
        ("web_address", "info@example.com", "CD-4037"),
        ("web_address", "www..example.com", "CD-4037"),
        ("not_negative", "0", ""),
        ("not_negative", "-0.01", "CD-4006"),
        ("province", "BZ", ""),
        ("province", "SU", ""),
        ("province", "bz", "CD-4035"),
        ("province", "XX", "CD-4035"),
        ("country", "IT", ""),
        ("country", "it", "CD-4036"),
        ("country", "UK", "CD-4036"),
    ],
)
def test_checks_tell_fit_from_unfit(check: str, text: str, complains: str) -> None:
    """R-057, R-058, R-059: a few of each kind."""
    assert complaint(check, text) == complains


@pytest.mark.parametrize(
    ("country", "right", "wrong"),
    [
        ("IT", "39100", "3910"),
        ("Italy", "00118", "I-39100"),
        ("AT", "6020", "A-6020"),
        ("DE", "01067", "1067"),
        ("NL", "1012 AB", "1012"),
        ("GB", "SW1A 1AA", "12345"),
        ("PL", "00-950", "00950"),
        ("CZ", "110 00", "1100"),
        ("IE", "D02 X285", "D02"),
        ("ES", "08001", "53001"),
        ("LV", "LV-1050", "105"),
        ("SM", "47890", "39100"),
    ],
)
def test_a_post_code_has_the_form_of_its_country(country: str, right: str, wrong: str) -> None:
    """R-058: the country as code or name."""
    assert complaint("postcode", right, country=country) == ""
    assert complaint("postcode", wrong, country=country) == "CD-4034"


@pytest.mark.parametrize("country", ["", "US", "Utopia"])
def test_a_post_code_of_an_unknown_country_is_anything(country: str) -> None:
    """Nobody can say that it is wrong."""
    assert complaint("postcode", "K1A 0B1", country=country) == ""
    assert complaint("postcode", "anything") == ""


def test_every_country_of_the_union_has_a_form_of_post_codes() -> None:
    """And all keys are countries."""
    assert set(EU) <= set(POSTCODES)
    assert {code_of(country) for country in POSTCODES} == set(POSTCODES)


def test_a_province_counts_in_italy_only() -> None:
    """R-058: without a country beside it the column is taken for an Italian one."""
    assert complaint("province", "Tirol", country="AT") == ""
    assert complaint("province", "Tirol", country="") == ""
    assert complaint("province", "Tirol", country="Italia") == "CD-4035"
    assert len(PROVINCES) == 111


# --- countries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("IT", "IT"),
        ("it", "IT"),
        ("ITA", "IT"),
        ("Italien", "IT"),
        ("ÖSTERREICH", "AT"),
        ("Oesterreich", "AT"),
        ("Czech Republic", "CZ"),
        ("Česko", "CZ"),
        ("Great Britain", "GB"),
        ("UK", "GB"),
        ("U.S.A.", "US"),
        ("EL", "GR"),
        ("Olanda", "NL"),
        ("Côte d’Ivoire", "CI"),
        ("Utopia", None),
        ("", None),
    ],
)
def test_countries_are_known_by_code_and_by_the_names_people_write(text: str, code: str | None) -> None:
    """R-058: without regard to capitals, accents and punctuation."""
    assert code_of(text) == code


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_country_has_a_name_that_leads_back_to_it(language: str) -> None:
    """249 of ISO 3166, and Kosovo."""
    codes = [one for first in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for one in _codes_with(first)]
    assert len(codes) == 250
    assert [code for code in codes if code_of(name_of(code, language)) != code] == []


def _codes_with(first: str) -> list[str]:
    pairs = (first + second for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return [pair for pair in pairs if code_of(pair) == pair]
