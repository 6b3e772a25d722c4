"""The folder of definitions that a command reads, and how it tells what is wrong with them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from local.bootstrap import ROOT
from local.command_line.errors import WrongUsage
from local.command_line.output import Output
from shared.sync.definition import Index


def add_folder(parser: argparse.ArgumentParser) -> None:
    """The option --transfers."""
    parser.add_argument(
        "--transfers", type=Path, metavar="FOLDER", help="folder of the definitions; the installation's own if not said"
    )


def folder_of(arguments: argparse.Namespace, own: Path = ROOT / "transfers") -> Path:
    """The folder; raises WrongUsage. own: where none is named, such as the installation's."""
    folder: Path = arguments.transfers or own
    if not folder.is_dir():
        raise WrongUsage(f"--transfers: there is no folder {folder}.")
    return folder


def tell_problems(out: Output, index: Index) -> dict[str, Any]:
    """The problems of the files, then the transfers that can run; answers both."""
    names = [transfer.name for _, transfer in index.transfers()]
    for problem in index.problems:
        out.line(str(problem))
    out.line(f"{len(names)} transfers can run: {', '.join(names) or 'none'}")
    return {"problems": [one.model_dump(mode="json") for one in index.problems], "transfers": names}
