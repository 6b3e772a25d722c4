"""From an evaluation to the opportunity's columns: which result goes where, and what it becomes there. Pure.

Numbers are rounded half up (66.5 becomes 67, -0.5 becomes 0), as people round; a text is never cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from shared.errors import SettingsError
from shared.sales_cockpit.errors import OutOfRange
from shared.sales_cockpit.ports import Evaluation
from shared.strict_json import Json
from shared.sync.ports import ColumnMetadata, ColumnType, TableMetadata

PROBABILITY: Final = "probability"
COLUMN_SETTING: Final = "CROSSDOCK_SALES_COCKPIT_PROBABILITY_COLUMN"
CHOICES_SETTING: Final = "CROSSDOCK_SALES_COCKPIT_PROBABILITY_CHOICES"
RESULTS_SETTING: Final = "CROSSDOCK_SALES_COCKPIT_RESULTS"

Range = tuple[int, int, str]
"""From which to which whole probability, both inside, and the choice that it gets."""

_STATES: Final = frozenset({"statecode", "statuscode"})
"""Won and lost is what people decide in the CRM."""
_PROBABLE: Final = frozenset({ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.CHOICE})
_NO_TARGETS: Final = frozenset({ColumnType.KEY, ColumnType.REFERENCE})
_WHOLE: Final = (Decimal(-(2**31)), Decimal(2**31 - 1))
_DECIMAL: Final = (Decimal(-100_000_000_000), Decimal(100_000_000_000))
"""What whole and decimal columns take at most (Microsoft Learn, "Column data types in Microsoft Dataverse")."""
_MOST_DECIMALS: Final = 10
_EARLIEST: Final = 1753
"""The first year that a column of Dataverse takes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a result goes. name: `probability`, or the result's; setting: which names the column."""

    name: str
    column: ColumnMetadata
    setting: str

    @property
    def place(self) -> str:
        """Where the result stands in what the Cockpit sends."""
        return self.name if self.setting == COLUMN_SETTING else f"results.{self.name}"


@dataclass(frozen=True, slots=True)
class Rated:
    """What an evaluation wants in the opportunity. values: by column, as JSON has them; places: by column, of which
    result it is; ignored: names of results that have no column."""

    values: Mapping[str, Json]
    places: Mapping[str, str]
    ignored: Sequence[str]


@dataclass(frozen=True)
class Rating:
    """The settings, held against the columns of one organisation."""

    probability: Target
    ranges: Sequence[Range]
    results: Mapping[str, Target]

    @classmethod
    def of(cls, column: str, ranges: Sequence[Range], results: Mapping[str, str], table: TableMetadata) -> Rating:
        """Raises SettingsError, naming the setting, for what can never be written."""
        probability = Target(PROBABILITY, _column(column, table, COLUMN_SETTING), COLUMN_SETTING)
        targets = {
            name: Target(name, _column(wanted, table, RESULTS_SETTING), RESULTS_SETTING)
            for name, wanted in results.items()
        }
        _check_probability(probability.column, ranges)
        _check_results(probability.column, targets)
        return cls(probability, ranges, targets)

    @property
    def columns(self) -> Sequence[str]:
        """The columns that are written."""
        return [self.probability.column.name, *(one.column.name for one in self.results.values())]

    def rate(self, evaluation: Evaluation) -> Rated:
        """What goes into which column; raises OutOfRange naming the result that its column cannot take."""
        found = [(self.probability, self._probability(evaluation.probability))]
        found += [
            (target, _result(target, evaluation.results[name]))
            for name, target in self.results.items()
            if name in evaluation.results
        ]
        return Rated(
            values={target.column.name: value for target, value in found},
            places={target.column.name: target.place for target, _ in found},
            ignored=sorted(set(evaluation.results) - set(self.results)),
        )

    def _probability(self, probability: float) -> Json:
        exact = Decimal(str(probability))
        if not exact.is_finite() or not 0 <= exact <= 100:
            raise OutOfRange("The probability is none from 0 to 100.", PROBABILITY)
        if self.probability.column.type is not ColumnType.CHOICE:
            return _number(self.probability, exact)
        whole = _rounded(exact, 0)
        return next(int(choice) for least, most, choice in self.ranges if least <= whole <= most)


def differing(values: Mapping[str, Json], held: Mapping[str, Json]) -> dict[str, Json]:
    """Those of the values that the opportunity does not hold yet, or that its user may not see."""
    return {column: value for column, value in values.items() if column not in held or not _same(value, held[column])}


def _same(wanted: Json, held: Json) -> bool:
    if isinstance(wanted, bool) or isinstance(held, bool):
        return wanted is held
    return wanted == held


# --- the settings against the columns


def _column(name: str, table: TableMetadata, setting: str) -> ColumnMetadata:
    column = table.columns.get(name)
    if column is None:
        raise SettingsError(f"{setting}: {name} is no column of the table {table.name}; correct it.")
    if not column.updatable or name in _STATES:
        raise SettingsError(f"{setting}: {name} cannot be written; name another column.")
    return column


