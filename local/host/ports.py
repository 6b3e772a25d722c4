"""What the host needs from outside: time, and receivers of queues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol


class Clock(Protocol):
    """Tells the time (aware, UTC) and waits. Each clock of the project fits."""

    def now(self) -> datetime: ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A message as its queue handed it out under a lock; absent properties are None.

    delivery_count: how often it was handed out, this time included, so the first time is 1 (as .NET counts).
    handle: what the receiver needs to settle it; nobody else looks at it.
    """

    body: bytes = field(repr=False)
    message_id: str
    delivery_count: int
    sequence_number: int
    lock_token: str
    locked_until: datetime
    enqueued_at: datetime
    application_properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    enqueued_sequence_number: int | None = None
    expires_at: datetime | None = None
    time_to_live: timedelta | None = None
    scheduled_for: datetime | None = None
    content_type: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    to: str | None = None
    reply_to: str | None = None
    reply_to_session_id: str | None = None
    session_id: str | None = None
    partition_key: str | None = None
    transaction_partition_key: str | None = None
    state: int = 0
    dead_letter_source: str | None = None
    dead_letter_reason: str | None = None
    dead_letter_description: str | None = None
    handle: object = field(default=None, repr=False, compare=False)


class Receiver(Protocol):
    """One function's door to its queue, in peek-lock mode.

    Every method raises ReceiverLost when the endpoint is gone; `complete`, `abandon` and `renew` raise LockLost when
    the message is no longer ours. Settling and receiving may run at the same time.
    """

    async def receive(self, wait_seconds: float) -> QueuedMessage | None:
        """Return the next message under a lock, or None when none came in that time."""
        ...

    async def complete(self, message: QueuedMessage) -> None:
        """Remove the message from the queue."""
        ...

    async def abandon(self, message: QueuedMessage) -> None:
        """Give the message back at once; the queue counts the delivery."""
        ...

    async def renew(self, message: QueuedMessage) -> datetime:
        """Lengthen the lock and return its new end."""
        ...

    async def close(self) -> None:
        """Let go of the endpoint; doing it twice is fine, and it never raises."""
        ...


@dataclass(frozen=True, slots=True)
class QueueSource:
    """Which queue a receiver is for."""

    connection_string: str = field(repr=False)
    queue: str
    prefetch: int = 0


OpenReceiver = Callable[[QueueSource], Receiver]
"""Makes a receiver; it connects when it first receives, so that an endpoint that is down is no error here."""
