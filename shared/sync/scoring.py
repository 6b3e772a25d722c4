"""How much a record resembles each of several possible partners: scores for the work list, never a reason to link.

Compared are the columns of the match rules and the texts of the field rules, as they would go over. What is told is
which columns were compared and how alike they are, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.sync.definition import Definition, FieldRule, MatchRule
from shared.sync.normalisers import NORMALISERS
from shared.sync.planner import converted
from shared.sync.ports import Candidate, Record, Side
from shared.sync.values import Unfit, canonical

_SURE, _POSSIBLE, _FIELD = 4, 2, 1
"""What a column of a sure match rule, of a possible one, and of a field rule counts."""

_TELLING = 4
"""A text of fewer characters (a currency, a country) is shared by too many records to tell anything."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two records are in one column of the target: 0 to 100, and what that counts."""

    column: str
    percent: int
    weight: int


def scored(definition: Definition, side: Side, source: Record, candidates: Iterable[Record]) -> Sequence[Candidate]:
    """The candidates with score and reasons, the best first. side: that of the source."""
    found = [_candidate(record.key, list(_likenesses(definition, side, source, record))) for record in candidates]
    return sorted(found, key=lambda one: (-one.score, one.key))


def _candidate(key: str, likenesses: Sequence[Likeness]) -> Candidate:
    weights = sum(one.weight for one in likenesses)
    score = round(sum(one.percent * one.weight for one in likenesses) / weights) if weights else 0
    return Candidate(key, score, tuple(f"{one.column} {one.percent}" for one in likenesses))


def _likenesses(definition: Definition, side: Side, source: Record, record: Record) -> Iterator[Likeness]:
    """One for each column of the target that both records fill; match rules first, each column once."""
    seen: set[str] = set()
    for rule in sorted(definition.match, key=lambda rule: rule.certainty != "sure"):
        for one in _by_match(rule, side, source, record):
            if one.column not in seen:
                seen.add(one.column)
                yield one
    for field in definition.fields:
        if field.column(side.other) not in seen:
            yield from _by_field(field, side, source, record)


def _by_match(rule: MatchRule, side: Side, source: Record, record: Record) -> Iterator[Likeness]:
    columns = zip(rule.columns(side), rule.columns(side.other), strict=True)
    for place, (here, there) in enumerate(columns):
        normaliser, told = rule.form(place)
        first, second = canonical(source.values.get(here)), canonical(record.values.get(there))
        if first and second:
            one = normaliser.plain(first, told.told(side, source.values))
            other = normaliser.plain(second, told.told(side.other, record.values))
            percent = _percent(one, other) if normaliser.alike else 100 * (one == other)
            yield Likeness(there, percent, _SURE if rule.certainty == "sure" else _POSSIBLE)


def _by_field(rule: FieldRule, side: Side, source: Record, record: Record) -> Iterator[Likeness]:
    column, plain = rule.column(side.other), NORMALISERS["text"].plain
    try:
        here, there = converted(rule, side, source.values), record.values.get(column)
    except Unfit:
        return
    if isinstance(here, str) and isinstance(there, str) and min(len(here), len(there)) >= _TELLING:
        yield Likeness(column, _percent(plain(here, {}), plain(there, {})), _FIELD)


def _percent(one: str, other: str) -> int:
    """How alike two texts are, whatever the order of their words."""
    from rapidfuzz import fuzz

    return round(fuzz.token_sort_ratio(one, other))
