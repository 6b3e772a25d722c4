"""Show which environments the links were made for, or adopt another one.

  manage.py environment                       every system: what answers, what its links were made for
  manage.py environment dataverse --reason "moved to the new organisation" --apply

Nothing is moved while another environment answers than the one that a system's links were made for; changes wait.
Correct the settings, or adopt the new environment: then it starts without links.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from local.command_line.context import Context
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.command_line.reasons import add_reason

WRITES: Final = True
COLUMNS: Final = ("system", "environment", "links_made_for", "since", "by", "wrong")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", nargs="?", help="the system whose new environment is adopted")
    add_reason(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    items = (await (await context.operations()).environments())["items"]
    if arguments.system is None:
        return _show(context, items)
    found = _wanted(items, arguments)
    if found["environment"] == found["links_made_for"]:
        context.out.line("Its links were made for it already.")
        return _show(context, [found])
    if not context.applies:
        context.out.answer({"would_adopt": found["environment"], "instead_of": found["links_made_for"]})
        context.out.line(f"{found['system']} would work in {found['environment']}, beginning without links.")
        context.out.line("Nothing was changed; --apply does it.")
        return Exit.ATTENTION
    operations = await context.operations()
    return _show(context, [await operations.adopt(found["system"], found["environment"], context.by, arguments.reason)])


def _show(context: Context, items: list[dict[str, Any]]) -> int:
    context.out.answer({"items": items})
    context.out.table(COLUMNS, [[item[name] for name in COLUMNS] for item in items])
    return Exit.ATTENTION if any(item["wrong"] for item in items) else Exit.FINE


def _wanted(items: list[dict[str, Any]], arguments: argparse.Namespace) -> dict[str, Any]:
    found = next((item for item in items if item["system"] == arguments.system), None)
    if found is None:
        raise WrongUsage(f"There is no system {arguments.system}; there are: {', '.join(i['system'] for i in items)}.")
    if not arguments.reason:
        raise WrongUsage("Say why: --reason.")
    if not found["environment"]:
        raise WrongUsage(found["wrong"] or f"{arguments.system} does not answer.")
    return found
