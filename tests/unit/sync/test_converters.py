"""Converters, normalisers and checks: what they promise for every value, and the vectors that people publish."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.converters import CHECKS, CONVERTERS, NORMALISERS, Unfit, canonical, is_blank, same_value
from shared.sync.ports import Value
from shared.sync.problems import PROBLEMS

TABLE = {"100000000": "Ship", "100000001": "Invoice", "100000002": "All"}
TIMES = st.datetimes(timezones=st.just(UTC))
PLAIN = st.one_of(st.none(), st.text(), st.booleans(), st.integers(), TIMES, st.dates())
ANY = st.one_of(
    PLAIN, st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12)
)

LEFT_VALUES: dict[str, st.SearchStrategy[Value]] = {
    "same": ANY,
    "trim": ANY,
    "upper": ANY,
    "vat_number": ANY,
    "values": st.one_of(st.none(), st.sampled_from(list(TABLE)), st.sampled_from([int(key) for key in TABLE])),
    "not": st.one_of(st.none(), st.booleans()),
    "date": st.one_of(st.none(), TIMES),
}
RIGHT_VALUES: dict[str, st.SearchStrategy[Value]] = LEFT_VALUES | {
    "values": st.one_of(st.none(), st.sampled_from(list(TABLE.values()))),
    "date": st.one_of(st.none(), st.dates()),
}


def test_every_converter_has_values_to_be_tried_with() -> None:
    """A new converter needs its line in the tables above."""
    assert set(LEFT_VALUES) == set(RIGHT_VALUES) == set(CONVERTERS)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
@given(data=st.data())
def test_a_value_there_and_back_is_its_normal_form_and_stays_so(name: str, data: st.DataObject) -> None:
    """back(forth(x)) is x's normal form: it goes over as x does, and a second round changes nothing."""
    converter = CONVERTERS[name]
    value = data.draw(LEFT_VALUES[name])
    there = converter.forth(value, TABLE)
    normal = converter.back(there, TABLE)
    assert same_value(converter.forth(normal, TABLE), there)
    assert same_value(converter.back(converter.forth(normal, TABLE), TABLE), normal)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
@given(data=st.data())
def test_a_value_back_and_there_is_its_normal_form_and_stays_so(name: str, data: st.DataObject) -> None:
    """The same seen from the right side, whose fields the right may master."""
    converter = CONVERTERS[name]
    value = data.draw(RIGHT_VALUES[name])
    back = converter.back(value, TABLE)
    normal = converter.forth(back, TABLE)
    assert same_value(converter.back(normal, TABLE), back)


@pytest.mark.parametrize("name", ["same", "trim", "upper", "vat_number"])
@given(value=ANY)
def test_a_tidying_converter_applied_twice_is_applied_once(name: str, value: Value) -> None:
    """Else the two sides would rewrite each other for ever."""
    forth = CONVERTERS[name].forth
    assert same_value(forth(forth(value, {}), {}), forth(value, {}))


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_no_value_stays_no_value_both_ways(name: str) -> None:
    """A converter invents nothing."""
    assert CONVERTERS[name].forth(None, TABLE) is None
    assert CONVERTERS[name].back(None, TABLE) is None


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("IT 00743110157", "00743110157"),
        ("it00743110157", "00743110157"),
        ("IT-007.431.101-57", "00743110157"),
        ("00743110157", "00743110157"),
        ("DE 123 456 789", "123456789"),
        ("ATU12345678", "ATU12345678"),
        ("xyz", "XYZ"),
        (" . - ", None),
        ("", None),
    ],
)
def test_a_vat_number_goes_over_plain(value: str, plain: str | None) -> None:
    """No blanks, dots, hyphens; a prefix of two letters goes only if a digit follows; capitals."""
    assert CONVERTERS["vat_number"].forth(value, {}) == plain
    assert CONVERTERS["vat_number"].back(value, {}) == plain


def test_a_value_missing_in_the_table_is_parked_and_says_where_to_add_it() -> None:
    """The hint names the table and never the value."""
    for convert, value in ((CONVERTERS["values"].forth, "100000009"), (CONVERTERS["values"].back, "Secret")):
        with pytest.raises(Unfit) as raised:
            convert(value, TABLE)
        assert raised.value.code == "CD-4001"
        assert "values:" in raised.value.hint
        assert value not in str(raised.value)


def test_not_takes_yes_and_no_only() -> None:
    """A text "false" would otherwise become true."""
    assert CONVERTERS["not"].forth(True, {}) is False
    with pytest.raises(Unfit) as raised:
        CONVERTERS["not"].forth("false", {})
    assert raised.value.code == "CD-4002"


