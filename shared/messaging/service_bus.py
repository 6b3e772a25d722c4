"""The queue of Azure: sends to Service Bus and reads dead letters, with the azure-servicebus package as it is.

Facts about the package are those of version 7.15: every sender and receiver has its own connection; opening one takes
half a second and closing one a second or two, so they are kept open; none of them may be used by two tasks at once.
The package is imported on first use, because it costs a good part of a cold start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from shared.errors import QueueUnavailable
from shared.messaging.outgoing import check, send_at_once
from shared.sync.ports import DeadLetter, Outgoing, QueueView

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

SEND_SECONDS: Final = 25.0
"""How long one call may take with all repetitions. A webhook's sender waits for it: Dataverse gives up after 60 s."""
WAIT_SECONDS: Final = 1.0
PEEKED: Final = 100
"""Messages that a look sees at most. Those that are not due yet have their places among them, so that in a queue with
more of them the oldest that is due may be overlooked."""
_CLOSE_SECONDS: Final = 10.0


class _Openable(Protocol):
    async def __aenter__(self) -> object: ...

    async def close(self) -> None: ...


_Link = TypeVar("_Link", bound=_Openable)


class _Kept(Generic[_Link]):
    """One sender or receiver, kept open, used by one task at a time, and opened anew after an error."""

    def __init__(self, make: Callable[[], _Link], closing: set[asyncio.Task[None]]) -> None:
        self._make = make
        self._closing = closing
        self._lock = asyncio.Lock()
        self._link: _Link | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[_Link]:
        async with self._lock:
            try:
                yield await self._open()
            except _LetterLost:
                raise  # the letter's fault, not the link's
            except BaseException:  # also when cancelled: what the link was about to do is not known any more
                self.let_go()
                raise

    async def _open(self) -> _Link:
        """Open by itself, before anything else: the package lets the wait of a first receive bound the opening too."""
        if self._link is None:
            self._link = self._make()
            await self._link.__aenter__()
        return self._link

    def let_go(self) -> None:
        """Close the link behind the caller's back: it takes seconds, and who failed should hear of it at once."""
        link, self._link = self._link, None
        if link is not None:
            task = asyncio.ensure_future(_close(link.close))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


class _LetterLost(QueueUnavailable):
    """A dead letter that is no longer locked for us: settled already, too late, or its connection is gone."""

    def __init__(self) -> None:
        super().__init__("The lock on a dead letter is lost; read the dead letters again.")


@dataclass(frozen=True)
class _Receipt:
    """A dead letter's message and the receiver that holds its lock."""

    receiver: ServiceBusReceiver
    message: ServiceBusReceivedMessage


