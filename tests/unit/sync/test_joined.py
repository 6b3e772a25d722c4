"""Columns that are written as one: how a text is split, and that what was split joins to the same text."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Refused, UnknownColumn
from shared.sync.definition import TooLong
from shared.sync.joined import Joining, joined, shortened, split
from shared.sync.locking import locks_of
from shared.sync.planner import Action, plan_create
from shared.sync.ports import ColumnType, Side, Value
from tests.simulation.loop import LoopClock, run_virtually
from tests.simulation.systems import MemorySystem
from tests.unit.sync.making import rule
from tests.unit.sync.test_lengths import definition

TEXTS = st.text(alphabet="ab é ", max_size=30)


@given(st.sampled_from(["a+b", "a+b+c", "a/b", "a/b/c"]), TEXTS, st.lists(st.integers(1, 12), min_size=3, max_size=3))
def test_what_was_split_joins_to_the_same_text_and_every_part_fits(column: str, text: str, room: list[int]) -> None:
    """R-055: but for surplus blanks; a text that cannot be split so is not split at all."""
    limits = dict(zip("abc", room, strict=True))
    parts = split(column, text, limits)
    if parts is not None:
        assert joined(list(parts.values())) == (" ".join(text.split()) or None)
        assert all(len(str(part or "")) <= limits[one] for one, part in parts.items())
    short = shortened(column, text, limits)
    assert split(column, short, limits) is not None
    assert text.startswith(short)


@pytest.mark.parametrize(
    ("column", "text", "parts"),
    [
        ("first+last", "Anna Rossi", ("Anna", "Rossi")),
        ("first+last", "Anna Maria  Rossi", ("Anna Maria", "Rossi")),
        ("first+last", "Rossi", (None, "Rossi")),
        ("first+last", "", (None, None)),
        ("first+middle+last", "Anna Rossi", ("Anna", None, "Rossi")),
        ("first+middle+last", "Anna Maria Lucia Rossi", ("Anna Maria", "Lucia", "Rossi")),
        ("first+last", "Anna Maria-Theresia-Josefine Rossi", None),
        ("line1/line2", "Mill Lane 1", ("Mill Lane 1", None)),
        ("line1/line2", "Mill Lane 1, second court", ("Mill Lane 1,", "second court")),
        ("line1/line2", "Mill Lane 1, second court, third floor on the left", None),
        ("line1/line2", "Donaudampfschifffahrtsgesellschaftsstrasse", None),
    ],
)
def test_how_a_text_is_split(column: str, text: str, parts: tuple[str | None, ...] | None) -> None:
    """R-055, R-057: the last word is the surname; a line takes as many words as fit."""
    limits = {"first": 20, "middle": 20, "last": 20, "line1": 15, "line2": 20}
    found = split(column, text, limits)
    assert (None if found is None else tuple(found.values())) == parts


def test_a_text_that_fits_in_no_way_is_parked_or_cut_at_a_word() -> None:
    """R-055: before anything is sent."""
    limits = {"one": 8, "two": 6}
    fits = plan_create(Side.LEFT, [rule("a", "one/two")], {"a": "Mill and Lane"}, limits)
    assert fits.writes == {"one/two": "Mill and Lane"}
    (parked,) = plan_create(Side.LEFT, [rule("a", "one/two")], {"a": "Mill and Lane One"}, limits).decisions
    assert (parked.action, parked.code) == (Action.PARK, "CD-4007")
    (cut,) = plan_create(
        Side.LEFT, [rule("a", "one/two", too_long=TooLong.CUT)], {"a": "Mill and Lane One"}, limits
    ).decisions
    assert (cut.value, cut.cut) == ("Mill and Lane", True)
    (never,) = plan_create(
        Side.LEFT, [rule("a", "one/two", too_long=TooLong.CUT)], {"a": "Donaudampfschiff"}, limits
    ).decisions
    assert (never.action, never.code) == (Action.PARK, "CD-4007")


def system() -> MemorySystem:
    """A system with names in two columns."""
    columns: Mapping[str, int | None] = {"first": 10, "last": 10, "mail": None}
    return MemorySystem("crm", "org", "contact", columns, LoopClock(), True)


def test_a_system_with_two_columns_looks_as_if_it_had_one() -> None:
    """R-057: created, read, changed and told of as one text; the columns themselves hold its words."""

    async def story() -> None:
        inner = system()
        one = Joining(inner)
        names = ["first+last", "mail"]
        made = await one.create("contact", {"first+last": "Anna Maria Rossi"}, names, key=None, within_seconds=9)
        assert dict(made.values) == {"first+last": "Anna Maria Rossi", "mail": None}
        stored = inner.records[made.key].values
        assert (stored["first"], stored["last"]) == ("Anna Maria", "Rossi")
        await one.update("contact", made.key, {"first+last": "Anna Verdi", "mail": "a@x.example"}, names, version=None)
        read = (await one.read("contact", [made.key], names))[made.key]
        assert dict(read.values) == {"first+last": "Anna Verdi", "mail": "a@x.example"}
        (found,) = await one.find("contact", "mail", ["a@x.example"], names)
        assert found.values["first+last"] == "Anna Verdi"
        told = [
            record.values["first+last"] async for page in one.changes("contact", None, names) for record in page.records
        ]
        assert told == ["Anna Verdi"]
        await one.update("contact", made.key, {"first+last": None}, names, version=None)
        assert (inner.records[made.key].values["first"], inner.records[made.key].values["last"]) == (None, None)

    run_virtually(story())


def test_what_does_not_fit_and_what_cannot_be_searched_is_refused_before_it_is_sent() -> None:
    """With the columns' name and without the text."""

    async def story() -> None:
        one = Joining(system())
        with pytest.raises(Refused) as refused:
            await one.create("contact", {"first+last": "Annamarialucia Rossi"}, [], key=None, within_seconds=9)
        assert refused.value.answer.field == "first+last"
        assert "Rossi" not in str(refused.value)
        with pytest.raises(UnknownColumn):
            await one.find("contact", "first+last", ["Anna Rossi"], [])

    run_virtually(story())


def test_the_metadata_knows_the_columns_together() -> None:
    """Their room is that of all of them and a blank between; one that is missing makes the whole missing."""

    async def story() -> None:
        columns = (await Joining(system()).metadata("contact")).columns
        assert (columns["first+last"].max_length, columns["first+last"].type) == (21, ColumnType.TEXT)
        assert columns["first/mail"].max_length is None
        assert "first+surname" not in columns
        assert set(columns) == {"first", "last", "mail"}

    run_virtually(story())


def test_every_column_behind_a_joined_one_is_locked() -> None:
    """R-060: a form knows single columns only."""
    (locks,) = locks_of([definition(rule("a", "one/two"))], "erp")
    assert locks.columns(linked=True) == ["one", "two"]


def test_a_joined_column_is_no_reason_to_lose_a_value() -> None:
    """Values that are no text are joined as they are compared."""
    parts: list[Value] = [None, 7, "b"]
    assert joined(parts) == "7 b"
    assert joined([None, ""]) is None
