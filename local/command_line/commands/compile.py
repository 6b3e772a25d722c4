"""Write transfers/index.json from the definitions.

The functions are registered from that file; deploy it with them. Every problem of a definition is named with its file
and line (exit code 1); a file with a problem is left out, and the others are compiled.
"""

from __future__ import annotations

import argparse

from local.command_line.context import Context
from local.command_line.definition_folder import add_folder, folder_of, tell_problems
from local.command_line.exits import Exit
from local.definitions import write_index


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    index = write_index(folder_of(arguments))
    context.out.answer(tell_problems(context.out, index))
    return Exit.ATTENTION if index.problems else Exit.FINE
