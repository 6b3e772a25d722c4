"""Writes docs/reference/command-line.md from the commands and their parsers, so that the page is never wrong.

`python -m local.command_line.page` writes the page anew; a test holds the page to what this module makes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from local import run
from local.bootstrap import PROGRAMS, ROOT
from local.command_line.exits import Exit
from local.command_line.running import Command, all_commands, parser_of

PAGE: Final = ROOT / "docs" / "reference" / "command-line.md"
MEANINGS: Final = {
    Exit.FINE: "Done, or nothing to do.",
    Exit.ATTENTION: "Something was found that needs a person, or would be changed with `--apply`.",
    Exit.USAGE: "What was typed cannot be understood.",
    Exit.SET_UP: "A setting or a definition is wrong, the packages cannot be installed, or there is no installation.",
    Exit.UNREACHABLE: "A system, the store or the queue does not answer.",
    Exit.REFUSED: "Refused: by a system, because somebody else was faster, or because nobody confirmed it.",
    Exit.UNFORESEEN: "Something unforeseen; `--verbose` says more.",
}

INTRODUCTION: Final = """\
# Command line

`python3 manage.py <command>` needs Python 3.11 or newer and nothing else; it installs its pinned packages into a
virtual environment beside itself (elsewhere with the environment variable `CROSSDOCK_VENV`).

This page is generated: `python -m local.command_line.page`.

## Which installation a command works on

That of the settings: `Values` of `local.settings.json` and the environment variables, which count first;
[settings](settings.md) explains each. Commands speak to the store, the queue and the systems directly, with the same
code as the functions, so your own account or the identity in the settings needs the rights of the app. Without any
settings, with `--local`, or where it was started with the very settings that are given, it is the local run of
`manage.py run`. Every command says on standard error where it works before it does.

## What all commands share

Nothing is changed without `--apply`: a command shows what it would do. With `--json` it answers with one object on
standard output; an error is `{"error": {"code", "sentence", "who", "remedy"}}`, explained in [errors](../errors.md).
Progress and remarks go to standard error. Without a terminal a table is lines with tabs between the cells, the first
being the heading. No command shows values of records unless it says so.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _exits(), _common(), _programs(), *map(_section, all_commands())]
    return "\n".join(parts).rstrip() + "\n"


def _exits() -> str:
    rows = "\n".join(f"| {code.value} | {MEANINGS[code]} |" for code in Exit)
    return f"| exit code | meaning |\n| --- | --- |\n{rows}\n"


def _common() -> str:
    """The options of every command, from one that can change something."""
    command = Command("any", "", "", lambda _: None, _nothing, writes=True)
    return _table(parser_of(command), set())


async def _nothing(*_: object) -> int:
    return Exit.FINE


def _programs() -> str:
    rows = [f"| `{name}` | {one.line} |" for name, one in PROGRAMS.items()]
    told = "\n".join(["## Programs", "", "These are no commands on an installation and have options of their own.", ""])
    table = "\n".join(["| program | what it does |", "| --- | --- |", *rows])
    return f"{told}\n{table}\n\n### run\n\n{_table(run.parser(), set())}"


def _section(command: Command) -> str:
    common = {option for one in _with_common(command)._actions for option in one.option_strings}
    return f"## {command.name}\n\n{_told(command.told)}\n\n{_table(parser_of(command), common)}"


def _with_common(command: Command) -> argparse.ArgumentParser:
    return parser_of(Command(command.name, "", "", lambda _: None, command.run, command.writes))


def _told(docstring: str) -> str:
    """The docstring; its indented lines are examples."""
    return "\n".join(f"  {line}" if line.startswith("  ") else line for line in docstring.strip().split("\n"))


def _table(parser: argparse.ArgumentParser, leave_out: set[str]) -> str:
    rows = list(_rows(parser, leave_out))
    return "\n".join(["| argument | what it says |", "| --- | --- |", *rows]) + "\n" if rows else ""


def _rows(parser: argparse.ArgumentParser, leave_out: set[str]) -> Iterator[str]:
    for action in parser._actions:  # argparse has no other way to read a parser
        hidden = action.help in (None, argparse.SUPPRESS) or "--help" in action.option_strings
        if not hidden and not set(action.option_strings) & leave_out:
            told = str(action.help).replace("|", "\\|")
            yield f"| `{_name(action)}` | {told[:1].upper()}{told[1:]}.{_choices(action)} |"


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return str(action.metavar or action.dest).replace("|", "or")
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return action.option_strings[-1] + value


def _choices(action: argparse.Action) -> str:
    return f" One of: {', '.join(f'`{one}`' for one in action.choices)}." if action.choices else ""


def write_page(path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_page()
