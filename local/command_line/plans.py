"""The plan of a transfer over all records of its source, as commands make and show it."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from shared.operations import NO_LINKS
from shared.routes import Unknown
from shared.sites import require_exchange
from shared.stores.match_index import TemporaryMatchIndex
from shared.sync.planning import PlannedPage, PlannedRecord, Planning, Step, Totals, index_target

if TYPE_CHECKING:
    from local.command_line.context import Context
    from shared.engine import Engine
    from shared.sync.context import Prepared
    from shared.sync.definition import Definition, Transfer

COLUMNS: Final = ("key", "step", "partner", "code", "field", "hint", "others", "changes")
KEPT: Final = 1000
"""Rows that a report holds of each step; a file of rows holds all."""


@dataclass
class Report:
    """A plan's counts and its first rows of each step."""

    transfer: str
    totals: Totals = field(default_factory=Totals)
    targets: int = 0
    rows: list[dict[str, str]] = field(default_factory=list)

    def add(self, page: PlannedPage) -> Iterable[dict[str, str]]:
        """Count a page; answers all of its rows."""
        rows = [row_of(record) for record in page.records]
        for row in rows:
            if self.totals.steps[Step(row["step"])] < KEPT:
                self.rows.append(row)
        self.totals.count(page)
        return rows

    @property
    def to_do(self) -> int:
        """Records that would be created, linked or changed."""
        return sum(self.totals.steps[step] for step in (Step.CREATE, Step.LINK, Step.CHANGE))

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "transfer": self.transfer,
            "target_records": self.targets,
            "steps": {step.value: self.totals.steps[step] for step in Step},
            "problems": dict(self.totals.codes.most_common()),
            "columns": dict(self.totals.columns.most_common()),
            "rows": self.rows,
        }


def row_of(record: PlannedRecord) -> dict[str, str]:
    """A record of the plan without any value: what would be done, and which columns would change."""
    changes = [view.rule.column(view.writes) for view in record.fields if view.writes is not None]
    if record.creates is not None:
        changes = list(record.creates.writes)
    facts = (record.key, record.step.value, record.partner, record.code, record.field, record.hint)
    return dict(zip(COLUMNS, (*facts, " ".join(record.others), " ".join(changes)), strict=True))


def find_transfer(engine: Engine, name: str) -> tuple[Definition, Transfer]:
    """A transfer of the installation whose records are linked; raises Unknown."""
    for definition, transfer in engine.index.transfers():
        if transfer.name == name and definition.is_derived:
            raise Unknown(NO_LINKS, "transfer")
        if transfer.name == name:
            return definition, transfer
    names = ", ".join(transfer.name for _, transfer in engine.index.transfers())
    raise Unknown(f"There is no transfer of this name; there are: {names}.", "transfer")


@asynccontextmanager
async def match_index() -> AsyncIterator[TemporaryMatchIndex]:
    """An index of match keys, removed afterwards."""
    index = TemporaryMatchIndex()
    try:
        yield index
    finally:
        index.close()


async def make_plan(context: Context, name: str, rows: Path | None) -> Report:
    """Plan a transfer; every row also goes into the file, if one is named."""
    engine = await context.engine()
    definition, transfer = find_transfer(engine, name)
    await require_exchange(engine, definition)
    prepared = await engine.pipeline.prepare(transfer.name)
    report = Report(transfer.name)

    def counted(targets: int) -> None:
        report.targets = targets

    with _writing(rows) as write:
        async for page in planned_pages(context, prepared, counted):
            write(report.add(page))
    return report


async def planned_pages(
    context: Context, prepared: Prepared, counted: Callable[[int], None] = lambda _: None
) -> AsyncIterator[PlannedPage]:
    """A transfer planned page by page, behind a pass over the target. counted: is told how many records that has."""
    pipeline, targets = (await context.engine()).pipeline, 0
    async with match_index() as index, match_index() as created:
        with context.out.progress("records of the target", None) as advance:
            async for count, _ in index_target(prepared, index):
                advance(count - targets)
                targets = count
        counted(targets)
        planning = Planning(pipeline, prepared, index, created, await pipeline.lengths(prepared.definition))
        with context.out.progress("records of the source", None) as advance:
            async for page in planning.pages():
                yield page
                advance(len(page.records))


@contextmanager
def _writing(path: Path | None) -> Iterator[Callable[[Iterable[dict[str, str]]], None]]:
    """Writes rows to a CSV file, or nowhere."""
    if path is None:
        yield lambda _: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        yield writer.writerows


def show_plan(context: Context, report: Report) -> None:
    """The counts for people."""
    totals = report.totals
    context.out.line(f"{report.transfer}: {sum(totals.steps.values())} records, {report.targets} in the target")
    context.out.table(("step", "records"), [(step.value, totals.steps[step]) for step in Step if totals.steps[step]])
    context.out.table(("problem", "records"), totals.codes.most_common())
    context.out.table(("column that would change", "records"), totals.columns.most_common())
