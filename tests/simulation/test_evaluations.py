"""Older and newer evaluations of one opportunity at the same time, in every order, and with a fault at any effect."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.evaluations import Meeting, edits, evaluation, explored, rates, sampled

OLDER, NEWER, NEWEST = evaluation(1, 40), evaluation(2, 70), evaluation(3, 90)
AS_BEFORE = evaluation(2, 10)
"""Newer, and rated as the opportunity stands already."""


@pytest.mark.parametrize(
    "meeting",
    [
        Meeting([rates(OLDER), rates(NEWER)]),
        Meeting([rates(OLDER), rates(AS_BEFORE)], best=frozenset({10})),
        Meeting([rates(NEWER), rates(NEWER)]),
    ],
    ids=["older and newer", "the newer one changes nothing", "the same one twice"],
)
def test_whatever_the_order_the_newest_evaluation_stands_in_the_opportunity(meeting: Meeting) -> None:
    """R-003, R-017, R-026: older ones that overlap never end up over it, and no run ends without an answer."""
    found = asyncio.run(explored(meeting))
    assert found.wrong == []
    assert found.orders > 100


@pytest.mark.parametrize(
    "meeting",
    [
        Meeting([rates(OLDER), rates(NEWER)], faults=True),
        Meeting([rates(OLDER), rates(AS_BEFORE)], best=frozenset({10}), faults=True),
        Meeting([rates(OLDER), rates(NEWER), rates(NEWER)], faults=True),
        Meeting([rates(OLDER), rates(NEWER), rates(NEWEST)], best=frozenset({90}), faults=True),
        Meeting([rates(OLDER), rates(NEWER)], held=70, faults=True),
    ],
    ids=["two", "the newer one changes nothing", "the newer one twice", "three", "the newer one stands there already"],
)
def test_after_a_fault_at_any_effect_the_next_look_brings_the_newest(meeting: Meeting) -> None:
    """R-003, R-017: a run dies, loses an answer, or its write is carried out late; nothing of it stays for good."""
    found = asyncio.run(sampled(meeting, 400))
    assert found.wrong == []


def test_what_a_person_types_in_meanwhile_is_never_replaced_by_an_older_evaluation() -> None:
    """R-006: it stands, or the newest evaluation does."""
    meeting = Meeting([rates(OLDER), rates(NEWER), edits(55)], best=frozenset({70, 55}))
    assert asyncio.run(sampled(meeting, 400)).wrong == []
