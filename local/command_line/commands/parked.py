"""Show the records that wait for a person, by cause.

  manage.py parked                                        how many of which cause, for every transfer
  manage.py parked account_to_business_central            each record
  manage.py parked account_to_business_central --code CD-4005

Every cause has a page in docs/errors.md. Exit code 1 when any record is parked.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.exits import Exit
from local.command_line.work_list import parked_items, transfers_of

COLUMNS: Final = ("side", "key", "code", "field", "first_at", "times", "others")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("transfer", nargs="?", help="one transfer; each of its records is shown")
    parser.add_argument("--code", default="", help="only this cause, such as CD-4005")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    operations = await context.operations()
    names = await transfers_of(operations, arguments.transfer)
    items = [item for name in names async for item in parked_items(operations, name, arguments.code)]
    context.out.answer({"items": items})
    if not items:
        context.out.line("No record waits for a person.")
        return Exit.FINE
    _by_cause(context, items)
    if arguments.transfer:
        rows = [[*(item[name] for name in COLUMNS[:-1]), _others(item)] for item in items]
        context.out.table(COLUMNS, rows)
    return Exit.ATTENTION


def _others(item: dict[str, Any]) -> str:
    """The keys of the records in question, with the scores of those that may be the partner."""
    scores = {one["key"]: one["score"] for one in item["candidates"]}
    return " ".join(f"{key} ({scores[key]})" if key in scores else key for key in item["others"])


def _by_cause(context: Context, items: Sequence[dict[str, Any]]) -> None:
    counts = Counter((item["transfer"], item["code"]) for item in items)
    told = {(item["transfer"], item["code"]): item for item in items}
    rows = [
        [name, code, number, told[name, code]["sentence"], told[name, code]["who"], told[name, code]["remedy"]]
        for (name, code), number in counts.most_common()
    ]
    context.out.table(("transfer", "code", "records", "cause", "who can mend it", "first"), rows)
