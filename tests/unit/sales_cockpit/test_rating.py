"""From an evaluation to columns: every kind of column, what it takes, and the settings that can never work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import SettingsError
from shared.sales_cockpit.errors import OutOfRange
from shared.sales_cockpit.rating import Range, Rated, Rating, differing
from shared.strict_json import Json
from shared.sync.ports import ColumnMetadata, ColumnType, TableMetadata
from tests.simulation.evaluations import evaluation

KINDS = (
    ColumnMetadata("closeprobability", ColumnType.INTEGER, least=Decimal(0), most=Decimal(100)),
    ColumnMetadata("cdock_chance", ColumnType.DECIMAL, decimals=1),
    ColumnMetadata("cdock_free", ColumnType.DECIMAL),
    ColumnMetadata("cdock_level", ColumnType.CHOICE, choices={"1": "Low", "2": "Even", "3": "High"}),
    ColumnMetadata("cdock_text", ColumnType.TEXT, max_length=5),
    ColumnMetadata("cdock_memo", ColumnType.TEXT),
    ColumnMetadata("cdock_count", ColumnType.INTEGER),
    ColumnMetadata("cdock_fits", ColumnType.BOOLEAN),
    ColumnMetadata("cdock_at", ColumnType.DATETIME),
    ColumnMetadata("cdock_on", ColumnType.DATE),
    ColumnMetadata("cdock_who", ColumnType.REFERENCE),
    ColumnMetadata("cdock_sum", ColumnType.DECIMAL, updatable=False),
    ColumnMetadata("statecode", ColumnType.CHOICE, choices={"0": "Open", "1": "Won"}),
)
TABLE = TableMetadata("opportunity", {one.name: one for one in KINDS})
THIRDS: Sequence[Range] = ((0, 33, "1"), (34, 66, "2"), (67, 100, "3"))


def rating(column: str = "closeprobability", ranges: Sequence[Range] = (), **results: str) -> Rating:
    return Rating.of(column, ranges, results, TABLE)


def rated(column: str, probability: float, ranges: Sequence[Range] = ()) -> Json:
    return rating(column, ranges).rate(evaluation(1, probability)).values[column]


def written(column: str, value: Json) -> Json:
    """What a result becomes in a column."""
    found = rating(answer=column).rate(evaluation(1, 50, answer=value))
    assert found.places == {"closeprobability": "probability", column: "results.answer"}
    return found.values[column]


@pytest.mark.parametrize(
    ("probability", "whole", "tenths", "choice"),
    [(0, 0, "0", 1), (0.5, 1, "0.5", 1), (33.49, 33, "33.5", 1), (33.5, 34, "33.5", 2), (66.449, 66, "66.4", 2),
     (66.45, 66, "66.5", 2), (66.5, 67, "66.5", 3), (99.5, 100, "99.5", 3), (100, 100, "100", 3)],
)  # fmt: skip
def test_the_probability_becomes_what_its_column_is(probability: float, whole: int, tenths: str, choice: int) -> None:
    """R-017, R-028: a whole number, a decimal of the column's places, or a choice by ranges; rounded half up."""
    assert rated("closeprobability", probability) == whole
    assert rated("cdock_chance", probability) == Decimal(tenths)
    assert rated("cdock_level", probability, THIRDS) == choice


@given(probability=st.floats(0, 100))
def test_every_probability_has_a_place(probability: float) -> None:
    """Whole and tenth lie nearest to it, and the choice is that of the whole."""
    whole, tenths = rated("closeprobability", probability), rated("cdock_chance", probability)
    assert isinstance(whole, int)
    assert isinstance(tenths, Decimal)
    assert abs(Decimal(str(probability)) - whole) <= Decimal("0.5")
    assert abs(Decimal(str(probability)) - tenths) <= Decimal("0.05")
    assert rated("cdock_level", probability, THIRDS) == (1 if whole <= 33 else 2 if whole <= 66 else 3)


@pytest.mark.parametrize("probability", [-0.1, 100.01, float("nan"), float("inf")])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    """Wherever it comes from."""
    with pytest.raises(OutOfRange) as refused:
        rated("closeprobability", probability)
    assert refused.value.field == "probability"


