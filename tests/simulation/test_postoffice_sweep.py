"""PostOffice's transfers under crashes, lost answers and people: nothing lost, doubled, stale or brought back.

Every story at one of the two sites, with one point that is struck, so that all checks stay short;
`python -m tests.simulation.postoffice_sweep` has every point of every story at both sites.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.postoffice_stories import STORIES, PostStory
from tests.simulation.site_sweep import request_by_request, wrong_in

POINTS = 1
REQUESTS = 3
IN_TURN = [story for number, story in enumerate(STORIES) if number % 4 in (0, 3)]
"""The stories stand in pairs, the one at the rich site first."""


@pytest.mark.parametrize("story", IN_TURN, ids=lambda story: story.name)
def test_every_effect_of_postoffices_transfers_may_fail(story: PostStory) -> None:
    """R-092, R-098, R-102, R-103, R-105, R-106, R-107, R-110, R-111, R-113, R-114, R-115: with the real connectors; an
    unlink in the middle of a running transfer resurrects nothing."""
    assert asyncio.run(wrong_in(story, POINTS)) == []


WRITTEN = (
    "becomes a customer",
    "finds its customer",
    "deleted",
    "merged",
    "account manager",
    "contact moves",
    "location",
)
OF_SEVERAL_REQUESTS = [
    request_by_request(story)
    for number, story in enumerate(STORIES)
    if number % 4 in (1, 2) and any(part in story.name for part in WRITTEN)
]
"""What writes into PostOffice by more than one request, each at the other site than above."""


@pytest.mark.parametrize("story", OF_SEVERAL_REQUESTS, ids=lambda story: story.name)
def test_every_request_of_a_write_may_fail(story: PostStory) -> None:
    """R-084, R-091, R-107, R-110, R-114, R-115: the process dies, or an answer is lost, between the requests of one
    write, such as that of the CRM's id and that of the other fields."""
    assert asyncio.run(wrong_in(story, REQUESTS)) == []
