"""B10: shipment statistics of a window, in virtual time against both sandboxes, and what a day of them takes of memory.

    python -m tests.bench.statistics --customers 5000 --days 30

`--only B10` of the benchmarks takes fewer. First all rows are new, then nothing has changed, then one row in a hundred
has changed or gone. Calls are counted at the sandboxes. The least possible is what the documented limits allow for the
same rows: 500 sums on a page of PostOffice, 5,000 rows on a page of Dataverse, 1,000 records in a bulk message, 1,000
requests in a batch.

    python -m tests.bench.statistics --memory 500,5000 --days 5

measures the memory of the engine in a process of its own, over loopback, by customers and by days. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sandbox.dataverse import DataverseOptions
from sandbox.postoffice.sandbox import PostOfficeSandbox
from sandbox.request_log import RequestLog
from shared.app import App, Outside, installed
from shared.clock import SystemClock
from shared.engine import Engine
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES
from shared.sync.context import pair_name
from shared.sync.definition import Index
from shared.sync.message import Message
from shared.sync.outcome import Kind
from shared.sync.pipeline import Done
from shared.sync.ports import LinkRow, LinkState, Mode, Side, SiteMode, SiteModeRow, Switch
from tests.bench.accept import CountingQueue
from tests.bench.figures import Figure, table
from tests.bench.memory import STATUS, forget_peak, resident
from tests.bench.servers import ROOT, Addresses, running
from tests.bench.shipments import SERVICES, fill, key_of, ship
from tests.scenarios.account_customer.world import CRM_CLIENT
from tests.scenarios.postoffice.world import WHOLE, PostWorld, shipped
from tests.simulation.loop import run_virtually

CUSTOMERS: Final = 100
DAYS: Final = 4
TRANSFER: Final = "shipment_statistics_to_dataverse"
ROWS: Final = "cdock_shipmentstatistic"
SOURCE_PAGE, TARGET_PAGE, MESSAGE, BATCH = 500, 5000, 1000, 1000
"""What one call may carry: the contract of PostOffice; Microsoft Learn, 'Page results', 'Optimize performance for bulk
operations' (up to 1,000 records in a message), 'Execute batch operations'."""


def window_of(days: int) -> Index:
    """The definitions that statistics need, with a window of so many days."""
    index = shipped("shipment_statistics", "customer", "cost_centre", "service", "customer_group", "price_group",
                    "invoicing_client")  # fmt: skip
    changed = [
        one.model_copy(
            update={"transfers": tuple(each.model_copy(update={"window_days": days}) for each in one.transfers)}
        )
        if one.is_derived
        else one
        for one in index.definitions
    ]
    return index.model_copy(update={"definitions": tuple(changed)})


async def link(engine: Engine, customers: int) -> None:
    """The links of customers and services, and the switch and mode without which nothing moves."""
    stores, connectors = engine.stores, engine.pipeline.ports.connectors
    for definition in engine.index.linking:
        ours = {"customers": ("account", "c", customers), "services": ("service", "s", SERVICES)}
        kind, letter, count = ours.get(definition.right.table, ("", "", 0))
        pair = pair_name(definition, connectors)
        for number in range(count):
            left, right = key_of(kind, number), f"{letter}{number}"
            await stores.links.insert(LinkRow(pair, Side.LEFT, left, LinkState.LINKED, right))
            await stores.links.insert(LinkRow(pair, Side.RIGHT, right, LinkState.LINKED, left))
    now = engine.pipeline.ports.clock.now()
    mode = await stores.modes.get(TRANSFER)
    await stores.modes.put(Mode(TRANSFER, Switch.ON, now, "bench", etag=mode.etag))
    site = await stores.site_modes.get("postoffice", "dataverse")
    await stores.site_modes.put(SiteModeRow(site.system, site.partner, SiteMode.AUTOMATIC, etag=site.etag))
    engine.pipeline.forget_switches()


# --- calls ----------------------------------------------------------------------------------------


class WindowWorld(PostWorld):
    """Both systems and the engine; nothing runs by itself."""

    async def _enter(self) -> None:
        self._exits.enter_context(installed(self.apps[0]))
        await self.apps[0].engine()

    async def walk(self) -> list[Done]:
        """Queue the window by the clock, and run every day of it."""
        engine = await self.apps[0].engine()
        await self.clock.sleep(86400)
        assert await engine.windows.due()
        done: list[Done] = []
        while delivery := await self.queue.receive(TRANSFER):
            done += await engine.pipeline.run(Message.from_json(delivery.body))
            await self.queue.complete(delivery)
        return done


