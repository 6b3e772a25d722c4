"""What became of the columns that definitions name since they were last looked at; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.sync.checking import line_of
from shared.sync.definition import Definition, Index
from shared.sync.findings import FINDINGS, Finding, Severity
from shared.sync.ports import ColumnMetadata, Side
from shared.sync.surveying import Place, Survey

ColumnFacts = dict[str, Any] | None
"""What is kept of a column, as JSON has it; None for one that the table does not have."""
TableFacts = dict[str, ColumnFacts]
Where = tuple[str, int]
"""File and line of a definition."""
CODE = "CD-4617"


def facts_of(index: Index, survey: Survey) -> dict[Place, TableFacts]:
    """The facts of every column that a definition names, by table."""
    return {
        place: {name: _column_facts(survey.column(place, name)) for name in names}
        for place, names in named_columns(index, survey).items()
    }


def _column_facts(column: ColumnMetadata | None) -> ColumnFacts:
    if column is None:
        return None
    return {
        "type": column.type.value,
        "max_length": column.max_length,
        "writable": column.writable,
        "updatable": column.updatable,
        "required": column.required,
        "target": column.target,
        "choices": sorted(column.choices),
        "denied": sorted(right.value for right in column.denied),
    }


def named_columns(index: Index, survey: Survey) -> dict[Place, dict[str, Where]]:
    """Every column that definitions name, each with the first line that does."""
    found: dict[Place, dict[str, Where]] = {}
    for definition in index.definitions:
        for place, name, line in _named(definition, survey):
            found.setdefault(place, {}).setdefault(name, (definition.file, line))
    return found


def _named(definition: Definition, survey: Survey) -> Iterator[tuple[Place, str, int]]:
    for side in Side:
        place = (definition.table(side).system, definition.table(side).table)
        for name in definition.columns(side):
            line = line_of(definition, side, name)
            near = survey.near(place, name)
            far = name[len(near) + 1 :]
            yield place, near, line
            reference = survey.column(place, near)
            if far and reference and reference.target:
                yield (place[0], reference.target), far, line
    for transfer in definition.transfers:
        system = definition.table(transfer.source).system
        for table, column in transfer.also_on.items():
            yield (system, table), column, transfer.line
        for condition in transfer.only_if:
            if condition.related:
                for name in (condition.related.by, *condition.columns):
                    yield (system, condition.related.table), name, transfer.line


def changes(place: Place, before: TableFacts, now: TableFacts, where: Mapping[str, Where]) -> list[Finding]:
    """What has changed of the columns that were looked at both times."""
    found = []
    for name in [one for one in now if one in before]:
        for severity, what in _changes_of(before[name], now[name]):
            file, line = where[name]
            told = f"{place[0]} {place[1]}.{name}"
            found.append(Finding(CODE, severity, file, line, f"{told} {what}.", FINDINGS[CODE].remedy, told))
    return found


def _changes_of(before: ColumnFacts, now: ColumnFacts) -> Iterator[tuple[Severity, str]]:
    if before is None or now is None:
        if before is not None:
            yield Severity.WRONG, "is gone"
        if now is not None:
            yield Severity.NOTE, "is there now"
        return
    if before["type"] != now["type"]:
        yield Severity.WRONG, f"was {before['type']} and is {now['type']} now"
    if before["target"] != now["target"]:
        yield Severity.WRONG, f"pointed to {before['target']} and points to {now['target']} now"
    yield from _length(before["max_length"], now["max_length"])
    yield from _flags(before, now)
    yield from _choices(before["choices"], now["choices"])


def _length(before: int | None, now: int | None) -> Iterator[tuple[Severity, str]]:
    if before == now:
        return
    told = [f"{one} characters" if one is not None else "any length" for one in (before, now)]
    shorter = now is not None and (before is None or now < before)
    severity = Severity.WARNING if shorter else Severity.NOTE
    yield severity, f"became {'shorter' if shorter else 'longer'}: {told[0]} before, {told[1]} now"


def _flags(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[Severity, str]]:
    words = {
        "writable": ("became read-only", "can be written now"),
        "updatable": ("can be written at a create only now", "can be written later, too, now"),
        "required": ("is no longer required at a create", "is required at a create now"),
    }
    for name, (lost, won) in words.items():
        if before[name] != now[name]:
            better = now[name] is (name != "required")
            yield (Severity.NOTE if better else Severity.WARNING), won if now[name] else lost
    for right in sorted(set(now["denied"]) - set(before["denied"])):
        yield Severity.WARNING, f"was secured: our identity may not {right} it"


def _choices(before: Sequence[str], now: Sequence[str]) -> Iterator[tuple[Severity, str]]:
    for value in [one for one in now if one not in before]:
        yield Severity.WARNING, f"has a new choice '{value}'"
    for value in [one for one in before if one not in now]:
        yield Severity.WARNING, f"no longer has the choice '{value}'"
