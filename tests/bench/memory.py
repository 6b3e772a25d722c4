"""B6: the memory of a first load, beside all of the same records in a list, each in a process of its own.

    python -m tests.bench.memory --records 10000,100000

`--only B6` of the benchmarks takes smaller numbers. The sandboxes run in another process. What counts is the most that
the process ever held resident, less what it held when everything was connected and nothing read. Most of a load's is
there from the first chunks on, whatever follows, and how many records meet in hand at the fullest moment differs by
some 1.5 MB from run to run: so the two numbers should lie far apart. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from local.definitions import read_definition
from shared.app import App, Outside
from shared.clock import SystemClock
from shared.engine import Engine
from shared.stores.match_index import TemporaryMatchIndex
from shared.stores.sqlite_rows import SqliteRows
from shared.stores.stores import TABLES
from shared.sync.definition import Index
from shared.sync.loading import PAGE, Loading, pipeline_for_load
from shared.sync.outcome import Kind
from shared.sync.ports import Record
from tests.bench.accept import CountingQueue
from tests.bench.figures import Figure, table
from tests.bench.place import DEFINITION, TO_CRM, environment
from tests.bench.servers import ROOT, Addresses, running

FEW: Final = (1_000, 3_000)
STATUS: Final = Path("/proc/self/status")
MEGABYTE: Final = 1024.0


@asynccontextmanager
async def _engine(addresses: Addresses) -> AsyncIterator[Engine]:
    """The app's engine over a store in a file and a queue that keeps nothing."""
    index = Index(definitions=(read_definition((ROOT / DEFINITION).read_text("utf-8"), DEFINITION),))
    with TemporaryDirectory() as folder:
        rows = SqliteRows(Path(folder) / "store.sqlite", TABLES, environment={})
        outside = Outside(clock=SystemClock(), queue=CountingQueue(), rows=rows)
        app = App(environment(addresses), outside, index.model_dump_json().encode())
        yield await app.engine()
        await app.aclose()
        await rows.aclose()


async def _load(engine: Engine) -> int:
    """Load all customers into the CRM; answers how many became accounts."""
    definition, transfer = next(pair for pair in engine.index.transfers() if pair[1].name == TO_CRM)
    index = TemporaryMatchIndex()
    pipeline = pipeline_for_load(engine.pipeline.ports, engine.index, transfer.name, index, alone=True)
    try:
        progress = await Loading(pipeline, definition, transfer, index, lambda _: None).run()
    finally:
        index.close()
    return progress.outcomes[Kind.CREATED]


async def _list(engine: Engine) -> int:
    """Read all customers into a list; answers how many there are."""
    prepared = await engine.pipeline.prepare(TO_CRM)
    records: list[Record] = []
    async for page in prepared.source.pages(prepared.source_table, None, prepared.source_columns, PAGE):
        records += page.records
    return len(records)


async def _grown(addresses: Addresses, how: str) -> dict[str, float]:
    """Do one of both in this process; answers records and megabytes."""
    async with _engine(addresses) as engine:
        await engine.pipeline.prepare(TO_CRM)
        gc.collect()
        before = resident("VmRSS")
        forget_peak()
        records = await (_load if how == "load" else _list)(engine)
        return {"records": records, "megabytes": resident("VmHWM") - before}


def forget_peak() -> None:
    """Let the peak be counted from here."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def resident(name: str) -> float:
    """Megabytes of this process, by their name in its status."""
    line = next(line for line in STATUS.read_text("ascii").splitlines() if line.startswith(name))
    return int(line.split()[1]) / MEGABYTE


async def _in_a_process(addresses: Addresses, how: str, records: int) -> float:
    """Megabytes that another process needed for it; it must have handled every record."""
    arguments = ["-m", "tests.bench.memory", "--child", how, "--addresses", json.dumps(asdict(addresses))]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the process that was to {how} {records} records failed")
    grown = json.loads(told)
    if grown["records"] != records:
        raise SystemExit(f"{grown['records']} records instead of {records}; nothing can be said")
    return float(grown["megabytes"])


async def _measured(sizes: Sequence[int]) -> dict[int, dict[str, float]]:
    """Megabytes by number of records and way."""
    found: dict[int, dict[str, float]] = {}
    for size in sizes:
        async with running(customers=size) as addresses:
            found[size] = {how: await _in_a_process(addresses, how, size) for how in ("list", "load")}
    return found


def measure(sizes: tuple[int, int] = FEW) -> list[Figure]:
    """The figures for a small and a large number of records."""
    if not STATUS.exists():
        raise SystemExit("B6 reads the memory of a process from /proc; run it on Linux")
    small, large = sizes
    found = asyncio.run(_measured(sizes))
    per_record = {how: (found[large][how] - found[small][how]) / (large - small) for how in ("list", "load")}
    return [
        *(
            Figure("B6", f"load of {size} records: memory", "MB", found[size]["load"], found[size]["list"],
                   "the same records in a list")
            for size in sizes
        ),
        Figure("B6", f"from {small} to {large} records, for each 100,000 more", "MB", per_record["load"] * 100_000,
               per_record["list"] * 100_000, "the same records in a list", goal="at most 0.1"),
    ]  # fmt: skip


def _sizes(text: str) -> tuple[int, int]:
    small, _, large = text.partition(",")
    if not (small.isdigit() and large.isdigit() and 0 < int(small) < int(large)):
        raise argparse.ArgumentTypeError(f"{text!r}: give a small and a large number of records, e.g. 10000,100000")
    return int(small), int(large)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__)
    parser.add_argument("--records", type=_sizes, default=FEW, help="a small and a large number, e.g. 10000,100000")
    parser.add_argument("--child", choices=("load", "list"), help="do only this, in this process")
    parser.add_argument("--addresses", help="of running sandboxes, for --child")
    wish = parser.parse_args(arguments)
    if wish.child:
        print(json.dumps(asyncio.run(_grown(Addresses(**json.loads(wish.addresses)), wish.child))))
    else:
        print(table(measure(wish.records)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
