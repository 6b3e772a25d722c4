"""Field service's transfers under crashes, lost answers and people: nothing lost, doubled, stale or brought back.

Every story at one of the three sites in turn, with one point that is struck, so that all checks stay short;
`python -m tests.simulation.field_service_sweep` has every point of every story at every site.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.field_service import SITES
from tests.simulation.field_service_stories import STORIES, FieldStory
from tests.simulation.site_sweep import wrong_in

POINTS = 1
IN_TURN = [story for number, story in enumerate(STORIES) if number % len(SITES) == number // len(SITES) % len(SITES)]
"""The stories stand in threes, one for each site."""


@pytest.mark.parametrize("story", IN_TURN, ids=lambda story: story.name)
def test_every_effect_of_field_services_transfers_may_fail(story: FieldStory) -> None:
    """R-205, R-206, R-207, R-208, R-209, R-210, R-211, R-214, R-216, R-217, R-218, R-219, R-234: with the real
    connectors; an unlink in the middle of a running transfer resurrects nothing."""
    assert asyncio.run(wrong_in(story, POINTS)) == []
