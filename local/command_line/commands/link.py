"""Link two records by hand, or many from a file; without --apply show every field that would change.

  manage.py link account_to_business_central 6f1d… 9c0a…                          what linking the two would change
  manage.py link account_to_business_central 6f1d… 9c0a… --reason "…" --apply
  manage.py link account_to_business_central --file pairs.csv --reason "…" --apply

The first key is that of the pair's first system. A file has two keys in each line, with a comma between them. What is
shown are values of the two records.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.pair_files import MANY, lines_of
from local.command_line.reasons import add_reason
from shared.routes import NotLinkable, Overtaken, RequestError

if TYPE_CHECKING:
    from shared.operations import Operations

WRITES: Final = True
COLUMNS: Final = ("left_column", "left", "right_column", "right", "master", "state", "writes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", help="a transfer of the pair")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="the two records, first the one of the first system")
    parser.add_argument("--file", type=Path, help="a CSV file with two keys in each line")
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    pairs = _pairs(arguments)
    if context.applies and not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    operations = await context.operations()
    if not context.applies:
        return await _show(context, operations, arguments.transfer, pairs)
    if len(pairs) >= MANY:
        context.confirm(f"Link {len(pairs)} pairs of records?")
    return await _link(context, operations, arguments, pairs)


def _pairs(arguments: argparse.Namespace) -> Sequence[tuple[str, str]]:
    if arguments.file is None:
        if len(arguments.keys) != 2:
            raise WrongUsage("Name two keys, or a --file of them.")
        return [(arguments.keys[0], arguments.keys[1])]
    if arguments.keys:
        raise WrongUsage("Name two keys or a --file, not both.")
    return [(row[0], row[1]) for row in lines_of(arguments.file, "--file", 2)]


async def _show(context: Context, operations: Operations, transfer: str, pairs: Sequence[tuple[str, str]]) -> int:
    shown: list[dict[str, Any]] = []
    for left, right in pairs:
        try:
            shown.append(await operations.preview_link(transfer, left, right))
        except RequestError as error:
            shown.append({"left": left, "right": right, "fields": [], "stands_in_the_way": str(error)})
    context.out.answer({"would_link": shown})
    for one in shown:
        context.out.line(f"{one['left']} and {one['right']}: {one['stands_in_the_way'] or 'can be linked'}")
        changed = [field for field in one["fields"] if field["state"] != "equal"]
        context.out.table(COLUMNS, [[field[name] for name in COLUMNS] for field in changed])
    context.out.line("--apply links them.")
    return Exit.ATTENTION


async def _link(
    context: Context, operations: Operations, arguments: argparse.Namespace, pairs: Sequence[tuple[str, str]]
) -> int:
    linked: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    with context.out.progress("linked", len(pairs)) as advance:
        for left, right in pairs:
            try:
                reason, by = arguments.reason, context.by
                linked.append(await operations.link_records(arguments.transfer, left, right, by, reason))
            except (NotLinkable, Overtaken, RequestError) as error:
                refused.append({"left": left, "right": right, "code": error.code, "sentence": error.detail})
            advance(1)
    context.out.answer({"linked": linked, "refused": refused})
    context.out.line(f"{len(linked)} linked, {len(refused)} refused.")
    context.out.table(("left", "right", "code", "sentence"), [list(one.values()) for one in refused])
    return Exit.REFUSED if refused else Exit.FINE
