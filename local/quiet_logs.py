"""Log lines on standard error, for programs that people start by hand."""

from __future__ import annotations

import logging
import sys


def quiet_logs(level: int) -> None:
    """Log lines of our own from the level on; of packages only warnings."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("httpx", "httpcore", "azure", "asyncio", "aiohttp"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("azure.servicebus").setLevel(logging.ERROR)  # says every reconnection as a warning
