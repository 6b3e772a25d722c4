"""The benchmarks: `manage.py bench`, or `python -m tests.bench [--only B1,B2,B3] [--rounds N] [--json]`.

Each figure stands beside its baseline of the same run. Figures are the median of the rounds; nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench import accept, calls, checks, clients, load, memory, outage, statistics, tables, transfer
from tests.bench.figures import Figure, as_json, table

CASES: Mapping[str, Callable[[int], list[Figure]]] = {
    "B1": accept.measure,
    "B2": transfer.measure,
    "B3": lambda _: calls.measure(),
    "B4": lambda _: load.measure(),
    "B5": tables.measure,
    "B6": lambda _: memory.measure(),
    "B8": lambda _: outage.measure(),
    "B9": clients.measure,
    "B10": lambda _: statistics.measure(),
    "B11": lambda _: checks.measure(),
}


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "system": platform.system(),
        "load": None if load is None else round(load, 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _cases(text: str) -> list[str]:
    names = [name.strip().upper() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in CASES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{text!r}: give some of {', '.join(CASES)}")
    return names


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 on")
    return int(text)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0."""
    parser = argparse.ArgumentParser(prog="manage.py bench", description="The benchmarks, each beside its baseline.")
    parser.add_argument("--only", type=_cases, default=list(CASES), help="which ones, e.g. B1,B3")
    parser.add_argument("--rounds", type=_rounds, default=7, help="rounds of which the median counts (7)")
    parser.add_argument("--json", action="store_true", help="for programs")
    wish = parser.parse_args(arguments)
    about = machine()
    figures = [figure for case in wish.only for figure in CASES[case](wish.rounds)]
    if wish.json:
        print(as_json(about, figures))
    else:
        print(", ".join(f"{name} {value}" for name, value in about.items()) + f", rounds {wish.rounds}\n")
        print(table(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
