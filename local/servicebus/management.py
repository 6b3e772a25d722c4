"""The operations of a queue's `$management` node.

Source: Microsoft Learn, "AMQP 1.0 in Azure Service Bus: request-response-based operations".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

from local.servicebus.broker import Broker, Delivery, Entity, Settlement
from local.servicebus.codec import Array, Int, Long, Symbol, Timestamp, Value
from local.servicebus.errors import CodecError, Condition, Refusal
from local.servicebus.faults import Faults
from local.servicebus.messages import Answer, Request, read_incoming

PEEK_BYTES = 1_000_000
"""A peek stops before its answer grows beyond about this size; the next peek goes on from there."""

MOST_AT_ONCE = 10_000
"""Longest list of lock tokens, sequence numbers or messages in one request."""

_SETTLEMENTS = {
    "completed": Settlement.COMPLETE,
    "abandoned": Settlement.ABANDON,
    "defered": Settlement.DEFER,
    "suspended": Settlement.DEAD_LETTER,
}
"""The spelling of "defered" is the service's own."""

_Body = Mapping[Value, Value]
_Result = tuple[int, Value]


class Management:
    """Answers requests; a refusal becomes a status and an error condition, never silence."""

    def __init__(self, broker: Broker, faults: Faults) -> None:
        self._broker = broker
        self._faults = faults
        self._operations: dict[str, Callable[[Entity, _Body], _Result]] = {
            "com.microsoft:renew-lock": self._renew_lock,
            "com.microsoft:peek-message": self._peek,
            "com.microsoft:schedule-message": self._schedule,
            "com.microsoft:cancel-scheduled-message": self._cancel_scheduled,
            "com.microsoft:receive-by-sequence-number": self._receive_deferred,
            "com.microsoft:update-disposition": self._update_disposition,
        }

    def answer(self, entity: Entity, request: Request) -> Answer:
        """Do what is asked of `entity` and say how it went."""
        try:
            status, body = self._perform(entity, request)
        except Refusal as refusal:
            return _refused(refusal.status, refusal.condition, refusal.description)
        except CodecError as error:
            return _refused(400, Condition.DECODE_ERROR, str(error))
        if status == 204:
            return _refused(204, Condition.MESSAGE_NOT_FOUND, "no messages")
        return Answer({"statusCode": Int(status), "statusDescription": "OK"}, body)

    def _perform(self, entity: Entity, request: Request) -> _Result:
        name = request.properties.get("operation")
        operation = self._operations.get(name) if isinstance(name, str) else None
        if operation is None:
            raise Refusal(Condition.NOT_IMPLEMENTED, "this endpoint has no such operation on a queue")
        if not isinstance(request.body, dict):
            raise Refusal(Condition.ARGUMENT_ERROR, "the body of a request is a map")
        if request.body.get("session-id") is not None and name != "com.microsoft:schedule-message":
            raise Refusal(
                Condition.NOT_ALLOWED, "queues of this endpoint have no message sessions; leave out session-id"
            )
        return operation(entity, request.body)

    def _renew_lock(self, entity: Entity, body: _Body) -> _Result:
        ends = self._broker.renew(entity, _tokens(body))
        return 200, {"expirations": Array(Timestamp, tuple(Timestamp(end) for end in ends))}

    def _peek(self, entity: Entity, body: _Body) -> _Result:
        start, count = _integer(body, "from-sequence-number"), _integer(body, "message-count")
        if count < 1:
            raise Refusal(Condition.ARGUMENT_ERROR, "message-count must be at least 1")
        messages = self._broker.peek(entity, start, min(count, MOST_AT_ONCE), PEEK_BYTES)
        return (200 if messages else 204), {"messages": [{"message": encoded} for encoded in messages]}

    def _schedule(self, entity: Entity, body: _Body) -> _Result:
        if not entity.is_main:
            raise Refusal(Condition.NOT_ALLOWED, "a dead-letter queue cannot be sent to")
        encoded = [item.get("message") if isinstance(item, dict) else None for item in _many(body, "messages")]
        self._faults.check_busy()
        for one in encoded:
            if isinstance(one, bytes) and len(one) > entity.settings.max_message_bytes:
                raise Refusal(Condition.MESSAGE_SIZE_EXCEEDED, too_large(entity))
        if not all(isinstance(one, bytes) for one in encoded):
            raise Refusal(Condition.ARGUMENT_ERROR, "each of the messages needs its bytes under message")
        incoming = [read_incoming(one, self._broker.new_id) for one in encoded if isinstance(one, bytes)]
        numbers = self._broker.schedule(entity, incoming)
        return 200, {"sequence-numbers": Array(Long, tuple(Long(number) for number in numbers))}

    def _cancel_scheduled(self, entity: Entity, body: _Body) -> _Result:
        self._broker.cancel_scheduled(entity, _numbers(body))
        return 200, {}

    def _receive_deferred(self, entity: Entity, body: _Body) -> _Result:
        delete = _integer(body, "receiver-settle-mode") == 0
        deliveries = self._broker.receive_deferred(entity, _numbers(body), delete=delete)
        return 200, {"messages": [_deferred(delivery) for delivery in deliveries]}

    def _update_disposition(self, entity: Entity, body: _Body) -> _Result:
        settlement = _SETTLEMENTS.get(str(body.get("disposition-status")))
        if settlement is None:
            raise Refusal(Condition.ARGUMENT_ERROR, f"disposition-status must be one of {', '.join(_SETTLEMENTS)}")
        tokens = list(dict.fromkeys(_tokens(body)))
        for token in tokens:
            self._broker.check_lock(entity, token)
        for token in tokens:
            self._broker.settle(entity, token, settlement, _changes(settlement, body))
        return 200, {}


