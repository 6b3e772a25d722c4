"""The two ends of links: inlets take what clients send, outlets give what clients receive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from local.servicebus.broker import Broker, Delivery, Entity
from local.servicebus.codec import Described
from local.servicebus.errors import CodecError, Condition, ProtocolViolation, Refusal
from local.servicebus.faults import Faults
from local.servicebus.management import too_large
from local.servicebus.messages import BATCH_FORMAT, Answer, Request, batch_of, read_incoming, read_request, write_answer
from local.servicebus.performatives import (
    ACCEPTED,
    TRANSACTIONAL_STATE,
    Flow,
    Transfer,
    outcome,
    rejected,
    state_code,
)

CREDIT = 1000
"""Credit granted to a sender; renewed when half of it is used up."""

MAX_WAITING_ANSWERS = 1000
REQUEST_BYTES = 1_048_576
_SERIAL = 0xFFFF_FFFF


class Session(Protocol):
    """What links need of their session."""

    @property
    def writable(self) -> bool: ...

    def send_flow(self, handle: int, delivery_count: int, credit: int, *, drain: bool = False) -> None: ...

    def send_delivery(self, handle: int, encoded: bytes, tag: bytes | None, *, settled: bool) -> int: ...

    def send_outcome(self, delivery_id: int, state: Described) -> None: ...

    def await_settlement(self, delivery_id: int, outlet: QueueOutlet, token: UUID) -> None: ...

    def answers_for(self, path: str, reply_to: str | None) -> AnswerOutlet | None: ...


class Inlet:
    """Takes deliveries piece by piece; `take` decides what a whole one is worth.

    Credit is granted but never enforced: the Python client sends on when its credit is used up.
    """

    def __init__(self, session: Session, handle: int, max_bytes: int) -> None:
        self.session = session
        self.handle = handle
        self.max_bytes = max_bytes
        self._first: Transfer | None = None
        self._pieces = bytearray()
        self._too_large = False
        self._taken = 0
        self._credit = 0

    def open(self) -> None:
        """Grant the first credit."""
        self._grant()

    def close(self) -> None:
        """Nothing to give back."""

    def flow(self, flow: Flow) -> None:
        """A sender tells its state; answer when it asks for ours."""
        if flow.echo:
            self._grant()

    def transfer(self, transfer: Transfer, piece: bytes) -> None:
        """Take a piece; with the last one the delivery is taken and answered."""
        if self._first is None:
            if transfer.delivery_id is None:
                raise ProtocolViolation(Condition.INVALID_FIELD, "the first transfer of a delivery lacks delivery-id")
            self._first = transfer
        if not transfer.aborted:
            self._collect(piece)
        if not transfer.more or transfer.aborted:
            self._complete(self._first, aborted=transfer.aborted, settled=bool(self._first.settled or transfer.settled))

    def _collect(self, piece: bytes) -> None:
        """A delivery that has become too large is not kept, only read to its end."""
        self._too_large = self._too_large or len(self._pieces) + len(piece) > self.max_bytes
        if self._too_large:
            self._pieces.clear()
        else:
            self._pieces += piece

    def _complete(self, first: Transfer, *, aborted: bool, settled: bool) -> None:
        encoded, too_large_now = bytes(self._pieces), self._too_large
        self._first, self._too_large = None, False
        self._pieces.clear()
        self._taken = (self._taken + 1) & _SERIAL
        self._credit -= 1
        if not aborted:
            state = self._outcome(first, encoded, too_large=too_large_now)
            if not settled:
                self.session.send_outcome(first.delivery_id or 0, state)
        if self._credit <= CREDIT // 2:
            self._grant()

    def _outcome(self, first: Transfer, encoded: bytes, *, too_large: bool) -> Described:
        try:
            if too_large:
                raise Refusal(Condition.MESSAGE_SIZE_EXCEEDED, self.too_large_text())
            if state_code(first.state) == TRANSACTIONAL_STATE:
                raise Refusal(Condition.NOT_IMPLEMENTED, "this endpoint has no transactions")
            self.take(encoded, first.message_format or 0)
        except Refusal as refusal:
            return rejected(refusal.condition, refusal.description)
        except CodecError as error:
            return rejected(Condition.DECODE_ERROR, str(error))
        return outcome(ACCEPTED)

    def _grant(self) -> None:
        self._credit = CREDIT
        self.session.send_flow(self.handle, self._taken, CREDIT)

    def too_large_text(self) -> str:
        """The sentence for a delivery that is too large."""
        return f"the message has more than {self.max_bytes} bytes"

    def take(self, encoded: bytes, message_format: int) -> None:
        """Act on a whole delivery; raises Refusal or CodecError when it is not accepted."""
        raise NotImplementedError


class QueueInlet(Inlet):
    """Messages for a queue."""

    def __init__(self, session: Session, handle: int, entity: Entity, broker: Broker, faults: Faults) -> None:
        super().__init__(session, handle, entity.settings.max_message_bytes)
        self._entity = entity
        self._broker = broker
        self._faults = faults

    def too_large_text(self) -> str:
        return too_large(self._entity)

    def take(self, encoded: bytes, message_format: int) -> None:
        """Store a message, or all messages of a batch or none."""
        self._faults.check_busy()
        self._faults.check_arrival()
        messages = batch_of(encoded) if message_format == BATCH_FORMAT else [encoded]
        self._broker.enqueue(self._entity, [read_incoming(one, self._broker.new_id) for one in messages])
        self._faults.check_stored()


class RequestInlet(Inlet):
    """Requests for `$cbs` or `$management`; the answer goes out on the outlet attached to the same node."""

    def __init__(
        self, session: Session, handle: int, max_bytes: int, path: str, answer: Callable[[Request], Answer]
    ) -> None:
        super().__init__(session, handle, max_bytes)
        self._path = path
        self._answer = answer

    def take(self, encoded: bytes, message_format: int) -> None:
        """Answer a request. The answer precedes the outcome: clients that read frame by frame get it sooner."""
        request = read_request(encoded)
        outlet = self.session.answers_for(self._path, request.reply_to)
        if outlet is None:
            raise Refusal(Condition.NOT_ALLOWED, "there is no link for the answer; attach a receiver to the same node")
        outlet.answer(write_answer(request, self._answer(request)))


class Outlet:
    """Counts credit; what it gives differs."""

    def __init__(self, session: Session, handle: int) -> None:
        self.session = session
        self.handle = handle
        self.credit = 0
        self._given = 0
        self._draining = False

    def open(self) -> None:
        """Nothing to tell before there is credit."""

    def close(self) -> None:
        """Nothing to give back."""

    def flow(self, flow: Flow) -> None:
        """The receiver sets its credit; with drain it wants the rest back when nothing more is there."""
        if flow.link_credit is not None:
            credit = ((flow.delivery_count or 0) + flow.link_credit - self._given) & _SERIAL
            self.credit = credit if credit <= _SERIAL // 2 else 0
        self._draining = flow.drain
        self.credit_changed()
        if flow.echo and not self._draining:
            self.session.send_flow(self.handle, self._given, self.credit)

    def transfer(self, transfer: Transfer, piece: bytes) -> None:
        """A receiver does not send."""
        raise ProtocolViolation(Condition.NOT_ALLOWED, "a transfer on a link that this side sends on")

    def credit_changed(self) -> None:
        """Use the credit."""
        raise NotImplementedError

    def _spend(self) -> None:
        self.credit -= 1
        self._given = (self._given + 1) & _SERIAL

    def _return_credit(self) -> None:
        """Answer to drain: the rest of the credit counts as used."""
        if self._draining:
            self._given = (self._given + self.credit) & _SERIAL
            self.credit, self._draining = 0, False
            self.session.send_flow(self.handle, self._given, 0, drain=True)


class QueueOutlet(Outlet):
    """A receiver of a queue: a consumer of the broker."""

    def __init__(self, session: Session, handle: int, entity: Entity, broker: Broker, *, deletes: bool) -> None:
        super().__init__(session, handle)
        self.entity = entity
        self._broker = broker
        self._deletes = deletes

    @property
    def deletes(self) -> bool:
        return self._deletes

    @property
    def wants(self) -> bool:
        return self.credit > 0 and self.session.writable

    def deliver(self, delivery: Delivery) -> None:
        """Send a message; the tag is the lock token in the byte order of .NET."""
        self._spend()
        token = delivery.lock_token
        tag = None if token is None else token.bytes_le
        delivery_id = self.session.send_delivery(self.handle, delivery.encoded, tag, settled=token is None)
        if token is not None:
            self.session.await_settlement(delivery_id, self, token)
        if not self.credit:
            self._give_up()

    def done(self) -> None:
        """The queue is empty for now."""
        if self._draining:
            self._give_up()

    def credit_changed(self) -> None:
        if self.credit:
            self._broker.add_consumer(self.entity, self)
        else:
            self._give_up()

    def resume(self) -> None:
        """The way to the client is free again."""
        if self.credit:
            self._broker.add_consumer(self.entity, self)

    def close(self) -> None:
        """Take no more. What was delivered and not settled stays locked until its time is over."""
        self._broker.remove_consumer(self.entity, self)

    def _give_up(self) -> None:
        self._broker.remove_consumer(self.entity, self)
        self._return_credit()


class AnswerOutlet(Outlet):
    """Answers of `$cbs` or `$management`, kept until there is credit."""

    def __init__(self, session: Session, handle: int, path: str, reply_to: str | None) -> None:
        super().__init__(session, handle)
        self.path = path
        self.reply_to = reply_to
        self._waiting: deque[bytes] = deque()

    def answer(self, encoded: bytes) -> None:
        """Send an answer as soon as the client takes it; raises Refusal when it takes none for too long."""
        if len(self._waiting) >= MAX_WAITING_ANSWERS:
            raise Refusal(Condition.RESOURCE_LIMIT_EXCEEDED, "too many answers wait; grant credit on the answer link")
        self._waiting.append(encoded)
        self._send_waiting()

    def credit_changed(self) -> None:
        self._send_waiting()
        self._return_credit()

    def _send_waiting(self) -> None:
        while self._waiting and self.credit:
            self._spend()
            tag = self._given.to_bytes(4, "big")
            self.session.send_delivery(self.handle, self._waiting.popleft(), tag, settled=True)


Link = QueueInlet | RequestInlet | QueueOutlet | AnswerOutlet
