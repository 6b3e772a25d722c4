"""Undo links by hand, one or many from a file.

  manage.py unlink dataverse account 6f1d… --reason "two companies, not one" --apply
  manage.py unlink dataverse account --file keys.csv --reason "the wrong list" --apply

Both records stay as they are. A tombstone keeps them from being linked again by themselves. A file has one key in each
line, all of the same table.
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
from shared.routes import Overtaken, RequestError
from shared.sync.ports import LinkState

if TYPE_CHECKING:
    from shared.operations import Operations

WRITES: Final = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", help="the record's system, such as dataverse")
    parser.add_argument("table", help="its table, such as account")
    parser.add_argument("key", nargs="?", default="", help="its key")
    parser.add_argument("--file", type=Path, help="a CSV file with one key in each line")
    parser.add_argument("--transfer", default="", help="one of the pair's, where several pairs have the table")
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    if not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    keys = _keys(arguments)
    operations = await context.operations()
    if not context.applies:
        return await _show(context, operations, arguments, keys)
    if len(keys) >= MANY:
        context.confirm(f"Undo the links of {len(keys)} records?")
    return await _unlink(context, operations, arguments, keys)


def _keys(arguments: argparse.Namespace) -> Sequence[str]:
    if bool(arguments.key) == (arguments.file is not None):
        raise WrongUsage("Name a key, or a --file of them.")
    return [arguments.key] if arguments.key else [row[0] for row in lines_of(arguments.file, "--file", 1)]


async def _show(context: Context, operations: Operations, arguments: argparse.Namespace, keys: Sequence[str]) -> int:
    found = [(await operations.link(arguments.system, arguments.table, key))["items"] for key in keys]
    rows = [one for items in found for one in items if one["state"] == LinkState.LINKED.value]
    context.out.answer({"would_unlink": rows})
    for row in rows:
        context.out.line(f"{row['key']} and {row['other']} would no longer be linked. --apply does it.")
    if bare := sum(not any(one["state"] == LinkState.LINKED.value for one in items) for items in found):
        context.out.line("The record is not linked." if len(keys) == 1 else f"{bare} records are not linked.")
    return Exit.ATTENTION if rows else Exit.FINE


async def _unlink(context: Context, operations: Operations, arguments: argparse.Namespace, keys: Sequence[str]) -> int:
    undone: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    with context.out.progress("unlinked", len(keys)) as advance:
        for key in keys:
            place = (arguments.system, arguments.table, key)
            try:
                undone.append(await operations.unlink(place, arguments.transfer, context.by, arguments.reason))
            except (Overtaken, RequestError) as error:
                if len(keys) == 1:
                    raise
                refused.append({"key": key, "code": error.code, "sentence": error.detail})
            advance(1)
    context.out.answer(undone[0] if len(keys) == 1 else {"unlinked": undone, "refused": refused})
    for row in undone:
        context.out.line(f"{row['key']} and {row['other']} are no longer linked.")
    context.out.table(("key", "code", "sentence"), [list(one.values()) for one in refused])
    return Exit.REFUSED if refused else Exit.FINE
