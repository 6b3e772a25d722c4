"""B4: first loads in both directions against sandboxes that enforce their limits, in virtual time.

`python -m tests.bench.load --records 10000` is the large one; `--only B4` of the benchmarks runs a smaller one. Time is
the sandboxes': what is measured is how much of what the limits grant is used, how often they are overstepped, and how
many calls a record costs. A tenth of the records is on both sides before, under other names; the rest is created. Then
every record gets another value on the side that masters it, and is loaded again: nothing but updates.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sandbox.business_central import BusinessCentralOptions
from sandbox.dataverse import DataverseOptions
from sandbox.request_log import RequestLog
from shared.stores.match_index import TemporaryMatchIndex
from shared.sync.loading import Loading, Progress, pipeline_for_load
from shared.sync.outcome import Kind
from shared.sync.ports import Switch
from tests.bench.figures import Figure, table
from tests.scenarios.account_customer.world import CRM_CLIENT, TO_CRM, TO_ERP, RealWorld, Setup, vat_number
from tests.simulation.loop import run_virtually

FEW: Final = 1000
SECONDS_A_PART: Final = 0.1
PER_SECOND: Final = 20.0
"""6000 requests in 5 minutes, of one identity of Business Central."""


@dataclass(frozen=True)
class Load:
    """What one load was like. erp: requests that Business Central counted, each part of a batch being one; crm: calls
    of Dataverse; refused: answered with 429, by either."""

    what: str
    seconds: float
    erp: int
    crm: int
    refused: int
    progress: Progress

    @property
    def granted(self) -> float:
        """How many requests Business Central grants in this time."""
        return self.seconds * PER_SECOND


async def load(world: RealWorld, name: str, what: str) -> Load:
    """Load a transfer, as `manage.py load` does."""
    await world.pass_time(minutes=10)
    world.forget_requests()
    granted, began = world.erp.granted, world.clock.monotonic()
    progress = await _progress(world, name)
    seconds = world.clock.monotonic() - began
    crm, erp = world.crm.requests, world.erp.requests
    if progress.outcomes[Kind.PARKED] or progress.waiting:
        raise SystemExit(f"{what}: some records did not come over; nothing can be said")
    refused = _throttled(crm) + _throttled(erp)
    return Load(what, seconds, world.erp.granted - granted, len(crm.entries()), refused, progress)


async def _progress(world: RealWorld, name: str) -> Progress:
    engine = await world.apps[0].engine()
    definition, transfer = next(pair for pair in engine.index.transfers() if pair[1].name == name)
    index = TemporaryMatchIndex()
    try:
        pipeline = pipeline_for_load(engine.pipeline.ports, engine.index, name, index, alone=True)
        return await Loading(pipeline, definition, transfer, index, lambda _: None).run()
    finally:
        index.close()


def _throttled(log: RequestLog) -> int:
    return sum(1 for entry in log.entries() if entry.status == 429)


def _world() -> RealWorld:
    erp = BusinessCentralOptions(latency_seconds=(SECONDS_A_PART, SECONDS_A_PART))
    crm = DataverseOptions(
        application_users=(CRM_CLIENT,), latency_seconds=SECONDS_A_PART, target_seconds=SECONDS_A_PART / 4
    )
    return RealWorld(Setup(hooks=False, processes=1, workers=1, erp=erp, crm=crm))


async def _fill(world: RealWorld, accounts: int, customers: int) -> None:
    """So many accounts and customers, the same companies as far as both go, under other names."""
    for name in world.names:
        await world.switch(name, Switch.OFF)
    for number in range(1, accounts + 1):
        values = {"cdock_vatnumber": vat_number(number), "address1_postalcode": f"{number:05d}"}
        await world.new_account(name=f"Company {number} Ltd", cdock_stage="qualified", **values)
    for number in range(1, customers + 1):
        values = {"taxRegistrationNumber": vat_number(number), "postalCode": f"{number:05d}"}
        await world.new_customer(displayName=f"Company {number}", **values)


async def _into_the_erp(records: int) -> list[Load]:
    async with _world() as world:
        await _fill(world, records, records // 10)
        first = await load(world, TO_ERP, f"into the ERP, {records} accounts, {records // 10} of them customers before")
        await _expect(world, records)
        await load(world, TO_CRM, "back")
        for number, key in enumerate(world.accounts):
            await world.edit_account(key, telephone1=f"+390471{number:06d}")
        updates = await load(world, TO_ERP, f"into the ERP, {records} updates")
        _expect_updates(updates, records)
        return [first, updates]


async def _into_the_crm(records: int) -> list[Load]:
    async with _world() as world:
        await _fill(world, records // 10, records)
        first = await load(world, TO_CRM, f"into the CRM, {records} customers, {records // 10} of them accounts before")
        await _expect(world, records)
        await load(world, TO_ERP, "back")
        for key in world.customers:
            await world.edit_customer(key, city="Milltown")
        updates = await load(world, TO_CRM, f"into the CRM, {records} updates")
        _expect_updates(updates, records)
        return [first, updates]


async def _expect(world: RealWorld, records: int) -> None:
    if not len(world.accounts) == len(world.customers) == len(await world.links()) == records:
        raise SystemExit("a company is missing or there twice; nothing can be said")


def _expect_updates(done: Load, records: int) -> None:
    if done.progress.outcomes[Kind.UPDATED] != records:
        raise SystemExit(f"{done.what}: not every record was updated; nothing can be said")


def measure(records: int = FEW) -> list[Figure]:
    """The figures of loads of so many records."""
    done: list[Load] = []

    async def story() -> None:
        done.extend([*await _into_the_erp(records), *await _into_the_crm(records)])

    run_virtually(story())
    return [figure for one in done for figure in _figures(one, records)]


def _figures(one: Load, records: int) -> list[Figure]:
    refused = Figure("B4", f"{one.what}: refused with 429", "requests", one.refused, one.erp + one.crm, "all requests",
                     goal="at most 0.005")  # fmt: skip
    if "into the ERP" in one.what:
        used = Figure("B4", f"{one.what}: requests in {one.seconds:.0f} s", "requests", one.erp, one.granted,
                      "what the limit grants in this time", goal="at least 0.97")  # fmt: skip
        return [used, refused]
    calls = Figure("B4", f"{one.what}: calls of the CRM in {one.seconds:.0f} s", "requests", one.crm, records,
                   "one a record", goal="at most 0.03 for a write")  # fmt: skip
    return [calls, refused]


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__)
    parser.add_argument("--records", type=int, default=FEW, help=f"how many companies ({FEW})")
    print(table(measure(parser.parse_args(arguments).records)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
