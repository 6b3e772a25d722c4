"""B4: a first load against a sandbox that enforces the limits of Business Central, in virtual time.

`python -m tests.bench.load --records 10000` is the large one; `--only B4` of the benchmarks runs a smaller one. Time is
the sandbox's: what is measured is how much of what the limits grant is used, and how often they are overstepped.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.business_central import BusinessCentralOptions
from shared.stores.match_index import TemporaryMatchIndex
from shared.sync.loading import Loading, Progress, pipeline_for_load
from shared.sync.outcome import Kind
from shared.sync.ports import Switch
from tests.bench.figures import Figure, table
from tests.scenarios.account_customer.world import RealWorld, Setup, vat_number
from tests.simulation.loop import run_virtually

FEW: Final = 1500
SECONDS_A_PART: Final = 0.1
PER_SECOND: Final = 20.0
"""6000 requests in 5 minutes, of one identity."""


@dataclass(frozen=True)
class Load:
    """What one load was like."""

    records: int
    linked: int
    seconds: float
    requests: int
    refused: int
    progress: Progress

    @property
    def used(self) -> float:
        """The share of the requests that the limit grants in this time."""
        return self.requests / (self.seconds * PER_SECOND)


async def fill(world: RealWorld, records: int) -> int:
    """Accounts to load, a tenth of which are customers already; answers how many these are."""
    for name in world.names:
        await world.switch(name, Switch.OFF)
    for number in range(1, records + 1):
        vat, place = vat_number(number), f"{number:05d}"
        await world.new_account(
            name=f"Company {number}", crossdock_stage="qualified", crossdock_vatnumber=vat, address1_postalcode=place
        )
    there = records // 10
    for number in range(1, there + 1):
        values = {"displayName": f"Company {number}", "taxRegistrationNumber": vat_number(number)}
        await world.new_customer(**values)
    return there


async def load(world: RealWorld) -> Progress:
    """Load all accounts, as `manage.py load` does."""
    engine = await world.apps[0].engine()
    definition, transfer = next(engine.index.transfers().__iter__())
    index = TemporaryMatchIndex()
    try:
        ports = engine.pipeline.ports
        pipeline = pipeline_for_load(ports, engine.index, transfer.name, index, alone=True)
        return await Loading(pipeline, definition, transfer, index, lambda _: None).run()
    finally:
        index.close()


async def measured(records: int) -> Load:
    """Fill a world and load it."""
    options = BusinessCentralOptions(latency_seconds=(SECONDS_A_PART, SECONDS_A_PART))
    async with RealWorld(Setup(hooks=False, processes=1, workers=1, erp=options)) as world:
        there = await fill(world, records)
        await world.pass_time(minutes=10)
        world.forget_requests()
        began = world.clock.monotonic()
        progress = await load(world)
        seconds = world.clock.monotonic() - began
        statuses = Counter(entry.status for entry in world.erp.requests.entries())
        batches = world.erp.requests.count("POST", r"/\$batch$")
        created = progress.outcomes[Kind.CREATED]
        requests = sum(statuses.values()) - batches + created
        assert len(await world.links()) == len(world.customers) == records
        return Load(records, there, seconds, requests, statuses[429], progress)


def measure(records: int = FEW) -> list[Figure]:
    """The figures of a load of so many records."""
    done: list[Load] = []

    async def story() -> None:
        done.append(await measured(records))

    run_virtually(story())
    (one,) = done
    created = one.progress.outcomes[Kind.CREATED]
    what = f"load of {records} accounts, {one.linked} of them customers already"
    granted = one.seconds * PER_SECOND
    asked = one.requests + one.refused
    return [
        Figure("B4", f"{what}: requests", "requests", one.requests, granted, "what the limit grants in this time",
               goal="at least 0.97"),
        Figure("B4", f"{what}: customers created", "records", created, granted, "the same", goal="near 1"),
        Figure("B4", "refused with 429", "requests", one.refused, asked, "all requests", goal="at most 0.005"),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure one load and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--records", type=int, default=FEW, help=f"how many accounts ({FEW})")
    print(table(measure(parser.parse_args(arguments).records)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
