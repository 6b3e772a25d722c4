"""Run the endpoint alone: `python -m local.servicebus --config config.json --data servicebus.sqlite`.

The key comes from the environment variable SERVICEBUS_KEY, so that it shows in no process list; without one the
well-known key of Microsoft's emulator is used, which is no secret and only fit for this machine. Exit code 0 after
Ctrl+C or SIGTERM, 2 when the endpoint cannot start.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from local.servicebus.config import read_emulator_config_file
from local.servicebus.errors import ConfigError, StoreError
from local.servicebus.server import ServiceBusEndpoint

EMULATOR_KEY_NAME = "RootManageSharedAccessKey"
EMULATOR_KEY = "SAS_KEY_VALUE"
"""Name and key that Microsoft's emulator always uses (Microsoft Learn, "Test locally by using the ... emulator")."""


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.servicebus", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, required=True, help="config.json as Microsoft's emulator reads it")
    parser.add_argument("--data", type=Path, help="the data file; without it nothing survives")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=5672, help="port to listen on, 0 = any free one (default: 5672)")
    parser.add_argument("--key-name", default=EMULATOR_KEY_NAME, help="name of the access rule")
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace) -> None:
    endpoint = ServiceBusEndpoint(
        queues=read_emulator_config_file(arguments.config),
        path=arguments.data,
        host=arguments.host,
        port=arguments.port,
        key_name=arguments.key_name,
        key=os.environ.get("SERVICEBUS_KEY") or EMULATOR_KEY,
    )
    await endpoint.start()
    print(f"listening on {arguments.host}:{endpoint.port}", flush=True)
    try:
        await _until_told_to_stop()
    finally:
        await endpoint.stop()


async def _until_told_to_stop() -> None:
    """Wait for SIGTERM where the event loop can be told of it (not on Windows); Ctrl+C arrives as cancellation."""
    stop = asyncio.Event()
    try:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    except NotImplementedError:
        logging.getLogger("crossdock.servicebus").debug("no SIGTERM handler on this platform")
    await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Run until stopped; gives the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(_serve(_arguments(argv)))
    except (ConfigError, StoreError, OSError) as error:
        print(f"The endpoint cannot start: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