@pytest.mark.parametrize(
    ("column", "value", "becomes"),
    [
        ("cdock_text", "green", "green"),
        ("cdock_text", "", None),
        ("cdock_text", None, None),
        ("cdock_text", 71, "71"),
        ("cdock_text", Decimal("71.5"), "71.5"),
        ("cdock_memo", "x" * 4000, "x" * 4000),
        ("cdock_count", 71, 71),
        ("cdock_count", Decimal("70.5"), 71),
        ("cdock_count", Decimal("-70.5"), -70),
        ("cdock_count", 2**31 - 1, 2**31 - 1),
        ("cdock_chance", Decimal("71.25"), Decimal("71.3")),
        ("cdock_chance", 71, 71),
        ("cdock_free", Decimal("0.12345678912"), Decimal("0.1234567891")),
        ("cdock_fits", False, False),
        ("cdock_at", "2026-03-02T10:15:30.9+02:00", "2026-03-02T08:15:30Z"),
        ("cdock_at", "2026-03-02T10:15:30Z", "2026-03-02T10:15:30Z"),
        ("cdock_on", "2026-03-02", "2026-03-02"),
        ("cdock_level", 2, 2),
        ("cdock_level", "2", 2),
        ("cdock_level", "even", 2),
        ("cdock_count", None, None),
    ],
)
def test_a_further_result_becomes_what_its_column_takes(column: str, value: Json, becomes: Json) -> None:
    """R-018: no value empties the column."""
    found = written(column, value)
    assert found == becomes
    assert type(found) is type(becomes) or isinstance(found, int | Decimal)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cdock_text", "yellow"),
        ("cdock_text", "😀😀😀"),
        ("cdock_text", "\ud800"),
        ("cdock_text", True),
        ("cdock_text", ["a"]),
        ("cdock_text", {"a": 1}),
        ("cdock_count", "71"),
        ("cdock_count", True),
        ("cdock_count", 2**31),
        ("cdock_count", Decimal("1E+999999")),
        ("closeprobability2", 101),
        ("cdock_chance", Decimal("NaN")),
        ("cdock_chance", 10**12),
        ("cdock_fits", 1),
        ("cdock_fits", "ja"),
        ("cdock_at", "2026-03-02T10:15:30"),
        ("cdock_at", "2026-03-02"),
        ("cdock_at", "0001-01-01T00:00:00+10:00"),
        ("cdock_at", 1772446530),
        ("cdock_on", "2026-02-30"),
        ("cdock_on", "2026-03-02T00:00:00Z"),
        ("cdock_on", "1700-01-01"),
        ("cdock_level", 4),
        ("cdock_level", "middle"),
        ("cdock_level", Decimal("2.0")),
    ],
)
def test_what_a_column_cannot_take_is_refused_with_the_results_name(column: str, value: Json) -> None:
    """R-018: nothing is cut or guessed, and the value stands nowhere in the error."""
    table = TableMetadata(
        "opportunity",
        {
            **TABLE.columns,
            "closeprobability2": ColumnMetadata("closeprobability2", ColumnType.INTEGER, most=Decimal(100)),
        },
    )
    one = Rating.of("closeprobability", (), {"answer": column}, table)
    with pytest.raises(OutOfRange) as refused:
        one.rate(evaluation(1, 50, answer=value))
    assert refused.value.field == "results.answer"
    assert len(str(value)) < 3 or str(value) not in str(refused.value)


def test_a_tiny_number_is_rounded_and_not_written_out() -> None:
    """A few bytes must not become a megabyte of zeros."""
    assert written("cdock_free", Decimal("1E-999999")) == 0


def test_only_results_with_a_column_are_written_and_the_others_named() -> None:
    """R-018, R-023: the map decides; a result that is missing leaves its column as it is."""
    found = rating(score="cdock_count", light="cdock_text").rate(evaluation(1, 50, score=3, mood="x", fit=True))
    assert found == Rated(
        values={"closeprobability": 50, "cdock_count": 3},
        places={"closeprobability": "probability", "cdock_count": "results.score"},
        ignored=["fit", "mood"],
    )


@pytest.mark.parametrize(
    ("column", "ranges", "results", "told"),
    [
        ("cdock_nothing", (), {}, "PROBABILITY_COLUMN: cdock_nothing is no column"),
        ("cdock_text", (), {}, "PROBABILITY_COLUMN: cdock_text is a text"),
        ("cdock_sum", (), {}, "PROBABILITY_COLUMN: cdock_sum cannot be written"),
        ("cdock_level", (), {}, "PROBABILITY_CHOICES: is missing"),
        (
            "cdock_level",
            ((0, 50, "1"), (51, 100, "7")),
            {},
            r"PROBABILITY_CHOICES: cdock_level has no choice 7 .*1, 2, 3",
        ),
        ("closeprobability", (), {"a": "cdock_nothing"}, "RESULTS: cdock_nothing is no column"),
        ("closeprobability", (), {"a": "cdock_who"}, "RESULTS: cdock_who is a reference"),
        ("closeprobability", (), {"a": "statecode"}, "RESULTS: statecode cannot be written"),
        ("closeprobability", (), {"a": "closeprobability"}, "RESULTS: closeprobability gets two results"),
        ("closeprobability", (), {"a": "cdock_count", "b": "cdock_count"}, "RESULTS: cdock_count gets two results"),
    ],
)
def test_settings_that_can_never_work_are_named(
    column: str, ranges: Sequence[Range], results: Mapping[str, str], told: str
) -> None:
    """R-028: decided by the organisation's own metadata."""
    with pytest.raises(SettingsError, match=told):
        Rating.of(column, ranges, results, TABLE)


def test_what_the_opportunity_holds_already_is_not_written_again() -> None:
    """Numbers count by their value; true is no one; a column that the user may not see is written."""
    held: dict[str, Json] = {"a": 70, "b": Decimal("1.50"), "c": None, "d": 1, "e": "x"}
    wanted: dict[str, Json] = {"a": Decimal("70.0"), "b": Decimal("1.5"), "c": None, "d": True, "e": "y", "f": None}
    assert differing(wanted, held) == {"d": True, "e": "y", "f": None}
