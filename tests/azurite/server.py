"""Starts Azurite's table service, in memory, on a free port of this machine."""

from __future__ import annotations

import atexit
import base64
import os
import secrets
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import IO, Final

from tests.azurite.install import AzuriteMissing, ensure_azurite, find_node

_ACCOUNT: Final = "crossdocktest"
_START_TIMEOUT_SECONDS: Final = 60.0
_STARTS: Final = 3
"""Another process may take the free port between our look and Azurite's start."""


@cache
def shared_azurite() -> str:
    """Return the connection string of this process's Azurite, started on the first call, stopped at the end."""
    script = ensure_azurite()
    key = base64.b64encode(secrets.token_bytes(32)).decode("ascii")
    output = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - lives as long as the process whose output it takes
    for _ in range(_STARTS):
        port = _free_port()
        server = _start(script, port, key, output)
        if _listens(server, port):
            atexit.register(_stop, server, output)
            return (
                f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={key};"
                f"TableEndpoint=http://127.0.0.1:{port}/{_ACCOUNT};"
            )
        _end(server)
    output.seek(0)
    said = output.read()[-2000:]
    output.close()
    raise AzuriteMissing(f"it was started {_STARTS} times and never listened. It said: {said}")


def _start(script: Path, port: int, key: str, output: IO[str]) -> subprocess.Popen[bytes]:
    command = [*find_node().node, "--require", str(Path(__file__).with_name("end_with_parent.cjs")), str(script)]
    options = ["--tablePort", str(port), "--inMemoryPersistence", "--silent", "--disableTelemetry"]
    return subprocess.Popen(  # noqa: S603 - Azurite as installed from the lock file
        [*command, *options, "--skipApiVersionCheck"],
        env={**os.environ, "AZURITE_ACCOUNTS": f"{_ACCOUNT}:{key}"},
        cwd=script.parent,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _listens(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the port answers; False when the process ends or takes too long."""
    until = time.monotonic() + _START_TIMEOUT_SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return server.poll() is None
        except OSError:
            time.sleep(0.05)
    return False


def _stop(server: subprocess.Popen[bytes], output: IO[str]) -> None:
    _end(server)
    output.close()


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()  # nothing to save: it keeps everything in memory
    server.communicate()
