"""Our connector for Dataverse under B9's stopwatch; Microsoft's client has the same in its own driver.

    SSL_CERT_FILE=<certificate> python -m tests.bench.our_client <crm> <sign-in> <client id> <secret> <organization id>

Reads lines "<operation> <times>" and answers each with the processor seconds per record as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from shared.allowance import Allowance
from shared.clock import RandomIds, SystemClock
from shared.connectors.dataverse.client import ALLOWED
from shared.connectors.dataverse.connector import DataverseConnector
from shared.errors import ConnectorError
from shared.http_client import HttpClient
from shared.identity import TokenEndpointTokens
from shared.sync.ports import Change, NewRecord, Record
from tests.contract.dataverse_client.pace import COLUMNS, MANY, TABLE, changed, new

SECONDS: Final = 60.0


@dataclass
class OurClient:
    """The operations, with the keys of what was created."""

    connector: DataverseConnector
    keys: list[str] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    async def create(self, times: int) -> int:
        """One record at a time."""
        for _ in range(times):
            values = new(next(self._numbers))
            made = await self.connector.create(TABLE, values, COLUMNS, key=None, within_seconds=SECONDS)
            self.keys.append(made.key)
        return times

    async def read(self, times: int) -> int:
        """One record at a time."""
        for number in range(times):
            key = self.keys[number % len(self.keys)]
            assert key in await self.connector.read(TABLE, [key], COLUMNS)
        return times

    async def update(self, times: int) -> int:
        """One record at a time, whatever version it has."""
        for number in range(times):
            key, values = self.keys[number % len(self.keys)], changed(next(self._numbers))
            await self.connector.update(TABLE, key, values, COLUMNS, version=None)
        return times

    async def create_many(self, times: int) -> int:
        """A hundred records in a call."""
        for _ in range(times):
            wanted = [NewRecord(new(next(self._numbers))) for _ in range(MANY)]
            made = await self.connector.create_many(TABLE, wanted, COLUMNS, within_seconds=SECONDS)
            self.keys += [one.key for one in _records(made)]
        return times * MANY

    async def update_many(self, times: int) -> int:
        """The last hundred records in a call."""
        for _ in range(times):
            changes = [Change(key, changed(next(self._numbers))) for key in self.keys[-MANY:]]
            _records(await self.connector.update_many(TABLE, changes, COLUMNS, within_seconds=SECONDS))
        return times * MANY


def _records(results: Sequence[Record | ConnectorError]) -> list[Record]:
    records = [one for one in results if isinstance(one, Record)]
    assert len(records) == len(results), "the sandbox refuses none of these"
    return records


def _connector(crm: str, sign_in: str, client_id: str, secret: str, organization: str) -> DataverseConnector:
    clock = SystemClock()
    http = HttpClient(
        system="dataverse",
        base_url=crm,
        scope=f"{crm}/.default",
        tokens=TokenEndpointTokens(sign_in, client_id, secret, clock),
        clock=clock,
        ids=RandomIds(),
        allowance=Allowance(ALLOWED, clock),
        owns_tokens=True,
    )
    return DataverseConnector([http], clock, organization)


async def main(arguments: Sequence[str]) -> None:
    """Do what each line says until there are no more."""
    connector = _connector(*arguments)
    client = OurClient(connector)
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        work: Callable[[int], Awaitable[int]] = getattr(client, line[0])
        before = time.process_time()
        records = await work(int(line[1]))
        print(json.dumps((time.process_time() - before) / records), flush=True)
    await connector.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
