"""Converters: what they promise for every value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from shared.sync.checks.countries import LANGUAGES
from shared.sync.checks.vat_numbers import FORMS
from shared.sync.converters import CONVERTERS, Given
from shared.sync.ports import Value
from shared.sync.problems import PROBLEMS
from shared.sync.values import Unfit, is_blank, same_value

TABLE = {"100000000": "Ship", "100000001": "Invoice", "100000002": "All"}
GIVEN = Given(TABLE)
BARE = Given()
TIMES = st.datetimes(timezones=st.just(UTC))
PLAIN = st.one_of(st.none(), st.text(), st.booleans(), st.integers(), TIMES, st.dates())
ANY = st.one_of(
    PLAIN, st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12)
)
NUMBERS = st.one_of(
    st.none(),
    st.integers(-(10**12), 10**12),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-100, max_value=100).map(str),
)
PHONES = st.one_of(
    st.none(),
    st.from_regex(re.compile(r"(\+|00)?[1-9][0-9 ./()-]{3,16}", re.ASCII), fullmatch=True),
    st.from_regex(re.compile(r"0[1-9][0-9 ]{4,10}", re.ASCII), fullmatch=True),
    st.text(),
)
VAT_NUMBERS = st.one_of(
    ANY,
    st.sampled_from(sorted(FORMS)).flatmap(
        lambda prefix: st.tuples(
            st.sampled_from(["", prefix, f"{prefix} ", "IT", "GR", "GB", "FRES", "xx-"]),
            st.from_regex(re.compile(FORMS[prefix], re.ASCII), fullmatch=True),
        ).map("".join)
    ),
)
COUNTRIES = st.one_of(
    st.none(), st.sampled_from(["IT", "it", "Italien", "Italy", "GR", "EL", "UK", "Utopia", " ", "USA"])
)
PARTS = {"&": "und", "GmbH": "Gesellschaft", "ß": "ss", "-": "_"}
REPLACED = st.lists(st.sampled_from(["&", "und", "_", "-", "ß", "s", "GmbH", "G", " ", "x"])).map("".join)
FORMATTED = st.lists(
    st.sampled_from(
        ["<p>", "</p>", "<br>", "&lt;", "&amp;lt;", "b&gt;", "<", ">", " ", "\n", "x", "R&D", "<!--", "-->"]
    )
).map("".join)
PREFIXED = [
    {"prefixed": side, "country": land} for side in ("left", "right", "both") for land in ("", "IT", "FR", "GR")
]

Uses = Mapping[str, tuple[list[Given], st.SearchStrategy[Value], st.SearchStrategy[Value]]]
USES: Uses = {
    "same": ([BARE], ANY, ANY),
    "trim": ([BARE], ANY, ANY),
    "upper": ([BARE], ANY, ANY),
    "lower": ([BARE], ANY, ANY),
    "title": ([BARE], ANY, ANY),
    "alphanumeric": ([BARE], ANY, ANY),
    "replace": ([Given(PARTS)], REPLACED, REPLACED),
    "plain_text": ([BARE], FORMATTED, FORMATTED),
    "values": (
        [GIVEN],
        st.one_of(st.none(), st.sampled_from(list(TABLE)), st.sampled_from([int(key) for key in TABLE])),
        st.one_of(st.none(), st.sampled_from(list(TABLE.values()))),
    ),
    "not": ([BARE], st.one_of(st.none(), st.booleans()), st.one_of(st.none(), st.booleans())),
    "round": ([Given(told={"decimals": places}) for places in "0249"], NUMBERS, NUMBERS),
    "digits": (
        [BARE],
        st.one_of(st.none(), st.integers(-(10**17), 10**17), st.text()),
        st.one_of(st.none(), st.integers(0, 10**17).map(lambda number: f"{number:05d}"), st.text()),
    ),
    "date": ([BARE], st.one_of(st.none(), TIMES), st.one_of(st.none(), st.dates())),
    "date_text": (
        [Given(told={"form": form}) for form in ("dd.MM.yyyy", "yyyyMMdd", "MM/dd-yyyy")],
        st.one_of(st.none(), st.dates(), TIMES),
        st.one_of(st.none(), st.dates().map(lambda day: f"{day:%d.%m.}{day.year:04d}"), st.text()),
    ),
    "unix_time": (
        [BARE],
        st.one_of(st.none(), TIMES),
        st.one_of(st.none(), st.integers(-(10**13), 10**13), st.integers().map(str), st.text()),
    ),
    "phone_e164": ([Given(told=told) for told in ({}, {"country": "IT"}, {"country": "Österreich"})], PHONES, PHONES),
    "country_code": ([BARE, *(Given(told={"names": one}) for one in LANGUAGES)], COUNTRIES, COUNTRIES),
    "vat_number": ([BARE, *(Given(told=told) for told in PREFIXED)], VAT_NUMBERS, VAT_NUMBERS),
}
"""For every converter: what it is given, values of the left side, values of the right side."""


def test_every_converter_has_values_to_be_tried_with() -> None:
    """A new converter needs its line in the table above."""
    assert set(USES) == set(CONVERTERS)


def fits(convert: Callable[[Value, Given], Value], value: Value, given: Given) -> Value:
    """The converted value; a value that does not fit is no example, since it is parked and goes nowhere."""
    try:
        return convert(value, given)
    except Unfit:
        reject()


UNFITTING = settings(suppress_health_check=[HealthCheck.filter_too_much])
"""Many values fit no form at all; those are parked, and no examples here."""


@pytest.mark.parametrize("name", sorted(CONVERTERS))
@UNFITTING
@given(data=st.data())
def test_a_value_there_and_back_is_its_normal_form_and_stays_so(name: str, data: st.DataObject) -> None:
    """back(forth(x)) is x's normal form: it goes over as x does, and a second round changes nothing."""
    converter, (uses, lefts, _) = CONVERTERS[name], USES[name]
    use = data.draw(st.sampled_from(uses))
    there = fits(converter.forth, data.draw(lefts), use)
    normal = converter.back(there, use)
    assert same_value(converter.forth(normal, use), there)
    assert same_value(converter.back(converter.forth(normal, use), use), normal)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
