"""Put parked records back into the queue.

  manage.py retry account_to_business_central left 6f1d… --apply      one record
  manage.py retry account_to_business_central --code CD-4005 --apply  all of one cause
  manage.py retry --all --apply                                       all there are

Each record is read anew, so nothing old is written. It stays parked until it has been transferred.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.work_list import parked_items, transfers_of
from shared.sync.ports import Side

WRITES: Final = True
MANY: Final = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", nargs="?", help="the transfer")
    parser.add_argument("side", nargs="?", choices=[one.value for one in Side], help="the record's side")
    parser.add_argument("key", nargs="?", help="the record's key")
    parser.add_argument("--code", default="", help="all records of this cause, such as CD-4005")
    parser.add_argument("--all", action="store_true", help="all records of the transfer, or of every transfer")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    items = await _wanted(context, arguments)
    if not items:
        context.out.answer({"queued": 0})
        context.out.line("No such record is parked.")
        return Exit.FINE
    if not context.applies:
        context.out.answer({"would_queue": len(items)})
        context.out.line(f"{len(items)} records would be put back. Nothing was changed; --apply does it.")
        return Exit.ATTENTION
    if len(items) > MANY:
        context.confirm(f"Put {len(items)} records back?")
    return await _retry(context, items)


async def _wanted(context: Context, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    operations = await context.operations()
    one = arguments.key is not None
    if one + bool(arguments.code) + arguments.all != 1 or (arguments.side is not None and not one):
        raise WrongUsage("Name one record (transfer, side, key), or a cause by --code, or say --all.")
    if one:
        return [await operations.parked_item(arguments.transfer, Side(arguments.side), arguments.key)]
    names = await transfers_of(operations, arguments.transfer)
    return [item for name in names async for item in parked_items(operations, name, arguments.code)]


async def _retry(context: Context, items: Sequence[dict[str, Any]]) -> int:
    operations = await context.operations()
    with context.out.progress("put back", len(items)) as advance:
        for item in items:
            await operations.retry(item["transfer"], Side(item["side"]), item["key"], context.by)
            advance(1)
    context.out.answer({"queued": len(items)})
    context.out.line(f"{len(items)} records were put back.")
    return Exit.FINE
