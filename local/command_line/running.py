"""From arguments to an exit code: finds the command, opens what it works on, says what went wrong."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.bootstrap import ROOT, line_of, names_of_commands
from local.command_line.context import Context, Surroundings
from local.command_line.exits import Exit, exit_of
from local.quiet_logs import quiet_logs
from shared.errors import CrossdockError
from shared.log import where_and_which

log = logging.getLogger(__name__)

EXITS: Final = """\
exit codes:
  0 fine  1 something needs attention, or would change with --apply  2 wrong usage  3 settings or set-up
  4 a system, the store or the queue cannot be reached  5 refused  6 something unforeseen"""
INTERRUPTED: Final = 130
"""Of Ctrl-C, as shells have it."""


@dataclass(frozen=True)
class Command:
    """One file of `commands/`. It has `add_arguments(parser)` and `async def run(context, arguments) -> int`, and says
    `WRITES = True` if it can change something: then it has --apply, --yes and --by."""

    name: str
    line: str
    told: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Context, argparse.Namespace], Awaitable[int]]
    writes: bool

    @classmethod
    def load(cls, name: str) -> Command:
        """Import the command's file."""
        module = importlib.import_module(f"local.command_line.commands.{name.replace('-', '_')}")
        told = str(module.__doc__)
        return cls(name, line_of(told), told, module.add_arguments, module.run, getattr(module, "WRITES", False))


def main(arguments: Sequence[str]) -> int:
    """Run a command of this process."""
    quiet_logs(logging.DEBUG if "--verbose" in arguments else logging.CRITICAL)
    try:
        return asyncio.run(run_command(arguments, Surroundings.of_process()))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has enough of it
        sys.stderr.close()
        return Exit.FINE


async def run_command(arguments: Sequence[str], surroundings: Surroundings) -> int:
    """Run a command in the given surroundings; the first argument is its name. Answers the exit code."""
    command = Command.load(arguments[0])
    try:
        with redirect_stdout(surroundings.out), redirect_stderr(surroundings.err):
            wanted = parser_of(command).parse_args(arguments[1:])
    except SystemExit as ended:
        return int(ended.code or 0)
    context = Context(surroundings, wanted)
    try:
        return await command.run(context, wanted)
    except CrossdockError as error:
        context.out.error(error)
        return exit_of(error)
    except Exception as error:
        context.out.error(CrossdockError(f"Something unforeseen happened: {where_and_which(error)}"))
        log.debug("a command failed", exc_info=error)
        return Exit.UNFORESEEN
    finally:
        await context.aclose()


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The command's own arguments and those that every command has."""
    parser = argparse.ArgumentParser(
        prog=f"manage.py {command.name}",
        description=command.told,
        epilog=EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    if command.writes:
        changing = parser.add_argument_group("changing")
        changing.add_argument("--apply", action="store_true", help="do it; otherwise show what would be done")
        changing.add_argument("--yes", action="store_true", help="do not ask before changes that concern much")
        changing.add_argument("--by", default="", metavar="ID", help="who is written down; your login name if not said")
    common = parser.add_argument_group("common")
    common.add_argument("--json", action="store_true", help="answer with one JSON object")
    common.add_argument("--local", action="store_true", help="work on the local run, whatever the settings say")
    common.add_argument(
        "--state", type=Path, default=ROOT / ".crossdock", metavar="FOLDER", help="state of the local run"
    )
    common.add_argument("--verbose", action="store_true", help="write every log line to standard error")
    return parser


def all_commands() -> list[Command]:
    """Every command of this package, by name."""
    return [Command.load(name) for name in names_of_commands()]
