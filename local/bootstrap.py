"""Gets from a bare Python to a command that runs among its pinned packages; uses the standard library only.

The packages of each command stand in a lock file with hashes. What is installed is noted in the virtual environment
(file name -> SHA-256 of the lock file), so the second start costs one read.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
NOTE: Final = "crossdock-packages.json"
INSTALLING_FAILED: Final = 3
SET_UP_BY_MANAGE: Final = "CROSSDOCK_SET_UP"

LOCAL: Final = "requirements-local.txt"
TEST: Final = "requirements-test.txt"
NODE: Final = "requirements-node.txt"
RUNTIME_CHECK: Final = "requirements-runtime-check.txt"


@dataclass(frozen=True)
class Command:
    """What a person can ask for: the packages it needs, the module that does it, a line for the list."""

    packages: tuple[str, ...]
    module: str
    line: str


PROGRAMS: Final[Mapping[str, Command]] = {
    "demo": Command((LOCAL,), "local.demo", "start everything in a fresh folder, move records, say what moved and why"),
    "run": Command((LOCAL,), "local.run", "start everything and stay up until Ctrl-C; state is kept in .crossdock"),
    "test": Command(
        (TEST, RUNTIME_CHECK), "local.cli_suite", "everything that must hold; --long: the long tests; else pytest alone"
    ),
    "bench": Command((TEST,), "tests.bench", "the benchmarks"),
}
COMMAND_LINE: Final = "local.command_line"
"""The commands that work on an installation: one file each, found by its name."""
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {RUNTIME_CHECK: ("--ignore-requires-python", "--no-deps")}
INCLUDES: Final[Mapping[str, tuple[str, ...]]] = {TEST: (LOCAL,)}
"""A lock file that holds every pin of another one."""


class SetUpFailed(Exception):
    """The environment cannot be made; the text says what to do."""


def main(arguments: Sequence[str]) -> int:
    """Run a command of `manage.py`; 2 wrong usage, 3 no set-up, else as docs/reference/command-line.md says."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _say(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    command = commands().get(name)
    if command is None:
        _say(f"There is no command {name!r}.\n\n{_usage()}")
        return 2
    try:
        python = prepare(command.packages)
    except SetUpFailed as failed:
        _say(f"\nThe set-up failed: {failed}")
        return INSTALLING_FAILED
    named = [name] if command.module == COMMAND_LINE else []
    return _become(python, ["-m", command.module, *named, *rest])


def _usage() -> str:
    known = commands()
    width = max(map(len, known)) + 1
    lines = [f"  {name:<{width}}{command.line}" for name, command in known.items()]
    return "\n".join(["Usage: python3 manage.py <command> [options]", "", *lines, "", "Each takes --help."])


def commands() -> Mapping[str, Command]:
    """Every command by name: the programs first, then those of the command line."""
    return {**PROGRAMS, **{name: Command((LOCAL,), COMMAND_LINE, _line(name)) for name in names_of_commands()}}


def names_of_commands() -> Sequence[str]:
    """The commands of the command line: the names of their files."""
    files = sorted(path.stem for path in _folder().glob("*.py") if not path.stem.startswith("_"))
    return [name.replace("_", "-") for name in files]


def _folder() -> Path:
    return ROOT.joinpath(*COMMAND_LINE.split("."), "commands")


def _line(name: str) -> str:
    """Without importing the command, whose packages may not be there yet."""
    source = (_folder() / f"{name.replace('-', '_')}.py").read_text("utf-8")
    return line_of(ast.get_docstring(ast.parse(source)) or "")


def line_of(told: str) -> str:
    """What a command does, in a line: the first of its description, without its full stop."""
    line = told.strip().split("\n", 1)[0].rstrip(".")
    return line[:1].lower() + line[1:]


def prepare(packages: Sequence[str]) -> Path:
    """Make sure of the environment and its packages; returns its Python. Raises SetUpFailed. Repetition is cheap."""
    home = Path(os.environ.get("CROSSDOCK_VENV") or ROOT / ".venv").absolute()
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = [*packages, *([NODE] if TEST in packages and not _has_node() else [])]
    digests = {name: _digest(name) for name in wanted}
    noted = _noted(home)
    missing = [name for name in wanted if noted.get(name) != digests[name]]
    if missing and not python.exists():
        _make(home, python)
    for name in missing:
        _install(python, name)
        noted |= {name: digests[name]} | {included: _digest(included) for included in INCLUDES.get(name, ())}
        (home / NOTE).write_text(json.dumps(noted, indent=1) + "\n", encoding="utf-8")
    return python


def _noted(home: Path) -> dict[str, str]:
    """What was installed there by which Python; nothing when in doubt."""
    try:
        noted: dict[str, str] = json.loads((home / NOTE).read_bytes())
    except (OSError, ValueError):
        return {}
    return noted


def _digest(name: str) -> str:
    """Of the lock file, whatever line ends git gave it."""
    return hashlib.sha256((ROOT / name).read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def _has_node() -> bool:
    """Whether this machine has Node.js for the tests' Azurite; if not, a wheel brings it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - node of this machine
    number = said.strip().removeprefix("v").partition(".")[0]
    return number.isdigit() and int(number) >= 20


def _make(home: Path, python: Path) -> None:
    _say(f"Making a virtual environment in {home}")
    with_pip = importlib.util.find_spec("ensurepip") is not None
    if not with_pip and importlib.util.find_spec("pip") is None:
        raise SetUpFailed(
            "this Python has neither ensurepip nor pip. On Debian and Ubuntu: apt install python3-venv; elsewhere "
            "take the installer from python.org."
        )
    venv.create(home, with_pip=with_pip)
    if not python.exists():
        raise SetUpFailed(f"{home} holds no Python; remove the folder, or name another one in CROSSDOCK_VENV.")
    if not with_pip:
        _run([sys.executable, "-m", "pip", "--python", str(python), "install", "pip"], "pip could not be installed.")


def _install(python: Path, name: str) -> None:
    total = sum("==" in line for line in (ROOT / name).read_text("utf-8").splitlines() if not line.startswith("#"))
    _say(f"Installing what {name} pins ({total} packages at most, each checked by its hash)")
    command = [str(python), "-m", "pip", "install", "--require-hashes", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", *OPTIONS.get(name, ()), "-r", str(ROOT / name)]
    _run(command, "pip could not install the pinned packages; it needs its package index for it.", total)


def _run(command: Sequence[str], complaint: str, total: int = 0) -> None:
    """Run pip, showing how far it is; on failure its last lines are in the error."""
    lines: list[str] = []
    started = 0
    with subprocess.Popen(  # noqa: S603 - pip with fixed arguments
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            lines.append(line.rstrip())
            if total and line.startswith(("Collecting ", "Requirement already satisfied: ")):
                started += 1
                _progress(started, total)
    if pip.returncode != 0:
        raise SetUpFailed("\n".join([complaint, *lines[-8:]]))
    if total:
        _say("  installed" if not sys.stdout.isatty() else "\r  installed" + " " * 30)


def _progress(done: int, total: int) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(f"\r  {done} of {total}")
        sys.stdout.flush()
    elif done % 10 == 0:
        _say(f"  {done} of {total}")


def _become(python: Path, arguments: Sequence[str]) -> int:
    """Go on as the environment's Python: in place of this process, where the system can do that."""
    command = [str(python), *arguments]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    os.environ["PYTHONUTF8"] = "1"
    os.environ[SET_UP_BY_MANAGE] = "1"
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606 - the environment's own Python
    with subprocess.Popen(command) as child:  # noqa: S603 - the environment's own Python
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the child hears of it as well, and ends by itself


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