@UNFITTING
@given(data=st.data())
def test_a_value_back_and_there_is_its_normal_form_and_stays_so(name: str, data: st.DataObject) -> None:
    """The same seen from the right side, whose fields the right may master."""
    converter, (uses, _, rights) = CONVERTERS[name], USES[name]
    use = data.draw(st.sampled_from(uses))
    back = fits(converter.back, data.draw(rights), use)
    normal = converter.forth(back, use)
    assert same_value(converter.back(normal, use), back)
    assert same_value(converter.forth(converter.back(normal, use), use), normal)


TIDYING = [
    name for name, one in CONVERTERS.items() if one.forth is one.back and name not in {"not", "date_text", "unix_time"}
]


@pytest.mark.parametrize("name", [*TIDYING, "vat_number"])
@given(data=st.data())
def test_a_tidying_converter_applied_twice_is_applied_once(name: str, data: st.DataObject) -> None:
    """Else the two sides would rewrite each other for ever."""
    uses, lefts, _ = USES[name]
    use, forth = data.draw(st.sampled_from(uses)), CONVERTERS[name].forth
    once = fits(forth, data.draw(lefts), use)
    assert same_value(forth(once, use), once)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
@pytest.mark.parametrize("blank", [None, ""])
def test_no_value_stays_no_value_both_ways(name: str, blank: Value) -> None:
    """A converter invents nothing."""
    for use in USES[name][0]:
        assert is_blank(CONVERTERS[name].forth(blank, use)), use
        assert is_blank(CONVERTERS[name].back(blank, use)), use


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("IT 00743110157", "00743110157"),
        ("it00743110157", "00743110157"),
        ("IT-007.431.101-57", "00743110157"),
        ("00743110157", "00743110157"),
        ("DE 123 456 789", "123456789"),
        ("ATU12345678", "U12345678"),
        ("ESB58378431", "B58378431"),
        ("FR 83 404 833 048", "83404833048"),
        ("GB 980 7806 84", "980780684"),
        ("B58378431", "B58378431"),
        ("ATLAS", "ATLAS"),
        ("xyz", "XYZ"),
        (" . - ", None),
        ("", None),
    ],
)
def test_a_vat_number_goes_over_plain(value: str, plain: str | None) -> None:
    """No blanks, dots, hyphens; a prefix goes only if the country's form or a digit follows; capitals."""
    assert CONVERTERS["vat_number"].forth(value, BARE) == plain
    assert CONVERTERS["vat_number"].back(value, BARE) == plain


