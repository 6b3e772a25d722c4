"""What a person says with a change: why."""

from __future__ import annotations

import argparse
from typing import Final

LONGEST: Final = 200


def add_reason(parser: argparse.ArgumentParser) -> None:
    """The option --reason; it is kept with the change, so it must not name persons."""
    parser.add_argument("--reason", type=_reason, default=None, metavar="TEXT", help="why; kept with the change")


def _reason(text: str) -> str:
    if not 3 <= len(text.strip()) <= LONGEST:
        raise argparse.ArgumentTypeError(f"say why in 3 to {LONGEST} characters")
    return text.strip()
