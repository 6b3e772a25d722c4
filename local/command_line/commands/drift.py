"""Compare the records of both systems, and queue those that a transfer can bring together.

  manage.py drift                                            all pairs: how many are equal, and what differs
  manage.py drift account_to_business_central --rows FILE    one pair, every differing record into a CSV file
  manage.py drift account_to_business_central --unlinked     what has no partner, too, and what is there twice
  manage.py drift account_to_business_central --apply        queue what can be repaired
  manage.py drift account_to_business_central --reviewed FILE --apply        queue only what the file still names

The report holds keys and names of columns, no values. A file of `--rows` is a plan of repair: take out the lines that
shall stay as they are, and give it back with `--reviewed`. What is queued is decided again by the transfers.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.plans import find_transfer, planned_pages
from shared.sync.drifting import Drift, Drifting, Standing, told_once, without_partner

if TYPE_CHECKING:
    from shared.engine import Engine
    from shared.sync.definition import Definition

WRITES: Final = True
COLUMNS: Final = ("pair", "left", "right", "standing", "columns")
SHOWN: Final = 100
MANY: Final = 100
"""From so many pairs on a person is asked before they are queued."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", nargs="?", default="", help="a transfer of the pair; all pairs if not said")
    parser.add_argument("--unlinked", action="store_true", help="look at the records without a partner too")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write every differing record into a CSV file")
    parser.add_argument("--reviewed", type=Path, metavar="FILE", help="queue only the pairs that such a file names")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    reviewed = _reviewed(arguments.reviewed)
    engine = await context.engine()
    counts: Counter[Standing] = Counter()
    found: list[tuple[Definition, Drift]] = []
    with context.out.progress("pairs", None) as advance:
        for definition in _definitions(engine, arguments.transfer):
            async for page in Drifting(engine.pipeline, definition).pages():
                counts.update(drift.standing for drift in page)
                found += [(definition, drift) for drift in page if drift.standing is not Standing.EQUAL]
                advance(len(page))
    if arguments.unlinked:
        for definition in _definitions(engine, arguments.transfer):
            bare = await _without_partner(context, engine, definition)
            counts.update(drift.standing for drift in bare)
            found += [(definition, drift) for drift in bare]
    rows = [_row(*one) for one in found]
    if arguments.rows is not None:
        _write(arguments.rows, rows)
    wanted = (
        found if reviewed is None else [one for one in found if (_pair(one[0]), one[1].left, one[1].right) in reviewed]
    )
    queued = await _repair(context, engine, wanted) if context.applies else 0
    facts = {"pairs": {standing.value: counts[standing] for standing in Standing}, "rows": rows[:SHOWN]}
    context.out.answer(facts | {"queued": queued})
    _show(context, counts, rows, queued)
    return Exit.ATTENTION if found and not (queued and queued == len(wanted)) else Exit.FINE


async def _without_partner(context: Context, engine: Engine, definition: Definition) -> list[Drift]:
    """Records of both sides that shall have a partner and have none; two that would be linked are told once."""
    found: list[Drift] = []
    for transfer in definition.transfers:
        prepared = await engine.pipeline.prepare(transfer.name)
        async for page in planned_pages(context, prepared):
            drifts = [without_partner(transfer.source, record) for record in page.records]
            found += [one for one in drifts if one is not None]
    return told_once(found)


def _reviewed(path: Path | None) -> set[tuple[str, str, str]] | None:
    """What a file of ours still names; None without a file. Raises WrongUsage."""
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) == COLUMNS:
                return {(row["pair"], row["left"], row["right"]) for row in rows}
    except (OSError, csv.Error):
        pass
    raise WrongUsage("--reviewed is no file that --rows has written.")


def _pair(definition: Definition) -> str:
    return f"{definition.left.table}/{definition.right.table}"


def _definitions(engine: Engine, transfer: str) -> Sequence[Definition]:
    return [find_transfer(engine, transfer)[0]] if transfer else engine.index.linking


async def _repair(context: Context, engine: Engine, found: Sequence[tuple[Definition, Drift]]) -> int:
    wanted = [one for one in found if one[1].can_be_repaired]
    if len(wanted) >= MANY:
        context.confirm(f"Queue {len(wanted)} pairs of records?")
    queued = 0
    for definition in engine.index.linking:
        drifts = [drift for one, drift in wanted if one is definition]
        queued += await Drifting(engine.pipeline, definition).repair(drifts, context.by)
    return queued


def _row(definition: Definition, drift: Drift) -> dict[str, str]:
    standing = drift.standing.value if drift.missing is None else f"{drift.standing.value}: {drift.missing.value}"
    return dict(
        zip(COLUMNS, (_pair(definition), drift.left, drift.right, standing, " ".join(drift.columns)), strict=True)
    )


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _show(context: Context, counts: Counter[Standing], rows: Sequence[dict[str, str]], queued: int) -> None:
    if not counts:
        context.out.line("No linked records to compare; --unlinked looks at those without a partner.")
    context.out.table(("standing", "pairs"), [(one.value, counts[one]) for one in Standing if counts[one]])
    context.out.table(COLUMNS, [[row[name] for name in COLUMNS] for row in rows[:SHOWN]])
    if len(rows) > SHOWN:
        context.out.line(f"These are the first {SHOWN}; --rows writes all.")
    if queued:
        context.out.line(f"{queued} pairs are queued.")
    elif rows:
        context.out.line("--apply queues what a transfer can bring together.")