@dataclass(frozen=True)
class Walk:
    """What one run over the window did. crm, site: calls; counts: rows, by how they ended; kinds: days likewise."""

    what: str
    crm: int
    site: int
    counts: Counter[str]
    least: int

    @property
    def calls(self) -> int:
        return self.crm + self.site


async def walk(world: WindowWorld, what: str, stored: int) -> Walk:
    """Run the window once. stored: rows of a day that the CRM has before."""
    for log in (world.crm.requests, world.site.requests):
        log.clear()
    done = await world.walk()
    counts: Counter[str] = Counter()
    for one in done:
        counts.update(one.outcome.counts)
    unfinished = [one for one in done if one.outcome.kind not in (Kind.CREATED, Kind.UPDATED, Kind.UNCHANGED)]
    if unfinished or len({one.key for one in done}) != len(done):
        raise SystemExit(f"{what}: a day did not end; nothing can be said")
    least = sum(_least(one, stored) for one in done)
    return Walk(what, _calls(world.crm.requests), _calls(world.site.requests), counts, least)


def _calls(log: RequestLog) -> int:
    return len(log.entries())


def _least(day: Done, stored: int) -> int:
    """The calls without which a day cannot be brought in line, by what it turned out to be."""
    counts = Counter(day.outcome.counts)
    told = counts["created"] + counts["changed"] + counts["unchanged"]
    reads = max(1, ceil(told / SOURCE_PAGE)) + max(1, ceil(stored / TARGET_PAGE))
    writes = ceil(counts["created"] / MESSAGE) + ceil(counts["changed"] / MESSAGE) + ceil(counts["deleted"] / BATCH)
    return reads + writes


def alter(site: PostOfficeSandbox, customers: int, days: Sequence[date]) -> Counter[str]:
    """One row in a hundred: of four one goes, the others change. Answers how many of each there are."""
    altered: Counter[str] = Counter()
    for day in days:
        for number, customer in enumerate(range(0, customers, 25)):
            gone = number % 4 == 3
            ship(site, customer, number % SERVICES, day, 0 if gone else 50)
            altered["deleted" if gone else "changed"] += 1
    return altered


async def walks(customers: int, days: int) -> list[Walk]:
    """The window while all of it is new, while nothing has changed, and after one row in a hundred has."""
    options = DataverseOptions(application_users=(CRM_CLIENT,), limits=False)
    async with WindowWorld(WHOLE, window_of(days), processes=1, crm=options) as world:
        today = (world.clock.now() + timedelta(days=1)).date()
        await fill(world.crm, world.site, customers, [today - timedelta(days=back) for back in range(days)])
        await link(await world.apps[0].engine(), customers)
        rows = customers * SERVICES
        first = await walk(world, "all new", 0)
        _expect(first, {"created": rows * days}, world)
        today += timedelta(days=1)
        kept = [today - timedelta(days=back) for back in range(1, days)]
        again = await walk(world, "nothing changed", rows)
        _expect(again, {"unchanged": rows * len(kept)}, world)
        today += timedelta(days=1)
        kept = [today - timedelta(days=back) for back in range(2, days)]
        altered = alter(world.site, customers, kept)
        changed = await walk(world, "one row in a hundred changed", rows)
        unchanged = rows * len(kept) - altered.total()
        _expect(changed, {**altered, "unchanged": unchanged}, world)
        return [first, again, changed]


def _expect(done: Walk, counts: dict[str, int], world: WindowWorld) -> None:
    if done.counts != Counter(counts) or world.crm.requests.unforeseen() or world.site.requests.unforeseen():
        raise SystemExit(f"{done.what}: {dict(done.counts)} instead of {counts}; nothing can be said")


def measure(customers: int = CUSTOMERS, days: int = DAYS) -> list[Figure]:
    """The figures of a window."""
    done: list[Walk] = []

    async def story() -> None:
        done.extend(await walks(customers, days))

    run_virtually(story())
    rows = customers * SERVICES
    return [
        Figure("B10", f"{one.what}, {rows} rows a day, {days} days: calls", "calls", one.calls, one.least,
               "the least that the limits allow", goal="at most 1.1")
        for one in done
    ]  # fmt: skip


# --- memory ---------------------------------------------------------------------------------------


