"""Hold every definition against both systems, and name what will not work.

  manage.py check               the files, then tables, columns, types, lengths, choices, keys, security and rights,
                                and the Sales Cockpit's settings against the opportunity's columns
  manage.py check --offline     the files only

Nothing is written anywhere. Each finding has a code that docs/errors.md explains, file and line, and what to do. wrong:
records cannot be transferred as the definition says; warning: some cannot; note: worth knowing. Exit code 1 when
anything is wrong or a warning. The function schema_drift looks at the same every night.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from local.command_line.context import Context
from local.command_line.definition_folder import add_folder, folder_of, tell_problems
from local.command_line.errors import NothingToWorkOn
from local.command_line.exits import Exit
from local.definitions import compile_folder
from shared.settings import SALES_COCKPIT
from shared.sync.definition import Index

if TYPE_CHECKING:
    from shared.app import App
    from shared.sync.findings import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_folder(parser)
    parser.add_argument("--offline", action="store_true", help="check the files only")


async def run(context: Context, arguments: argparse.Namespace) -> int:
    findings: Sequence[Finding] = []
    unfit = ""
    if arguments.offline:
        index = compile_folder(folder_of(arguments))
    else:
        index, findings = await _asked(context, compile_folder(folder_of(arguments, _own_folder(context))))
        unfit = await _unfit_settings(context.app)
    told = tell_problems(context.out, index)
    context.out.answer({**told, "findings": [asdict(one) for one in findings], "settings": [unfit] if unfit else []})
    _tell(context, findings)
    if unfit:
        context.out.line(unfit)
    bad = index.problems or unfit or any(one.needs_somebody for one in findings)
    return Exit.ATTENTION if bad else Exit.FINE


def _own_folder(context: Context) -> Path:
    """The folder that the installation runs; raises NothingToWorkOn."""
    try:
        return context.installation.transfers
    except NothingToWorkOn as error:
        raise NothingToWorkOn(f"{error.sentence} With --offline the files alone are checked.") from None


async def _asked(context: Context, index: Index) -> tuple[Index, Sequence[Finding]]:
    """The definitions of systems that there are connectors for, and what is found in them."""
    from shared.sync.checking import check
    from shared.sync.surveying import survey

    engine = await context.open_with(index).engine()
    return engine.index, check(engine.index, await survey(engine.pipeline.ports.connectors, engine.index))


async def _unfit_settings(app: App) -> str:
    """Why the Sales Cockpit's evaluations can never be written as the settings say; empty where they can."""
    from shared.errors import SettingsError

    if SALES_COCKPIT not in app.settings.kinds.values():
        return ""
    try:
        await (await app.cockpit()).evaluations.current.rating()
    except SettingsError as error:
        return str(error)
    return ""


def _tell(context: Context, findings: Sequence[Finding]) -> None:
    for finding in findings:
        context.out.line(str(finding))
        context.out.line(f"    {finding.remedy}")
    counts = Counter(one.severity.value for one in findings)
    if counts:
        context.out.line(", ".join(f"{number} {severity}" for severity, number in counts.most_common()))
