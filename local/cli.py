"""`manage.py check` and `manage.py compile`: the definitions in `transfers/`, read, checked and compiled.

Exit codes: 0 no problem, 1 problems were named, 2 wrong usage. Each problem is a line `file:line: text`; with `--json`
one object with `problems` and `transfers` on standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from local.bootstrap import ROOT
from local.definitions import compile_folder, write_index
from shared.sync.definition import Index

TRANSFERS: Final = ROOT / "transfers"


def main(arguments: Sequence[str]) -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(
        prog="manage.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("check", "compile"))
    parser.add_argument("--folder", type=Path, default=TRANSFERS, help="where the definitions are (default: transfers)")
    parser.add_argument("--json", action="store_true", help="answer with one JSON object")
    wanted = parser.parse_args(arguments)
    if not wanted.folder.is_dir():
        parser.error(f"--folder: there is no folder {wanted.folder}")
    index = write_index(wanted.folder) if wanted.command == "compile" else compile_folder(wanted.folder)
    sys.stdout.write(f"{as_json(index) if wanted.json else as_text(index)}\n")
    return 1 if index.problems else 0


def as_json(index: Index) -> str:
    """The result for programs."""
    problems = [problem.model_dump(mode="json") for problem in index.problems]
    return json.dumps({"problems": problems, "transfers": _transfers(index)}, ensure_ascii=False, indent=1)


def as_text(index: Index) -> str:
    """The result for people: the problems, then what is fine."""
    lines = [f"{problem.file}:{problem.line}: {problem.text}" for problem in index.problems]
    transfers = _transfers(index)
    return "\n".join([*lines, f"{len(transfers)} transfers can run: {', '.join(transfers) or 'none'}"])


def _transfers(index: Index) -> list[str]:
    return [transfer.name for definition in index.definitions for transfer in definition.transfers]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
