"""Whether a column's values can stand in another one, found by trying: samples of the one type go through the rule's
converter, and what comes out must be a value of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from shared.sync.definition import FieldRule
from shared.sync.planner import converted
from shared.sync.ports import ColumnMetadata, ColumnType, Side, Value
from shared.sync.values import Unfit

SAMPLES: Mapping[ColumnType, Sequence[Value]] = {
    ColumnType.TEXT: ("Text", "7", "true", "IT", "IT00743110157", "39100", "+39 0471 100100", "a@mill.example"),
    ColumnType.INTEGER: (7,),
    ColumnType.DECIMAL: (Decimal("7.25"),),
    ColumnType.BOOLEAN: (True, False),
    ColumnType.DATETIME: (datetime(2026, 3, 2, 12, 30, tzinfo=UTC),),
    ColumnType.DATE: (date(2026, 3, 2),),
    ColumnType.KEY: ("6f0d3f4e-5b0a-4c55-9a57-0f6f1d5f3c11",),
    ColumnType.REFERENCE: ("6f0d3f4e-5b0a-4c55-9a57-0f6f1d5f3c11",),
}
KEYS = frozenset({ColumnType.KEY, ColumnType.REFERENCE})


def can_correspond(rule: FieldRule, source_side: Side, source: ColumnMetadata, target: ColumnMetadata) -> bool:
    """Whether any sample of the source comes out as a value of the target.

    A table of values answers by its entries, which `unknown_choices` looks at.
    """
    if rule.convert == "values":
        return target.type in (ColumnType.CHOICE, ColumnType.TEXT, ColumnType.BOOLEAN)
    tried = [_tried(rule, source_side, sample) for sample in _samples_for(rule, source_side, source)]
    return any(_fits(value, target) for value in tried if value is not None)


def _samples_for(rule: FieldRule, source_side: Side, source: ColumnMetadata) -> Sequence[Value]:
    """Values that may stand in the source; for choices all of them, for texts also what the rule makes of others."""
    if source.type is ColumnType.CHOICE:
        return [int(name) if name.lstrip("-").isdigit() else name for name in source.choices]
    if source.type is not ColumnType.TEXT:
        return SAMPLES[source.type]
    others = [one for kind, some in SAMPLES.items() if kind is not ColumnType.TEXT for one in some]
    made = [_tried(rule, source_side.other, one) for one in others]
    return [*SAMPLES[ColumnType.TEXT], *(text for text in made if isinstance(text, str))]


def _tried(rule: FieldRule, source_side: Side, sample: Value) -> Value:
    try:
        return converted(rule, source_side, {rule.column(source_side): sample})
    except Unfit:
        return None


def _fits(value: Value, target: ColumnMetadata) -> bool:
    match target.type:
        case ColumnType.TEXT:
            return isinstance(value, str)
        case ColumnType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case ColumnType.DECIMAL:
            return isinstance(value, int | Decimal) and not isinstance(value, bool)
        case ColumnType.BOOLEAN:
            return isinstance(value, bool)
        case ColumnType.DATETIME:
            return isinstance(value, datetime)
        case ColumnType.DATE:
            return isinstance(value, date) and not isinstance(value, datetime)
        case ColumnType.CHOICE:
            return str(value) in target.choices
        case _:
            return isinstance(value, str)
