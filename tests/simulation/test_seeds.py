"""Random worlds by seed: people on both sides, two or three workers, faults at every port, lost, doubled and late
notices."""

from __future__ import annotations

import pytest

from tests.simulation.loop import run_virtually
from tests.simulation.stories import seeded


@pytest.mark.parametrize("first", range(0, 160, 20))
def test_both_systems_agree_once_it_is_quiet(first: int) -> None:
    """R-041, R-042: any failure names its seed; `python -m tests.simulation --seed N` runs it alone."""
    wrong = {seed: found for seed in range(first, first + 20) if (found := run_virtually(seeded(seed))[1])}
    assert wrong == {}
