"""`manage.py test`: everything that must hold before a change may go in, each step under its own heading.

Without arguments: lint, format, types, the compiled index, then all tests on every core. A step that fails does not
keep the others from running; the exit code is 1 if any failed. With arguments: pytest alone, with these arguments.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from local.bootstrap import ROOT
from local.definitions import is_current

PYTHON: Final = sys.executable


@dataclass(frozen=True)
class Step:
    """One thing that must hold."""

    name: str
    holds: Callable[[], bool]


def _command(*arguments: str) -> Callable[[], bool]:
    def run() -> bool:
        command = [PYTHON, "-m", *arguments]
        return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode == 0  # noqa: S603 - own tools

    return run


def _index_is_current() -> bool:
    current = is_current(ROOT / "transfers")
    _say(
        "transfers/index.json is current" if current else "transfers/index.json is old; run: python3 manage.py compile"
    )
    return current


def _pytest(arguments: Sequence[str]) -> Callable[[], bool]:
    return _command("pytest", *arguments)


STEPS: Final = (
    Step("lint", _command("ruff", "check", ".")),
    Step("format", _command("ruff", "format", "--check", ".")),
    Step("types", _command("mypy", "--explicit-package-bases", ".")),
    Step("index", _index_is_current),
    Step("Azurite, for the tests of the store", _command("tests.azurite")),
    Step("Microsoft's client, for the tests of the Dataverse sandbox", _command("tests.contract.dataverse_client")),
    Step("a browser, for the tests of forms", _command("tests.browser")),
    Step("tests", _pytest(("-q", "-n", str(os.cpu_count() or 2), "--dist", "loadgroup"))),
)


def main(arguments: Sequence[str]) -> int:
    """Run the steps; 0 when all hold."""
    if arguments and arguments[0] in ("-h", "--help"):
        _say(__doc__ or "")
        return 0
    if arguments:
        return 0 if _pytest(arguments)() else 1
    failed = [step.name for step in STEPS if not _holds(step)]
    if failed:
        _say(f"\nFailed: {', '.join(failed)}")
    return 1 if failed else 0


def _holds(step: Step) -> bool:
    _say(f"\n== {step.name}")
    started = time.monotonic()
    holds = step.holds()
    _say(f"-- {step.name}: {'holds' if holds else 'FAILED'} ({time.monotonic() - started:.0f} s)")
    return holds


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
