"""`manage.py run`: Crossdock on this machine until Ctrl-C, with sandboxes in the place of systems without an address.

Exit codes: 0 ended by Ctrl-C or SIGTERM, 2 wrong usage or it could not start.

State is kept in the folder .crossdock and survives the end of the process, a kill included. Settings are read from
local.settings.json (its "Values") and from environment variables, which count first.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import httpx

from local.bootstrap import ROOT
from local.given_settings import given_settings
from local.host import HostRefused
from local.quiet_logs import quiet_logs
from local.run_installation import RUN_FILE
from local.run_world import CannotRun, LocalRun, Ports, Wish
from local.servicebus import StoreError
from shared.errors import SettingsError
from shared.routes import OPERATOR_KEY_HEADER
from shared.sync.context import Timing

FIRST_PORT: Final = 7071


def main(arguments: Sequence[str]) -> int:
    """Run until told to end."""
    wanted = parser().parse_args(arguments)
    quiet_logs(logging.DEBUG if wanted.verbose else logging.WARNING)
    os.umask(0o077)  # keys and records are for whoever started the run
    try:
        wanted.state.mkdir(parents=True, exist_ok=True)
        asyncio.run(_run(wanted))
    except (CannotRun, HostRefused, SettingsError, StoreError) as error:
        sys.stderr.write(f"It cannot run: {error}\n")
        return 2
    except KeyboardInterrupt:
        pass
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="manage.py run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--port", type=int, default=FIRST_PORT, help=f"first of nine ports in a row, {FIRST_PORT} if not said; 0: any"
    )
    made.add_argument("--state", type=Path, default=ROOT / ".crossdock", help="folder of the state")
    made.add_argument("--transfers", type=Path, default=ROOT / "transfers", help="folder of the definitions")
    made.add_argument("--fresh", action="store_true", help="begin with empty sandboxes, queues and links")
    made.add_argument("--switch-on", action="store_true", help="switch every transfer on")
    made.add_argument("--verbose", action="store_true", help="write every log line")
    made.add_argument("--notice-seconds", type=float, default=30.0, help=argparse.SUPPRESS)
    made.add_argument("--lease-seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    return made


def _timing(lease_seconds: float) -> Timing:
    """The engine's own times; a short lease for tests that kill the process and do not want to wait for it."""
    if not lease_seconds:
        return Timing()
    part = timedelta(seconds=lease_seconds / 2)
    return Timing(lease=timedelta(seconds=lease_seconds), create_deadline=part, budget=part)


async def _run(wanted: argparse.Namespace) -> None:
    run = LocalRun(
        Wish(
            state=wanted.state.absolute(),
            ports=Ports.from_first(wanted.port),
            transfers=wanted.transfers,
            settings=given_settings(os.environ, ROOT),
            timing=_timing(wanted.lease_seconds),
            notice_seconds=wanted.notice_seconds,
            fresh=wanted.fresh,
        )
    )
    ended = _end_by_signal()
    try:
        await run.start()
        if wanted.switch_on:
            await switch_all_on(run, "manage.py run --switch-on")
        await _say_what_runs(run)
        await ended.wait()
        _say("Ending ...")
    finally:
        await run.stop()


def _end_by_signal() -> asyncio.Event:
    """Set by Ctrl-C and SIGTERM; on Windows Ctrl-C comes as KeyboardInterrupt."""
    ended = asyncio.Event()
    with suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended


def operations(run: LocalRun) -> httpx.AsyncClient:
    """A caller of the operations API with the operator key."""
    key = {OPERATOR_KEY_HEADER: run.environment["CROSSDOCK_OPERATOR_KEY"]}
    return httpx.AsyncClient(base_url=f"{run.urls['functions']}/api/ops", headers=key, timeout=60.0)


async def switch_all_on(run: LocalRun, reason: str) -> None:
    """Switch every transfer on through the operations API, as a person does."""
    async with operations(run) as http:
        for item in (await http.get("/transfers")).raise_for_status().json()["items"]:
            wish = {"switch": "on", "by": "manage.py", "reason": reason, "etag": item["etag"]}
            if item["switch"] != "on":
                (await http.put(f"/transfers/{item['transfer']}/switch", json=wish)).raise_for_status()


async def _say_what_runs(run: LocalRun) -> None:
    for problem in run.index.problems:
        _say(f"PROBLEM {problem.file}:{problem.line}: {problem.text}")
    _say(f"Functions         {run.urls['functions']}/api")
    for name in run.systems:
        _say(f"{name:<17} {run.urls[name] + ' (sandbox)' if name in run.urls else 'as in the settings'}")
    for note in run.notes:
        _say(note)
    _say(f"Addresses and keys for other programs: {run.wish.state / RUN_FILE}")
    async with operations(run) as http:
        items = (await http.get("/transfers")).raise_for_status().json()["items"]
    for item in items:
        _say(f"Transfer {item['transfer']}: {item['switch']}")
    if any(item["switch"] == "off" for item in items):
        _say("A transfer that is off moves nothing; docs/quickstart.md shows the switch. --switch-on: all of them.")
    _say("It runs until Ctrl-C.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
