"""Show which records are linked.

  manage.py links account_to_business_central                         the links of the transfer's pair
  manage.py links dataverse account 6f1d…                             the link of one record

Only keys are shown, never values.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from shared.sync.ports import LinkState, Side

COLUMNS: Final = ("side", "key", "state", "other", "linked_at", "linked_by", "reason", "parked")
PAGE: Final = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="TRANSFER | SYSTEM TABLE KEY", help="a transfer, or one record")
    parser.add_argument(
        "--side", choices=[one.value for one in Side], help="whose keys come first (default: the source)"
    )
    parser.add_argument("--link-state", choices=[one.value for one in LinkState], help="only rows of this state")
    parser.add_argument("--after", metavar="KEY", help="go on after this key")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many, 100 if not said")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    if len(arguments.what) not in (1, 3):
        raise WrongUsage("Name a transfer, or one record by system, table and key.")
    found = await (_of_transfer if len(arguments.what) == 1 else _of_record)(context, arguments)
    context.out.answer(found)
    context.out.table(COLUMNS, [[item[name] for name in COLUMNS] for item in found["items"]])
    if not found["items"]:
        context.out.line("There is no link.")
    if found["next"]:
        context.out.line(f"There are more: --after {found['next']}")
    return Exit.FINE


async def _of_record(context: Context, arguments: argparse.Namespace) -> Mapping[str, Any]:
    system, table, key = arguments.what
    return await (await context.operations()).link(system, table, key)


async def _of_transfer(context: Context, arguments: argparse.Namespace) -> Mapping[str, Any]:
    operations = await context.operations()
    side = Side(arguments.side) if arguments.side else None
    found: list[dict[str, Any]] = []
    after: str | None = arguments.after
    while True:
        page = await operations.links(arguments.what[0], side, after, PAGE)
        found += [one for one in page["items"] if arguments.link_state in (None, one["state"])]
        after = page["next"]
        if len(found) >= arguments.limit or after is None:
            break
    shown = found[: arguments.limit]
    more = len(found) > arguments.limit or after is not None
    return {"items": shown, "next": shown[-1]["key"] if more and shown else None}
