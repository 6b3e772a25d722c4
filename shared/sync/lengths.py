"""Where a definition leaves open what happens to a text that is too long for where it goes."""

from __future__ import annotations

from collections.abc import Sequence

from shared.sync.converters import CONVERTERS
from shared.sync.definition import Definition, FieldRule, Problem
from shared.sync.ports import ColumnMetadata, ColumnType, Side, TableMetadata


def length_findings(definition: Definition, left: TableMetadata, right: TableMetadata) -> Sequence[Problem]:
    """Field rules whose text may be too long for where it goes, and that do not say what happens then."""
    tables = {Side.LEFT: left, Side.RIGHT: right}
    sources = {transfer.source for transfer in definition.transfers}
    return [
        Problem(file=definition.file, line=rule.line, text=text)
        for rule in definition.fields
        for source in Side
        if source in sources and (text := _finding(definition, rule, source, tables[source], tables[source.other]))
    ]


def _finding(definition: Definition, rule: FieldRule, side: Side, source: TableMetadata, target: TableMetadata) -> str:
    there, here = target.columns.get(rule.column(side.other)), source.columns.get(rule.column(side))
    if rule.too_long is not None or here is None or there is None or not rule.travels_from(side):
        return ""
    limit, longest = there.max_length, _longest(rule, side, here)
    if limit is None or longest is None or longest <= limit or there.type is not ColumnType.TEXT:
        return ""
    names = [f"{definition.table(one).system}.{rule.column(one)}" for one in (side, side.other)]
    return (
        f"{names[0]} holds {longest} characters and {names[1]} only {limit}; "
        "say what happens to a longer text: too_long: park or too_long: cut"
    )


def _longest(rule: FieldRule, side: Side, column: ColumnMetadata) -> int | None:
    """The longest text that the rule makes of a column's; None if that is not a text or not limited."""
    if rule.values or column.type is not ColumnType.TEXT:
        return None
    most = CONVERTERS[rule.convert].longest if side is Side.LEFT else None
    return column.max_length if most is None else min(most, column.max_length or most)
