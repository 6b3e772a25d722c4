"""`manage.py test`: everything that must hold before a change may go in, each step under its own heading.

Without arguments: lint, format, types, the compiled index, then all tests on every core. A step that fails does not
keep the others from running; the exit code is 1 if any failed. `--long`: the large forms of the stories of which a
small one is among these tests. With other arguments: pytest alone, with these arguments.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from local.bootstrap import ROOT
from local.definitions import is_current

PYTHON: Final = sys.executable
LONG: Final = "--long"
WORKERS: Final = (os.cpu_count() or 2) + 1
"""One more than there are cores: the tests of the local run wait most of their time."""


@dataclass(frozen=True)
class Ended:
    """How a step has ended. said: what it has to say, if it did not say it at once."""

    holds: bool
    said: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Step:
    """One thing that must hold."""

    name: str
    run: Callable[[], Ended]


def _module(*arguments: str) -> Callable[[], Ended]:
    """A program that others run beside: what it says is kept until it has ended."""

    def run() -> Ended:
        started = time.monotonic()
        done = subprocess.run(  # noqa: S603 - own tools
            [PYTHON, "-m", *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        return Ended(done.returncode == 0, done.stdout, time.monotonic() - started)

    return run


def _index() -> Ended:
    if is_current(ROOT / "transfers"):
        return Ended(True, "transfers/index.json is current\n")
    return Ended(False, "transfers/index.json is old; run: python3 manage.py compile\n")


def _pytest(*arguments: str) -> Callable[[], Ended]:
    def run() -> Ended:
        started, command = time.monotonic(), [PYTHON, "-m", "pytest", *arguments]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)  # noqa: S603 - own tools
        return Ended(done.returncode == 0, seconds=time.monotonic() - started)

    return run


INSTALLED: Final = (
    Step("Azurite, for the tests of the store", _module("tests.azurite")),
    Step("Microsoft's client, for the tests of the Dataverse sandbox", _module("tests.contract.dataverse_client")),
    Step("a browser, for the tests of forms", _module("tests.browser")),
)
CHECKED: Final = (
    Step("lint", _module("ruff", "check", ".")),
    Step("format", _module("ruff", "format", "--check", ".")),
    Step("types", _module("mypy", "--explicit-package-bases", ".")),
    Step("index", _index),
)
_EVERYWHERE: Final = ("-q", "-n", str(WORKERS), "--dist", "loadgroup")
TESTS: Final = Step("tests", _pytest(*_EVERYWHERE))
LONG_TESTS: Final = Step("long tests", _pytest(*_EVERYWHERE, "-m", "long"))


def main(arguments: Sequence[str]) -> int:
    """Run the steps; 0 when all hold."""
    if arguments and arguments[0] in ("-h", "--help"):
        _say(__doc__ or "")
        return 0
    if arguments == [LONG]:
        return _all_hold(INSTALLED, LONG_TESTS)
    if arguments:
        return 0 if _pytest(*arguments)().holds else 1
    return _all_hold((*CHECKED, *INSTALLED), TESTS)


def _all_hold(first: Sequence[Step], last: Step) -> int:
    """Run the first steps beside each other, then the last one; 0 when all hold."""
    failed = [step.name for step, ended in _beside_each_other(first) if not _told(step, ended)]
    _say(f"\n== {last.name}")
    if not _told(last, last.run()):
        failed.append(last.name)
    if failed:
        _say(f"\nFailed: {', '.join(failed)}")
    return 1 if failed else 0


def _beside_each_other(steps: Sequence[Step]) -> Iterator[tuple[Step, Ended]]:
    """Each step as soon as it and those before it have ended, under its heading with what it said."""
    with ThreadPoolExecutor(len(steps)) as pool:
        running = [(step, pool.submit(step.run)) for step in steps]
        for step, ended in running:
            _say(f"\n== {step.name}")
            sys.stdout.write(ended.result().said)
            yield step, ended.result()


def _told(step: Step, ended: Ended) -> bool:
    """Say how a step has ended; answers whether it holds."""
    _say(f"-- {step.name}: {'holds' if ended.holds else 'FAILED'} ({ended.seconds:.0f} s)")
    return ended.holds


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
