"""B8: two hours without the ERP, while people go on changing accounts, in virtual time against sandboxes with limits.

`python -m tests.bench.outage --records 6000` is the large one; `--only B8` of the benchmarks has fewer records and a
shorter outage. Real are the engine, both connectors, the webhook functions and the permits that two processes share;
played are time, the queue and the store (in memory) and the systems. The ERP refuses everything with 503 while it is
away, and enforces its limits afterwards.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from sandbox.business_central import BusinessCentralOptions
from sandbox.request_log import LoggedRequest
from shared.sync.ports import Switch
from tests.bench.figures import Figure, table
from tests.bench.load import PER_SECOND, SECONDS_A_PART, load
from tests.scenarios.account_customer.world import TO_ERP, RealWorld, Setup, vat_number
from tests.simulation.loop import run_virtually

FEW: Final = 600
CHANGES_A_SECOND: Final = 5
CHANGES_A_RECORD: Final = 6
"""So many changes has every record during the outage: 36,000 of 6,000 records in two hours."""
PROBE_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 3600


@dataclass(frozen=True)
class Outage:
    """What one outage was like.

    drained_seconds: from the ERP's return until every last value is there. asked: meanwhile; of these, clashed: writes
    refused because another run had written the record, each with a read after it; reads: all reads of customers.
    probes and others: what the ERP was asked while its breaker was open; closest: two probes. arrived: customers that
    have the last value of their account.
    """

    records: int
    messages: int
    seconds: float
    drained_seconds: float
    writes: int
    arrived: int
    parked: int
    refused: int
    asked: int
    clashed: int
    reads: int
    probes: int
    others: int
    closest_seconds: float


def phone(number: int) -> str:
    """A number in the form in which it goes over."""
    return f"+390471{number:06d}"


async def prepare(world: RealWorld, records: int) -> Sequence[str]:
    """So many linked accounts, loaded as a first load does, everything settled, both systems telling of changes."""
    for name in world.names:
        await world.switch(name, Switch.OFF)
    accounts = [
        await world.new_account(name=f"Company {number}", cdock_stage="qualified", cdock_vatnumber=vat_number(number))
        for number in range(1, records + 1)
    ]
    await load(world, TO_ERP, "created in the ERP")
    for name in world.names:
        await world.switch(name, Switch.ON)
    await world.settle(quiet_seconds=700)
    await world.listen("account")
    assert (await world.renew_subscriptions()).is_good
    await world.settle()
    return accounts


async def go_without(world: RealWorld, accounts: Sequence[str]) -> tuple[float, Sequence[LoggedRequest]]:
    """The outage: each account is edited in its turn. Answers how long it was and what the ERP was asked in it."""
    world.forget_requests()
    fault, began = world.erp_goes_away(), world.clock.monotonic()
    for number in range(len(accounts) * CHANGES_A_RECORD):
        await world.edit_account(accounts[number % len(accounts)], telephone1=phone(number + 1))
        if number % CHANGES_A_SECOND == CHANGES_A_SECOND - 1:
            await world.pass_time(seconds=1)
    asked = await world.asked_since_breaker_opened()
    world.erp.faults.remove(fault)
    return world.clock.monotonic() - began, asked


async def drain(world: RealWorld, expected: dict[str, str]) -> float:
    """Seconds until every customer has its account's last number."""
    began = world.clock.monotonic()
    while arrived(world, expected) < len(expected):
        await world.pass_time(seconds=1)
        if world.clock.monotonic() - began > PATIENCE_SECONDS:
            raise SystemExit("the changes of the outage did not arrive; nothing can be measured")
    return world.clock.monotonic() - began


def arrived(world: RealWorld, expected: dict[str, str]) -> int:
    """How many customers have the expected number."""
    customers = world.customers
    return sum(customers[customer]["phoneNumber"] == number for customer, number in expected.items())


async def measured(records: int) -> Outage:
    """Prepare a world, take the ERP away, and let it drain."""
    options = BusinessCentralOptions(latency_seconds=(SECONDS_A_PART, SECONDS_A_PART))
    async with RealWorld(Setup(hooks=False, processes=2, workers=8, erp=options)) as world:
        accounts = await prepare(world, records)
        seconds, asked = await go_without(world, accounts)
        links = await world.links()
        expected = {links[account]: str(world.account(account)["telephone1"]) for account in accounts}
        world.forget_requests()
        drained = await drain(world, expected)
        entries = world.erp.requests.entries()
        await world.settle()
        probes = [entry.at for entry in asked if _is_probe(entry)]
        statuses = Counter(entry.status for entry in entries)
        return Outage(
            records=records,
            messages=records * CHANGES_A_RECORD,
            seconds=seconds,
            drained_seconds=drained,
            writes=world.erp_writes(),
            arrived=arrived(world, expected),
            parked=sum([len(await world.parked(name)) for name in world.names]),
            refused=statuses[429],
            asked=len(entries),
            clashed=statuses[409],
            reads=sum(entry.method == "GET" and "/customers" in entry.path for entry in entries),
            probes=len(probes),
            others=len(asked) - len(probes),
            closest_seconds=_closest(probes),
        )


def _is_probe(entry: LoggedRequest) -> bool:
    return entry.path.endswith("/companyInformation")


def _closest(moments: Sequence[datetime]) -> float:
    return min(((later - earlier).total_seconds() for earlier, later in pairwise(moments)), default=0.0)


def measure(records: int = FEW) -> list[Figure]:
    """The figures of an outage in which so many records are changed six times each."""
    done: list[Outage] = []

    async def story() -> None:
        done.append(await measured(records))

    run_virtually(story())
    (one,) = done
    what = f"{one.messages:,} changes of {one.records:,} accounts in {one.seconds / 60:.0f} minutes without the ERP"
    least, most_probes = one.records / PER_SECOND, one.seconds / PROBE_SECONDS
    return [
        Figure("B8", f"{what}: drained", "s, played", one.drained_seconds, least, "what the limit takes for a write "
               "of each", goal="ratio at most 1.1"),
        Figure("B8", "writes", "requests", one.writes, one.records, "one for each account", goal="1"),
        Figure("B8", "all that the ERP was asked meanwhile", "requests", one.asked, one.records, "one for each"),
        Figure("B8", "writes refused, another run was faster", "requests", one.clashed, one.asked, "all of these"),
        Figure("B8", "reads of customers", "requests", one.reads, one.asked, "all of these"),
        Figure("B8", "refused with 429", "requests", one.refused, one.asked, "all of these", goal="0"),
        Figure("B8", "last values lost", "records", one.records - one.arrived, one.records, "all", goal="0"),
        Figure("B8", "parked, dead letters among them", "records", one.parked, one.records, "all", goal="0"),
        Figure("B8", "probes while the breaker was open", "requests", one.probes, most_probes, "one in 30 s",
               goal="ratio at most 1"),
        Figure("B8", "shortest time between two probes", "s, played", one.closest_seconds, PROBE_SECONDS, "30 s"),
        Figure("B8", "other requests while it was open", "requests", one.others, 0, "none", goal="0"),
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure one outage and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.outage", description=__doc__)
    parser.add_argument("--records", type=int, default=FEW, help=f"how many accounts ({FEW})")
    print(table(measure(parser.parse_args(arguments).records)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
