"""Microsoft's Python client for Dataverse under B9's stopwatch; run by the Python of the client's own environment.

    REQUESTS_CA_BUNDLE=<certificate> python pace.py <crm> <sign-in> <client id> <secret>

Reads lines "<operation> <times>" and answers each with the processor seconds per record as JSON. Ours does the same
with the records that are described here; it imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib import import_module
from itertools import count
from typing import Any

TABLE = "account"
MANY = 100
COLUMNS = (
    "name",
    "telephone1",
    "emailaddress1",
    "websiteurl",
    "address1_line1",
    "address1_postalcode",
    "address1_city",
)


def new(number: int) -> dict[str, Any]:
    """A record to create."""
    return {
        "name": f"Aurora Milling {number}",
        "telephone1": f"+390471{number:06d}",
        "emailaddress1": f"office{number}@aurora-milling.example",
        "websiteurl": f"https://www.aurora-milling.example/{number}",
        "address1_line1": f"Mill Lane {number}",
        "address1_postalcode": f"{number % 100_000:05d}",
        "address1_city": "Milltown",
    }


def changed(number: int) -> dict[str, Any]:
    """New values of a record."""
    return {"telephone1": f"+390472{number:06d}", "address1_line1": f"Harbour Street {number}"}


class MicrosoftsClient:
    """The operations, with the keys of what was created."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._keys: list[str] = []
        self._numbers = count()

    def create(self, times: int) -> int:
        """One record at a time."""
        self._keys += [self._records.create(TABLE, new(next(self._numbers))) for _ in range(times)]
        return times

    def read(self, times: int) -> int:
        """One record at a time."""
        for number in range(times):
            assert self._records.retrieve(TABLE, self._keys[number % len(self._keys)], select=list(COLUMNS))
        return times

    def update(self, times: int) -> int:
        """One record at a time."""
        for number in range(times):
            self._records.update(TABLE, self._keys[number % len(self._keys)], changed(next(self._numbers)))
        return times

    def create_many(self, times: int) -> int:
        """A hundred records in a call."""
        for _ in range(times):
            self._keys += self._records.create(TABLE, [new(next(self._numbers)) for _ in range(MANY)])
        return times * MANY

    def update_many(self, times: int) -> int:
        """The last hundred records in a call."""
        for _ in range(times):
            keys = self._keys[-MANY:]
            self._records.update(TABLE, keys, [changed(next(self._numbers)) for _ in keys])
        return times * MANY


def main(arguments: list[str]) -> None:
    """Do what each line says until there are no more."""
    from PowerPlatform.Dataverse.client import DataverseClient

    crm, *wanted = arguments
    warnings.simplefilter("ignore", DeprecationWarning)
    credential = import_module("driver").Credential(*wanted)  # beside this file, which is no part of a package here
    client = MicrosoftsClient(DataverseClient(crm, credential).records)
    for line in sys.stdin:
        name, times = line.split()
        before = time.process_time()
        records = getattr(client, name)(int(times))
        print(json.dumps((time.process_time() - before) / records), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