def too_large(entity: Entity) -> str:
    """The sentence for a message that the queue does not take."""
    return f"the message has more than the {entity.settings.max_message_bytes} bytes that this queue takes"


def _refused(status: int, condition: Condition, text: str) -> Answer:
    details = {"statusCode": Int(status), "statusDescription": text, "errorCondition": Symbol(condition.value)}
    return Answer(details, {})


def _deferred(delivery: Delivery) -> Value:
    if delivery.lock_token is None:
        return {"message": delivery.encoded}
    return {"lock-token": delivery.lock_token, "message": delivery.encoded}


def _changes(settlement: Settlement, body: _Body) -> dict[str, Value]:
    changed = body.get("properties-to-modify")
    changes = {str(key): value for key, value in changed.items()} if isinstance(changed, dict) else {}
    if settlement is Settlement.DEAD_LETTER:
        for name, key in (
            ("DeadLetterReason", "deadletter-reason"),
            ("DeadLetterErrorDescription", "deadletter-description"),
        ):
            if isinstance(body.get(key), str):
                changes[name] = body[key]
    return changes


def _integer(body: _Body, name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal(Condition.ARGUMENT_ERROR, f"{name} must be a number")
    return int(value)


def _many(body: _Body, name: str) -> list[Value]:
    value = body.get(name)
    items = list(value.items) if isinstance(value, Array) else value
    if not isinstance(items, list) or not 0 < len(items) <= MOST_AT_ONCE:
        raise Refusal(Condition.ARGUMENT_ERROR, f"{name} must be a list of 1 to {MOST_AT_ONCE} items")
    return items


def _tokens(body: _Body) -> list[UUID]:
    items = _many(body, "lock-tokens")
    if not all(isinstance(item, UUID) for item in items):
        raise Refusal(Condition.ARGUMENT_ERROR, "lock-tokens must be uuids")
    return [item for item in items if isinstance(item, UUID)]


def _numbers(body: _Body) -> list[int]:
    items = _many(body, "sequence-numbers")
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        raise Refusal(Condition.ARGUMENT_ERROR, "sequence-numbers must be numbers")
    return [int(item) for item in items]
