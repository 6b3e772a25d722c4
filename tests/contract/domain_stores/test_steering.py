"""Watermarks, switches, modes and breakers: written by condition, so that two who steer at once notice each other.

Subscriptions: one row each, the last look counts. Compares: who comes second does not go on. Evaluations: the same, by
opportunity.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from shared.errors import StoreUnavailable
from shared.sales_cockpit.ports import EvaluationRow, Stage
from shared.stores.stores import Stores
from shared.sync.ports import (
    BreakerRow,
    CompareRow,
    EnvironmentRow,
    Mode,
    RowTaken,
    SiteMode,
    SiteModeRow,
    SubscriptionRow,
    Switch,
    Watermark,
)
from tests.contract.domain_stores.fakes import START, WatchedRows


async def test_a_watermark_moves_from_walk_to_walk(stores: Stores) -> None:
    """It begins as nothing; None and empty text are different places."""
    assert await stores.watermarks.get("account/full") is None
    first = await stores.watermarks.put("account/full", Watermark(None))
    assert await stores.watermarks.get("account/full") == first
    assert first.value is None
    second = await stores.watermarks.put("account/full", replace(first, value="", done_at=START))
    assert await stores.watermarks.get("account/full") == second
    assert second.value == ""


async def test_a_walk_that_comes_second_does_not_move_the_watermark(stores: Stores) -> None:
    """Two walks begin at the same watermark; the slower one must not set it back."""
    start = await stores.watermarks.put("account", Watermark("100"))
    await stores.watermarks.put("account", replace(start, value="300"))
    with pytest.raises(RowTaken):
        await stores.watermarks.put("account", replace(start, value="200"))
    with pytest.raises(RowTaken):
        await stores.watermarks.put("account", Watermark("100"))


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_a_watermark_whose_answer_was_lost_may_be_put_again(stores: Stores, rows: WatchedRows, way: str) -> None:
    """The walk finds its own watermark there and goes on."""
    mark = await stores.watermarks.put("account", Watermark("100"))
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.watermarks.put("account", replace(mark, value="200"))
    moved = await stores.watermarks.put("account", replace(mark, value="200"))
    assert await stores.watermarks.get("account") == moved


async def test_a_transfer_is_off_until_somebody_switches_it_on(stores: Stores) -> None:
    """The mode that nobody ever set can be put like any other."""
    off = await stores.modes.get("account_to_business_central")
    assert off == Mode("account_to_business_central", Switch.OFF)
    on = await stores.modes.put(replace(off, switch=Switch.ON, since=START, by="operator", reason="load is done"))
    assert await stores.modes.get("account_to_business_central") == on


async def test_what_a_brake_stopped_is_not_switched_on_unseen(stores: Stores) -> None:
    """A person decided on what the page showed; the brake was faster."""
    shown = await stores.modes.put(Mode("account_to_business_central", Switch.OFF, START, "operator"))
    await stores.modes.put(replace(shown, switch=Switch.STOPPED, by="brake", reason="creates_per_hour"))
    with pytest.raises(RowTaken):
        await stores.modes.put(replace(shown, switch=Switch.ON))


async def test_a_site_has_no_mode_until_somebody_chooses_one(stores: Stores) -> None:
    """Towards each partner its own; of two who choose at once one is told."""
    none = await stores.site_modes.get("postoffice", "dataverse")
    assert none == SiteModeRow("postoffice", "dataverse", SiteMode.NONE)
    chosen = replace(none, mode=SiteMode.AUTOMATIC, since=START, by="operator", reason="linked", acknowledged=17)
    moved = await stores.site_modes.put(chosen)
    assert await stores.site_modes.get("postoffice", "dataverse") == moved
    assert (await stores.site_modes.get("postoffice", "crm_test")).mode is SiteMode.NONE
    with pytest.raises(RowTaken):
        await stores.site_modes.put(replace(none, mode=SiteMode.MANUAL))


async def test_a_breaker_comes_back_as_it_was_put(stores: Stores) -> None:
    """Closed at first; then with everything that was remembered."""
    closed = await stores.breakers.get("business_central", "production/Nordwind & Co.")
    assert closed == BreakerRow("business_central", "production/Nordwind & Co.")
    row = replace(closed, open=True, failures=5, opened_at=START, next_probe_at=START, probes=2, code="CD-1001")
    opened = await stores.breakers.put(row)
    assert await stores.breakers.get("business_central", "production/Nordwind & Co.") == opened


async def test_only_one_of_those_who_want_to_probe_does(stores: Stores) -> None:
    """In the same moment ten runs write the very same row; equal content makes nobody the owner of the probe."""
    shut = await stores.breakers.put(BreakerRow("dataverse", "nordwind", open=True, opened_at=START))
    probe = replace(shut, probes=1, next_probe_at=START)
    results = await asyncio.gather(*(stores.breakers.put(probe) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, BreakerRow) for result in results) == 1
    assert sum(isinstance(result, RowTaken) for result in results) == 9


async def test_a_subscription_is_known_as_it_was_last_seen(stores: Stores) -> None:
    """Nothing is known of a table that nobody looked at; rows can be listed and removed."""
    place = "business_central", "production/Nordwind & Co.", "customers"
    assert await stores.subscriptions.get(*place) is None
    first = SubscriptionRow(*place, looked_at=START, code="CD-1014")
    await stores.subscriptions.put(first)
    assert await stores.subscriptions.get(*place) == first
    second = SubscriptionRow(*place, id="c670ea73", made_at=START, expires_at=START, looked_at=START)
    other = replace(second, table="items")
    for row in (second, other, other):
        await stores.subscriptions.put(row)
    assert list(await stores.subscriptions.all()) == [second, other]
    await stores.subscriptions.remove(second)
    await stores.subscriptions.remove(second)
    assert list(await stores.subscriptions.all()) == [other]


async def test_an_environment_is_remembered_with_who_wished_it(stores: Stores) -> None:
    """None at first; then what was put, by condition: of two who adopt at once one is told."""
    assert await stores.environments.get("dataverse") is None
    first = await stores.environments.put(EnvironmentRow("dataverse", "org", START, "", "first use"))
    assert await stores.environments.get("dataverse") == first
    adopted = replace(first, environment="other", by="ticket-17", former="org")
    assert await stores.environments.put(adopted) == await stores.environments.get("dataverse")
    with pytest.raises(RowTaken):
        await stores.environments.put(replace(first, environment="third"))
    with pytest.raises(RowTaken):
        await stores.environments.put(EnvironmentRow("dataverse", "fourth"))


async def test_of_two_steps_of_a_compare_one_goes_on(stores: Stores) -> None:
    """It begins as nothing, keeps its place, and a repetition after a lost answer is one's own."""
    pair = "account = customers"
    fresh = await stores.compares.get(pair)
    assert fresh == CompareRow(pair)
    began = await stores.compares.put(replace(fresh, run="r1", phase="links", sides="left,right", started_at=START))
    moved = await stores.compares.put(replace(began, place="A-1", sent=2, looked=100, differing=3, moved_at=START))
    assert await stores.compares.get(pair) == moved
    with pytest.raises(RowTaken):
        await stores.compares.put(replace(began, place="A-2"))
    again = await stores.compares.put(replace(moved, etag=began.etag))
    assert replace(again, etag="") == replace(moved, etag="")


