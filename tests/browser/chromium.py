"""A real Chromium for the tests of pages and scripts: the machine's own, or Debian's package where we may install."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CANDIDATES: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
CHOICE: Final = "CROSSDOCK_BROWSER"
_INSTALL: Final = (("apt-get", "update"), ("apt-get", "install", "-y", "--no-install-recommends", "chromium"))
_SECONDS: Final = 60


class ChromiumMissing(Exception):
    """There is no browser and none could be installed; the text says what to do."""


def find_chromium() -> str | None:
    """The browser that the tests use; None without one."""
    chosen = os.environ.get(CHOICE)
    names = (chosen,) if chosen else CANDIDATES
    return next((found for name in names if (found := shutil.which(name))), None)


def ensure_chromium() -> str:
    """The browser; on a Debian machine of which we are root it is installed when missing. Raises ChromiumMissing."""
    found = find_chromium()
    if found is None and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        for command in _INSTALL:
            subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=900)  # noqa: S603 - fixed commands
        found = find_chromium()
    if found is None:
        raise ChromiumMissing(
            f"The tests of forms need Chromium, Chrome or Edge. Install one, or name its program in {CHOICE}."
        )
    return found


def rendered(html: str, beside: Mapping[str, str] | None = None, query: str = "") -> str:
    """The page's document after its scripts have run, as HTML. beside: files in its folder, by their names. query: of
    the page's address. No other host is found."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "page.html"
        for name, text in {**(beside or {}), page.name: html}.items():
            (Path(folder) / name).write_text(text, "utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=2000", "--dump-dom"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND"]
        done = subprocess.run(  # noqa: S603 - the browser that the tests chose
            [ensure_chromium(), *options, page.as_uri() + query],
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
    return done.stdout.decode("utf-8", "replace")
