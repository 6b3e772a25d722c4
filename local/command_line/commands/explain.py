"""Explain why a record's fields have their values: both sides, owner, last write, every time nothing was written.

  manage.py explain dataverse account 6f1d…                all fields
  manage.py explain dataverse account 6f1d… telephone1     one field with its whole history

Values are read from both systems at this moment and shown; nothing keeps them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.exits import Exit

COLUMNS: Final = ("left_column", "left", "right_column", "right", "master", "state")
TOLD: Final = ("at", "transfer", "on", "action", "reason", "cause", "run")
HISTORY: Final = ("at", "transfer", "outcome", "reason", "code", "cause", "run")
SHORT: Final = 10
"""Runs that are shown of a record when no column is named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", help="the record's system, such as dataverse")
    parser.add_argument("table", help="its table, such as account")
    parser.add_argument("key", help="its key")
    parser.add_argument("column", nargs="?", default="", help="one column of either side")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    place = (arguments.system, arguments.table, arguments.key)
    found = await (await context.operations()).explain(*place, arguments.column)
    context.out.answer(found)
    for item in found["items"]:
        _show(context, item, whole=bool(arguments.column))
    differs = any(field["state"] != "equal" for item in found["items"] for field in item["fields"])
    waits = any(item["parked"] or item["pending"] for item in found["items"])
    return Exit.ATTENTION if differs or waits else Exit.FINE


def _show(context: Context, item: Mapping[str, Any], *, whole: bool) -> None:
    left, right = ((item[side] or {}).get("key", "") for side in ("left", "right"))
    found = f"{left or 'nothing'} and {right or 'nothing'}" if left or right else "and there is no such record"
    context.out.line(f"{item['pair']}: {item['state']}, {found}")
    context.out.table(COLUMNS, [[field[name] for name in COLUMNS] for field in item["fields"]])
    for parked in item["parked"]:
        context.out.line(f"Waits for a person: {parked['code']} {parked['sentence']} {parked['remedy']}")
    for pending in item["pending"]:
        context.out.line(f"Waits by itself since {pending['since']}: {pending['reason']}")
    if whole:
        for field in item["fields"]:
            _show_field(context, field)
    else:
        shown = item["history"][:SHORT]
        context.out.table(HISTORY, [[entry[name] for name in HISTORY] for entry in shown])
        for entry in shown:
            if entry["counts"]:
                told = ", ".join(f"{count} {name}" for name, count in entry["counts"].items())
                context.out.line(f"{entry['at']}: rows of the day: {told}")


def _show_field(context: Context, field: Mapping[str, Any]) -> None:
    last = field["last_write"]
    if last is None:
        context.out.line("No write of this field is in the journal.")
    else:
        stands = {True: "still stands", False: "does not stand any more", None: "cannot be compared"}
        told = f"{last['at']} by {last['transfer']} on the {last['on']} side: {last['reason']} ({last['cause']})"
        context.out.line(f"Last write {told}. What was written {stands[field['still_as_written']]}.")
    context.out.table(TOLD, [[one[name] for name in TOLD] for one in field["others"]])
