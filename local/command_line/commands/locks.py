"""List the fields that people must not edit because another system masters them, and write what locks them.

  manage.py locks dataverse                                     columns, when they are locked, and why
  manage.py locks dataverse --form-script crossdock_locks.js    the web resource that locks them on forms
  manage.py locks business_central                              for a page extension of the ERP

docs/how-to/lock-fields.md says where the script goes and what column security can do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.bootstrap import ROOT
from local.command_line.context import Context
from local.command_line.definition_folder import add_folder, folder_of, tell_problems
from local.command_line.errors import WrongUsage
from local.command_line.exits import Exit
from local.definitions import compile_folder
from shared.sync.locking import TableLocks, locks_of

SCRIPT = ROOT / "shared" / "connectors" / "dataverse" / "form" / "crossdock_locks.js"
PLACE = "{/*LOCKS*/}"
COLUMNS = ("table", "column", "linked", "unlinked", "master", "rule")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", help="whose fields, such as dataverse")
    parser.add_argument("--form-script", type=Path, metavar="FILE", help="write the form script of Dynamics 365")
    add_folder(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    index = compile_folder(folder_of(arguments))
    tables = locks_of(index.linking, arguments.system)
    if not tables:
        raise WrongUsage(f"No definition has a table of {arguments.system}.")
    if arguments.form_script is not None:
        if arguments.system != "dataverse" and context.app.settings.kinds.get(arguments.system) != "dataverse":
            raise WrongUsage("--form-script is for the forms of dataverse.")
        arguments.form_script.write_text(form_script(tables), encoding="utf-8", newline="\n")
    context.out.answer({"tables": [_facts(one) for one in tables]})
    rows = [lock for table in tables for lock in table.locks]
    context.out.table(COLUMNS, [[getattr(lock, name) for name in COLUMNS] for lock in rows])
    tell_problems(context.out, index)
    for table in tables:
        if table.sign is None:
            context.out.note(f"{table.table}: no column tells whether a record is linked; its form locks as unlinked")
    return Exit.FINE


def form_script(tables: Sequence[TableLocks]) -> str:
    """The web resource with the locks of these tables in it."""
    locks = {
        one.table: {"sign": one.sign, "linked": one.columns(linked=True), "unlinked": one.columns(linked=False)}
        for one in tables
    }
    return SCRIPT.read_text("utf-8").replace(PLACE, json.dumps(locks, indent=2, ensure_ascii=False))


def _facts(table: TableLocks) -> dict[str, Any]:
    return {
        "table": table.table,
        "sign": table.sign,
        "linked": table.columns(linked=True),
        "unlinked": table.columns(linked=False),
    }
