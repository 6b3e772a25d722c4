"""Real time and real chance, behind the ports of the engine."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from datetime import UTC, datetime


class SystemClock:
    """`Clock` of this machine."""

    def now(self) -> datetime:
        """The time, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never run backwards, for measuring."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class RandomIds:
    """`Ids` from the operating system's randomness."""

    def new(self) -> str:
        """A new id."""
        return str(uuid.uuid4())

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return secrets.randbits(53) / (1 << 53)
