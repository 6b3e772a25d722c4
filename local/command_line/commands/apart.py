"""Keep two records apart: they are different things, and matching never proposes them again.

manage.py apart account_to_business_central 6f1d… 9c0a… --reason "two branches" --apply
manage.py apart account_to_business_central 6f1d… 9c0a… --undo --reason "…" --apply
"""

from __future__ import annotations

import argparse
from typing import Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.reasons import add_reason

WRITES: Final = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", help="a transfer of the pair")
    parser.add_argument("left", help="the key of the pair's first system")
    parser.add_argument("right", help="the key of its second system")
    parser.add_argument("--undo", action="store_true", help="they may be matched again")
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    what = "may be matched again" if arguments.undo else "are never matched"
    if not context.applies:
        context.out.answer({"left": arguments.left, "right": arguments.right, "would": what})
        context.out.line(f"From then on {arguments.left} and {arguments.right} {what}. --apply does it.")
        return Exit.ATTENTION
    operations, place = await context.operations(), (arguments.transfer, arguments.left, arguments.right)
    if arguments.undo:
        done = await operations.allow_again(*place)
    else:
        done = await operations.keep_apart(*place, context.by, arguments.reason)
    context.out.answer(done)
    context.out.line(f"{done['left']} and {done['right']} {what}.")
    return Exit.FINE
