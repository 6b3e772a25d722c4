"""Several processes at a system's limits: never above them, hardly below them, whatever happens to a process or to the
store. Everything in virtual time, against sandboxes that enforce the limits of the vendors' documents."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sandbox.business_central import BusinessCentralOptions
from sandbox.dataverse import DataverseOptions
from sandbox.faults import FaultKind, FaultRule
from shared.allotment import LEASE, MARGIN
from tests.scenarios.account_customer.world import virtually
from tests.scenarios.limits.processes import APPLICATION, Process, business_central_place, dataverse_place

SLOW = BusinessCentralOptions(latency_seconds=(0.4, 0.8))
"""A server so slow that five at once stay below the number of requests allowed."""
QUICK = BusinessCentralOptions(latency_seconds=(0.05, 0.15))
"""A server so quick that the number of requests is the limit."""


@virtually
async def test_one_process_uses_all_five_places_and_not_a_sixth() -> None:
    """After a second of asking; the callers are many more."""
    async with business_central_place(SLOW) as place:
        one = place.process()
        one.work(callers=20)
        await asyncio.sleep(120)
        assert place.door.most == 5
        assert one.done >= 0.97 * 120 * 5 / 0.6


@virtually
async def test_two_processes_together_never_have_more_than_five_under_way() -> None:
    """From the first moment on, while the second comes, while both work, and after one has gone."""
    async with business_central_place(SLOW) as place:
        first, second = place.process(), place.process()
        first.work(callers=20)
        await asyncio.sleep(30)
        second.work(callers=20)
        await asyncio.sleep(20)
        before = second.done
        await asyncio.sleep(60)
        share = (second.done - before) / (60 * 5 / 0.6)
        assert 0.35 <= share <= 0.65
        await first.stop()
        await asyncio.sleep(10)
        before = second.done
        await asyncio.sleep(60)
        assert second.done - before >= 0.95 * 60 * 5 / 0.6
        assert place.door.most == 5
        assert place.door.answers.keys() == {200}


@pytest.mark.parametrize("number", [3, 8])
def test_any_number_of_processes_stays_within_the_limit_and_all_get_on(number: int) -> None:
    """Also when there are more processes than permits: each gets its turn."""

    @virtually
    async def story() -> None:
        async with business_central_place(SLOW) as place:
            for _ in range(number):
                place.process().work(callers=3)
            await asyncio.sleep(300)
            assert place.door.most <= 5
            assert all(process.done for process in place.processes)
            assert sum(process.done for process in place.processes) >= 0.85 * 300 * 5 / 0.6

    story()


@virtually
async def test_the_permits_of_a_killed_process_come_back_after_its_lease() -> None:
    """Until then the other one goes on with its share; nothing exceeds the limit in between."""
    async with business_central_place(SLOW) as place:
        killed, other = place.process(), place.process()
        killed.work(callers=20)
        other.work(callers=20)
        await asyncio.sleep(30)
        await killed.kill()
        place.door.most_lately = 0
        await asyncio.sleep(20)
        assert place.door.most_lately < 5
        await asyncio.sleep((LEASE + MARGIN).total_seconds())
        place.door.most_lately = 0
        await asyncio.sleep(10)
        assert (place.door.most_lately, place.door.most) == (5, 5)


@virtually
async def test_a_process_that_ends_or_rests_gives_its_permits_back() -> None:
    """At the end at once; after ten seconds without a request by itself."""
    async with business_central_place(SLOW) as place:
        ending, resting = place.process(), place.process()
        ending.work(callers=20)
        await asyncio.sleep(10)
        assert await place.permits_held() == 5
        await ending.stop()
        assert await place.permits_held() == 0
        resting.work(callers=20)
        await asyncio.sleep(10)
        await resting.rest()
        await asyncio.sleep(15)
        assert await place.permits_held() == 0


@virtually
async def test_without_the_store_each_process_makes_do_with_one_request_at_a_time() -> None:
    """What was held is used until it lapses; then one each, until the store is back."""
    async with business_central_place(SLOW) as place:
        first, second = place.process(), place.process()
        for process in (first, second):
            process.work(callers=20)
        await asyncio.sleep(60)
        place.rows.down = True
        await asyncio.sleep(60)
        place.door.most_lately = 0
        await asyncio.sleep(30)
        assert place.door.most_lately == 2
        place.rows.down = False
        await asyncio.sleep(30)
        place.door.most_lately = 0
        await asyncio.sleep(10)
        assert (place.door.most_lately, place.door.most) == (5, 5)


@virtually
async def test_a_process_that_never_saw_the_store_works_too() -> None:
    """With the smallest share, and without asking the store for each request."""
    async with business_central_place(SLOW) as place:
        place.rows.down = True
        lone = place.process()
        lone.work(callers=20)
        await asyncio.sleep(60)
        assert place.door.most == 1
        assert lone.done > 60
        assert len(place.rows.asked) <= 30


@pytest.mark.parametrize("number", [1, 2])
def test_thousands_of_calls_at_business_centrals_limit(number: int) -> None:
    """At least 97 % of 6000 requests in five minutes are used, at most 0.5 % of the answers are 429; two store calls
    in a few seconds for each process, however many requests there are."""

    @virtually
    async def story() -> None:
        async with business_central_place(QUICK) as place:
            for _ in range(number):
                place.process().work(callers=20)
            await asyncio.sleep(400)
            assert place.door.answers[200] >= 0.97 * 400 * 20
            assert place.door.share_refused <= 0.005
            assert place.door.most <= 5
            assert len(place.rows.asked) <= number * 400 * 0.6

    story()


@virtually
async def test_thousands_of_calls_at_dataverses_limit() -> None:
    """One server with 6000 requests in five minutes, and a hint of eight at once: the gate opens and shuts, 97 % of
    the limit are used, and 429 is as rare as its Retry-After is obeyed."""
    options = DataverseOptions(web_servers=1, dop_hint=8, latency_seconds=0.1, application_users=(APPLICATION,))
    async with dataverse_place(options) as place:
        for _ in range(2):
            place.process().work(callers=16)
        await asyncio.sleep(900)
        assert place.door.answers[200] >= 0.97 * 900 * 20
        assert place.door.share_refused <= 0.005
        assert place.door.most <= 8


@virtually
async def test_a_long_wait_that_one_process_is_asked_for_is_kept_by_the_others() -> None:
    """Going on while limited lengthens the limit: the second process does not find out by a 429 of its own."""
    async with business_central_place(SLOW) as place:
        first, second = place.process(), place.process()
        for process in (first, second):
            process.work(callers=5)
        await asyncio.sleep(30)
        place.faults.add(FaultRule(FaultKind.THROTTLED, times=1, retry_after_seconds=120))
        await asyncio.sleep(10)
        before = (first.done, second.done)
        await asyncio.sleep(100)
        assert (first.done, second.done) == before
        assert place.door.answers[429] == 1
        await asyncio.sleep(30)
        assert first.done > before[0]
        assert second.done > before[1]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("weight", [1, 100])
@pytest.mark.parametrize("options", [SLOW, QUICK], ids=["slow", "quick"])
def test_one_refusal_costs_its_wait_and_little_more(options: BusinessCentralOptions, weight: int, number: int) -> None:
    """Single requests and batches of a hundred: what is missing after a 429 is what would have gone in the wait that
    the system asked for and in ten seconds more. The pace's share shrinks while nothing may go, and is back at once."""

    @virtually
    async def story() -> None:
        async with business_central_place(options) as place:
            for _ in range(number):
                place.process(weight).work(callers=20)
            await asyncio.sleep(60)
            began, wait, watched = sum(process.done for process in place.processes), 30, 100
            a_second = began / 60
            place.faults.add(FaultRule(FaultKind.THROTTLED, times=1, retry_after_seconds=wait))
            await asyncio.sleep(watched)
            done = sum(process.done for process in place.processes) - began
            assert place.door.answers[429] == 1
            assert done >= a_second * (watched - wait - 10)

    story()


