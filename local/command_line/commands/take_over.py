"""Take records of a site over into the CRM: each is linked by matching, or gets a new partner there.

  manage.py take-over postoffice_customer_to_dataverse 100001 100002          what matching finds for them
  manage.py take-over postoffice_customer_to_dataverse 100001 --reason "…" --apply
  manage.py take-over cost_centre_to_dataverse --file keys.csv --reason "…" --apply

The keys are those that `manage.py offered` shows; of a file the first cell of each line. A customer goes before its
cost centres. Records that need a person are told and stand in `manage.py parked`. Repeating it is harmless.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.pair_files import MANY, rows_of
from local.command_line.reasons import add_reason
from shared.sync.taking_over import Result

WRITES: Final = True
COLUMNS: Final = ("key", "result", "partner", "code", "why")
AT_ONCE: Final = 10
"""Records of one call: few, so that progress is seen."""
_GOOD: Final = frozenset({Result.LINKED.value, Result.CREATED.value, Result.ALREADY.value})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", help="the transfer that takes them over")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="the records")
    parser.add_argument("--file", type=Path, help="a CSV file with a key at the beginning of each line")
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    keys = _keys(arguments)
    if context.applies and not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    if not context.applies:
        return await _show(context, arguments.transfer, keys)
    if len(keys) >= MANY:
        context.confirm(f"Take {len(keys)} records over?")
    return await _take(context, arguments, keys)


def _keys(arguments: argparse.Namespace) -> Sequence[str]:
    if bool(arguments.keys) == (arguments.file is not None):
        raise WrongUsage("Name the records, or a --file of them.")
    if arguments.file is None:
        return list(dict.fromkeys(arguments.keys))
    cells = [row[0] for row in rows_of(arguments.file, "--file")]
    return list(dict.fromkeys(cell for cell in cells if cell and cell != "key"))


async def _show(context: Context, transfer: str, keys: Sequence[str]) -> int:
    looked = await (await context.sites()).looked_up(transfer, keys)
    context.out.answer({"would_take_over": looked["items"]})
    columns = ("key", "name", "state", "hit", "hit_name", "hits")
    hits = [(one, one["hit"] or {"key": "", "name": "", "found": 0}) for one in looked["items"]]
    rows = [[one["key"], one["name"], one["state"], hit["key"], hit["name"], hit["found"]] for one, hit in hits]
    context.out.table(columns, rows)
    context.out.line("Nothing was changed; --apply links those that have one hit, and makes a partner of the others.")
    return Exit.ATTENTION


async def _take(context: Context, arguments: argparse.Namespace, keys: Sequence[str]) -> int:
    sites, done = await context.sites(), list[dict[str, Any]]()
    with context.out.progress("taken over", len(keys)) as advance:
        for at in range(0, len(keys), AT_ONCE):
            chunk = keys[at : at + AT_ONCE]
            done += (await sites.take_over(arguments.transfer, chunk, context.by, arguments.reason))["items"]
            advance(len(chunk))
    context.out.answer({"items": done})
    context.out.table(COLUMNS, [[one[name] for name in COLUMNS] for one in done])
    counts = Counter(one["result"] for one in done)
    context.out.line(", ".join(f"{count} {result}" for result, count in counts.items()) + ".")
    return Exit.FINE if all(one["result"] in _GOOD for one in done) else Exit.ATTENTION