@asynccontextmanager
async def _engine(addresses: Addresses, days: int) -> AsyncIterator[Engine]:
    """The app's engine over a store in a file, in real time."""
    settings: dict[str, str] = {
        "CROSSDOCK_LOCAL": "on",
        "CROSSDOCK_SYSTEMS": "dataverse,postoffice",
        "CROSSDOCK_SANDBOX_TOKEN_URL": addresses.sign_in,
        "CROSSDOCK_DATAVERSE_SANDBOX_URL": addresses.crm,
        "CROSSDOCK_DATAVERSE_ORGANIZATION_ID": "7d1e7a4c-2b5e-4c58-9a0b-3f6b2d1c8e55",
        "CROSSDOCK_DATAVERSE_IDENTITIES": f"{CRM_CLIENT}:made-up",
        "CROSSDOCK_POSTOFFICE_SANDBOX_URL": addresses.post,
        "CROSSDOCK_STORE_PATH": ":memory:",
        "CROSSDOCK_FINGERPRINT_KEY": "k1:a2V5IG9mIHRlc3RzLCAzMiBieXRlcyBsb25nLCAuLi4=",
        **WHOLE[1],
    }
    with TemporaryDirectory() as folder:
        rows = SqliteRows(Path(folder) / "store.sqlite", TABLES, environment={})
        outside = Outside(clock=SystemClock(), queue=CountingQueue(), rows=rows)
        app = App(settings, outside, window_of(days).model_dump_json().encode())
        yield await app.engine()
        await app.aclose()
        await rows.aclose()


async def _grown(addresses: Addresses, customers: int, days: int) -> dict[str, float]:
    """Run the days one after another, twice; the megabytes that this process grew by, and rows that were created."""
    async with _engine(addresses, days) as engine:
        await link(engine, customers)
        prepared = await engine.pipeline.prepare(TRANSFER)
        gc.collect()
        before = resident("VmRSS")
        forget_peak()
        created = 0
        today = engine.pipeline.ports.clock.now()
        for run in range(2):
            for back in range(days):
                day = (today.date() - timedelta(days=back)).isoformat()
                told = f"bench/{run}/{day}"
                message = Message(TRANSFER, Side.RIGHT, prepared.source_table, (day,), "walk", today, 0, told, told)
                (done,) = await engine.pipeline.run(message)
                created += done.outcome.counts.get("created", 0)
        return {"rows": created, "megabytes": resident("VmHWM") - before}


async def _in_a_process(customers: int, days: int) -> float:
    """Megabytes that another process needed; it must have created every row."""
    async with running(shippers=customers, days=days) as addresses:
        told = json.dumps({"addresses": asdict(addresses), "customers": customers, "days": days})
        arguments = ["-m", "tests.bench.statistics", "--child", told]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        grown: dict[str, Any] = json.loads(said or b"{}")
        if process.returncode or grown["rows"] != customers * SERVICES * days:
            raise SystemExit(f"{customers} customers, {days} days: not every row was created; nothing can be said")
        return float(grown["megabytes"])


def measure_memory(few: int, many: int, days: int) -> list[Figure]:
    """The memory of a day of few and of many customers, and of many days."""
    if not STATUS.exists():
        raise SystemExit("the memory of a process is read from /proc; run it on Linux")
    one_day = {customers: asyncio.run(_in_a_process(customers, 1)) for customers in (few, many)}
    all_days = asyncio.run(_in_a_process(many, days))
    return [
        Figure("B10", f"one day of {many} customers: memory", "MB", one_day[many], one_day[few],
               f"one day of {few} customers", goal="flat"),
        Figure("B10", f"{days} days of {many} customers: memory", "MB", all_days, one_day[many],
               f"one day of {many} customers", goal="at most 1.1"),
    ]  # fmt: skip


def _pair(text: str) -> tuple[int, int]:
    few, _, many = text.partition(",")
    if not (few.isdigit() and many.isdigit() and 0 < int(few) < int(many)):
        raise argparse.ArgumentTypeError(f"{text!r}: give a small and a large number of customers, e.g. 500,5000")
    return int(few), int(many)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.statistics", description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help=f"how many, with {SERVICES} services each")
    parser.add_argument("--days", type=int, default=DAYS, help="how many the window has")
    parser.add_argument("--memory", type=_pair, help="measure memory, for few and for many customers")
    parser.add_argument("--child", help="do only this, in this process")
    wish = parser.parse_args(arguments)
    if wish.child:
        told = json.loads(wish.child)
        addresses = Addresses(**told["addresses"])
        print(json.dumps(asyncio.run(_grown(addresses, told["customers"], told["days"]))))
    elif wish.memory:
        few, many = wish.memory
        print(table(measure_memory(few, many, wish.days)))
    else:
        print(table(measure(wish.customers, wish.days)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
