"""What every queue checks before it sends, and how to send to several queues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from shared.sync.ports import Outgoing

MAX_MESSAGE_ID: Final = 128
"""Characters of a message id (Microsoft Learn, "Service Bus quotas")."""
MAX_BODY_BYTES: Final = 192 * 1024
"""Size of a body. The standard tier takes 256 KB with all headers and properties (the same page)."""
_MOST_BYTES_OF_A_CHARACTER: Final = 4


def check(messages: Sequence[Outgoing]) -> None:
    """Raise ValueError, naming the field and the remedy, for a message that no queue takes."""
    for message in messages:
        if not 1 <= len(message.message_id) <= MAX_MESSAGE_ID:
            raise ValueError(f"message_id has {len(message.message_id)} characters; 1 to {MAX_MESSAGE_ID} are allowed")
        size = len(message.body) * _MOST_BYTES_OF_A_CHARACTER
        if size > MAX_BODY_BYTES and (size := len(message.body.encode())) > MAX_BODY_BYTES:
            raise ValueError(f"body has {size} bytes, at most {MAX_BODY_BYTES} are allowed; send fewer keys at once")
        if message.not_before is not None and message.not_before.tzinfo is None:
            raise ValueError("not_before has no time zone; give an aware time")


Send = Callable[[str, Sequence[Outgoing]], Awaitable[None]]


async def send_in_turn(send: Send, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
    """To one queue after another; every one is tried, then the first failure is raised."""
    _raise_first([await _failure(send(queue, messages)) for queue, messages in by_queue.items()])


async def send_at_once(send: Send, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
    """To all queues at the same time; every one is tried, then a failure is raised. One of the sends runs in the
    caller's own task, because a task costs more processor time than a message."""
    *others, last = (send(queue, messages) for queue, messages in by_queue.items())
    tasks = [asyncio.ensure_future(sending) for sending in others]
    try:
        _raise_first([await _failure(sending) for sending in (last, *tasks)])
    finally:
        for task in tasks:
            task.cancel()  # the caller was cancelled; a send that has ended does not mind


async def _failure(sending: Awaitable[None]) -> Exception | None:
    try:
        await sending
    except Exception as error:
        return error
    return None


def _raise_first(failures: Sequence[Exception | None]) -> None:
    for failure in failures:
        if failure is not None:
            raise failure
