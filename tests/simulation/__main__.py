"""Run random worlds at length: `python -m tests.simulation --first 0 --count 1000`, or one alone with `--seed N`.

Exit code 0: every world ended right; 1: the seeds named did not.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.loop import run_virtually
from tests.simulation.stories import seeded
from tests.simulation.world import World


def run(program: str, seeded: Callable[[int], Coroutine[Any, Any, tuple[World, list[str]]]]) -> int:
    """Run the worlds that the command line names, and tell what was wrong."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int)
    told = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seeds = [told.seed] if told.seed is not None else range(told.first, told.first + told.count)
    wrong = faults = crashes = 0
    for number, seed in enumerate(seeds, start=1):
        world, found = run_virtually(seeded(seed))
        faults, crashes, wrong = faults + world.faults.struck, crashes + world.crashes, wrong + bool(found)
        if found:
            print(f"seed {seed}: {'; '.join(found)}")
        if number % 50 == 0:
            print(f"{number} worlds, {faults} faults, {crashes} crashes, {wrong} wrong", file=sys.stderr)
    print(f"{len(seeds)} worlds, {faults} faults, {crashes} crashes, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run("tests.simulation", seeded))