def _check_probability(column: ColumnMetadata, ranges: Sequence[Range]) -> None:
    if column.type not in _PROBABLE:
        raise SettingsError(
            f"{COLUMN_SETTING}: {column.name} is a {column.type.value}; name a whole number, a decimal or a choice."
        )
    if column.type is not ColumnType.CHOICE:
        return
    if not ranges:
        raise SettingsError(f"{CHOICES_SETTING}: is missing; {column.name} is a choice, so say which one it gets when.")
    unknown = [choice for _, _, choice in ranges if choice not in column.choices]
    if unknown:
        there = ", ".join(column.choices)
        raise SettingsError(f"{CHOICES_SETTING}: {column.name} has no choice {unknown[0]} (there are: {there}).")


def _check_results(probability: ColumnMetadata, targets: Mapping[str, Target]) -> None:
    taken = {probability.name}
    for target in targets.values():
        name = target.column.name
        if name in taken:
            raise SettingsError(f"{RESULTS_SETTING}: {name} gets two results; give each its own column.")
        if target.column.type in _NO_TARGETS:
            raise SettingsError(f"{RESULTS_SETTING}: {name} is a {target.column.type.value}, which takes no result.")
        taken.add(name)


# --- values


def _result(target: Target, value: Json) -> Json:
    """A further result as its column takes it; no value empties the column."""
    return None if value is None or value == "" else _WRITERS[target.column.type](target, value)


def _unfit(target: Target, why: str) -> OutOfRange:
    return OutOfRange(f"{target.place} {why}.", target.place)


def _text(target: Target, value: Json) -> Json:
    text = str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise _unfit(target, "is no text")
    try:
        units = len(text.encode("utf-16-le")) // 2  # as Dataverse counts
    except UnicodeEncodeError:
        raise _unfit(target, "holds half a character") from None
    if target.column.max_length is not None and units > target.column.max_length:
        raise _unfit(target, f"is longer than the {target.column.max_length} characters of its column")
    return text


def _number(target: Target, value: Json) -> Json:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise _unfit(target, "is no number")
    whole = target.column.type is ColumnType.INTEGER
    least, most = _limits(target.column, _WHOLE if whole else _DECIMAL)
    exact = Decimal(value)
    decimals = 0 if whole else _MOST_DECIMALS if target.column.decimals is None else target.column.decimals
    if least - 1 < exact < most + 1:  # a number without measure is never rounded
        exact = _rounded(exact, decimals)
    if not least <= exact <= most:
        raise _unfit(target, "is outside of what its column takes")
    return int(exact) if whole else exact


def _limits(column: ColumnMetadata, usual: tuple[Decimal, Decimal]) -> tuple[Decimal, Decimal]:
    least, most = column.least, column.most
    return usual[0] if least is None else least, usual[1] if most is None else most


def _rounded(exact: Decimal, decimals: int) -> Decimal:
    exponent, step = exact.as_tuple().exponent, Decimal(1).scaleb(-decimals)
    if isinstance(exponent, int) and exponent >= -decimals:
        return exact
    return (exact / step + Decimal("0.5")).to_integral_value(ROUND_FLOOR) * step


def _boolean(target: Target, value: Json) -> Json:
    if not isinstance(value, bool):
        raise _unfit(target, "is neither yes nor no")
    return value


def _moment(target: Target, value: Json) -> Json:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "").astimezone(UTC)
        zoned = datetime.fromisoformat(str(value)).tzinfo is not None
    except (ValueError, OverflowError):
        raise _unfit(target, "is no time") from None
    if not zoned or moment.year < _EARLIEST:
        raise _unfit(target, f"is no time with its zone from {_EARLIEST} on")
    return f"{moment.replace(microsecond=0, tzinfo=None).isoformat()}Z"


def _day(target: Target, value: Json) -> Json:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise _unfit(target, "is no day")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise _unfit(target, "is a day that does not exist") from None
    if day.year < _EARLIEST:
        raise _unfit(target, f"is no day from {_EARLIEST} on")
    return value


def _choice(target: Target, value: Json) -> Json:
    """A choice by its number, or by a label that only one has."""
    named = str(value).casefold() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    by_label = [number for number, label in target.column.choices.items() if label.casefold() == named]
    found = [number for number in target.column.choices if number == named] or by_label
    if not named or len(found) != 1:
        raise _unfit(target, "is none of the choices of its column")
    return int(found[0])


_WRITERS: Final[Mapping[ColumnType, Callable[[Target, Json], Json]]] = {
    ColumnType.TEXT: _text,
    ColumnType.INTEGER: _number,
    ColumnType.DECIMAL: _number,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATETIME: _moment,
    ColumnType.DATE: _day,
    ColumnType.CHOICE: _choice,
}
