"""What the benchmarks report: figures beside their baseline of the same run, as a table or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside its baseline. goal: in words, for people; nothing is asserted on it.

    spread: the least and the largest of the rounds, of the figure itself.
    """

    case: str
    what: str
    unit: str
    value: float
    baseline: float
    baseline_is: str
    goal: str = ""
    spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float | None:
        """The figure by its baseline; None for a baseline of nothing."""
        return self.value / self.baseline if self.baseline else None

    def as_json(self) -> dict[str, object]:
        """The figure as plain values."""
        return {
            "case": self.case,
            "what": self.what,
            "unit": self.unit,
            "value": round(self.value, 3),
            "baseline": round(self.baseline, 3),
            "baseline_is": self.baseline_is,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": self.goal,
            "spread": None if self.spread is None else [round(one, 3) for one in self.spread],
        }


Work = Callable[[], Awaitable[int]]
"""Does some units of work and answers how many."""


async def processor_seconds(work: Work) -> float:
    """Processor time of this process, user and system, per unit of work."""
    before = time.process_time()
    units = await work()
    return (time.process_time() - before) / units


async def in_turn(contestants: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds per unit of each, round by round: they take turns, and every other round in reverse order, so that other
    work on the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        order = list(contestants.items())
        for name, work in reversed(order) if number % 2 else order:
            seconds[name].append(await processor_seconds(work))
    return seconds


def compared(
    case: str, what: str, unit: str, times: float, rounds: Sequence[float], baseline: Sequence[float], **words: str
) -> Figure:
    """A figure of medians; `times` turns seconds into the unit."""
    spread = (min(rounds) * times, max(rounds) * times)
    return Figure(case, what, unit, median(rounds) * times, median(baseline) * times, **words, spread=spread)


def table(figures: Sequence[Figure]) -> str:
    """All figures for people."""
    head = ("case", "figure", "unit", "measured", "rounds", "baseline", "is", "ratio", "goal")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    spread = "" if figure.spread is None else f"{_number(figure.spread[0])} to {_number(figure.spread[1])}"
    measured, baseline = _number(figure.value), _number(figure.baseline)
    return figure.case, figure.what, figure.unit, measured, spread, baseline, figure.baseline_is, ratio, figure.goal


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"


def as_json(machine: Mapping[str, object], figures: Sequence[Figure]) -> str:
    """All figures for programs."""
    return json.dumps({"machine": dict(machine), "figures": [one.as_json() for one in figures]}, indent=2)
