"""Scores of possible partners: what raises and lowers them, and what they never tell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.sync.definition import Arguments, Definition, Master, MatchRule, TableName, Transfer
from shared.sync.ports import Record, Side, Value
from shared.sync.scoring import scored
from tests.unit.sync.making import rule

NO_ARGUMENTS = (Arguments(), Arguments())
PAIR = Definition(
    file="transfers/x.yaml",
    left=TableName(system="crm", table="a"),
    right=TableName(system="erp", table="b"),
    transfers=(Transfer(name="a_to_erp", source=Side.LEFT), Transfer(name="b_to_crm", source=Side.RIGHT)),
    match=(
        MatchRule(
            left=("name", "zip"),
            right=("display", "post"),
            normalise=("company_name", "postcode"),
            normalise_with=NO_ARGUMENTS,
            certainty="possible",
        ),
        MatchRule(left=("vat",), right=("tax",), normalise=("vat_number",)),
    ),
    fields=(
        rule("name", "display", master=Master.LEFT),
        rule("city", "town", convert="upper"),
        rule("currency", "money"),
        rule("limit", "credit"),
        rule("state", "blocked", convert="values", values={"1": "Invoice"}),
    ),
)


def record(key: str = "k", **values: Value) -> Record:
    """A record with these values."""
    return Record(key, None, values)


SOURCE = record(name="Alfa Legno S.r.l.", zip="39100", vat="IT00743110157", city="Bozen", currency="EUR", limit=5)


def test_a_record_that_is_alike_in_everything_has_all_the_points() -> None:
    """R-080: spelled otherwise, but the same in the form in which it is compared."""
    same = record(display="ALFA LEGNO", post="I-39100", tax="00743110157", town="BOZEN")
    (one,) = scored(PAIR, Side.LEFT, SOURCE, [same])
    assert (one.key, one.score) == ("k", 100)
    assert one.reasons == ("tax 100", "display 100", "post 100", "town 100")


def test_the_likeliest_comes_first_and_a_number_counts_more_than_a_name() -> None:
    """R-080: whoever has the number but another name goes before a namesake with another number."""
    namesake = record("namesake", display="Alfa Legno", post="39100", tax="07643520567", town="BOZEN")
    renamed = record("renamed", display="Holz Nord", post="39100", tax="00743110157", town="BOZEN")
    stranger = record("stranger", display="Birch", post="00118", tax="07643520567", town="ROMA")
    assert [one.key for one in scored(PAIR, Side.LEFT, SOURCE, [stranger, namesake, renamed])] == [
        "renamed",
        "namesake",
        "stranger",
    ]


def test_what_one_record_lacks_is_not_compared() -> None:
    """Blanks are no difference; nothing to compare gives no points."""
    (one,) = scored(PAIR, Side.LEFT, SOURCE, [record(display="Alfa Legno", town=None)])
    assert (one.score, one.reasons) == (100, ("display 100",))
    (none,) = scored(PAIR, Side.LEFT, SOURCE, [record()])
    assert (none.score, none.reasons) == (0, ())


def test_short_codes_amounts_and_unfit_values_tell_nothing() -> None:
    """Every second record shares the currency."""
    (one,) = scored(
        PAIR, Side.LEFT, record(currency="EUR", limit=5, state="9"), [record(money="EUR", credit=5, blocked="All")]
    )
    assert one.reasons == ()


def test_it_works_from_the_other_side_too() -> None:
    """R-080: the reasons name the columns of the records that are shown."""
    source = record(display="Alfa Legno", tax="00743110157")
    (one,) = scored(PAIR, Side.RIGHT, source, [SOURCE])
    assert set(one.reasons) == {"vat 100", "name 100"}


TEXTS = st.text(alphabet="abc é.IT012", max_size=12)


@given(st.lists(st.fixed_dictionaries({"display": TEXTS, "post": TEXTS, "tax": TEXTS, "town": TEXTS}), max_size=4))
def test_scores_are_between_nothing_and_all_and_in_order(rows: list[dict[str, Value]]) -> None:
    """Every candidate once."""
    found = scored(PAIR, Side.LEFT, SOURCE, [Record(str(place), None, row) for place, row in enumerate(rows)])
    assert sorted(one.key for one in found) == sorted(map(str, range(len(rows))))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0 <= one.score <= 100 for one in found)
