"""Two workers at the same records, in every order with one change of turn, many with two, and with a fault in between.

`python -m tests.simulation.interleaving` explores all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from shared.sync.ports import Value
from tests.simulation.interleaving import (
    MEETINGS,
    TO_THE_END,
    Explored,
    Meeting,
    edited_after,
    explored,
    explored_with_faults,
)


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


@pytest.mark.parametrize("edit", [{"name": "Typed in vain"}, {"telephone1": "+390471000777"}], ids=["theirs", "ours"])
def test_an_edit_at_any_moment_of_a_create_needs_no_walk(edit: Mapping[str, Value]) -> None:
    """R-042, R-058, R-060: what somebody edits while the customer is being made goes over or is put back by its own
    notice, though that may come before there is a link."""

    async def story() -> dict[int, list[str]]:
        effects = 1 + (await edited_after(TO_THE_END, edit))[0].passed[0]
        found = {effect: (await edited_after(effect, edit))[1] for effect in range(1, effects)}
        return {effect: wrong for effect, wrong in found.items() if wrong}

    assert asyncio.run(story()) == {}