def test_a_value_missing_in_the_table_is_parked_and_says_where_to_add_it() -> None:
    """The hint names the table and never the value."""
    for convert, value in ((CONVERTERS["values"].forth, "100000009"), (CONVERTERS["values"].back, "Secret")):
        with pytest.raises(Unfit) as raised:
            convert(value, GIVEN)
        assert raised.value.code == "CD-4001"
        assert "values:" in raised.value.hint
        assert value not in str(raised.value)


def test_not_takes_yes_and_no_only() -> None:
    """A text "false" would otherwise become true."""
    assert CONVERTERS["not"].forth(True, BARE) is False
    with pytest.raises(Unfit) as raised:
        CONVERTERS["not"].forth("false", BARE)
    assert raised.value.code == "CD-4002"


def test_the_day_of_a_time_is_taken_in_utc() -> None:
    """Half past midnight in Rome is still the day before."""
    rome = timezone(timedelta(hours=2))
    assert CONVERTERS["date"].forth(datetime(2026, 6, 2, 0, 30, tzinfo=rome), BARE) == date(2026, 6, 1)
    assert CONVERTERS["date"].back(date(2026, 6, 1), BARE) == datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("prefixed", "country", "left", "right"),
    [
        ("left", "IT", "IT00743110157", "00743110157"),
        ("right", "IT", "00743110157", "IT00743110157"),
        ("both", "IT", "IT00743110157", "IT00743110157"),
        ("left", "Griechenland", "EL094259216", "094259216"),
        ("left", "DE", "DE136695976", "136695976"),
        ("left", "IT", "DE136695976", "DE136695976"),
        ("left", "", "DE136695976", "DE136695976"),
        ("left", "US", "123456789", "123456789"),
        ("left", "IT", "XYZ", "XYZ"),
    ],
)
def test_a_prefix_is_left_out_only_where_it_can_be_put_back(prefixed: str, country: str, left: str, right: str) -> None:
    """R-058: a number of another country than the record's keeps its letters on both sides."""
    use = Given(told={"prefixed": prefixed, "country": country})
    assert CONVERTERS["vat_number"].forth(left, use) == right
    assert CONVERTERS["vat_number"].back(right, use) == left


