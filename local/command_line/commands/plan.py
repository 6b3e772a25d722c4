"""Show what a first load of a transfer would do: counts and rows, and nothing is written.

  manage.py plan account_to_business_central
  manage.py plan account_to_business_central --rows plan.csv --html plan.html

Rows hold keys and names of columns, no values. Whoever approves a plan approves what `load` then does.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.plans import Report, make_plan, show_plan

TEMPLATE = Path(__file__).parents[1] / "plan.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", help="the transfer to plan")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write every row into a CSV file")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report to be read in a browser")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    for path in (arguments.rows, arguments.html):
        if path is not None and not path.absolute().parent.is_dir():
            raise WrongUsage(f"There is no folder {path.absolute().parent} to write into.")
    report = await make_plan(context, arguments.transfer, arguments.rows)
    if arguments.html is not None:
        made_at = f"{context.app.outside.clock.now():%Y-%m-%d %H:%M} UTC"
        arguments.html.write_text(page_of(report, made_at), encoding="utf-8")
    context.out.answer(report.facts())
    show_plan(context, report)
    return Exit.ATTENTION if report.to_do or report.totals.codes else Exit.FINE


def page_of(report: Report, made_at: str) -> str:
    """The plan as a page that needs nothing else."""
    from jinja2 import Environment

    facts: dict[str, Any] = report.facts()
    rows_of = {step: [row for row in report.rows if row["step"] == step] for step in facts["steps"]}
    page = Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    return page.render(**facts, rows_of=rows_of, made_at=made_at)
