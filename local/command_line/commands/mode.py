"""Show the transfers' switches, or move them.

  manage.py mode                                          all transfers with their switches
  manage.py mode on account_to_business_central --reason "tests are done" --apply
  manage.py mode stopped --all --reason "the ERP is being migrated" --apply

off: nothing moves and changes are forgotten. stopped: changes wait until the transfer is on again. on: it runs, and
what has waited for it is queued. Running processes notice within seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.reasons import add_reason
from shared.sync.ports import Switch

WRITES: Final = True
COLUMNS: Final = ("transfer", "switch", "since", "by", "reason")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("switch", nargs="?", choices=[one.value for one in Switch], help="where to move the switches")
    parser.add_argument("transfer", nargs="*", help="the transfers whose switch is moved")
    parser.add_argument("--all", action="store_true", help="every transfer")
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    items = (await (await context.operations()).transfers())["items"]
    if arguments.switch is None:
        return _show(context, items)
    wanted = _wanted(items, arguments)
    to_move = [item for item in wanted if item["switch"] != arguments.switch]
    if not to_move:
        context.out.line("Every switch is there already.")
        return _show(context, wanted)
    if not context.applies:
        return _plan(context, to_move, arguments.switch)
    return await _move(context, to_move, Switch(arguments.switch), arguments.reason)


def _show(context: Context, items: Sequence[Mapping[str, Any]]) -> int:
    context.out.answer({"items": items})
    context.out.table(COLUMNS, [[item[name] for name in COLUMNS] for item in items])
    for item in items:
        if item["code"]:
            context.out.line(f"{item['transfer']}: {item['code']} {item['sentence']} {item['remedy']}")
    return Exit.FINE


def _wanted(items: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> list[Mapping[str, Any]]:
    names = {item["transfer"] for item in items}
    unknown = [name for name in arguments.transfer if name not in names]
    if unknown:
        raise WrongUsage(f"There is no transfer {unknown[0]}; there are: {', '.join(sorted(names))}.")
    if bool(arguments.transfer) == arguments.all:
        raise WrongUsage("Name the transfers whose switch is to be moved, or say --all.")
    if not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    return [item for item in items if arguments.all or item["transfer"] in arguments.transfer]


def _plan(context: Context, items: Sequence[Mapping[str, Any]], to: str) -> int:
    context.out.answer({"would_move": [item["transfer"] for item in items], "to": to})
    for item in items:
        context.out.line(f"{item['transfer']} would be moved from {item['switch']} to {to}")
    context.out.line("Nothing was changed; --apply does it.")
    return Exit.ATTENTION


async def _move(context: Context, items: Sequence[Mapping[str, Any]], to: Switch, reason: str) -> int:
    operations = await context.operations()
    moved = [await operations.switch(one["transfer"], to, context.by, reason, one["etag"]) for one in items]
    return _show(context, moved)