async def test_of_two_evaluations_that_want_an_opportunity_one_is_told(stores: Stores) -> None:
    """None at first; then what was put, by condition, and each organisation's opportunities for themselves."""
    assert await stores.evaluations.get("dataverse/nordwind", "o-1") is None
    first = EvaluationRow("dataverse/nordwind", "o-1", "e-1", START, Stage.RESERVED)
    reserved = await stores.evaluations.put(first)
    assert await stores.evaluations.get("dataverse/nordwind", "o-1") == reserved
    assert await stores.evaluations.get("dataverse/other", "o-1") is None
    assert await stores.evaluations.get("dataverse/nordwind", "o-2") is None
    with pytest.raises(RowTaken):
        await stores.evaluations.put(replace(first, evaluation="e-2"))
    taken = await stores.evaluations.put(replace(reserved, evaluation="e-2", overtook=True))
    with pytest.raises(RowTaken):
        await stores.evaluations.put(replace(reserved, stage=Stage.CONFIRMED))
    assert await stores.evaluations.get("dataverse/nordwind", "o-1") == taken


@pytest.mark.parametrize("way", ["lose", "quietly"])
async def test_an_evaluation_whose_answer_was_lost_may_be_put_again(
    stores: Stores, rows: WatchedRows, way: str
) -> None:
    """Whoever writes the same evaluation wishes the same."""
    reserved = await stores.evaluations.put(EvaluationRow("dataverse", "o-1", "e-1", START, Stage.RESERVED))
    confirmed = replace(reserved, stage=Stage.CONFIRMED)
    setattr(rows, way, 1)
    if way == "lose":
        with pytest.raises(StoreUnavailable):
            await stores.evaluations.put(confirmed)
    stored = await stores.evaluations.put(confirmed)
    assert await stores.evaluations.get("dataverse", "o-1") == stored
