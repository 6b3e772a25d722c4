"""Files that people write or shorten: keys or pairs of keys, one to a line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from local.command_line.errors import WrongUsage

MANY: Final = 20
"""From so many lines on a person is asked."""

_TOLD: Final = {1: "one key is needed", 2: "two keys are needed, with a comma between them"}


def rows_of(path: Path, option: str) -> Sequence[Sequence[str]]:
    """The rows of a CSV file without the empty ones; raises WrongUsage for a file that cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)]
    except OSError as error:
        raise WrongUsage(f"{option} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, csv.Error):
        raise WrongUsage(f"{option} cannot be read: save it as CSV in UTF-8, with commas.") from None


def lines_of(path: Path, option: str, cells: int) -> Sequence[Sequence[str]]:
    """The lines of a CSV file with so many keys in each; raises WrongUsage naming the first line that is wrong."""
    rows = rows_of(path, option)
    for number, row in enumerate(rows, 1):
        if len(row) != cells or not all(row):
            raise WrongUsage(f"{option}, line {number}: {_TOLD[cells]}.")
    return rows
