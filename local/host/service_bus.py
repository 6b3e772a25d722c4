"""The receiver on the unmodified azure-servicebus package: the local endpoint, Microsoft's emulator or the cloud.

The package opens a TCP connection per receiver and takes a second or two to close one, so a listener keeps its
receiver for as long as it lives (source of azure-servicebus 7.15.0).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.amqp import AmqpMessageBodyType
from azure.servicebus.exceptions import MessageAlreadySettled, MessageLockLostError, MessageNotFoundError

from local.host.errors import LockLost, ReceiverLost
from local.host.ports import QueuedMessage, QueueSource

_DEAD_LETTERS = "/$deadletterqueue"


class ServiceBusQueueReceiver:
    """One queue's receiver; it connects at the first `receive`."""

    def __init__(self, source: QueueSource) -> None:
        # Few tries of its own: the listener repeats with growing pauses and says so.
        self._client = ServiceBusClient.from_connection_string(
            source.connection_string, retry_total=1, retry_backoff_factor=0.2
        )
        queue = source.queue
        dead = queue.lower().endswith(_DEAD_LETTERS)
        self._receiver: ServiceBusReceiver = self._client.get_queue_receiver(
            queue[: -len(_DEAD_LETTERS)] if dead else queue,
            sub_queue=ServiceBusSubQueue.DEAD_LETTER if dead else None,
            prefetch_count=source.prefetch,
        )
        self._connecting = asyncio.Lock()

    async def _connect(self) -> None:
        """Open the connection, where it is not open.

        After an outage the package refuses to settle until it was opened again; then it settles by lock token.
        """
        async with self._connecting:
            await self._receiver.__aenter__()

    async def receive(self, wait_seconds: float) -> QueuedMessage | None:
        """See the port; connecting is not bounded by `wait_seconds`, which could cut it short on a busy machine."""
        async with _translated():
            await self._connect()
            messages = await self._receiver.receive_messages(max_message_count=1, max_wait_time=wait_seconds)
        return _queued(messages[0]) if messages else None

    async def complete(self, message: QueuedMessage) -> None:
        """See the port."""
        async with _translated():
            await self._connect()
            await self._receiver.complete_message(_handle(message))

    async def abandon(self, message: QueuedMessage) -> None:
        """See the port."""
        async with _translated():
            await self._connect()
            await self._receiver.abandon_message(_handle(message))

    async def renew(self, message: QueuedMessage) -> datetime:
        """See the port."""
        async with _translated():
            await self._connect()
            return await self._receiver.renew_message_lock(_handle(message))

    async def close(self) -> None:
        """See the port."""
        for thing in (self._receiver, self._client):
            with suppress(Exception):  # the connection may be gone already, and closing is all we want
                await thing.close()


def open_service_bus_receiver(source: QueueSource) -> ServiceBusQueueReceiver:
    """Return a receiver for the queue; raises ValueError for a malformed connection string."""
    return ServiceBusQueueReceiver(source)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Turn the package's errors into the port's; their texts name hosts and queues and are not kept."""
    try:
        yield
    except (MessageLockLostError, MessageAlreadySettled, MessageNotFoundError) as error:
        raise LockLost(type(error).__name__) from error
    except Exception as error:
        # Besides its own errors the package lets through socket errors, AttributeError on closed links and others.
        raise ReceiverLost(type(error).__name__) from error


def _handle(message: QueuedMessage) -> ServiceBusReceivedMessage:
    assert isinstance(message.handle, ServiceBusReceivedMessage)
    return message.handle


def _queued(message: ServiceBusReceivedMessage) -> QueuedMessage:
    """Copy a received message; the package counts earlier deliveries, .NET counts this one too."""
    return QueuedMessage(
        body=_body(message),
        message_id=_text(message.message_id) or "",
        delivery_count=(message.delivery_count or 0) + 1,
        sequence_number=message.sequence_number or 0,
        lock_token=str(message.lock_token),
        locked_until=message.locked_until_utc or datetime.now(UTC),
        enqueued_at=message.enqueued_time_utc or datetime.now(UTC),
        application_properties={
            _text(key) or "": value for key, value in (message.application_properties or {}).items()
        },
        enqueued_sequence_number=message.enqueued_sequence_number,
        expires_at=message.expires_at_utc,
        time_to_live=message.time_to_live,
        scheduled_for=message.scheduled_enqueue_time_utc,
        content_type=_text(message.content_type),
        correlation_id=_text(message.correlation_id),
        subject=_text(message.subject),
        to=_text(message.to),
        reply_to=_text(message.reply_to),
        reply_to_session_id=_text(message.reply_to_session_id),
        session_id=_text(message.session_id),
        partition_key=_text(message.partition_key),
        state=int(message.state.value),
        dead_letter_source=message.dead_letter_source,
        dead_letter_reason=message.dead_letter_reason,
        dead_letter_description=message.dead_letter_error_description,
        handle=message,
    )


def _text(value: object) -> str | None:
    """The package gives some texts as bytes."""
    if value is None:
        return None
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _body(message: ServiceBusReceivedMessage) -> bytes:
    """Return the body's bytes; a body that is an AMQP value instead of bytes comes as text or JSON."""
    if message.body_type is AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    value = message.body
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value, default=_text).encode()