class ServiceBusQueue:
    """`Queue` on Azure Service Bus or an endpoint compatible with it. Bound to the event loop it is first used on."""

    def __init__(
        self,
        connect: Callable[[], ServiceBusClient],
        *,
        send_seconds: float = SEND_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Remember how to make the client; `from_connection_string` and `from_identity` say it. Sends nothing.

        send_seconds: bound of every call with all repetitions. wait_seconds: how long `dead_letters` waits for a letter
        before it takes the queue of dead letters for empty.
        """
        self._connect = connect
        self._send_seconds = send_seconds
        self._wait_seconds = wait_seconds
        self._client: ServiceBusClient | None = None
        self._senders: dict[str, _Kept[ServiceBusSender]] = {}
        self._receivers: dict[str, _Kept[ServiceBusReceiver]] = {}
        self._peekers: dict[str, _Kept[ServiceBusReceiver]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @classmethod
    def from_connection_string(
        cls, text: str, *, send_seconds: float = SEND_SECONDS, wait_seconds: float = WAIT_SECONDS
    ) -> ServiceBusQueue:
        """Sign in with the key in a connection string; for one machine and for the emulator."""

        def connect() -> ServiceBusClient:
            from azure.servicebus.aio import ServiceBusClient

            return ServiceBusClient.from_connection_string(text)

        return cls(connect, send_seconds=send_seconds, wait_seconds=wait_seconds)

    @classmethod
    def from_identity(
        cls,
        namespace: str,
        credential: AsyncTokenCredential,
        *,
        send_seconds: float = SEND_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> ServiceBusQueue:
        """Sign in with an identity. namespace: host name, `<name>.servicebus.windows.net`."""

        def connect() -> ServiceBusClient:
            from azure.servicebus.aio import ServiceBusClient

            return ServiceBusClient(namespace, credential)

        return cls(connect, send_seconds=send_seconds, wait_seconds=wait_seconds)

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Send in as few batches as fit and return when all are stored.

        Raises QueueUnavailable; then some may have been stored, and sending all of them again is harmless within the
        queue's duplicate window. Raises ValueError for a message that no queue takes, before anything is sent.
        """
        check(messages)
        if not messages:
            return
        async with _queue_errors(queue, self._send_seconds), self._sender(queue).use() as sender:
            if len(messages) == 1:
                await sender.send_messages(_wire(messages[0]))
            else:
                await _send_batches(sender, [_wire(message) for message in messages])

    async def send_all(self, by_queue: Mapping[str, Sequence[Outgoing]]) -> None:
        """Send to several queues at the same time: each has its own connection, and none waits for another's."""
        await send_at_once(self.send, by_queue)

    async def dead_letters(self, queue: str, limit: int) -> Sequence[DeadLetter]:
        """Lock up to `limit` dead letters and return them; waits a while for each few. QueueUnavailable."""
        found: list[ServiceBusReceivedMessage] = []
        async with _queue_errors(queue, self._send_seconds), self._receiver(queue).use() as receiver:
            while len(found) < limit:
                some = await receiver.receive_messages(limit - len(found), self._wait_seconds)
                if not some:
                    break
                found += some
        return [_dead_letter(_Receipt(receiver, message)) for message in found]

    async def settle_dead_letter(self, queue: str, letter: DeadLetter) -> None:
        """Remove the dead letter for good; raises QueueUnavailable, also when its lock is lost."""
        from azure.servicebus.exceptions import MessageAlreadySettled, MessageLockLostError

        receipt = letter.receipt
        if not isinstance(receipt, _Receipt):
            raise ValueError("receipt is none of this queue; give the letter as `dead_letters` returned it")
        async with _queue_errors(queue, self._send_seconds), self._receiver(queue).use() as receiver:
            if receiver is not receipt.receiver:
                raise _LetterLost
            try:
                await receiver.complete_message(receipt.message)
            except (MessageAlreadySettled, MessageLockLostError) as error:
                raise _LetterLost from error

    async def look(self, queue: str) -> QueueView:
        """Peek, which locks nothing: at the first messages of the queue, and at the dead letters."""
        from azure.servicebus import ServiceBusMessageState

        async with _queue_errors(queue, self._send_seconds), self._peeker(queue).use() as receiver:
            first = await receiver.peek_messages(PEEKED, sequence_number=1)
        async with _queue_errors(queue, self._send_seconds), self._receiver(queue).use() as receiver:
            dead = await receiver.peek_messages(PEEKED, sequence_number=1)
        due = [one.enqueued_time_utc for one in first if one.state == ServiceBusMessageState.ACTIVE]
        return QueueView(min((at for at in due if at is not None), default=None), len(dead))

    async def aclose(self) -> None:
        """Close all connections. Repetition does nothing; a later call opens them again."""
        for sender in self._senders.values():
            sender.let_go()
        for receiver in [*self._receivers.values(), *self._peekers.values()]:
            receiver.let_go()
        self._senders.clear()
        self._receivers.clear()
        self._peekers.clear()
        await asyncio.gather(*self._closing)
        if self._client is not None:
            client, self._client = self._client, None
            await _close(client.close)

    def _sender(self, queue: str) -> _Kept[ServiceBusSender]:
        if queue not in self._senders:
            self._senders[queue] = _Kept(lambda: self._open_client().get_queue_sender(queue), self._closing)
        return self._senders[queue]

    def _receiver(self, queue: str) -> _Kept[ServiceBusReceiver]:
        if queue not in self._receivers:
            self._receivers[queue] = _Kept(lambda: self._make_receiver(queue), self._closing)
        return self._receivers[queue]

    def _peeker(self, queue: str) -> _Kept[ServiceBusReceiver]:
        """A receiver of the queue itself that never receives."""
        if queue not in self._peekers:
            self._peekers[queue] = _Kept(lambda: self._open_client().get_queue_receiver(queue), self._closing)
        return self._peekers[queue]

    def _make_receiver(self, queue: str) -> ServiceBusReceiver:
        from azure.servicebus import ServiceBusSubQueue

        return self._open_client().get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    def _open_client(self) -> ServiceBusClient:
        if self._client is None:
            self._client = self._connect()
        return self._client


async def _send_batches(sender: ServiceBusSender, messages: Sequence[ServiceBusMessage]) -> None:
    """Send the messages in their order, beginning a new batch whenever one is full."""
    from azure.servicebus.exceptions import MessageSizeExceededError

    batch = await sender.create_message_batch()
    for message in messages:
        try:
            batch.add_message(message)
        except MessageSizeExceededError:
            await sender.send_messages(batch)
            batch = await sender.create_message_batch()
            batch.add_message(message)
    await sender.send_messages(batch)


@asynccontextmanager
async def _queue_errors(queue: str, seconds: float) -> AsyncIterator[None]:
    """Bound a call and turn what the package raises into QueueUnavailable; its texts are not kept in ours."""
    from azure.core.exceptions import AzureError

    try:
        async with asyncio.timeout(seconds):
            yield
    except (AzureError, OSError, TimeoutError) as error:
        raise QueueUnavailable(f"Queue {queue} does not answer: {type(error).__name__}.") from error


async def _close(close: Callable[[], Awaitable[None]]) -> None:
    """Close as far as possible: a connection that is broken cannot say goodbye, and nobody needs to hear of it."""
    with suppress(Exception):  # whatever the package raises: the link is not used again
        async with asyncio.timeout(_CLOSE_SECONDS):
            await close()


def _wire(message: Outgoing) -> ServiceBusMessage:
    from azure.servicebus import ServiceBusMessage

    return ServiceBusMessage(
        message.body,
        message_id=message.message_id,
        correlation_id=message.correlation_id or None,
        content_type="application/json",
        scheduled_enqueue_time_utc=message.not_before,
    )


def _dead_letter(receipt: _Receipt) -> DeadLetter:
    message = receipt.message
    return DeadLetter(
        message_id=message.message_id or "",
        body=b"".join(message.body).decode(errors="replace"),
        reason=message.dead_letter_reason or "",
        delivery_count=message.delivery_count or 0,
        receipt=receipt,
    )
