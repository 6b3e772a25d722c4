"""Holds what answers checks against what the systems told of its tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.sync.confirming import Confirming, tables_of, unanswered
from shared.sync.findings import FINDINGS, Finding, Severity
from shared.sync.own_tables import OwnTable
from shared.sync.ports import Reach, Right
from shared.sync.surveying import Place, Survey


def confirming_findings(rules: Confirming, survey: Survey, own: Mapping[Place, OwnTable]) -> Iterator[Finding]:
    """Everything that keeps a check of this installation from being answered. own: the tables that are declared as
    ours; what of them is not there yet is told where they are."""
    for one in rules.answering:
        if rules.source(one.check, one.kind) is None:
            told = unanswered(one.check, one.system, there=bool(one.kind))
            yield _found(rules, "CD-4622", 1, told, severity=Severity.WRONG if one.wanted else Severity.NOTE)
    for system, table, columns, line in tables_of(rules):
        place = (system, table)
        found = survey.tables.get(place)
        if found is None:
            if place not in own:
                yield _found(rules, "CD-4601", line, f"{system} has no table '{table}', so checks cannot be answered.")
            continue
        for name in columns:
            declared = own[place].column(survey.near(place, name)) if place in own else None
            if survey.column(place, name) is None and declared is None:
                told = f"{system} {table}.{name}"
                yield _found(rules, "CD-4602", line, f"{system} {table} has no column '{name}'.", told)
        if found.rights is not None and found.rights.get(Right.READ) is Reach.NONE:
            told = f"{system} {table} {Right.READ.value}"
            yield _found(rules, "CD-4613", line, f"Our identity may not read {system} {table}.", told)


def _found(
    rules: Confirming, code: str, line: int, sentence: str, column: str = "", severity: Severity = Severity.WRONG
) -> Finding:
    return Finding(code, severity, rules.file, line, sentence, FINDINGS[code].remedy, column)