@virtually
async def test_a_single_request_does_not_wait_behind_a_row_of_batches_and_batches_get_on_all_the_same() -> None:
    """Twenty batches of fifty would take fifty seconds: a read that they are waiting for is there in five. Reads that
    never end leave the batches half of the pace."""
    async with business_central_place(QUICK) as place:
        process = place.process(weight=50)
        process.work(callers=20)
        await asyncio.sleep(60)
        for _ in range(10):
            began = place.clock.monotonic()
            await process.client.send(replace(process.call, weight=1))
            assert place.clock.monotonic() - began <= 5
        reads = Process(process.client, replace(process.call, weight=1))
        reads.work(callers=20)
        before = process.done
        await asyncio.sleep(100)
        assert 50 * (process.done - before) == pytest.approx(100 * 1188 / 60 / 2, rel=0.1)
        assert reads.done == pytest.approx(100 * 1188 / 60 / 2, rel=0.1)
        await reads.rest()
        assert place.door.answers.keys() == {200}


@virtually
async def test_a_caller_that_gives_up_leaves_its_place_to_the_next() -> None:
    """Whether it waits for a place, has just been given one, or waits for its pace: none is lost."""
    async with business_central_place(SLOW) as place:
        process = place.process()
        for round_number in range(40):
            callers = [asyncio.create_task(process.client.send(process.call)) for _ in range(12)]
            await asyncio.sleep(0.05 * round_number)
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
        process.work(callers=20)
        await asyncio.sleep(20)
        place.door.most_lately = 0
        await asyncio.sleep(5)
        assert (place.door.most_lately, place.door.most) == (5, 5)


@virtually
async def test_dataverses_hint_is_followed_step_by_step() -> None:
    """Four at once at first; one more every few seconds up to the hint; down at once when the hint falls."""
    options = DataverseOptions(dop_hint=7, latency_seconds=0.2, application_users=(APPLICATION,))
    async with dataverse_place(options) as place:
        place.process().work(callers=16)
        await asyncio.sleep(3)
        assert place.door.most <= 4
        await asyncio.sleep(30)
        assert place.door.most == 7
