"""Read the definitions in transfers/ and name every problem.

Every problem is told with its file and line (exit code 1).
"""

from __future__ import annotations

import argparse

from local.command_line.context import Context
from local.command_line.definition_folder import add_folder, folder_of, tell_problems
from local.command_line.exits import Exit
from local.definitions import compile_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)


async def run(context: Context, arguments: argparse.Namespace) -> int:
    index = compile_folder(folder_of(arguments))
    tell_problems(context.out, index)
    return Exit.ATTENTION if index.problems else Exit.FINE
