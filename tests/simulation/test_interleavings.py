"""Two workers at the same records, in every order with one change of turn, many with two, and with a fault in between.

`python -m tests.simulation.interleaving` explores all of them.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.interleaving import MEETINGS, Explored, Meeting, explored, explored_with_faults


async def everything(meeting: Meeting) -> list[Explored]:
    return [
        await explored(meeting, turns=1),
        await explored(meeting, turns=2, every=47),
        await explored_with_faults(meeting, every=10),
    ]


@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.name)
def test_whoever_comes_first_both_systems_end_with_one_pair_that_agrees(meeting: Meeting) -> None:
    """R-041, R-042, R-054: nothing is doubled, lost, half linked or needlessly written, whatever the order."""
    found = asyncio.run(everything(meeting))
    assert [one.wrong for one in found] == [{}, {}, {}]
    assert sum(one.orders for one in found) >= 40
