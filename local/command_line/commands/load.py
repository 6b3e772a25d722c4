"""Load all records of a transfer's source for the first time; without --apply show the plan.

  manage.py load account_to_business_central                   the plan, as `manage.py plan` shows it
  manage.py load account_to_business_central --apply

Every record takes the ordinary steps of the transfer, a hundred at once, within the limits of both systems. It may be
ended or killed at any moment: the next load goes on where it was, and creates nothing twice. While the pair's transfers
are off it is faster, because nobody else makes partners then.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from local.command_line.context import Context
from local.command_line.exits import Exit
from local.command_line.plans import find_transfer, make_plan, match_index, show_plan
from shared.sites import require_exchange
from shared.sync.loading import Loading, Progress, pipeline_for_load
from shared.sync.outcome import Kind
from shared.sync.ports import Switch

if TYPE_CHECKING:
    from shared.engine import Engine
    from shared.sync.definition import Definition, Transfer

WRITES: Final = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", help="the transfer to load")
    parser.add_argument("--no-plan", action="store_true", help="do not plan again before loading")
    parser.add_argument(
        "--from-start", action="store_true", help="go over the whole source, also where the last load has been already"
    )


async def run(context: Context, arguments: argparse.Namespace) -> int:
    total: int | None = None
    if not context.applies or not arguments.no_plan:
        report = await make_plan(context, arguments.transfer, None)
        total = sum(report.totals.steps.values())
        if not context.applies:
            context.out.answer(report.facts())
            show_plan(context, report)
            context.out.line("--apply loads them.")
            return Exit.ATTENTION if report.to_do or report.totals.codes else Exit.FINE
        show_plan(context, report)
        context.confirm(f"Create, link or change {report.to_do} records?")
    progress = await _load(context, arguments.transfer, total, from_start=arguments.from_start)
    context.out.answer(_facts(arguments.transfer, progress))
    _show(context, progress)
    unfinished = progress.outcomes[Kind.PARKED] or progress.waiting
    return Exit.ATTENTION if unfinished else Exit.FINE


async def _load(context: Context, name: str, total: int | None, *, from_start: bool) -> Progress:
    engine = await context.engine()
    definition, transfer = find_transfer(engine, name)
    await require_exchange(engine, definition)
    alone = await _is_alone(engine, definition, transfer)
    async with match_index() as index:
        pipeline = pipeline_for_load(engine.pipeline.ports, engine.index, transfer.name, index, alone=alone)
        with context.out.progress("loaded", total) as advance:
            shown = 0

            def tell(progress: Progress) -> None:
                nonlocal shown
                advance(progress.done - shown)
                shown = progress.done

            return await Loading(pipeline, definition, transfer, index, tell, from_start=from_start).run()


async def _is_alone(engine: Engine, definition: Definition, transfer: Transfer) -> bool:
    """Whether all transfers are off that link this pair's records, or create in the same table as the load."""
    creating = engine.index.creating_in(definition.table(transfer.target))
    names = {one.name for one in (*definition.transfers, *(other for _, other in creating))}
    modes = [await engine.stores.modes.get(name) for name in sorted(names)]
    return all(mode.switch is Switch.OFF for mode in modes)


def _facts(transfer: str, progress: Progress) -> dict[str, Any]:
    return {
        "transfer": transfer,
        "gone_over_before": progress.seen_before,
        "seen": progress.seen,
        "had_nothing_to_do": progress.linked_before,
        "outcomes": {kind.value: progress.outcomes[kind] for kind in Kind if kind is not Kind.DEFERRED},
        "problems": dict(progress.codes.most_common()),
        "waiting": progress.waiting,
    }


def _show(context: Context, progress: Progress) -> None:
    rows = [(kind.value, progress.outcomes[kind]) for kind in Kind if kind is not Kind.DEFERRED]
    if progress.seen_before:
        context.out.line(f"{progress.seen_before} records the last load had gone over; this one went on behind them.")
    context.out.line(f"{progress.seen} records seen, {progress.linked_before} had nothing to do.")
    context.out.table(("outcome", "records"), [row for row in rows if row[1]])
    context.out.table(("problem", "records"), progress.codes.most_common())
    if progress.outcomes[Kind.PARKED]:
        context.out.line("manage.py parked shows what needs a person.")
