"""Things that the tests install once beside the project, whoever needs them first."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

HOME: Final = Path(__file__).parents[1] / ".crossdock"
PATIENCE_SECONDS: Final = 900


def installed(home: Path, wanted: str, install: Callable[[Path], None]) -> Path:
    """Return the folder `wanted` in `home`, which `install` fills on the first call.

    Several processes may call it at once: one installs, the others wait. An installation that broke off is not
    taken for a finished one, because its folder gets its name only at the end.
    """
    target = home / wanted
    if not target.exists():
        home.mkdir(parents=True, exist_ok=True)
        with _alone(home):
            if not target.exists():
                unfinished = home / f"{wanted}.unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                install(unfinished)
                unfinished.rename(target)
    return target


def digest(*files: Path) -> str:
    """A name for what files pin, whatever line ends git gave them."""
    content = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()[:16]


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other processes out. A lock of SQLite works everywhere and goes with the process that held it."""
    with closing(sqlite3.connect(home / "install.lock", timeout=PATIENCE_SECONDS, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield
