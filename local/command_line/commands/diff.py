"""Run edited definitions beside the present ones on live records, and show which fields would be treated differently.

  manage.py diff --with edited/                 the installation's definitions against those of a folder
  manage.py diff --with edited/ --rows FILE     every row into a CSV file

Nothing is written. Exit code 1 means that records would be treated differently: a pipeline can stop there and ask.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.command_line.context import Context
from local.command_line.definition_folder import tell_problems
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.definitions import compile_folder
from shared.sync.differing import Differing, FieldDifference
from shared.sync.pipeline import Pipeline

if TYPE_CHECKING:
    from shared.engine import Engine
    from shared.sync.definition import Definition, Index

COLUMNS: Final = ("pair", "side", "key", "column", "now", "then")
SHOWN: Final = 100
"""Rows for the screen; a file holds all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--with", dest="edited", type=Path, required=True, metavar="FOLDER", help="edited definitions")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write every row into a CSV file")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.edited.is_dir():
        raise WrongUsage(f"--with: there is no folder {arguments.edited}.")
    edited = compile_folder(arguments.edited)
    if edited.problems:
        tell_problems(context.out, edited)
        context.out.answer({"problems": [problem.model_dump(mode="json") for problem in edited.problems]})
        return Exit.ATTENTION
    rows, compared = await _compare(context, await context.engine(), edited)
    if arguments.rows is not None:
        _write(arguments.rows, rows)
    by_column = Counter((row["side"], row["column"], row["now"], row["then"]) for row in rows)
    counts = [
        dict(zip(("side", "column", "now", "then"), what, strict=True)) | {"records": n}
        for what, n in by_column.items()
    ]
    context.out.answer({"compared": compared, "differences": counts, "rows": rows[:SHOWN]})
    _show(context, rows, counts, compared)
    return Exit.ATTENTION if rows else Exit.FINE


async def _compare(context: Context, engine: Engine, edited: Index) -> tuple[list[dict[str, str]], int]:
    then = Pipeline(engine.pipeline.ports, edited)
    rows: list[dict[str, str]] = []
    total = 0
    with context.out.progress("pairs", None) as advance:
        for now, other in _pairs(engine.index, edited):
            seen = 0
            async for page in Differing(engine.pipeline, then).pages(now, other):
                advance(page.compared - seen)
                seen = page.compared
                rows += [_row(now, one) for one in page.differences]
            total += seen
    return rows, total


def _pairs(present: Index, edited: Index) -> Iterator[tuple[Definition, Definition]]:
    """Definitions of the same two tables; one that is new or gone has no linked records to compare."""
    for now in present.linking:
        for other in edited.linking:
            if (now.left, now.right) == (other.left, other.right):
                yield now, other


def _row(definition: Definition, one: FieldDifference) -> dict[str, str]:
    pair = f"{definition.left.table}/{definition.right.table}"
    return dict(zip(COLUMNS, (pair, one.side.value, one.key, one.column, one.now, one.then), strict=True))


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _show(context: Context, rows: Sequence[dict[str, str]], counts: Sequence[dict[str, Any]], compared: int) -> None:
    context.out.line(f"{compared} linked pairs compared, {len(rows)} fields would be treated differently.")
    names = ("side", "column", "now", "then", "records")
    context.out.table(names, [[one[name] for name in names] for one in counts])
    context.out.table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        context.out.line(f"These are the first {SHOWN}; --rows writes all.")
