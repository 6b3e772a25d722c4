"""Undo a link by hand.

  manage.py unlink dataverse account 6f1d… --reason "two companies, not one" --apply

Both records stay as they are. A tombstone keeps them from being linked again by themselves.
"""

from __future__ import annotations

import argparse
from typing import Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.reasons import add_reason
from shared.sync.ports import LinkState

WRITES: Final = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", help="the record's system, such as dataverse")
    parser.add_argument("table", help="its table, such as account")
    parser.add_argument("key", help="its key")
    parser.add_argument("--transfer", default="", help="one of the pair's, where several pairs have the table")
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    operations = await context.operations()
    place = (arguments.system, arguments.table, arguments.key)
    if context.applies:
        row = await operations.unlink(place, arguments.transfer, context.by, arguments.reason)
        context.out.answer(row)
        context.out.line(f"{row['key']} and {row['other']} are no longer linked.")
        return Exit.FINE
    rows = [one for one in (await operations.link(*place))["items"] if one["state"] == LinkState.LINKED.value]
    context.out.answer({"would_unlink": rows})
    for row in rows:
        context.out.line(f"{row['key']} and {row['other']} would no longer be linked. --apply does it.")
    if not rows:
        context.out.line("The record is not linked.")
    return Exit.ATTENTION if rows else Exit.FINE
