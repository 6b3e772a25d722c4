"""Holds what is declared of tables of our own against what the system told: what is not there yet, and what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.sync.findings import FINDINGS, Finding, Severity
from shared.sync.own_tables import OwnColumn, OwnTable
from shared.sync.ports import ColumnMetadata
from shared.sync.surveying import Survey


def own_findings(tables: Sequence[OwnTable], survey: Survey) -> Iterator[Finding]:
    """Everything that is found in declared tables; a table that is declared and missing is told once, for itself."""
    declared = {(one.system, one.table) for one in tables if one.is_ours}
    for table in tables:
        check = _Check(table, survey)
        if survey.tables.get((table.system, table.table)) is not None:
            yield from check.columns()
        elif table.is_ours:
            yield check.found("CD-4620", Severity.WRONG, table.line, f"{check.told()} is declared and not there yet.")
        elif (table.system, table.table) not in declared:
            yield check.unknown_table(table.table, table.line)
        for column in table.columns:
            target = (table.system, column.refers_to)
            if column.refers_to and survey.tables.get(target) is None and target not in declared:
                yield check.unknown_table(column.refers_to, column.line)


@dataclass(frozen=True)
class _Check:
    """One table."""

    table: OwnTable
    survey: Survey

    def told(self, column: str = "") -> str:
        return f"{self.table.system} {self.table.table}{f'.{column}' if column else ''}"

    def found(self, code: str, severity: Severity, line: int, sentence: str, column: str = "") -> Finding:
        return Finding(code, severity, self.table.file, line, sentence, FINDINGS[code].remedy, column)

    def unknown_table(self, name: str, line: int) -> Finding:
        sentence = f"{self.table.system} has no table '{name}', and none is declared as ours."
        return self.found("CD-4601", Severity.WRONG, line, sentence)

    def columns(self) -> Iterator[Finding]:
        for column in self.table.every_column:
            there = self.survey.column((self.table.system, self.table.table), column.name)
            told = self.told(column.name)
            if there is None:
                yield self.found("CD-4620", Severity.WRONG, column.line, f"{told} is declared and not there yet.", told)
                continue
            for severity, unlike in _unlike(column, there):
                yield self.found("CD-4621", severity, column.line, f"{told} {unlike}.", told)


def _unlike(column: OwnColumn, there: ColumnMetadata) -> Iterator[tuple[Severity, str]]:
    wanted = column.as_made
    if there.type is not wanted.type:
        yield Severity.WRONG, f"is of the type {there.type.value}, not {wanted.type.value}"
        return
    if there.target != wanted.target:
        yield Severity.WRONG, f"refers to {there.target or 'several tables'}, not to {wanted.target}"
    if there.max_length is not None and wanted.max_length is not None and there.max_length < wanted.max_length:
        yield Severity.WARNING, f"holds {there.max_length} characters, not {wanted.max_length}"
    for value, label in wanted.choices.items():
        if value not in there.choices:
            yield Severity.WARNING, f"has no choice '{value}' ({label})"
