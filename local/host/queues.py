"""Listens to one queue and runs its function once for each message.

As the .NET extension does it (Microsoft Learn, 'Azure Service Bus trigger for Azure Functions'; its source): peek-lock,
at most `maxConcurrentCalls` runs per function, locks renewed while a run goes on, completed when it returns, abandoned
at once when it raises. Delivery counts and dead letters are the queue's. When the endpoint goes away, the listener
says so once, tries again with growing pauses, and says once that it is back.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

from local.host.errors import LockLost, ReceiverLost
from local.host.index import HostedFunction, QueueTrigger
from local.host.invoking import Invoker, Outcome, where_and_which
from local.host.messages import argument_for
from local.host.ports import Clock, OpenReceiver, QueuedMessage, QueueSource, Receiver
from local.host.settings import ServiceBusOptions

log = logging.getLogger(__name__)

_RECEIVE_SECONDS = 1.0
"""How long one wait for a message lasts, and so the longest a stop waits for an idle listener."""

_FIRST_RECEIVE_SECONDS = 0.1
"""The first wait with a new receiver is short: when it is over, the endpoint is known to answer."""

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0
_SHORTEST_RENEWAL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class ListenerHealth:
    """How a listener is: `state` is starting, listening, waiting (for its endpoint) or stopped; `since` when."""

    function: str
    kind: str
    state: str
    since: datetime
    detail: str = ""


class QueueListener:
    """The listener of one queue function."""

    def __init__(
        self,
        function: HostedFunction,
        invoker: Invoker,
        open_receiver: OpenReceiver,
        options: ServiceBusOptions,
        clock: Clock,
    ) -> None:
        assert isinstance(function.trigger, QueueTrigger)
        self._function = function
        self._trigger = function.trigger
        self._invoker = invoker
        self._open_receiver = open_receiver
        self._options = options
        self._clock = clock
        complete = function.trigger.auto_complete
        self._auto_complete = options.auto_complete if complete is None else complete
        self._source = QueueSource(function.trigger.connection_string, function.trigger.queue, options.prefetch)
        self._stopping = asyncio.Event()
        self._slots = asyncio.Semaphore(options.concurrent_calls)
        self._handling: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._health = ListenerHealth(function.name, "queue", "starting", clock.now())

    @property
    def health(self) -> ListenerHealth:
        """How the listener is now."""
        return self._health

    def start(self) -> None:
        """Begin to listen; the endpoint need not be there yet."""
        self._loop = asyncio.create_task(self._listen(), name=f"listen {self._function.name}")

    async def stop(self) -> None:
        """Take no more messages and wait until those in hand are settled (the invoker's limit cancels their runs)."""
        self._stopping.set()
        if self._loop is not None:
            await self._loop
        if self._retiring:
            await asyncio.wait(frozenset(self._retiring))
        self._turn("stopped")

    # --- the loop -------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._serve(self._open_receiver(self._source))
            except ReceiverLost as error:
                self._lost(error)
            except Exception as error:
                # Whatever it is, a listener that ends in silence would be worse than one that tries again.
                self._lost(ReceiverLost(where_and_which(error)))
            if not self._stopping.is_set():
                await self._rest()

    async def _serve(self, receiver: Receiver) -> None:
        """Work with one receiver until the host stops or it is lost.

        A lost receiver still settles what is in hand (by lock token, when the endpoint is back) while the next one
        already listens.
        """
        try:
            await self._pump(receiver)
        finally:
            retiring = asyncio.create_task(self._retire(receiver, frozenset(self._handling)))
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)

    async def _retire(self, receiver: Receiver, in_hand: frozenset[asyncio.Task[None]]) -> None:
        if in_hand:
            await asyncio.wait(in_hand)
        await receiver.close()

    async def _pump(self, receiver: Receiver) -> None:
        """Take messages while a slot is free; returns when the host stops, raises ReceiverLost."""
        wait_seconds = _FIRST_RECEIVE_SECONDS
        while not self._stopping.is_set():
            if not await self._slot():
                return
            message = None
            try:
                message = await receiver.receive(wait_seconds)
            finally:
                if message is None:
                    self._slots.release()
            wait_seconds = _RECEIVE_SECONDS
            self._turn("listening")
            if message is not None:
                self._hand_over(receiver, message)

    async def _slot(self) -> bool:
        """Wait for a free slot; False when the host stops first."""
        slot = asyncio.create_task(self._slots.acquire())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({slot, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if slot.done():
            return True
        slot.cancel()
        return False

    def _hand_over(self, receiver: Receiver, message: QueuedMessage) -> None:
        task = asyncio.create_task(self._handle(receiver, message), name=f"message of {self._function.name}")
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    # --- one message ----------------------------------------------------------------------------

    async def _handle(self, receiver: Receiver, message: QueuedMessage) -> None:
        try:
            outcome = await self._run(receiver, message)
            await self._settle(receiver, message, outcome)
        except (LockLost, ReceiverLost) as error:
            log.warning(
                "%s: message with sequence number %s could not be settled (%s); the queue hands it out again",
                self._function.name,
                message.sequence_number,
                error.code,
            )
        finally:
            self._slots.release()

    async def _run(self, receiver: Receiver, message: QueuedMessage) -> Outcome:
        """Run the function while its message's lock is kept."""
        try:
            argument = argument_for(self._trigger, message)
        except (TypeError, ValueError) as error:
            # Not log.exception: the usual traceback shows the error's text, which may hold values.
            log.error("%s: a message cannot be handed over, %s", self._function.name, where_and_which(error))
            return Outcome("", error=error)
        ended = asyncio.Event()
        renewal = asyncio.create_task(self._keep_lock(receiver, message, ended))
        try:
            return await self._invoker.invoke(self._function, argument)
        finally:
            # Waited for, not cancelled: the SDK does not survive being cancelled in the middle of reading a frame.
            ended.set()
            await renewal

    async def _settle(self, receiver: Receiver, message: QueuedMessage, outcome: Outcome) -> None:
        if outcome.cancelled:
            return  # as when the platform's process ends: the lock runs out
        if not outcome.ok:
            await receiver.abandon(message)
        elif self._auto_complete:
            await receiver.complete(message)

    async def _keep_lock(self, receiver: Receiver, message: QueuedMessage, ended: asyncio.Event) -> None:
        """Renew the lock at half of what is left of it, until the run ends or `maxAutoLockRenewalDuration` is over."""
        limit = self._options.lock_renewal
        end = None if limit is None else self._clock.now() + limit
        locked_until = message.locked_until
        while True:
            left = (locked_until - self._clock.now()).total_seconds()
            if await _came_within(ended, max(left / 2, _SHORTEST_RENEWAL_SECONDS), self._clock):
                return
            if end is not None and self._clock.now() >= end:
                log.warning("%s: the lock of a long run is no longer renewed", self._function.name)
                return
            try:
                locked_until = await receiver.renew(message)
            except (LockLost, ReceiverLost) as error:
                log.warning("%s: a lock could not be renewed (%s)", self._function.name, error.code)
                if isinstance(error, LockLost):
                    return

    # --- coming and going -----------------------------------------------------------------------

    def _lost(self, error: ReceiverLost) -> None:
        if self._health.state != "waiting":
            log.warning("%s: %s (%s); trying again", self._function.name, error.sentence, error.detail)
        self._turn("waiting", error.detail)

    async def _rest(self) -> None:
        """Pause before the next try, longer each time; a stop ends the pause."""
        pause = self._pause
        self._pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        await _came_within(self._stopping, pause, self._clock)

    def _turn(self, state: str, detail: str = "") -> None:
        if self._health.state == state:
            return
        if self._health.state == "waiting" and state == "listening":
            log.info("%s: the queue's endpoint answers again", self._function.name)
        if state == "listening":
            self._pause = _FIRST_PAUSE_SECONDS
        self._health = ListenerHealth(self._function.name, "queue", state, self._clock.now(), detail)


async def _came_within(event: asyncio.Event, seconds: float, clock: Clock) -> bool:
    """Wait for the event, at most so long; return whether it came."""
    coming, sleeping = asyncio.create_task(event.wait()), asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({coming, sleeping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        coming.cancel()
        sleeping.cancel()
    return event.is_set()
