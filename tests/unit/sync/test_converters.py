"""Converters: what they promise for every value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.sync.converters import CONVERTERS, Given
from shared.sync.ports import Value
from shared.sync.values import Unfit, same_value

TABLE = {"100000000": "Ship", "100000001": "Invoice", "100000002": "All"}
GIVEN = Given(TABLE)
BARE = Given()
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
    there = converter.forth(value, GIVEN)
    normal = converter.back(there, GIVEN)
    assert same_value(converter.forth(normal, GIVEN), there)
    assert same_value(converter.back(converter.forth(normal, GIVEN), GIVEN), normal)


@pytest.mark.parametrize("name", sorted(CONVERTERS))
@given(data=st.data())
def test_a_value_back_and_there_is_its_normal_form_and_stays_so(name: str, data: st.DataObject) -> None:
    """The same seen from the right side, whose fields the right may master."""
    converter = CONVERTERS[name]
    value = data.draw(RIGHT_VALUES[name])
    back = converter.back(value, GIVEN)
    normal = converter.forth(back, GIVEN)
    assert same_value(converter.back(normal, GIVEN), back)


@pytest.mark.parametrize("name", ["same", "trim", "upper", "vat_number"])
@given(value=ANY)
def test_a_tidying_converter_applied_twice_is_applied_once(name: str, value: Value) -> None:
    """Else the two sides would rewrite each other for ever."""
    forth = CONVERTERS[name].forth
    assert same_value(forth(forth(value, BARE), BARE), forth(value, BARE))


@pytest.mark.parametrize("name", sorted(CONVERTERS))
def test_no_value_stays_no_value_both_ways(name: str) -> None:
    """A converter invents nothing."""
    assert CONVERTERS[name].forth(None, GIVEN) is None
    assert CONVERTERS[name].back(None, GIVEN) is None


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