@pytest.mark.parametrize(
    ("name", "use", "value", "converted"),
    [
        ("lower", BARE, " Info@Example.COM ", "info@example.com"),
        ("title", BARE, "MARIO DE LUCA, L'AQUILA", "Mario De Luca, L'Aquila"),
        ("alphanumeric", BARE, "AB-12/3 c", "AB123c"),
        ("replace", Given(PARTS), "Kern & Co-GmbH", "Kern und Co_Gesellschaft"),
        ("plain_text", BARE, "<div>Called <b>Ada</b>&nbsp;M.<br>R&amp;D: a &lt; b</div>", "Called Ada M.\nR&D: a < b"),
        ("plain_text", BARE, "<style>p {x: y}</style><p>One</p><!-- no --><p>Two</p>", "One\nTwo"),
        ("plain_text", BARE, "a < b, R&D; 2 > 1\n\n\n  as typed ", "a < b, R&D; 2 > 1\n\n\n  as typed "),
        ("round", Given(told={"decimals": "2"}), Decimal("2.675"), Decimal("2.68")),
        ("round", Given(told={"decimals": "0"}), Decimal("-2.5"), -3),
        ("digits", BARE, 4711, "4711"),
        ("digits", BARE, "04711", 4711),
        ("date_text", Given(told={"form": "dd.MM.yyyy"}), date(2026, 3, 9), "09.03.2026"),
        ("date_text", Given(told={"form": "yyyyMMdd"}), "20260309", date(2026, 3, 9)),
        ("unix_time", BARE, datetime(2026, 1, 1, tzinfo=UTC), 1767225600),
        ("unix_time", BARE, 0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("phone_e164", Given(told={"country": "IT"}), "0471 000 001", "+390471000001"),
        ("phone_e164", Given(told={"country": "IT"}), "0043 (0)512 12345", "+4351212345"),
        ("phone_e164", Given(told={"country": "AT"}), "0512 12345", "+4351212345"),
        ("phone_e164", BARE, "+39 (0)471/12-34-56", "+390471123456"),
        ("country_code", BARE, "Österreich", "AT"),
        ("country_code", BARE, "uk", "GB"),
    ],
)
def test_what_goes_over(name: str, use: Given, value: Value, converted: Value) -> None:
    """R-055, R-057, R-059: one example of each kind."""
    assert same_value(CONVERTERS[name].forth(value, use), converted)


def test_a_country_comes_back_as_its_code_or_as_its_name() -> None:
    """R-055: as the rule says; a name that comes back as a name stays one."""
    assert CONVERTERS["country_code"].back("AT", BARE) == "AT"
    assert CONVERTERS["country_code"].back("AT", Given(told={"names": "de"})) == "Österreich"


@pytest.mark.parametrize(
    ("name", "use", "value", "code"),
    [
        ("replace", Given(PARTS), "Hund & Katz", "CD-4009"),
        ("round", Given(told={"decimals": "2"}), "twelve", "CD-4009"),
        ("round", Given(told={"decimals": "2"}), True, "CD-4009"),
        ("digits", BARE, "P-7", "CD-4009"),
        ("digits", BARE, 10**18, "CD-4009"),
        ("digits", BARE, True, "CD-4009"),
        ("date_text", Given(told={"form": "dd.MM.yyyy"}), "31.02.2026", "CD-4009"),
        ("date_text", Given(told={"form": "dd.MM.yyyy"}), "2026-03-09", "CD-4009"),
        ("date_text", Given(told={"form": "dd.MM.yyyy"}), 7, "CD-4009"),
        ("unix_time", BARE, "tomorrow", "CD-4009"),
        ("unix_time", BARE, 10**20, "CD-4009"),
        ("phone_e164", Given(told={"country": "IT"}), "0471 123 int. 5", "CD-4003"),
        ("phone_e164", Given(told={"country": "IT"}), "0471 123456 #12", "CD-4038"),
        ("phone_e164", Given(told={"country": "IT"}), "0471 000001 / 2", "CD-4038"),
        ("phone_e164", Given(told={"country": "IT"}), "0471 000001; 2", "CD-4038"),
        ("phone_e164", Given(told={"country": "IT"}), "12", "CD-4038"),
        ("phone_e164", BARE, "0471 123456", "CD-4038"),
        ("phone_e164", Given(told={"country": "IT"}), "0471 123456 / 0471 123457", "CD-4038"),
        ("country_code", BARE, "Utopia", "CD-4036"),
    ],
)
def test_what_cannot_go_over_is_told_with_a_code_and_never_with_the_value(
    name: str, use: Given, value: Value, code: str
) -> None:
    """Also where the value could go over but not come back."""
    with pytest.raises(Unfit) as raised:
        CONVERTERS[name].forth(value, use)
    assert raised.value.code == code
    assert code in PROBLEMS
    assert str(value) not in raised.value.hint
