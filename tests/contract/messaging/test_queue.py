"""What every queue does: keeps what was sent, once, until it is due, and shows what it gave up on."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.errors import QueueUnavailable
from shared.sync.ports import Outgoing
from tests.contract.messaging.doors import Door, Received

pytestmark = pytest.mark.asyncio(loop_scope="module")


def outgoing(number: int, body: str = '{"v":1}') -> Outgoing:
    return Outgoing(f"change-{number}", body, correlation_id=f"c-{number}")


async def test_what_was_sent_is_received(door: Door) -> None:
    """One alone and several at once, with id, body and correlation id; another queue has none of it."""
    transfer, other = door.names
    await door.queue.send(transfer, [outgoing(1, '{"v":1,"cause":"Prüfung"}')])
    await door.queue.send(transfer, [outgoing(2), replace(outgoing(3), correlation_id="")])
    await door.queue.send(transfer, [])
    received = await door.receive_all(transfer)
    assert sorted(received, key=lambda one: one.message_id) == [
        Received("change-1", '{"v":1,"cause":"Prüfung"}', "c-1"),
        Received("change-2", '{"v":1}', "c-2"),
        Received("change-3", '{"v":1}', ""),
    ]
    assert await door.receive_all(other) == []


async def test_sending_the_same_change_again_is_harmless(door: Door) -> None:
    """Alone, in a list and after it was received: the id is known within the window. Another queue knows nothing."""
    transfer, other = door.names
    await door.queue.send(transfer, [outgoing(1), outgoing(2)])
    await door.queue.send(transfer, [outgoing(2), outgoing(3), outgoing(3)])
    received = await door.receive_all(transfer)
    assert sorted(one.message_id for one in received) == ["change-1", "change-2", "change-3"]
    await door.queue.send(transfer, [outgoing(1)])
    assert await door.receive_all(transfer) == []
    await door.queue.send(other, [outgoing(1)])
    assert len(await door.receive_all(other)) == 1


async def test_a_deferred_copy_is_not_seen_before_its_time(door: Door) -> None:
    """Alone or among others that are due at once."""
    transfer, _ = door.names
    later = replace(outgoing(1), not_before=door.now() + timedelta(seconds=20))
    past = replace(outgoing(2), not_before=door.now() - timedelta(seconds=60))
    await door.queue.send(transfer, [later, past, outgoing(3)])
    assert sorted(one.message_id for one in await door.receive_all(transfer)) == ["change-2", "change-3"]
    await door.let_pass(21)
    assert [one.message_id for one in await door.receive_all(transfer)] == ["change-1"]


async def test_a_long_list_is_sent_completely(door: Door) -> None:
    """More than fits into one batch of Service Bus (256 KB)."""
    transfer, _ = door.names
    body = "x" * 6000
    await door.queue.send(transfer, [outgoing(number, body) for number in range(100)])
    received = await door.receive_all(transfer)
    assert {one.message_id for one in received} == {f"change-{number}" for number in range(100)}
    assert all(one.body == body for one in received)


async def test_dead_letters_stay_until_they_are_settled(door: Door) -> None:
    """They are locked for who reads them, keep body and reason, and go one by one."""
    transfer, _ = door.names
    assert await door.queue.dead_letters(transfer, 10) == []
    await door.queue.send(transfer, [outgoing(number) for number in (1, 2, 3)])
    await door.bury_all(transfer, "unreadable")
    two = await door.queue.dead_letters(transfer, 2)
    third = await door.queue.dead_letters(transfer, 10)
    assert (len(two), len(third)) == (2, 1)
    assert {(one.body, one.reason) for one in (*two, *third)} == {('{"v":1}', "unreadable")}
    assert sorted(one.message_id for one in (*two, *third)) == ["change-1", "change-2", "change-3"]
    for letter in (*two, *third):
        await door.queue.settle_dead_letter(transfer, letter)
    assert await door.queue.dead_letters(transfer, 10) == []
    assert await door.receive_all(transfer) == []


async def test_a_dead_letter_is_settled_once(door: Door) -> None:
    """The second time is an error, not a second letter gone."""
    transfer, _ = door.names
    await door.queue.send(transfer, [outgoing(1)])
    await door.bury_all(transfer, "unreadable")
    letter = (await door.queue.dead_letters(transfer, 1))[0]
    await door.queue.settle_dead_letter(transfer, letter)
    with pytest.raises(QueueUnavailable):
        await door.queue.settle_dead_letter(transfer, letter)


async def test_a_queue_that_does_not_exist_takes_nothing(door: Door) -> None:
    """Whoever sends must hear of it: nothing was stored."""
    with pytest.raises(QueueUnavailable, match="no_such_transfer"):
        await door.queue.send("no_such_transfer", [outgoing(1)])


async def test_several_queues_get_theirs_with_one_call(door: Door) -> None:
    """Each its own messages, and none those of another."""
    transfer, other = door.names
    await door.queue.send_all({transfer: [outgoing(1), outgoing(2)], other: [outgoing(3)]})
    assert sorted(one.message_id for one in await door.receive_all(transfer)) == ["change-1", "change-2"]
    assert [one.message_id for one in await door.receive_all(other)] == ["change-3"]


@pytest.mark.parametrize("missing_first", [True, False])
async def test_a_queue_that_takes_nothing_keeps_no_other_from_its_messages(door: Door, missing_first: bool) -> None:
    """Whoever sends hears of it; what the others were to get is stored, and stored once when all is sent again."""
    transfer, other = door.names
    names = ["no_such_transfer", transfer, other] if missing_first else [transfer, other, "no_such_transfer"]
    for _ in range(2):
        with pytest.raises(QueueUnavailable, match="no_such_transfer"):
            await door.queue.send_all({name: [outgoing(1)] for name in names})
    for name in (transfer, other):
        assert [one.message_id for one in await door.receive_all(name)] == ["change-1"]


async def test_a_message_that_no_queue_takes_is_refused_before_anything_is_sent(door: Door) -> None:
    """The text names the field; the others of the list are not sent either."""
    transfer, _ = door.names
    naive = datetime(2026, 3, 2, 8)  # noqa: DTZ001 - the fault
    for message, field in (
        (Outgoing("", "{}"), "message_id"),
        (Outgoing("x" * 129, "{}"), "message_id"),
        (Outgoing("change-1", "ü" * 100_000), "body"),
        (Outgoing("change-1", "{}", not_before=naive), "not_before"),
    ):
        with pytest.raises(ValueError, match=field):
            await door.queue.send(transfer, [outgoing(2), message])
    assert await door.receive_all(transfer) == []


async def test_a_look_takes_nothing_out(door: Door) -> None:
    """The oldest message that is due, and the dead letters; what is due later is not told."""
    transfer, other = door.names
    empty = await door.queue.look(transfer)
    assert (empty.oldest_at, empty.dead) == (None, 0)
    await door.queue.send(transfer, [replace(outgoing(1), not_before=door.now() + timedelta(seconds=60))])
    assert (await door.queue.look(transfer)).oldest_at is None
    before = door.now()
    await door.queue.send(transfer, [outgoing(2), outgoing(3)])
    found = await door.queue.look(transfer)
    assert found.oldest_at is not None
    assert abs(found.oldest_at - before) < timedelta(seconds=30)
    assert found.dead == 0
    await door.bury_all(transfer, "unreadable")
    buried = await door.queue.look(transfer)
    assert (buried.oldest_at, buried.dead) == (None, 2)
    assert len(await door.queue.dead_letters(transfer, 10)) == 2
    assert (await door.queue.look(other)).dead == 0
