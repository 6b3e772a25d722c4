"""The receiving half of the queue in memory: locks, redelivery and dead letters on virtual time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import QueueUnavailable
from shared.messaging.memory import Counts, Delivery, LockLost, MemoryQueue, Rules
from shared.sync.ports import Outgoing
from tests.contract.domain_stores.fakes import START, HandClock
from tests.contract.messaging.doors import TRANSFER

RULES = Rules(lock_duration=timedelta(minutes=1), max_delivery_count=3, duplicate_window=timedelta(minutes=10))


@pytest.fixture
def queue(clock: HandClock) -> MemoryQueue:
    return MemoryQueue(clock, [TRANSFER, "other"], RULES)


async def _receive(queue: MemoryQueue) -> Delivery:
    delivery = await queue.receive(TRANSFER)
    assert delivery is not None
    return delivery


async def test_a_locked_message_is_nobody_elses(queue: MemoryQueue) -> None:
    """A second receiver gets the next one, a third nothing."""
    await queue.send(TRANSFER, [Outgoing("1", "{}"), Outgoing("2", "{}")])
    first, second = await _receive(queue), await _receive(queue)
    assert (first.message_id, second.message_id) == ("1", "2")
    assert await queue.receive(TRANSFER) is None
    assert queue.counts(TRANSFER) == Counts(ready=0, scheduled=0, locked=2, dead=0)


async def test_a_lock_that_runs_out_gives_the_message_back(queue: MemoryQueue, clock: HandClock) -> None:
    """The worker died: the message comes again, before younger ones, and the dead worker's lock is worth nothing."""
    await queue.send(TRANSFER, [Outgoing("1", "{}"), Outgoing("2", "{}")])
    lost = await _receive(queue)
    assert queue.next_event() == START + timedelta(minutes=1)
    clock.move(minutes=1)
    again = await _receive(queue)
    assert (again.message_id, again.delivery_count) == ("1", 2)
    for use in (queue.complete, queue.abandon, queue.renew):
        with pytest.raises(LockLost):
            await use(lost)
    await queue.complete(again)
    with pytest.raises(LockLost):
        await queue.complete(again)


async def test_a_renewed_lock_lasts_longer(queue: MemoryQueue, clock: HandClock) -> None:
    """A minute from the renewal, not from the first lock."""
    await queue.send(TRANSFER, [Outgoing("1", "{}")])
    delivery = await _receive(queue)
    clock.move(seconds=50)
    assert await queue.renew(delivery) == START + timedelta(seconds=110)
    clock.move(seconds=50)
    await queue.complete(delivery)
    assert queue.counts(TRANSFER) == Counts(0, 0, 0, 0)
    assert queue.next_event() is None


async def test_a_message_that_fails_too_often_becomes_a_dead_letter(queue: MemoryQueue, clock: HandClock) -> None:
    """Abandoned, run out, abandoned: three failed deliveries are all there are."""
    await queue.send(TRANSFER, [Outgoing("1", "{}", correlation_id="c-1")])
    await queue.abandon(await _receive(queue))
    assert (await _receive(queue)).delivery_count == 2
    clock.move(minutes=1)
    await queue.abandon(await _receive(queue))
    assert await queue.receive(TRANSFER) is None
    letter = (await queue.dead_letters(TRANSFER, 10))[0]
    assert (letter.message_id, letter.reason, letter.delivery_count) == ("1", "MaxDeliveryCountExceeded", 3)


async def test_a_dead_letter_that_is_not_settled_in_time_is_read_again(queue: MemoryQueue, clock: HandClock) -> None:
    """Its lock runs out like any other; the late settling must not count."""
    await queue.send(TRANSFER, [Outgoing("1", "{}")])
    await queue.dead_letter(await _receive(queue), "unreadable")
    late = (await queue.dead_letters(TRANSFER, 10))[0]
    assert await queue.dead_letters(TRANSFER, 10) == []
    clock.move(minutes=1)
    with pytest.raises(QueueUnavailable):
        await queue.settle_dead_letter(TRANSFER, late)
    again = (await queue.dead_letters(TRANSFER, 10))[0]
    await queue.settle_dead_letter(TRANSFER, again)
    assert queue.counts(TRANSFER).dead == 0


async def test_scheduled_messages_come_in_the_order_of_their_times(queue: MemoryQueue, clock: HandClock) -> None:
    """Whoever was sent first; the clock of the simulation learns where to jump."""
    for minutes in (3, 1, 2):
        await queue.send(TRANSFER, [Outgoing(f"{minutes}", "{}", not_before=START + timedelta(minutes=minutes))])
    assert queue.counts(TRANSFER) == Counts(ready=0, scheduled=3, locked=0, dead=0)
    seen = []
    while (event := queue.next_event()) is not None:
        clock.time = max(event, clock.time)
        delivery = await _receive(queue)
        await queue.complete(delivery)
        seen.append(delivery.message_id)
    assert seen == ["1", "2", "3"]


async def test_after_the_window_the_same_id_is_a_new_message(queue: MemoryQueue, clock: HandClock) -> None:
    """Ten minutes are remembered, not more."""
    await queue.send(TRANSFER, [Outgoing("1", "{}")])
    clock.move(minutes=9, seconds=59)
    await queue.send(TRANSFER, [Outgoing("1", "{}")])
    assert queue.counts(TRANSFER).ready == 1
    clock.move(seconds=1)
    await queue.send(TRANSFER, [Outgoing("1", "{}")])
    assert queue.counts(TRANSFER).ready == 2
