"""Installs Microsoft's Python client for Dataverse into an environment of its own, `.crossdock/dataverse-client`.

Its packages (pandas among them) are no part of the product; `requirements-dataverse-client.txt` pins them with hashes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from tests.installed import HOME, PATIENCE_SECONDS, digest, installed

LOCK: Final = Path(__file__).parents[3] / "requirements-dataverse-client.txt"


class ClientMissing(Exception):
    """The client could not be installed; the text says what to do."""


def ensure_client() -> Path:
    """Return the Python of the client's environment, made on the first call for a lock file; raises ClientMissing."""
    release = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _python(installed(HOME / "dataverse-client", f"{release}-{digest(LOCK)}", _install))


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _install(folder: Path) -> None:
    """With this environment's pip, since the Python that makes environments may have none to give."""
    venv.create(folder, with_pip=False)
    command = [sys.executable, "-m", "pip", "--python", str(_python(folder)), "install", "--require-hashes"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "-r", str(LOCK)]
    try:
        done = subprocess.run(  # noqa: S603 - pip with fixed arguments
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClientMissing(f"pip could not be run to its end ({error}).") from error
    if done.returncode != 0:
        raise ClientMissing(f"pip could not install what {LOCK.name} pins:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