def test_the_day_of_a_time_is_taken_in_utc() -> None:
    """Half past midnight in Rome is still the day before."""
    rome = timezone(timedelta(hours=2))
    assert CONVERTERS["date"].forth(datetime(2026, 6, 2, 0, 30, tzinfo=rome), {}) == date(2026, 6, 1)
    assert CONVERTERS["date"].back(date(2026, 6, 1), {}) == datetime(2026, 6, 1, tzinfo=UTC)


# --- canonical form -------------------------------------------------------------------------------


@pytest.mark.parametrize("one", [1, Decimal(1), Decimal("1.0"), Decimal("1.000"), Decimal("0.1E1"), "1"])
def test_one_is_one_however_it_is_written(one: Value) -> None:
    """Systems answer the same number as integer, decimal or text."""
    assert canonical(one) == "1"
    assert same_value(one, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        ("00123", "00123"),
        ("NO", "NO"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (Decimal("-0.00"), "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("12.50"), "12.5"),
        (date(2026, 2, 28), "2026-02-28"),
        (datetime(2026, 6, 1, 14, 0, tzinfo=timezone(timedelta(hours=2))), "2026-06-01T12:00:00+00:00"),
    ],
)
def test_a_value_has_one_text(value: Value, text: str | None) -> None:
    """Leading zeros stay, surplus ones of amounts go, times are UTC, blank is no value and 0 is one."""
    assert canonical(value) == text
    assert is_blank(value) is (text is None)


@given(number=st.integers(-(10**20), 10**20), zeros=st.integers(0, 6))
def test_trailing_zeros_never_matter(number: int, zeros: int) -> None:
    """An ERP answers amounts with as many decimals as its currency has."""
    padded = Decimal(number).quantize(Decimal(1).scaleb(-zeros)) if zeros else Decimal(number)
    assert canonical(padded) == canonical(number) == str(number)


# --- normalisers ----------------------------------------------------------------------------------


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


# --- checks ---------------------------------------------------------------------------------------


def test_every_check_complains_with_a_code_of_the_catalogue_and_never_with_the_value() -> None:
    """What a check says is stored and shown."""
    wrong = {"phone": "call Verdi", "email": "verdi at example", "vat_number": "00743110158", "not_negative": "-17.35"}
    assert set(wrong) == set(CHECKS)
    for name, value in wrong.items():
        with pytest.raises(Unfit) as raised:
            CHECKS[name](value)
        assert raised.value.code in PROBLEMS
        assert value not in str(raised.value)
        assert raised.value.hint


VALID = [
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


@pytest.mark.parametrize("number", [*VALID, "IT 00743110157"])
def test_a_right_partita_iva_passes(number: str) -> None:
    """Offices 100, 120, 888 and 999 are real ones."""
    CHECKS["vat_number"](number)


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
def test_a_wrong_partita_iva_is_refused(prefix: str, number: str) -> None:
    """With and without the country's letters."""
    with pytest.raises(Unfit) as raised:
        CHECKS["vat_number"](prefix + number)
    assert raised.value.code == "CD-4005"


@given(digits=st.from_regex(re.compile(r"[0-9]{11}"), fullmatch=True), place=st.integers(0, 10), by=st.integers(1, 9))
def test_one_wrong_digit_never_passes(digits: str, place: int, by: int) -> None:
    """The check digit catches every single slip, so a number and its slip are never both right."""
    slipped = digits[:place] + str((int(digits[place]) + by) % 10) + digits[place + 1 :]
    passed = [number for number in (digits, slipped) if _passes("vat_number", number)]
    assert len(passed) <= 1


@pytest.mark.parametrize(
    ("check", "value", "fits"),
    [
        ("phone", "+39 0471 123 456", True),
        ("phone", "0471/12-34 (56)", True),
        ("phone", "0471 int. 5", False),
        ("email", "info@example.com", True),
        ("email", "info@example.com; sales@example.com", True),
        ("email", "info@example", False),
        ("email", "info@example.com;", False),
        ("not_negative", "0", True),
        ("not_negative", "-0.01", False),
        ("vat_number", "DE 123456789", True),
        ("vat_number", "ATU12345678", True),
        ("vat_number", "?", False),
        ("vat_number", "IT0074311015", False),
    ],
)
def test_checks_tell_fit_from_unfit(check: str, value: str, fits: bool) -> None:
    """A few of each kind."""
    assert _passes(check, value) is fits


def _passes(check: str, value: str) -> bool:
    try:
        CHECKS[check](value)
    except Unfit:
        return False
    return True
