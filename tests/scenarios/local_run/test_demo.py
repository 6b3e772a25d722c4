"""The demo, as a stranger starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHAPTERS = (
    "A new account becomes a customer, once",
    "A field that the CRM masters goes over",
    "A field that the ERP masters, edited in the CRM, is put back and recorded",
    "A change in the ERP comes back",
    "The same company, created on both sides at once, ends as one pair",
    "The ERP is down, and comes back",
)


@pytest.mark.xdist_group("local_run")
def test_the_demo_tells_its_whole_story_and_ends_with_0() -> None:
    """Every chapter is there in its order, and settings for a real system of the environment stay outside."""
    environment = {**os.environ, "CROSSDOCK_DATAVERSE_URL": "https://real.invalid", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "local.demo"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    places = [done.stdout.find(f"\n{chapter}\n") for chapter in CHAPTERS]
    assert -1 not in places, done.stdout
    assert places == sorted(places)
